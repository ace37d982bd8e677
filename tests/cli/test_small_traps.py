"""Small traps that a user steps into: each must say so instead of doing something else."""
import pytest

from program import MINI, mill, refused


@pytest.mark.parametrize("flag", ["--imatrix", "-r", "--split-max-size", "--tensor-type-file"])
def test_empty_value_of_an_unset_variable_is_refused(flag, tmp_path):
    refused(mill("convert", MINI, "-o", tmp_path / "x.gguf", flag, ""), 64, "must not be empty")


def test_name_of_one_split_file_as_output_is_refused(tmp_path):
    refused(mill("convert", MINI, "-o", tmp_path / "x-00001-of-00002.gguf"), 64, "one file of a split")


@pytest.mark.parametrize("flags", [["--full"], ["--sample", "0.5"], ["--max-error", "experts=0.1"], ["--seed", "3"]])
def test_verify_flags_about_values_need_a_source(mini_set, flags):
    refused(mill("verify", mini_set, *flags), 64, "--source")


def test_sample_that_is_no_number_is_refused(mini_set):
    assert mill("verify", mini_set, "--source", MINI, "--sample", "nan").code == 64


def test_work_folder_with_strange_files_is_refused_and_kept(tmp_path):
    folder = tmp_path / "x.ggufmill"
    folder.mkdir()
    (folder / "notes").write_text("mine")
    refused(mill("convert", MINI, "-o", tmp_path / "x.gguf"), 73, "notes")
    assert (folder / "notes").read_text() == "mine"


def test_vocabulary_alone_reads_no_weights(tmp_path):
    run = mill("convert", MINI, "-o", tmp_path / "x.gguf", "--vocab-only", "--json").ok()
    assert run.event("done")["bytes_read"] == 0
    mill("verify", tmp_path / "x.gguf", "--source", MINI).ok()


def test_plan_says_what_convert_would_refuse(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"")
    texts = [f["message"] for f in mill("plan", MINI, "-o", tmp_path / "x.gguf", "--json").ok().json["findings"]]
    assert any("exists already" in t for t in texts)
    texts = [f["message"] for f in mill("plan", MINI, "-o", tmp_path / "nope" / "x.gguf", "--json").ok().json["findings"]]
    assert any("no such folder" in t for t in texts)


@pytest.mark.parametrize("text, words", [
    ("[[rule]]\ntype = 'Q8_0'\n[[rule]]\nclass = 'experts'\ntype = 'Q4_K'\n", "r.toml:4: no tensor reaches this rule"),
    ("[[rule]]\nlayers = [5, 2]\ntype = 'Q8_0'\n", "r.toml:3: layers is empty"),
    ("[[rule]]\ntype = 'I32'\n", "type I32 cannot be written"),
])
def test_recipe_mistakes_are_found_without_a_model(text, words, tmp_path):
    path = tmp_path / "r.toml"
    path.write_text("name = 'r'\n" + text)
    refused(mill("recipe", "check", path), 64, words)


def test_metadata_of_another_type_is_a_finding(tmp_path):
    out = tmp_path / "x.gguf"
    plain = mill("plan", MINI, "-o", out, "--json").ok().json
    odd = mill("plan", MINI, "-o", out, "--json", "--metadata", "general.name=u32:3").ok().json
    assert not any("changes its type" in f["message"] for f in plain["findings"])
    assert any("changes its type from str to u32" in f["message"] for f in odd["findings"])
