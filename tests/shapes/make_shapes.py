#!/usr/bin/env python3
"""Checkpoints with the true shapes of large published models, as holes: what `ggufmill plan` can be tried on at scale without a
download. Names, shapes and dtypes of all tensors, the configuration, and a tokenizer of the true number of tokens and merges are
as published; the values are holes of sparse files (a checkpoint of 1.6 TB takes a few MB of disk), but for the tensors in which a
zero would not be a number of the form (Kimi's weight_shape). Standard library only; report.py imports it.

usage: make_shapes.py MODEL OUT      writes the checkpoint OUT/MODEL and compares its size with the published one
       make_shapes.py --list         the models, their size and where their numbers come from
       make_shapes.py --check        the same comparison for all models, without writing files

A configuration is that of the family's tiny golden checkpoint (tests/data/goldens) with the published numbers put over it. Their
sources: `aic` stands for ai-dynamo/aiconfigurator, which holds copies of published configurations as
aic-core/src/aiconfigurator_core/model_configs/ORG--NAME_config.json. Tensor names and dtypes are those of the goldens. What the
sources do not say, and is filled in from the family, is written in `unsure`. Not here: values (bench/make_checkpoint makes random
ones), templates and texts of the true tokenizers."""
import base64, itertools, json, math, shutil, struct, sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, NamedTuple

GOLDENS = Path(__file__).resolve().parent.parent / 'data' / 'goldens'
BYTES = dict(BF16=2, F32=4, F8_E4M3=1, F8_E8M0=1, U8=1, I8=1, I32=4, I64=8)


class Tensor(NamedTuple):
    name: str
    dtype: str
    shape: tuple
    weights: int        # parameters that it holds; 0 for scales and the like
    data: bytes = b''   # what must not be a hole

    @property
    def bytes(self):
        return BYTES[self.dtype] * math.prod(self.shape)


def bf16(name, *shape):
    return [Tensor(name, 'BF16', shape, math.prod(shape))]


def f32(name, *shape):
    return [Tensor(name, 'F32', shape, math.prod(shape))]


def plain(stem, rows, cols):
    return bf16(stem + '.weight', rows, cols)


def fp8_blocks(stem, rows, cols, scale='weight_scale_inv', scale_dtype='F32'):
    return [Tensor(stem + '.weight', 'F8_E4M3', (rows, cols), rows * cols),
            Tensor(f'{stem}.{scale}', scale_dtype, (-(-rows // 128), -(-cols // 128)), 0)]


def fp8_v4(stem, rows, cols):
    return fp8_blocks(stem, rows, cols, 'scale', 'F8_E8M0')


def fp4_v4(stem, rows, cols):
    return [Tensor(stem + '.weight', 'I8', (rows, cols // 2), rows * cols), Tensor(stem + '.scale', 'F8_E8M0', (rows, cols // 32), 0)]


def int4_packed(stem, rows, cols):
    return [Tensor(stem + '.weight_packed', 'I32', (rows, cols // 8), rows * cols),
            Tensor(stem + '.weight_scale', 'BF16', (rows, cols // 32), 0),
            Tensor(stem + '.weight_shape', 'I32', (2,), 0, struct.pack('<2i', rows, cols))]


# ---- families: a configuration -> the tensors of the published checkpoint -------------------------------------------------------
def llama_block(p, hidden, heads, kv_heads, head_dim, ffn):
    if heads:
        yield from bf16(p + 'input_layernorm.weight', hidden)
        for name, rows, cols in (('q', heads * head_dim, hidden), ('k', kv_heads * head_dim, hidden), ('v', kv_heads * head_dim, hidden),
                                 ('o', hidden, heads * head_dim)):
            yield from plain(f'{p}self_attn.{name}_proj', rows, cols)
    if ffn:
        yield from bf16(p + 'post_attention_layernorm.weight', hidden)
        yield from gated_mlp(p + 'mlp.', hidden, ffn, plain)


def gated_mlp(p, hidden, width, form):
    return form(p + 'gate_proj', width, hidden) + form(p + 'up_proj', width, hidden) + form(p + 'down_proj', hidden, width)


def ends(c, embed='model.embed_tokens', norm='model.norm', head='lm_head'):
    yield from plain(embed, c['vocab_size'], c['hidden_size'])
    yield from bf16(norm + '.weight', c['hidden_size'])
    yield from plain(head, c['vocab_size'], c['hidden_size'])


def llama(c):
    yield from ends(c)
    heads = c['num_attention_heads']
    for i in range(c['num_hidden_layers']):
        yield from llama_block(f'model.layers.{i}.', c['hidden_size'], heads, c['num_key_value_heads'], c['hidden_size'] // heads,
                               c['intermediate_size'])


def deci(c):
    yield from ends(c)
    hidden, heads = c['hidden_size'], c['num_attention_heads']
    for i, block in enumerate(c['block_configs']):
        group, mult = block['attention']['n_heads_in_group'], block['ffn']['ffn_mult']
        ffn = (int(2 * mult * hidden / 3) + 255) // 256 * 256 if mult else 0
        yield from llama_block(f'model.layers.{i}.', hidden, heads if group else 0, heads // group if group else 0, hidden // heads, ffn)


def nemotron(c):
    yield from ends(c)
    yield from bf16('model.norm.bias', c['hidden_size'])
    hidden, ffn, heads = c['hidden_size'], c['intermediate_size'], c['num_attention_heads']
    kv_rows = c['num_key_value_heads'] * hidden // heads
    for i in range(c['num_hidden_layers']):
        p = f'model.layers.{i}.'
        for norm in ('input_layernorm', 'post_attention_layernorm'):
            yield from bf16(f'{p}{norm}.weight', hidden) + bf16(f'{p}{norm}.bias', hidden)
        for name, rows in (('q', hidden), ('k', kv_rows), ('v', kv_rows), ('o', hidden)):
            yield from plain(f'{p}self_attn.{name}_proj', rows, hidden)
        yield from plain(p + 'mlp.up_proj', ffn, hidden) + plain(p + 'mlp.down_proj', hidden, ffn)


def nemotron_h(c):
    hidden = c['hidden_size']
    kinds = c.get('layers_block_type') or [dict(M='mamba', E='moe').get(x, 'attention') for x in c['hybrid_override_pattern']]
    yield from ends(c, 'backbone.embeddings', 'backbone.norm_f')
    for i, kind in enumerate(kinds):
        p = f'backbone.layers.{i}.'
        yield from bf16(p + 'norm.weight', hidden)
        yield from dict(mamba=mamba, moe=latent_moe, attention=hybrid_attention)[kind](c, p + 'mixer.')
    if c.get('num_nextn_predict_layers'):
        yield from plain('mtp.layers.0.eh_proj', hidden, 2 * hidden)
        for name in ('0.enorm', '0.hnorm', '0.norm', '1.norm', '1.final_layernorm'):
            yield from bf16(f'mtp.layers.{name}.weight', hidden)
        yield from hybrid_attention(c, 'mtp.layers.0.mixer.')
        yield from latent_moe(c, 'mtp.layers.1.mixer.')


def mamba(c, p):
    heads, inner = c['mamba_num_heads'], c['mamba_num_heads'] * c['mamba_head_dim']
    conv = inner + 2 * c['n_groups'] * c['ssm_state_size']
    yield from plain(p + 'in_proj', inner + conv + heads, c['hidden_size']) + plain(p + 'out_proj', c['hidden_size'], inner)
    yield from bf16(p + 'conv1d.weight', conv, 1, c['conv_kernel']) + bf16(p + 'conv1d.bias', conv) + bf16(p + 'norm.weight', inner)
    for name in ('A_log', 'D', 'dt_bias'):
        yield from bf16(p + name, heads)


def latent_moe(c, p):
    hidden, latent, experts = c['hidden_size'], c.get('moe_latent_size'), c['n_routed_experts']
    yield from plain(p + 'gate', experts, hidden) + f32(p + 'gate.e_score_correction_bias', experts)
    if latent:
        yield from plain(p + 'fc1_latent_proj', latent, hidden) + plain(p + 'fc2_latent_proj', hidden, latent)
    widths = [('shared_experts', hidden, c['moe_shared_expert_intermediate_size'])]
    widths += [(f'experts.{e}', latent or hidden, c['moe_intermediate_size']) for e in range(experts)]
    for name, cols, width in widths:
        yield from plain(f'{p}{name}.up_proj', width, cols) + plain(f'{p}{name}.down_proj', cols, width)


def hybrid_attention(c, p):
    hidden, q, kv = c['hidden_size'], c['num_attention_heads'] * c['head_dim'], c['num_key_value_heads'] * c['head_dim']
    for name, rows, cols in (('q', q, hidden), ('k', kv, hidden), ('v', kv, hidden), ('o', hidden, q)):
        yield from plain(f'{p}{name}_proj', rows, cols)


def deepseek(c, root='', form=plain, expert=None, mtp_shares=False, index_norm=f32):
    """DeepSeek-V3's architecture; with index_head_dim the indexer of V3.2. mtp_shares: the MTP block has no embedding of its own."""
    hidden, experts, layers, mtp = c['hidden_size'], c['n_routed_experts'], c['num_hidden_layers'], c['num_nextn_predict_layers']
    yield from ends(c, root + 'model.embed_tokens', root + 'model.norm', root + 'lm_head')
    for i in range(layers + mtp):
        p = f'{root}model.layers.{i}.'
        yield from bf16(p + 'input_layernorm.weight', hidden) + bf16(p + 'post_attention_layernorm.weight', hidden)
        yield from mla(c, p + 'self_attn.', form, index_norm)
        if i < c['first_k_dense_replace']:
            yield from gated_mlp(p + 'mlp.', hidden, c['intermediate_size'], form)
        else:
            yield from plain(p + 'mlp.gate', experts, hidden) + f32(p + 'mlp.gate.e_score_correction_bias', experts)
            yield from gated_mlp(p + 'mlp.shared_experts.', hidden, c['n_shared_experts'] * c['moe_intermediate_size'], form)
            for e in range(experts):
                yield from gated_mlp(f'{p}mlp.experts.{e}.', hidden, c['moe_intermediate_size'], expert or form)
        if i >= layers:
            yield from plain(p + 'eh_proj', hidden, 2 * hidden)
            for name in ('enorm', 'hnorm', 'shared_head.norm'):
                yield from bf16(f'{p}{name}.weight', hidden)
            for name in () if mtp_shares else ('embed_tokens', 'shared_head.head'):
                yield from plain(p + name, c['vocab_size'], hidden)


def mla(c, p, form, index_norm):
    hidden, heads, q_rank, kv_rank = c['hidden_size'], c['num_attention_heads'], c['q_lora_rank'], c['kv_lora_rank']
    nope, rope, value = c['qk_nope_head_dim'], c['qk_rope_head_dim'], c['v_head_dim']
    yield from form(p + 'q_a_proj', q_rank, hidden) + bf16(p + 'q_a_layernorm.weight', q_rank)
    yield from form(p + 'q_b_proj', heads * (nope + rope), q_rank)
    yield from form(p + 'kv_a_proj_with_mqa', kv_rank + rope, hidden) + bf16(p + 'kv_a_layernorm.weight', kv_rank)
    yield from form(p + 'kv_b_proj', heads * (nope + value), kv_rank) + form(p + 'o_proj', hidden, heads * value)
    if 'index_head_dim' in c:
        width, p = c['index_head_dim'], p + 'indexer.'
        yield from form(p + 'wq_b', c['index_n_heads'] * width, q_rank) + form(p + 'wk', width, hidden)
        yield from plain(p + 'weights_proj', c['index_n_heads'], hidden)
        yield from index_norm(p + 'k_norm.weight', width) + index_norm(p + 'k_norm.bias', width)


def deepseek_fp8(c):
    return deepseek(c, form=fp8_blocks)


def glm_dsa(c):
    return deepseek(c, mtp_shares=True, index_norm=bf16)


def kimi_int4(c):
    yield from deepseek(c['text_config'], root='language_model.', expert=int4_packed)
    v = c['vision_config']
    hidden, width, text, merged = v['vt_hidden_size'], v['vt_intermediate_size'], v['text_hidden_size'], v['vt_hidden_size'] * 4
    for name, *shape in (('patch_embed.pos_emb.weight', 64, 64, hidden), ('patch_embed.proj.weight', hidden, 3, 14, 14),
                         ('patch_embed.proj.bias', hidden), ('encoder.final_layernorm.weight', hidden),
                         ('encoder.final_layernorm.bias', hidden)):
        yield from bf16('vision_tower.' + name, *shape)
    for i in range(v['vt_num_hidden_layers']):
        for name, *shape in (('wqkv', 3 * hidden, hidden), ('wo', hidden, hidden), ('mlp.fc0', width, hidden), ('mlp.fc1', hidden, width),
                             ('norm0', hidden), ('norm1', hidden)):
            yield from bf16(f'vision_tower.encoder.blocks.{i}.{name}.weight', *shape)
            yield from bf16(f'vision_tower.encoder.blocks.{i}.{name}.bias', shape[0])
    for name, *shape in (('pre_norm', hidden), ('proj.0', merged, merged), ('proj.2', text, merged)):
        yield from bf16(f'mm_projector.{name}.weight', *shape) + bf16(f'mm_projector.{name}.bias', shape[0])


def deepseek_v4(c):
    yield from ends(c, 'embed', 'norm', 'head')
    yield from hyper_head(c, '')
    for i in range(c['num_hidden_layers']):
        yield from v4_block(c, f'layers.{i}.', c['compress_ratios'][i], hashed=i < c['num_hash_layers'])
    for i in range(c['num_nextn_predict_layers']):
        p = f'mtp.{i}.'
        yield from v4_block(c, p, c['compress_ratios'][c['num_hidden_layers'] + i], hashed=False)
        yield from hyper_head(c, p)
        for name in ('e_proj', 'h_proj'):
            yield from fp8_v4(p + name, c['hidden_size'], c['hidden_size'])
        for name in ('enorm', 'hnorm', 'norm'):
            yield from bf16(f'{p}{name}.weight', c['hidden_size'])


def hyper_head(c, p):
    n = c['hc_mult']
    return f32(p + 'hc_head_fn', n, n * c['hidden_size']) + f32(p + 'hc_head_base', n) + f32(p + 'hc_head_scale', 1)


def compressor(c, p, ratio, width):
    rows = width * (2 if ratio == 4 else 1)  # windows of 4 overlap
    yield from f32(p + 'ape', ratio, rows) + bf16(p + 'norm.weight', width)
    yield from plain(p + 'wgate', rows, c['hidden_size']) + plain(p + 'wkv', rows, c['hidden_size'])


def v4_block(c, p, ratio, hashed):
    hidden, heads, width, q_rank, n = c['hidden_size'], c['num_attention_heads'], c['head_dim'], c['q_lora_rank'], c['hc_mult']
    out, experts, mixes = c['o_groups'] * c['o_lora_rank'], c['n_routed_experts'], n * (n + 2)
    for part in ('attn', 'ffn'):
        yield from bf16(f'{p}{part}_norm.weight', hidden) + f32(f'{p}hc_{part}_fn', mixes, n * hidden)
        yield from f32(f'{p}hc_{part}_base', mixes) + f32(f'{p}hc_{part}_scale', 3)
    a = p + 'attn.'
    yield from f32(a + 'attn_sink', heads) + bf16(a + 'q_norm.weight', q_rank) + bf16(a + 'kv_norm.weight', width)
    for name, rows, cols in (('wq_a', q_rank, hidden), ('wq_b', heads * width, q_rank), ('wkv', width, hidden),
                             ('wo_a', out, heads * width // c['o_groups']), ('wo_b', hidden, out)):
        yield from fp8_v4(a + name, rows, cols)
    if ratio:
        yield from compressor(c, a + 'compressor.', ratio, width)
    if ratio == 4:
        yield from compressor(c, a + 'indexer.compressor.', ratio, c['index_head_dim'])
        yield from fp8_v4(a + 'indexer.wq_b', c['index_n_heads'] * c['index_head_dim'], q_rank)
        yield from plain(a + 'indexer.weights_proj', c['index_n_heads'], hidden)
    f = p + 'ffn.'
    yield from plain(f + 'gate', experts, hidden)
    yield from ([Tensor(f + 'gate.tid2eid', 'I64', (c['vocab_size'], c['num_experts_per_tok']), 0)] if hashed
                else f32(f + 'gate.bias', experts))
    for name, form in itertools.chain([('shared_experts', fp8_v4)], ((f'experts.{e}', fp4_v4) for e in range(experts))):
        for matrix, rows, cols in (('w1', c['moe_intermediate_size'], hidden), ('w2', hidden, c['moe_intermediate_size']),
                                   ('w3', c['moe_intermediate_size'], hidden)):
            yield from form(f'{f}{name}.{matrix}', rows, cols)


def qwen35_moe(c):
    t = c['text_config']
    yield from ends(t, 'model.language_model.embed_tokens', 'model.language_model.norm')
    for i, kind in enumerate(t['layer_types']):
        yield from qwen35_block(t, f'model.language_model.layers.{i}.', kind == 'linear_attention')
    yield from plain('mtp.fc', t['hidden_size'], 2 * t['hidden_size'])
    for name in ('norm', 'pre_fc_norm_embedding', 'pre_fc_norm_hidden'):
        yield from bf16(f'mtp.{name}.weight', t['hidden_size'])
    yield from qwen35_block(t, 'mtp.layers.0.', False)
    v = c['vision_config']
    hidden, width, merged = v['hidden_size'], v['intermediate_size'], v['hidden_size'] * v['spatial_merge_size'] ** 2
    yield from bf16('model.visual.patch_embed.proj.weight', hidden, 3, v['temporal_patch_size'], v['patch_size'], v['patch_size'])
    yield from bf16('model.visual.patch_embed.proj.bias', hidden) + plain('model.visual.pos_embed', v['num_position_embeddings'], hidden)
    names = [('merger.norm', hidden), ('merger.linear_fc1', merged, merged), ('merger.linear_fc2', v['out_hidden_size'], merged)]
    for i in range(v['depth']):
        names += [(f'blocks.{i}.{name}', *shape) for name, *shape in (
            ('attn.qkv', 3 * hidden, hidden), ('attn.proj', hidden, hidden), ('mlp.linear_fc1', width, hidden),
            ('mlp.linear_fc2', hidden, width), ('norm1', hidden), ('norm2', hidden))]
    for name, *shape in names:
        yield from bf16(f'model.visual.{name}.weight', *shape) + bf16(f'model.visual.{name}.bias', shape[0])


def qwen35_block(t, p, linear):
    hidden, experts, width = t['hidden_size'], t['num_experts'], t['moe_intermediate_size']
    yield from bf16(p + 'input_layernorm.weight', hidden) + bf16(p + 'post_attention_layernorm.weight', hidden)
    if linear:
        a, k, v = p + 'linear_attn.', t['linear_num_key_heads'] * t['linear_key_head_dim'], t['linear_num_value_heads'] * t['linear_value_head_dim']
        for name, rows, cols in (('in_proj_qkv', 2 * k + v, hidden), ('in_proj_z', v, hidden), ('in_proj_a', t['linear_num_value_heads'], hidden),
                                 ('in_proj_b', t['linear_num_value_heads'], hidden), ('out_proj', hidden, v)):
            yield from plain(a + name, rows, cols)
        yield from bf16(a + 'conv1d.weight', 2 * k + v, 1, t['linear_conv_kernel_dim']) + bf16(a + 'dt_bias', t['linear_num_value_heads'])
        yield from f32(a + 'A_log', t['linear_num_value_heads']) + f32(a + 'norm.weight', t['linear_value_head_dim'])
    else:
        a, q, kv = p + 'self_attn.', t['num_attention_heads'] * t['head_dim'], t['num_key_value_heads'] * t['head_dim']
        for name, rows, cols in (('q', 2 * q, hidden), ('k', kv, hidden), ('v', kv, hidden), ('o', hidden, q)):
            yield from plain(f'{a}{name}_proj', rows, cols)
        yield from bf16(a + 'q_norm.weight', t['head_dim']) + bf16(a + 'k_norm.weight', t['head_dim'])
    m = p + 'mlp.'
    yield from plain(m + 'gate', experts, hidden) + plain(m + 'shared_expert_gate', 1, hidden)
    yield from bf16(m + 'experts.gate_up_proj', experts, 2 * width, hidden) + bf16(m + 'experts.down_proj', experts, hidden, width)
    yield from gated_mlp(m + 'shared_expert.', hidden, t['shared_expert_intermediate_size'], plain)


def gpt_oss(c):
    hidden, width, experts, head_dim = c['hidden_size'], c['intermediate_size'], c['num_local_experts'], c['head_dim']
    yield from ends(c)
    for i in range(c['num_hidden_layers']):
        p, q, kv = f'model.layers.{i}.', c['num_attention_heads'] * head_dim, c['num_key_value_heads'] * head_dim
        yield from bf16(p + 'input_layernorm.weight', hidden) + bf16(p + 'post_attention_layernorm.weight', hidden)
        for name, rows, cols in (('q', q, hidden), ('k', kv, hidden), ('v', kv, hidden), ('o', hidden, q)):
            yield from plain(f'{p}self_attn.{name}_proj', rows, cols) + bf16(f'{p}self_attn.{name}_proj.bias', rows)
        yield from bf16(p + 'self_attn.sinks', c['num_attention_heads'])
        yield from plain(p + 'mlp.router', experts, hidden) + bf16(p + 'mlp.router.bias', experts)
        for name, rows, cols in (('gate_up_proj', 2 * width, hidden), ('down_proj', hidden, width)):
            e = f'{p}mlp.experts.{name}'
            yield Tensor(e + '_blocks', 'U8', (experts, rows, cols // 32, 16), experts * rows * cols)
            yield Tensor(e + '_scales', 'U8', (experts, rows, cols // 32), 0)
            yield from bf16(e + '_bias', experts, rows)


# ---- the models -----------------------------------------------------------------------------------------------------------------
@dataclass
class Model:
    family: Callable
    golden: str             # folder of tests/data/goldens: configuration and tokenizer to start from
    source: str             # of the numbers
    config: dict            # put over the golden's
    merges: int = 0         # of the true tokenizer
    published: dict = field(default_factory=dict)   # name of a number of totals() -> (number, tolerance, who says so)
    unsure: str = ''
    text: dict = field(default_factory=dict)        # put over the golden's text_config
    drop: tuple = ()        # fields of the golden's that this model's configuration does not have
    tokenizer: str = ''     # another golden for the tokenizer


def blocks_253b():
    """block_configs, run-length coded: (n_heads_in_group or None, ffn_mult or None, how many)."""
    runs = ((16, .4875, 1), (16, .975, 1), (16, 1.4625, 6), (16, 1.95, 1), (0, 0, 4), (16, 1.95, 3), (16, 4.875, 2), (0, 0, 6),
            (16, 4.875, 3), (0, 0, 5), (16, 4.875, 3), (16, 2.4375, 1), (0, 0, 3), (16, 1.95, 3), (0, 1.95, 1), (16, 4.875, 1),
            (0, 4.875, 1), (0, 0, 5), (16, 4.875, 4), (0, 0, 5), (16, 4.875, 4), (0, 0, 5), (16, 4.875, 4), (0, 0, 5), (16, 4.875, 4),
            (0, 0, 5), (16, 4.875, 1), (16, 3.4125, 3), (0, 0, 2), (16, 2.925, 1), (16, 2.4375, 3), (0, 2.4375, 2), (16, 2.4375, 1),
            (0, 0, 1), (0, 2.4375, 7), (16, 2.4375, 1), (0, 0, 5), (16, 2.925, 1), (16, 4.875, 1), (0, 4.875, 1), (16, 4.875, 1),
            (0, 0, 8), (0, 36.5625, 1), (0, 0, 8), (0, 39.0, 1), (0, 0, 8), (0, 31.40625, 1), (0, 0, 5), (0, 27.5625, 1), (0, 1.95, 1),
            (16, 1.95, 1), (16, 2.4375, 1), (0, 0, 1), (16, 2.4375, 2), (16, 3.4125, 1), (16, 4.875, 4), (16, 2.4375, 1))
    attention = dict(num_sink_tokens=None, replace_with_linear=False, sparsify=None, unshifted_sink=False,
                     use_prefill_window_in_sink_attention=False, window_length=None)
    return [dict(attention=dict(n_heads_in_group=group or None, no_op=not group, **attention),
                 ffn=dict(ffn_mult=mult or None, no_op=not mult, replace_with_linear=False, sparsify=None))
            for group, mult, count in runs for _ in range(count)]


def ultra_layers():
    pattern = ('MEMEMEM*EMEMEM*EMEMEMEM*EMEMEMEM*EMEMEM*EMEMEMEM*EMEMEMEM*EMEMEM*EMEMEMEM*EMEMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME')
    return [dict(M='mamba', E='moe').get(x, 'attention') for x in pattern]


def v4_ratios(first, pairs):
    return [first, first] + [4, 128] * pairs + [4, 0]  # the last is the MTP block's


LLAMA3_IDS = dict(bos_token_id=128000, vocab_size=128256)
MAMBA3 = dict(head_dim=128, mamba_head_dim=64, n_groups=8, ssm_state_size=128, num_key_value_heads=2, vocab_size=131072)
V3_WIDTHS = dict(hidden_size=7168, intermediate_size=18432, moe_intermediate_size=2048, q_lora_rank=1536, kv_lora_rank=512,
                 qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128, num_experts_per_tok=8, num_hidden_layers=61)
KIMI_WIDTHS = dict(V3_WIDTHS, n_routed_experts=384, num_attention_heads=64, num_key_value_heads=64, vocab_size=163840)
V4 = dict(head_dim=512, index_head_dim=128, index_n_heads=64, num_experts_per_tok=6, num_hash_layers=3, o_lora_rank=1024,
          qk_rope_head_dim=64, vocab_size=129280)

MODELS = {
    'Llama-3_1-Nemotron-Ultra-253B-v1': Model(
        deci, 'e-deci253b-bf16',
        'block_configs and all: NVIDIA-NeMo/Megatron-Bridge 2cec89e0a src/megatron/bridge/models/llama_nemotron/llama_nemotron_config.py, a '
        'copy of the configuration; widths and heads equal those that ikawrakow/ik_llama.cpp#377 prints for the GGUF',
        dict(LLAMA3_IDS, eos_token_id=[128001, 128008, 128009], hidden_size=16384, num_attention_heads=128, num_hidden_layers=162,
             block_configs=blocks_253b()), merges=280147,
        published=dict(parameters=(253.401e9, .0005e9, 'ikawrakow/ik_llama.cpp#377'))),
    'Llama-3.1-405B-Instruct': Model(
        llama, 'f-llama31-405b-bf16', 'aic meta-llama--Meta-Llama-3.1-405B (the base model; the same shapes)',
        dict(LLAMA3_IDS, eos_token_id=[128001, 128008, 128009], hidden_size=16384, intermediate_size=53248, num_attention_heads=128,
             num_hidden_layers=126, num_key_value_heads=8), merges=280147),
    'Llama-3.1-405B-first-release': Model(
        llama, 'f-llama31-405b-bf16',
        'the same with 16 kv heads, as the weights were first published; derived: the sizes of the GGUFs made then fit 16 heads and not 8',
        dict(LLAMA3_IDS, eos_token_id=[128001, 128008, 128009], hidden_size=16384, intermediate_size=53248, num_attention_heads=128,
             num_hidden_layers=126, num_key_value_heads=16), merges=280147),
    'Nemotron-4-340B-Instruct': Model(
        nemotron, 'g-minitron-bf16',
        'nvidia/Nemotron-4-340B-Instruct model_config.yaml, as quoted in public code; published as .nemo, the Hugging Face form is a '
        'conversion (mgoin/Nemotron-4-340B-Instruct-hf), whose configuration was not seen: fields from the family',
        dict(hidden_size=18432, intermediate_size=73728, num_attention_heads=96, num_key_value_heads=8, num_hidden_layers=96,
             vocab_size=256000, head_dim=192),
        published=dict(parameters=(341.03e9, .005e9, 'ggml-org/llama.cpp#7966'))),
    'NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16': Model(
        nemotron_h, 'c-ultra-bf16-mixshards', 'aic nvidia--NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16',
        dict(MAMBA3, hidden_size=8192, intermediate_size=5120, layers_block_type=ultra_layers(), mamba_num_heads=256,
             moe_intermediate_size=5120, moe_latent_size=2048, moe_shared_expert_intermediate_size=10240, n_routed_experts=512,
             num_attention_heads=64, num_experts_per_tok=22), merges=269443),
    'NVIDIA-Nemotron-3-Super-120B-A12B-BF16': Model(
        nemotron_h, 'b-super-bf16', 'aic nvidia--NVIDIA-Nemotron-3-Super-120B-A12B-FP8 (the same shapes)',
        dict(MAMBA3, hidden_size=4096, intermediate_size=2688, mamba_num_heads=128, moe_intermediate_size=2688, moe_latent_size=1024,
             hybrid_override_pattern='MEMEMEM*EMEMEMEM*EMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEM*EMEMEMEME',
             moe_shared_expert_intermediate_size=5376, n_routed_experts=512, num_attention_heads=32, num_experts_per_tok=22,
             num_hidden_layers=88), merges=269443,
        published=dict(without_mtp=(120_668_707_840, 0, 'unsloth/NVIDIA-Nemotron-3-Super-120B-A12B-GGUF, model_n_params of llama-bench'))),
    'NVIDIA-Nemotron-3-Nano-30B-A3B-BF16': Model(
        nemotron_h, 'a-nano-bf16', 'aic nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16',
        dict(MAMBA3, hidden_size=2688, intermediate_size=1856, mamba_num_heads=64, moe_intermediate_size=1856,
             hybrid_override_pattern='MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME', moe_shared_expert_intermediate_size=3712,
             n_routed_experts=128, num_attention_heads=32, num_experts_per_tok=6, num_hidden_layers=52), merges=269443,
        published=dict(parameters=(31_577_940_288, 0, 'unsloth/Nemotron-3-Nano-30B-A3B-GGUF, model_n_params of llama-bench'))),
    'DeepSeek-V4-Pro': Model(
        deepseek_v4, 'h3-dsv4-mxfp4', 'aic deepseek-ai--DeepSeek-V4-Pro',
        dict(V4, hidden_size=7168, moe_intermediate_size=3072, n_routed_experts=384, num_attention_heads=128, num_hidden_layers=61,
             o_groups=16, q_lora_rank=1536, index_topk=1024, routed_scaling_factor=2.5, compress_ratios=v4_ratios(128, 29)),
        merges=127741, unsure='BF16 or F32 of the compressors and norms, as in the golden'),
    'DeepSeek-V4-Flash': Model(
        deepseek_v4, 'h3-dsv4-mxfp4', 'aic deepseek-ai--DeepSeek-V4-Flash',
        dict(V4, hidden_size=4096, moe_intermediate_size=2048, n_routed_experts=256, num_attention_heads=64, num_hidden_layers=43,
             o_groups=8, q_lora_rank=1024, compress_ratios=v4_ratios(0, 20)),
        merges=127741, published=dict(without_mtp=(284.33e9, .005e9, 'llama-bench output in public repositories')),
        unsure='BF16 or F32 of the compressors and norms, as in the golden'),
    'Qwen3.5-397B-A17B': Model(
        qwen35_moe, 'h4-qwen35moe-bf16', 'aic Qwen--Qwen3.5-397B-A17B',
        dict(image_token_id=248056, video_token_id=248057, vision_start_token_id=248053, vision_end_token_id=248054,
             vision_config=dict(deepstack_visual_indexes=[], depth=27, hidden_act='gelu_pytorch_tanh', hidden_size=1152, in_channels=3,
                                initializer_range=.02, intermediate_size=4304, model_type='qwen3_5_moe', num_heads=16,
                                num_position_embeddings=2304, out_hidden_size=4096, patch_size=16, spatial_merge_size=2,
                                temporal_patch_size=2)),
        text=dict(eos_token_id=248044, head_dim=256, hidden_size=4096, layer_types=(['linear_attention'] * 3 + ['full_attention']) * 15,
                  linear_key_head_dim=128, linear_num_key_heads=16, linear_num_value_heads=64, linear_value_head_dim=128,
                  moe_intermediate_size=1024, num_attention_heads=32, num_experts=512, num_experts_per_tok=10, num_hidden_layers=60,
                  num_key_value_heads=2, shared_expert_intermediate_size=1024, vocab_size=248320,
                  rope_parameters=dict(mrope_interleaved=True, mrope_section=[11, 11, 10], rope_type='default', rope_theta=10000000,
                                       partial_rotary_factor=.25)),
        merges=247587,
        published=dict(without_mtp=(396_346_350_336, 0, 'Thireus/GGUF-Tool-Suite models/Qwen3.5-397B-A17B/group0/tensors.bf16.map, the sum')),
        unsure='the experts of the MTP block, stacked as those of the layers; names of the vision tower'),
    'GLM-5.1': Model(
        glm_dsa, 'h5-glm52-bf16', 'aic zai-org--GLM-5.1',
        dict(eos_token_id=[154820, 154827, 154829], first_k_dense_replace=3, hidden_size=6144, index_head_dim=128, index_n_heads=32,
             intermediate_size=12288, kv_lora_rank=512, max_position_embeddings=202752, moe_intermediate_size=2048, n_routed_experts=256,
             num_attention_heads=64, num_experts_per_tok=8, num_hidden_layers=78, num_key_value_heads=64, pad_token_id=154820,
             q_lora_rank=2048, qk_head_dim=256, qk_nope_head_dim=192, qk_rope_head_dim=64, v_head_dim=256, vocab_size=154880,
             rope_parameters=dict(rope_theta=1000000, rope_type='default')),
        drop=('index_share_for_mtp_iteration', 'index_skip_topk_offset', 'index_topk_freq', 'index_topk_pattern', 'indexer_types',
              'mlp_layer_types', 'moe_router_dtype'), merges=321649,
        published=dict(parameters=(753_864_139_008, 0, 'Thireus/GGUF-Tool-Suite models/GLM-5.1/group0/tensors.bf16.map, the sum'))),
    'Kimi-K2.6': Model(
        kimi_int4, 'h6-kimi-k25-int4', 'aic nvidia--Kimi-K2.6-NVFP4 for the numbers, moonshotai--Kimi-K2.5 for the INT4 form',
        dict(bos_token_id=163584, eos_token_id=163586, media_placeholder_token_id=163605, pad_token_id=163839,
             vision_config=dict(init_pos_emb_height=64, init_pos_emb_time=4, init_pos_emb_width=64, merge_kernel_size=[2, 2],
                                merge_type='sd2_tpool', mm_hidden_size=1152, mm_projector_type='patchmerger', patch_size=14,
                                pos_emb_type='divided_fixed', projector_hidden_act='gelu', projector_ln_eps=1e-5, text_hidden_size=7168,
                                video_attn_type='spatial_temporal', vt_hidden_size=1152, vt_intermediate_size=4304,
                                vt_num_attention_heads=16, vt_num_hidden_layers=27)),
        text=dict(KIMI_WIDTHS, bos_token_id=163584, eos_token_id=163586),
        published=dict(without_mtp=(1_026_408_232_448, 0,
                                    'Thireus/GGUF-Tool-Suite models/Kimi-K2-Thinking/group0/tensors.bf16.map, the sum')),
        unsure='names of the vision tower'),
    'DeepSeek-V3.2': Model(
        deepseek_fp8, 'h2-dsv32-fp8', 'aic deepseek-ai--DeepSeek-V3.2',
        dict(V3_WIDTHS, first_k_dense_replace=3, index_head_dim=128, index_n_heads=64, n_group=8, topk_group=4, n_routed_experts=256,
             num_attention_heads=128, num_key_value_heads=128, vocab_size=129280), merges=127741),
    'Kimi-K2-Instruct': Model(
        deepseek_fp8, 'h2-dsv32-fp8', 'aic moonshotai--Kimi-K2-Instruct',
        dict(KIMI_WIDTHS, architectures=['DeepseekV3ForCausalLM'], model_type='kimi_k2', bos_token_id=163584, eos_token_id=163585,
             max_position_embeddings=131072, num_nextn_predict_layers=0, rope_theta=50000.0, routed_scaling_factor=2.827,
             rope_scaling=dict(beta_fast=1.0, beta_slow=1.0, factor=32.0, mscale=1.0, mscale_all_dim=1.0,
                               original_max_position_embeddings=4096, type='yarn')),
        drop=('index_head_dim', 'index_n_heads', 'index_topk'), tokenizer='h6-kimi-k25-int4',
        published=dict(parameters=(1.026e12, .0005e12, 'Thireus/GGUF-Tool-Suite models/Kimi-K2-Thinking'))),
    'gpt-oss-120b': Model(
        gpt_oss, 'i-gptoss-mxfp4', 'aic openai--gpt-oss-120b',
        dict(eos_token_id=200002, experts_per_token=4, hidden_size=2880, intermediate_size=2880, num_attention_heads=64,
             layer_types=['sliding_attention', 'full_attention'] * 18, num_experts_per_tok=4, num_hidden_layers=36, num_key_value_heads=8,
             num_local_experts=128, pad_token_id=199999, vocab_size=201088), merges=446189,
        published=dict(parameters=(116.83e9, .005e9, 'ggml-org/llama.cpp, benches/dgx-spark/dgx-spark.md'))),
}


def config_of(model):
    config = json.loads(golden_file(model.golden, 'config.json').read_text())
    config = {key: value for key, value in config.items() if key not in model.drop} | model.config
    if model.text:
        config['text_config'] |= model.text
    return config


def golden_file(golden, name):
    return next((GOLDENS / golden).glob('*/')) / name


def is_extra(tensor, layers):
    """Of the MTP block or the vision part, which GGUFs of the text model leave out."""
    return tensor.name.startswith(('mtp.', 'vision_tower.', 'mm_projector.', 'model.visual.', f'model.layers.{layers}.'))


def totals(model, tensors=None):
    """What is compared with published numbers. without_mtp: parameters without the MTP block and the vision part."""
    config = config_of(model)
    layers = config.get('text_config', config).get('num_hidden_layers')
    tensors = tensors or list(model.family(config))
    return dict(parameters=sum(t.weights for t in tensors), bytes=sum(t.bytes for t in tensors), tensors=len(tensors),
                without_mtp=sum(t.weights for t in tensors if not is_extra(t, layers)))


# ---- the tokenizer: the golden's, grown to the true size ------------------------------------------------------------------------
def made_up_words(taken):
    """Words of letters in order of length, so that what is left of a word without its last letter comes before it."""
    for length in itertools.count(1):
        for letters in itertools.product('abcdefghijklmnopqrstuvwxyz', repeat=length):
            word = '\u0120' + ''.join(letters)
            if word not in taken:
                yield word


def grow_bpe(tokenizer, n_tokens, n_merges):
    """Words and merges are added; the added tokens that stand behind the words move to the new end. Returns old id -> new id."""
    model, added = tokenizer['model'], tokenizer['added_tokens']
    vocab, merges = model['vocab'], model['merges']
    own = {t['id'] for t in added}
    last_word = max(i for word, i in vocab.items() if i not in own)
    tail = [i for i in sorted(own) if i > last_word]
    moved = dict(zip(tail, range(n_tokens - len(tail), n_tokens)))
    for token in added:
        token['id'] = moved.get(token['id'], token['id'])
        if token['content'] in vocab:
            vocab[token['content']] = token['id']
    free = sorted(set(range(n_tokens)) - set(vocab.values()) - {t['id'] for t in added})
    words = list(itertools.islice(made_up_words(vocab.keys() | {t['content'] for t in added}), len(free)))
    vocab.update(zip(words, free))
    splits = ((word[:at], word[at:]) for at in itertools.count(-1, -1) for word in words if len(word) + at > 1)
    seen = {tuple(m) if isinstance(m, list) else tuple(m.split(' ')) for m in merges}
    for pair in itertools.islice((p for p in splits if p not in seen), max(0, n_merges - len(merges))):
        merges.append(list(pair) if isinstance(merges[0], list) else ' '.join(pair))
    return moved


def move_ids(node, moved):
    """The ids in a post-processor ({"id": "<s>", "ids": [0], ...}) and the keys of added_tokens_decoder."""
    if isinstance(node, list):
        return [move_ids(x, moved) for x in node]
    if not isinstance(node, dict):
        return node
    out = {key: move_ids(value, moved) for key, value in node.items()}
    if 'ids' in out:
        out['ids'] = [moved.get(i, i) for i in out['ids']]
    if 'added_tokens_decoder' in out:
        out['added_tokens_decoder'] = {str(moved.get(int(i), int(i))): t for i, t in out['added_tokens_decoder'].items()}
    return out


def grow_tiktoken(lines, n_base):
    """base64 and rank a line; returns old id -> new id of the special tokens behind."""
    taken = {base64.b64decode(line.split()[0]) for line in lines}
    words = (w.replace('\u0120', ' ').encode() for w in made_up_words(()))
    moved = {len(lines) + i: n_base + i for i in range(256)}
    for word in itertools.islice((w for w in words if w not in taken), n_base - len(lines)):
        lines.append(f'{base64.b64encode(word).decode()} {len(lines)}')
    return moved


def grow_sentencepiece(model, n_old, n_tokens):
    """ModelProto is a list of fields; those of pieces (1: text, 2: score as f32) may stand behind the others."""
    out = bytearray(model)
    for i in range(n_old, n_tokens):
        text = f'\u2581piece{i}'.encode()
        piece = b'\x0a' + bytes([len(text)]) + text + b'\x15' + struct.pack('<f', -i)
        out += b'\x0a' + bytes([len(piece)]) + piece
    return bytes(out)


def write_tokenizer(model, config, out):
    n_tokens = config.get('text_config', config)['vocab_size']
    folder = golden_file(model.tokenizer or model.golden, '')
    moved = {}
    for path in folder.iterdir():
        if path.name in ('chat_template.jinja', 'generation_config.json', 'special_tokens_map.json'):
            shutil.copy(path, out)
    if (folder / 'tokenizer.json').exists():
        tokenizer = json.loads((folder / 'tokenizer.json').read_text())
        moved = grow_bpe(tokenizer, n_tokens, model.merges)
        tokenizer['post_processor'] = move_ids(tokenizer.get('post_processor'), moved)
        (out / 'tokenizer.json').write_text(json.dumps(tokenizer, ensure_ascii=False))
    elif (folder / 'tiktoken.model').exists():
        lines = (folder / 'tiktoken.model').read_text().splitlines()
        moved = grow_tiktoken(lines, n_tokens - 256)
        (out / 'tiktoken.model').write_text('\n'.join(lines) + '\n')
    else:
        n_old = json.loads((folder / 'config.json').read_text())['vocab_size']
        (out / 'tokenizer.model').write_bytes(grow_sentencepiece((folder / 'tokenizer.model').read_bytes(), n_old, n_tokens))
    settings = json.loads((folder / 'tokenizer_config.json').read_text())
    (out / 'tokenizer_config.json').write_text(json.dumps(move_ids(settings, moved), ensure_ascii=False, indent=1))


# ---- the checkpoint -------------------------------------------------------------------------------------------------------------
def write_shard(path, tensors):
    """8 bytes length, JSON header, and a hole; tensors with data stand first, so that they share pages."""
    tensors.sort(key=lambda t: (not t.data, t.name))
    header, offset = {}, 0
    for t in tensors:
        header[t.name] = dict(dtype=t.dtype, shape=t.shape, data_offsets=(offset, offset + t.bytes))
        offset += t.bytes
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + b''.join(t.data for t in tensors))
        f.truncate(8 + len(text) + offset)


def write_checkpoint(name, out, shard_bytes=10_000_000_000):
    """Writes OUT/NAME and returns totals()."""
    model, folder = MODELS[name], Path(out) / name
    folder.mkdir(parents=True)
    config = config_of(model)
    (folder / 'config.json').write_text(json.dumps(config, indent=1))
    write_tokenizer(model, config, folder)
    tensors = sorted(model.family(config), key=lambda t: t.name)
    shards, left = [[]], shard_bytes
    for t in tensors:
        if shards[-1] and left < t.bytes:
            shards.append([])
            left = shard_bytes
        shards[-1].append(t)
        left -= t.bytes
    weight_map = {}
    for i, shard in enumerate(shards, 1):
        file = f'model-{i:05d}-of-{len(shards):05d}.safetensors'
        weight_map.update((t.name, file) for t in shard)
        write_shard(folder / file, shard)
    found = totals(model, tensors)
    (folder / 'model.safetensors.index.json').write_text(
        json.dumps(dict(metadata=dict(total_size=found['bytes']), weight_map=weight_map)))
    return found


def comparison(model, found):
    """Lines that set totals() beside published numbers."""
    for key, (number, tolerance, source) in model.published.items():
        difference = found[key] - number
        verdict = 'equal' if abs(difference) <= tolerance else f'differs by {difference:+,.0f} ({100 * difference / number:+.3f} %)'
        name = key.replace('without_mtp', 'parameters without MTP block and vision')
        yield f'  published {name}: {number:,.0f}: {verdict} [{source}]'


def main(arguments):
    if arguments in (['--list'], ['--check']):
        for name, model in MODELS.items():
            found = totals(model)
            print(f'{name}: {found["parameters"] / 1e9:.3f} B parameters, {found["bytes"]:,} bytes, {found["tensors"]} tensors')
            print(*comparison(model, found), f'  numbers: {model.source}', sep='\n')
            if model.unsure:
                print(f'  unsure: {model.unsure}')
    elif len(arguments) == 2 and arguments[0] in MODELS:
        found = write_checkpoint(*arguments)
        print(f'{found["parameters"] / 1e9:.3f} B parameters, {found["bytes"]:,} bytes, {found["tensors"]} tensors')
        print(*comparison(MODELS[arguments[0]], found), sep='\n')
    else:
        sys.exit(__doc__)


if __name__ == '__main__':
    main(sys.argv[1:])
