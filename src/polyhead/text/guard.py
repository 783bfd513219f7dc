"""What stands between a tokenizer file, which anybody may have written, and the engine that runs it.

`check` refuses a file that would crash, hang or exhaust the engine, and names the field. `build_engine` makes the
Hugging Face engine out of a checked file so that plain text can never produce a special token: the special tokens are
not searched for in the text, and where the model itself could spell one (they are ordinary rows of its vocabulary), a
split is put inside every literal occurrence.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable
from typing import Any

import tokenizers

from polyhead.errors import TokenizerError
from polyhead.text.charsmap import read_charsmap
from polyhead.text.kinds import BYTE_TOKENS, Spec, steps, vocabulary

MODELS = ("WordLevel", "BPE", "WordPiece", "Unigram")
MAX_ID = 1 << 24
MAX_WORD = 10_000
MAX_LITERAL = 1024
MAX_DEPTH = 16  # sequences in sequences
_BYTE_PATTERN = "0x[0-9A-F]{2}>"


def check(spec: Any, where: str) -> Spec:
    """Refuse a broken or hostile tokenizer file with a `TokenizerError` that names the field."""
    if not isinstance(spec, dict) or not isinstance(spec.get("model"), dict):
        raise TokenizerError(f"{where} is not a tokenizer.json", expected="an object with a `model`",
                             received=type(spec).__name__ if not isinstance(spec, dict) else "no `model`")  # fmt: skip
    model = spec["model"]
    if "type" not in model:  # files of the first versions name no type
        model["type"] = next((name for name, key in (("BPE", "merges"), ("Unigram", "unk_id")) if key in model), None)
    if model["type"] not in MODELS:
        raise TokenizerError(f"{where}: model.type is not one polyhead reads", expected=" | ".join(MODELS),
                             received=repr(model["type"]))  # fmt: skip
    _check_vocabulary(spec, model, where)
    _check_added(spec, where)
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        _check_shape(spec.get(part), f"{where}: {part}")
        _check_part(spec.get(part), f"{where}: {part}")
    return spec


def _check_vocabulary(spec: Spec, model: Spec, where: str) -> None:
    vocab: Any = model.get("vocab")
    listed = model["type"] == "Unigram"
    rows = vocab if isinstance(vocab, list) else list(vocab.items()) if isinstance(vocab, dict) else None
    if rows is None or isinstance(vocab, list) != listed:
        raise TokenizerError(f"{where}: model.vocab has the wrong type", received=type(vocab).__name__,
                             expected="a list of [piece, score]" if listed else "an object of token: id")  # fmt: skip
    if not rows:
        raise TokenizerError(f"{where}: model.vocab is empty", expected="at least one token", received="none")
    for row in rows:
        fine = isinstance(row, (list, tuple)) and len(row) == 2 and isinstance(row[0], str)
        number = (int, float) if listed else int
        if not fine or isinstance(row[1], bool) or not isinstance(row[1], number):
            raise TokenizerError(f"{where}: model.vocab has a broken row", received=repr(row)[:80])
    if not listed:
        _check_ids({token: index for token, index in rows}, f"{where}: model.vocab")
    unk = model.get("unk_token")
    if model["type"] in ("WordLevel", "WordPiece") and unk not in vocab:
        raise TokenizerError(f"{where}: model.unk_token is not in the vocabulary", expected="a token of model.vocab",
                             received=repr(unk))  # fmt: skip
    unk_id = model.get("unk_id")
    if unk_id is not None and (not isinstance(unk_id, int) or not 0 <= unk_id < len(rows)):
        raise TokenizerError(f"{where}: model.unk_id is out of range", expected=f"0 to {len(rows) - 1}",
                             received=repr(unk_id))  # fmt: skip
    if model["type"] == "WordPiece" and not 0 < int(model.get("max_input_chars_per_word", 100)) <= MAX_WORD:
        raise TokenizerError(f"{where}: model.max_input_chars_per_word is out of range", expected=f"1 to {MAX_WORD}",
                             received=str(model["max_input_chars_per_word"]))  # fmt: skip
    if model["type"] == "BPE":
        _check_merges(model, where)


def _check_ids(table: dict[str, int], where: str) -> None:
    bad = next((item for item in table.items() if not 0 <= item[1] < MAX_ID), None)
    if bad:
        raise TokenizerError(f"{where}: the id of {bad[0][:60]!r} is out of range", expected=f"0 to {MAX_ID - 1}",
                             received=str(bad[1]))  # fmt: skip
    seen: dict[int, str] = {}
    for token, index in table.items():
        if index in seen:
            raise TokenizerError(f"{where}: two tokens share the id {index}", expected="one token per id",
                                 received=f"{seen[index][:60]!r} and {token[:60]!r}")  # fmt: skip
        seen[index] = token


def _check_merges(model: Spec, where: str) -> None:
    merges, prefix = model.setdefault("merges", []), model.get("continuing_subword_prefix") or ""
    if not isinstance(merges, list):
        raise TokenizerError(f"{where}: model.merges is not a list", received=type(merges).__name__)
    for merge in merges:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        fine = isinstance(pair, list) and len(pair) == 2 and all(isinstance(half, str) for half in pair)
        # The engine cuts the prefix off the right half without looking, and would panic.
        if not fine or not pair[1].startswith(prefix):
            raise TokenizerError(f"{where}: model.merges has a broken row", received=repr(merge)[:80],
                                 expected="two tokens" + (f", the second beginning with {prefix!r}" if prefix else ""))  # fmt: skip


def _check_added(spec: Spec, where: str) -> None:
    added = spec.get("added_tokens") or []
    if not isinstance(added, list):
        raise TokenizerError(f"{where}: added_tokens is not a list", received=type(added).__name__)
    for token in added:
        if not isinstance(token, dict) or not isinstance(token.get("content"), str) or not token["content"]:
            raise TokenizerError(f"{where}: an added token has no content", expected="a text of at least one character",
                                 received=repr(token)[:80])  # fmt: skip
        if not isinstance(token.get("id"), int) or isinstance(token["id"], bool):
            raise TokenizerError(f"{where}: the added token {token['content'][:60]!r} has no id", expected="an integer",
                                 received=repr(token.get("id")))  # fmt: skip
    table = vocabulary(spec["model"])
    _check_ids({**table, **{token["content"]: token["id"] for token in added}}, f"{where}: added_tokens")


def _check_shape(node: Any, where: str, depth: int = 0) -> None:
    """A step is an object with a type, or nothing; a sequence lists steps."""
    if node is None and depth == 0:
        return
    if not isinstance(node, dict) or not isinstance(node.get("type"), str) or depth > MAX_DEPTH:
        raise TokenizerError(f"{where} is no step", expected="an object with a type", received=repr(node)[:80])
    for key in ("normalizers", "pretokenizers", "decoders"):
        inner = node.get(key, [])
        if not isinstance(inner, list):
            raise TokenizerError(f"{where}.{key} is not a list", expected="a list", received=type(inner).__name__)
        for step in inner:
            _check_shape(step, f"{where}.{key}", depth + 1)


def _check_part(node: Any, where: str) -> None:
    """Regular expressions that can blow up, replacements that make text explode, rules the engine would panic at."""
    if isinstance(node, list):
        for inner in node:
            _check_part(inner, where)
    elif isinstance(node, dict):
        if node.get("type") == "Precompiled":
            rules = node.get("precompiled_charsmap")
            read_charsmap(rules if isinstance(rules, str) else repr(rules), where)
        for key, value in node.items():
            if key == "Regex" and isinstance(value, str) and unsafe_repeat(value):
                raise TokenizerError(f"{where}: the regular expression can take exponential time", received=value[:120],
                                     expected="no repeated group with a repetition or an alternative inside")  # fmt: skip
            if key in ("content", "prepend") and isinstance(value, str) and len(value) > MAX_LITERAL:
                raise TokenizerError(f"{where}.{key} is too long", expected=f"at most {MAX_LITERAL} characters",
                                     received=str(len(value)))  # fmt: skip
            _check_part(value, where)


def unsafe_repeat(pattern: str) -> bool:
    """True if a group that repeats without bound holds a repetition or an alternative: `(a+)+`, `(a|aa)*`."""
    loose, position, groups = [False], 0, 0
    while position < len(pattern):
        letter = pattern[position]
        if letter == "\\":
            position += 2
        elif letter == "[":
            position = _after_class(pattern, position)
        elif letter == "(":
            loose.append(False)
            groups += 1
            position += 3 if pattern.startswith(("(?=", "(?!", "(?:", "(?>"), position) else 1
        elif letter == ")":
            inner = loose.pop() if len(loose) > 1 else False
            repeat = _QUANTIFIER.match(pattern, position + 1)
            if inner and repeat and repeat["unbounded"]:
                return True
            loose[-1] |= inner
            position += 1
        else:
            repeat = _QUANTIFIER.match(pattern, position)
            loose[-1] |= letter == "|" or bool(repeat and not repeat["exact"])
            position = repeat.end() if repeat and repeat.end() > position else position + 1
    return False


_QUANTIFIER = re.compile(r"(?:(?P<unbounded>[*+]|\{\d*,\})|\?|(?P<exact>\{\d+\})|\{\d*,\d+\})[?+]?")


def _after_class(pattern: str, position: int) -> int:
    """The position after a `[...]` class, which may hold others."""
    depth = 0
    while position < len(pattern):
        letter = pattern[position]
        depth += {"[": 1, "]": -1}.get(letter, 0)
        position += 2 if letter == "\\" else 1
        if depth == 0:
            break
    return position


def split_inside(literals: Iterable[str]) -> str | None:
    """A pattern for the first letter of each literal (and of `<0x..>` byte tokens) where the rest follows it."""
    literals = set(literals)
    rests: dict[str, list[str]] = {}
    if not literals.isdisjoint(BYTE_TOKENS):
        literals -= set(BYTE_TOKENS)
        rests["<"] = [_BYTE_PATTERN]
    for literal in sorted(literals):
        rests.setdefault(literal[0], []).append(re.escape(literal[1:]))
    return "|".join(f"{re.escape(first)}(?={'|'.join(rest)})" for first, rest in sorted(rests.items())) or None


def _spelled(spec: Spec, special: set[str]) -> set[str]:
    """Special tokens, and byte tokens, that the model could make out of ordinary text."""
    model = spec["model"]
    names = special | (set(BYTE_TOKENS) if model.get("byte_fallback") else set())
    if model["type"] == "WordLevel":  # a text that says <unk> says what any unknown word does
        return names & model["vocab"].keys() - {model["unk_token"]}
    if model["type"] != "BPE" or model.get("ignore_merges"):
        return names & vocabulary(model).keys()
    cut = len(model.get("continuing_subword_prefix") or "")
    pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
    made = {left + right[cut:] for left, right in pairs}
    return names & (made | {token for token in model["vocab"] if len(token) == 1})


def guarded(spec: Spec, literals: Iterable[str]) -> Spec:
    """A copy of `spec` (the model shared) whose pre-tokeniser also splits inside every one of `literals`."""
    pattern = split_inside(literals)
    if pattern is None:
        return {**spec}
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "MergedWithPrevious", "invert": False}
    return {**spec, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*steps(spec.get("pre_tokenizer")), split]}}


def build_engine(spec: Spec, special: set[str], where: str, *, start: bool = True) -> tokenizers.Tokenizer:
    """The engine for a checked file. `start` False leaves out the space that some files put before a text."""
    spelled = _spelled(spec, special)
    short = sorted(token for token in spelled if len(token) == 1)
    if short:
        raise TokenizerError(f"{where}: a special token of one character cannot be told from text",
                             expected="special tokens of two characters or more", received=repr(short[0]))  # fmt: skip
    spec = guarded(spec, spelled)
    spec |= {"truncation": None, "padding": None, "post_processor": None}
    spec["model"] = {**spec["model"], **({"dropout": None} if spec["model"]["type"] == "BPE" else {})}
    spec["added_tokens"] = [
        {**token, "special": token["content"] in special} for token in spec.get("added_tokens") or []
    ]
    if not start:
        for part in ("normalizer", "pre_tokenizer"):
            spec[part] = _without_prefix(spec.get(part))
    engine = from_json(spec, where)
    engine.encode_special_tokens = True
    for token in spec["added_tokens"]:
        if engine.token_to_id(token["content"]) != token["id"]:
            raise TokenizerError(f"{where}: the added token {token['content'][:60]!r} has an id that cannot be reached",
                                 expected=str(engine.token_to_id(token["content"])), received=str(token["id"]))  # fmt: skip
    return engine


def parsing_engine(spec: Spec, special: set[str], where: str, *, start: bool = True) -> tokenizers.Tokenizer:
    """The engine that finds special tokens in text: the file as it stands, as other programs run it."""
    spec = {**spec, "truncation": None, "padding": None, "post_processor": None}
    spec["model"] = {**spec["model"], **({"dropout": None} if spec["model"]["type"] == "BPE" else {})}
    added = list(spec.get("added_tokens") or [])
    table = vocabulary(spec["model"])
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    unlisted = (special - {token["content"] for token in added}) & table.keys()
    spec["added_tokens"] = [*added, *({"id": table[name], "content": name, **plain} for name in sorted(unlisted))]
    if not start:
        for part in ("normalizer", "pre_tokenizer"):
            spec[part] = _without_prefix(spec.get(part))
    return from_json(spec, where)


def from_json(spec: Spec, where: str) -> tokenizers.Tokenizer:
    """The bare engine; the library's errors and panics become ours."""
    try:
        return tokenizers.Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))
    except BaseException as error:
        raise engine_error(error, f"{where} is not a tokenizer.json the tokenizers library can run") from None


def engine_error(error: BaseException, message: str) -> BaseException:
    """The error to raise for one of the engine's: ours, unless it is none of its business (Ctrl-C)."""
    # A Rust panic arrives as a BaseException of its own, outside Exception.
    if isinstance(error, Exception) or type(error).__name__ == "PanicException":
        return TokenizerError(message, received=str(error)[:300])
    return error


def _without_prefix(node: Spec | None) -> Spec | None:
    kept = [copy.copy(step) for step in steps(node) if step["type"] != "Prepend"]
    for step in kept:
        if step["type"] == "Metaspace":
            step |= {"prepend_scheme": "never"}
            step.pop("add_prefix_space", None)
        elif step["type"] == "ByteLevel":
            step["add_prefix_space"] = False
    if len(kept) < 2:
        return kept[0] if kept else None
    name = "normalizers" if "normalizers" in (node or {}) else "pretokenizers"
    return {"type": "Sequence", name: kept}
