"""Importance matrices and single-tensor rules: what they change, and what the file says about it."""
import pytest
from gguf import GGUFReader, GGUFValueType

from program import DATA, IMATRIX, MINI, mill, output_files, refused


def types(out):
    return {t.name: t.tensor_type.name for f in output_files(out) for t in GGUFReader(f).tensors}


def test_keys_are_those_of_llama_quantize(mini_set):
    fields = GGUFReader(output_files(mini_set)[0]).fields
    matrix = GGUFReader(IMATRIX).fields
    assert fields["quantize.imatrix.file"].contents() == "imatrix.gguf", "without folders"
    dataset = matrix["imatrix.datasets"].contents()
    assert fields["quantize.imatrix.dataset"].contents() == (dataset[0] if isinstance(dataset, list) else dataset).rpartition("/")[2]
    entries = sum(t.name.endswith(".in_sum2") for t in GGUFReader(IMATRIX).tensors)
    for key, value in (("entries_count", entries), ("chunks_count", matrix["imatrix.chunk_count"].contents())):
        field = fields[f"quantize.imatrix.{key}"]
        assert field.contents() == value and field.types == [GGUFValueType.UINT32], key


def test_file_type_is_that_of_most_bytes(mini_set):
    by_type = {}
    for file in output_files(mini_set):
        for t in GGUFReader(file).tensors:
            by_type[t.tensor_type.name] = by_type.get(t.tensor_type.name, 0) + t.n_bytes
    assert max(by_type, key=by_type.get) == "Q8_0"
    assert GGUFReader(output_files(mini_set)[0]).fields["general.file_type"].contents() == 7


def test_without_a_matrix_there_are_no_keys_and_other_bytes(mini_set, tmp_path):
    out = tmp_path / "out.gguf"
    mill("convert", MINI, "-o", out, "-r", "nemotron3-3bit").ok()
    reader = GGUFReader(out)
    assert not [k for k in reader.fields if k.startswith("quantize.imatrix")]
    plain = {t.name: t.data.tobytes() for t in reader.tensors}
    weighted = {t.name: t.data.tobytes() for f in output_files(mini_set) for t in GGUFReader(f).tensors}
    assert plain["blk.1.ffn_up_exps.weight"] != weighted["blk.1.ffn_up_exps.weight"]
    assert plain["blk.1.ffn_gate_inp.weight"] == weighted["blk.1.ffn_gate_inp.weight"]


def test_recipe_types(mini_set):
    for name, kind in types(mini_set).items():
        rest = name.partition("blk.")[2].partition(".")[2] or name
        want = ("IQ3_XXS" if "up_exps" in rest else "IQ3_S" if "down_exps" in rest else
                "F32" if any(w in rest for w in ("norm", "conv1d", "ssm_a", "ssm_d", "ssm_dt", "gate_inp", "exp_probs")) else "Q8_0")
        assert kind == want, f"{name} is {kind}"


def test_tensor_type_beats_the_recipe(tmp_path):
    out = tmp_path / "out.gguf"
    mill("convert", MINI, "-o", out, "-r", "nemotron3-3bit", "-t", r"blk\.1\..*exps=q6_k", "-t", "token_embd=F16").ok()
    got = types(out)
    assert got["blk.1.ffn_up_exps.weight"] == got["blk.1.ffn_down_exps.weight"] == "Q6_K"
    assert got["blk.4.ffn_up_exps.weight"] == "IQ3_XXS" and got["token_embd.weight"] == "F16"


def test_first_tensor_type_wins_and_a_file_holds_more(tmp_path):
    out, rules = tmp_path / "out.gguf", tmp_path / "rules.txt"
    rules.write_text("ffn_up_exps=Q5_K\nattn_q=Q4_K\n")
    mill("convert", MINI, "-o", out, "-r", "Q8_0", "-t", "ffn_up_exps=Q4_0", "--tensor-type-file", rules).ok()
    got = types(out)
    assert got["blk.1.ffn_up_exps.weight"] == "Q4_0" and got["blk.3.attn_q.weight"] == "Q4_K"


def findings(*args):
    return [f["message"] for f in mill("plan", *args, "--json").ok().json["findings"]]


def test_rule_that_names_a_tensor_that_must_stay_f32_is_a_finding():
    assert any("attn_norm" in m or "F32" in m for m in findings(MINI, "-r", "Q8_0", "-t", "attn_norm=Q8_0"))


def test_rule_that_matches_nothing_is_a_finding():
    assert any("nothing_like_this" in m for m in findings(MINI, "-r", "Q8_0", "-t", "nothing_like_this=Q8_0"))


def test_tensor_without_data_is_a_finding():
    """The matrix knows nothing of the embeddings and of the output, or not all: the plan names what goes without."""
    known = {t.name.removesuffix(".in_sum2") for t in GGUFReader(IMATRIX).tensors}
    plan = mill("plan", MINI, "-r", "nemotron3-3bit", "-t", "token_embd=Q4_K", "--imatrix", IMATRIX, "--json").ok().json
    assert "token_embd.weight" not in known
    assert any(f.get("tensor") == "token_embd.weight" for f in plan["findings"])


def test_three_bit_recipe_on_rows_that_256_does_not_divide():
    source = next((DATA / "goldens" / "a-nano-bf16").glob("*/config.json")).parent
    messages = findings(source, "-r", "nemotron3-3bit")
    assert "bit" in messages[0], "nominal and real bits come first"


def test_default_recipe_depends_on_the_rows(tmp_path):
    source = next((DATA / "goldens" / "a-nano-bf16").glob("*/config.json")).parent
    run = mill("convert", source, "-o", f"{tmp_path}/").ok()
    assert any("nemotron3-4bit" in p.name for p in tmp_path.iterdir()), run.stderr


@pytest.mark.parametrize("spec, kind, value", [
    ("general.author=str:somebody", GGUFValueType.STRING, "somebody"),
    ("custom.number=u32:7", GGUFValueType.UINT32, 7),
    ("custom.share=f32:0.5", GGUFValueType.FLOAT32, 0.5),
    ("custom.flag=bool:true", GGUFValueType.BOOL, True),
])
def test_metadata_override(spec, kind, value, tmp_path):
    out = tmp_path / "out.gguf"
    mill("convert", MINI, "-o", out, "-r", "auto", "--metadata", spec).ok()
    field = GGUFReader(out).fields[spec.partition("=")[0]]
    assert field.types == [kind] and field.contents() == value


def test_bad_metadata_override(tmp_path):
    refused(mill("convert", MINI, "-o", tmp_path / "out.gguf", "--metadata", "a.b=u32:minus"), 64)
