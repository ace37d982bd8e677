"""Fixtures of the command-line tests, and how a run is reported: measured figures go to GGUFMILL_FIGURES (printed before ctest's
summary), a file of which tests were skipped but none failed exits with 77, which ctest shows as skipped."""
import os
import shutil
from pathlib import Path

import pytest

import program


def _write_figure(node, text):
    print(text)
    if folder := os.environ.get("GGUFMILL_FIGURES"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        name = node.path.stem.removeprefix("test_")
        with open(Path(folder) / name, "a") as f:
            f.write(f"  {name}: {text}\n")


@pytest.fixture
def figure(request):
    """Reports a measured figure."""
    return lambda text: _write_figure(request.node, text)


skipped = []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        skipped.append(item.nodeid)
        _write_figure(item, f"{item.name}: {reason}")


def pytest_sessionfinish(session, exitstatus):
    if exitstatus == 0:  # checkpoints of hundreds of MB that no failure needs to be seen in
        shutil.rmtree(session.config.option.basetemp, ignore_errors=True)
    if exitstatus == 0 and skipped:
        session.exitstatus = 77


@pytest.fixture(scope="session")
def big_checkpoint(tmp_path_factory):
    """328 MB of random BF16 in six shards."""
    return program.make_big_checkpoint(tmp_path_factory.mktemp("source") / "big")


@pytest.fixture(scope="session")
def mini_set(tmp_path_factory):
    """The trained miniature as 3-bit GGUF shards with an importance matrix. Returns OUT; tests must leave it as it is."""
    out = tmp_path_factory.mktemp("set") / "mini.gguf"
    program.mill("convert", program.MINI, "-o", out, "-r", "nemotron3-3bit", "--imatrix", program.IMATRIX, "--split-max-size",
                 "4M").ok()
    return out


@pytest.fixture
def mini_copy(tmp_path):
    """The trained miniature in a folder that a test may damage."""
    return Path(shutil.copytree(program.MINI, tmp_path / "mini-nemotron3"))
