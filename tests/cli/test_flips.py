"""500 random single-bit flips over all files of a finished set: verify finds every one, exit 1, and says where: the file, and in it
the tensor, the header or the padding."""
import random
import shutil
from collections import Counter

import pytest
from gguf import GGUFReader

from program import DATA, MINI, mill, output_files

SEED = 500
FLIPS_MINI, FLIPS_PADDED = 400, 100


def places(file):
    """[(begin, end, name)] of everything in a GGUF file."""
    tensors = sorted(GGUFReader(file).tensors, key=lambda t: t.data_offset)
    out, end = [], 0
    for tensor in tensors:
        begin, stop = tensor.data_offset, tensor.data_offset + tensor.n_bytes
        if end == 0:
            out.append((0, begin, "header"))
        elif end < begin:
            out.append((end, begin, "padding"))
        out.append((begin, stop, tensor.name))
        end = stop
    if end < file.stat().st_size:
        out.append((end, file.stat().st_size, "padding"))
    return out


def draw(rng, out, count):
    """Files and offsets: every place kind gets its share, for by size alone nearly all flips would hit large tensors."""
    shards = output_files(out)
    layout = {f: places(f) for f in shards}
    text = [f for f in sorted(out.parent.iterdir()) if f not in shards]
    for _ in range(count):
        share = rng.random()
        if share < 0.2:
            file = rng.choice(text)
            yield file, rng.randrange(file.stat().st_size), None
            continue
        file = rng.choice(shards)
        padding = [p for p in layout[file] if p[2] == "padding"]
        if share < 0.35:
            begin, end, name = layout[file][0]
        elif share < 0.45 and padding:
            begin, end, name = rng.choice(padding)
        elif share < 0.7:
            begin, end, name = rng.choice(layout[file])
        else:
            offset = rng.randrange(file.stat().st_size)
            begin, end, name = next(p for p in layout[file] if p[0] <= offset < p[1])
        yield file, rng.randrange(begin, end), name


@pytest.fixture
def padded_set(tmp_path):
    """Three experts make tensors of 12 bytes: padding between tensors, which the miniature lacks."""
    source = next((DATA / "goldens" / "c-ultra-bf16-mixshards").glob("*/config.json")).parent
    out = tmp_path / "padded.gguf"
    mill("convert", source, "-o", out, "-r", "Q8_0", "--split-max-tensors", 20).ok()
    return out


@pytest.mark.parametrize("name, count", [("mini_set", FLIPS_MINI), ("padded_set", FLIPS_PADDED)])
def test_every_flip_is_found_and_named(name, count, request, figure):
    out = request.getfixturevalue(name)
    rng = random.Random(SEED)
    missed, found = [], Counter()
    for file, offset, place in list(draw(rng, out, count)):
        bit = 1 << rng.randrange(8)
        with open(file, "r+b") as f:
            f.seek(offset)
            old = f.read(1)[0]
            f.seek(offset)
            f.write(bytes([old ^ bit]))
            f.flush()
            run = mill("verify", out, "--json")
            f.seek(offset)
            f.write(bytes([old]))
        where = f"{file.name} at {offset} bit {bit} ({place})"
        if run.code != 1:
            missed.append(f"{where}: exit {run.code} {run.stderr[-300:]}")
            continue
        findings = [f for f in run.json["findings"] if (f.get("file") or "").endswith(file.name)]
        kind = "sums and manifest" if place is None else place if place in ("header", "padding") else "tensor"
        if not findings:
            missed.append(f"{where}: file not named: {run.json['findings']}")
        elif kind == "tensor" and not any(f.get("tensor") == place for f in findings):
            missed.append(f"{where}: tensor not named: {findings}")
        elif kind in ("header", "padding") and not any(kind in f["message"] for f in findings):
            missed.append(f"{where}: {kind} not named: {findings}")
        else:
            found[kind] += 1
    figure(f"seed {SEED}: {sum(found.values())} of {count} flips found and named: " + ", ".join(f"{n} in {k}" for k, n in sorted(found.items())))
    assert not missed, f"{len(missed)} missed:\n" + "\n".join(missed[:20])
    assert len(found) == (3 if name == "mini_set" else 4), "every kind of place was hit"
    mill("verify", out).ok()


def damaged(mini_set, tmp_path):
    folder = shutil.copytree(mini_set.parent, tmp_path / "set")
    return folder / mini_set.name


def test_other_damage_is_found(mini_set, tmp_path):
    """Truncation, appended bytes, zeroed pages, exchanged and missing files."""
    out = damaged(mini_set, tmp_path)
    first, second = output_files(out)[:2]
    raw, other = first.read_bytes(), second.read_bytes()
    damages = {
        "truncated by a byte": lambda: first.write_bytes(raw[:-1]),
        "truncated to the header": lambda: first.write_bytes(raw[:10_000]),
        "empty": lambda: first.write_bytes(b""),
        "appended": lambda: first.write_bytes(raw + b"\0" * 32),
        "zero page": lambda: first.write_bytes(raw[:1_000_000] + b"\0" * 4096 + raw[1_004_096:]),
        "exchanged": lambda: (first.write_bytes(other), second.write_bytes(raw)),
    }
    for name, damage in damages.items():
        damage()
        run = mill("verify", out, "--json")
        assert run.code == 1, f"{name}: exit {run.code}\n{run.stderr}"
        assert any((f.get("file") or "").endswith(first.name) for f in run.json["findings"]), name
        first.write_bytes(raw)
        second.write_bytes(other)
    mill("verify", out).ok()
    for path in sorted(out.parent.iterdir()):
        content = path.read_bytes()
        path.unlink()
        run = mill("verify", out)
        if path.suffix == ".gguf" or path.suffix == ".json":
            assert run.code == 1 and path.name in run.stdout + run.stderr, f"{path.name} missing: exit {run.code}\n{run.stdout}"
        path.write_bytes(content)


def test_wrong_values_are_found_without_checksums(mini_set, tmp_path):
    """The set of another maker, no checksums: structure holds, so only the comparison with the source sees an exchanged tensor."""
    out = damaged(mini_set, tmp_path)
    for path in out.parent.iterdir():
        if path.suffix != ".gguf":
            path.unlink()
    mill("verify", out).ok()
    mill("verify", out, "--source", MINI, "--full").ok()
    for file in output_files(out):
        tensors = {t.name: t for t in GGUFReader(file).tensors}
        if "blk.1.ffn_latent_down.weight" in tensors and "blk.1.ffn_latent_up.weight" in tensors:
            a, b = tensors["blk.1.ffn_latent_down.weight"], tensors["blk.1.ffn_latent_up.weight"]
            raw = bytearray(file.read_bytes())
            one, two = (bytes(raw[t.data_offset:t.data_offset + t.n_bytes]) for t in (a, b))
            raw[a.data_offset:a.data_offset + a.n_bytes], raw[b.data_offset:b.data_offset + b.n_bytes] = two, one
            file.write_bytes(raw)
            break
    else:
        raise AssertionError("no shard holds both")
    run = mill("verify", out, "--source", MINI, "--full")
    assert run.code == 1 and "blk.1.ffn_latent_down.weight" in run.stdout + run.stderr
