"""Text to ids and back: one class for every kind of tokenizer, trained here or read from anybody's files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from polyhead.errors import TokenizerError
from polyhead.text.chat import Rendered, at_marks, render_all, unspecial
from polyhead.text.chat import render as render_chat
from polyhead.text.export import exported_config, files_templates, read_templates, write_beside, write_files
from polyhead.text.files import inside, optional_json, read_json, write
from polyhead.text.guard import build_engine, check, engine_error, parsing_engine
from polyhead.text.kinds import BYTE_TOKENS, MARK, ROLES, SENTINEL, Spec, is_lossless, kind_of, marks_spaces, vocabulary
from polyhead.text.offsets import Placing
from polyhead.text.old import Old, is_old, read_old
from polyhead.text.pieces import Pieces, Stream, build_pieces, renderer
from polyhead.text.rows import front_engine, front_of
from polyhead.text.training import SAMPLE_CHARS, check_unicode, train_spec
from polyhead.text.wrap import enclosing, read_frame

FILE, CONFIG = "tokenizer.json", "tokenizer_config.json"
# Names that files without a configuration beside them use for each role.
_NAMES = {"pad": ("<pad>", "[PAD]", "<|pad|>"), "bos": ("<bos>", "<s>", "<|begin_of_text|>", "<|startoftext|>"),
          "eos": ("<eos>", "</s>", "<|endoftext|>", "<|end_of_text|>"), "unk": ("<unk>", "[UNK]"),
          "mask": ("<mask>", "[MASK]"), "cls": ("<cls>", "[CLS]"), "sep": ("<sep>", "[SEP]")}  # fmt: skip


class Tokenizer(Placing):
    """A tokenizer. Make one with `train` or `load`.

    kind: "words" | "chars" | "bytes" | "byte_bpe" | "bpe" | "wordpiece" | "unigram" | "sentencepiece".
    lossless: `decode(encode(text)) == text` for every Unicode text. vocab_size: the greatest id + 1.
    pad, bos, eos, unk, mask, cls, sep: ids, or None. special: the set of all special ids. templates: chat templates by
    name. target: the tokenizer of the other side, where a model has one for each (Marian), else None.
    """

    pad: int | None
    bos: int | None
    eos: int | None
    unk: int | None
    mask: int | None
    cls: int | None
    sep: int | None

    def __init__(
        self, spec: Spec, config: dict[str, Any] | None = None, where: str = "the tokenizer", *, old: Old | None = None
    ) -> None:
        """spec: the content of a tokenizer.json. config: that of the tokenizer_config.json beside it, if any. old: what
        more there is to know of one from older files."""
        spec = check(spec, where)
        self.templates = read_templates(config or {}, where)
        self.target: Tokenizer | None = self._old(old.target) if old and old.target else None
        self._where, self._config = where, dict(config or {})
        added = {token["content"]: token["id"] for token in spec.get("added_tokens") or []}
        self._added, self._known, self._files = tuple(added), old and old.known, old and old.files
        self._ids: dict[str, int] = {**vocabulary(spec["model"]), **added}
        self._tokens = {number: token for token, number in self._ids.items()}
        roles = {role: self._role(spec, role) for role in ROLES}
        for role, token in roles.items():
            setattr(self, role, None if token is None else self._ids[token])
        special = {token["content"] for token in spec.get("added_tokens") or [] if token.get("special")}
        special |= {token for token in roles.values() if token is not None}
        self.special = frozenset(self._ids[token] for token in special)
        self.kind, self.lossless, self.vocab_size = kind_of(spec), is_lossless(spec), max(self._tokens) + 1
        spec, self._frame = read_frame(spec, self._config, self._ids, where)
        self._json = json.dumps(spec, ensure_ascii=False)
        self._prefix_space = (spec.get("pre_tokenizer") or {}).get("add_prefix_space")
        self._front = front_of(spec, where)
        build, hidden = (build_engine if self._front is None else front_engine), old.hidden if old else frozenset()
        self._engine = build(spec, special | hidden, where)
        ending = {"end_of_word_suffix": spec["model"].get("end_of_word_suffix")}
        self._writing = {"decoder": spec.get("decoder"), "added_tokens": spec.get("added_tokens"), "model": ending}
        renderer(self._writing)
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
        sentinels: int = 0,
        **options: Any,
    ) -> Tokenizer:
        """Learn a tokenizer from a stream of texts, which is read once and never held.

        vocab_size: special tokens included; None = 8 000 (words: 30 000, chars: all). A corpus with less to offer
        gives a smaller one and a `SmallCorpusWarning`, or an error if `exact`. special: instead of the default seven,
        <pad> <bos> <eos> <unk> <mask> <cls> <sep> (without <unk> where every text can be spelled). sample_chars: stop
        reading after so many characters. sentinels: reserve <extra_id_0>, <extra_id_1> … after the special tokens, as
        span corruption needs (T5 has 100); they are special tokens too.

        options, by kind: words `split` ("words" apart from signs; "spaces": what stands between blanks; "lines": the same,
        and line ends are words too, as word-level corpora are counted) and `min_frequency`; chars
        `byte_fallback`; byte_bpe `pretokenize` (False: merges cross spaces; learns from the first 20 million
        characters) and `min_frequency`; bpe, wordpiece `min_frequency`; wordpiece `lowercase`; sentencepiece
        `backend` ("unigram" or "bpe").

        Raises `TokenizerError` for a wrong option or a size without room for the alphabet, `DataError` for no text.
        """
        return cls(
            train_spec(texts, kind, vocab_size, special, exact, sample_chars, options, sentinels),
            where="the new tokenizer"
        )

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Open a folder with a tokenizer, or one file of it.

        A `tokenizer.json` is read before older files: vocab.txt (BERT), vocab.json + merges.txt or encoder.json +
        vocab.bpe (GPT-2), tokenizer.model, spiece.model, spm.model and sentencepiece.bpe.model (SentencePiece), vocab.json
        + source.spm + target.spm (Marian). What those leave unsaid follows from the class that tokenizer_config.json or
        config.json names. Which token is bos, eos … is read from the `tokenizer_config.json` (or
        `special_tokens_map.json`) beside the file, else from the usual names.

        Raises `TokenizerError`, naming file and field, for files that are missing, broken or not supported.
        """
        path = Path(path)
        folder = path if path.is_dir() else path.parent
        file = inside(folder, FILE) if path.is_dir() else path
        config: dict[str, Any] = {}
        if file is None or file.name == FILE or is_old(file):
            for name in ("special_tokens_map.json", CONFIG):
                config |= optional_json(folder, name)
            config |= files_templates(folder, config)
        if file is None or is_old(file):
            return cls._old(read_old(folder, config, None if path.is_dir() else path))
        return cls(read_json(file), config, str(file))

    @classmethod
    def _old(cls, old: Old) -> Tokenizer:
        return cls(old.spec, old.config, old.where, old=old)

    def save(self, path: str | Path, *, max_length: int | None = None) -> Path:
        """Write tokenizer.json into a folder, with tokenizer_config.json beside it, so that transformers opens it with
        the same ids; or one file, if `path` ends in `.json` (the configuration goes with the name tokenizer.json only).
        max_length: the most tokens the model takes, as `model_max_length`. Returns the file's path.

        A tokenizer with two sides (Marian) is written as the files it came from, into a folder.
        """
        path = Path(path)
        file = path if path.suffix == ".json" else path / FILE
        if self._files is not None:
            return write_files(file, self._files, self._full_config(max_length))
        if file.name == FILE:
            write_beside(file.parent, self._full_config(max_length), self.templates)
        write(file, self._json)
        return file

    def _full_config(self, max_length: int | None = None) -> dict[str, Any]:
        ids = {role: getattr(self, role) for role in ROLES}
        roles = {role: self._tokens[number] for role, number in ids.items() if number is not None}
        return exported_config(self._config, roles, self._frame, self._prefix_space, self.templates, max_length)

    @property
    def config(self) -> dict[str, Any]:
        """The tokenizer_config.json: the roles, and what else one that was loaded said (nothing that names code)."""
        return self._full_config()

    @cached_property
    def sentinels(self) -> tuple[int, ...]:
        """Ids of <extra_id_0>, <extra_id_1> … as far as there are any: what stands for a span that was taken out (T5)."""
        found: list[int] = []
        while (number := self._ids.get(name := SENTINEL.format(len(found)), self._ids.get(MARK + name))) is not None:
            found.append(number)
        return tuple(found)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the tokenizer's canonical JSON: equal exactly if the files say the same."""
        canonical = json.dumps(json.loads(self._json), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    # -- using it -----------------------------------------------------------------------------------------------

    def encode(self, text: str, *, start: bool = True, special: bool = False) -> list[int]:
        """The ids of `text`, and nothing else: no bos or eos (`wrap` and `frame` add those), never a special id but unk.

        start False: `text` goes on after other tokens, so a tokenizer that puts a space before a text puts none.
        special True: special tokens that are spelled out in the text become their ids, as in transformers. Never for
        text from somebody else, who could end a turn or begin one.
        Raises `TokenizerError` for a lone surrogate, which is no character.
        """
        if special:
            return self._run([text], start, self._parsing if start else self._parsing_on)[0]
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

    def _run(self, texts: list[str], start: bool, engine: Any = None) -> list[list[int]]:
        encodings, _ = self._encodings(texts, start, engine)
        return [self._known_ids(encoding.ids) for encoding in encodings]

    def _encodings(self, texts: list[str], start: bool, engine: Any = None, offsets: bool = False) -> tuple[list[Any], list[str]]:
        """The engine's encodings, and the texts it was given: a front's work where there is one."""
        try:
            if engine is None and self._front is not None:
                engine, prepared = self._engine, [self._front(text, start) for text in texts]
            else:
                engine, prepared = engine or (self._engine if start else self._continuing), texts
            encode = engine.encode_batch if offsets else engine.encode_batch_fast
            return encode(prepared, add_special_tokens=False), prepared
        except BaseException as error:
            for text in texts:
                if not isinstance(text, str):
                    raise TokenizerError("only text can be encoded", expected="str",
                                         received=type(text).__name__) from None  # fmt: skip
                check_unicode(text)
            raise engine_error(error, f"{self._where} cannot encode this text") from None

    def _known_ids(self, ids: list[int]) -> list[int]:
        """Ids of the engine; rows that only one side of a Marian model has become unk."""
        known = self._known
        return ids if known is None else [number if number < known else self.unk or 0 for number in ids]

    @cached_property
    def _continuing(self) -> Any:
        return build_engine(json.loads(self._json), self._special_names, self._where, start=False)

    @cached_property
    def _parsing(self) -> Any:
        return parsing_engine(json.loads(self._json), self._special_names, self._where)

    @cached_property
    def _parsing_on(self) -> Any:
        return parsing_engine(json.loads(self._json), self._special_names, self._where, start=False)

    @property
    def _special_names(self) -> set[str]:
        return {self._tokens[number] for number in self.special}

    @cached_property
    def _pieces(self) -> Pieces:
        return build_pieces(self._writing, self._tokens, self.special)

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """The text of ids. Bytes that are not UTF-8 become U+FFFD. Raises `TokenizerError` for an id of no token."""
        return self._pieces.decode(ids, skip_special)

    def stream(self, skip_special: bool = True) -> Stream:
        """Decode id by id, in whole characters: `push(id) -> str`, `flush() -> str`."""
        return Stream(self._pieces, skip_special)

    def frame(self, ids: Iterable[int], *, bos: bool = False, eos: bool = False) -> list[int]:
        """`ids` between bos and eos, as asked; one that is there already is not doubled."""
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

    def wrap(self, ids: Iterable[int], pair: Iterable[int] | None = None) -> tuple[list[int], list[int]]:
        """(ids, token types) of one text, or of a pair, with what the model wants around them: [CLS] A [SEP] B [SEP],
        <s> A </s></s> B </s>, bos A, A eos, or nothing. The types are 0 and 1, as the file has them.

        `wrap` and `frame` are the only places where special tokens are put around a text.
        """
        return self._frame.wrap(ids, pair)

    def framed(self) -> Tokenizer:
        """This tokenizer where its files say what stands around texts, else one that says <cls> A <sep>, and
        <cls> A <sep> B <sep> with types 0 and 1, in its file too. Raises `TokenizerError` without these two tokens."""
        if len(self._frame.pair) > 2 or len(self._frame.single) > 1:
            return self
        if self.cls is None or self.sep is None or self._files is not None:
            raise TokenizerError(f"{self._where} has nothing to put around texts", expected="<cls> and <sep>",
                                 received=f"a {self.kind} tokenizer without", change="train one with its default tokens")  # fmt: skip
        names = (self._tokens[self.cls], self.cls), (self._tokens[self.sep], self.sep)
        return Tokenizer(enclosing(json.loads(self._json), *names), self._config, self._where)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        template: str | None = None,
        add_generation_prompt: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        **variables: Any,
    ) -> Rendered:
        """The text that a conversation becomes, and where the assistant's part of it is (`spans`, if the template says).

        messages: {"role": …, "content": …} and what else the template reads. template: the name of one of `templates`
        ("default", or "tool_use" if there are tools and there is one). variables: further names for the template.
        It runs in a sandbox in a process of its own. Raises `TokenizerError` if there is no template, or if it fails,
        raises, or takes more than a second.
        """
        return render_chat(self.templates, template, messages, self._where, tools=tools, documents=documents,
                           add_generation_prompt=add_generation_prompt, **{**self._role_names, **variables})  # fmt: skip

    def render_all(self, asked: Sequence[Mapping[str, Any]]) -> list[Rendered | TokenizerError]:
        """`render` of each of `asked`, `{"messages": …, "add_generation_prompt": …}`, or the error it ends in."""
        return render_all(self.templates, asked, self._where, self._role_names)

    @property
    def _role_names(self) -> dict[str, str]:
        return {f"{role}_token": self._tokens[getattr(self, role)] for role in ROLES if getattr(self, role) is not None}

    @property
    def reserved(self) -> tuple[str, ...]:
        """The tokens that a template may write and a person may not: the special ones, and those added to the file."""
        return (*self._special_names, *self._added)

    def chat(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> list[int]:
        """The ids of a conversation. options: those of `render`.

        The special tokens that the template writes become their ids; what people wrote never does, whatever it spells.
        bos comes from the template, and once.
        """
        plain, mark = unspecial(messages, self.reserved)
        ids = self.encode_rendered(self.render(plain, **options).text, mark)
        while self.bos is not None and ids[:2] == [self.bos, self.bos]:
            del ids[0]
        return ids

    def encode_rendered(self, text: str, mark: str, *, start: bool = True) -> list[int]:
        """The ids of a rendered text whose messages went through `chat.unspecial`, which gave `mark`."""
        first, *others = at_marks(text, mark)
        ids = self.encode(first, start=start, special=True) if first or start else []
        for part in others:
            ids += self.encode(part, start=False, special=True) if part else []
        return ids

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
