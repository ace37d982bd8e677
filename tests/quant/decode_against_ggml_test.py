"""Every codec against ggml itself: the decoders of libggml-base as npm's @node-llama-cpp/linux-x64 ships it, bit for bit.

CODEC_TOOL names the built tests/quant/codec_tool, GGUFMILL_TEST_NODE the folder whose node_modules holds node-llama-cpp.
"""
import ctypes
import os
import pathlib

import numpy as np
import pytest
from decode_against_gguf_test import assert_same_floats, finite_f16, run

NODE = pathlib.Path(os.environ.get("GGUFMILL_TEST_NODE", pathlib.Path(__file__).parents[2] / "build/node"))
LIBRARY = NODE / "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64/libggml-base.so"

# Values and bytes of a block, and where its f16 scales stand.
TYPES = {
    "q1_0": (128, 18, [0]), "q2_0": (64, 18, [0]), "q4_0": (32, 18, [0]), "q4_1": (32, 20, [0, 2]), "q5_0": (32, 22, [0]),
    "q5_1": (32, 24, [0, 2]), "q8_0": (32, 34, [0]), "q2_K": (256, 84, [80, 82]), "q3_K": (256, 110, [108]),
    "q4_K": (256, 144, [0, 2]), "q5_K": (256, 176, [0, 2]), "q6_K": (256, 210, [208]), "iq1_s": (256, 50, [0]),
    "iq1_m": (256, 56, []), "iq2_xxs": (256, 66, [0]), "iq2_xs": (256, 74, [0]), "iq2_s": (256, 82, [0]),
    "iq3_xxs": (256, 98, [0]), "iq3_s": (256, 110, [0]), "iq4_nl": (32, 18, [0]), "iq4_xs": (256, 136, [0]),
    "tq1_0": (256, 54, [52]), "tq2_0": (256, 66, [64]), "mxfp4": (32, 17, []), "nvfp4": (64, 36, []),
}


@pytest.fixture(scope="module")
def ggml():
    assert LIBRARY.exists(), f"{LIBRARY} is missing: make -f Makefile.helpers test-deps"
    return ctypes.CDLL(str(LIBRARY))


def compare(ggml, name, blocks):
    elems = TYPES[name][0]
    theirs = np.zeros(blocks.shape[0] * elems, dtype=np.float32)
    blocks = np.ascontiguousarray(blocks)
    decode = getattr(ggml, f"dequantize_row_{name}")
    decode(blocks.ctypes.data_as(ctypes.c_void_p), theirs.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(theirs.size))
    ours = np.frombuffer(run(["decode", name.upper()], blocks.tobytes()), dtype=np.float32)
    assert ours.size == theirs.size
    assert_same_floats(ours, theirs)


@pytest.mark.parametrize("name", TYPES)
def test_random_blocks(ggml, name):
    _, size, scales = TYPES[name]
    rng = np.random.default_rng(1)
    blocks = rng.integers(0, 256, (4096, size), dtype=np.uint8)
    for at in scales:
        blocks[:, at:at + 2] = finite_f16(rng, 4096).view(np.uint8).reshape(4096, 2)
    compare(ggml, name, blocks)


@pytest.mark.parametrize("name", TYPES)
def test_any_bytes(ggml, name):
    compare(ggml, name, np.random.default_rng(2).integers(0, 256, (1024, TYPES[name][1]), dtype=np.uint8))


@pytest.mark.parametrize("name", TYPES)
def test_every_byte_at_every_place(ggml, name):
    """Byte k of block b is (b + 37 k) mod 256, and the scales are one: each place takes every value beside varying others."""
    _, size, scales = TYPES[name]
    blocks = ((np.arange(256)[:, None] + 37 * np.arange(size)[None, :]) % 256).astype(np.uint8)
    for at in scales:
        blocks[:, at:at + 2] = np.full(256, 0.37, dtype=np.float16).view(np.uint8).reshape(256, 2)
    compare(ggml, name, blocks)


@pytest.mark.parametrize("name", TYPES)
def test_every_pair_of_neighbouring_bytes(ggml, name):
    """Codes that span two bytes (grid indices, packed scales): each 16-bit pattern at each even place of a few blocks."""
    _, size, scales = TYPES[name]
    rng = np.random.default_rng(3)
    for place in range(0, size - 1, max(2, size // 8 // 2 * 2)):
        blocks = np.tile(rng.integers(0, 256, (1, size), dtype=np.uint8), (1 << 16, 1))
        for at in scales:
            blocks[:, at:at + 2] = np.full(1, 0.37, dtype=np.float16).view(np.uint8)
        if any(at - 1 <= place <= at + 1 for at in scales):
            continue
        blocks[:, place:place + 2] = np.arange(1 << 16, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
        compare(ggml, name, blocks)
