"""The true shapes of the large models that people compare, as sparse files: each is planned, with the number of parameters that was
published. docs/true-shapes.md has all presets beside published sizes; tests/shapes/report.py writes it."""
import re
import subprocess
import sys

import pytest

from program import ROOT, mill

SHAPES = ROOT / "tests" / "shapes"
sys.path.insert(0, str(SHAPES))
import make_shapes  # noqa: E402

PAGE = (ROOT / "docs" / "true-shapes.md").read_text()


def of_page(model, preset):
    """Size in GB that the page gives to a preset of a model."""
    part = PAGE.split(f"\n## {model}\n")[1].split("\n## ")[0]
    return float(re.search(rf"^\| {re.escape(preset)} \| ([\d.,]+) ", part, re.M)[1].replace(",", ""))


@pytest.mark.parametrize("model", make_shapes.MODELS)
def test_plan(model, tmp_path, figure):
    subprocess.run([sys.executable, SHAPES / "make_shapes.py", model, tmp_path], check=True, stdout=subprocess.DEVNULL)
    source = tmp_path / model
    run = mill("plan", source, "-r", "Q4_K_M", "--json").ok()
    plan, totals = run.json, make_shapes.totals(make_shapes.MODELS[model])
    for what, (number, tolerance, _) in make_shapes.MODELS[model].published.items():
        assert abs(totals[what] - number) <= tolerance, what
    assert abs(plan["total_bytes"] / 1e9 - of_page(model, "Q4_K_M")) < 0.006, "docs/true-shapes.md is old"
    assert run.peak_rss < 256 * 2**20
    figure(f"{model}: {plan['parameters'] / 1e9:.1f} B parameters, {plan['source_bytes'] / 1e9:.0f} GB -> Q4_K_M "
           f"{plan['total_bytes'] / 1e9:.1f} GB; {run.seconds:.1f} s, {run.peak_rss / 2**20:.0f} MiB")
