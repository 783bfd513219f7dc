"""Tokenizers from before `tokenizer.json`: vocab.txt, vocab.json + merges.txt, SentencePiece's models.

Each becomes the content of a `tokenizer.json` that means the same. What the files leave unsaid is in `layouts.py`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from polyhead.errors import TokenizerError
from polyhead.text.files import inside, optional_json, read_bytes, read_json, read_text
from polyhead.text.kinds import ROLES, Spec, shell
from polyhead.text.layouts import BY_MODEL, LAYOUTS, PLAIN_PIECES, REFUSED, Layout
from polyhead.text.marian import read_side, read_vocabulary, refuse_separate
from polyhead.text.protobuf import read_model
from polyhead.text.rows import model_spec, shifted
from polyhead.text.wrap import template

_FILES = {"wordpiece": (("vocab.txt",),),
          "bpe": (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")),
          "pieces": (("tokenizer.model",), ("spiece.model",), ("spm.model",), ("sentencepiece.bpe.model",)),
          "marian": (("vocab.json", "source.spm", "target.spm"),)}  # fmt: skip
_OTHERS = {"tekken.json": "Mistral's own format", "vocab-src.json": "FSMT's, whose text goes through Moses' scripts",
           "vocab.model": "not in a layout known here", "qwen.tiktoken": "tiktoken's"}  # fmt: skip
OLD_FILES = {entry for groups in _FILES.values() for group in groups for entry in group}
_ROLE_ORDER = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")  # in which transformers numbers those it must add
_MAX_WORD = 1000  # characters of one token
_QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")  # fmt: skip
_CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class Old(NamedTuple):
    """A tokenizer read from old files. target: the other side of one that has two. known: pieces from this id on are
    not in the vocabulary the sides share. hidden: tokens that no text of this side becomes. files: what to write instead of a tokenizer.json."""

    spec: Spec
    config: dict[str, Any]
    where: str
    target: Old | None = None
    known: int | None = None
    hidden: frozenset[str] = frozenset()
    files: dict[str, bytes] | None = None


def read_old(folder: Path, config: dict[str, Any], file: Path | None = None) -> Old:
    """Read the old files of a folder, or `file` of it. Raises `TokenizerError` if there are none, or unknown ones."""
    name, layout = _layout(folder, config, file)
    chosen = _find(folder, name, layout, file)
    where = str(chosen[0])
    if layout.files == "marian":
        return _marian(chosen, config, layout)
    if layout.files == "wordpiece":
        spec = _wordpiece(chosen[0], config)
    elif layout.files == "bpe":
        spec = _bpe(chosen[0], chosen[1], config, layout)
    else:
        spec = _pieces(chosen[0], config, layout)
    spec, config = finish(spec, config, layout, optional_json(folder, "added_tokens.json"), where)
    return Old(spec, config, where)


def _layout(folder: Path, config: dict[str, Any], file: Path | None) -> tuple[str | None, Layout]:
    """The class of a folder's tokenizer, as its configuration or the model's says, else by its files."""
    model = optional_json(folder, "config.json")
    named = str(config.get("tokenizer_class") or model.get("tokenizer_class")).removesuffix("Fast")
    name = named if named in {*LAYOUTS, *REFUSED} else BY_MODEL.get(str(model.get("model_type")))
    if name in REFUSED:
        raise TokenizerError(f"{folder}: the files of a {name} cannot be read: {REFUSED[name]}",
                             expected="a tokenizer.json, or a class that needs nothing but its files",
                             change="save it with transformers as a tokenizer.json, if it has a fast class")  # fmt: skip
    layout = LAYOUTS.get(name or "", None)
    if layout is not None and (file is None or _reads(layout, file)):
        return name, layout
    names = {file.name} if file else {entry for kind in _FILES.values() for group in kind for entry in group
                                      if inside(folder, entry)}  # fmt: skip
    if "vocab.txt" in names:
        return name, LAYOUTS["BertTokenizer"]
    if names & {"source.spm", "target.spm"}:
        return name, LAYOUTS["MarianTokenizer"]
    if names & {"vocab.json", "merges.txt", "encoder.json", "vocab.bpe"}:
        return name, LAYOUTS["GPT2Tokenizer"]
    if "sentencepiece.bpe.model" in names and not names & {"tokenizer.model", "spiece.model", "spm.model"}:
        raise TokenizerError(f"{folder}: sentencepiece.bpe.model is used by classes that number its pieces differently",
                             expected="a tokenizer_config.json that names the tokenizer_class", received="none known",
                             change='add one, such as {"tokenizer_class": "XLMRobertaTokenizer"}')  # fmt: skip
    return name, PLAIN_PIECES


def is_old(file: Path) -> bool:
    """Whether the name of a file is that of an old kind."""
    return file.name in OLD_FILES or file.suffix in (".model", ".spm")


def _reads(layout: Layout, file: Path) -> bool:
    named = any(file.name in group for group in _FILES[layout.files])
    return named or (layout.files == "pieces" and file.suffix == ".model")


def _find(folder: Path, name: str | None, layout: Layout, file: Path | None) -> list[Path]:
    if file is not None and layout.files == "pieces":
        return [file]
    groups = _FILES[layout.files]
    missing = {group: [entry for entry in group if not inside(folder, entry)] for group in groups}
    for group, absent in missing.items():
        if not absent:
            return [folder / entry for entry in group]
    for group, absent in missing.items():
        if len(absent) < len(group):
            raise TokenizerError(f"{folder}: {' and '.join(absent)} is missing", expected=" + ".join(group))
    other = next((entry for entry in _OTHERS if inside(folder, entry)), None)
    expected = "a tokenizer.json, " + (" or ".join(" + ".join(group) for group in groups) if name else
                                       "vocab.txt, vocab.json + merges.txt, tokenizer.model or spiece.model")  # fmt: skip
    raise TokenizerError(f"there is no tokenizer at {folder}" + (f" for a {name}" if name else ""), expected=expected,
                         received=f"{other}, which is {_OTHERS[other]}" if other else "no such file",
                         change="check the path")  # fmt: skip


# -- vocab.txt ----------------------------------------------------------------------------------------------------


def _wordpiece(file: Path, config: dict[str, Any]) -> Spec:
    """BERT's list of tokens, one a line; the line's number is the id."""
    lower, accents = config.get("do_lower_case", True), config.get("strip_accents")
    chinese = config.get("tokenize_chinese_chars", True)
    for key, value in (("do_lower_case", lower), ("strip_accents", accents), ("tokenize_chinese_chars", chinese)):
        if value not in (True, False, None):
            raise TokenizerError(f"{file.parent}: {key} is not a choice", expected="true | false", received=repr(value))
    spec = shell("wordpiece", lowercase=bool(lower))
    spec["normalizer"] |= {"strip_accents": accents, "handle_chinese_chars": bool(chinese)}
    vocab: dict[str, int] = {}
    for number, token in enumerate(read_text(file).removesuffix("\n").split("\n")):
        if not token:
            continue  # an empty line keeps its id, and never matches
        if len(token) > _MAX_WORD:
            raise TokenizerError(f"{file}: line {number + 1} is no token", expected=f"at most {_MAX_WORD} characters",
                                 received=str(len(token)))  # fmt: skip
        if token in vocab:
            raise TokenizerError(f"{file}: line {number + 1} repeats line {vocab[token] + 1}", received=repr(token),
                                 expected="each token once")  # fmt: skip
        vocab[token] = number
    if not vocab:
        raise TokenizerError(f"{file} is empty", expected="one token a line", received="none")
    spec["model"] = {"type": "WordPiece", "unk_token": None, "continuing_subword_prefix": "##",
                     "max_input_chars_per_word": 100, "vocab": vocab}  # fmt: skip
    return spec


# -- vocab.json + merges.txt --------------------------------------------------------------------------------------


def _bpe(vocab_file: Path, merges_file: Path, config: dict[str, Any], layout: Layout) -> Spec:
    vocab = read_json(vocab_file)
    merges = _read_merges(merges_file, vocab)
    suffix = {"clip": "</w>", "words": "</w>"}.get(layout.split)
    spec = shell("byte_bpe")
    spec["pre_tokenizer"]["add_prefix_space"] = bool(config.get("add_prefix_space", False))
    if layout.split == "qwen2":
        spec["normalizer"] = {"type": "NFC"}
        spec["pre_tokenizer"] = _split_then_bytes(spec["pre_tokenizer"], _QWEN2, "Isolated", False)
    elif layout.split == "clip":
        spaces = {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}
        spec["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFC"}, spaces, {"type": "Lowercase"}]}
        spec["pre_tokenizer"] = _split_then_bytes(spec["pre_tokenizer"] | {"use_regex": True}, _CLIP, "Removed", True)
    elif layout.split == "words":
        around = shell("wordpiece", lowercase=True)
        spec |= {key: around[key] for key in ("normalizer", "pre_tokenizer")}
        spec["decoder"] = {"type": "BPEDecoder", "suffix": suffix}
    spec["model"] = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                     "end_of_word_suffix": suffix, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                     "vocab": vocab, "merges": merges}  # fmt: skip
    return spec


def _split_then_bytes(level: Spec, pattern: str, behavior: str, invert: bool) -> Spec:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}
    return {"type": "Sequence", "pretokenizers": [split, {**level, "use_regex": level["use_regex"] and invert}]}


def _read_merges(file: Path, vocab: dict[str, Any]) -> list[list[str]]:
    """The pairs of a merges.txt, the first to be merged first."""
    merges: list[list[str]] = []
    seen: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(read_text(file).split("\n"), 1):
        if not line or (number == 1 and line.startswith("#version")):
            continue
        pair = line.split(" ")
        if len(pair) != 2 or not all(pair) or len(line) > 2 * _MAX_WORD:
            raise TokenizerError(f"{file}: line {number} is no merge", expected="two tokens and a space between them",
                                 received=repr(line[:80]))  # fmt: skip
        absent = next((token for token in (*pair, "".join(pair)) if token not in vocab), None)
        if absent is not None:
            raise TokenizerError(f"{file}: line {number} merges a token that the vocabulary lacks",
                                 expected="tokens of the vocabulary", received=repr(absent[:80]))  # fmt: skip
        if tuple(pair) in seen:
            raise TokenizerError(f"{file}: line {number} repeats line {seen[tuple(pair)]}", received=repr(line[:80]),
                                 expected="each merge once")  # fmt: skip
        seen[tuple(pair)] = number
        merges.append(pair)
    return merges


# -- SentencePiece ------------------------------------------------------------------------------------------------


def _pieces(file: Path, config: dict[str, Any], layout: Layout) -> Spec:
    data = read_bytes(file)
    if re.match(rb"[A-Za-z0-9+/]+={0,2} \d+\r?\n", data):
        raise TokenizerError(f"{file} is tiktoken's list of tokens", expected="a SentencePiece model",
                             change="use the tokenizer.json that is published with it")  # fmt: skip
    model = read_model(data, str(file))
    rows, unk = shifted(model, layout.shift, str(file))
    extra = config.get("extra_ids", layout.extra) if layout.extra or "extra_ids" in config else 0
    if not isinstance(extra, int) or not 0 <= extra <= 10_000:
        raise TokenizerError(f"{file.parent}: extra_ids is out of range", expected="0 to 10000", received=repr(extra))
    return model_spec(model, rows, unk, extra, layout.shift, config)


def _marian(chosen: list[Path], config: dict[str, Any], layout: Layout) -> Old:
    refuse_separate(config, chosen[0].parent)
    vocab = read_vocabulary(chosen[0])
    sides = []
    for file in chosen[1:]:
        spec, hidden = read_side(vocab, file)
        languages = [token for token in vocab if token.startswith(">>") and token.endswith("<<")]
        told = {**config, "additional_special_tokens": languages}
        sides.append(Old(*finish(spec, told, layout, {}, str(file)), str(file), known=len(vocab), hidden=hidden))
    files = {file.name: read_bytes(file) for file in chosen}
    return sides[0]._replace(target=sides[1], files=files)


# -- special tokens -----------------------------------------------------------------------------------------------


def finish(
    spec: Spec, config: dict[str, Any], layout: Layout, added: dict[str, Any], where: str
) -> tuple[Spec, dict[str, Any]]:
    """Give a model its special tokens and its template. `added`: added_tokens.json, token → id."""
    silent = {} if layout.roles is PLAIN_PIECES.roles else {f"{role}_token": None for role in ROLES}
    config = {**silent, **{f"{role}_token": token for role, token in layout.roles.items()}, **config}
    model, numbers = spec["model"], {token["content"]: token["id"] for token in spec["added_tokens"]}
    listed = isinstance(model["vocab"], list)
    vocab = {piece: row for row, (piece, _) in enumerate(model["vocab"])} if listed else dict(model["vocab"])
    wanted = _named_tokens(config, layout, added, where)
    table = {**vocab, **numbers}
    following = max([number for number in table.values() if isinstance(number, int)], default=-1) + 1
    entries = {token["content"]: token for token in spec["added_tokens"]}
    given = {content: number for content, (number, _) in wanted.items() if number is not None}
    for content in sorted((name for name in wanted if name not in given and name not in table), key=list(wanted).index):
        while following in given.values():
            following += 1
        given[content] = following
        following += 1
    for content, (_, flags) in wanted.items():
        number = table.get(content, given.get(content))
        if content in given and content in table and given[content] != table[content]:
            raise TokenizerError(f"{where}: the added token {content[:60]!r} has two ids", expected=str(table[content]),
                                 received=str(given[content]))  # fmt: skip
        entries[content] = {"id": number, "content": content, **flags}
    spec["added_tokens"] = sorted(entries.values(), key=lambda token: token["id"])
    if model["type"] == "WordPiece" or (model["type"] == "BPE" and layout.split in ("clip", "words")):
        model["unk_token"] = _content(config.get("unk_token"))
    spec["post_processor"] = template(layout, config, {**table, **given})
    return spec, config


def _named_tokens(
    config: dict[str, Any], layout: Layout, added: dict[str, Any], where: str
) -> dict[str, tuple[int | None, dict[str, bool]]]:
    """Token → (its id if it is told, its flags), of every source there is; ids in order, then the roles in theirs."""
    found: dict[str, tuple[int | None, dict[str, bool]]] = {}
    decoder = config.get("added_tokens_decoder")
    if isinstance(decoder, dict):
        for number, token in sorted(decoder.items(), key=lambda item: int(item[0]) if item[0].isdigit() else 0):
            content = _content(token)
            if not number.isdigit() or content is None:
                raise TokenizerError(f"{where}: added_tokens_decoder has a broken row", expected="id: token",
                                     received=f"{number[:40]!r}: {repr(token)[:60]}")  # fmt: skip
            found[content] = int(number), _flags(token, False)
    for content, number in sorted(added.items(), key=lambda item: item[1] if isinstance(item[1], int) else -1):
        if not isinstance(number, int) or isinstance(number, bool) or number < 0 or not content:
            raise TokenizerError(f"{where}: added_tokens.json has a broken row", expected="token: id",
                                 received=f"{content[:60]!r}: {number!r}")  # fmt: skip
        found.setdefault(content, (number, _flags(None, True)))
    more = config.get("additional_special_tokens") or config.get("extra_special_tokens") or []
    roles = [(role, config.get(f"{role}_token")) for role in _ROLE_ORDER]
    for role, token in [*roles, *(("", token) for token in (more if isinstance(more, list) else []))]:
        content = _content(token)
        if content and content not in found:
            lstrip = isinstance(token, str) and role == layout.opens and role != ""
            found[content] = None, {**_flags(token, True), **({"lstrip": True} if lstrip else {}), "special": True}
    return found


def _content(token: Any) -> str | None:
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) and content else None


def _flags(token: Any, special: bool) -> dict[str, bool]:
    given = token if isinstance(token, dict) else {}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special}
    return {flag: bool(given.get(flag, default)) for flag, default in flags.items()}
