"""Marian: two SentencePiece models, one for each side, whose pieces share the numbers in a vocab.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polyhead.errors import TokenizerError
from polyhead.text.files import read_bytes, read_json
from polyhead.text.kinds import Spec
from polyhead.text.protobuf import MAX_PIECES, NORMAL, UNIGRAM, UNKNOWN, Piece, read_model
from polyhead.text.rows import model_spec


def read_side(vocab: dict[str, int], file: Path) -> tuple[Spec, frozenset[str]]:
    """The tokenizer of one side, and the tokens that only the other side can write.

    It has a row for each id of the vocabulary; further rows are pieces that the vocabulary lacks: the model may choose
    them, and they then stand for the unknown token.
    """
    model, where = read_model(read_bytes(file), str(file)), str(file)
    if model.kind != UNIGRAM:
        raise TokenizerError(f"{where}: trainer_spec.model_type is not Marian's", expected="unigram (1)", received="bpe (2)")
    scores = {piece.text: piece.score for piece in model.pieces if piece.kind == NORMAL}
    rows = [Piece(token, scores.get(token, 0.0), UNKNOWN if token == "<unk>" else NORMAL)
            for token in sorted(vocab, key=vocab.__getitem__)]  # fmt: skip
    rows += [Piece(token, score, NORMAL) for token, score in scores.items() if token not in vocab]
    return model_spec(model, rows, vocab["<unk>"], 0, "none", {}), frozenset(vocab.keys() - scores.keys())


def read_vocabulary(file: Path) -> dict[str, int]:
    """vocab.json: piece → id, the ids 0, 1, 2 … without a gap."""
    vocab: dict[str, Any] = read_json(file)
    if len(vocab) > MAX_PIECES or sorted(map(repr, vocab.values())) != sorted(map(repr, range(len(vocab)))):
        raise TokenizerError(f"{file}: the ids are not 0, 1, 2 …", expected="each id once, without a gap",
                             received=repr(list(vocab.items())[:2]))  # fmt: skip
    missing = [token for token in ("<unk>", "</s>") if token not in vocab]
    if missing:
        raise TokenizerError(f"{file}: {missing[0]} is missing", expected="<unk> and </s>")
    return vocab


def refuse_separate(config: dict[str, Any], where: Path) -> None:
    """Marian's models with a vocabulary for each side have another number of rows on each."""
    if config.get("separate_vocabs"):
        raise TokenizerError(f"{where}: separate_vocabs is not supported", expected="one vocab.json for both sides",
                             received="true")  # fmt: skip
