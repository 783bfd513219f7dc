"""Text to ids and back: one class for every kind of tokenizer, trained here or read from a `tokenizer.json`."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from polyhead.errors import DiskError, TokenizerError
from polyhead.text.guard import build_engine, check, engine_error
from polyhead.text.kinds import BYTE_TOKENS, MARK, ROLES, Spec, is_lossless, kind_of, marks_spaces, vocabulary
from polyhead.text.pieces import Pieces, Stream, build_pieces
from polyhead.text.training import SAMPLE_CHARS, check_unicode, train_spec

FILE, CONFIG = "tokenizer.json", "tokenizer_config.json"
# Names that files without a configuration beside them use for each role.
_NAMES = {"pad": ("<pad>", "[PAD]", "<|pad|>"), "bos": ("<bos>", "<s>", "<|begin_of_text|>", "<|startoftext|>"),
          "eos": ("<eos>", "</s>", "<|endoftext|>", "<|end_of_text|>"), "unk": ("<unk>", "[UNK]"),
          "mask": ("<mask>", "[MASK]"), "cls": ("<cls>", "[CLS]"), "sep": ("<sep>", "[SEP]")}  # fmt: skip


class Tokenizer:
    """A tokenizer. Make one with `train` or `load`.

    kind: "words" | "chars" | "bytes" | "byte_bpe" | "bpe" | "wordpiece" | "unigram" | "sentencepiece".
    lossless: `decode(encode(text)) == text` for every Unicode text. vocab_size: the greatest id + 1.
    pad, bos, eos, unk, mask, cls, sep: ids, or None. special: the set of all special ids.
    """

    pad: int | None
    bos: int | None
    eos: int | None
    unk: int | None
    mask: int | None
    cls: int | None
    sep: int | None

    def __init__(self, spec: Spec, config: dict[str, Any] | None = None, where: str = "the tokenizer") -> None:
        """spec: the content of a tokenizer.json. config: that of the tokenizer_config.json beside it, if any."""
        spec = check(spec, where)
        self._where, self._config = where, dict(config or {})
        added = {token["content"]: token["id"] for token in spec.get("added_tokens") or []}
        self._ids: dict[str, int] = {**vocabulary(spec["model"]), **added}
        self._tokens = {number: token for token, number in self._ids.items()}
        roles = {role: self._role(spec, role) for role in ROLES}
        for role, token in roles.items():
            setattr(self, role, None if token is None else self._ids[token])
        special = {token["content"] for token in spec.get("added_tokens") or [] if token.get("special")}
        special |= {token for token in roles.values() if token is not None}
        self.special = frozenset(self._ids[token] for token in special)
        self.kind, self.lossless, self.vocab_size = kind_of(spec), is_lossless(spec), max(self._tokens) + 1
        self._json = json.dumps(spec, ensure_ascii=False)
        self._engine = build_engine(spec, special, where)
        self._pieces: Pieces = build_pieces(spec, self._tokens, self.special)
        self._mark_bytes = (
            [self._ids[token] for token in _spelling(MARK)] if marks_spaces(spec) and self.lossless else None
        )

    def _role(self, spec: Spec, role: str) -> str | None:
        """The token that plays a role: by the configuration, by the model (unk), by its name."""
        named = self._config.get(f"{role}_token", ...)
        if named is not ...:
            content = named.get("content") if isinstance(named, dict) else named
            return content if isinstance(content, str) and content in self._ids else None
        model = spec["model"]
        if role == "unk" and model.get("unk_id") is not None:
            return model["vocab"][model["unk_id"]][0]
        if role == "unk" and model.get("unk_token"):
            return model["unk_token"] if model["unk_token"] in self._ids else None
        return next((name for name in _NAMES[role] if name in self._ids), None)

    # -- making one ---------------------------------------------------------------------------------------------

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        kind: str = "byte_bpe",
        vocab_size: int | None = None,
        *,
        special: Iterable[str] | None = None,
        exact: bool = False,
        sample_chars: int = SAMPLE_CHARS,
        **options: Any,
    ) -> Tokenizer:
        """Learn a tokenizer from a stream of texts, which is read once and never held.

        vocab_size: special tokens included; None = 8 000 (words: 30 000, chars: all). A corpus with less to offer
        gives a smaller one and a `SmallCorpusWarning`, or an error if `exact`. special: instead of the default seven,
        <pad> <bos> <eos> <unk> <mask> <cls> <sep> (without <unk> where every text can be spelled). sample_chars: stop
        reading after so many characters.

        options, by kind: words `split` ("words" apart from signs, or "spaces") and `min_frequency`; chars
        `byte_fallback`; byte_bpe `pretokenize` (False: merges cross spaces; learns from the first 20 million
        characters) and `min_frequency`; bpe, wordpiece `min_frequency`; wordpiece `lowercase`; sentencepiece
        `backend` ("unigram" or "bpe").

        Raises `TokenizerError` for a wrong option or a size without room for the alphabet, `DataError` for no text.
        """
        return cls(
            train_spec(texts, kind, vocab_size, special, exact, sample_chars, options), where="the new tokenizer"
        )

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Open a `tokenizer.json`, or the folder it is in. Which token is bos, eos … is read from the
        `tokenizer_config.json` (or `special_tokens_map.json`) beside it, else from the usual names."""
        path = Path(path)
        file = path / FILE if path.is_dir() else path
        config: dict[str, Any] = {}
        if file.name == FILE:
            for name in ("special_tokens_map.json", CONFIG):
                beside = file.parent / name
                config |= _read_json(beside) if beside.is_file() else {}
        return cls(_read_json(file), config, str(file))

    def save(self, path: str | Path) -> Path:
        """Write tokenizer.json into a folder, with tokenizer_config.json beside it; or one file, if `path` ends in
        `.json` (the configuration goes with the name tokenizer.json only). Returns the file's path."""
        path = Path(path)
        file = path if path.suffix == ".json" else path / FILE
        if file.name == FILE:
            _write(file.parent / CONFIG, json.dumps(self.config, indent=2, ensure_ascii=False) + "\n")
        _write(file, self._json)
        return file

    @property
    def config(self) -> dict[str, Any]:
        """The tokenizer_config.json: the roles, and what else one that was loaded said (nothing that names code)."""
        kept = {key: value for key, value in self._config.items() if key not in ("auto_map", "trust_remote_code")}
        ids = {role: getattr(self, role) for role in ROLES}
        roles = {f"{role}_token": self._tokens[number] for role, number in ids.items() if number is not None}
        return {"tokenizer_class": "PreTrainedTokenizerFast", **kept, **roles}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the tokenizer's canonical JSON: equal exactly if the files say the same."""
        canonical = json.dumps(json.loads(self._json), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    # -- using it -----------------------------------------------------------------------------------------------

    def encode(self, text: str, *, start: bool = True) -> list[int]:
        """The ids of `text`, and nothing else: no bos or eos (`frame` adds those), never a special id but unk.

        start False: `text` goes on after other tokens, so a tokenizer that puts a space before a text puts none.
        Raises `TokenizerError` for a lone surrogate, which is no character.
        """
        if self._mark_bytes is not None and isinstance(text, str) and MARK in text:
            return self._around_marks(text)
        return self._run([text], start)[0]

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """`encode` of each, in parallel where the library may."""
        if self._mark_bytes is not None and any(isinstance(text, str) and MARK in text for text in texts):
            return [self.encode(text) for text in texts]
        return self._run(texts, True)

    def _around_marks(self, text: str) -> list[int]:
        """In our raw-text files ▁ means a space, so the character itself is spelled in bytes."""
        first, *others = self._run(text.split(MARK), True)
        return first + [number for ids in others for number in (*(self._mark_bytes or ()), *ids)]

    def _run(self, texts: list[str], start: bool) -> list[list[int]]:
        engine = self._engine if start else self._continuing
        try:
            encodings = engine.encode_batch_fast(texts, add_special_tokens=False)
        except BaseException as error:
            for text in texts:
                if not isinstance(text, str):
                    raise TokenizerError("only text can be encoded", expected="str",
                                         received=type(text).__name__) from None  # fmt: skip
                check_unicode(text)
            raise engine_error(error, f"{self._where} cannot encode this text") from None
        return [encoding.ids for encoding in encodings]

    @cached_property
    def _continuing(self) -> Any:
        special = {self._tokens[number] for number in self.special}
        return build_engine(json.loads(self._json), special, self._where, start=False)

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """The text of ids. Bytes that are not UTF-8 become U+FFFD. Raises `TokenizerError` for an id of no token."""
        return self._pieces.decode(ids, skip_special)

    def stream(self, skip_special: bool = True) -> Stream:
        """Decode id by id, in whole characters: `push(id) -> str`, `flush() -> str`."""
        return Stream(self._pieces, skip_special)

    def frame(self, ids: Iterable[int], *, bos: bool = False, eos: bool = False) -> list[int]:
        """`ids` between bos and eos, as asked; one that is there already is not doubled.

        The only place in polyhead where a bos or eos is put around a text.
        """
        framed = list(ids)
        for role, wanted in (("bos", bos), ("eos", eos)):
            if wanted and getattr(self, role) is None:
                raise TokenizerError(
                    f"{self._where} has no {role} token", expected=f"a tokenizer with one, or no {role}"
                )
        if bos and framed[:1] != [self.bos]:
            framed.insert(0, self.bos)  # type: ignore[arg-type]
        if eos and framed[-1:] != [self.eos]:
            framed.append(self.eos)  # type: ignore[arg-type]
        return framed

    def id(self, token: str) -> int | None:
        """The id of a token by its name in the vocabulary, such as "<eos>", or None."""
        return self._ids.get(token)

    def token(self, number: int) -> str:
        """The name of an id in the vocabulary."""
        if number not in self._tokens:
            raise TokenizerError(f"there is no token with the id {number}", expected=f"0 to {self.vocab_size - 1}",
                                 received=str(number))  # fmt: skip
        return self._tokens[number]

    def coverage(self, texts: Iterable[str]) -> float:
        """The share of the tokens of `texts` that are not <unk>: 1.0 where every text can be spelled."""
        known = total = 0
        for text in texts:
            ids = self.encode(text)
            total += len(ids)
            known += len(ids) - (ids.count(self.unk) if self.unk is not None else 0)
        return known / total if total else 1.0

    def __iter__(self) -> Iterator[str]:
        """The tokens in the order of their ids."""
        return (self._tokens[number] for number in sorted(self._tokens))

    def __repr__(self) -> str:
        return f"Tokenizer(kind={self.kind!r}, vocab_size={self.vocab_size}, lossless={self.lossless})"


def _spelling(letter: str) -> list[str]:
    return [BYTE_TOKENS[byte] for byte in letter.encode()]


def _read_json(file: Path) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise TokenizerError(f"{file}: the key {twice[:60]!r} comes twice", expected="each key once")
        return table

    try:
        data = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=unique)
    except FileNotFoundError:
        raise TokenizerError(f"there is no tokenizer at {file}", expected="a tokenizer.json, or a folder with one",
                             change="check the path") from None  # fmt: skip
    except OSError as error:
        raise TokenizerError(f"{file} cannot be read", received=error.strerror or str(error)) from None
    except (ValueError, RecursionError) as error:
        raise TokenizerError(f"{file} is not JSON", received=str(error)[:200]) from None
    if not isinstance(data, dict):
        raise TokenizerError(
            f"{file} is not a tokenizer's file", expected="a JSON object", received=type(data).__name__
        )
    return data


def _write(file: Path, text: str) -> None:
    """All of it or nothing: a file beside it takes its place."""
    part = file.with_name(f"{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DiskError(f"{file} could not be written", received=error.strerror or str(error),
                        change="free some space, or choose a folder that can be written") from None  # fmt: skip
