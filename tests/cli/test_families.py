"""What the families differ in: multi-token prediction, vision towers, tables of ids, experts in several forms, base models. And one
checkpoint of each family, converted three ways, holds its source's values."""
import json
import re
import shutil
import signal

import numpy as np
import pytest
from gguf import GGUFReader

import quantized as q
from program import (NEEDED_FLAGS, compare_with_golden, digests, golden_checkpoint, golden_checkpoints, mill, output_files, refused, start,
                     work_folder)

V4 = "h3-dsv4-mxfp4"


def plan(source, *flags):
    return mill("plan", source, "--json", "-r", "auto", *flags).ok().json


def messages(source, *flags):
    return [f["message"] for f in plan(source, *flags)["findings"]]


def convert(source, out, *flags):
    mill("convert", source, "-o", out, *flags).ok()
    return {t.name: t for t in GGUFReader(out).tensors}


# ---- multi-token prediction


LOADS_FROM = {"b-super-bf16": "v0.5.0", "c-ultra-bf16-mixshards": "v0.5.0"} | dict.fromkeys(
    "h1-dsv32-bf16 h2-dsv32-fp8 h4-qwen35moe-bf16 h5-glm52-bf16 j5-qwen35-bf16 j6-qwen3next-bf16 j7-qwen35moe-fp8 m1-glm45-bf16 m2-glm46 "
    "m3-glm51-bf16 m4-glm47flash-bf16".split(), "b10573")


@pytest.mark.parametrize("case", LOADS_FROM)
def test_mtp_is_folded_left_out_or_alone(case, figure):
    """The three together; that each is llama.cpp's own is in test_goldens."""
    plans = [plan(golden_checkpoint(case), *flags) for flags in ([], ["--no-mtp"], ["--mtp-only"])]
    folded, without, alone = ({t["name"]: t["type"] for t in p["tensors"]} for p in plans)
    assert folded == without | alone and without.keys() < folded.keys() and alone.keys() < folded.keys()
    blocks = [{int(m[1]) for n in names if (m := re.match(r"blk\.(\d+)\.", n))} for names in (without, alone)]
    assert blocks[1] == {max(blocks[0]) + 1}, "one block, behind the others"
    assert set(without) & set(alone) <= {"token_embd.weight", "output_norm.weight", "output.weight"}
    assert [p["loads_from"] for p in plans][:2] == [LOADS_FROM[case], "b10573"]
    figure(f"{case}: {len(folded)} tensors, {len(without)} without MTP, {len(alone)} with MTP alone; loads from {LOADS_FROM[case]}")


@pytest.mark.parametrize("case", ["e-deci253b-bf16", "f-llama31-405b-bf16", "f3-mixtral-bf16", "g-minitron-bf16", "h6-kimi-k25-int4", "h7-dsv3-bf16",
                                  "h9-dsv2lite-bf16", "i-gptoss-mxfp4", "i2-gptoss-bf16", "j1-qwen25-bf16", "j3-qwen3-bf16", "j4-qwen3moe-bf16",
                                  "o1-kimik2-fp8"])
def test_mtp_only_without_mtp(case, tmp_path):
    run = mill("convert", golden_checkpoint(case), "-o", tmp_path / "out.gguf", "--mtp-only", "-r", "auto", *NEEDED_FLAGS.get(case, []))
    refused(run, 65, "config.json", "MTP block")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("case, prefix, why", [("h7-dsv3-bf16", "model.layers.2.", "llama.cpp does not know"), (V4, "mtp.", "--mtp-only")])
def test_mtp_that_is_left_out_is_a_finding(case, prefix, why):
    source = golden_checkpoint(case)
    index = json.loads((source / "model.safetensors.index.json").read_text())["weight_map"]
    count = sum(n.startswith(prefix) and not n.endswith(".scale") for n in index)
    said = [m for m in messages(source) if "MTP" in m]
    assert len(said) == 1 and said[0].startswith(f"{count} tensors of an MTP block") and why in said[0] and "left out" in said[0]


# ---- vision towers


@pytest.mark.parametrize("case", ["h4-qwen35moe-bf16", "h6-kimi-k25-int4", "j5-qwen35-bf16", "j7-qwen35moe-fp8"])
def test_vision_tower_is_left_out_and_said(case):
    source = golden_checkpoint(case)
    index = json.loads((source / "model.safetensors.index.json").read_text())["weight_map"]
    counts = {p: sum(n.startswith(p) for n in index) for p in ("model.visual.", "mm_projector.", "vision_tower.")}
    wanted = ", ".join(f"{prefix}* ({n} tensors)" for prefix, n in counts.items() if n)
    assert [m for m in messages(source) if "left out" in m] == [f"left out, not part of the text model: {wanted}"]


# ---- base models


@pytest.mark.parametrize("case", ["h1-dsv32-bf16", "i2-gptoss-bf16", "j1-qwen25-bf16", "j5-qwen35-bf16", "m1-glm45-bf16"])
@pytest.mark.parametrize("files", [["chat_template.jinja", "generation_config.json"],
                                   ["chat_template.jinja", "generation_config.json", "tokenizer_config.json"]], ids=["config", "no config"])
def test_base_model(case, files, tmp_path):
    """Neither a chat template nor defaults for sampling, or not even a tokenizer_config.json: converted, and said."""
    source = shutil.copytree(golden_checkpoint(case), tmp_path / "model")
    for name in files:
        (source / name).unlink(missing_ok=True)
    path = source / "tokenizer_config.json"
    if path.exists():
        path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "chat_template"}))
    out = tmp_path / "out.gguf"
    mill("convert", source, "-o", out, "-r", "auto").ok()
    assert "tokenizer.chat_template" not in GGUFReader(out).fields
    text = mill("plan", source, "-r", "auto").ok().stdout
    assert re.search(r"^(info|warning): .*no chat template", text, re.MULTILINE), text[-500:]
    for name in files[1:]:  # each by its name
        assert re.search(rf"^(info|warning): {re.escape(name)}: missing", text, re.MULTILINE), text[-500:]
        assert name in json.dumps(plan(source)["findings"])


def test_chat_template_of_a_file(tmp_path):
    """Instead of the checkpoint's, or where it has none; then the file is llama.cpp's own."""
    source = shutil.copytree(golden_checkpoint("m1-glm45-bf16"), tmp_path / golden_checkpoint("m1-glm45-bf16").name)
    template = shutil.move(source / "chat_template.jinja", tmp_path / "template.jinja")
    out = tmp_path / "out.gguf"
    mill("convert", source, "-o", out, "-r", "auto", "--chat-template", template).ok()
    compare_with_golden(golden_checkpoint("m1-glm45-bf16").parent / "golden.json", [out])
    (source / "chat_template.jinja").write_text("{{ other }}")
    mill("convert", source, "-o", out, "-r", "auto", "--chat-template", template, "--force").ok()
    compare_with_golden(golden_checkpoint("m1-glm45-bf16").parent / "golden.json", [out])
    template.write_bytes(b"\xff")
    refused(mill("convert", source, "-o", out, "-r", "auto", "--chat-template", template, "--force"), 65, "template.jinja", "UTF-8")
    refused(mill("convert", source, "-o", out, "-r", "auto", "--chat-template", tmp_path / "nowhere", "--force"), 65, "nowhere")


# ---- DeepSeek V4: tables of ids, two sources in one matrix


TABLE, TABLE_OUT = "layers.0.ffn.gate.tid2eid", "blk.0.ffn_gate_tid2eid.weight"


@pytest.fixture
def v4(tmp_path):
    return q.Checkpoint(golden_checkpoint(V4), tmp_path / "model")


def test_table_of_ids_is_exact(v4, tmp_path):
    tensor = convert(v4.folder, tmp_path / "out.gguf", "-r", "auto")[TABLE_OUT]
    assert tensor.tensor_type.name == "I32" and (tensor.data == v4.array(TABLE)).all()
    v4.set(TABLE, v4.array(TABLE).astype(np.int32), "I32")
    again = convert(v4.save(), tmp_path / "again.gguf", "-r", "auto")[TABLE_OUT]
    assert again.data.tobytes() == tensor.data.tobytes()
    mill("verify", tmp_path / "again.gguf", "--source", golden_checkpoint(V4), "--full").ok()


def test_another_table_of_ids_does_not_verify(v4, tmp_path):
    convert(v4.folder, tmp_path / "out.gguf", "-r", "auto")
    table = v4.array(TABLE).copy()
    table[17, 1] = (table[17, 1] + 1) % 4
    v4.set(TABLE, table)
    run = mill("verify", tmp_path / "out.gguf", "--source", v4.save(), "--full")
    assert run.code == 1 and TABLE_OUT in run.stdout


@pytest.mark.parametrize("id", [-1, 4, 2**31, 2**40, -2**40])
def test_id_that_is_no_experts(id, v4, tmp_path):
    table = v4.array(TABLE).copy()
    table[200, 1] = id
    v4.set(TABLE, table)
    error = refused(mill("convert", v4.save(), "-o", tmp_path / "out.gguf", "-r", "auto"), 65, str(id))
    assert TABLE in error or TABLE_OUT in error
    assert not (tmp_path / "out.gguf").exists()


def test_table_of_ids_keeps_its_type(tmp_path):
    source = golden_checkpoint(V4)
    planned = plan(source, "-t", "tid2eid=Q8_0")
    assert next(t["type"] for t in planned["tensors"] if t["name"] == TABLE_OUT) == "I32"
    assert any("tid2eid" in f["message"] and "I32" in f["message"] for f in planned["findings"]), planned["findings"]
    refused(mill("plan", source, "-r", "auto", "-t", "attn=I32"), 64, "I32")


def test_two_sources_side_by_side(v4, tmp_path, figure):
    """eh_proj is e_proj and h_proj row by row: as numpy joins them, from one shard or two, whatever the threads and memory."""
    flags = ["-r", "BF16", "--mtp-only"]
    eh = "blk.3.nextn.eh_proj.weight"
    halves = []
    for name in ("mtp.0.e_proj", "mtp.0.h_proj"):
        scales = np.exp2(v4.array(name + ".scale").astype(np.float32) - 127).repeat(128, 0).repeat(128, 1)
        halves.append(q.E4M3[v4.array(name + ".weight")] * scales)
    want = q.bf16(np.concatenate(halves, 1))
    got = convert(v4.folder, tmp_path / "out.gguf", *flags)
    assert got[eh].data.tobytes() == want.tobytes()
    mill("verify", tmp_path / "out.gguf", "--source", v4.folder, "--full").ok()
    auto = tmp_path / "auto"
    for number, more in enumerate([[], ["-j", "1"], ["-j", "3"], ["--memory", "48MiB"], ["-j", "5", "--memory", "2GiB"]]):
        out = auto / str(number) / "out.gguf"
        out.parent.mkdir(parents=True)
        mill("convert", v4.folder, "-o", out, "-r", "auto", "--mtp-only", *more).ok()
        assert digests(out.parent) == digests(auto / "0")
    shards = sorted({shard for _, _, shard in v4.tensors.values()})
    for number, suffix in enumerate((".weight", ".scale")):  # each half in a shard, the scales of each in the other
        v4.set("mtp.0.e_proj" + suffix, v4.array("mtp.0.e_proj" + suffix))
        for half, name in enumerate(("mtp.0.e_proj", "mtp.0.h_proj")):
            v4.tensors[name + suffix][2] = shards[(half + number) % 2]
    moved = tmp_path / "moved.gguf"
    convert(v4.save(), moved, "-r", "auto", "--mtp-only")
    ours = {t.name: t.data.tobytes() for t in GGUFReader(auto / "0" / "out.gguf").tensors}
    assert {t.name: t.data.tobytes() for t in GGUFReader(moved).tensors} == ours
    mill("verify", moved, "--source", v4.folder, "--full").ok()
    figure(f"eh_proj of {V4}: equal to numpy's, for 5 settings of threads and memory, and from two shards")


WIDE = 1536


def widened(v4, n_embd):
    """The MTP block of a V4 with wide rows, of random codes: enough work for a run to be killed in."""
    rng = np.random.default_rng(4)
    v4.edit_config(hidden_size=n_embd)
    for name in list(v4.tensors):
        dtype, array, shard = v4.tensors[name]
        if re.match(r"(layers\.|hc_head)", name):
            continue
        wide = {"hc_attn_fn": 1, "hc_ffn_fn": 1, "hc_head_fn": 1}.get(name.split(".")[-1])
        shape = list(array.shape)
        if wide:
            shape[1] = 4 * n_embd
        elif re.search(r"(e_proj|h_proj)", name):
            shape = [n_embd // 128] * 2 if name.endswith("scale") else [n_embd] * 2
        elif re.search(r"attn\.(wq_a|wkv)\.|ffn\.(gate\.weight|.*w[13]\.)", name):
            shape[-1] = array.shape[-1] * n_embd // 256
        elif re.search(r"attn\.wo_b\.|ffn\..*w2\.", name):
            shape[0] = array.shape[0] * n_embd // 256
        elif re.fullmatch(r"(embed|norm|head)\.weight|mtp\.0\.(attn_norm|ffn_norm|enorm|hnorm|norm)\.weight", name):
            shape[-1] = n_embd
        if shape != list(array.shape):
            v4.set(name, rng.choice(array.ravel(), size=shape))
    return v4.save()


def test_two_sources_side_by_side_after_kills(v4, tmp_path, figure):
    source = widened(v4, WIDE)
    flags = ["-r", "Q8_0", "--mtp-only", "-t", "eh_proj=IQ3_XXS", "--effort", "max", "-j", "1", "--json"]
    whole, out = tmp_path / "whole" / "out.gguf", tmp_path / "killed" / "out.gguf"
    whole.parent.mkdir()
    out.parent.mkdir()
    seconds = mill("convert", source, "-o", whole, *flags).ok().seconds
    mill("verify", whole, "--source", source, "--full").ok()
    stops = []
    for number, share in ((signal.SIGKILL, 0.4), (signal.SIGTERM, 0.6)):
        run = start("convert", source, "-o", out, *flags).signal_after(share * seconds, number)
        assert run.code in (-number, 0)
        if run.code == 0:
            break
        stops.append(number.name)
        assert not digests(out.parent) and work_folder(out).exists()
    else:
        run = mill("convert", source, "-o", out, *flags).ok()
    assert stops and digests(out.parent) == digests(whole.parent)
    kept = run.event("resume")["bytes_kept"]
    assert kept > 0 or "SIGTERM" not in stops
    figure(f"eh_proj of two sources, {2 * WIDE * WIDE / 1e6:.1f} M weights: {' and '.join(stops)} in a run of {seconds:.1f} s, "
           f"{kept} bytes kept, same files")


# ---- experts in several forms


def test_experts_of_gpt_oss_transposed_or_in_blocks(tmp_path):
    """MXFP4 in rows and BF16 in columns: a BF16 twin of the MXFP4 golden with the same values gives the same values."""
    made, twin = (q.Checkpoint(golden_checkpoint("i-gptoss-mxfp4"), tmp_path / name) for name in ("mxfp4", "bf16"))
    for name in [n for n in made.tensors if n.endswith("_blocks")]:
        base, blocks = name.removesuffix("_blocks"), made.array(name)
        codes = np.stack([blocks & 15, blocks >> 4], -1).reshape(*blocks.shape[:-1], 32)
        values = q.E2M1[codes] * np.exp2(made.array(base + "_scales").astype(np.float32) - 127)[..., None]
        shard = twin.tensors.pop(name)[2]
        del twin.tensors[base + "_scales"]
        twin.set(base, q.bf16(values.reshape(*blocks.shape[:2], -1).swapaxes(1, 2)), "BF16", shard)
    twin.edit_config(quantization_config=None)
    got, want = (convert(c, tmp_path / f"{c.name}.gguf", "-r", "F32") for c in (made.folder, twin.save()))
    assert got.keys() == want.keys()
    for name, tensor in want.items():
        assert got[name].data.tobytes() == tensor.data.tobytes(), name
    mill("verify", tmp_path / "bf16.gguf", "--source", made.folder, "--full").ok()


@pytest.mark.parametrize("blocks", [(1,), (0, 3), (0, 1, 2, 3)], ids=str)
def test_experts_of_qwen35_stacked_or_one_by_one(blocks, tmp_path):
    """In either form, block by block: the same file."""
    made = q.Checkpoint(golden_checkpoint("h4-qwen35moe-bf16"), tmp_path / "Qwen3.5-397B-A17B")
    for block in blocks:
        prefix = f"model.language_model.layers.{block}.mlp.experts."
        for name in ("gate_up_proj", "down_proj"):
            _, stack, shard = made.tensors.pop(prefix + name)
            for expert, matrix in enumerate(stack):
                half = len(matrix) // 2
                parts = {"down_proj": matrix} if name == "down_proj" else {"gate_proj": matrix[:half], "up_proj": matrix[half:]}
                for part, rows in parts.items():
                    made.set(f"{prefix}{expert}.{part}.weight", rows, "BF16", shard)
    out = tmp_path / "out.gguf"
    convert(made.save(), out, "-r", "auto")
    compare_with_golden(golden_checkpoint("h4-qwen35moe-bf16").parent / "golden.json", [out])


def test_experts_of_qwen35_in_both_forms_at_once(tmp_path):
    made = q.Checkpoint(golden_checkpoint("h4-qwen35moe-bf16"), tmp_path / "model")
    prefix = "model.language_model.layers.1.mlp.experts."
    made.set(prefix + "0.down_proj.weight", made.array(prefix + "down_proj")[0], "BF16", made.tensors[prefix + "down_proj"][2])
    refused(mill("plan", made.save(), "-r", "auto"), 65, prefix)


# ---- values


def one_of_each_family():
    chosen = {}
    for checkpoint in golden_checkpoints():
        chosen.setdefault(json.loads((checkpoint / "config.json").read_text())["architectures"][0], checkpoint)
    return list(chosen.values())


@pytest.mark.parametrize("source", one_of_each_family(), ids=lambda source: source.parent.name)
def test_values_of_each_family(source, tmp_path, figure):
    out = tmp_path / "out.gguf"
    for recipe in ("auto", "Q8_0", "Q4_K_M"):
        mill("convert", source, "-o", out, "-r", recipe, "--force", *NEEDED_FLAGS.get(source.parent.name, [])).ok()
        assert output_files(out) == [out]
        report = mill("verify", out, "--source", source, "--full", "--json").ok().json
        assert report["ok"] and all(t["rows_compared"] > 0 for t in report["tensors"])
    figure(f"{source.parent.name}: auto, Q8_0 and Q4_K_M hold the values of {len(report['tensors'])} tensors")
