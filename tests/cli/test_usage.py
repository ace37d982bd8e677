"""Wrong usage, and outputs that may not be written: exit codes, one-line errors, suggestions."""
import subprocess

import pytest

from program import MINI, PROGRAM, digests, mill, refused


def test_no_arguments():
    run = mill()
    assert run.code == 64
    assert "convert" in run.stdout + run.stderr


def test_help_and_version():
    assert "convert" in mill("--help").ok().stdout
    assert mill("--version").ok().stdout.split()[-1][0].isdigit()
    for command in ("convert", "plan", "verify", "inspect"):
        text = mill(command, "--help").ok().stdout
        assert f"ggufmill {command} " in text, "help shows an example"


@pytest.mark.parametrize("args, suggestion", [
    (["convert", "x", "-o", "y.gguf", "--recipee", "Q8_0"], "--recipe"),
    (["convert", "x", "-o", "y.gguf", "--split-max-sise", "1G"], "--split-max-size"),
    (["plan", "x", "--imatrx", "y"], "--imatrix"),
    (["verify", "x", "--sorce", "y"], "--source"),
    (["convrt", "x"], "convert"),
    (["inspct", "x"], "inspect"),
])
def test_unknown_names_suggest_the_nearest(args, suggestion):
    run = mill(*args)
    refused(run, 64)
    assert suggestion in run.stderr


@pytest.mark.parametrize("args", [
    ["convert"],
    ["convert", str(MINI)],
    ["convert", str(MINI), "-o"],
    ["verify"],
    ["convert", str(MINI), "-o", "x.gguf", "-j", "many"],
    ["convert", str(MINI), "-o", "x.gguf", "--memory", "12Q"],
    ["convert", str(MINI), "-o", "x.gguf", "--split-max-size", "-5"],
    ["convert", str(MINI), "-o", "x.gguf", "-t", "no-equals-sign"],
    ["convert", str(MINI), "-o", "x.gguf", "-t", "exps=Q99_X"],
    ["convert", str(MINI), "-o", "x.gguf", "-t", "(=Q8_0"],
    ["convert", str(MINI), "-o", "x.gguf", "--no-mtp", "--mtp-only"],
    ["convert", str(MINI), "-o", "x.gguf", "--keep-everything"],
])
def test_wrong_usage(args, tmp_path):
    refused(mill(*args, cwd=tmp_path), 64)
    assert not list(tmp_path.iterdir())


def test_unknown_recipe_suggests_the_nearest(tmp_path):
    run = mill("convert", MINI, "-o", tmp_path / "x.gguf", "-r", "nemotron3-3bits")
    refused(run, 64)
    assert "nemotron3-3bit" in run.stderr.replace("nemotron3-3bits", "")


def test_existing_output_is_kept(tmp_path):
    out = tmp_path / "out.gguf"
    mill("convert", MINI, "-o", out, "-r", "Q8_0").ok()
    before = digests(tmp_path)
    refused(mill("convert", MINI, "-o", out, "-r", "Q8_0"), 73, f"{tmp_path}/out.")
    refused(mill("convert", MINI, "-o", out, "-r", "F16"), 73, f"{tmp_path}/out.")
    refused(mill("convert", MINI, "-o", out, "-r", "F16", "--split-max-size", "4M"), 73)
    assert digests(tmp_path) == before


def test_force_replaces_the_whole_set(tmp_path):
    """No file of the old set stays beside the new one, whatever their splits."""
    out = tmp_path / "out.gguf"
    mill("convert", MINI, "-o", out, "-r", "Q8_0", "--split-max-size", "4M").ok()
    mill("convert", MINI, "-o", out, "-r", "F16", "--force").ok()
    assert set(digests(tmp_path)) == {"out.gguf", "out.SHA256SUMS", "out.manifest.json"}
    mill("convert", MINI, "-o", out, "-r", "Q8_0", "--split-max-size", "4M", "--force").ok()
    assert "out.gguf" not in digests(tmp_path)
    mill("verify", out).ok()


def test_foreign_files_are_never_touched(tmp_path):
    out = tmp_path / "out.gguf"
    out.write_text("mine")
    refused(mill("convert", MINI, "-o", out, "-r", "Q8_0"), 73)
    assert out.read_text() == "mine"


def test_output_may_not_be_the_source(mini_copy):
    shard = sorted(mini_copy.glob("*.safetensors"))[0]
    before = digests(mini_copy)
    refused(mill("convert", mini_copy, "-o", shard, "-r", "Q8_0", "--force"), 73) if shard.suffix == ".gguf" else None
    link = mini_copy / "out.gguf"
    link.symlink_to(shard.name)
    refused(mill("convert", mini_copy, "-o", link, "-r", "Q8_0"), 73)
    refused(mill("convert", mini_copy, "-o", link, "-r", "Q8_0", "--force"), 73)
    link.unlink()
    assert digests(mini_copy) == before
    hard = mini_copy / "hard.gguf"
    hard.hardlink_to(shard)
    refused(mill("convert", mini_copy, "-o", hard, "-r", "Q8_0", "--force"), 73)
    hard.unlink()
    assert digests(mini_copy) == before


def test_output_beside_the_source_is_fine(mini_copy):
    mill("convert", mini_copy, "-o", mini_copy / "out.gguf", "-r", "Q8_0").ok()
    mill("verify", mini_copy / "out.gguf", "--source", mini_copy).ok()


def test_quiet_says_nothing(tmp_path):
    run = mill("convert", MINI, "-o", tmp_path / "out.gguf", "-r", "Q8_0", "-q").ok()
    assert run.stdout == "" and run.stderr == ""


def test_no_escape_codes_where_there_is_no_terminal(tmp_path):
    run = mill("convert", MINI, "-o", tmp_path / "out.gguf", "-r", "Q8_0").ok()
    assert "\x1b" not in run.stdout + run.stderr and "\r" not in run.stderr


def test_events(tmp_path):
    run = mill("convert", MINI, "-o", tmp_path / "out.gguf", "-r", "Q8_0", "--split-max-size", "8M", "--json").ok()
    kinds = [e["event"] for e in run.events]
    assert kinds[0] == "plan" and kinds[-1] == "done"
    assert all("time" in e for e in run.events)
    assert kinds.count("tensor") == 85 and kinds.count("file") == len(list(tmp_path.glob("*.gguf")))
    done = run.event("done")
    for key in ("seconds", "cpu_seconds", "encode_cpu_seconds", "peak_rss_bytes", "bytes_read", "bytes_written"):
        assert done[key] > 0, key


def test_error_is_an_event_too(tmp_path):
    run = mill("convert", tmp_path, "-o", tmp_path / "out.gguf", "--json")
    refused(run, 65)
    assert run.event("error")


def test_closed_stdout_is_not_a_crash():
    run = subprocess.run(f"{PROGRAM} inspect {MINI} --json | head -c 100 >/dev/null; exit ${{PIPESTATUS[0]}}", shell=True,
                         executable="/bin/bash", capture_output=True, text=True)
    assert run.returncode in (0, 74, 141), run.stderr
