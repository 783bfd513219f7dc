"""How SentencePiece makes text ready for its model: characters mapped, spaces collapsed and written as ▁.

The rules for characters are a "charsmap": a double-array trie (Aoe 1989, as laid out by darts-clone) from UTF-8 keys to
places in a block of NUL-ended replacements. The tokenizers library runs one too, but grapheme by grapheme, with other
results where a mapped character carries a mark of its own; `Normalizer` does what SentencePiece does.
"""

from __future__ import annotations

import base64
import re
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache

from polyhead.errors import TokenizerError
from polyhead.text.kinds import MARK

_MAX_KEY, _MAX_VALUE = 64, 1024  # bytes; published rules have 18 and 33 at most
_MAX_NODES = 200_000
_SPACES = re.compile("  +")


class Normalizer:
    """Text → the string that a SentencePiece model segments (google/sentencepiece, `normalizer.cc`).

    symbols: texts that are left as they are. prefix: put a ▁ before the text. collapse: drop spaces at both ends, and
    all but one of each run.
    """

    def __init__(
        self, rules: Charsmap | None, symbols: Iterable[str] = (), prefix: bool = True, collapse: bool = True
    ) -> None:
        self._rules, self._prefix, self._collapse = rules, prefix, collapse
        kept = sorted(map(re.escape, symbols), key=len, reverse=True)
        parts = [f"(?P<kept>{'|'.join(kept)})"] if kept else []
        parts += [rules.pattern] if rules and rules.pattern else []
        self._search = re.compile("|".join(parts)).search if parts and rules else None

    def __call__(self, text: str, start: bool = True) -> str:
        """start False: the text goes on after other tokens, so no ▁ is put before it."""
        if not text:
            return ""
        text = self._map(text)
        if self._collapse:
            text = _SPACES.sub(" ", text).strip(" ")
            if not text:
                return ""
        text = (MARK if self._prefix and start else "") + text.replace(" ", MARK)
        return text.rstrip(MARK) if self._collapse else text

    def _map(self, text: str) -> str:
        if self._search is None or self._rules is None:
            return text
        parts, at = [], 0
        while match := self._search(text, at):
            parts.append(text[at : match.start()])
            if match.lastgroup:
                parts.append(match[0])
                at = match.end()
            else:
                size, replacement = self._rules.longest(text, match.start())
                parts.append(replacement)
                at = match.start() + size
        return "".join(parts) + text[at:]


@lru_cache(4)
def read_charsmap(text: str, where: str) -> Charsmap:
    """The charsmap in a tokenizer.json, which is base64. Raises `TokenizerError` for a damaged one."""
    try:
        return Charsmap(base64.b64decode(text, validate=True), where)
    except ValueError:
        raise TokenizerError(f"{where}: precompiled_charsmap is not base64", received=repr(text)[:80]) from None


class Charsmap:
    """The rules in a compiled charsmap. pattern: a regular expression for the places where a key may begin."""

    def __init__(self, data: bytes, where: str) -> None:
        """Raises `TokenizerError` for a damaged one."""
        self._where = where
        size = int.from_bytes(data[:4], "little")
        if len(data) < 8 or size % 4 or not 4 <= size <= len(data) - 4:
            raise self._damaged(f"a trie of {size} bytes in {len(data)}")
        self._units, self._texts = struct.unpack_from(f"<{size // 4}I", data, 4), data[4 + size :]
        self._steps = 0
        self._lone: dict[str, str] = {}  # keys of one character that begin no other
        self.pattern = self._read_letters()
        self._walk = lru_cache(1 << 14)(self._walked)

    def longest(self, text: str, at: int) -> tuple[int, str]:
        """The characters that the longest key at a place takes, and what stands for them; (1, itself) if none does."""
        letter = text[at]
        if letter in self._lone:
            return 1, self._lone[letter]
        return self._walk(text[at : at + _MAX_KEY // 2])

    def _walked(self, text: str) -> tuple[int, str]:
        place, value, size, key = 0, None, 0, text.encode()[:_MAX_KEY]
        for depth, byte in enumerate(key, 1):
            place = self._base(place) ^ byte
            if place >= len(self._units) or self._units[place] & 0x800000FF != byte:
                break
            if self._units[place] & 0x100:
                value, size = self._value(place), depth
        return (1, text[0]) if value is None else (len(self._decoded(key[:size])), value)

    def _read_letters(self) -> str:
        """Note the keys of one character; the pattern for those, and for characters that begin longer keys only."""
        children = defaultdict(list)
        for place, unit in enumerate(self._units):
            if not unit >> 31:  # the values have the top bit set
                children[place ^ (unit & 0xFF)].append(place)
        keys, begins, seconds, seen = [], [], set(), set()
        for letter, place in self._letters(0, children):
            longer = [child for child in children[self._base(place)] if child != self._base(place)]
            if self._units[place] & 0x100:
                keys.append(letter)
                if not longer:
                    self._lone[letter] = self._value(place)
            elif longer:
                begins.append(letter)
            if self._base(place) not in seen:  # the ends of keys are shared, so the same place comes up often
                seen.add(self._base(place))
                seconds |= {second for second, _ in self._letters(place, children)}
        alone, first, second = map(_class, (keys, begins, seconds))
        return "|".join([*([alone] if alone else []), *([f"{first}(?={second})"] if first and second else [])])

    def _letters(self, start: int, children: dict[int, list[int]]) -> Iterator[tuple[str, int]]:
        """Every character that may follow a place, and the place after it."""
        stack = [(start, b"")]
        while stack:
            place, key = stack.pop()
            self._steps += 1
            if self._steps > _MAX_NODES:
                raise self._damaged("a trie that runs in circles")
            if key and len(key) == _utf8_length(key[0]):
                yield self._decoded(key), place
            elif len(key) < 4:
                base = self._base(place)
                stack += [(child, key + bytes([self._units[child] & 0xFF])) for child in children[base] if child != base]

    def _base(self, place: int) -> int:
        unit = self._units[place]
        return place ^ ((unit >> 10) << ((unit & 0x200) >> 6))

    def _value(self, place: int) -> str:
        leaf = self._base(place)
        start = self._units[leaf] & 0x7FFFFFFF if leaf < len(self._units) else len(self._texts)
        end = self._texts.find(0, start, start + _MAX_VALUE)
        if end < 0:
            raise self._damaged(f"a replacement at byte {start} of {len(self._texts)}")
        return self._decoded(self._texts[start:end])

    def _decoded(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise self._damaged(f"a rule with {data[:16]!r}, which is not UTF-8") from None

    def _damaged(self, received: str) -> TokenizerError:
        return TokenizerError(f"{self._where}: the normaliser's precompiled_charsmap is damaged", received=received,
                              expected="a double-array trie and its replacements")  # fmt: skip


def _class(letters: Iterable[str]) -> str:
    """A class of characters; beyond the basic plane all of them, since `re` looks through lists of those one by one."""
    near = "".join(map(re.escape, sorted(letter for letter in letters if letter <= "\uffff")))
    far = "\U00010000-\U0010ffff" if any(letter > "\uffff" for letter in letters) else ""
    return f"[{near}{far}]" if near or far else ""


def _utf8_length(first: int) -> int:
    return 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
