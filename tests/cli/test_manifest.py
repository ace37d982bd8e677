"""What a finished conversion leaves in the folder, and that the plan had announced it to the byte."""
import json
import struct
import subprocess

import pytest
from gguf import GGUFReader

from program import DATA, IMATRIX, MINI, mill, output_files, sha256

FLAGS = ["-r", "nemotron3-3bit", "--imatrix", IMATRIX, "--split-max-size", "4M"]


def data_start(path):
    """Offset of the tensor data, from the gguf package: absolute offset of the first tensor minus its own."""
    return GGUFReader(path).data_offset


def test_files(mini_set):
    names = {p.name for p in mini_set.parent.iterdir()}
    shards = {f.name for f in output_files(mini_set)}
    assert len(shards) == 3
    assert names == shards | {"mini.SHA256SUMS", "mini.manifest.json"}


def test_sha256sum_reads_the_sums(mini_set):
    run = subprocess.run(["sha256sum", "-c", "mini.SHA256SUMS"], cwd=mini_set.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    listed = {line.split(maxsplit=1)[1].lstrip("*") for line in (mini_set.parent / "mini.SHA256SUMS").read_text().splitlines()}
    assert listed == {f.name for f in output_files(mini_set)} | {"mini.manifest.json"}


def test_manifest(mini_set):
    manifest = json.loads((mini_set.parent / "mini.manifest.json").read_text())
    text = json.dumps(manifest)
    for shard in MINI.glob("*.safetensors"):
        assert shard.name in text and sha256(shard) in text, f"{shard.name} with its SHA-256"
    assert sha256(IMATRIX) in text
    tensors = {t["name"]: t for t in manifest["tensors"]}
    seen = set()
    for file in output_files(mini_set):
        for tensor in GGUFReader(file).tensors:
            entry = tensors[tensor.name]
            seen.add(tensor.name)
            assert entry["file"] == file.name
            assert entry["type"] == tensor.tensor_type.name
            assert entry["bytes"] == tensor.n_bytes
            assert entry["offset"] == tensor.data_offset
            assert "relative_rmse" in entry
    assert seen == set(tensors)


def test_plan_is_what_the_finished_files_are(mini_set):
    plan = mill("plan", MINI, "-o", mini_set, *FLAGS, "--force", "--json").ok().json
    files = {f.name: f for f in output_files(mini_set)}
    assert {f["path"].rpartition("/")[2]: f["bytes"] for f in plan["files"]} == {n: f.stat().st_size for n, f in files.items()}
    assert plan["total_bytes"] == sum(f.stat().st_size for f in files.values())
    planned = {t["name"]: t for t in plan["tensors"]}
    seen = 0
    for name, file in files.items():
        for tensor in GGUFReader(file).tensors:
            entry = planned[tensor.name]
            seen += 1
            assert (entry["offset"], entry["bytes"], entry["type"]) == (tensor.data_offset, tensor.n_bytes, tensor.tensor_type.name)
            assert entry["file"].rpartition("/")[2] == name
            assert entry["reason"]
    assert seen == len(planned)


def test_plan_totals_add_up(mini_set):
    plan = mill("plan", MINI, "-o", mini_set, *FLAGS, "--force", "--json").ok().json
    assert plan["parameters"] == sum(c["parameters"] for c in plan["classes"])
    assert len(plan["tensors"]) == sum(c["tensors"] for c in plan["classes"])
    assert sum(t["bytes"] for t in plan["tensors"]) == sum(c["bytes"] for c in plan["classes"])
    assert plan["source_bytes"] == sum(p.stat().st_size for p in MINI.glob("*.safetensors"))
    assert plan["bits_per_weight"] == pytest.approx(8 * sum(t["bytes"] for t in plan["tensors"]) / plan["parameters"], rel=0.02)


def test_default_recipe_and_default_names(tmp_path):
    """A folder as OUT: files are named after the model and the recipe, and the 3-bit recipe is this family's default."""
    run = mill("convert", MINI, "-o", f"{tmp_path}/", "--json").ok()
    assert {p.name for p in tmp_path.iterdir()} == {f"mini-nemotron3-nemotron3-3bit{s}" for s in (".gguf", ".SHA256SUMS", ".manifest.json")}
    assert run.event("done")


def test_output_is_aligned_and_padded(mini_set):
    """What loaders require: offsets in multiples of the alignment, no hole between tensors, padding of zeros."""
    for file in output_files(mini_set):
        raw, end = file.read_bytes(), data_start(file)
        for tensor in sorted(GGUFReader(file).tensors, key=lambda t: t.data_offset):
            assert tensor.data_offset == -(-end // 32) * 32, tensor.name
            assert not any(raw[end:tensor.data_offset])
            end = tensor.data_offset + tensor.n_bytes
        assert len(raw) == -(-end // 32) * 32 and not any(raw[end:])


def test_inspect_sees_the_same(mini_set):
    report = mill("inspect", output_files(mini_set)[0], "--json").ok().json
    assert report["metadata"]["general.architecture"] == "nemotron_h_moe"
    source = mill("inspect", MINI, "--json").ok().json
    names = {t["name"] for t in source["tensors"]}
    index = json.loads((MINI / "model.safetensors.index.json").read_text())["weight_map"]
    assert names == set(index)
    golden = json.loads((DATA / "mini-eval" / "golden.json").read_text())
    assert {t["name"] for t in report["tensors"]} == {t["name"] for t in golden["tensors"]}


def test_verify_holds(mini_set):
    report = mill("verify", mini_set, "--source", MINI, "--full", "--json").ok().json
    assert report["ok"] is True
    assert all(t["rows_compared"] > 0 for t in report["tensors"])
    assert len(report["tensors"]) == sum(len(GGUFReader(f).tensors) for f in output_files(mini_set))
    mill("verify", MINI).ok()


def test_header_counts(mini_set):
    """The first bytes, without any library: magic, version 3, tensors of this shard."""
    for file in output_files(mini_set):
        magic, version, tensors, _ = struct.unpack("<4sIQQ", file.read_bytes()[:24])
        assert (magic, version, tensors) == (b"GGUF", 3, len(GGUFReader(file).tensors))
