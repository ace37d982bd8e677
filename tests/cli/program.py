"""The program as the tests see it: started as a user starts it, judged by its exit code, its output and the files it leaves."""
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
MINI = DATA / "mini-nemotron3"
IMATRIX = DATA / "mini-eval" / "imatrix.gguf"
PROGRAM = os.environ.get("GGUFMILL", str(ROOT / "build" / "ggufmill"))
MAKE_CHECKPOINT = os.environ.get("GGUFMILL_MAKE_CHECKPOINT", str(ROOT / "build" / "bench" / "make_checkpoint"))
COMPARE = DATA / "goldens" / "compare.py"

# What the program refuses to guess: the name of a pre-tokenizer of steps that it does not know.
NEEDED_FLAGS = {"h9-dsv2lite-bf16": ["--pre", "deepseek-llm"]}


def golden_checkpoints():
    """The golden checkpoints."""
    return [config.parent for config in sorted(DATA.glob("goldens/*/*/config.json"))]


def golden_checkpoint(case):
    """The checkpoint of a golden, a folder of tests/data/goldens."""
    return next((DATA / "goldens" / case).glob("*/config.json")).parent


@dataclass
class Run:
    code: int  # of the shell's kind: negative for a signal
    stdout: str
    stderr: str
    seconds: float
    peak_rss: int  # bytes

    @property
    def events(self):
        """The JSON lines; a line that a kill cut short does not count."""
        return [json.loads(line) for line in self.stdout.splitlines(keepends=True) if line.endswith("\n") and line != "\n"]

    def event(self, kind):
        """The first event of this kind, or None."""
        return next((e for e in self.events if e["event"] == kind), None)

    @property
    def json(self):
        return json.loads(self.stdout)

    def ok(self):
        assert self.code == 0, f"exit {self.code}\n{self.stdout[-2000:]}\n{self.stderr[-2000:]}"
        return self


class Started:
    """A run of the program under way. `finish` waits for its end."""

    def __init__(self, args, env=None, prefix=(), limits=None, cwd=None):
        self.out, self.err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self.begin = time.monotonic()
        self.process = subprocess.Popen([*prefix, PROGRAM, *map(str, args)], stdin=subprocess.DEVNULL, stdout=self.out,
                                        stderr=self.err, env={**os.environ, **(env or {})}, preexec_fn=limits, cwd=cwd)

    def finish(self, timeout=600):
        deadline = time.monotonic() + timeout
        while True:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                self.process.kill()
                os.wait4(self.process.pid, 0)
                raise AssertionError(f"still running after {timeout} s: {self.process.args}")
            time.sleep(0.002)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for stream in (self.out, self.err):
            stream.seek(0)
            texts.append(stream.read().decode())
            stream.close()
        return Run(self.process.returncode, *texts, time.monotonic() - self.begin, usage.ru_maxrss * 1024)

    def running(self):
        """Whether the process has not ended yet; does not reap it."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def signal_after(self, seconds, number=signal.SIGKILL):
        """Sends the signal `seconds` after the start; a run that ends earlier is left alone."""
        while self.running() and time.monotonic() < self.begin + seconds:
            time.sleep(0.001)
        if self.running():
            os.kill(self.process.pid, number)
        return self.finish()


def start(*args, **options):
    return Started(args, **options)


def mill(*args, timeout=600, **options):
    """Runs the program to its end."""
    return Started(args, **options).finish(timeout)


def refused(run, code, *words):
    """The run failed as the contract says: this exit code and one error line on stderr that holds every word."""
    assert run.code == code, f"exit {run.code}, expected {code}\n{run.stderr[-2000:]}"
    lines = [line for line in run.stderr.splitlines() if line]
    errors = [line for line in lines if line.startswith("ggufmill: error: ")]
    assert len(errors) == 1, f"expected one error line:\n{run.stderr[-2000:]}"
    for word in words:
        assert word in errors[0], f"{word!r} is missing in: {errors[0]}"
    for line in lines[lines.index(errors[0]) + 1:]:
        assert line.startswith("hint: "), f"after the error line only a hint may follow: {line}"
    return errors[0]


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def digests(folder):
    """SHA-256 of the files of a folder by name; folders inside are left out."""
    return {p.name: sha256(p) for p in sorted(Path(folder).iterdir()) if p.is_file()}


def output_files(out):
    """The GGUF files of OUT, a path ending in .gguf: itself, or the shards of its split."""
    out = Path(out)
    return [out] if out.exists() else sorted(out.parent.glob(f"{out.stem}-*-of-*.gguf"))


def compare_with_golden(manifest, files, allowed=()):
    """The files hold what llama.cpp's own converter writes, but for the differences `allowed`, lines that must be there. Returns the
    comparison's last line."""
    run = subprocess.run([sys.executable, COMPARE, manifest, *files], capture_output=True, text=True)
    lines = run.stdout.strip().splitlines()
    assert lines and lines[:-1] == list(allowed) and run.returncode == bool(allowed), run.stdout[-3000:] + run.stderr[-1000:]
    return lines[-1]


def work_folder(out):
    return Path(out).with_suffix(".ggufmill")


def make_checkpoint(out, *args):
    subprocess.run([MAKE_CHECKPOINT, str(out), *map(str, args)], check=True, stdout=subprocess.DEVNULL)
    return out


def make_big_checkpoint(out, experts=32):
    """All kinds of blocks with the proportions of the real model, and its MTP block: 328 MB in six shards, more with more experts."""
    return make_checkpoint(out, "--layers", "mamba moe attention moe", "--mtp", "--hidden", 1024, "--latent", 512, "--expert-width", 1280,
                           "--shared-width", 2048, "--experts", experts, "--experts-used", 4, "--heads", 8, "--mamba-heads", 32,
                           "--groups", 2, "--state", 64, "--shard-bytes", 60_000_000)
