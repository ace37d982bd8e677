"""A hub cache: snapshots of symlinks into blobs that are named by their SHA-256, found by repository name, nothing downloaded."""
import hashlib
import shutil

import pytest

from program import MINI, digests, mill, refused, sha256

REVISION = "0123456789abcdef0123456789abcdef01234567"


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@pytest.fixture
def hub(tmp_path):
    """hub/models--org--Mini-Nemotron-3: one snapshot, refs/main."""
    repository = tmp_path / "hub" / "models--org--Mini-Nemotron-3"
    snapshot = repository / "snapshots" / REVISION
    (repository / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    for path in MINI.iterdir():
        large = path.suffix == ".safetensors"
        blob = repository / "blobs" / (sha256(path) if large else git_sha1(path.read_bytes()))
        shutil.copy(path, blob)
        (snapshot / path.name).symlink_to(f"../../blobs/{blob.name}")
    return tmp_path / "hub", snapshot


def test_snapshot_and_repository_name(hub, tmp_path):
    folder, snapshot = hub
    outs = [tmp_path / name for name in "abc"]
    for out in outs:
        out.mkdir()
    env = {"HF_HUB_CACHE": str(folder)}
    mill("convert", snapshot, "-o", f"{outs[0]}/", "-r", "auto").ok()
    mill("convert", "org/Mini-Nemotron-3", "-o", f"{outs[1]}/", "-r", "auto", env=env).ok()
    mill("convert", f"org/Mini-Nemotron-3@{REVISION}", "-o", f"{outs[2]}/", "-r", "auto", env=env).ok()
    assert digests(outs[0]) == digests(outs[1]) == digests(outs[2])
    names = set(digests(outs[0]))
    assert "Mini-Nemotron-3-auto.gguf" in names, "named after the repository, not after the snapshot's hash"
    assert REVISION.encode() not in (outs[0] / "Mini-Nemotron-3-auto.gguf").read_bytes()


def test_name_that_the_cache_lacks(hub):
    refused(mill("plan", "org/Other", env={"HF_HUB_CACHE": str(hub[0])}), 65, "org/Other")


def test_several_snapshots_without_main_are_listed(hub):
    folder, snapshot = hub
    other = "f" * 40
    shutil.copytree(snapshot, snapshot.parent / other, symlinks=True)
    (snapshot.parent.parent / "refs" / "main").unlink()
    run = mill("plan", "org/Mini-Nemotron-3", env={"HF_HUB_CACHE": str(folder)})
    refused(run, 65)
    assert REVISION in run.stderr and other in run.stderr


def test_blob_whose_name_is_not_its_hash(hub, tmp_path):
    """The bytes of a shard are not those the hub had: found in the pass, named, and nothing is published."""
    _, snapshot = hub
    link = snapshot / "model-00003-of-00004.safetensors"
    blob = link.resolve()
    raw = bytearray(blob.read_bytes())
    raw[-1] ^= 1
    blob.write_bytes(raw)
    out = tmp_path / "out.gguf"
    refused(mill("convert", snapshot, "-o", out, "-r", "Q8_0"), 65, link.name)
    assert not out.exists()
    run = mill("verify", snapshot)
    assert run.code == 1 and link.name in run.stdout + run.stderr
    mill("convert", snapshot, "-o", out, "-r", "Q8_0", "--no-source-hash", "--restart").ok()


def test_blob_that_is_still_being_downloaded(hub):
    _, snapshot = hub
    link = snapshot / "model-00002-of-00004.safetensors"
    blob = link.resolve()
    blob.rename(blob.with_name(blob.name + ".incomplete"))
    refused(mill("plan", snapshot), 65, link.name)
