"""Tags that mark spans of words: IOB1, IOB2 (BIO), BIOES and BILOU, one into the other and into spans.

A tag is a prefix and a type, B-PER. IOB1 (Ramshaw and Marcus 1995): I inside, B only where a span follows one of its
type. IOB2 (Ratnaparkhi 1998): B begins every span. BIOES: E ends it, S is one of a single word; BILOU's L and U are E and S.
`spans` reads them all, malformed ones as conlleval does (Tjong Kim Sang and Buchholz 2000): a span begins wherever one
cannot go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..errors import DataError

_BEGIN, _END = frozenset("BSU"), frozenset("ESLU")
_PREFIXES = frozenset("BIESLU")
SCHEMES = ("iob1", "iob2", "bioes")

Span = tuple[int, int, str]
"""(first word, word after the last, type)"""


def parted(tag: str) -> tuple[str, str]:
    """(prefix, type) of a tag; ("O", "") outside of spans. Raises DataError for a tag that marks no spans."""
    if tag == "O":
        return "O", ""
    if tag[:1] in _PREFIXES and tag[1:2] in ("-", ""):
        return tag[0], tag[2:]
    raise DataError("this tag marks no spans", expected="O, or B-, I-, E- or S- and a type", received=repr(tag)[:80])


def marks_spans(tags: Iterable[str]) -> bool:
    """Whether these are tags of spans: O or a prefix with a type each, and not O alone."""
    tags = set(tags)
    return bool(tags - {"O"}) and all(
        tag == "O" or (tag[:1] in _PREFIXES and tag[1:2] == "-" and tag[2:]) for tag in tags
    )


def spans(tags: Sequence[str]) -> list[Span]:
    """The spans that tags of any scheme mark, in order."""
    out: list[Span] = []
    begun, before, kind = -1, "O", ""
    for i, tag in enumerate((*tags, "O")):
        prefix, now = parted(tag)
        goes_on = begun >= 0 and prefix != "O" and prefix not in _BEGIN and now == kind and before not in _END
        if not goes_on:
            if begun >= 0:
                out.append((begun, i, kind))
            begun = -1 if prefix == "O" else i
        before, kind = prefix, now
    return out


def tags_of(spans: Iterable[Span], words: int, scheme: str = "iob2") -> list[str]:
    """The tags of a sentence of `words` words in which these spans stand. Raises DataError for spans that overlap."""
    if scheme not in SCHEMES:
        raise DataError("no such scheme of tags", expected=" | ".join(SCHEMES), received=repr(scheme))
    out = ["O"] * words
    last_end, last_type = -1, None
    for begin, end, kind in sorted(spans):
        if not max(last_end, 0) <= begin < end <= words:
            raise DataError(
                "these spans cannot be written as tags",
                expected=f"spans within {words} words that do not overlap",
                received=f"{begin} to {end}",
            )
        touches = begin == last_end and kind == last_type
        out[begin:end] = [f"I-{kind}" if kind else "I"] * (end - begin)
        first = {"iob1": "B" if touches else "I", "iob2": "B", "bioes": "B" if end - begin > 1 else "S"}[scheme]
        out[begin] = first + out[begin][1:]
        if scheme == "bioes" and end - begin > 1:
            out[end - 1] = "E" + out[end - 1][1:]
        last_end, last_type = end, kind
    return out


def converted(tags: Sequence[str], scheme: str) -> list[str]:
    """The same spans in another scheme, whatever scheme `tags` are of. Raises DataError for tags that mark no spans."""
    return tags_of(spans(tags), len(tags), scheme)


def scheme_of(sentences: Iterable[Sequence[str]]) -> str | None:
    """ "iob1", "iob2" or "bioes", the first that all sentences keep to; None if they keep to none of them."""
    left = ["iob2", "iob1", "bioes"]
    for tags in sentences:
        try:
            left = [scheme for scheme in left if converted(tags, scheme) == _plain(tags)]
        except DataError:
            return None
        if not left:
            return None
    return left[0] if left else None


def _plain(tags: Sequence[str]) -> list[str]:
    return [{"L": "E", "U": "S"}.get(tag[:1], tag[:1]) + tag[1:] for tag in tags]
