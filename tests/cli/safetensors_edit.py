"""Damage to a checkpoint, by hand: headers and bytes of its safetensors files."""
import json
from pathlib import Path


def parts(path):
    """Header text and data of a safetensors file."""
    raw = Path(path).read_bytes()
    length = int.from_bytes(raw[:8], "little")
    return raw[8:8 + length].decode(), raw[8 + length:]


def put(path, header, data):
    """Writes the file again. `header` is text, or a dict."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(len(text).to_bytes(8, "little") + text + data)


def shard_of(folder, tensor):
    index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    return folder / index[tensor]


def add_to_index(folder, tensor, shard):
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"][tensor] = shard.name
    path.write_text(json.dumps(index))


def overwrite(folder, tensor, element, raw):
    """Puts the bytes `raw` over one element of a tensor."""
    path = shard_of(folder, tensor)
    header, _ = parts(path)
    begin = json.loads(header)[tensor]["data_offsets"][0]
    with open(path, "r+b") as f:
        f.seek(8 + int.from_bytes(f.read(8), "little") + begin + element * len(raw))
        f.write(raw)
