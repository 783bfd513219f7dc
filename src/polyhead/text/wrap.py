"""What a model wants around its texts: [CLS] A [SEP] B [SEP], <s> A </s></s> B </s>, bos A, A eos.

It is read from a file's post-processor; for old files, `template` writes one from what their class is known to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from polyhead.errors import TokenizerError
from polyhead.text.kinds import ROLES, Spec
from polyhead.text.layouts import LAYOUTS, Layout

_MAX_PARTS = 64


class Part(NamedTuple):
    """Special ids, or one of the texts ("A", "B"), and the token type of them all."""

    ids: tuple[int, ...]
    text: str
    type: int


class Frame(NamedTuple):
    """The parts around one text, and around a pair."""

    single: tuple[Part, ...] = (Part((), "A", 0),)
    pair: tuple[Part, ...] = (Part((), "A", 0), Part((), "B", 1))

    def wrap(self, first: Iterable[int], second: Iterable[int] | None = None) -> tuple[list[int], list[int]]:
        """(ids, token types) of one text or of two."""
        texts = {"A": list(first), "B": [] if second is None else list(second)}
        ids: list[int] = []
        types: list[int] = []
        for part in self.single if second is None else self.pair:
            inner = texts[part.text] if part.text else part.ids
            ids += inner
            types += [part.type] * len(inner)
        return ids, types


def read_frame(spec: Spec, config: dict[str, Any], ids: dict[str, int], where: str) -> tuple[Spec, Frame]:
    """The frame of a tokenizer.json: its post-processor's, or, where it has none, that of its class; and the file with
    that as its post-processor."""
    chain = _processors(spec.get("post_processor"), where)
    told = [step for step in chain if step.get("type") != "ByteLevel"]
    layout = LAYOUTS.get(str(config.get("tokenizer_class")).removesuffix("Fast"))
    told_twice = {"add_bos_token", "add_eos_token"} & config.keys()
    if layout is not None and layout.flags is not None and told_twice:
        # These classes follow the switches whatever the file says.
        written = template(layout, config, ids) or next((step for step in chain if step.get("type") == "ByteLevel"), None)
        spec, told = {**spec, "post_processor": written}, _processors(template(layout, config, ids), where)
    elif not chain and layout is not None:
        written = template(layout, config, ids)
        spec, told = {**spec, "post_processor": written}, _processors(written, where)
    if len(told) > 1:
        raise TokenizerError(f"{where}: post_processor adds special tokens in several steps", expected="one template",
                             received=" + ".join(str(step.get("type")) for step in told))  # fmt: skip
    frame = _frame(told[0], where) if told else Frame()
    known = set(ids.values())
    strange = [number for part in (*frame.single, *frame.pair) for number in part.ids if number not in known]
    if strange:
        raise _bad(where, "", "ids of tokens", strange[0])
    return spec, frame


def template(layout: Layout, config: dict[str, Any], ids: dict[str, int]) -> Spec | None:
    """The post-processor of a class, as `tokenizer.json` writes it. `ids`: token → id."""
    single, pair = layout.single, layout.pair
    if layout.flags is not None:
        bos, eos = (bool(config.get(f"add_{role}_token", default))
                    for role, default in zip(("bos", "eos"), layout.flags, strict=True))  # fmt: skip
        single = f"{'bos ' * bos}$A{' eos' * eos}"
        pair = f"{single}{' bos:1' * bos} $B:1{' eos:1' * eos}"
    used: dict[str, Spec] = {}
    parts = {name: [_written(word, config, ids, used) for word in text.split()]
             for name, text in (("single", single), ("pair", pair))}  # fmt: skip
    if not used:
        return None
    return {"type": "TemplateProcessing", **{name: [part for part in row if part] for name, row in parts.items()},
            "special_tokens": used}  # fmt: skip


def enclosing(spec: Spec, cls: tuple[str, int], sep: tuple[str, int]) -> Spec:
    """A tokenizer.json that puts cls A sep, or cls A sep B sep, around texts; the tokens by name and id."""
    tokens = {name: [{"SpecialToken": {"id": token[0], "type_id": kind}} for kind in (0, 1)] for name, token in (("cls", cls), ("sep", sep))}
    first, second = ({"Sequence": {"id": name, "type_id": kind}} for kind, name in enumerate("AB"))
    single = [tokens["cls"][0], first, tokens["sep"][0]]
    used = {name: {"id": name, "ids": [number], "tokens": [name]} for name, number in (cls, sep)}
    step = {"type": "TemplateProcessing", "single": single, "pair": [*single, second, tokens["sep"][1]], "special_tokens": used}
    before = _processors(spec.get("post_processor"), "the tokenizer")
    return {**spec, "post_processor": {"type": "Sequence", "processors": [*before, step]} if before else step}


def _written(word: str, config: dict[str, Any], ids: dict[str, int], used: dict[str, Spec]) -> Spec | None:
    name, _, kind = word.partition(":")
    if name.startswith("$"):
        return {"Sequence": {"id": name[1:], "type_id": int(kind or 0)}}
    token = config.get(f"{name}_token") if name in ROLES else name
    token = token.get("content") if isinstance(token, dict) else token
    if not isinstance(token, str) or token not in ids:
        return None
    used[token] = {"id": token, "ids": [ids[token]], "tokens": [token]}
    return {"SpecialToken": {"id": token, "type_id": int(kind or 0)}}


def _processors(node: Any, where: str) -> list[Spec]:
    if node is None:
        return []
    if not isinstance(node, dict):
        raise _bad(where, "", "an object", node)
    if node.get("type") != "Sequence":
        return [node]
    inner = node.get("processors")
    if not isinstance(inner, list) or not all(isinstance(step, dict) for step in inner) or len(inner) > _MAX_PARTS:
        raise _bad(where, ".processors", "a list of objects", inner)
    return inner


def _frame(step: Spec, where: str) -> Frame:
    kind = step.get("type")
    if kind in ("BertProcessing", "RobertaProcessing"):
        cls, sep = (_pair_id(step.get(name), where, name) for name in ("cls", "sep"))
        typed = kind == "BertProcessing"
        middle = (sep,) if typed else (sep, sep)
        single = (Part((cls,), "", 0), Part((), "A", 0), Part((sep,), "", 0))
        return Frame(single, (*single[:2], Part(middle, "", 0), Part((), "B", int(typed)), Part((sep,), "", int(typed))))
    if kind == "TemplateProcessing":
        return Frame(_parts(step, "single", where), _parts(step, "pair", where))
    raise _bad(where, ".type", "TemplateProcessing | BertProcessing | RobertaProcessing | ByteLevel", kind)


def _parts(step: Spec, name: str, where: str) -> tuple[Part, ...]:
    rows, table = step.get(name), step.get("special_tokens")
    if not isinstance(rows, list) or len(rows) > _MAX_PARTS or not isinstance(table, dict):
        raise _bad(where, f".{name}", f"at most {_MAX_PARTS} parts, and special_tokens", rows)
    parts = []
    for row in rows:
        special = row.get("SpecialToken") if isinstance(row, dict) else None
        inner = special or (row.get("Sequence") if isinstance(row, dict) else None)
        if not isinstance(inner, dict) or not isinstance(inner.get("type_id", 0), int):
            raise _bad(where, f".{name}", "SpecialToken or Sequence, with a type_id", row)
        if special is None:
            if inner.get("id") not in ("A", "B"):
                raise _bad(where, f".{name}", 'a Sequence with the id "A" or "B"', row)
            parts.append(Part((), inner["id"], inner.get("type_id", 0)))
            continue
        entry = table.get(inner.get("id")) if isinstance(inner.get("id"), str) else None
        ids = entry.get("ids") if isinstance(entry, dict) else None
        if not isinstance(ids, list) or len(ids) > _MAX_PARTS or not all(type(number) is int for number in ids):
            raise _bad(where, ".special_tokens", f"the ids of {inner.get('id')!r}", entry)
        parts.append(Part(tuple(ids), "", inner.get("type_id", 0)))
    return tuple(parts)


def _pair_id(value: Any, where: str, name: str) -> int:
    if not isinstance(value, Sequence) or len(value) != 2 or type(value[1]) is not int:
        raise _bad(where, f".{name}", "[token, id]", value)
    return int(value[1])


def _bad(where: str, field: str, expected: str, received: Any) -> TokenizerError:
    return TokenizerError(f"{where}: post_processor{field} cannot be read", expected=expected,
                          received=repr(received)[:120])  # fmt: skip
