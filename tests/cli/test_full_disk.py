"""A disk that is too small, that fills up on the way, or that refuses: exit 74 with the path, nothing under a final name, and the
same command goes on to the same bytes once there is room. On a tmpfs (needs root) and with calls that strace makes fail."""
import contextlib
import resource
import shutil
import subprocess
import time

import pytest

from program import digests, mill, output_files, refused, start, work_folder

FLAGS = ["-r", "Q8_0", "--split-max-size", "70M", "--json"]


@pytest.fixture(scope="module")
def want(big_checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    mill("convert", big_checkpoint, "-o", folder / "big.gguf", *FLAGS).ok()
    return digests(folder)


def total(folder):
    return sum(p.stat().st_size for p in folder.iterdir())


@contextlib.contextmanager
def small_disk(folder, megabytes):
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}M", "tmpfs", folder], capture_output=True, text=True)
    if mount.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {mount.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def resize(folder, megabytes):
    subprocess.run(["mount", "-o", f"remount,size={megabytes}M", folder], check=True)


def failing(*injections):
    """strace that makes system calls fail; only those are traced."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    calls = ",".join(i.partition(":")[0] for i in injections)
    return ["strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", f"trace={calls}",
            *(word for i in injections for word in ("-e", f"inject={i}"))]


def resumes(source, out, want):
    run = mill("convert", source, "-o", out, *FLAGS).ok()
    assert digests(out.parent) == want
    assert not work_folder(out).exists()
    return (run.event("resume") or {}).get("bytes_kept", 0)


def test_too_little_space_is_said_before_work(big_checkpoint, want, tmp_path):
    with small_disk(tmp_path / "disk", 100) as disk:
        out = disk / "big.gguf"
        run = mill("convert", big_checkpoint, "-o", out, *FLAGS)
        refused(run, 74, str(disk))
        assert run.seconds < 30 and run.event("progress") is None
        assert not output_files(out) and shutil.disk_usage(disk).used < 1_000_000
        plan = mill("plan", big_checkpoint, "-o", out, "-r", "Q8_0", "--json").ok().json
        assert any("disk" in f["message"] for f in plan["findings"])
        resize(disk, 400)
        resumes(big_checkpoint, out, want)


@pytest.mark.parametrize("fallocate", ["works", "EOPNOTSUPP"])
def test_disk_that_fills_up_on_the_way(fallocate, big_checkpoint, want, tmp_path, figure):
    """Somebody else takes the space while the conversion runs."""
    with small_disk(tmp_path / "disk", 400) as disk:
        out = disk / "big.gguf"
        prefix = [] if fallocate == "works" else failing("fallocate:error=EOPNOTSUPP")
        running = start("convert", big_checkpoint, "-o", out, *FLAGS, prefix=prefix)
        while running.running() and not (work_folder(out).is_dir() and any(p.stat().st_size for p in work_folder(out).rglob("*.part*"))):
            time.sleep(0.001)
        free = shutil.disk_usage(disk).free
        leave = 0 if fallocate == "works" else 60_000_000
        with open(disk / "somebody-else", "wb", buffering=0) as f:
            with contextlib.suppress(OSError):
                for _ in range((free - leave) // 1_000_000 + 2):
                    f.write(b"\0" * 1_000_000)
        run = running.finish()
        if fallocate == "works" and run.code == 0:  # all blocks were reserved before the space was gone
            assert {n: d for n, d in digests(disk).items() if n != "somebody-else"} == want
            figure("fallocate works: all space was reserved at the start, the conversion finished on a disk that somebody else filled")
            return
        refused(run, 74, str(disk))
        assert not output_files(out)
        (disk / "somebody-else").unlink()
        kept = resumes(big_checkpoint, out, want)
        figure(f"tmpfs filled up, fallocate {fallocate}: exit 74, {kept / 1e6:.0f} MB kept by the resume")


INJECTIONS = {
    "reserving fails": ["fallocate:error=ENOSPC:when=2"],
    "no fallocate": ["fallocate:error=EOPNOTSUPP"],
    "no fallocate, write fails": ["fallocate:error=EOPNOTSUPP", "pwrite64:error=ENOSPC:when=40"],
    "first write fails": ["pwrite64:error=ENOSPC:when=1"],
    "all later writes fail": ["pwrite64:error=ENOSPC:when=60+"],
    "quota": ["pwrite64:error=EDQUOT:when=30"],
    "I/O error": ["pwrite64:error=EIO:when=30"],
    "flush fails": ["fdatasync:error=EIO:when=2"],
    "flush fails for lack of space": ["fdatasync:error=ENOSPC:when=3+"],
    "reading fails": ["pread64:error=EIO:when=50"],
    "rename fails": ["renameat2:error=EIO:when=1"],
    "last rename fails": ["renameat2:error=ENOSPC:when=4"],
}


@pytest.mark.parametrize("case", INJECTIONS)
def test_failing_calls(case, big_checkpoint, want, tmp_path):
    out = tmp_path / "out" / "big.gguf"
    out.parent.mkdir()
    run = mill("convert", big_checkpoint, "-o", out, *FLAGS, prefix=failing(*INJECTIONS[case]))
    if case == "no fallocate":
        run.ok()
        assert digests(out.parent) == want
        return
    error = refused(run, 74)
    assert str(out.parent) in error or str(big_checkpoint) in error, f"no path in: {error}"
    for name, digest in digests(out.parent).items():
        assert "rename" in case and digest == want[name]
    resumes(big_checkpoint, out, want)


def test_interrupted_calls_do_not_matter(big_checkpoint, want, tmp_path):
    """EINTR now and then on every call that moves bytes."""
    out = tmp_path / "out" / "big.gguf"
    out.parent.mkdir()
    mill("convert", big_checkpoint, "-o", out, *FLAGS, prefix=failing("pwrite64:error=EINTR:when=3+7", "pread64:error=EINTR:when=5+11")).ok()
    assert digests(out.parent) == want


def test_file_size_limit_is_an_error_not_a_signal(big_checkpoint, want, tmp_path):
    out = tmp_path / "out" / "big.gguf"
    out.parent.mkdir()
    limits = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000_000, 20_000_000))
    refused(mill("convert", big_checkpoint, "-o", out, *FLAGS, limits=limits), 74, str(out.parent))
    assert not output_files(out)
    resumes(big_checkpoint, out, want)


def test_output_folder_that_cannot_be_written(big_checkpoint, tmp_path):
    refused(mill("convert", big_checkpoint, "-o", tmp_path / "missing" / "big.gguf", "-r", "Q8_0"), 73)
    refused(mill("convert", big_checkpoint, "-o", "/proc/big.gguf", "-r", "Q8_0"), 73)
