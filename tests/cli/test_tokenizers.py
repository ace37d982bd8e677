"""llama.cpp tokenizes what the program writes as the source's own tokenizer does: tokenizers, sentencepiece or tiktoken.

Each family's tokenizer is trained here on some thousand lines, with the family's own pre-tokenizer, and compared on texts over
Unicode's wide range. tokenizer_tool writes a vocabulary without the architecture of a model; the last tests use the program.
"""
import base64
import io
import json
import os
import shutil
import subprocess

import pytest
import sentencepiece
import tiktoken
from gguf import GGUFReader
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import tokenizer_texts
from llama_cpp import tokenize
from program import MINI, NEEDED_FLAGS, ROOT, golden_checkpoint, mill, refused

TOOL = os.environ.get("TOKENIZER_TOOL", str(ROOT / "build" / "tests" / "tokenizer_tool"))
SENTENCES = (tokenizer_texts.LANGUAGES + tokenizer_texts.CODE + tokenizer_texts.CORNERS) * 3
# Of the blocks, too: only tokens that join characters show where a text was split.
TRAINING = SENTENCES + tokenizer_texts.blocks()
N_TOKENS = 8192  # some are holes

REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
SLASH = REST.replace(r"[\r\n]*", r"[\r\n/]*", 1)
LLAMA3 = SUFFIX + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + REST
TEKKEN = rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*|\p{{N}}" + SLASH
O200K = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{SUFFIX}?|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{SUFFIX}?" r"|\p{N}{1,3}") + SLASH
QWEN2 = SUFFIX + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + REST
QWEN35 = SUFFIX + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}" + REST.replace(r"\p{L}\p{N}", r"\p{L}\p{M}\p{N}")
DEEPSEEK = [r"\p{N}{1,3}", "[一-龥\u3040-\u309f\u30a0-\u30ff]+",
            "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
            "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"]
KIMI_UPPER, KIMI_LOWER = UPPER.replace("]", r"&&[^\p{Han}]]"), LOWER.replace("]", r"&&[^\p{Han}]]")
KIMI = (rf"[\p{{Han}}]+|[^\r\n\p{{L}}\p{{N}}]?{KIMI_UPPER}*{KIMI_LOWER}+{SUFFIX}?|[^\r\n\p{{L}}\p{{N}}]?{KIMI_UPPER}+{KIMI_LOWER}*{SUFFIX}?"
        r"|\p{N}{1,3}") + REST

# name of the pre-tokenizer: its splits, whether tokens of the vocabulary are taken before merging, and the normalizer
BYTE_LEVEL = {
    "llama-bpe": ([LLAMA3], True, None),
    "pixtral": ([LLAMA3], True, None),
    "tekken": ([TEKKEN], True, None),
    "glm4": ([LLAMA3], False, None),
    "gpt-4o": ([O200K], False, None),
    "qwen2": ([QWEN2], False, normalizers.NFC()),
    "qwen35": ([QWEN35], False, normalizers.NFC()),
    "deepseek-v3": (DEEPSEEK, False, normalizers.Sequence([])),
}
SPECIALS = ["<|im_start|>", "<|im_end|>", "<｜User｜>", "[gMASK]", "<s>"]
USER_DEFINED = ["<think>", "</think>", "<tool_call>"]
WITH_SPECIALS = ["<|im_start|>user\nHello<|im_end|>\n<|im_start|>", "a<think>b</think> c", "<think>", "x <|im_end|> y", "<|im_end", "<think",
                 "[gMASK]<s>Hi", "<｜User｜>你好<｜User｜>", " <tool_call> {\"a\": 1}", "<|im_start|><|im_start|>", "<|IM_START|>"]


def checkpoint(folder, files):
    """The smallest checkpoint around tokenizer files."""
    (folder / "config.json").write_text(json.dumps({"architectures": ["Any"]}))
    header = b'{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}   '
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"x")
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def vocabulary(folder, form, pre, n_tokens=N_TOKENS):
    """Our GGUF of the checkpoint in `folder`."""
    out = folder / "vocabulary.gguf"
    run = subprocess.run([TOOL, folder, out, form, str(n_tokens), pre], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return out


def byte_alphabet():
    """GPT-2's character of every byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shifted = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(shifted)}}


def trained(splits, ignore_merges=False, normalizer=None):
    """Byte-level BPE of tokenizers with these splits."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    steps = [pre_tokenizers.Split(Regex(split), behavior="isolated", invert=False) for split in splits]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.train_from_iterator(TRAINING, trainers.BpeTrainer(vocab_size=8000, show_progress=False, min_frequency=2,
                                                                initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in USER_DEFINED])
    return tokenizer


def encode(tokenizer):
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def compare(gguf, texts, reference, folder, figure, name):
    got = tokenize(gguf, texts, folder)
    wrong = [(text, ours, expected) for text, ours in zip(texts, got, strict=True) if ours != (expected := reference(text))]
    assert not wrong, f"{len(wrong)} of {len(texts)} texts differ; the first: {wrong[:3]}"
    figure(f"{name}: {len(texts)} texts, {sum(map(len, got))} tokens equal")


def texts_for(pre):
    """What llama.cpp's own splits can get right: those of tekken, gpt-4o and kimi-k2 know neither marks nor the case of letters
    beyond ASCII, and those of kimi-k2 no case at all and Han for ideographs only. It normalizes nothing."""
    plain, kimi = pre in ("tekken", "gpt-4o", "kimi-k2"), pre == "kimi-k2"
    texts = tokenizer_texts.LANGUAGES + tokenizer_texts.CODE + tokenizer_texts.CORNERS + WITH_SPECIALS
    if plain:
        texts = [text for text in texts if tokenizer_texts.has_plain_words(text)]
    if kimi:
        texts = [text for text in texts if not tokenizer_texts.changes_case(text) and all(map(tokenizer_texts.is_ideograph, text))]
    texts += tokenizer_texts.blocks(keep=lambda c: not plain or tokenizer_texts.is_plain(c) and (not kimi or tokenizer_texts.is_ideograph(c)))
    return tokenizer_texts.nfc(texts) if "qwen" in pre else texts


@pytest.mark.parametrize("pre", BYTE_LEVEL)
def test_byte_level(pre, tmp_path, figure):
    splits, ignore_merges, normalizer = BYTE_LEVEL[pre]
    tokenizer = trained(splits, ignore_merges, normalizer)
    checkpoint(tmp_path, {"tokenizer.json": json.loads(tokenizer.to_str())})
    texts = texts_for(pre)
    compare(vocabulary(tmp_path, "byte-level", pre), texts, encode(tokenizer), tmp_path, figure, pre)


def test_kimi(tmp_path, figure):
    """tiktoken.model and its special tokens against tiktoken itself."""
    as_byte = {c: b for b, c in byte_alphabet().items()}
    tokens = sorted(trained([KIMI]).get_vocab(with_added_tokens=False).items(), key=lambda item: item[1])
    tokens = [bytes(as_byte[c] for c in token) for token, _ in tokens]
    ranks = {token: rank for rank, token in enumerate([bytes([b]) for b in range(256)] + [t for t in tokens if len(t) > 1])}
    special = {text: len(ranks) + 3 * i for i, text in enumerate(["[BOS]", "[EOS]", "<|im_end|>", "<|im_user|>"])}
    model = "".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items())
    decoder = {str(id): {"content": text, "special": True} for text, id in special.items()}
    checkpoint(tmp_path, {"tiktoken.model": model.encode(), "tokenizer_config.json": {"added_tokens_decoder": decoder}})
    reference = tiktoken.Encoding("kimi", pat_str=KIMI, mergeable_ranks=ranks, special_tokens=special)
    texts = texts_for("kimi-k2") + ["[BOS]<|im_user|>你好<|im_end|>", "x<|im_end|>", "<|reserved", "[EOS]"]
    gguf = vocabulary(tmp_path, "tiktoken", "kimi-k2", n_tokens=len(ranks) + 300)
    compare(gguf, texts, lambda text: reference.encode(text, allowed_special="all"), tmp_path, figure, "kimi-k2")


@pytest.fixture(scope="module")
def sentencepiece_model():
    """BPE with byte fallback on the text as it is, as of Llama 2 and Nemotron-4."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_writer=model, model_type="bpe", vocab_size=3000, byte_fallback=True, split_digits=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, character_coverage=0.98, allow_whitespace_only_pieces=True,
        minloglevel=2)
    return model.getvalue()


def plain_texts():
    """sentencepiece takes no null characters for text, and special tokens in a text for text."""
    return [text for text in tokenizer_texts.LANGUAGES + tokenizer_texts.CODE + tokenizer_texts.CORNERS + tokenizer_texts.blocks()
            if "\0" not in text]


@pytest.mark.parametrize("form", ["sentencepiece", "llama"])
def test_sentencepiece(form, sentencepiece_model, tmp_path, figure):
    checkpoint(tmp_path, {"tokenizer.model": sentencepiece_model})
    reference = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model)
    compare(vocabulary(tmp_path, form, "default"), plain_texts(), reference.encode, tmp_path, figure, form)


def metaspace(model, normalizer, pre_tokenizer):
    """tokenizer.json as Hugging Face makes it of a tokenizer.model without its file: pairs in the order of the scores."""
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
    vocab = {pieces.id_to_piece(i): i for i in range(pieces.vocab_size())}
    merges = []
    for token, id in vocab.items():
        pairs = [(token[:i], token[i:]) for i in range(1, len(token)) if token[:i] in vocab and token[i:] in vocab]
        merges += [(pieces.get_score(id), pair) for pair in sorted(pairs, key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))]
    merges = [pair for _, pair in sorted(merges, key=lambda merge: merge[0], reverse=True)]
    tokenizer = Tokenizer(models.BPE(vocab, merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in ["<unk>", "<s>", "</s>"]])
    return tokenizer


@pytest.mark.parametrize("structure", ["legacy", "metaspace", "no prefix"])
def test_metaspace(structure, sentencepiece_model, tmp_path, figure):
    normalizer, pre_tokenizer = {
        "legacy": (normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None),
        "metaspace": (None, pre_tokenizers.Metaspace("▁", prepend_scheme="always", split=False)),
        "no prefix": (normalizers.Replace(" ", "▁"), None),
    }[structure]
    tokenizer = metaspace(sentencepiece_model, normalizer, pre_tokenizer)
    checkpoint(tmp_path, {"tokenizer.json": json.loads(tokenizer.to_str())})
    texts = plain_texts() + ["<s>Hi</s>", "a</s>"]
    # Metaspace adds no second space where a text begins with one; llama.cpp always adds it.
    texts = [text for text in texts if structure != "metaspace" or not text.startswith((" ", "▁"))]
    compare(vocabulary(tmp_path, "llama", "llama-bpe"), texts, encode(tokenizer), tmp_path, figure, f"Metaspace, {structure}")


# The goldens' own small vocabularies, with their special tokens, through the program. The golden a-nano-bf16 has Tekken's splits under
# a name with those of Llama 3.
PROGRAM = {"b-super-bf16": "pixtral", "c-ultra-bf16-mixshards": "pixtral", "e-deci253b-bf16": "llama-bpe", "f-llama31-405b-bf16": "llama-bpe",
           "h1-dsv32-bf16": "deepseek-v3", "h3-dsv4-mxfp4": "deepseek-v3", "h4-qwen35moe-bf16": "qwen35", "h5-glm52-bf16": "glm4",
           "h9-dsv2lite-bf16": "deepseek-llm", "h10-r1distill-qwen-bf16": "deepseek-r1-qwen", "i-gptoss-mxfp4": "gpt-4o",
           "j1-qwen25-bf16": "qwen2", "k1-nemotronh-bf16": "pixtral", "m1-glm45-bf16": "glm4", "mini": "pixtral"}


def special_texts(added):
    return ["".join(added), " ".join(added), "a".join(added), *added]


def vocabulary_of_program(case, folder, pre):
    """The source, and the GGUF that the program makes of its tokenizer, under the name of the pre-tokenizer `pre`."""
    source, out = MINI if case == "mini" else golden_checkpoint(case), folder / "vocabulary.gguf"
    mill("convert", source, "-o", out, "--vocab-only", *NEEDED_FLAGS.get(case, [])).ok()
    assert GGUFReader(out).fields["tokenizer.ggml.pre"].contents() == pre
    return source, out


@pytest.mark.parametrize("case", PROGRAM)
def test_program(case, tmp_path, figure):
    source, out = vocabulary_of_program(case, tmp_path, PROGRAM[case])
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    compare(out, texts_for(PROGRAM[case]) + special_texts(added), encode(tokenizer), tmp_path, figure, case)


def test_program_with_tiktoken(tmp_path, figure):
    case = "h6-kimi-k25-int4"
    source, out = vocabulary_of_program(case, tmp_path, "kimi-k2")
    ranks = {}
    for line in (source / "tiktoken.model").read_bytes().splitlines():
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    config = json.loads((source / "tokenizer_config.json").read_text())
    special = {token["content"]: int(id) for id, token in config["added_tokens_decoder"].items()}
    reference = tiktoken.Encoding(case, pat_str=KIMI, mergeable_ranks=ranks, special_tokens=special)
    texts = texts_for("kimi-k2") + special_texts(list(special))
    compare(out, texts, lambda text: reference.encode(text, allowed_special="all"), tmp_path, figure, case)


def test_unknown_splits_are_shown_and_named_by_pre(tmp_path, figure):
    """A tokenizer with Qwen's splits in a family that has others."""
    source = tmp_path / "model"
    shutil.copytree(golden_checkpoint("b-super-bf16"), source)
    spec = json.loads((source / "tokenizer.json").read_text())
    spec["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = QWEN2
    (source / "tokenizer.json").write_text(json.dumps(spec))
    out = tmp_path / "vocabulary.gguf"
    run = mill("convert", source, "-o", out, "--vocab-only")
    refused(run, 65)
    assert QWEN2 in run.stderr and "--pre NAME" in run.stderr and "pixtral" in run.stderr
    run = mill("convert", source, "-o", out, "--vocab-only", "--pre", "qwen22")
    refused(run, 64)
    assert "did you mean qwen2?" in run.stderr
    mill("plan", source, "--vocab-only", "--pre", "qwen2").ok()
    mill("convert", source, "-o", out, "--vocab-only", "--pre", "qwen2").ok()
    compare(out, texts_for("qwen2"), encode(Tokenizer.from_file(str(source / "tokenizer.json"))), tmp_path, figure, "--pre qwen2")
