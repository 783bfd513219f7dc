"""A SentencePiece model as the content of a `tokenizer.json`, and the front that does its normalising exactly.

The written pipeline is one the tokenizers library runs: characters mapped, spaces collapsed, ▁ before the text, spaces
as ▁. `front_of` recognises it by its last step, and then text is prepared by `charsmap.Normalizer` instead, as
SentencePiece prepares it; only texts with marks on mapped characters, or symbols of the user's, come out otherwise.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import tokenizers

from polyhead.errors import TokenizerError
from polyhead.text.charsmap import Normalizer, read_charsmap
from polyhead.text.guard import from_json, split_inside
from polyhead.text.kinds import BYTE_TOKENS, MARK, Spec, steps, vocabulary
from polyhead.text.protobuf import BPE, BYTE, CONTROL, NORMAL, UNKNOWN, USER, Piece, PieceModel

# Written with a pattern where others write a string, which is how the pipeline is told from theirs.
_SPACES_TO_MARKS: Spec = {"type": "Replace", "pattern": {"Regex": " "}, "content": MARK}
_COLLAPSE: Spec = {"type": "Replace", "pattern": {"Regex": "(?<![\\s\\S]) +| +(?![\\s\\S])|(?<= ) +"}, "content": ""}
_PREPEND: Spec = {"type": "Prepend", "prepend": MARK}
_FIRST: Spec = {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "first", "split": False}
_CROSSING = re.compile(f"[^{MARK}]{MARK}")
_MAX_WORK = 200_000_000  # letters looked at to find a vocabulary's merges

Front = Callable[[str, bool], str]


# -- rows ---------------------------------------------------------------------------------------------------------


def shifted(model: PieceModel, shift: str, where: str) -> tuple[list[Piece], int]:
    """The pieces in the order of their ids, and the id of the unknown one."""
    pieces = model.pieces
    if shift in ("none", "albert"):
        return [_albert(piece) for piece in pieces] if shift == "albert" else pieces, model.unk
    if [piece.text for piece in pieces[:3]] != ["<unk>", "<s>", "</s>"]:
        raise TokenizerError(f"{where} does not begin as fairseq's models do", expected="<unk>, <s>, </s>",
                             received=", ".join(piece.text for piece in pieces[:3]))  # fmt: skip
    if shift == "xlm_roberta":
        heads = [("<s>", CONTROL), ("<pad>", CONTROL), ("</s>", CONTROL), ("<unk>", UNKNOWN)]
        return [*(Piece(text, 0.0, kind) for text, kind in heads), *pieces[3:]], 3
    heads = [("<s>NOTUSED", CONTROL), ("<pad>", CONTROL), ("</s>NOTUSED", CONTROL), ("<unk>", UNKNOWN),
             ("<unk>NOTUSED", CONTROL)]  # fmt: skip
    return [*(Piece(text, 0.0, kind) for text, kind in heads), *pieces[1:]], 3


def _albert(piece: Piece) -> Piece:
    """ALBERT takes the comma off numbers after the fact; made improbable, such pieces are not chosen at all."""
    joined = len(piece.text) > 1 and piece.text[-1] == "," and piece.text[-2].isdigit()
    return piece._replace(score=piece.score - 100) if joined else piece


def model_spec(
    model: PieceModel, rows: list[Piece], unk: int, extra: int, shift: str, config: dict[str, Any]
) -> Spec:
    """The tokenizer.json of a SentencePiece model whose ids are `rows`, before its roles are known."""
    rows = [*rows, *(Piece(f"<extra_id_{number}>", 0.0, CONTROL) for number in reversed(range(extra)))]
    twice = len(rows) - len({piece.text for piece in rows})
    if twice:
        raise TokenizerError("two rows of the model are the same piece", expected="each piece once",
                             received=f"{twice} repeated")  # fmt: skip
    symbols = [piece.text for piece in rows if piece.kind == USER]
    steps_ = _lead(shift, config)
    if model.charsmap:
        steps_.append({"type": "Precompiled", "precompiled_charsmap": base64.b64encode(model.charsmap).decode()})
    steps_ += [_COLLAPSE] if model.collapse else []
    steps_ += [_PREPEND] if model.prefix and not symbols else []
    decoders: list[Spec] = [{"type": "Replace", "pattern": {"String": MARK}, "content": " "}]
    decoders += [{"type": "ByteFallback"}] if model.byte_fallback else []
    decoders += [{"type": "Fuse"}]
    decoders += [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if model.prefix or model.collapse else []
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": _added(rows),
        "normalizer": {"type": "Sequence", "normalizers": [*steps_, _SPACES_TO_MARKS]},
        "pre_tokenizer": _FIRST if model.prefix and symbols else None, "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": _bpe(model, rows, unk) if model.kind == BPE else {
            "type": "Unigram", "unk_id": unk, "vocab": [[piece.text, piece.score] for piece in rows],
            "byte_fallback": model.byte_fallback},
    }  # fmt: skip


def _lead(shift: str, config: dict[str, Any]) -> list[Spec]:
    """What ALBERT, and any class told to write in lower case, does to text before the model's own rules."""
    albert = shift == "albert"
    spaces = {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}
    quotes = [{"type": "Replace", "pattern": {"String": mark}, "content": '"'} for mark in ("``", "''")]
    accents: list[Spec] = [{"type": "NFKD"}, {"type": "StripAccents"}]
    return [*([spaces, *quotes] if albert else []), *(accents if albert and not config.get("keep_accents") else []),
            *([{"type": "Lowercase"}] if config.get("do_lower_case", albert) else [])]  # fmt: skip


def _added(rows: list[Piece]) -> list[Spec]:
    """Control pieces are special tokens. Symbols of the user's are found in text before the model sees it."""
    return [{"id": row, "content": piece.text, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": piece.kind == USER and MARK in piece.text, "special": piece.kind != USER}
            for row, piece in enumerate(rows) if piece.kind not in (NORMAL, BYTE)]  # fmt: skip


def _bpe(model: PieceModel, rows: list[Piece], unk: int) -> Spec:
    vocab = {piece.text: row for row, piece in enumerate(rows)}
    normal = {piece.text: piece.score for piece in rows if piece.kind == NORMAL}
    if sum(len(text) ** 2 for text in normal) > _MAX_WORK:
        raise TokenizerError("the pieces of the model are too long to find their merges",
                             expected=f"squares of lengths that sum to at most {_MAX_WORK:,}", received="more")  # fmt: skip
    for letter in sorted({letter for text in normal for letter in text if letter < "\x80"} - vocab.keys()):
        # A letter that pieces hold but that is none itself is spelled as its byte; under that id it can be merged.
        byte = BYTE_TOKENS[ord(letter)]
        if byte in vocab:
            vocab = {(letter if text == byte else text): row for text, row in vocab.items()}
            normal[letter] = 0.0
    found = []
    for text, score in normal.items():
        halves = [(text[:cut], text[cut:]) for cut in range(1, len(text))]
        known = [pair for pair in halves if pair[0] in normal and pair[1] in normal]
        found += [(score, *pair) for pair in sorted(known, key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))]
    # The best score first; among equal ones the longer left half, as other converters order them.
    found.sort(key=lambda row: (row[0], len(row[1]), len(row[2])), reverse=True)
    return {"type": "BPE", "dropout": None, "unk_token": rows[unk].text, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": model.byte_fallback, "ignore_merges": False,
            "vocab": vocab, "merges": [[left, right] for _, left, right in found]}  # fmt: skip


# -- front --------------------------------------------------------------------------------------------------------


def front_of(spec: Spec, where: str) -> Front | None:
    """What prepares text for a model written by `model_spec`; None for any other tokenizer."""
    chain = steps(spec.get("normalizer"))
    if not chain or chain.pop() != _SPACES_TO_MARKS or spec.get("pre_tokenizer") not in (None, _FIRST):
        return None
    prefix = _taken(chain, _PREPEND) or spec.get("pre_tokenizer") == _FIRST
    collapse = _taken(chain, _COLLAPSE)
    rules = None
    if chain and chain[-1]["type"] == "Precompiled":
        rules = read_charsmap(chain.pop()["precompiled_charsmap"], where)
    symbols = [token["content"] for token in spec.get("added_tokens") or [] if not token.get("special")]
    normalize = Normalizer(rules, symbols, prefix, collapse)
    lead = _library_normalizer(chain, where) if chain else None
    return lambda text, start: normalize(lead(text) if lead else text, start)


def front_engine(spec: Spec, special: set[str], where: str) -> tokenizers.Tokenizer:
    """The engine behind a front: the model alone, whose special rows no text can reach, and the user's symbols."""
    model, splits = spec["model"], []
    if model["type"] == "Unigram":
        hidden = special | ({model["vocab"][model["unk_id"]][0]} if model.get("unk_id") is not None else set())
        # No prepared text holds a space. A score of a row out of reach must not count as the least one.
        rows = [[f" {piece}", 0.0] if piece in hidden else [piece, score] for piece, score in model["vocab"]]
        model = {**model, "vocab": rows}
        if model.get("byte_fallback"):
            splits.append(_split(split_inside(BYTE_TOKENS) or "", "MergedWithPrevious"))
    else:
        model = {**model, "dropout": None}
    pieces = vocabulary(model)
    if MARK in pieces and not any(MARK in piece and _CROSSING.search(piece) for piece in pieces):
        # No piece goes on into the next word, so words can be looked up one by one.
        splits.insert(0, _split(f"{MARK}*[^{MARK}]+|{MARK}+", "Isolated"))
    added = [{**token, "normalized": False} for token in spec.get("added_tokens") or [] if not token.get("special")]
    return from_json({"version": "1.0", "model": model, "added_tokens": added, "normalizer": None,
                      "pre_tokenizer": {"type": "Sequence", "pretokenizers": splits}}, where)  # fmt: skip


def _split(pattern: str, behavior: str) -> Spec:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": False}


def _taken(chain: list[Spec], step: Spec) -> bool:
    if chain and chain[-1] == step:
        chain.pop()
        return True
    return False


def _library_normalizer(chain: list[Spec], where: str) -> Callable[[str], str]:
    model = {"type": "WordLevel", "vocab": {"<unk>": 0}, "unk_token": "<unk>"}
    engine = from_json({"model": model, "normalizer": {"type": "Sequence", "normalizers": chain}}, where)
    return engine.normalizer.normalize_str


