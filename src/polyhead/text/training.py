"""Train each kind of tokenizer from a stream of texts, in memory bounded by the vocabulary of the corpus.

Every kind gives a `tokenizer.json` (as a dict); the same texts in the same order give the same file.
"""

from __future__ import annotations

import difflib
import json
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tokenizers import trainers

from polyhead.errors import DataError, TokenizerError
from polyhead.text.guard import from_json, guarded, split_inside
from polyhead.text.kinds import (
    BYTE_LETTERS,
    BYTE_TOKENS,
    KINDS,
    MARK,
    SENTINEL,
    SPECIAL,
    SUFFIX,
    Spec,
    shell,
)
from polyhead.text.read import cut_point
from polyhead.text.unigram import train_unigram

SAMPLE_CHARS = 1_000_000_000
_SEGMENT = 4096  # characters fed at once: a longer word counts as several
_UNSPLIT_SEGMENT, _UNSPLIT_CHARS, _UNSPLIT_PIECE = 1024, 20_000_000, 32
_WORD_CHARS = 32  # longest word the Unigram trainer looks at whole
_COUNTED_WORDS = 2_000_000
_SENTINELS = 10_000
_WORDS_AND_SIGNS = re.compile(r"\w+|[^\w\s]+")
_RAW_WORDS = re.compile(r" ?[^ \n]+| |\n+")  # what `kinds._raw_text` splits into

_DEFAULT_SIZE = {"words": 30_000, "byte_bpe": 8_000, "bpe": 8_000, "wordpiece": 8_000, "unigram": 8_000,
                 "sentencepiece": 8_000}  # fmt: skip
_OPTIONS: dict[str, dict[str, tuple[Any, ...]]] = {
    "words": {"split": ("words", "spaces", "lines"), "min_frequency": ()},
    "chars": {"byte_fallback": (False, True)},
    "bytes": {},
    "byte_bpe": {"pretokenize": (True, False), "min_frequency": ()},
    "bpe": {"min_frequency": ()},
    "wordpiece": {"lowercase": (False, True), "min_frequency": ()},
    "unigram": {},
    "sentencepiece": {"backend": ("unigram", "bpe")},
}


class SmallCorpusWarning(UserWarning):
    """The corpus has fewer tokens to offer than were asked for."""


class Job(NamedTuple):
    """One training: the kind, the size asked for, the special tokens, the texts in segments, the options."""

    kind: str
    size: int
    special: tuple[str, ...]
    segments: Iterator[str]
    options: dict[str, Any]

    def shell(self) -> Spec:
        known = ("split", "byte_fallback", "pretokenize", "lowercase")
        return shell(self.kind, **{key: value for key, value in self.options.items() if key in known})

    def base(self, spec: Spec) -> Spec:
        """`spec` with its pre-tokeniser split inside special tokens, so that none is learnt from text."""
        return guarded(spec, {*self.special, *BYTE_TOKENS} - ({"<unk>"} if self.kind == "words" else set()))


def train_spec(
    texts: Iterable[str],
    kind: str,
    vocab_size: int | None,
    special: Iterable[str] | None,
    exact: bool,
    sample_chars: int,
    options: dict[str, Any],
    sentinels: int = 0,
) -> Spec:
    """The `tokenizer.json` of a new tokenizer. See `Tokenizer.train`."""
    check_options(kind, options)
    chosen = _special_tokens(kind, special, options)
    if not isinstance(sentinels, int) or not 0 <= sentinels <= _SENTINELS:
        raise TokenizerError("sentinels is not a number of tokens", expected=f"0 to {_SENTINELS}", received=repr(sentinels))
    chosen = tuple(dict.fromkeys((*chosen, *(SENTINEL.format(number) for number in range(sentinels)))))
    unsplit = options.get("pretokenize") is False
    limit = min(sample_chars, _UNSPLIT_CHARS) if unsplit else sample_chars
    segments = _segments([texts] if isinstance(texts, str) else texts, limit, _UNSPLIT_SEGMENT if unsplit else _SEGMENT)
    size = _DEFAULT_SIZE.get(kind, 1 << 24) if vocab_size is None else vocab_size
    if not isinstance(size, int) or size < 1:
        raise TokenizerError("vocab_size is not a number of tokens", expected="at least 1", received=repr(vocab_size))
    spec = _TRAIN[kind](Job(kind, size, chosen, segments, options))
    got = len(spec["model"]["vocab"])
    if vocab_size is not None:
        _check_size(kind, size, got, exact)
    spec["added_tokens"] = [
        {
            "id": number,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for number, token in enumerate(chosen)  # fmt: skip
    ]
    return spec


def check_options(kind: str, options: dict[str, Any]) -> None:
    """Raises TokenizerError for a kind there is not, or an option it does not have."""
    if kind not in KINDS:
        near = difflib.get_close_matches(str(kind), KINDS, 1)
        raise TokenizerError(f"there is no tokenizer kind {kind!r}", expected=" | ".join(KINDS), received=repr(kind),
                             change=f"did you mean {near[0]!r}?" if near else None)  # fmt: skip
    for name, value in options.items():
        allowed = _OPTIONS[kind].get(name)
        if allowed is None:
            raise TokenizerError(f"the option {name!r} does not apply to the tokenizer kind {kind!r}", received=name,
                                 expected=", ".join(_OPTIONS[kind]) or "no option")  # fmt: skip
        if allowed and (value not in allowed or isinstance(value, int) and not isinstance(value, bool)):
            raise TokenizerError(f"the option {name!r} has a value it cannot take", received=repr(value),
                                 expected=" | ".join(map(repr, allowed)))  # fmt: skip
        if name == "min_frequency" and (not isinstance(value, int) or value < 1):
            raise TokenizerError("min_frequency is not a count", expected="at least 1", received=repr(value))


def _special_tokens(kind: str, special: Iterable[str] | None, options: dict[str, Any]) -> tuple[str, ...]:
    """Kinds that can spell everything in bytes need no <unk>; sentencepiece's model asks for one all the same."""
    total = kind in ("bytes", "byte_bpe") or options.get("byte_fallback", False)
    if special is None:
        return tuple(token for token in SPECIAL if not (total and token == "<unk>"))
    chosen = tuple(special)
    for token in chosen:
        if not isinstance(token, str) or len(token) < 2 or re.search(r"\s", token) or token in BYTE_TOKENS:
            raise TokenizerError("a special token must have two characters or more and no space",
                                 expected='such as "<eos>"', received=repr(token))  # fmt: skip
    if len(set(chosen)) < len(chosen):
        raise TokenizerError("a special token is given twice", expected="each once", received=", ".join(chosen))
    if not total and "<unk>" not in chosen:
        raise TokenizerError(f"the tokenizer kind {kind!r} needs the special token <unk>", received=", ".join(chosen),
                             change="add it, or take a kind that spells everything: bytes, byte_bpe")  # fmt: skip
    return chosen


def _check_size(kind: str, asked: int, got: int, exact: bool) -> None:
    if got == asked:
        return
    if kind == "bytes" or got > asked:
        raise _too_small(kind, asked, got)
    message = f"the corpus supports a {kind} vocabulary of {got} tokens, not {asked}"
    if exact:
        raise TokenizerError(message, expected=f"exactly {asked} tokens", received=str(got),
                             change=f"ask for vocab_size={got} or fewer, give more text, or leave out exact=True")  # fmt: skip
    warnings.warn(message, SmallCorpusWarning, stacklevel=4)


def _too_small(kind: str, asked: int, needed: int) -> TokenizerError:
    if kind == "bytes":
        return TokenizerError("the bytes kind has a vocabulary of one size", expected=f"vocab_size={needed}, or none",
                              received=str(asked))  # fmt: skip
    total = kind in ("byte_bpe", "sentencepiece")
    what = "256 bytes" if total else "every character of the corpus"
    return TokenizerError(f"vocab_size={asked} has no room for the alphabet of the tokenizer kind {kind!r}",
                          expected=f"at least {needed}: special tokens and {what}", received=str(asked),
                          change=f"vocab_size={needed} or more"
                          + ("" if total else ', or a kind that spells rare characters in bytes ("sentencepiece")'))  # fmt: skip


def _segments(texts: Iterable[str], limit: int, longest: int) -> Iterator[str]:
    """The first `limit` characters of the stream, in pieces of at most `longest`."""
    taken = 0
    for text in texts:
        if not isinstance(text, str):
            raise TokenizerError("the texts to train on must be strings", expected="str", received=type(text).__name__)
        check_unicode(text)
        start = 0
        while start < len(text) and taken < limit:
            window = text[start : start + longest + 1]
            cut = cut_point(window, longest) if len(window) > longest else len(window)
            cut = min(cut, limit - taken)
            yield window[:cut]
            start, taken = start + cut, taken + cut
        if taken >= limit:
            break
    if not taken:
        raise DataError("there is no text to train a tokenizer on", expected="at least one character", received="none")


def check_unicode(text: str) -> None:
    """Refuse lone surrogates, which are no characters and have no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TokenizerError(f"the text has half a character (a lone surrogate) at position {error.start}",
                             expected="Unicode text", received=f"U+{ord(text[error.start]):04X}",
                             change='text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") repairs it') from None  # fmt: skip


def _train_chars(job: Job) -> Spec:
    counts: Counter[str] = Counter()
    for segment in job.segments:
        counts.update(segment)
    spec, fallback = job.shell(), job.options.get("byte_fallback", False)
    base = [*job.special, *(BYTE_TOKENS if fallback else ())]
    room = job.size - len(base)
    if room < (0 if fallback else len(counts)):
        raise _too_small("sentencepiece" if fallback else job.kind, job.size,
                         len(base) + (0 if fallback else len(counts)))  # fmt: skip
    letters = sorted(counts, key=lambda letter: (-counts[letter], letter))[:room]
    spec["model"] = _bpe([*base, *sorted(letters)], unk=None if fallback else "<unk>", byte_fallback=fallback)
    return spec


def _bpe(tokens: Iterable[str], **fields: Any) -> Spec:
    model = {"type": "BPE", "dropout": None, "unk_token": fields.pop("unk", None), "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
             "vocab": {token: number for number, token in enumerate(tokens)}, "merges": []}  # fmt: skip
    return {**model, **fields}


def _train_bytes(job: Job) -> Spec:
    for _ in job.segments:  # an empty corpus is an error for every kind
        break
    return {**job.shell(), "model": _bpe([*job.special, *BYTE_LETTERS])}


def _run(job: Job, spec: Spec, model: Spec, trainer: Any, feed: Iterable[str]) -> Spec:
    """Train the library's `trainer`; returns the model part."""
    engine = from_json({**job.base(spec), "model": model}, "the new tokenizer")
    engine.train_from_iterator(feed, trainer)
    return json.loads(engine.to_str())["model"]


def _train_words(job: Job) -> Spec:
    spec, empty = job.shell(), {"type": "WordLevel", "vocab": {}, "unk_token": "<unk>"}
    trainer = trainers.WordLevelTrainer(vocab_size=job.size + 1, min_frequency=job.options.get("min_frequency", 1),
                                        show_progress=False, special_tokens=list(job.special))  # fmt: skip
    if job.size <= len(job.special):
        raise TokenizerError(f"vocab_size={job.size} has no room for a word", received=str(job.size),
                             expected=f"more than the {len(job.special)} special tokens")  # fmt: skip
    model = _run(job, spec, empty, trainer, job.segments)
    words = sorted(model["vocab"].keys() - set(job.special), key=model["vocab"].__getitem__)  # a written <unk> was counted as a word
    return {**spec, "model": {**model, "vocab": {word: number for number, word in enumerate([*job.special, *words][: job.size])}}}


def _bpe_trainer(job: Job, size: int, special: Iterable[str], **settings: Any) -> trainers.BpeTrainer:
    return trainers.BpeTrainer(vocab_size=size, min_frequency=job.options.get("min_frequency", 2),
                               show_progress=False, special_tokens=list(special), **settings)  # fmt: skip


def _train_byte_bpe(job: Job) -> Spec:
    needed = len(job.special) + 256
    if job.size < needed:
        raise _too_small(job.kind, job.size, needed)
    unsplit = {} if job.options.get("pretokenize", True) else {"max_token_length": _UNSPLIT_PIECE}
    trainer = _bpe_trainer(job, job.size, job.special, initial_alphabet=list(BYTE_LETTERS), **unsplit)
    spec = job.shell()
    return {**spec, "model": _run(job, spec, _bpe([]), trainer, job.segments)}


def _count(job: Job, pattern: re.Pattern[str], longest: int | None = None) -> Counter[str]:
    """How often each word comes. Beyond two million different ones, the rarest are forgotten."""
    words: Counter[str] = Counter()
    for segment in job.segments:
        found = pattern.findall(segment)
        if longest:
            found = [word[at : at + longest] for word in found for at in range(0, len(word), longest)]
        words.update(found)
        floor = 1
        while len(words) > _COUNTED_WORDS:
            words = Counter({word: count for word, count in words.items() if count > floor})
            floor *= 2
    return words


def _train_bpe(job: Job) -> Spec:
    """Sennrich et al. 2016: words end in `</w>`; every letter has a form inside and a form at the end of a word."""
    words = _count(job, _WORDS_AND_SIGNS)
    letters = sorted({letter for word in words for letter in word})
    base = [*job.special, *(letter + SUFFIX for letter in letters)]
    needed = len(base) + len(letters)
    if job.size < needed:
        raise _too_small(job.kind, job.size, needed)
    # The library numbers word-final letters in a random order; named beforehand, they keep one.
    trainer = _bpe_trainer(job, job.size, base, end_of_word_suffix=SUFFIX, initial_alphabet=letters)
    feed = (" ".join([word] * min(1000, left)) for word in sorted(words) for left in range(words[word], 0, -1000))
    spec, empty = job.shell(), _bpe([], unk="<unk>", end_of_word_suffix=SUFFIX)
    return {**spec, "model": {**_run(job, spec, empty, trainer, feed), "unk_token": "<unk>"}}


def _train_wordpiece(job: Job) -> Spec:
    """BERT's vocabulary, learnt by merges as in the tokenizers library (Devlin et al. 2019 do not publish theirs).

    Words are trained with a mark at their beginning, which then tells `the` from `##the`: the library's own trainer
    numbers its letters in a random order.
    """
    spec = job.shell()
    marked = {**spec, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        spec["pre_tokenizer"], {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "always", "split": False},
    ]}}  # fmt: skip
    trainer = _bpe_trainer(job, job.size, job.special)
    learnt = _run(job, marked, _bpe([]), trainer, job.segments)
    tokens = [token for token in learnt["vocab"] if token not in job.special]
    letters = sorted(token for token in tokens if len(token) == 1 and token != MARK)
    base = [*job.special, *letters, *(f"##{letter}" for letter in letters)]
    if job.size < len(base):
        raise _too_small(job.kind, job.size, len(base))
    merged = sorted((token for token in tokens if len(token) > 1), key=learnt["vocab"].__getitem__)
    named = (token.removeprefix(MARK) if token.startswith(MARK) else f"##{token}" for token in merged)
    vocab = list(dict.fromkeys([*base, *named]))[: job.size]
    spec["model"] = {"type": "WordPiece", "unk_token": "<unk>", "continuing_subword_prefix": "##",
                     "max_input_chars_per_word": 100, "vocab": {token: n for n, token in enumerate(vocab)}}  # fmt: skip
    return spec


def _train_pieces(job: Job) -> Spec:
    """unigram (Kudo 2018), and sentencepiece's raw text with byte fallback on either back end."""
    raw = job.kind == "sentencepiece"
    base = [*job.special, *(BYTE_TOKENS if raw else ())]
    if raw and job.size <= len(base):
        raise _too_small(job.kind, job.size, len(base) + 1)
    if job.options.get("backend") == "bpe":
        return _train_raw_bpe(job, base)
    words = _split_words(job, _count(job, _RAW_WORDS, _WORD_CHARS))
    words, letters = _with_common_letters(words, job.size - len(base)) if raw else (words, set("".join(words)))
    if job.size < len(base) + len(letters):
        raise _too_small(job.kind, job.size, len(base) + len(letters))
    learnt = train_unigram(words, job.size - len(base))
    vocab = [[token, 0.0] for token in base] + [[piece, score] for piece, score in learnt]
    model = {"type": "Unigram", "unk_id": base.index("<unk>"), "vocab": vocab, "byte_fallback": raw}
    return {**job.shell(), "model": model}


def _train_raw_bpe(job: Job, base: list[str]) -> Spec:
    spec, room = job.shell(), job.size - len(base)
    # Rare characters are spelled in bytes: three quarters of the room at most are single characters.
    trainer = _bpe_trainer(job, job.size, base, initial_alphabet=[MARK], limit_alphabet=max(1, room * 3 // 4))
    model = _run(job, spec, _bpe([]), trainer, job.segments)
    return {**spec, "model": {**model, "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}}


def _split_words(job: Job, counts: Mapping[str, int]) -> dict[str, int]:
    """Words as the model will see them: ▁ for a space (there is always one), cut inside special tokens."""
    inside = re.compile(f"(?<=(?:{split_inside({*job.special, *BYTE_TOKENS})}))")
    firsts = {token[0] for token in (*job.special, *BYTE_TOKENS)}
    words: Counter[str] = Counter({MARK: 1})
    for word, count in counts.items():
        marked = word.replace(" ", MARK)
        for part in inside.split(marked) if firsts & set(marked) else (marked,):
            words[part] += count
    return words


def _with_common_letters(words: Mapping[str, int], room: int) -> tuple[dict[str, int], set[str]]:
    """The words cut at their rarest letters, so that the letters fill three quarters of the room at most."""
    counts: Counter[str] = Counter({MARK: 1 << 60})
    for word, count in words.items():
        for letter in word:
            counts[letter] += count
    letters = set(sorted(counts, key=lambda letter: (-counts[letter], letter))[: max(1, room * 3 // 4)])
    if len(letters) == len(counts):
        return dict(words), letters
    kept: Counter[str] = Counter()
    for word, count in words.items():
        parts = "".join(letter if letter in letters else "\0" for letter in word).split("\0")
        kept.update({part: count for part in parts if part})
    return kept, letters


_TRAIN: dict[str, Callable[[Job], Spec]] = {
    "words": _train_words,
    "chars": _train_chars,
    "bytes": _train_bytes,
    "byte_bpe": _train_byte_bpe,
    "bpe": _train_bpe,
    "wordpiece": _train_wordpiece,
    "unigram": _train_pieces,
    "sentencepiece": _train_pieces,
}
