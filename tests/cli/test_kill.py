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


def test_kill_at_50_random_moments(tmp_path, figure):
    source, want, seconds = long_enough(tmp_path)
    source_bytes = sum(p.stat().st_size for p in source.glob("*.safetensors"))
    rng, begin = random.Random(SEED), time.monotonic()
    kills = doubles = in_rename = 0
    kept = []
    pending = moments(rng, seconds)
    folder = tmp_path / "killed"
    out = folder / "big.gguf"
    while kills < KILLS:
        folder.mkdir()
        # One in five is killed twice: the resume as well.
        hits = 0
        for _ in range(2 if rng.random() < 0.2 and KILLS - kills > 1 else 1):
            pending = pending or moments(rng, seconds)  # where runs ended before their kill
            run = start("convert", source, "-o", out, *FLAGS).signal_after(pending.pop(), signal.SIGKILL)
            if run.code == 0:
                break
            assert run.code == -signal.SIGKILL, run.stderr[-2000:]
            hits += 1
            final = digests(folder)
            for name, digest in final.items():
                assert digest == want[name], f"seed {SEED}, kill {kills + hits}: {name} has its final name and is not complete"
            in_rename += bool(final)
        if hits:
            kills += hits
            doubles += hits == 2
            kept.append(resume(source, out, want, f"seed {SEED}, kill {kills}"))
        shutil.rmtree(folder)
    worked = sum(k > 0 for k in kept)
    figure(f"seed {SEED}: {kills} kills ({doubles} times two in a row, {in_rename} among the renames) of a run of {seconds:.1f} s on "
           f"{source_bytes / 1e6:.0f} MB; {worked} of {len(kept)} resumes kept work, {sum(kept) / len(kept) / 1e6:.0f} MB on average; all files "
           f"identical; {time.monotonic() - begin:.0f} s")
    assert worked * 2 >= len(kept)


def resume(source, out, want, which):
    """The same command again, to the end. Returns the bytes kept."""
    run = mill("convert", source, "-o", out, *FLAGS)
    if run.code == 73 and digests(out.parent) == want:  # killed behind the last rename: nothing was left to do
        return sum(p.stat().st_size for p in out.parent.glob("*.gguf"))
    run.ok()
    assert digests(out.parent) == want, f"{which}: the resumed files differ"
    assert not work_folder(out).exists()
    return (run.event("resume") or {}).get("bytes_kept", 0)
