"""Real llama.cpp, prebuilt by the npm package node-llama-cpp, loads what the program writes and generates from it."""
import json

import pytest

from llama_cpp import generate
from program import DATA, MINI, mill, output_files

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


CASES = """a-nano-bf16 b-super-bf16 c-ultra-bf16-mixshards e-deci253b-bf16 e2-deci51b-bf16 f-llama31-405b-bf16 f2-llama2-f16 f3-mixtral-bf16
    f4-mistral-nemo-bf16 f5-llama32-tied-bf16 g-minitron-bf16 k1-nemotronh-bf16 k3-lightning-bf16""".split()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("flags", [["-r", "auto"], ["-r", "auto", "--split-max-tensors", "20"], ["-r", "Q8_0"]], ids=" ".join)
def test_goldens_load_and_generate(case, flags, tmp_path):
    """Random weights: what counts is that llama.cpp takes every tensor, the MTP block of b and c included."""
    source = next((DATA / "goldens" / case).glob("*/config.json")).parent
    out = tmp_path / "out.gguf"
    mill("convert", source, "-o", out, *flags).ok()
    runs = generate(output_files(out)[0], 8, ["a b c"])
    assert len(runs[0]["prompt_tokens"]) > 0 and len(runs[0]["greedy_tokens"]) > 0


def test_mtp_alone_is_smaller_than_all(tmp_path):
    source = next((DATA / "goldens" / "b-super-bf16").glob("*/config.json")).parent
    sizes = []
    for flags in (["--mtp-only"], ["--no-mtp"], []):
        out = tmp_path / f"{len(sizes)}.gguf"
        mill("convert", source, "-o", out, "-r", "auto", *flags).ok()
        sizes.append(out.stat().st_size)
    assert sizes[0] < sizes[2] and sizes[1] < sizes[2]
    generate(tmp_path / "1.gguf", 8, ["a b c"])
