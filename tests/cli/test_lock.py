"""Two processes on one output, and locks that nobody holds any more."""
import os
import signal
import time

import pytest

from program import MINI, digests, mill, refused, start, work_folder


@pytest.fixture
def held(big_checkpoint, tmp_path):
    """OUT of a run under way, stopped (SIGSTOP), so that it holds its lock for as long as the test likes."""
    out = tmp_path / "big.gguf"
    holder = start("convert", big_checkpoint, "-o", out, "-r", "Q8_0")
    while holder.running() and not (work_folder(out).is_dir() and any(p.stat().st_size > 1_000_000 for p in work_folder(out).rglob("*"))):
        time.sleep(0.002)
    os.kill(holder.process.pid, signal.SIGSTOP)
    yield out, holder
    if holder.process.returncode is None:
        os.kill(holder.process.pid, signal.SIGCONT)
        holder.finish()


def test_second_process_is_told_to_try_again_at_once(big_checkpoint, held, figure):
    out, holder = held
    second = mill("convert", big_checkpoint, "-o", out, "-r", "Q8_0")
    refused(second, 75, str(holder.process.pid))
    figure(f"the second process is gone after {second.seconds:.2f} s")
    for flag in ("--restart", "--force"):
        refused(mill("convert", big_checkpoint, "-o", out, "-r", "Q8_0", flag), 75)
    os.kill(holder.process.pid, signal.SIGCONT)
    assert holder.finish().code == 0
    mill("verify", out).ok()


def test_twenty_racing_starts_have_one_winner(tmp_path):
    out = tmp_path / "mini.gguf"
    runs = [r.finish() for r in [start("convert", MINI, "-o", out, "-r", "Q8_0") for _ in range(20)]]
    codes = sorted(r.code for r in runs)
    assert codes.count(0) == 1 and set(codes) <= {0, 73, 75}, codes  # 73: the winner had finished already
    mill("verify", out).ok()


def test_lock_left_by_sigkill_is_taken_over(big_checkpoint, held, figure):
    out, holder = held
    os.kill(holder.process.pid, signal.SIGKILL)
    os.kill(holder.process.pid, signal.SIGCONT)
    assert holder.finish().code == -signal.SIGKILL
    second = mill("convert", big_checkpoint, "-o", out, "-r", "Q8_0").ok()
    figure(f"taken over at once; done in {second.seconds:.1f} s")


def test_lock_of_another_host(big_checkpoint, held):
    """The lock file is one line, "HOST BOOT_ID PID START_TIME". One of another host cannot be checked, so it stands until --break-lock."""
    out, holder = held
    os.kill(holder.process.pid, signal.SIGKILL)
    os.kill(holder.process.pid, signal.SIGCONT)
    holder.finish()
    locks = [p for p in work_folder(out).rglob("*lock*") if p.is_file()]
    assert len(locks) == 1
    _, _, pid, start_time = locks[0].read_text().split()
    locks[0].write_text(f"elsewhere 00000000-0000-0000-0000-000000000000 {pid} {start_time}\n")
    refused(mill("convert", big_checkpoint, "-o", out, "-r", "Q8_0"), 75, "elsewhere")
    mill("convert", big_checkpoint, "-o", out, "-r", "Q8_0", "--break-lock").ok()
    assert f"{out.name}" in digests(out.parent)
