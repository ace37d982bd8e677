"""Interrupted runs: what a signal leaves and says, and what a later run accepts, refuses or does again."""
import os
import shutil
import signal

import pytest

from program import digests, mill, refused, start, work_folder

SPLIT = ["--split-max-size", "70M"]
FLAGS = ["-r", "Q8_0", *SPLIT, "--json"]


@pytest.fixture(scope="module")
def whole(big_checkpoint, tmp_path_factory):
    """An uninterrupted run: its digests and its seconds."""
    folder = tmp_path_factory.mktemp("whole")
    run = mill("convert", big_checkpoint, "-o", folder / "big.gguf", *FLAGS).ok()
    return digests(folder), run.seconds


def interrupt(source, out, seconds, number=signal.SIGKILL, flags=FLAGS):
    """Stops a conversion behind its middle, where some work is in the journal; earlier where the machine has become faster than it was
    when a whole run took `seconds`."""
    for share in (0.7, 0.6, 0.5, 0.4, 0.25, 0.1):
        run = start("convert", source, "-o", out, *flags).signal_after(share * seconds, number)
        if run.code == -number:
            return run
        shutil.rmtree(out.parent)
        out.parent.mkdir()
    raise AssertionError(f"could not interrupt a run: exit {run.code}\n{run.stderr[-2000:]}")


@pytest.fixture
def interrupted(big_checkpoint, whole, tmp_path):
    """OUT of a run that was killed behind its middle."""
    out = tmp_path / "out" / "big.gguf"
    out.parent.mkdir()
    interrupt(big_checkpoint, out, whole[1])
    assert work_folder(out).is_dir() and not digests(out.parent)
    return out


def finish(source, out, whole, *flags):
    run = mill("convert", source, "-o", out, *FLAGS, *flags).ok()
    assert digests(out.parent) == whole[0]
    assert not work_folder(out).exists()
    return run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_by_the_signal_and_says_how_to_resume(number, big_checkpoint, whole, tmp_path, figure):
    out = tmp_path / "out" / "big.gguf"
    out.parent.mkdir()
    run = interrupt(big_checkpoint, out, whole[1], number)
    assert "convert" in run.stderr and str(out) in run.stderr, f"the command that resumes is missing:\n{run.stderr}"
    assert not digests(out.parent)
    resumed = finish(big_checkpoint, out, whole)
    event = resumed.event("resume")
    assert event and event["bytes_kept"] > 0, "the journal was flushed, so work is kept"
    figure(f"{number.name} after {run.seconds:.1f} s: {event['bytes_kept'] / 1e6:.0f} MB kept")


def test_second_interrupt_stops_at_once(big_checkpoint, whole, tmp_path):
    out = tmp_path / "big.gguf"
    running = start("convert", big_checkpoint, "-o", out, *FLAGS)
    while running.running() and not work_folder(out).exists():
        pass
    os.kill(running.process.pid, signal.SIGINT)
    os.kill(running.process.pid, signal.SIGINT)
    run = running.finish(20)
    assert run.code == -signal.SIGINT
    finish(big_checkpoint, out, whole)


@pytest.mark.parametrize("flags", [["-j", "1"], ["-j", "3"], ["--memory", "64MiB"], ["--memory", "1GiB", "-j", "2"]])
def test_resume_with_other_threads_and_memory(flags, big_checkpoint, whole, interrupted):
    assert finish(big_checkpoint, interrupted, whole, *flags).event("resume") is not None


@pytest.mark.parametrize("flags", [["-r", "F16", *SPLIT], ["-r", "Q8_0", "-t", "token_embd=F16", *SPLIT], ["-r", "Q8_0", "--no-mtp", *SPLIT],
                                   ["-r", "Q8_0", "--split-max-size", "50M"]])
def test_another_plan_is_refused_and_the_work_stays(flags, big_checkpoint, whole, interrupted):
    other = mill("convert", big_checkpoint, "-o", interrupted, *flags)
    assert "--restart" in other.stderr
    refused(other, 73)
    assert finish(big_checkpoint, interrupted, whole).event("resume") is not None


def test_restart_discards_the_work(big_checkpoint, whole, interrupted):
    other = mill("convert", big_checkpoint, "-o", interrupted, "-r", "F16", "--restart", "--json").ok()
    assert other.event("resume") is None
    fresh = interrupted.parent.parent / "fresh"
    fresh.mkdir()
    mill("convert", big_checkpoint, "-o", fresh / "big.gguf", "-r", "F16").ok()
    assert digests(interrupted.parent) == digests(fresh)


def copy_of(checkpoint, folder):
    return shutil.copytree(checkpoint, folder / checkpoint.name)


def test_source_that_changed_between_runs(big_checkpoint, whole, tmp_path):
    """A shard that was replaced while the run was down, same size: what came from it is done again from the new bytes."""
    source = copy_of(big_checkpoint, tmp_path)
    out, fresh = tmp_path / "out" / "big.gguf", tmp_path / "fresh" / "big.gguf"
    out.parent.mkdir()
    fresh.parent.mkdir()
    interrupt(source, out, whole[1])
    shard = source / "model-00001-of-00006.safetensors"
    raw = bytearray(shard.read_bytes())
    raw[-2_000_000:] = raw[-4_000_000:-2_000_000]
    shard.write_bytes(raw)
    mill("convert", source, "-o", out, *FLAGS).ok()
    mill("convert", source, "-o", fresh, *FLAGS).ok()
    assert digests(out.parent) == digests(fresh.parent) != whole[0]


def test_source_that_was_copied_back_between_runs(big_checkpoint, whole, tmp_path):
    """Same bytes, another inode and time: the result is the same."""
    source = copy_of(big_checkpoint, tmp_path)
    out = tmp_path / "out" / "big.gguf"
    out.parent.mkdir()
    interrupt(source, out, whole[1])
    shard = source / "model-00002-of-00006.safetensors"
    raw = shard.read_bytes()
    shard.unlink()
    shard.write_bytes(raw)
    finish(source, out, whole)


def damage(out):
    """Flips a bit every 3 MB in all large files of the work folder."""
    partial = sorted((p for p in work_folder(out).rglob("*") if p.is_file() and p.stat().st_size > 10_000_000))
    assert partial
    for path in partial:
        with open(path, "r+b") as f:
            for offset in range(100_000, path.stat().st_size, 3_000_000):
                f.seek(offset)
                byte = f.read(1)[0]
                f.seek(offset)
                f.write(bytes([byte ^ 4]))


def test_damage_to_a_file_in_flight_is_mended(big_checkpoint, whole, tmp_path):
    """Bytes of a partial file that rot while the run is down are written again, not kept."""
    out, fresh = tmp_path / "out" / "big.gguf", tmp_path / "fresh" / "big.gguf"
    out.parent.mkdir()
    fresh.parent.mkdir()
    flags = ["-r", "Q8_0", "--no-split", "--json"]
    interrupt(big_checkpoint, out, whole[1], flags=flags)
    damage(out)
    mill("convert", big_checkpoint, "-o", out, *flags).ok()
    mill("convert", big_checkpoint, "-o", fresh, *flags).ok()
    assert digests(out.parent) == digests(fresh.parent)


def test_damage_to_a_finished_shard_is_mended_or_found(big_checkpoint, whole, interrupted):
    """A shard that was complete and hashed is not read again by the resume; what rots in it later does not pass verify."""
    damage(interrupted)
    mill("convert", big_checkpoint, "-o", interrupted, *FLAGS).ok()
    got = digests(interrupted.parent)
    wrong = [name for name in got if got[name] != whole[0][name]]
    check = mill("verify", interrupted)
    assert check.code == (1 if wrong else 0), check.stdout
    for name in wrong:
        assert name in check.stdout


def test_journal_cut_at_any_length(big_checkpoint, whole, interrupted):
    """A journal whose last record is torn: what stands before it counts."""
    journal = [p for p in work_folder(interrupted).rglob("*journal*") if p.is_file()]
    assert len(journal) == 1
    with open(journal[0], "r+b") as f:
        f.truncate(max(1, journal[0].stat().st_size - 7))
    finish(big_checkpoint, interrupted, whole)
