"""What a GGUF tensor of this family must hold, written from the model's description, independent of the program: the f32 values
as the safetensors package reads them, under their GGUF name, stacked and permuted as llama.cpp wants them."""
import json
import re
from pathlib import Path

import numpy as np
from safetensors import safe_open

PLAIN = {
    "attn_norm.weight": "norm.weight",
    "ssm_in.weight": "mixer.in_proj.weight",
    "ssm_conv1d.weight": "mixer.conv1d.weight",
    "ssm_conv1d.bias": "mixer.conv1d.bias",
    "ssm_dt.bias": "mixer.dt_bias",
    "ssm_d": "mixer.D",
    "ssm_norm.weight": "mixer.norm.weight",
    "ssm_out.weight": "mixer.out_proj.weight",
    "attn_v.weight": "mixer.v_proj.weight",
    "attn_output.weight": "mixer.o_proj.weight",
    "ffn_gate_inp.weight": "mixer.gate.weight",
    "exp_probs_b.bias": "mixer.gate.e_score_correction_bias",
    "ffn_up_shexp.weight": "mixer.shared_experts.up_proj.weight",
    "ffn_down_shexp.weight": "mixer.shared_experts.down_proj.weight",
    "ffn_latent_down.weight": "mixer.fc1_latent_proj.weight",
    "ffn_latent_up.weight": "mixer.fc2_latent_proj.weight",
}
TOP = {"token_embd.weight": "backbone.embeddings.weight", "output_norm.weight": "backbone.norm_f.weight", "output.weight": "lm_head.weight"}


class SourceTensors:
    def __init__(self, folder):
        self.config = json.loads((Path(folder) / "config.json").read_text())
        self.files = {}
        for path in sorted(Path(folder).glob("*.safetensors")):
            file = safe_open(path, "numpy")
            self.files |= {name: (file, path) for name in file.keys()}

    def read(self, name):
        """f32 values; BF16, which numpy lacks, from the raw bytes that the header points at."""
        file, path = self.files[name]
        view = file.get_slice(name)
        if view.get_dtype() != "BF16":
            return file.get_tensor(name).astype(np.float32)
        with open(path, "rb") as f:
            length = int.from_bytes(f.read(8), "little")
            begin, end = json.loads(f.read(length))[name]["data_offsets"]
            f.seek(8 + length + begin)
            words = np.frombuffer(f.read(end - begin), np.uint16)
        return (words.astype(np.uint32) << 16).view(np.float32).reshape(view.get_shape())

    def expected(self, gguf_name, shape):
        """The values of a GGUF tensor in this shape, outermost dimension first."""
        if gguf_name in TOP:
            return self.read(TOP[gguf_name]).reshape(shape)
        block, rest = re.fullmatch(r"blk\.(\d+)\.(.*)", gguf_name).groups()
        prefix = f"backbone.layers.{block}."
        if rest in PLAIN:
            return self.read(prefix + PLAIN[rest]).reshape(shape)
        if rest == "ssm_a":
            return (-np.exp(self.read(prefix + "mixer.A_log").astype(np.float64))).astype(np.float32).reshape(shape)
        if match := re.fullmatch(r"ffn_(up|down)_exps\.weight", rest):
            experts = range(self.config["n_routed_experts"])
            return np.stack([self.read(f"{prefix}mixer.experts.{e}.{match[1]}_proj.weight") for e in experts]).reshape(shape)
        if match := re.fullmatch(r"attn_(q|k)\.weight", rest):
            heads = self.config["num_attention_heads" if match[1] == "q" else "num_key_value_heads"]
            rows = self.read(f"{prefix}mixer.{match[1]}_proj.weight")
            half = rows.shape[0] // heads // 2
            return rows.reshape(heads, 2, half, -1).swapaxes(1, 2).reshape(shape)  # the two halves of a head interleaved
        raise AssertionError(f"{gguf_name}: not a tensor of this family")
