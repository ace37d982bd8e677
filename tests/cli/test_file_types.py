"""llama.cpp's file types as presets: the same type for every tensor as real llama.cpp's quantizer picks, with and without an
importance matrix, for the families that the program converts and for models of other kinds that only have the shape."""
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter

from llama_quantize import FILE_TYPES, Quantizer
from program import COMPARE, IMATRIX, MINI, ROOT, golden_checkpoint, golden_checkpoints, mill

TOOL = os.environ.get("GGUFMILL_FILE_TYPE_TOOL", str(ROOT / "build" / "tests" / "file_type_tool"))


@pytest.fixture(scope="module")
def quantizer():
    return Quantizer()


@dataclass
class Shape:
    """A model that no converter makes: metadata and matrices, all zeros."""
    arch: str
    blocks: int
    heads: int = 8
    kv_heads: int | list = 8
    experts: int = 0
    shared_experts: bool = False
    tied: bool = False
    width: int = 256
    attention: tuple = ("attn_q", "attn_k", "attn_v", "attn_output")
    no_ffn: tuple = ()  # blocks without
    stacks: tuple = ()  # matrices of attention, one per head
    more: tuple = ()  # names of matrices in no block
    keys: dict = field(default_factory=dict)

    def write(self, path):
        w = GGUFWriter(path, self.arch)
        w.add_block_count(self.blocks)
        w.add_context_length(512)
        w.add_embedding_length(self.width)
        w.add_feed_forward_length(self.width)
        w.add_head_count(self.heads)
        w.add_head_count_kv(self.kv_heads)
        w.add_layer_norm_rms_eps(1e-5)
        w.add_layer_norm_eps(1e-5)
        w.add_vocab_size(64)
        if self.experts:
            w.add_expert_count(self.experts)
            w.add_expert_used_count(1)
        for key, value in self.keys.items():
            (w.add_uint32 if isinstance(value, int) else w.add_float32)(f"{self.arch}.{key}", value)
        for name, shape in self.tensors():
            w.add_tensor(name, np.zeros(shape, dtype=np.float16 if len(shape) > 1 else np.float32))
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.write_tensors_to_file()
        w.close()
        return path

    def tensors(self):
        yield "token_embd.weight", (64, self.width)
        yield "output_norm.weight", (self.width,)
        if not self.tied:
            yield "output.weight", (64, self.width)
        for name in self.more:
            yield name, (2, self.width)
        for block in range(self.blocks):
            names = {name: (2, self.width) for name in self.attention}
            names |= {name: (self.heads, 2, self.width) for name in self.stacks}
            names["attn_norm"] = (self.width,)
            if block not in self.no_ffn:
                kinds = ("ffn_gate", "ffn_up", "ffn_down")
                names |= {f"{k}_exps": (self.experts, 2, self.width) for k in kinds} if self.experts else {k: (2, self.width) for k in kinds}
                if self.experts:
                    names["ffn_gate_inp"] = (self.experts, self.width)
                if self.shared_experts:
                    names |= {f"{k}_shexp": (2, self.width) for k in kinds}
            for name, shape in names.items():
                yield f"blk.{block}.{name}.weight", shape


# Norms, routers, small matrices that llama.cpp keeps by name, names that only look like those, and what has two roles.
ODD_NAMES = tuple(f"{name}.weight" for name in (
    "blk.0.some_norm blk.0.ffn_gate_inp blk.0.ffn_gate_tid2eid blk.0.ffn_gate_inp_shexp blk.0.altup_router blk.0.laurel_l "
    "per_layer_model_proj per_layer_token_embd blk.0.inp_gate blk.0.ssm_conv1d blk.0.ssm_in blk.0.ssm_dt blk.0.shortconv.conv "
    "blk.0.shortconv.in_proj blk.0.indexer.k_proj blk.0.indexer.q_proj blk.0.indexer.proj blk.0.indexer.attn_k blk.0.time_mix_first "
    "blk.0.time_mix_w0 blk.0.time_mix_w1 blk.0.time_mix_w2 blk.0.time_mix_v0 blk.0.time_mix_v1 blk.0.time_mix_v2 blk.0.time_mix_a0 "
    "blk.0.time_mix_a1 blk.0.time_mix_a2 blk.0.time_mix_g1 blk.0.time_mix_g2 blk.0.time_mix_decay_w1 blk.0.time_mix_decay_w2 "
    "blk.0.time_mix_lerp_fused blk.0.time_mix_key blk.0.attn_rel_b v.position_embd position_embd token_types sam.pos_embd "
    "sam.neck.0 sam.net_2 blk.0.attn.rel_pos_h v.patch_embd v.patch_merger a.rvq.codebook mm.a.code_embd blk.0.attn_qkv "
    "blk.0.attn_kv_b blk.0.attn_q_a blk.0.ffn_latent_down blk.0.ffn_gate_up_exps output_extra").split()) + (
        "blk.0.no_suffix", "blk.0.attn_v.weight_scale", "blk.0.ffn_down.bias")
DEEPSEEK_KEYS = {"attention.q_lora_rank": 32, "attention.kv_lora_rank": 32, "expert_feed_forward_length": 256,
                 "expert_shared_count": 1, "nextn_predict_layers": 1}
BAILING_KEYS = {"attention.key_length_mla": 32, "attention.value_length_mla": 32, "attention.kv_lora_rank": 32,
                "ssm.conv_kernel": 4, "kda.head_dim": 32, "kda.gate_lower_bound": -5.0, "expert_feed_forward_length": 256,
                "expert_shared_count": 1, "leading_dense_block_count": 1, "expert_gating_func": 2}
QKV = ("attn_qkv", "attn_output")
SHAPES = {
    "dense": Shape("llama", 32),
    "dense_tied": Shape("llama", 16, tied=True),
    "few_blocks": Shape("llama", 3),
    "more_blocks": Shape("llama", 37, kv_heads=4),
    "heads_share_values": Shape("llama", 32, kv_heads=2),
    "heads_share_values_in_later_blocks": Shape("deci", 10, kv_heads=[0, 2] * 5),
    "blocks_without_ffn": Shape("deci", 24, kv_heads=2, no_ffn=(0, 1, 5, 20)),
    "four_experts": Shape("llama", 17, experts=4),
    "eight_experts": Shape("llama", 32, kv_heads=2, experts=8),
    "eight_experts_tied": Shape("llama", 9, experts=8, tied=True),
    "one_expert": Shape("llama", 16, experts=1),
    "shared_experts": Shape("qwen2moe", 24, kv_heads=2, experts=16, shared_experts=True),
    "one_matrix_of_attention": Shape("falcon", 32, attention=QKV),
    "falcon_shared": Shape("falcon", 60, kv_heads=1, attention=QKV, tied=True),
    "not_falcon": Shape("starcoder", 24, kv_heads=1, attention=QKV),
    "llama_70b": Shape("llama", 80, kv_heads=1),
    "llama_70b_two_share": Shape("llama", 80, kv_heads=4),
    "llama_65b": Shape("llama", 80),
    "deci_70b": Shape("deci", 80, kv_heads=1),
    "olmo_70b": Shape("olmo", 80),
    "qwen2_70b": Shape("qwen2", 80, kv_heads=1),
    "jais2_70b": Shape("jais2", 68),
    "stacks_of_heads": Shape("bailingmoe3", 24, kv_heads=8, experts=16, attention=("attn_q",), stacks=("attn_k_b", "attn_v_b"),
                             keys=BAILING_KEYS),
    "stacks_of_heads_and_experts": Shape("deepseek2", 8, kv_heads=1, experts=16, attention=("attn_kv_b", "attn_output"),
                                         stacks=("attn_k_b", "attn_v_b"), keys=DEEPSEEK_KEYS),
    "odd_names": Shape("llama", 4, more=ODD_NAMES),
    "odd_names_tied": Shape("llama", 4, more=ODD_NAMES, tied=True),
    "rows_of_96": Shape("llama", 16, kv_heads=2, width=96),
    "rows_of_160_tied": Shape("llama", 16, width=160, tied=True),
    "rows_of_128": Shape("llama", 16, width=128),
    "rows_of_40": Shape("llama", 8, heads=5, kv_heads=5, width=40),
}


@pytest.mark.parametrize("name", SHAPES)
def test_any_model(name, quantizer, tmp_path):
    source = SHAPES[name].write(tmp_path / "model.gguf")
    names = [t.name for t in GGUFReader(source).tensors]
    run = subprocess.run([TOOL, source], capture_output=True, text=True, check=True)
    lines = [line.split() for line in run.stdout.splitlines()]
    assert {line[0] for line in lines} == set(FILE_TYPES)
    for file_type, imatrix, *types in lines:
        want = quantizer.types(source, file_type, imatrix == "1")
        assert want is None or dict(zip(names, types, strict=True)) == want, f"{file_type} {imatrix}"


FAMILY = {
    "nano": (golden_checkpoint("a-nano-bf16"), []),
    "super": (golden_checkpoint("b-super-bf16"), []),
    "super_without_mtp": (golden_checkpoint("b-super-bf16"), ["--no-mtp"]),
    "ultra_mtp_only": (golden_checkpoint("c-ultra-bf16-mixshards"), ["--mtp-only"]),
    "llama": (golden_checkpoint("f-llama31-405b-bf16"), []),
    "llama_tied": (golden_checkpoint("f5-llama32-tied-bf16"), []),
    "mixtral": (golden_checkpoint("f3-mixtral-bf16"), []),
    "deci": (golden_checkpoint("e-deci253b-bf16"), []),
    "deci_linear": (golden_checkpoint("e2-deci51b-bf16"), []),
    "nemotron4": (golden_checkpoint("g-minitron-bf16"), []),
    "nemotron_h_dense": (golden_checkpoint("k1-nemotronh-bf16"), []),
    "deepseek2": (golden_checkpoint("h7-dsv3-bf16"), []),
    "deepseek32": (golden_checkpoint("h1-dsv32-bf16"), []),
    "deepseek4": (golden_checkpoint("h3-dsv4-mxfp4"), []),
    "deepseek4_mtp_only": (golden_checkpoint("h3-dsv4-mxfp4"), ["--mtp-only"]),
    "glm4moe": (golden_checkpoint("m1-glm45-bf16"), []),
    "glm_dsa_without_mtp": (golden_checkpoint("h5-glm52-bf16"), ["--no-mtp"]),
    "gpt_oss": (golden_checkpoint("i-gptoss-mxfp4"), []),
    "kimi": (golden_checkpoint("h6-kimi-k25-int4"), []),
    "qwen2_72b": (golden_checkpoint("j2-qwen25-72b"), []),
    "qwen3": (golden_checkpoint("j3-qwen3-bf16"), []),
    "qwen3moe": (golden_checkpoint("j4-qwen3moe-bf16"), []),
    "qwen3next": (golden_checkpoint("j6-qwen3next-bf16"), []),
    "qwen35": (golden_checkpoint("j5-qwen35-bf16"), []),
    "qwen35moe": (golden_checkpoint("h4-qwen35moe-bf16"), []),
    "mini": (MINI, []),
    "mini_imatrix": (MINI, ["--imatrix", IMATRIX]),
}


@pytest.mark.parametrize("name", FAMILY)
def test_plan(name, quantizer, tmp_path, figure):
    source, flags = FAMILY[name]
    auto = tmp_path / "auto.gguf"
    mill("convert", source, "-o", auto, "-r", "auto", *flags).ok()
    compared = 0
    for file_type in FILE_TYPES:
        plan = mill("plan", source, "--json", "-r", file_type, *flags).ok().json
        want = quantizer.types(auto, file_type, "--imatrix" in flags)
        assert want is None or {t["name"]: t["type"] for t in plan["tensors"]} == want, file_type
        compared += want is not None
    figure(f"{name}: the types of {compared} of {len(FILE_TYPES)} file types equal llama.cpp's, it refuses the others")


GOLDENS = [(source, m) for source in golden_checkpoints()
           for m in sorted(source.parent.glob("quant.*.json"))]


@pytest.mark.parametrize("source, manifest", GOLDENS, ids=lambda p: p.stem if p.is_file() else p.parent.name)
def test_golden(source, manifest, tmp_path):
    """The finished file: types as in the golden, and the number of the file type."""
    out = tmp_path / "out.gguf"
    golden = json.loads(manifest.read_text())
    mill("convert", source, "-o", out, "-r", golden["quant"]).ok()
    run = subprocess.run([sys.executable, COMPARE, "--types", manifest, out], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]
    assert GGUFReader(out).fields["general.file_type"].contents() == FILE_TYPES[golden["quant"]]


def test_real_run_equals_the_dry_run(quantizer, tmp_path):
    """The oracle itself: what llama.cpp writes has the types that its dry run tells."""
    auto, out = tmp_path / "auto.gguf", tmp_path / "out.gguf"
    mill("convert", golden_checkpoint("a-nano-bf16"), "-o", auto, "-r", "auto").ok()
    quantizer.run(auto, out, "Q3_K_L", imatrix=False, dry_run=False)
    assert {t.name: t.tensor_type.name for t in GGUFReader(out).tensors} == quantizer.types(auto, "Q3_K_L")


def test_no_importance_matrix_is_a_finding_where_llama_cpp_refuses(quantizer, tmp_path):
    auto, out = tmp_path / "auto.gguf", tmp_path / "out.gguf"
    mill("convert", MINI, "-o", auto, "-r", "auto").ok()
    with pytest.raises(AssertionError, match="requires an imatrix"):
        quantizer.run(auto, tmp_path / "theirs.gguf", "IQ2_XS", imatrix=False, dry_run=False)
    findings = mill("plan", MINI, "--json", "-r", "IQ2_XS").ok().json["findings"]
    assert any("llama-quantize refuses to write without an importance matrix" in f["message"] for f in findings)
    mill("convert", MINI, "-o", out, "-r", "IQ2_XS").ok()
    findings = mill("plan", MINI, "--json", "-r", "IQ2_XS", "--imatrix", IMATRIX).ok().json["findings"]
    assert not any("refuses" in f["message"] for f in findings)


def test_recipe_show_and_list():
    shown = mill("recipe", "show", "q4_k_m").ok().stdout
    assert "first and last eighth, every third between" in shown and "general.file_type 15" in shown
    names = {r["name"] for r in json.loads(mill("recipe", "list", "--json").ok().stdout)}
    assert set(FILE_TYPES) <= names
