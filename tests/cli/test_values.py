"""An independent reader and decoder (the gguf package) finds in the output the values that an independent reader (the safetensors
package) finds in the source, within the error that the type is known for. Also sees a wrong permutation, transpose or stack."""
import numpy as np
import pytest
from gguf import GGUFReader
from gguf.quants import dequantize
from tokenizers import Tokenizer

from program import MINI, mill, output_files
from source_tensors import SourceTensors

# Relative RMSE on near-Gaussian weights: the upper end of what the type gives with flat importance. An importance matrix lowers the
# weighted error and so raises this one, which counts all columns alike.
LIMITS = {"F32": 1e-7, "F16": 1e-3, "BF16": 0, "Q8_0": 0.008, "Q6_K": 0.022, "Q5_K": 0.045, "Q4_K": 0.085, "Q4_0": 0.11, "Q5_0": 0.056,
          "IQ4_NL": 0.09, "IQ4_XS": 0.09, "Q3_K": 0.17, "IQ3_S": 0.16, "IQ3_XXS": 0.22}
WITH_IMATRIX = 1.25


def compare(files, source, figure, slack=1.0):
    worst = {}
    for file in files:
        for tensor in GGUFReader(file).tensors:
            shape = [int(n) for n in reversed(tensor.shape)]
            got = dequantize(tensor.data, tensor.tensor_type).astype(np.float64).reshape(shape)
            want = source.expected(tensor.name, shape).astype(np.float64)
            error = np.sqrt(((got - want) ** 2).sum() / max((want ** 2).sum(), 1e-300))
            kind = tensor.tensor_type.name
            limit = LIMITS[kind] * slack
            assert error <= limit, f"{tensor.name}: {kind}: relative RMSE {error:.4g} > {limit:.4g}"
            worst[kind] = max(worst.get(kind, 0), error)
    figure("worst relative RMSE by type: " + ", ".join(f"{k} {e:.3g}" for k, e in sorted(worst.items())))
    return worst


def test_three_bit_recipe(mini_set, figure):
    kinds = compare(output_files(mini_set), SourceTensors(MINI), figure, WITH_IMATRIX)
    assert {"IQ3_XXS", "IQ3_S", "Q8_0", "F32"} <= set(kinds)


@pytest.mark.parametrize("kind", ["F16", "Q8_0", "Q4_0", "Q5_0", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "IQ3_XXS", "IQ3_S"])
def test_every_type(kind, tmp_path, figure):
    out = tmp_path / "out.gguf"
    pattern = r"(exps|shexp|ssm_in|ssm_out|attn_q|attn_k|attn_v|attn_output|latent_up|latent_down|token_embd|output)\.weight"
    mill("convert", MINI, "-o", out, "-r", "auto", "-t", f"{pattern}={kind}").ok()
    assert kind in compare([out], SourceTensors(MINI), figure)


def test_rows_that_256_does_not_divide(tmp_path, figure):
    """Nano's shapes: the 4-bit recipe falls back, and what it writes is right."""
    from program import DATA
    source = next((DATA / "goldens" / "a-nano-bf16").glob("*/config.json")).parent
    out = tmp_path / "out.gguf"
    mill("convert", source, "-o", out, "-r", "nemotron3-4bit").ok()
    assert "IQ4_NL" in compare([out], SourceTensors(source), figure)


def test_vocabulary_is_that_of_the_tokenizers_package(mini_set):
    tokens = GGUFReader(output_files(mini_set)[0]).fields["tokenizer.ggml.tokens"].contents()
    tokenizer = Tokenizer.from_file(str(MINI / "tokenizer.json"))
    assert tokens == [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
