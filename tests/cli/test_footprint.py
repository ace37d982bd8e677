"""What a conversion takes from the machine beside time: memory under its ceiling, and no page cache of the source."""
import os
import subprocess

import pytest
from program import mill

MIB = 2**20


@pytest.mark.parametrize("memory", ["32MiB", "256MiB"])
def test_peak_memory_stays_under_the_ceiling(big_checkpoint, tmp_path, figure, memory):
    run = mill("convert", big_checkpoint, "-o", tmp_path / "x.gguf", "-r", "Q8_0", "--memory", memory).ok()
    figure(f"--memory {memory}: peak {run.peak_rss / MIB:.0f} MiB")
    assert run.peak_rss < (int(memory.removesuffix("MiB")) + 200) * MIB


def test_too_small_a_ceiling_is_refused_with_the_size_that_works(big_checkpoint, tmp_path):
    run = mill("convert", big_checkpoint, "-o", tmp_path / "x.gguf", "--memory", "10K")
    assert run.code == 64 and "need at least" in run.stderr
    assert not list(tmp_path.glob("*.gguf"))


def cached_bytes(files):
    lines = subprocess.run(["fincore", "--bytes", "--noheadings", "--output", "RES", *map(str, files)], check=True, capture_output=True,
                           text=True).stdout.split()
    return sum(map(int, lines))


def test_source_pages_are_dropped_behind_the_reader(big_checkpoint, tmp_path, figure):
    shards = sorted(big_checkpoint.glob("*.safetensors"))
    for shard in shards:   # all of it cached and clean, as after a download
        with open(shard, "rb") as f:
            os.fsync(f.fileno())
            while f.read(MIB):
                pass
    total, before = sum(s.stat().st_size for s in shards), cached_bytes(shards)
    if before < total / 2:
        pytest.skip("the page cache holds too little here to tell")
    mill("convert", big_checkpoint, "-o", tmp_path / "x.gguf", "-r", "Q8_0").ok()
    after = cached_bytes(shards)
    figure(f"page cache of the source: {before / MIB:.0f} of {total / MIB:.0f} MiB before, {after / MIB:.0f} MiB after")
    assert after < total / 4
