"""The bytes depend on source, recipe and importance matrix alone."""
import os

import pytest

from program import IMATRIX, MINI, digests, mill

FLAGS = ["-r", "nemotron3-3bit", "--imatrix", IMATRIX, "--split-max-size", "4M"]


@pytest.fixture(scope="module")
def want(tmp_path_factory):
    folder = tmp_path_factory.mktemp("want")
    mill("convert", MINI, "-o", folder / "mini.gguf", *FLAGS).ok()
    return digests(folder)


@pytest.mark.parametrize("flags", [["-j", "1"], ["-j", "2"], ["-j", "4"], ["-j", "7", "--memory", "64MiB"], ["--memory", "48MiB"],
                                   ["--memory", "2GiB"]], ids=" ".join)
def test_threads_and_memory(flags, want, tmp_path):
    mill("convert", MINI, "-o", tmp_path / "mini.gguf", *FLAGS, *flags).ok()
    assert digests(tmp_path) == want


@pytest.mark.parametrize("env", [{"LC_ALL": "C", "TZ": "Asia/Kathmandu"}, {"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"}, {"HOME": "/nowhere"}])
def test_environment(env, want, tmp_path):
    mill("convert", MINI, "-o", tmp_path / "mini.gguf", *FLAGS, env=env, limits=lambda: os.umask(0o077)).ok()
    assert digests(tmp_path) == want


def test_folders_are_not_in_the_files(want, mini_copy, tmp_path):
    """Source and output elsewhere, the importance matrix under a relative path: nothing of that is recorded."""
    (mini_copy.parent / "imatrix.gguf").write_bytes(IMATRIX.read_bytes())
    out = tmp_path / "out"
    out.mkdir()
    flags = ["imatrix.gguf" if f is IMATRIX else f for f in FLAGS]
    mill("convert", "mini-nemotron3", "-o", "out/mini.gguf", *flags, cwd=mini_copy.parent).ok()
    assert digests(out) == want


def test_sizes_beyond_one_tile(big_checkpoint, tmp_path):
    """Tensors of many tiles, cut differently under another ceiling."""
    folders = [tmp_path / str(i) for i in range(3)]
    for folder, flags in zip(folders, (["-j", "1"], ["-j", "4", "--memory", "64MiB"], ["-j", "2", "--memory", "1GiB"])):
        folder.mkdir()
        mill("convert", big_checkpoint, "-o", folder / "big.gguf", "-r", "Q8_0", "-t", "exps=Q4_0", *flags).ok()
    assert digests(folders[0]) == digests(folders[1]) == digests(folders[2])
