"""The whole of the largest model as sparse files: 51,023 tensors in 57 shards, 1.1 TB. Its plan is made from headers alone."""
import shutil

import pytest

from program import make_checkpoint, mill


@pytest.fixture(scope="module")
def ultra(tmp_path_factory):
    folder = make_checkpoint(tmp_path_factory.mktemp("source") / "ultra", "--ultra", "--sparse")
    yield folder
    shutil.rmtree(folder)


def test_plan(ultra, figure):
    run = mill("plan", ultra, "--json").ok()
    plan = run.json
    figure(f"plan of Ultra: {run.seconds:.2f} s, {run.peak_rss / 2**20:.0f} MiB; {plan['total_bytes'] / 1e9:.1f} GB "
           f"({plan['total_bytes'] / 2**30:.1f} GiB), {plan['bits_per_weight']:.3f} bits a weight, {len(plan['files'])} files")
    assert run.peak_rss < 200 * 2**20
    assert plan["parameters"] == 560_524_603_904
    assert 250e9 < plan["total_bytes"] < 275e9
    assert {c["name"] for c in plan["classes"]} == {"experts", "shared_experts", "router", "latent", "attention", "ssm", "embeddings", "output",
                                                    "norms", "conv", "mtp"}
    types = {t["name"]: t["type"] for t in plan["tensors"]}
    assert types["blk.1.ffn_up_exps.weight"] == "IQ3_XXS" and types["blk.1.ffn_down_exps.weight"] == "IQ3_S"
    assert types["blk.108.ffn_up_exps.weight"] == "Q8_0", "the MTP block's experts too"
    assert types["blk.1.ffn_gate_inp.weight"] == "F32"
    assert len(plan["files"]) <= 64 and all(f["bytes"] <= 50_000_000_000 for f in plan["files"])


def test_table(ultra, figure):
    run = mill("plan", ultra).ok()
    assert "experts" in run.stdout
    figure(f"as a table: {run.seconds:.2f} s, {run.peak_rss / 2**20:.0f} MiB")


def test_quantized_form(tmp_path, figure):
    """The Ultra that is downloaded most: routed experts NVFP4, 198,863 tensors. Scales of whole tensors are read with the plan."""
    source = make_checkpoint(tmp_path / "ultra", "--ultra", "--sparse", "--nvfp4")
    run = mill("plan", source, "--json").ok()
    plan = run.json
    figure(f"from its NVFP4 form ({plan['source_bytes'] / 1e9:.0f} GB): {run.seconds:.2f} s, {run.peak_rss / 2**20:.0f} MiB")
    assert run.peak_rss < 200 * 2**20
    assert plan["parameters"] == 560_524_603_904
    types = {t["name"]: t["type"] for t in plan["tensors"]}
    assert types["blk.1.ffn_up_exps.weight"] == "IQ3_XXS" and types["blk.108.ffn_up_exps.weight"] == "Q8_0"
    kept = mill("plan", source, "--json", "--keep-nvfp4").ok().json
    types = {t["name"]: t["type"] for t in kept["tensors"]}
    assert types["blk.1.ffn_up_exps.weight"] == "NVFP4" and types["blk.1.ffn_up_exps.scale"] == "F32"
    shutil.rmtree(source)
