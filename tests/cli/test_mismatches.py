"""Checkpoints whose config.json and tensors disagree are refused in planning, with every problem; so are metadata that contradict the
tensors, in a plan and, by verify, in files that others made. What is right passes."""
import json
import re
import shutil

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter

import quantized as q
from program import NEEDED_FLAGS, golden_checkpoint, mill, refused

KINDS = {"unknown": "unknown", "shape": "of another shape or type", "missing": "missing"}  # as a message begins: as they are counted
COMPANIONS = (".scale", ".weight_scale", ".weight_scale_inv", ".weight_shape")


def check_found(found, problems):
    names = [tensor for tensor, _ in found]
    assert set(names) == set(problems)
    assert len(names) == len(problems), f"more than once: {sorted(n for n in set(names) if names.count(n) > 1)}"
    for tensor, message in found:
        assert message.startswith(problems[tensor]), f"{tensor}: {message}"


def refused_with_all(source, tmp_path, problems, *flags):
    """convert and plan refuse `source`; problems: {tensor: kind}. One line on stderr counts them, plan and JSON name each."""
    out, before = tmp_path / "out.gguf", sorted(tmp_path.rglob("*"))
    kinds = list(problems.values())
    counts = ", ".join(f"{kinds.count(kind)} {name}" for kind, name in KINDS.items() if kind in kinds)
    for command in (["convert", source, "-o", out], ["plan", source]):
        run = mill(*command, "-r", "auto", *flags, "--json")
        assert run.code == 65, f"exit {run.code}\n{run.stderr[-1000:]}"
        check_found([(f["tensor"], f["message"]) for f in run.event("error")["findings"]], problems)
        refused(run, 65, str(source), f"({counts})")
        run = mill(*command, "-r", "auto", *flags)
        refused(run, 65, str(source), f"({counts})")
        if command[0] == "plan":
            check_found(re.findall(r"^error: ([^:]+): (.+)$", run.stdout, re.MULTILINE), problems)
    assert sorted(tmp_path.rglob("*")) == before, "something was left behind"


@pytest.fixture
def copy_of(tmp_path):
    return lambda case: q.Checkpoint(golden_checkpoint(case), tmp_path / "model")


def edit_fields(checkpoint, **fields):
    """Sets fields of config.json, or of its text_config."""
    path = checkpoint.folder / "config.json"
    config = json.loads(path.read_text())
    text = config.get("text_config", config)
    for name, value in fields.items():
        assert name in text
        text[name] = value(text[name]) if callable(value) else value
    path.write_text(json.dumps(config))


def weights(checkpoint):
    """Shapes by name, without what belongs to a quantized weight."""
    return {name.replace(".weight_packed", ".weight"): array.shape for name, (_, array, _) in checkpoint.tensors.items()
            if not name.endswith(COMPANIONS)}


def block_of(name):
    match = re.search(r"\blayers\.(\d+)\.", name)
    return int(match[1]) if match and not name.startswith("mtp.") else None


def moved(name, block):
    return re.sub(r"\blayers\.\d+\.", f"layers.{block}.", name)


# ---- stray, missing and misshapen tensors


@pytest.mark.parametrize("case", ["h1-dsv32-bf16", "h3-dsv4-mxfp4", "h4-qwen35moe-bf16", "i2-gptoss-bf16", "j1-qwen25-bf16", "j6-qwen3next-bf16",
                                  "m1-glm45-bf16", "o1-kimik2-fp8"])
def test_stray_tensors(case, copy_of, tmp_path):
    made = copy_of(case)
    shard = next(iter(made.tensors.values()))[2]
    strays = ["surprise.weight", "model.layers.0.mlp.surprise.weight", "model.layers.1.self_attn.q_proj.surprise"]
    for name in strays:
        made.set(name, np.zeros(2, np.float32), "F32", shard)
    refused_with_all(made.save(), tmp_path, dict.fromkeys(strays, "unknown"))


MISSING = {
    "h1-dsv32-bf16": ["model.layers.0.self_attn.kv_b_proj.weight", "model.layers.1.mlp.experts.3.up_proj.weight",
                      "model.layers.1.self_attn.indexer.k_norm.bias", "model.layers.2.eh_proj.weight", "model.norm.weight"],
    "h3-dsv4-mxfp4": ["hc_head_base", "layers.0.ffn.gate.tid2eid", "layers.1.attn.compressor.ape", "layers.2.ffn.gate.bias"],
    "h4-qwen35moe-bf16": ["model.language_model.layers.1.mlp.experts.gate_up_proj", "model.language_model.layers.2.linear_attn.A_log",
                          "mtp.fc.weight"],
    "i2-gptoss-bf16": ["model.layers.0.self_attn.sinks", "model.layers.1.mlp.experts.gate_up_proj", "model.layers.1.mlp.router.bias"],
    "j1-qwen25-bf16": ["model.layers.0.self_attn.q_proj.bias", "model.layers.1.mlp.down_proj.weight"],
    "j6-qwen3next-bf16": ["model.layers.0.linear_attn.in_proj_qkvz.weight", "model.layers.1.mlp.experts.1.up_proj.weight"],
    "m1-glm45-bf16": ["model.layers.1.mlp.gate.e_score_correction_bias", "model.layers.2.hnorm.weight"],
}


@pytest.mark.parametrize("case", MISSING)
def test_missing_tensors(case, copy_of, tmp_path):
    made = copy_of(case)
    for name in MISSING[case]:
        del made.tensors[name]
    refused_with_all(made.save(), tmp_path, dict.fromkeys(MISSING[case], "missing"))


def test_missing_tensors_of_the_mtp_block_alone(copy_of, tmp_path):
    """Then there is a way out, and it is named."""
    made = copy_of("h1-dsv32-bf16")
    del made.tensors["model.layers.2.eh_proj.weight"]
    run = mill("plan", made.save(), "-r", "auto")
    refused(run, 65, "model.layers.2.eh_proj.weight")
    assert "--no-mtp" in run.stderr
    mill("convert", made.folder, "-o", tmp_path / "out.gguf", "-r", "auto", "--no-mtp").ok()


MISSHAPEN = {
    "h1-dsv32-bf16": ["model.layers.0.self_attn.kv_b_proj.weight", "model.layers.1.mlp.experts.0.down_proj.weight",
                      "model.layers.1.self_attn.indexer.wk.weight"],
    "h3-dsv4-mxfp4": ["head.weight", "layers.1.attn.compressor.norm.weight", "layers.0.ffn.gate.tid2eid"],
    "h4-qwen35moe-bf16": ["model.language_model.layers.0.linear_attn.conv1d.weight", "model.language_model.layers.3.self_attn.q_proj.weight",
                          "mtp.fc.weight"],
    "i2-gptoss-bf16": ["model.embed_tokens.weight", "model.layers.0.mlp.experts.down_proj", "model.layers.0.mlp.experts.gate_up_proj_bias"],
    "j3-qwen3-bf16": ["model.layers.0.self_attn.q_norm.weight", "model.layers.1.self_attn.o_proj.weight"],
    "m1-glm45-bf16": ["model.layers.0.self_attn.k_proj.weight", "model.layers.1.mlp.gate.weight", "model.layers.2.eh_proj.weight"],
}


@pytest.mark.parametrize("case", MISSHAPEN)
def test_wrong_shapes(case, copy_of, tmp_path):
    """A row less than config.json says."""
    made = copy_of(case)
    for name in MISSHAPEN[case]:
        made.set(name, made.array(name)[:-1])
    refused_with_all(made.save(), tmp_path, dict.fromkeys(MISSHAPEN[case], "shape"))


def test_unknown_missing_and_misshapen_together(copy_of, tmp_path):
    """More than one line has room for: that line counts them, plan lists all."""
    made = copy_of("j4-qwen3moe-bf16")
    problems = {}
    for name in [n for n in made.tensors if ".layers.1." in n]:
        if "experts" in name:
            made.tensors[name + "s"] = made.tensors.pop(name)
            problems |= {name: "missing", name + "s": "unknown"}
        elif made.array(name).ndim == 2:
            made.set(name, made.array(name)[:, :-1])
            problems[name] = "shape"
    assert len(problems) > 20
    refused_with_all(made.save(), tmp_path, problems)


# ---- counts and patterns of config.json


LAYERS = ["f-llama31-405b-bf16", "h3-dsv4-mxfp4", "h6-kimi-k25-int4", "h9-dsv2lite-bf16", "i2-gptoss-bf16", "j1-qwen25-bf16", "j3-qwen3-bf16",
          "j4-qwen3moe-bf16", "o1-kimik2-fp8"]


@pytest.mark.parametrize("case", LAYERS)
@pytest.mark.parametrize("change", [1, -1])
def test_layer_count(case, change, copy_of, tmp_path):
    """No MTP block follows: one more misses a block like the last, one less has the last too many."""
    made = copy_of(case)
    names = [n for n in weights(made) if block_of(n) is not None]
    last = max(map(block_of, names))
    of_last = [n for n in names if block_of(n) == last]
    edit_fields(made, num_hidden_layers=lambda n: n + change)
    if case == "i2-gptoss-bf16":  # another length is refused before the tensors are looked at
        kinds = ["sliding_attention", "full_attention"] * (last + 2)
        edit_fields(made, layer_types=lambda _: kinds[:last + 1 + change])
    problems = {moved(n, last + 1): "missing" for n in of_last} if change == 1 else dict.fromkeys(of_last, "unknown")
    if case == "h3-dsv4-mxfp4" and change == 1:  # by compress_ratios the next block has no compression
        problems = {n: kind for n, kind in problems.items() if "compressor" not in n}
    refused_with_all(made.folder, tmp_path, problems, *NEEDED_FLAGS.get(case, []))


@pytest.mark.parametrize("case", ["b-super-bf16", "h1-dsv32-bf16", "h5-glm52-bf16", "h7-dsv3-bf16", "j5-qwen35-bf16", "j6-qwen3next-bf16",
                                  "m1-glm45-bf16", "m2-glm46", "m3-glm51-bf16", "m4-glm47flash-bf16"])
@pytest.mark.parametrize("change", [1, -1])
@pytest.mark.parametrize("flags", [[], ["--no-mtp"], ["--mtp-only"]], ids=" ".join)
def test_layer_count_before_an_mtp_block(case, change, flags, copy_of, tmp_path):
    """Whatever part is written: the count is wrong for all of them."""
    made = copy_of(case)
    edit_fields(made, num_hidden_layers=lambda n: n + change)
    refused(mill("convert", made.folder, "-o", tmp_path / "out.gguf", "-r", "auto", *flags), 65, str(made.folder))


EXPERTS = {"h1-dsv32-bf16": "n_routed_experts", "h7-dsv3-bf16": "n_routed_experts", "j4-qwen3moe-bf16": "num_experts",
           "j6-qwen3next-bf16": "num_experts", "m1-glm45-bf16": "n_routed_experts", "a-nano-bf16": "n_routed_experts"}
ROUTER = re.compile(r"\.gate\.(weight|e_score_correction_bias)$")


@pytest.mark.parametrize("case", EXPERTS)
@pytest.mark.parametrize("change", [1, -1])
def test_expert_count(case, change, copy_of, tmp_path):
    made = copy_of(case)
    names = weights(made)
    if case == "h7-dsv3-bf16":  # its MTP block is left out
        names = [n for n in names if ".layers.2." not in n]
    last = max(int(m[1]) for n in names if (m := re.search(r"experts\.(\d+)\.", n)))
    of_last = [n for n in names if f"experts.{last}." in n]
    problems = dict.fromkeys((n for n in names if ROUTER.search(n)), "shape")
    if change == 1:
        problems |= {n.replace(f"experts.{last}.", f"experts.{last + 1}."): "missing" for n in of_last}
    else:
        problems |= dict.fromkeys(of_last, "unknown")
    edit_fields(made, **{EXPERTS[case]: lambda n: n + change})
    if case == "h7-dsv3-bf16":  # in whatever groups
        edit_fields(made, n_group=lambda _: 1)
    refused_with_all(made.folder, tmp_path, problems)


@pytest.mark.parametrize("case, field", [("h4-qwen35moe-bf16", "num_experts"), ("i-gptoss-mxfp4", "num_local_experts"),
                                         ("i2-gptoss-bf16", "num_local_experts")])
def test_expert_count_of_stacked_experts(case, field, copy_of, tmp_path):
    made = copy_of(case)
    problems = {}
    for name in weights(made):
        if (".mlp." in name and "shared" not in name) and made.array(name).shape[0] == made.array(name.split(".mlp.")[0] + (
                ".mlp.router.weight" if "gptoss" in case else ".mlp.gate.weight")).shape[0]:
            problems[name.removesuffix("_blocks").removesuffix("_scales")] = "shape"
    edit_fields(made, **{field: lambda n: n + 1})
    refused_with_all(made.folder, tmp_path, problems)


def swapped(checkpoint, one, other, part=""):
    """The problems of a config.json that has two blocks in each other's place, as to tensors whose name holds `part`."""
    have = {n: shape for n, shape in weights(checkpoint).items() if block_of(n) in (one, other) and re.search(part, n)}
    wanted = {moved(n, one + other - block_of(n)): shape for n, shape in have.items()}
    problems = dict.fromkeys(have.keys() - wanted.keys(), "unknown") | dict.fromkeys(wanted.keys() - have.keys(), "missing")
    problems |= {n: "shape" for n in have.keys() & wanted.keys() if have[n] != wanted[n]}
    assert problems
    return problems


def swap(sequence, one, other):
    items = list(sequence)
    items[one], items[other] = items[other], items[one]
    return "".join(items) if isinstance(sequence, str) else items


@pytest.mark.parametrize("case, field, one, other, part", [
    ("a-nano-bf16", "hybrid_override_pattern", 0, 1, ""),
    ("c-ultra-bf16-mixshards", "layers_block_type", 1, 2, ""),
    ("k1-nemotronh-bf16", "hybrid_override_pattern", 0, 1, ""),
    ("h4-qwen35moe-bf16", "layer_types", 2, 3, "attn"),
    ("j5-qwen35-bf16", "layer_types", 0, 3, "attn"),
    ("h5-glm52-bf16", "indexer_types", 1, 2, r"\.indexer\."),
    ("h3-dsv4-mxfp4", "compress_ratios", 0, 1, r"\.(compressor|indexer)\."),
    ("h3-dsv4-mxfp4", "compress_ratios", 1, 2, r"\.(compressor|indexer)\."),
])
def test_two_blocks_exchanged_in_a_pattern(case, field, one, other, part, copy_of, tmp_path):
    made = copy_of(case)
    edit_fields(made, **{field: lambda pattern: swap(pattern, one, other)})
    refused_with_all(made.folder, tmp_path, swapped(made, one, other, part))


@pytest.mark.parametrize("case, field, value", [
    ("h4-qwen35moe-bf16", "layer_types", lambda t: t[:-1]),
    ("h4-qwen35moe-bf16", "layer_types", lambda t: ["mamba", *t[1:]]),
    ("h5-glm52-bf16", "indexer_types", lambda t: t[:-1]),
    ("h5-glm52-bf16", "indexer_types", lambda t: ["half", *t[1:]]),
    ("h5-glm52-bf16", "mlp_layer_types", lambda t: ["sparse", *t[1:]]),
    ("h3-dsv4-mxfp4", "compress_ratios", lambda t: t[:2]),
    ("h3-dsv4-mxfp4", "compress_ratios", lambda t: [0, 7, 128, 0]),
    ("h3-dsv4-mxfp4", "num_hash_layers", 7),
    ("h1-dsv32-bf16", "first_k_dense_replace", 7),
    ("i2-gptoss-bf16", "layer_types", lambda t: t[::-1]),
    ("i2-gptoss-bf16", "layer_types", lambda t: t[:-1]),
    ("j6-qwen3next-bf16", "mlp_only_layers", [1]),
    ("j4-qwen3moe-bf16", "num_experts_per_tok", 99),
])
def test_field_that_no_model_of_the_family_has(case, field, value, copy_of, tmp_path):
    """Where the field alone is wrong, it is named."""
    made = copy_of(case)
    edit_fields(made, **{field: value})
    for command in (["convert", made.folder, "-o", tmp_path / "out.gguf"], ["plan", made.folder]):
        refused(mill(*command, "-r", "auto"), 65, "config.json", field)


# ---- metadata against tensors


@pytest.mark.parametrize("case, option, tensor", [
    ("a-nano-bf16", "nemotron_h_moe.attention.head_count_kv=u32:0", "attn_k.weight"),
    ("a-nano-bf16", "nemotron_h_moe.block_count=u32:9", ""),
    ("f-llama31-405b-bf16", "llama.attention.head_count_kv=u32:0", "blk.0.attn_k.weight"),
    ("f-llama31-405b-bf16", "llama.block_count=u32:1", "blk.1."),
    ("f3-mixtral-bf16", "llama.expert_count=u32:99", "exps.weight"),
    ("h1-dsv32-bf16", "deepseek32.block_count=u32:2", "blk.2."),
    ("h1-dsv32-bf16", "deepseek32.block_count=u32:4", ""),
    ("h1-dsv32-bf16", "deepseek32.expert_count=u32:3", "exps.weight"),
    ("h3-dsv4-mxfp4", "deepseek4.expert_count=u32:5", "exps.weight"),
    ("h3-dsv4-mxfp4", "deepseek4.block_count=u32:2", "blk.2."),
    ("h4-qwen35moe-bf16", "qwen35moe.expert_count=u32:2", "exps.weight"),
    ("i-gptoss-mxfp4", "gpt-oss.expert_count=u32:1", "exps.weight"),
    ("j1-qwen25-bf16", "qwen2.embedding_length=u32:64", "token_embd.weight"),
    ("m1-glm45-bf16", "glm4moe.attention.head_count_kv=u32:0", "attn_k.weight"),
])
def test_override_that_contradicts(case, option, tensor, tmp_path):
    source, out = golden_checkpoint(case), tmp_path / "out.gguf"
    key = option.split("=")[0].split(".", 1)[1]
    for command in (["convert", source, "-o", out], ["plan", source]):
        refused(mill(*command, "-r", "auto", "--metadata", option), 65, key, tensor)
        run = mill(*command, "-r", "auto", "--metadata", option, "--json")
        findings = run.event("error")["findings"]
        assert findings and all(key in f["message"] for f in findings)
        assert not tensor or any(tensor in f["tensor"] for f in findings)
    assert not list(tmp_path.iterdir())


def by_others(case, folder, *flags):
    """A GGUF file with nothing beside it."""
    out = folder / "ours" / "model.gguf"
    out.parent.mkdir()
    mill("convert", golden_checkpoint(case), "-o", out, "-r", "auto", *flags).ok()
    theirs = folder / "theirs.gguf"
    shutil.move(out, theirs)
    return theirs


def set_numbers(path, key, change):
    """Changes a number, or the numbers of an array, where they stand."""
    field = GGUFReader(path, "r+").fields[key]
    for part in field.data:
        field.parts[part][0] = change(field.parts[part][0])


@pytest.mark.parametrize("case, key, change, tensor", [
    ("a-nano-bf16", "nemotron_h_moe.attention.head_count_kv", lambda n: 0, "attn_k.weight"),
    ("c-ultra-bf16-mixshards", "nemotron_h_moe.attention.head_count_kv", lambda n: 0, "attn_k.weight"),
    ("e-deci253b-bf16", "deci.attention.head_count_kv", lambda n: 0, "attn_k.weight"),
    ("f-llama31-405b-bf16", "llama.block_count", lambda n: n - 1, "blk.1."),
    ("h1-dsv32-bf16", "deepseek32.block_count", lambda n: n - 1, "blk.2."),
    ("h1-dsv32-bf16", "deepseek32.block_count", lambda n: n + 1, None),
    ("h1-dsv32-bf16", "deepseek32.expert_count", lambda n: n + 1, "exps.weight"),
    ("h4-qwen35moe-bf16", "qwen35moe.expert_count", lambda n: n - 1, "exps.weight"),
    ("h3-dsv4-mxfp4", "deepseek4.embedding_length", lambda n: n - 32, "token_embd.weight"),
    ("j4-qwen3moe-bf16", "qwen3moe.expert_used_count", lambda n: 99, None),
])
def test_verify_of_a_file_that_contradicts_itself(case, key, change, tensor, tmp_path):
    path = by_others(case, tmp_path)
    mill("verify", path).ok()
    set_numbers(path, key, change)
    run = mill("verify", path, "--json")
    assert run.code == 1 and not run.json["ok"]
    errors = [f for f in run.json["findings"] if f["severity"] == "error"]
    assert any(key.split(".", 1)[1] in f["message"] and (tensor or "") in (f.get("tensor") or "") for f in errors), errors
    text = mill("verify", path)
    assert text.code == 1 and (tensor or key.split(".", 1)[1]) in text.stdout + text.stderr


def small_model(path, tokens):
    """A model of one block, with a vocabulary of `tokens`, by the gguf package."""
    w = GGUFWriter(path, "llama")
    w.add_block_count(1)
    w.add_context_length(64)
    w.add_embedding_length(32)
    w.add_feed_forward_length(32)
    w.add_head_count(2)
    w.add_head_count_kv(1)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_tokenizer_model("gpt2")
    w.add_token_list([f"t{i}" for i in range(tokens)])
    shapes = {"token_embd.weight": (64, 32), "output_norm.weight": (32,), "blk.0.attn_norm.weight": (32,), "blk.0.ffn_norm.weight": (32,),
              "blk.0.attn_q.weight": (32, 32), "blk.0.attn_k.weight": (16, 32), "blk.0.attn_v.weight": (16, 32), "blk.0.attn_output.weight": (32, 32),
              "blk.0.ffn_gate.weight": (32, 32), "blk.0.ffn_up.weight": (32, 32), "blk.0.ffn_down.weight": (32, 32)}
    for name, shape in shapes.items():
        w.add_tensor(name, np.zeros(shape, np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return path


def test_verify_of_another_number_of_tokens(tmp_path):
    mill("verify", small_model(tmp_path / "right.gguf", 64)).ok()
    for tokens in (63, 65):
        run = mill("verify", small_model(tmp_path / "wrong.gguf", tokens), "--json")
        assert run.code == 1
        assert any(f.get("tensor") == "token_embd.weight" and f"{tokens} tokens" in f["message"] for f in run.json["findings"])


def test_blocks_without_any_tensor_are_no_contradiction(copy_of, tmp_path):
    """DeciLM's dummy blocks have neither attention nor feed-forward, so a file has no tensor of them."""
    made = copy_of("e-deci253b-bf16")
    nothing = {"attention": {"n_heads_in_group": None, "no_op": True, "replace_with_linear": False},
               "ffn": {"ffn_mult": None, "no_op": True, "replace_with_linear": False}}
    for name in [n for n in made.tensors if block_of(n) == 1]:
        del made.tensors[name]
    edit_fields(made, block_configs=lambda blocks: [blocks[0], nothing, *blocks[2:]])
    out = tmp_path / "out.gguf"
    mill("convert", made.save(), "-o", out, "-r", "auto").ok()
    assert not any(t.name.startswith("blk.1.") for t in GGUFReader(out).tensors)
    mill("verify", out).ok()
    shutil.move(out, tmp_path / "theirs.gguf")
    mill("verify", tmp_path / "theirs.gguf").ok()
