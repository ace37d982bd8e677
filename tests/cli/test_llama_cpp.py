"""Real llama.cpp, prebuilt by the npm package node-llama-cpp, loads what the program writes and generates from it."""
import json
import shutil

import pytest

from llama_cpp import generate, generate_each
from program import DATA, MINI, NEEDED_FLAGS, golden_checkpoint, golden_checkpoints, mill, output_files

REFERENCE = json.loads((DATA / "mini-eval" / "reference.json").read_text())["runs"]
PROMPTS = [run["prompt"] for run in REFERENCE]


@pytest.fixture(scope="module", params=[[], ["--split-max-size", "6M"]], ids=["single", "split"])
def same_weights(request, tmp_path_factory):
    """The first file of the miniature in BF16."""
    out = tmp_path_factory.mktemp("auto") / "mini.gguf"
    mill("convert", MINI, "-o", out, "-r", "auto", *request.param).ok()
    assert (len(output_files(out)) > 1) == bool(request.param)
    return output_files(out)[0]


def test_greedy_tokens_equal_the_reference(same_weights, figure):
    runs = generate(same_weights, len(REFERENCE[0]["greedy_tokens"]), PROMPTS)
    for got, want in zip(runs, REFERENCE, strict=True):
        assert got["prompt_tokens"] == want["prompt_tokens"]
        assert got["greedy_tokens"] == want["greedy_tokens"], f"{got['text']!r} != {want['text']!r}"
    figure(f"{same_weights.name}: greedy tokens of {len(runs)} prompts equal the reference's")


def test_three_bit_set_generates(mini_set, figure):
    runs = generate(output_files(mini_set)[0], len(REFERENCE[0]["greedy_tokens"]), PROMPTS)
    for got, want in zip(runs, REFERENCE, strict=True):
        assert got["prompt_tokens"] == want["prompt_tokens"]
        assert len(got["greedy_tokens"]) == len(want["greedy_tokens"])
        same = next((i for i, (a, b) in enumerate(zip(got["greedy_tokens"], want["greedy_tokens"])) if a != b), len(want["greedy_tokens"]))
        figure(f"3 bits, {got['prompt']!r}: {got['text']!r} (first {same} of {len(want['greedy_tokens'])} tokens as in BF16)")
        figure(f"  tokens {got['greedy_tokens']}")


# llama.cpp takes a deepseek2 without q_lora_rank only with 26 or 27 blocks.
DO_NOT_LOAD = {"h9-dsv2lite-bf16": "llama.cpp wants q_lora_rank of a deepseek2 that has not V2 Lite's number of blocks, and the golden has 3"}
# One of each family: quantized, and in several files. The last two requantize experts that are published in MXFP4.
VARIANTS = {
    **{f"{case} -r Q8_0, split": (case, ["-r", "Q8_0", "--split-max-tensors", "20"]) for case in """a-nano-bf16 b-super-bf16 c-ultra-bf16-mixshards
       e-deci253b-bf16 f-llama31-405b-bf16 f3-mixtral-bf16 f4-mistral-nemo-bf16 g-minitron-bf16 h1-dsv32-bf16 h3-dsv4-mxfp4 h4-qwen35moe-bf16
       h5-glm52-bf16 h7-dsv3-bf16 i2-gptoss-bf16 j1-qwen25-bf16 j3-qwen3-bf16 j4-qwen3moe-bf16 j5-qwen35-bf16 j6-qwen3next-bf16 m1-glm45-bf16
       m4-glm47flash-bf16 o1-kimik2-fp8""".split()},
    **{f"{case} --no-mtp": (case, ["-r", "auto", "--no-mtp"]) for case in
       "b-super-bf16 h1-dsv32-bf16 h4-qwen35moe-bf16 h5-glm52-bf16 j5-qwen35-bf16 j6-qwen3next-bf16 m1-glm45-bf16 m4-glm47flash-bf16".split()},
    "i-gptoss-mxfp4 -r Q4_0": ("i-gptoss-mxfp4", ["-r", "Q4_0"]),
    "h3-dsv4-mxfp4 -r Q4_K_M": ("h3-dsv4-mxfp4", ["-r", "Q4_K_M"]),
}
MODELS = {case: (case, ["-r", "auto"]) for case in (path.parent.name for path in golden_checkpoints()) } | VARIANTS


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """What llama.cpp makes of each of MODELS."""
    folder = tmp_path_factory.mktemp("models")
    firsts = []
    for number, (case, flags) in enumerate(MODELS.values()):
        out = folder / str(number) / "out.gguf"
        out.parent.mkdir()
        mill("convert", golden_checkpoint(case), "-o", out, *flags, *NEEDED_FLAGS.get(case, [])).ok()
        firsts.append(output_files(out)[0])
    results = dict(zip(MODELS, generate_each(firsts), strict=True))
    shutil.rmtree(folder)
    return results


@pytest.mark.parametrize("name", [name for name in MODELS if name not in DO_NOT_LOAD])
def test_goldens_load_and_generate(name, loaded):
    """Random weights: what counts is that llama.cpp takes every tensor, MTP blocks included. A file of --mtp-only is a draft, which
    llama.cpp up to v0.5.0 does not survive opening as a model."""
    assert "error" not in loaded[name], loaded[name]
    assert len(loaded[name]["prompt_tokens"]) > 0 and len(loaded[name]["greedy_tokens"]) > 0


@pytest.mark.parametrize("name, reason", DO_NOT_LOAD.items(), ids=DO_NOT_LOAD)
def test_goldens_that_do_not_load(name, reason, loaded, figure):
    """Where llama.cpp has learned to, the list above is too long."""
    assert "Failed to load model" in loaded[name]["error"]
    figure(f"{name} does not load: {reason}")


def test_number_of_models(loaded, figure):
    figure(f"{len(loaded) - len(DO_NOT_LOAD)} files of {len(MODELS) - len(VARIANTS) - len(DO_NOT_LOAD)} goldens load and generate in llama.cpp")


def test_mtp_alone_is_smaller_than_all(tmp_path):
    source = next((DATA / "goldens" / "b-super-bf16").glob("*/config.json")).parent
    sizes = []
    for flags in (["--mtp-only"], ["--no-mtp"], []):
        out = tmp_path / f"{len(sizes)}.gguf"
        mill("convert", source, "-o", out, "-r", "auto", *flags).ok()
        sizes.append(out.stat().st_size)
    assert sizes[0] < sizes[2] and sizes[1] < sizes[2]
    generate(tmp_path / "1.gguf", 8, ["a b c"])
