"""Quantized checkpoints as a user has them: every published form to every type, repacked without loss, refused where damaged. The
sources are goldens, or made by quantized.py, whose own numpy decoder says what they stand for."""
import hashlib
import json
import signal

import numpy as np
import pytest
from gguf import GGUFReader
from gguf.quants import dequantize

import quantized as q
from llama_cpp import generate
from program import DATA, digests, make_checkpoint, mill, output_files, refused, start


def golden(name):
    return next((DATA / "goldens" / name).glob("*/config.json")).parent


ULTRA, ULTRA_NVFP4, FP8 = golden("c-ultra-bf16-mixshards"), golden("d2-ultra-nvfp4-modelopt"), golden("d5-super-fp8-modelopt")
EXPERT = "backbone.layers.1.mixer.experts.1.up_proj"
LAYER = "backbone.layers.1.mixer."


def tensors(out):
    return {t.name: t for file in output_files(out) for t in GGUFReader(file).tensors}


def convert(source, out, *flags):
    mill("convert", source, "-o", out, *flags).ok()
    return tensors(out)


def is_matrix(name, array):
    return array.ndim == 2 and name.endswith(".weight") and "gate.weight" not in name and "embeddings" not in name


def form_of(source, folder, form, scales_in=None):
    """A copy of a BF16 checkpoint with all its matrices in this form, and a twin in F32 with what they stand for."""
    made, twin = q.Checkpoint(source, folder / "quantized"), q.Checkpoint(source, folder / "twin")
    for name in [n for n, (_, array, _) in made.tensors.items() if is_matrix(n, array)]:
        twin.set(name, made.quantize(name, form, scales_in), "F32")
    return made.save(), twin.save()


def warnings(source, *flags):
    return [f["message"] for f in mill("plan", source, "--json", *flags).ok().json["findings"]]


# ---- what each form stands for


@pytest.mark.parametrize("form", q.FORMS.values(), ids=q.FORMS)
def test_values_of_every_form(form, tmp_path):
    """Scales in a shard of their own; q and k permuted, experts stacked, MTP: as from a checkpoint with the same values in F32."""
    made, twin = form_of(ULTRA, tmp_path, form, scales_in="model-00005-of-00005.safetensors")
    got, want = convert(made, tmp_path / "got.gguf", "-r", "F32"), convert(twin, tmp_path / "want.gguf", "-r", "F32")
    assert got.keys() == want.keys()
    for name, tensor in want.items():
        assert got[name].data.tobytes() == tensor.data.tobytes(), name
    mill("verify", tmp_path / "got.gguf", "--source", twin, "--full").ok()


def test_every_form_to_every_type(tmp_path, figure):
    made = q.Checkpoint(ULTRA, tmp_path / "mixed")
    names = [n for n, (_, array, _) in made.tensors.items() if is_matrix(n, array) and "mtp" not in n]
    forms = list(q.FORMS.values())
    for number, name in enumerate(names):
        made.quantize(name, forms[number % len(forms)])
    source = made.save()
    types = [t["name"] for t in mill("types", "--json").ok().json["types"] if t["encode"]]
    for kind in types:
        out = tmp_path / "out.gguf"
        mill("convert", source, "-o", out, "-r", "Q8_0", "-t", f".*={kind}", "--no-mtp", "--force").ok()
        mill("verify", out, "--source", source, "--full").ok()
    figure(f"{len(forms)} forms of sources to {len(types)} types: converted and verified")


def test_lattice_is_known_to_the_encoder(tmp_path, figure):
    """NVFP4's codes are integers of their block's scale: Q6_K holds them but for the rounding of its f16 scale."""
    convert(ULTRA_NVFP4, tmp_path / "out.gguf", "-r", "Q8_0", "-t", "exps=Q6_K")
    errors = [t["relative_rmse"] for t in json.loads((tmp_path / "out.manifest.json").read_text())["tensors"] if t["type"] == "Q6_K"]
    assert len(errors) == 4 and max(errors) < 5e-4
    figure(f"NVFP4 -> Q6_K: relative RMSE {max(errors):.2g} at most")


# ---- kept bits


def kept_like_golden(got, case):
    wanted = {t["name"]: t for t in json.loads((DATA / "goldens" / case / "golden.json").read_text())["tensors"]}
    kept = [name for name, t in wanted.items() if t["type"] == "NVFP4" or name.endswith(("scale",))]
    for name in kept:
        assert got[name].tensor_type.name == wanted[name]["type"], name
        assert hashlib.sha256(got[name].data.tobytes()).hexdigest() == wanted[name]["sha256"], name
    return set(kept)


@pytest.mark.parametrize("case", ["d1-super-nvfp4-modelopt", "d2-ultra-nvfp4-modelopt", "d3-super-nvfp4-ct", "d4-lightning-w4a16-nvfp4"])
def test_kept_beside_a_recipe(case, tmp_path, figure):
    """NVFP4 and its scales as llama.cpp's converter writes them, the rest by the recipe."""
    recipe = "nemotron3-4bit"
    got = convert(golden(case), tmp_path / "kept.gguf", "-r", recipe, "--keep-nvfp4")
    kept = kept_like_golden(got, case)
    by_recipe = convert(golden(case), tmp_path / "recipe.gguf", "-r", recipe)
    assert len(kept) >= 4 and by_recipe.keys() == got.keys() - {n for n in kept if n.endswith("scale")}
    for name in by_recipe.keys() - kept:
        assert got[name].data.tobytes() == by_recipe[name].data.tobytes(), name
    assert "exact" in mill("verify", tmp_path / "kept.gguf", "--source", golden(case), "--full").ok().stdout
    figure(f"{case} --keep-nvfp4: {len(kept)} tensors as in golden.json, {len(by_recipe.keys() - kept)} by the recipe")


def test_type_option_beats_keep(tmp_path):
    got = convert(ULTRA_NVFP4, tmp_path / "out.gguf", "-r", "nemotron3-3bit", "--keep-nvfp4", "-t", "blk.1.ffn_up_exps=Q4_K")
    kinds = {n: t.tensor_type.name for n, t in got.items()}
    assert kinds["blk.1.ffn_up_exps.weight"] == "Q4_K" and "blk.1.ffn_up_exps.scale" not in kinds
    assert kinds["blk.1.ffn_down_exps.weight"] == kinds["blk.4.ffn_up_exps.weight"] == "NVFP4"


def stacked(checkpoint, layer, projection, experts):
    """Blocks of the stacked experts, by hand, and their scales."""
    bases = [f"{layer}experts.{e}.{projection}" for e in range(experts)]
    blocks = [q.repacked_nvfp4(checkpoint.array(b + ".weight"), checkpoint.array(b + ".weight_scale")) for b in bases]
    return np.stack(blocks), np.array([checkpoint.array(b + ".weight_scale_2") for b in bases])


def test_experts_of_the_mtp_block(tmp_path):
    """llama.cpp's converter puts those of mtp.layers.1 among the experts of block 1."""
    made = q.Checkpoint(ULTRA, tmp_path / "quantized")
    for name in [n for n in made.tensors if ".experts." in n]:
        made.quantize(name, q.nvfp4)
    got = convert(made.save(), tmp_path / "out.gguf", "-r", "auto")
    config = json.loads((ULTRA / "config.json").read_text())
    blocks = {"mtp.layers.1.mixer.": len(config["layers_block_type"]), LAYER: 1}
    for layer, block in blocks.items():
        for projection in ("up", "down"):
            want, scales = stacked(made, layer, projection + "_proj", 3)
            tensor = got[f"blk.{block}.ffn_{projection}_exps.weight"]
            assert tensor.tensor_type.name == "NVFP4" and tensor.data.tobytes() == want.tobytes(), tensor.name
            assert got[f"blk.{block}.ffn_{projection}_exps.scale"].data.tolist() == scales.tolist()


def test_q_and_k_are_permuted_as_codes(tmp_path):
    made, twin = form_of(ULTRA, tmp_path, q.nvfp4)
    checkpoint = q.Checkpoint(made, tmp_path / "again")
    got, want = convert(made, tmp_path / "got.gguf", "-r", "auto"), convert(twin, tmp_path / "want.gguf", "-r", "F32")
    for letter, heads in (("q", 4), ("k", 1)):
        tensor, base = got[f"blk.2.attn_{letter}.weight"], f"backbone.layers.2.mixer.{letter}_proj"
        blocks = q.repacked_nvfp4(checkpoint.array(base + ".weight"), checkpoint.array(base + ".weight_scale"))
        by_hand = blocks.reshape(heads, 2, blocks.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(blocks.shape)
        assert tensor.data.tobytes() == by_hand.tobytes(), letter
        values = dequantize(tensor.data, tensor.tensor_type) * got[f"blk.2.attn_{letter}.scale"].data
        assert np.array_equal(values, want[tensor.name].data), letter


def test_columns_of_packed_rows_move(tmp_path):
    """Linear attention's matrices have their v heads in another order: rows of three of them, columns of out_proj."""
    source = golden("h4-qwen35moe-bf16")
    made, twin = q.Checkpoint(source, tmp_path / "made"), q.Checkpoint(source, tmp_path / "twin")
    layer = "model.language_model.layers.0.linear_attn."
    for name in ("in_proj_qkv", "in_proj_z", "out_proj"):
        twin.set(f"{layer}{name}.weight", made.quantize(f"{layer}{name}.weight", q.nvfp4), "F32")
    codes, scales = made.array(layer + "out_proj.weight"), made.array(layer + "out_proj.weight_scale")
    got, want = convert(made.save(), tmp_path / "got.gguf", "-r", "auto"), convert(twin.save(), tmp_path / "want.gguf", "-r", "F32")
    for name in ("attn_qkv", "attn_gate", "ssm_out"):
        tensor = got[f"blk.0.{name}.weight"]
        assert tensor.tensor_type.name == "NVFP4", name
        values = dequantize(tensor.data, tensor.tensor_type) * got[f"blk.0.{name}.scale"].data
        assert np.array_equal(values, want[tensor.name].data), name
    heads = q.repacked_nvfp4(codes, scales).reshape(codes.shape[0], 2, 2, -1)  # per row: k heads, v heads of each, a head's blocks
    assert got["blk.0.ssm_out.weight"].data.tobytes() == heads.swapaxes(1, 2).tobytes()
    mill("verify", tmp_path / "got.gguf", "--source", made.folder, "--full").ok()


def test_mxfp4_is_kept(tmp_path):
    made, twin = form_of(ULTRA, tmp_path, q.mxfp4)
    got = convert(made, tmp_path / "got.gguf", "-r", "nemotron3-3bit", "--keep-mxfp4")
    want = convert(twin, tmp_path / "want.gguf", "-r", "F32")
    kept = [t for t in got.values() if t.tensor_type.name == "MXFP4"]
    assert len(kept) > 20 and not any(n.endswith("scale") for n in got)
    for tensor in kept:
        assert np.array_equal(dequantize(tensor.data, tensor.tensor_type).reshape(want[tensor.name].data.shape), want[tensor.name].data), tensor.name
    checkpoint = q.Checkpoint(made, tmp_path / "again")
    blocks = [q.repacked_mxfp4(checkpoint.array(f"{LAYER}experts.{e}.up_proj.weight"), checkpoint.array(f"{LAYER}experts.{e}.up_proj.weight_scale"))
              for e in range(3)]
    assert got["blk.1.ffn_up_exps.weight"].data.tobytes() == np.stack(blocks).tobytes()


def narrow_experts(folder, width=96):
    """The experts' down projections in rows that 64 does not divide."""
    made, twin = q.Checkpoint(ULTRA, folder / "quantized"), q.Checkpoint(ULTRA, folder / "twin")
    for checkpoint in (made, twin):
        checkpoint.edit_config(moe_intermediate_size=width, intermediate_size=width)
        for name in [n for n in checkpoint.tensors if ".experts." in n]:
            array = checkpoint.array(name)
            checkpoint.set(name, array[:, :width] if "down" in name else array[:width])
    for name in [n for n in made.tensors if ".experts." in n]:
        twin.set(name, made.quantize(name, q.nvfp4), "F32")
    return made.save(), twin.save()


def test_rows_that_64_does_not_divide(tmp_path):
    """llama.cpp's converter crashes on them. Here they are a finding, and the recipe decides."""
    made, twin = narrow_experts(tmp_path)
    for flags, kind in ((["-r", "auto"], "BF16"), (["-r", "Q8_0", "--keep-nvfp4"], "Q8_0"), (["-r", "nemotron3-3bit", "--keep-nvfp4"], "IQ4_NL")):
        found = [w for w in warnings(made, *flags) if "cannot be kept" in w]
        assert len(found) == 1 and "NVFP4 blocks cannot be kept: rows of 96 are not whole blocks of 64" in found[0], found
        got = convert(made, tmp_path / "out.gguf", *flags, "--force")
        assert got["blk.1.ffn_down_exps.weight"].tensor_type.name == kind
        assert got["blk.1.ffn_up_exps.weight"].tensor_type.name == "NVFP4"
        mill("verify", tmp_path / "out.gguf", "--source", twin, "--full").ok()


# ---- mixed checkpoints and reports


def test_mixed_checkpoint_by_recipe(tmp_path):
    """The Ultra that people download: experts by the recipe from NVFP4, FP8 and BF16 to its 8 bits, scales of the KV cache dropped."""
    got = convert(ULTRA_NVFP4, tmp_path / "out.gguf", "-r", "nemotron3-3bit")
    kinds = {n: t.tensor_type.name for n, t in got.items()}
    assert {kinds["blk.1.ffn_up_exps.weight"], kinds["blk.1.ffn_down_exps.weight"]} == {"IQ3_XXS", "IQ3_S"}
    assert {kinds[n] for n in ("blk.1.ffn_up_shexp.weight", "blk.0.ssm_in.weight", "blk.3.attn_q.weight", "output.weight")} == {"Q8_0"}
    assert not any("scale" in n for n in kinds)


def test_fp8_as_q8(tmp_path):
    got = convert(ULTRA_NVFP4, tmp_path / "out.gguf", "-r", "BF16", "--fp8-as-q8")
    assert got["blk.1.ffn_up_shexp.weight"].tensor_type.name == "Q8_0" and got["blk.3.attn_q.weight"].tensor_type.name == "BF16"
    assert got["blk.1.ffn_up_exps.weight"].tensor_type.name == "BF16"


def test_stray_cache_scales_of_an_unquantized_model(tmp_path):
    """llama.cpp's converter: "Can not map tensor"."""
    made = q.Checkpoint(ULTRA, tmp_path / "stray")
    for name in ("k_proj.k_scale", "v_proj.v_scale"):
        made.set("backbone.layers.2.mixer." + name, np.float32(0.5), "F32", "model-00001-of-00004.safetensors")
    got = convert(made.save(), tmp_path / "got.gguf", "-r", "auto")
    want = convert(ULTRA, tmp_path / "want.gguf", "-r", "auto")
    assert {n: t.data.tobytes() for n, t in got.items()} == {n: t.data.tobytes() for n, t in want.items()}


def error_of(tensor, out, source):
    run = mill("verify", out, "--source", source, "--full", "--json").ok()
    return next(t["relative_rmse"] for t in run.json["tensors"] if t["name"] == tensor)


def test_error_against_the_source_and_against_bf16(tmp_path, figure):
    """verify states both, given both checkpoints. The BF16 one here is what the NVFP4 one stands for, rounded."""
    made, twin = q.Checkpoint(ULTRA_NVFP4, tmp_path / "made"), q.Checkpoint(ULTRA_NVFP4, tmp_path / "twin")
    twin.edit_config(quantization_config=None)
    (twin.folder / "hf_quant_config.json").unlink()
    q.decoded_nvfp4(made, twin)
    bf16, experts = twin.save(), "blk.1.ffn_down_exps.weight"
    convert(ULTRA_NVFP4, tmp_path / "kept.gguf", "-r", "nemotron3-3bit", "--keep-nvfp4")
    convert(ULTRA_NVFP4, tmp_path / "small.gguf", "-r", "nemotron3-3bit")
    kept = [error_of(experts, tmp_path / "kept.gguf", s) for s in (ULTRA_NVFP4, bf16)]
    assert kept[0] == 0 and 0 < kept[1] < 2e-3, "BF16 is rounded"
    small = [error_of(experts, tmp_path / "small.gguf", s) for s in (ULTRA_NVFP4, bf16)]
    assert 0.1 < small[0] < 0.2 and small[1] == pytest.approx(small[0], rel=1e-3)
    figure(f"{experts}: kept, error {kept[0]:.2g} against the source, {kept[1]:.2g} against BF16; as IQ3_S {small[0]:.4f}, {small[1]:.4f}")


def test_verify_of_kept_tensors_without_the_mtp_block(tmp_path):
    """`.scale` tensors hid from verify which part of the checkpoint a file holds."""
    source = golden("d1-super-nvfp4-modelopt")
    for flags in (["--no-mtp"], ["--mtp-only"], []):
        convert(source, tmp_path / "out.gguf", "-r", "auto", "--force", *flags)
        mill("verify", tmp_path / "out.gguf", "--source", source).ok()


def test_kept_tensors_are_compared_bit_for_bit(tmp_path):
    """Also where no manifest stands beside the file: one code of one expert is another."""
    out = tmp_path / "out.gguf"
    at = convert(ULTRA_NVFP4, out, "-r", "auto")["blk.1.ffn_up_exps.weight"].data_offset
    for beside in (tmp_path / "out.SHA256SUMS", tmp_path / "out.manifest.json"):
        beside.unlink()
    mill("verify", out, "--source", ULTRA_NVFP4, "--full").ok()
    with open(out, "r+b") as f:
        f.seek(at + 36 * 5 + 10)
        code = f.read(1)[0]
        f.seek(at + 36 * 5 + 10)
        f.write(bytes([code ^ 1]))
    run = mill("verify", out, "--source", ULTRA_NVFP4, "--full")
    assert run.code == 1 and "blk.1.ffn_up_exps.weight" in run.stdout + run.stderr


@pytest.mark.parametrize("what, value, words", [(".weight_scale", 0x7F, "scale 7 of row 200 is NaN"),
                                                (".weight_scale_2", -0.5, "expected a finite number above zero")])
def test_verify_says_what_is_wrong_with_the_source(what, value, words, tmp_path):
    source = golden("d1-super-nvfp4-modelopt")
    convert(source, tmp_path / "out.gguf", "-r", "auto")
    bad = q.Checkpoint(source, tmp_path / "bad")
    name = "backbone.layers.1.mixer.experts.1.down_proj" + what
    array = bad.array(name).copy()
    array[(200, 7) if array.ndim else ()] = value
    bad.set(name, array)
    refused(mill("verify", tmp_path / "out.gguf", "--source", bad.save(), "--full"), 65, name, words)


# ---- the same bytes always

BIG = ["--layers", "mamba moe", "--nvfp4", "--hidden", 1024, "--latent", 1024, "--expert-width", 2048, "--shared-width", 2048,
       "--experts-used", 4, "--heads", 8, "--mamba-heads", 32, "--groups", 2, "--state", 64, "--shard-bytes", 20_000_000]
BIG_FLAGS = ["-r", "nemotron3-3bit", "-t", "up_exps=Q4_K", "--split-max-size", "12M"]


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """80 MB of NVFP4, FP8 and BF16; its conversion's digests and seconds."""
    folder = tmp_path_factory.mktemp("big")
    source = make_checkpoint(folder / "source", "--experts", 32, *BIG)
    (folder / "out").mkdir()
    run = mill("convert", source, "-o", folder / "out" / "big.gguf", *BIG_FLAGS).ok()
    return source, digests(folder / "out"), run.seconds


@pytest.mark.parametrize("flags", [["-j", "1"], ["-j", "3", "--memory", "24MiB"], ["--memory", "1GiB"]], ids=" ".join)
def test_threads_and_memory(flags, big, tmp_path):
    source, want, _ = big
    mill("convert", source, "-o", tmp_path / "big.gguf", *BIG_FLAGS, *flags).ok()
    assert digests(tmp_path) == want


def test_interrupted_and_resumed(big, tmp_path, figure):
    source, want, seconds = big
    for share in (0.6, 0.4, 0.2):
        out = tmp_path / str(share) / "big.gguf"
        out.parent.mkdir()
        if start("convert", source, "-o", out, *BIG_FLAGS).signal_after(share * seconds, signal.SIGINT).code != -signal.SIGINT:
            continue  # faster than before
        assert not digests(out.parent)
        resumed = mill("convert", source, "-o", out, *BIG_FLAGS, "--json").ok()
        assert digests(out.parent) == want
        kept = resumed.event("resume")["bytes_kept"]
        assert kept > 0
        figure(f"quantized source, interrupted at {share:.0%} and resumed: {kept / 1e6:.0f} MB kept, same bytes")
        return
    raise AssertionError("could not interrupt a run")


# ---- refused


def rejected(source, tmp_path, *words, flags=("-r", "nemotron3-3bit")):
    before = {p.name for p in tmp_path.iterdir()}
    refused(mill("convert", source, "-o", tmp_path / "out.gguf", *flags), 65, *words)
    assert {p.name for p in tmp_path.iterdir()} == before, "something was left behind"


@pytest.fixture
def nvfp4(tmp_path):
    return q.Checkpoint(ULTRA_NVFP4, tmp_path / "checkpoint")


@pytest.mark.parametrize("missing, words", [(".weight_scale", ["U8", "scales of a quantized weight are missing"]),
                                            (".weight_scale_2", ["NVFP4 without tensor", EXPERT + ".weight_scale_2"])])
def test_missing_scale(missing, words, nvfp4, tmp_path):
    del nvfp4.tensors[EXPERT + missing]
    source = nvfp4.save()
    rejected(source, tmp_path, EXPERT + ".weight", *words)
    refused(mill("plan", source), 65, EXPERT, *words)


def test_missing_scale_of_an_fp8_tensor(tmp_path):
    made = q.Checkpoint(FP8, tmp_path / "checkpoint")
    del made.tensors["backbone.layers.0.mixer.in_proj.weight_scale"]
    rejected(made.save(), tmp_path, "backbone.layers.0.mixer.in_proj.weight", "F8_E4M3", "scales of a quantized weight are missing")


def test_scales_of_another_shape(nvfp4, tmp_path):
    nvfp4.set(EXPERT + ".weight_scale", nvfp4.array(EXPERT + ".weight_scale").reshape(16, 256))
    rejected(nvfp4.save(), tmp_path, EXPERT + ".weight_scale", "[16, 256]", "expected [256, 16] for groups of 16")


@pytest.mark.parametrize("code, word", [(0x7F, "NaN"), (0xFF, "NaN"), (0xB8, "negative")])
@pytest.mark.parametrize("flags", [("-r", "nemotron3-3bit"), ("-r", "auto"), ("-r", "F32", "--allow-nonfinite")], ids=" ".join)
def test_block_scale_that_is_no_scale(code, word, flags, nvfp4, tmp_path):
    scales = nvfp4.array(EXPERT + ".weight_scale").copy()
    scales[200, 7] = code
    nvfp4.set(EXPERT + ".weight_scale", scales)
    source, shard = nvfp4.save(), nvfp4.tensors[EXPERT + ".weight_scale"][2]
    out = tmp_path / "out"
    out.mkdir()
    refused(mill("convert", source, "-o", out / "out.gguf", *flags), 65, shard, EXPERT + ".weight_scale", f"scale 7 of row 200 is {word}")
    assert not digests(out), "nothing incomplete carries a final name"


@pytest.mark.parametrize("value, word", [(0, "is 0"), (-0.5, "is -0.5"), (np.nan, "nan"), (np.inf, "is inf")])
def test_tensor_scale_that_is_no_scale(value, word, nvfp4, tmp_path):
    nvfp4.set(EXPERT + ".weight_scale_2", np.float32(value))
    source = nvfp4.save()
    rejected(source, tmp_path, EXPERT + ".weight_scale_2", word, "expected a finite number above zero")
    refused(mill("plan", source), 65, EXPERT + ".weight_scale_2", word)


def test_scale_of_activations_matters_where_it_is_written(nvfp4, tmp_path):
    nvfp4.set(EXPERT + ".input_scale", np.float32(0))
    source = nvfp4.save()
    rejected(source, tmp_path, "blk.1.ffn_up_exps.weight", "input_scale", flags=("-r", "auto"))
    mill("convert", source, "-o", tmp_path / "out.gguf", "-r", "nemotron3-3bit").ok()


def test_nan_code_of_an_fp8_tensor(tmp_path):
    made, name = q.Checkpoint(FP8, tmp_path / "checkpoint"), "backbone.layers.0.mixer.in_proj.weight"
    codes = made.array(name).copy()
    codes[3, 5] = 0x7F
    made.set(name, codes)
    source = made.save()
    refused(mill("convert", source, "-o", tmp_path / "out.gguf", "-r", "Q8_0"), 65, name, "1 NaN")
    assert not (tmp_path / "out.gguf").exists()


def test_int4_rows_padded_to_words(tmp_path):
    made = q.Checkpoint(ULTRA, tmp_path / "checkpoint")
    made.quantize(EXPERT + ".weight", q.int4)
    made.set(EXPERT + ".weight_shape", np.array([256, 250], np.int32))
    rejected(made.save(), tmp_path, EXPERT + ".weight_shape", "says [256, 250], the codes are [256, 256]", "padded")


def test_int4_with_zero_points(tmp_path):
    made = q.Checkpoint(ULTRA, tmp_path / "checkpoint")
    made.quantize(EXPERT + ".weight", q.int4)
    made.set(EXPERT + ".weight_zero_point", np.zeros((256, 1), np.int32), "I32", "model-00001-of-00004.safetensors")
    rejected(made.save(), tmp_path, EXPERT, "asymmetric")


@pytest.mark.parametrize("file", ["config.json", "hf_quant_config.json"])
def test_config_that_says_nvfp4_of_bf16_weights(file, tmp_path):
    made = q.Checkpoint(ULTRA, tmp_path / "checkpoint")
    said = {"quant_method": "modelopt", "quant_algo": "NVFP4"}
    if file == "config.json":
        made.edit_config(quantization_config=said)
    else:
        (made.folder / file).write_text(json.dumps({"quantization": said}))
    rejected(made.save(), tmp_path, file, "says that the weights are NVFP4, but no tensor is")


def test_config_that_says_another_scheme_of_a_module(nvfp4, tmp_path):
    path = nvfp4.folder / "hf_quant_config.json"
    config = json.loads(path.read_text())
    config["quantization"]["quantized_layers"][EXPERT] = {"quant_algo": "FP8"}
    path.write_text(json.dumps(config))
    rejected(nvfp4.save(), tmp_path, "hf_quant_config.json", f"says FP8 of {EXPERT}, but its weight is NVFP4")


def test_config_of_a_tool_that_is_not_known(tmp_path):
    made = q.Checkpoint(ULTRA, tmp_path / "checkpoint")
    made.edit_config(quantization_config={"quant_method": "gptq", "bits": 4})
    rejected(made.save(), tmp_path, "config.json", 'quant_method "gptq" is not known')


def test_no_config_says_so(tmp_path):
    made = q.Checkpoint(ULTRA, tmp_path / "checkpoint")
    made.quantize(EXPERT + ".weight", q.fp8_channel)
    assert "1 tensors are quantized, but no config says so" in warnings(made.save(), "-r", "Q8_0")


# ---- in llama.cpp


def test_kept_and_requantized_files_load(tmp_path):
    out = tmp_path / "out.gguf"
    for flags in (["-r", "auto"], ["-r", "nemotron3-3bit", "--keep-nvfp4"], ["-r", "nemotron3-3bit"], ["-r", "Q8_0", "-t", "exps=Q4_K"]):
        convert(ULTRA_NVFP4, out, *flags, "--force")
        runs = generate(out, 8, ["a b c"])
        assert len(runs[0]["prompt_tokens"]) > 0 and len(runs[0]["greedy_tokens"]) > 0, flags
