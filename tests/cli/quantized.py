"""Quantized checkpoints by hand, with numpy alone: a checkpoint as a dict of tensors, every published form made from plain values, and
the values that each form stands for. Layouts: docs/sources.md."""
import json
import shutil
from pathlib import Path

import numpy as np

from safetensors_edit import parts, put

NUMPY = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16, "U8": np.uint8, "I8": np.int8, "I32": np.int32, "I64": np.int64,
         "F8_E4M3": np.uint8, "F8_E5M2": np.uint8, "F8_E8M0": np.uint8}

E2M1 = np.array([0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def _eight_bits(exponent_bits, bias):
    code, mantissa_bits = np.arange(256), 7 - exponent_bits
    exponent, mantissa = code >> mantissa_bits & (1 << exponent_bits) - 1, code & (1 << mantissa_bits) - 1
    value = np.where(exponent == 0, mantissa, mantissa + (1 << mantissa_bits)) * 2.0 ** (np.maximum(exponent, 1) - bias - mantissa_bits)
    return np.where(code < 128, value, -value).astype(np.float32)


E4M3, E5M2 = _eight_bits(4, 7), _eight_bits(5, 15)
E4M3[[0x7F, 0xFF]] = np.nan
E5M2[[*range(0x7C, 0x80), *range(0xFC, 0x100)]] = np.nan  # infinities too: no code that is wanted here


def bf16(values):
    """Bits of the nearest BF16, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return (bits + 0x7FFF + (bits >> 16 & 1) >> 16).astype(np.uint16)


def from_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def nearest(table, values):
    """Codes of the table's values next to these."""
    order = np.argsort(np.where(np.isnan(table), np.inf, table), kind="stable")[:np.count_nonzero(~np.isnan(table))]
    of_codes = table[order]
    return order[np.searchsorted((of_codes[1:] + of_codes[:-1]) / 2, values)].astype(np.uint8)


def pairs(codes):
    """Two codes a byte, the first in the low nibble."""
    return codes[..., ::2] | codes[..., 1::2] << 4


def groups(values, size):
    return values.reshape(*values.shape[:-1], -1, size)


# ---- forms: values [rows, columns] -> tensors by suffix {suffix: (dtype, array)}, and the values that they stand for


def _nvfp4(values, tensor_scale):
    g = groups(values, 16)
    scales = np.maximum(nearest(E4M3, np.abs(g).max(-1) / 6 / tensor_scale), 1)
    codes = nearest(E2M1, g / (E4M3[scales] * tensor_scale)[..., None])
    decoded = (E2M1[codes] * E4M3[scales][..., None]) * tensor_scale
    return pairs(codes.reshape(values.shape)), scales, decoded.reshape(values.shape)


def nvfp4(values):
    tensor_scale = np.float32(np.abs(values).max() / (6 * 448))
    codes, scales, decoded = _nvfp4(values, tensor_scale)
    return {".weight": ("U8", codes), ".weight_scale": ("F8_E4M3", scales), ".weight_scale_2": ("F32", tensor_scale),
            ".input_scale": ("F32", np.float32(0.01))}, decoded


def nvfp4_compressed(values):
    divisor = np.float32(6 * 448 / np.abs(values).max())
    codes, scales, decoded = _nvfp4(values, np.float32(1) / divisor)
    return {".weight_packed": ("U8", codes), ".weight_scale": ("F8_E4M3", scales), ".weight_global_scale": ("F32", divisor.reshape(1)),
            ".input_global_scale": ("F32", np.array([100], np.float32))}, decoded


def _powers(values, largest):
    """E8M0 codes of groups of 32 whose largest value is to be below 2^(largest + 1)."""
    with np.errstate(divide="ignore"):
        exponents = np.floor(np.log2(np.abs(groups(values, 32)).max(-1))) - largest + 127
    return np.clip(exponents, 1, 254).astype(np.uint8)


def _mx(values, table, largest):
    scales = _powers(values, largest)
    factors = np.exp2(scales.astype(np.float32) - 127)[..., None]
    codes = nearest(table, groups(values, 32) / factors)
    return codes.reshape(values.shape), scales, (table[codes] * factors).reshape(values.shape)


def mxfp4(values):
    codes, scales, decoded = _mx(values, E2M1, 2)
    return {".weight": ("U8", pairs(codes)), ".weight_scale": ("U8", scales)}, decoded


def mxfp4_e8m0(values):
    codes, scales, decoded = _mx(values, E2M1, 2)
    return {".weight": ("I8", pairs(codes).view(np.int8)), ".scale": ("F8_E8M0", scales)}, decoded


def mxfp8(values):
    codes, scales, decoded = _mx(values, E4M3, 8)
    return {".weight": ("F8_E4M3", codes), ".weight_scale": ("U8", scales)}, decoded


def _fp8(values, scales, table):
    codes = nearest(table, values / scales)
    return codes, (table[codes] * scales).astype(np.float32)


def fp8_tensor(values, table=E4M3, dtype="F8_E4M3"):
    scale = np.float32(np.abs(values).max() / np.nanmax(table))
    codes, decoded = _fp8(values, scale, table)
    return {".weight": (dtype, codes), ".weight_scale": ("F32", scale), ".input_scale": ("F32", np.float32(1))}, decoded


def fp8_e5m2(values):
    return fp8_tensor(values, E5M2, "F8_E5M2")


def fp8_channel(values):
    scales = from_bf16(bf16(np.abs(values).max(-1, keepdims=True) / 440))
    codes, decoded = _fp8(values, scales, E4M3)
    return {".weight": ("F8_E4M3", codes), ".weight_scale": ("BF16", bf16(scales))}, decoded


def fp8_blocks(values):
    rows, columns = values.shape
    padded = np.zeros((-(-rows // 128) * 128, -(-columns // 128) * 128), np.float32)
    padded[:rows, :columns] = values
    scales = (np.abs(padded.reshape(-(-rows // 128), 128, -1, 128)).max((1, 3)) / 448).astype(np.float32)
    codes, decoded = _fp8(values, scales.repeat(128, 0).repeat(128, 1)[:rows, :columns], E4M3)
    return {".weight": ("F8_E4M3", codes), ".weight_scale_inv": ("F32", scales)}, decoded


def int4(values):
    scales = bf16(np.abs(groups(values, 32)).max(-1) / 7)
    factors = from_bf16(scales)[..., None]
    codes = np.clip(np.rint(groups(values, 32) / factors), -8, 7).astype(np.int8)
    words = pairs((codes + 8).astype(np.uint8).reshape(values.shape)).view(np.int32)
    return {".weight_packed": ("I32", words), ".weight_scale": ("BF16", scales),
            ".weight_shape": ("I32", np.array(values.shape, np.int32))}, (codes * factors).astype(np.float32).reshape(values.shape)


FORMS = {f.__name__: f for f in (nvfp4, nvfp4_compressed, mxfp4, mxfp4_e8m0, mxfp8, fp8_tensor, fp8_e5m2, fp8_channel, fp8_blocks, int4)}


def repacked_nvfp4(codes, scales):
    """ggml's blocks of 64 values: 4 scales, then per group of 16 eight bytes, byte j = value j and value j + 8."""
    nibbles = np.stack([codes & 15, codes >> 4], -1).reshape(*scales.shape, 2, 8)
    bytes_ = (nibbles[..., 0, :] | nibbles[..., 1, :] << 4).reshape(*scales.shape[:-1], -1, 32)
    return np.concatenate([scales.reshape(*scales.shape[:-1], -1, 4), bytes_], -1).reshape(*scales.shape[:-1], -1)


def repacked_mxfp4(codes, scales):
    """ggml's blocks of 32 values: the scale, then byte j = value j and value j + 16."""
    nibbles = np.stack([codes & 15, codes >> 4], -1).reshape(*scales.shape, 2, 16)
    bytes_ = nibbles[..., 0, :] | nibbles[..., 1, :] << 4
    return np.concatenate([scales[..., None], bytes_], -1).reshape(*scales.shape[:-1], -1)


class Checkpoint:
    """A copy of a checkpoint whose tensors may be changed; save() writes it again."""

    def __init__(self, source, folder):
        self.folder = Path(shutil.copytree(source, folder))
        self.tensors = {}  # name -> [dtype, array, shard]
        for path in sorted(self.folder.glob("*.safetensors")):
            header, data = parts(path)
            for name, entry in json.loads(header).items():
                if name != "__metadata__":
                    begin, end = entry["data_offsets"]
                    array = np.frombuffer(data[begin:end], NUMPY[entry["dtype"]]).reshape(entry["shape"])
                    self.tensors[name] = [entry["dtype"], array, path.name]

    def save(self):
        for shard in {shard for _, _, shard in self.tensors.values()}:
            header, data = {}, b""
            for name, (dtype, array, of) in self.tensors.items():
                if of == shard:
                    raw = np.ascontiguousarray(array).tobytes()
                    header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
                    data += raw
            put(self.folder / shard, header, data)
        index = {"metadata": {}, "weight_map": {name: shard for name, (_, _, shard) in self.tensors.items()}}
        (self.folder / "model.safetensors.index.json").write_text(json.dumps(index))
        return self.folder

    def array(self, name):
        return self.tensors[name][1]

    def values(self, name):
        dtype, array, _ = self.tensors[name]
        return from_bf16(array) if dtype == "BF16" else array.astype(np.float32)

    def set(self, name, array, dtype=None, shard=None):
        old = self.tensors.get(name, [None, None, shard])
        self.tensors[name] = [dtype or old[0], np.asarray(array), shard or old[2]]

    def quantize(self, name, form, scales_in=None):
        """Puts the tensors of a form in the place of the weight `name`; the values that they stand for."""
        values, (_, _, shard) = self.values(name), self.tensors.pop(name)
        made, decoded = form(values)
        for number, (suffix, (dtype, array)) in enumerate(made.items()):
            self.set(name.removesuffix(".weight") + suffix, array, dtype, shard if number == 0 else scales_in or shard)
        return decoded

    def edit_config(self, **fields):
        path = self.folder / "config.json"
        config = json.loads(path.read_text())
        config.update(fields)
        path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def decoded_nvfp4(checkpoint, twin):
    """Replaces the NVFP4 weights (ModelOpt's names) of `twin`, a copy of `checkpoint`, by BF16 of what they stand for."""
    for name in [n for n in checkpoint.tensors if n.endswith(".weight_scale_2")]:
        base = name.removesuffix(".weight_scale_2")
        codes, scales = checkpoint.array(base + ".weight"), checkpoint.array(base + ".weight_scale")
        both = np.stack([codes & 15, codes >> 4], -1).reshape(*scales.shape, 16)
        values = ((E2M1[both] * E4M3[scales][..., None]) * checkpoint.array(name)).reshape(codes.shape[0], -1)
        shard = twin.tensors[base + ".weight"][2]
        for suffix in (".weight", ".weight_scale", ".weight_scale_2", ".input_scale"):
            twin.tensors.pop(base + suffix, None)
        twin.set(base + ".weight", bf16(values), "BF16", shard)
