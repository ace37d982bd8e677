"""Sources that are not whole or not right: exit 65, one line that names the file, tensor or field, and nothing is left behind."""
import json
import shutil
import subprocess

import pytest

from program import DATA, IMATRIX, mill, refused
from safetensors_edit import add_to_index, overwrite, parts, put, shard_of

NAN, INF = b"\xc0\x7f", b"\x80\x7f"
EXPERT = "backbone.layers.1.mixer.experts.3.up_proj.weight"
SHARD = "model-0000{}-of-00004.safetensors"


def rejected(source, tmp_path, *words, flags=("-r", "Q8_0")):
    """convert and plan refuse before any work; so does verify of a download, for what its own bytes show."""
    before = {p.name for p in tmp_path.iterdir()}
    refused(mill("convert", source, "-o", tmp_path / "out.gguf", *flags), 65, *words)
    refused(mill("plan", source, *flags), 65, *words)
    assert {p.name for p in tmp_path.iterdir()} == before, "something was left behind"


def test_all_missing_shards_are_named(mini_copy, tmp_path):
    (mini_copy / SHARD.format(2)).unlink()
    (mini_copy / SHARD.format(4)).unlink()
    rejected(mini_copy, tmp_path, SHARD.format(2), SHARD.format(4))


def test_truncated_shard(mini_copy, tmp_path):
    path = mini_copy / SHARD.format(3)
    path.write_bytes(path.read_bytes()[:-1000])
    rejected(mini_copy, tmp_path, SHARD.format(3))


def test_missing_and_truncated_in_one_message(mini_copy, tmp_path):
    (mini_copy / SHARD.format(1)).unlink()
    path = mini_copy / SHARD.format(3)
    path.write_bytes(path.read_bytes()[:5])
    (mini_copy / SHARD.format(4)).write_bytes(b"")
    rejected(mini_copy, tmp_path, SHARD.format(1), SHARD.format(3), SHARD.format(4))


def test_download_under_way(mini_copy, tmp_path):
    (mini_copy / SHARD.format(2)).rename(mini_copy / (SHARD.format(2) + ".incomplete"))
    rejected(mini_copy, tmp_path, SHARD.format(2), "incomplete")


def test_git_lfs_pointer(mini_copy, tmp_path):
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 6845816\n"
    (mini_copy / SHARD.format(2)).write_text(text)
    rejected(mini_copy, tmp_path, SHARD.format(2), "LFS")


def test_page_instead_of_a_shard(mini_copy, tmp_path):
    (mini_copy / SHARD.format(2)).write_text("<!DOCTYPE html><html><body>Access denied</body></html>")
    rejected(mini_copy, tmp_path, SHARD.format(2))


def edit_header(mini_copy, tensor, change):
    path = shard_of(mini_copy, tensor)
    header, data = parts(path)
    entries = json.loads(header)
    change(entries)
    put(path, entries, data)
    return path.name


def test_duplicate_key_in_a_header(mini_copy, tmp_path):
    path = shard_of(mini_copy, EXPERT)
    header, data = parts(path)
    entry = json.dumps({EXPERT: json.loads(header)[EXPERT]})[1:-1]
    put(path, header.rstrip().removesuffix("}") + "," + entry + "}", data)
    rejected(mini_copy, tmp_path, path.name, EXPERT)


def test_shape_against_extent(mini_copy, tmp_path):
    def change(entries):
        entries[EXPERT]["shape"][0] += 1
    rejected(mini_copy, tmp_path, edit_header(mini_copy, EXPERT, change), EXPERT)


def test_overlap(mini_copy, tmp_path):
    def change(entries):
        a, b = sorted((k for k in entries if entries[k].get("shape") == [512, 256]), key=lambda k: entries[k]["data_offsets"])[:2]
        entries[b]["data_offsets"] = entries[a]["data_offsets"]
    rejected(mini_copy, tmp_path, edit_header(mini_copy, EXPERT, change))


def test_hole(mini_copy, tmp_path):
    def change(entries):
        del entries[EXPERT]
    rejected(mini_copy, tmp_path, edit_header(mini_copy, EXPERT, change))


def test_unknown_dtype(mini_copy, tmp_path):
    def change(entries):
        entries[EXPERT]["dtype"] = "Q9"
    rejected(mini_copy, tmp_path, edit_header(mini_copy, EXPERT, change), EXPERT, "Q9")


def test_tensor_that_the_index_lacks(mini_copy, tmp_path):
    path = mini_copy / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    del index["weight_map"][EXPERT]
    path.write_text(json.dumps(index))
    rejected(mini_copy, tmp_path, EXPERT)


def test_index_that_leaves_the_folder(mini_copy, tmp_path):
    path = mini_copy / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"][EXPERT] = "../../etc/passwd"
    path.write_text(json.dumps(index))
    rejected(mini_copy, tmp_path, "../../etc/passwd")


def test_stray_tensors_are_listed(mini_copy, tmp_path):
    shard = mini_copy / SHARD.format(1)
    header, data = parts(shard)
    entries = json.loads(header)
    for name in ("backbone.layers.1.mixer.surprise.weight", "vision.tower.weight"):
        entries[name] = {"dtype": "F32", "shape": [2], "data_offsets": [len(data), len(data) + 8]}
        data += b"\0" * 8
        add_to_index(mini_copy, name, shard)
    put(shard, entries, data)
    rejected(mini_copy, tmp_path, "backbone.layers.1.mixer.surprise.weight", "vision.tower.weight")


def test_missing_expert(mini_copy, tmp_path):
    """A tensor that the architecture requires and that is in no shard and not in the index."""
    path = shard_of(mini_copy, EXPERT)
    header, data = parts(path)
    entries = json.loads(header)
    entries["backbone.layers.1.mixer.experts.3.up_proj.weighs"] = entries.pop(EXPERT)
    put(path, entries, data)
    index = mini_copy / "model.safetensors.index.json"
    index.write_text(index.read_text().replace(EXPERT, "backbone.layers.1.mixer.experts.3.up_proj.weighs"))
    rejected(mini_copy, tmp_path, "backbone.layers.1.mixer.experts.3.up_proj")


def test_unknown_architecture(mini_copy, tmp_path):
    config = json.loads((mini_copy / "config.json").read_text())
    config["architectures"] = ["SomethingForCausalLM"]
    (mini_copy / "config.json").write_text(json.dumps(config))
    rejected(mini_copy, tmp_path, "SomethingForCausalLM")


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"[1]", b"\xff\xfe"])
def test_small_files(file, content, mini_copy, tmp_path):
    (mini_copy / file).unlink()
    if content is not None:
        (mini_copy / file).write_bytes(content)
    rejected(mini_copy, tmp_path, file)


def test_more_tokens_than_rows(mini_copy, tmp_path):
    path = mini_copy / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["vocab"]["surplus"] = 4096
    path.write_text(json.dumps(tokenizer))
    rejected(mini_copy, tmp_path, "tokenizer.json", "surplus", "4096")


@pytest.mark.parametrize("value, name", [(NAN, "NaN"), (INF, "Inf")])
def test_nonfinite_value_in_a_quantized_tensor(value, name, mini_copy, tmp_path):
    overwrite(mini_copy, EXPERT, 1000, value)
    out = tmp_path / "out.gguf"
    error = refused(mill("convert", mini_copy, "-o", out, "-r", "Q8_0"), 65)
    assert EXPERT in error or "blk.1.ffn_up_exps.weight" in error, error
    assert name in error
    assert not out.exists()
    run = mill("convert", mini_copy, "-o", out, "-r", "Q8_0", "--allow-nonfinite").ok()
    assert "warning: blk.1.ffn_up_exps.weight: the source holds 1 NaN" in run.stderr or "0 NaN and 1 Inf" in run.stderr
    manifest = json.loads((tmp_path / "out.manifest.json").read_text())
    entry = next(t for t in manifest["tensors"] if t["name"] == "blk.1.ffn_up_exps.weight")
    assert (entry["nan_count"], entry["inf_count"]) == ((1, 0) if value == NAN else (0, 1))


def test_nonfinite_value_that_is_only_copied(mini_copy, tmp_path):
    """16-bit values that are kept pass as they are, and are counted."""
    overwrite(mini_copy, EXPERT, 1000, NAN)
    mill("convert", mini_copy, "-o", tmp_path / "out.gguf", "-r", "auto").ok()
    manifest = json.loads((tmp_path / "out.manifest.json").read_text())
    assert sum(t["nan_count"] for t in manifest["tensors"]) == 1


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF\x03\0\0\0" + b"\xff" * 16, b"not an importance matrix"])
def test_bad_importance_matrix(content, tmp_path):
    from program import MINI
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    rejected(MINI, tmp_path, "bad.gguf", flags=("--imatrix", str(path)))


def test_importance_matrix_of_another_model(tmp_path):
    source = next((DATA / "goldens" / "b-super-bf16").glob("*/config.json")).parent
    rejected(source, tmp_path, "imatrix.gguf", flags=("-r", "nemotron3-4bit", "--imatrix", str(IMATRIX)))


def test_no_checkpoint_at_all(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    rejected(empty, tmp_path, str(empty))
    rejected(tmp_path / "nowhere", tmp_path, "nowhere")


def test_truncation_while_it_is_read(mini_copy, tmp_path):
    """A shard that shrinks behind the opened header is an error, not a SIGBUS. Here a FIFO and a folder in a shard's place."""
    shard = mini_copy / SHARD.format(1)
    shard.unlink()
    subprocess.run(["mkfifo", shard], check=True)
    rejected(mini_copy, tmp_path, SHARD.format(1))
    shard.unlink()
    shard.mkdir()
    rejected(mini_copy, tmp_path, SHARD.format(1))


def test_unreadable_output_header_is_a_difference_not_a_bad_input(mini_set, tmp_path):
    folder = shutil.copytree(mini_set.parent, tmp_path / "set")
    first = sorted(folder.glob("*.gguf"))[0]
    first.write_bytes(b"FGUG" + first.read_bytes()[4:])
    run = mill("verify", folder / mini_set.name)
    assert run.code == 1 and first.name in run.stdout + run.stderr
