"""The kinds of tokenizer: what each does around its model, and how a file is recognised as one of them.

A tokenizer is one Hugging Face `tokenizer.json`: normaliser → pre-tokeniser → model → decoder. `shell` writes
everything but the model; `kind_of` and `is_lossless` read any such file, ours or another's, so that a saved tokenizer
needs no field of ours to be known again.
"""

from __future__ import annotations

from typing import Any

from polyhead.errors import TokenizerError

Spec = dict[str, Any]

KINDS = ("words", "chars", "bytes", "byte_bpe", "bpe", "wordpiece", "unigram", "sentencepiece")
ROLES = ("pad", "bos", "eos", "unk", "mask", "cls", "sep")
SPECIAL = tuple(f"<{role}>" for role in ROLES)
SENTINEL = "<extra_id_{}>"  # T5's, for spans that were taken out
MARK = "\u2581"  # ▁, sentencepiece's visible space
BYTE_TOKENS = tuple(f"<0x{byte:02X}>" for byte in range(256))
SUFFIX = "</w>"  # Sennrich's end of word


def _byte_letters() -> tuple[str, ...]:
    """GPT-2's printable letter for each byte, in byte order (Radford et al. 2019, `bytes_to_unicode`)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(256, 512))
    return tuple(chr(byte if byte in printable else next(spare)) for byte in range(256))


BYTE_LETTERS = _byte_letters()

_BYTES_TO_TEXT: Spec = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}
_MARK_TO_TEXT: Spec = {
    "type": "Sequence",
    "decoders": [
        {"type": "Replace", "pattern": {"String": MARK}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ],
}
_BYTE_DECODER: Spec = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}


def _metaspace(scheme: str) -> Spec:
    return {"type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme, "split": True}


def _raw_text(scheme: str) -> Spec:
    """Words keep the space before them; runs of line ends stand alone, so that no piece joins two lines."""
    lines = {"type": "Split", "pattern": {"Regex": "\\n+"}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [_metaspace(scheme), lines]}


def _byte_level(use_regex: bool) -> Spec:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


_BLANKS_AND_LINES = {"type": "Split", "pattern": {"Regex": "[^ \\t\\n]+|\\n"}, "behavior": "Removed", "invert": True}


def shell(
    kind: str,
    *,
    split: str = "words",
    byte_fallback: bool = False,
    pretokenize: bool = True,
    lowercase: bool = False,
) -> Spec:
    """The normaliser, pre-tokeniser and decoder of `kind`, as `tokenizer.json` writes them."""
    normalizer = pre = decoder = None
    if kind == "words":
        pre = {"words": {"type": "Whitespace"}, "spaces": {"type": "WhitespaceSplit"}, "lines": _BLANKS_AND_LINES}[split]
    elif kind == "chars":
        decoder = _BYTES_TO_TEXT if byte_fallback else {"type": "Fuse"}
    elif kind in ("bytes", "byte_bpe"):
        pre, decoder = _byte_level(kind == "byte_bpe" and pretokenize), _BYTE_DECODER
    elif kind == "bpe":
        pre, decoder = {"type": "Whitespace"}, {"type": "BPEDecoder", "suffix": SUFFIX}
    elif kind == "wordpiece":
        normalizer = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                      "strip_accents": None, "lowercase": lowercase}  # fmt: skip
        pre, decoder = {"type": "BertPreTokenizer"}, {"type": "WordPiece", "prefix": "##", "cleanup": True}
    elif kind == "unigram":
        pre, decoder = _raw_text("always"), _metaspace("always")
    elif kind == "sentencepiece":
        pre, decoder = _raw_text("never"), _MARK_TO_TEXT
    else:
        raise TokenizerError(f"there is no tokenizer kind {kind!r}", expected=" | ".join(KINDS), received=repr(kind))
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": normalizer,
            "pre_tokenizer": pre, "post_processor": None, "decoder": decoder}  # fmt: skip


def steps(node: Spec | None) -> list[Spec]:
    """The flat list of steps of a normaliser, pre-tokeniser or decoder, with `Sequence`s opened."""
    if node is None:
        return []
    for key in ("normalizers", "pretokenizers", "decoders"):
        if node.get("type") == "Sequence" and key in node:
            return [step for inner in node[key] for step in steps(inner)]
    return [node]


def vocabulary(model: Spec) -> dict[str, int]:
    """Token → id of the model part alone (a Unigram model's ids are its rows)."""
    vocab = model["vocab"]
    if isinstance(vocab, dict):
        return vocab
    table: dict[str, int] = {}
    for index, (piece, _score) in enumerate(vocab):
        table.setdefault(piece, index)
    return table


def kind_of(spec: Spec) -> str:
    """Which of `KINDS` a tokenizer file is, by its structure."""
    model = spec["model"]
    around = steps(spec.get("pre_tokenizer")) + steps(spec.get("normalizer"))
    if model["type"] == "WordLevel":
        return "words"
    if model["type"] == "WordPiece":
        return "wordpiece"
    if model["type"] == "Unigram":
        return "sentencepiece" if model.get("byte_fallback") else "unigram"
    levels = [step for step in around if step["type"] == "ByteLevel"]
    if levels:
        plain = not model["merges"] and not any(step.get("use_regex", True) for step in levels)
        return "bytes" if plain else "byte_bpe"
    if not model["merges"]:
        return "chars"
    return "sentencepiece" if model.get("byte_fallback") else "bpe"


def marks_spaces(spec: Spec) -> bool:
    """True for our raw-text pipeline, where a literal ▁ must be spelled as bytes to stay apart from a space."""
    ours = shell("sentencepiece")
    return spec["model"].get("byte_fallback") is True and all(
        spec.get(part) == ours[part] for part in ("normalizer", "pre_tokenizer", "decoder")
    )


def is_lossless(spec: Spec) -> bool:
    """True if `decode(encode(text)) == text` for every Unicode text, judged from the file alone."""
    model, added = spec["model"], spec.get("added_tokens") or []
    if any(token.get(flag) for token in added if not token.get("special") for flag in ("lstrip", "rstrip")):
        return False
    if model["type"] not in ("BPE", "Unigram") or spec.get("normalizer") is not None:
        return False
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        return False
    vocab = vocabulary(model)
    plain = all(token.get("special") for token in added)
    if marks_spaces(spec):
        return plain and MARK in vocab and all(token in vocab for token in BYTE_TOKENS)
    if kind_of(spec) == "chars" and spec.get("pre_tokenizer") is None:
        total = model.get("byte_fallback") and all(token in vocab for token in BYTE_TOKENS)
        return bool(plain and total and spec.get("decoder") == _BYTES_TO_TEXT)
    around, back = steps(spec.get("pre_tokenizer")), steps(spec.get("decoder"))
    keeps = all(
        step["type"] == "Digits"
        or (step["type"] in ("Split", "Punctuation") and step.get("behavior") != "Removed")
        or (step["type"] == "ByteLevel" and not step.get("add_prefix_space"))
        for step in around
    )
    level = sum(step["type"] == "ByteLevel" for step in around) == 1 and around[-1]["type"] == "ByteLevel"
    total = all(letter in vocab for letter in BYTE_LETTERS)
    return keeps and level and total and [step["type"] for step in back] == ["ByteLevel"]
