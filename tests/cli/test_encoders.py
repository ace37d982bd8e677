"""Every type that can be written, the efforts of the search, NVFP4's scale tensors, and outliers: as a user meets them."""
import json
import math
import os
import signal
import struct

import numpy as np
import pytest
from gguf import GGUFReader
from gguf.quants import dequantize

import safetensors_edit
from llama_cpp import generate
from program import DATA, IMATRIX, MINI, compare_with_golden, digests, mill, refused, start, work_folder
from source_tensors import SourceTensors

QUANTIZED = ("exps", "shexp", "ssm_in", "ssm_out", "attn_q", "attn_k", "attn_v", "attn_output", "latent", "token_embd", "output.weight")


def convert(out, *flags, source=MINI):
    return mill("convert", source, "-o", out, *flags).ok()


def manifest(out):
    return json.loads(out.with_suffix(".manifest.json").read_text())


def by_name(out):
    return {t["name"]: t for t in manifest(out)["tensors"]}


def check(out):
    mill("verify", out, "--source", MINI, "--full").ok()


# ---- every type


def written_types():
    return [t["name"] for t in mill("types", "--json").ok().json["types"] if t["encode"]]


@pytest.mark.parametrize("weights", [[], ["--imatrix", IMATRIX]], ids=["flat", "imatrix"])
@pytest.mark.parametrize("kind", written_types())
def test_every_type_converts_and_verifies(kind, weights, tmp_path):
    out = tmp_path / "out.gguf"
    convert(out, "-t", f".*={kind}", "--effort", "fast", *weights)
    tensors = by_name(out)
    wanted = {n for n in tensors if any(q in n for q in QUANTIZED) and n.endswith(".weight")}
    assert len(wanted) > 30
    assert {tensors[n]["type"] for n in wanted} == {kind}
    check(out)


@pytest.mark.parametrize("kind", ["IQ1_M", "IQ2_XXS", "Q2_K", "MXFP4", "TQ2_0", "Q5_1"])
def test_llama_cpp_loads_and_generates(kind, tmp_path, figure):
    out = tmp_path / "out.gguf"
    convert(out, "-t", f".*={kind}", "--imatrix", IMATRIX)
    run = generate(out, 8, ["The history of the"])[0]
    assert len(run["greedy_tokens"]) == 8
    figure(f"all weights {kind}: {run['prompt']!r} -> {run['text']!r}")


# ---- NVFP4 and its scale tensors


@pytest.fixture(scope="module")
def nvfp4(tmp_path_factory):
    out = tmp_path_factory.mktemp("nvfp4") / "out.gguf"
    convert(out, "-t", "ffn_.*exps=NVFP4")
    return out


def test_nvfp4_experts_have_a_scale_each(nvfp4):
    tensors = {t.name: t for t in GGUFReader(nvfp4).tensors}
    experts = json.loads((MINI / "config.json").read_text())["n_routed_experts"]
    scaled = [n for n, t in tensors.items() if t.tensor_type.name == "NVFP4"]
    assert scaled and {n for n in tensors if n.endswith(".scale")} == {n.removesuffix("weight") + "scale" for n in scaled}
    for name in scaled:
        scale = tensors[name.removesuffix("weight") + "scale"]
        assert "exps" in name and scale.tensor_type.name == "F32"
        assert list(scale.shape) == [experts] and (scale.data == 2.0**-8).all()


def test_nvfp4_values_times_scale_are_near_the_source(nvfp4, figure):
    source, tensors, worst = SourceTensors(MINI), {t.name: t for t in GGUFReader(nvfp4).tensors}, 0
    for name, tensor in tensors.items():
        if tensor.tensor_type.name != "NVFP4":
            continue
        shape = [int(n) for n in reversed(tensor.shape)]
        scale = tensors[name.removesuffix("weight") + "scale"].data.astype(np.float64)
        got = dequantize(tensor.data, tensor.tensor_type).astype(np.float64).reshape(shape) * scale[:, None, None]
        want = source.expected(name, shape).astype(np.float64)
        error = np.sqrt(((got - want)**2).sum() / (want**2).sum())
        assert error == pytest.approx(by_name(nvfp4)[name]["relative_rmse"], rel=1e-3), "what the manifest says"
        worst = max(worst, error)
    assert 0 < worst < 0.09
    figure(f"NVFP4 experts: worst relative RMSE {worst:.4f}")


def first_tokens_as_reference(model):
    """In how many prompts llama.cpp goes on as from the weights in BF16, and in how many altogether."""
    reference = json.loads((DATA / "mini-eval" / "reference.json").read_text())["runs"]
    runs = generate(model, 1, [r["prompt"] for r in reference])
    return sum(got["greedy_tokens"] == want["greedy_tokens"][:1] for got, want in zip(runs, reference, strict=True)), len(runs)


def test_nvfp4_experts_verify_and_generate(nvfp4, figure):
    check(nvfp4)
    same, of = first_tokens_as_reference(nvfp4)
    assert same >= 3, "llama.cpp applies the scales"
    figure(f"NVFP4 experts: {same} of {of} prompts begin as in BF16")


def test_nvfp4_everywhere_generates(tmp_path, figure):
    """llama.cpp takes a scale for every tensor that has one: output, attention, SSM and shared experts."""
    out = tmp_path / "out.gguf"
    run = mill("convert", MINI, "-o", out, "-t", ".*=NVFP4", "--imatrix", IMATRIX).ok()
    names = {t.name for t in GGUFReader(out).tensors}
    assert {"output.scale", "blk.3.attn_q.scale", "blk.0.ssm_in.scale", "blk.1.ffn_up_shexp.scale"} <= names
    assert "token_embd.scale" not in names and "token_embd.weight" in run.stderr + run.stdout
    check(out)
    same, of = first_tokens_as_reference(out)
    assert same >= 3
    figure(f"NVFP4 everywhere: {same} of {of} prompts begin as in BF16")


# ---- efforts


def test_more_effort_less_error(tmp_path, figure):
    errors = {}
    for effort in ("fast", "default", "max"):
        out = tmp_path / f"{effort}.gguf"
        convert(out, "-t", ".*=IQ3_S", *([] if effort == "default" else ["--effort", effort]))
        tensors = [t for t in by_name(out).values() if t["type"] == "IQ3_S"]
        assert {(t["effort"], t["objective"]) for t in tensors} == {(effort, "magnitude")}, "IQ3_S's own objective"
        errors[effort] = {t["name"]: t["relative_rmse"] for t in tensors}
    for name in errors["fast"]:
        assert errors["fast"][name] >= errors["default"][name] >= errors["max"][name] > 0, name
    figure("IQ3_S, mean relative RMSE: " + ", ".join(f"{k} {np.mean(list(v.values())):.4f}" for k, v in errors.items()))


def test_manifest_names_effort_and_objective(tmp_path):
    out = tmp_path / "out.gguf"
    convert(out, "-t", "exps=IQ3_S", "--effort", "max", "--objective", "importance", "--imatrix", IMATRIX)
    tensors = by_name(out)
    assert {t["type"] for t in tensors.values()} == {"F32", "IQ3_S", "Q8_0"}
    for name, t in tensors.items():
        assert (t["effort"], t["objective"]) == (("", "") if t["type"] == "F32" else ("max", "importance")), name


def test_preset_rounds_as_the_converter_unless_told(tmp_path, figure):
    """-r Q8_0 copies llama.cpp's converter, bytes included; with an effort it searches."""
    golden = next((DATA / "goldens").glob("*/golden.q8_0.json"))
    source = next(golden.parent.glob("*/config.json")).parent
    plain, searched = tmp_path / "plain.gguf", tmp_path / "searched.gguf"
    convert(plain, "-r", "Q8_0", source=source)
    compare_with_golden(golden, [plain])
    convert(searched, "-r", "Q8_0", "--effort", "default", source=source)
    before, after = by_name(plain), by_name(searched)
    kind = {name for name, t in before.items() if t["type"] == "Q8_0"}
    assert kind and {before[n]["effort"] for n in kind} == {"fast"} and {after[n]["effort"] for n in kind} == {"default"}
    for name in kind:
        assert after[name]["relative_rmse"] < before[name]["relative_rmse"], name
    ratio = np.mean([after[n]["relative_rmse"] / before[n]["relative_rmse"] for n in kind])
    figure(f"Q8_0 with --effort default: {ratio:.3f} of the converter's error")


def test_resume_with_another_effort_is_refused(tmp_path):
    out, fresh = tmp_path / "out" / "x.gguf", tmp_path / "fresh" / "x.gguf"
    out.parent.mkdir()
    fresh.parent.mkdir()
    flags = ["-t", ".*=IQ3_S", "--effort", "max", "-j", "1"]
    running = start("convert", MINI, "-o", out, *flags)
    while running.running() and not work_folder(out).exists():
        pass
    os.kill(running.process.pid, signal.SIGTERM)
    assert running.finish(60).code == -signal.SIGTERM, "the run was over before it could be interrupted"
    for other in (["--effort", "fast"], [], ["--effort", "max", "--objective", "importance"]):
        refused(mill("convert", MINI, "-o", out, "-t", ".*=IQ3_S", *other), 73, "an interrupted run of another plan is here",
                "effort and objective differ")
    convert(out, *flags)
    convert(fresh, *flags)
    assert digests(out.parent) == digests(fresh.parent)


# ---- outliers


@pytest.fixture
def with_outliers(mini_copy):
    """Values of 30, thousands of times what is usual there, alone in some rows of one expert. Returns folder and GGUF name."""
    name = "backbone.layers.1.mixer.experts.0.up_proj.weight"
    header, _ = safetensors_edit.parts(safetensors_edit.shard_of(mini_copy, name))
    entry = json.loads(header)[name]
    assert entry["dtype"] == "BF16"
    rows, columns = entry["shape"]
    for row in (3, 17, rows - 1):
        safetensors_edit.overwrite(mini_copy, name, row * columns + (37 * row) % columns, struct.pack("<f", 30.0)[2:])
    return mini_copy, "blk.1.ffn_up_exps.weight"


def test_outliers_are_told(with_outliers, tmp_path):
    source, name = with_outliers
    out = tmp_path / "out.gguf"
    run = convert(out, "-t", ".*=IQ3_S", source=source)
    warnings = [line for line in run.stderr.splitlines() if "blocks lost more than usual" in line]
    assert len(warnings) == 1 and name in warnings[0] and "outliers?" in warnings[0]
    tensors = by_name(out)
    assert tensors[name]["coarse_blocks"] == 3
    worst = tensors[name]["worst_block"]
    assert worst["relative_error"] > 0.2 and worst["row"] in (3, 17, tensors[name]["shape"][1] - 1)
    assert worst["column"] <= (37 * worst["row"]) % tensors[name]["shape"][0] < worst["column"] + 256
    assert math.isfinite(tensors[name]["relative_rmse"])
    assert all(t["coarse_blocks"] == 0 for n, t in tensors.items() if n != name)


def test_outliers_are_an_event(with_outliers, tmp_path):
    source, name = with_outliers
    events = [e for e in convert(tmp_path / "out.gguf", "-t", ".*=IQ3_S", "--json", source=source).events if e["event"] == "coarse"]
    assert len(events) == 1
    tensor = by_name(tmp_path / "out.gguf")[name]
    for key in ("name", "type", "coarse_blocks", "worst_block"):
        assert events[0][key] == tensor[key], key


def test_outliers_that_the_type_holds_are_no_news(with_outliers, tmp_path):
    source, _ = with_outliers
    out = tmp_path / "out.gguf"
    run = convert(out, "-t", ".*=Q8_0", source=source)
    assert "lost more" not in run.stderr
    assert all(t["coarse_blocks"] == 0 for t in by_name(out).values())
