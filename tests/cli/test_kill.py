"""SIGKILL at 50 random moments of a conversion of at least 328 MB. After every kill nothing incomplete carries a final name, the
same command goes on, and the files are byte for byte those of an uninterrupted run. At least half of the resumes keep work."""
import math
import random
import shutil
import signal
import time

from program import digests, make_big_checkpoint, mill, start, work_folder

SEED = 20260721
KILLS = 50
# Work is committed once a second, so a run must take a few for half of the kills to find some: on a fast machine a larger source.
SECONDS = 3.6
FLAGS = ["-r", "Q8_0", "--split-max-size", "70M", "--json"]


def long_enough(tmp_path):
    """A source whose conversion takes long enough, and that conversion: its digests and seconds."""
    experts = 32
    while True:
        source = make_big_checkpoint(tmp_path / "source", experts)
        reference = tmp_path / "reference"
        reference.mkdir()
        whole = mill("convert", source, "-o", reference / "big.gguf", *FLAGS).ok()
        if whole.seconds >= SECONDS or experts >= 512:
            return source, digests(reference), whole.seconds
        shutil.rmtree(source)
        shutil.rmtree(reference)
        experts = min(512, math.ceil(1.05 * experts * SECONDS / whole.seconds))


def moments(rng, seconds):
    """50 random moments, one in each fiftieth of a run's duration, in random order."""
    strata = list(range(KILLS))
    rng.shuffle(strata)
    return [(stratum + rng.random()) / KILLS * seconds for stratum in strata]


def bytes_kept(run):
    """What a run says it kept of earlier ones; None where it was killed before it could say."""
    event = run.event("resume")
    return event["bytes_kept"] if event else 0 if run.code == 0 else None


def test_kill_at_50_random_moments(tmp_path, figure):
    source, want, seconds = long_enough(tmp_path)
    source_bytes = sum(p.stat().st_size for p in source.glob("*.safetensors"))
    rng, begin = random.Random(SEED), time.monotonic()
    kills = completed = in_rename = 0
    kept = []
    pending = []
    folder = tmp_path / "killed"
    out = folder / "big.gguf"
    while kills < KILLS:
        folder.mkdir()
        hits = 0
        while True:  # the resumes are killed too, until one of them ends before its moment
            pending = pending or moments(rng, seconds)
            run = start("convert", source, "-o", out, *FLAGS).signal_after(pending.pop(), signal.SIGKILL)
            if hits and run.code != 73:
                kept.append(bytes_kept(run))
            if run.code != -signal.SIGKILL:
                break
            hits += 1
            final = digests(folder)
            for name, digest in final.items():
                assert digest == want[name], f"seed {SEED}, kill {kills + hits}: {name} has its final name and is not complete"
            in_rename += bool(final)
        which = f"seed {SEED}, kill {kills + hits}"
        if not (hits and run.code == 73):  # 73: killed behind the last rename, so nothing was left to do
            assert run.code == 0, f"{which}: exit {run.code}\n{run.stderr[-2000:]}"
        assert digests(folder) == want, f"{which}: the files differ from an uninterrupted run's"
        assert not work_folder(out).exists()
        shutil.rmtree(folder)
        kills += hits
        completed += hits > 0
    kept = [k for k in kept if k is not None]
    worked = sum(k > 0 for k in kept)
    figure(f"seed {SEED}: {kills} kills ({in_rename} among the renames) of a run of {seconds:.1f} s on {source_bytes / 1e6:.0f} MB; {worked} of "
           f"{len(kept)} resumes kept work, {sum(kept) / len(kept) / 1e6:.0f} MB on average; {completed} sets of files identical to an "
           f"uninterrupted run's; {time.monotonic() - begin:.0f} s")
    assert worked * 2 >= len(kept)
