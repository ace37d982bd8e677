"""Every golden of every family: metadata, names, shapes, types and bytes equal what llama.cpp's own converter writes. And for one of
each family the same from a split, where the keys of the split are llama.cpp's. Values of quantized sources equal dequant.json's hashes."""
import hashlib
import json

import pytest
from gguf import GGUFReader, GGUFValueType

from program import DATA, MINI, NEEDED_FLAGS, compare_with_golden, golden_checkpoints, mill, output_files

FLAGS = {
    "golden": ["-r", "auto"],
    "golden.f16": ["-r", "F16"],
    "golden.f32": ["-r", "F32"],
    "golden.q8_0": ["-r", "Q8_0"],
    "golden.no-mtp": ["-r", "auto", "--no-mtp"],
    "golden.mtp-only": ["-r", "auto", "--mtp-only"],
    "golden.fp8-as-q8": ["-r", "auto", "--fp8-as-q8"],
}

# The checkpoint has no chat template; llama.cpp's converter writes one of its own for this architecture (--chat-template would).
ALLOWED = {"h3-dsv4-mxfp4": ["metadata missing: tokenizer.chat_template"]}


def flags_of(manifest):
    return [*FLAGS[manifest.stem], *NEEDED_FLAGS.get(manifest.parent.name, [])]


def compare(manifest, files):
    return compare_with_golden(manifest, files, ALLOWED.get(manifest.parent.name, []))


def cases():
    for checkpoint in golden_checkpoints():
        for manifest in sorted(checkpoint.parent.glob("golden*.json")):
            if manifest.stem.startswith("golden.split-"):
                continue  # of which tensors stand in which part
            yield checkpoint, manifest, f"{manifest.parent.name}/{manifest.stem}"
    yield MINI, DATA / "mini-eval" / "golden.json", "mini/golden"


def parameters(chosen):
    return [pytest.param(checkpoint, manifest, id=name) for checkpoint, manifest, name in chosen]


@pytest.mark.parametrize("checkpoint, manifest", parameters(cases()))
def test_golden(checkpoint, manifest, tmp_path, figure):
    out = tmp_path / "out.gguf"
    mill("convert", checkpoint, "-o", out, *flags_of(manifest)).ok()
    assert output_files(out) == [out]
    mill("verify", out).ok()  # no contradiction is seen where there is none, in no kind of file
    figure(f"{manifest.parent.name}/{manifest.name}: {compare(manifest, [out])}")


def quantized_sources():
    for manifest in sorted(DATA.glob("goldens/*/dequant.json")):
        yield pytest.param(manifest, id=manifest.parent.name)


# In dequant.json some tensors have the checkpoint's names.
RENAMED = {"lm_head.": "output.", "backbone.layers.": "blk.", ".mixer.shared_experts.down_proj.": ".ffn_down_shexp.",
           ".mixer.shared_experts.up_proj.": ".ffn_up_shexp."}


def gguf_name(name):
    for source, output in RENAMED.items():
        name = name.replace(source, output)
    return name


@pytest.mark.parametrize("manifest", list(quantized_sources()))
def test_values_of_quantized_source(manifest, tmp_path, figure):
    wanted = json.loads(manifest.read_text())["tensors"]
    checkpoint = next(p.parent for p in manifest.parent.glob("*/config.json"))
    counts = []
    for kind in ("F32", "BF16"):
        out = tmp_path / f"{kind}.gguf"
        mill("convert", checkpoint, "-o", out, "-r", kind).ok()
        tensors = {t.name: t for t in GGUFReader(out).tensors}
        for name, golden in wanted.items():
            tensor = tensors[gguf_name(name)]
            assert tensor.tensor_type.name == kind and tensor.shape.tolist() == golden["ne"], name
            assert hashlib.sha256(tensor.data.tobytes()).hexdigest() == golden[f"sha256_{kind.lower()}"], f"{name} as {kind}"
        counts.append(f"{kind} {len(wanted)}/{len(wanted)}")
    figure(f"{manifest.parent.name}/dequant.json: values equal as {', '.join(counts)} tensors")


def one_of_each_family():
    """The first checkpoint of every architecture."""
    chosen = {}
    for case in cases():
        chosen.setdefault(json.loads((case[0] / "config.json").read_text())["architectures"][0], case)
    return chosen.values()


@pytest.mark.parametrize("checkpoint, manifest", parameters(one_of_each_family()))
def test_golden_in_shards(checkpoint, manifest, tmp_path):
    out = tmp_path / "out.gguf"
    count = len(json.loads(manifest.read_text())["tensors"])
    mill("convert", checkpoint, "-o", out, *flags_of(manifest), "--split-max-tensors", max(2, count // 4)).ok()
    files = output_files(out)
    assert len(files) >= 3
    assert [f.name for f in files] == [f"out-{i + 1:05d}-of-{len(files):05d}.gguf" for i in range(len(files))]
    compare(manifest, files)
    for number, file in enumerate(files):
        fields = GGUFReader(file).fields
        for key, kind, value in (("split.no", GGUFValueType.UINT16, number), ("split.count", GGUFValueType.UINT16, len(files)),
                                 ("split.tensors.count", GGUFValueType.INT32, count)):
            assert fields[key].types == [kind] and fields[key].contents() == value, f"{file.name}: {key}"
        if number > 0:
            assert {k for k in fields if not k.startswith("GGUF.")} == {"split.no", "split.count", "split.tensors.count"}


def test_split_by_size_keeps_under_it(tmp_path):
    out = tmp_path / "out.gguf"
    mill("convert", MINI, "-o", out, "-r", "auto", "--split-max-size", "4M").ok()
    files = output_files(out)
    compare_with_golden(DATA / "mini-eval" / "golden.json", files)
    for file in files:
        assert file.stat().st_size <= 4_000_000 or len(GGUFReader(file).tensors) == 1, file.name


def test_split_by_size_has_as_many_parts_as_llama_cpps(tmp_path):
    """Its tensors are in the order of their names, ours in that of their bytes in the source, so the parts are not the same."""
    case = DATA / "goldens" / "f-llama31-405b-bf16"
    out = tmp_path / "out.gguf"
    mill("convert", next(case.glob("*/config.json")).parent, "-o", out, "-r", "auto", "--split-max-size", "1M").ok()
    parts = json.loads((case / "golden.split-1M.json").read_text())["parts"]
    files = output_files(out)
    assert len(files) == len(parts)
    assert all(f.stat().st_size <= 1_000_000 for f in files)
    compare_with_golden(case / "golden.json", files)


def test_tensor_above_the_split_size_gets_a_shard_of_its_own(tmp_path):
    out = tmp_path / "out.gguf"
    mill("convert", MINI, "-o", out, "-r", "F32", "--split-max-size", "3M").ok()
    largest = max((t for f in output_files(out) for t in GGUFReader(f).tensors), key=lambda t: t.n_bytes)
    assert largest.n_bytes > 3_000_000
    holder = next(f for f in output_files(out) if any(t.name == largest.name for t in GGUFReader(f).tensors))
    assert len(GGUFReader(holder).tensors) == 1
