"""Every codec against gguf.quants of the PyPI package `gguf`: decoding bit for bit, and the bytes of the rounding types.

CODEC_TOOL names the built tests/quant/codec_tool (default: build/tests/codec_tool of this checkout).
"""
import os
import pathlib
import subprocess

import gguf
import numpy as np
import pytest
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

TOOL = os.environ.get("CODEC_TOOL", str(pathlib.Path(__file__).parents[2] / "build/tests/codec_tool"))
TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS",
         "IQ3_XXS", "IQ3_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ1_S", "IQ1_M", "MXFP4", "NVFP4", "TQ1_0", "TQ2_0"]
# Byte offsets of the f16 scales in a block.
SCALES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2],
          "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "IQ3_XXS": [0], "IQ3_S": [0], "IQ2_XXS": [0], "IQ2_XS": [0],
          "IQ2_S": [0], "IQ1_S": [0], "MXFP4": [], "NVFP4": [], "TQ1_0": [52], "TQ2_0": [64]}
# Relative errors of what we encode, where 0.3 is beyond the type.
BOUNDS = {"IQ2_XXS": 0.36, "IQ1_S": 0.55, "IQ1_M": 0.5, "Q2_K": 0.36, "TQ1_0": 0.7, "TQ2_0": 0.7}


def run(arguments, data):
    return subprocess.run([TOOL, *arguments], input=data, stdout=subprocess.PIPE, check=True).stdout


def finite_f16(rng, count):
    """Scales of every exponent, denormals and zeros of both signs included."""
    bits = rng.integers(0, 1 << 16, count, dtype=np.uint16)
    return np.where(bits & 0x7C00 == 0x7C00, bits & 0x83FF, bits).astype(np.uint16)


def random_blocks(name, count, seed, finite=True):
    rng = np.random.default_rng(seed)
    _, size = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    if finite:
        for at in SCALES.get(name, []):
            blocks[:, at:at + 2] = finite_f16(rng, count).view(np.uint8).reshape(count, 2)
    return blocks


def assert_same_floats(ours, theirs):
    """Equal bits, except that any NaN equals any other."""
    a, b = ours.view(np.uint32), theirs.view(np.uint32)
    nan = np.isnan(ours) & np.isnan(theirs)
    wrong = np.flatnonzero((a != b) & ~nan)
    if wrong.size > 0:
        at = wrong[0]
        pytest.fail(f"{wrong.size} of {a.size} differ, the first at {at}: {ours[at]!r}, expected {theirs[at]!r}")


def decode_both(name, blocks):
    ours = np.frombuffer(run(["decode", name], blocks.tobytes()), dtype=np.float32)
    with np.errstate(all="ignore"):
        theirs = gguf.quants.dequantize(blocks, GGMLQuantizationType[name]).astype(np.float32).ravel()
    assert ours.size == theirs.size
    assert_same_floats(ours, theirs)


@pytest.mark.parametrize("name", TYPES)
def test_random_blocks_decode_alike(name):
    decode_both(name, random_blocks(name, 4096, seed=1))


@pytest.mark.parametrize("name", TYPES)
def test_any_bytes_decode_alike(name):
    decode_both(name, random_blocks(name, 1024, seed=2, finite=False))


@pytest.mark.parametrize("name", sorted(SCALES))
def test_every_byte_pattern_at_every_place_decodes_alike(name):
    """Byte k of block b is (b + 37 k) mod 256: each place takes every value, neighbours vary."""
    _, size = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
    blocks = ((np.arange(256)[:, None] + 37 * np.arange(size)[None, :]) % 256).astype(np.uint8)
    for at in SCALES[name]:
        blocks[:, at:at + 2] = np.full(256, 0.37, dtype=np.float16).view(np.uint8).reshape(256, 2)
    decode_both(name, blocks)


@pytest.mark.parametrize("name", ["F16", "BF16"])
def test_every_16_bit_pattern_decodes_alike(name):
    decode_both(name, np.arange(1 << 16, dtype=np.uint16).view(np.uint8).reshape(1, -1))


def rows(seed, columns=256, count=512):
    rng = np.random.default_rng(seed)
    return (rng.standard_t(5, (count, columns)) * np.exp(rng.normal(0, 3, (count, 1)))).astype(np.float32)


@pytest.mark.parametrize("name", ["F32", "F16", "BF16", "Q8_0"])
def test_rounding_types_encode_alike(name):
    x = rows(seed=3)
    ours = np.frombuffer(run(["encode", name, str(x.shape[1]), "-", "fast"], x.tobytes()), dtype=np.uint8)
    with np.errstate(over="ignore"):
        theirs = gguf.quants.quantize(x, GGMLQuantizationType[name]).view(np.uint8).ravel()
    assert np.array_equal(ours, theirs)


def test_halves_between_two_codes_encode_alike():
    """Ties: F16 and BF16 to even, Q8_0 away from zero."""
    x = np.zeros((64, 32), dtype=np.float32)
    x[:, 0] = 127.0
    x[:, 1:] = (np.arange(64 * 31).reshape(64, 31) % 254 - 127) + 0.5
    for name in ["F16", "BF16", "Q8_0"]:
        ours = np.frombuffer(run(["encode", name, "32", "-", "fast"], x.tobytes()), dtype=np.uint8)
        assert np.array_equal(ours, gguf.quants.quantize(x, GGMLQuantizationType[name]).view(np.uint8).ravel()), name


@pytest.mark.parametrize("name", sorted(SCALES))
def test_what_we_encode_they_decode_near_the_source(name):
    x = rows(seed=4, count=64)
    if name == "NVFP4":
        x = np.clip(x, -2688, 2688)  # its range without a tensor scale
    blocks = np.frombuffer(run(["encode", name, "256"], x.tobytes()), dtype=np.uint8).reshape(64, -1)
    back = gguf.quants.dequantize(blocks, GGMLQuantizationType[name])
    error = np.sqrt(np.sum((back - x) ** 2) / np.sum(x ** 2))
    assert error < BOUNDS.get(name, 0.3), error
