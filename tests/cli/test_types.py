"""`types --measure` beside ggml's own encoders, and the page that is generated from it."""
import os
import pathlib

import pytest
from program import MINI, mill

ROOT = pathlib.Path(__file__).parents[2]
NODE = pathlib.Path(os.environ.get("GGUFMILL_TEST_NODE", ROOT / "build/node"))
PEER = NODE / "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64/libggml-base.so"


def measure(*flags):
    return mill("types", "--measure", "--rounds", 0, "--json", *flags).ok().json["measured"]


@pytest.fixture(scope="module")
def each_tensor():
    return measure("--peer", PEER, "--source", MINI, "--each", "--rows", 12)


def test_no_tensor_of_the_miniature_is_worse_than_ggmls(each_tensor, figure):
    """Flat against ggml without importance, weighted against ggml with it; 0: ggml cannot, or nothing is lost."""
    assert len({m["data"] for m in each_tensor}) > 60
    worst = {}
    for m in each_tensor:
        for way in ("flat", "importance"):
            ratio = m[way]["error_ratio"]
            # The containers' rounding is ggml's; one sign and a scale (Q1_0) have a closed optimum, which ggml has too.
            assert ratio <= 1 + 1e-6, (m["type"], m["data"], way, ratio)
            worst[m["type"]] = max(worst.get(m["type"], 0), ratio)
    figure("error against ggml's on the worst matrix of the miniature: " +
            ", ".join(f"{t} {r:.3f}" for t, r in worst.items() if r > 0))


def test_errors_on_the_page_are_those_of_this_program():
    """docs/quant-types.md: regenerate it with `make -f Makefile.helpers quant-types` where this fails."""
    page = (ROOT / "docs/quant-types.md").read_text()
    section, written = "", {}
    for line in page.splitlines():
        section = line[4:] if line.startswith("### ") else section
        cells = [c.strip() for c in line.strip("|").split("|")]
        if section and len(cells) == 11 and cells[0].isupper() and cells[0] != "TYPE":
            written[cells[0], section] = cells
    fresh = measure("--data", "gaussian,heavy,nvfp4", "--source", MINI)
    assert {(m["type"], m["data"]) for m in fresh} == set(written)
    for m in fresh:
        cells = written[m["type"], m["data"]]
        for way, cell in (("flat", 1), ("importance", 5)):
            error = m[way]["error"]
            shown = 0 if cells[cell] == "-" else float(cells[cell])
            assert error == pytest.approx(shown, rel=0.02, abs=1e-4), (m["type"], m["data"], way)


def test_typical_errors_in_the_table_are_measured():
    facts = {}
    for line in (ROOT / "docs/quant-types.md").read_text().split("## Measured")[0].splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if len(cells) == 7 and cells[1][:1].isdigit():
            facts[cells[0]] = cells[6]
    for m in measure("--data", "heavy", "--rows", 64):
        if facts[m["type"]] != "-":
            assert float(facts[m["type"]]) == pytest.approx(m["flat"]["error"], rel=0.05), m["type"]


def test_wrong_names_say_the_nearest():
    for flags, near in ((("--types", "IQ3_T"), "IQ3_S"), (("--data", "heavi"), "heavy")):
        run = mill("types", "--measure", "--rounds", 0, *flags)
        assert run.code == 64 and f"did you mean {near}?" in run.stderr
    assert mill("types", "--peer", "x").code == 64
    assert mill("types", "--measure", "--peer", MINI / "config.json").code == 65
