"""SIGKILL at 50 random moments of a conversion of 328 MB. After every kill nothing incomplete carries a final name, the same
command goes on, and the files are byte for byte those of an uninterrupted run. At least half of the resumes keep work."""
import random
import signal
import time

from program import digests, mill, start, work_folder

SEED = 20260721
KILLS = 50
FLAGS = ["-r", "Q8_0", "--split-max-size", "70M", "--json"]


def test_kill_at_50_random_moments(big_checkpoint, tmp_path, figure):
    reference = tmp_path / "reference"
    reference.mkdir()
    whole = mill("convert", big_checkpoint, "-o", reference / "big.gguf", *FLAGS).ok()
    want = digests(reference)

    moments = random.Random(SEED)
    kills = kept_work = in_rename = double = 0
    kept_bytes, begin = [], time.monotonic()
    trial = 0
    while kills < KILLS:
        trial += 1
        assert trial < 4 * KILLS, "most runs ended before their kill"
        folder = tmp_path / "killed"
        folder.mkdir()
        out = folder / "big.gguf"
        killed_before = kills
        # One in five is killed twice: the resume as well.
        for _ in range(2 if moments.random() < 0.2 else 1):
            run = start("convert", big_checkpoint, "-o", out, *FLAGS).signal_after(moments.uniform(0, whole.seconds), signal.SIGKILL)
            if run.code == 0:
                break
            assert run.code == -signal.SIGKILL, run.stderr[-2000:]
            kills += 1
            final = digests(folder)
            for name, digest in final.items():
                assert digest == want[name], f"seed {SEED}, kill {kills}: {name} has its final name and is not complete"
            in_rename += bool(final)
        if kills == killed_before:
            remove(folder)
            continue
        double += kills - killed_before == 2
        run = mill("convert", big_checkpoint, "-o", out, *FLAGS)
        if run.code == 73 and digests(folder) == want:  # killed behind the last rename: nothing was left to do
            remove(folder)
            continue
        run.ok()
        assert digests(folder) == want, f"seed {SEED}, kill {kills}: the resumed files differ"
        assert not work_folder(out).exists()
        kept = (run.event("resume") or {}).get("bytes_kept", 0)
        kept_bytes.append(kept)
        kept_work += kept > 0
        remove(folder)
    figure(f"seed {SEED}: {kills} kills ({double} twice in a row, {in_rename} among the renames) of a run of {whole.seconds:.1f} s; "
           f"{kept_work} of {len(kept_bytes)} resumes kept work, on average {sum(kept_bytes) / len(kept_bytes) / 1e6:.0f} MB; "
           f"all files identical; {time.monotonic() - begin:.0f} s")
    assert kept_work * 2 >= len(kept_bytes)


def remove(folder):
    import shutil
    shutil.rmtree(folder)
