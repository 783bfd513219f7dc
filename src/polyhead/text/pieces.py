"""From ids back to text: the bytes each token stands for, whole or as a stream.

A decoder of `tokenizer.json` is turned into bytes per token once, after which decoding is a join and a stream is an
incremental UTF-8 decoder: both give the same text for every sequence of ids, and each push costs the same.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from operator import index
from typing import NamedTuple

from polyhead.errors import TokenizerError
from polyhead.text.kinds import BYTE_LETTERS, Spec, steps

_BYTE_OF = {ord(letter): byte for byte, letter in enumerate(BYTE_LETTERS)}
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
# BERT's clean-up of spaces, applied to one token at a time, as the tokenizers library does.
_CLEANUP = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
            (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"))  # fmt: skip

Render = Callable[[str, bool], bytes]  # (token, is it the first one?) -> its bytes


class Pieces(NamedTuple):
    """Bytes of every id: `head` where it comes first, `body` elsewhere; `glue` ids are followed by a space.

    None stands for an id that no token has.
    """

    head: list[bytes | None]
    body: list[bytes | None]
    glue: frozenset[int]
    special: frozenset[int]

    def spell(self, ids: Iterable[int], skip_special: bool, first: bool = True, glued: bool = False) -> Iterator[bytes]:
        """The bytes of each id in turn. `first`, `glued`: the state after what was spelled before."""
        for number in ids:
            if not 0 <= number < len(self.body) or self.body[number] is None:
                raise TokenizerError(f"there is no token with the id {number}", received=str(number),
                                     expected=f"0 to {len(self.body) - 1}",
                                     change="decode with the tokenizer the ids were made with")  # fmt: skip
            if skip_special and number in self.special:
                continue
            piece = (self.head if first else self.body)[number] or b""
            yield b" " + piece if glued else piece
            first, glued = False, number in self.glue

    def decode(self, ids: Iterable[int], skip_special: bool) -> str:
        """Invalid UTF-8 becomes U+FFFD, as everywhere in Python."""
        return b"".join(self.spell(map(index, ids), skip_special)).decode("utf-8", "replace")


class Stream:
    """Decode ids one by one into whole characters.

    The pushes joined, with the flush, are exactly `decode` of all ids. A character whose bytes are spread over several
    tokens comes with its last byte; a byte that can no longer become one comes as U+FFFD, once.
    """

    def __init__(self, pieces: Pieces, skip_special: bool = True) -> None:
        self._pieces, self._skip = pieces, skip_special
        self._restart()

    def _restart(self) -> None:
        self._first, self._glued = True, False
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, number: int) -> str:
        """The text that this id completes, perhaps none."""
        number, text = index(number), ""
        for piece in self._pieces.spell((number,), self._skip, self._first, self._glued):
            text += self._utf8.decode(piece)
            self._first, self._glued = False, number in self._pieces.glue
        return text

    def flush(self) -> str:
        """What an unfinished character leaves behind. The stream is then fresh."""
        text = self._utf8.decode(b"", True)
        self._restart()
        return text


def build_pieces(spec: Spec, tokens: dict[int, str], special: frozenset[int]) -> Pieces:
    """Bytes per id for the decoder of a checked file. `tokens`: id → token."""
    render, suffix = renderer(spec)
    byte_level = any(step["type"] == "ByteLevel" for step in steps(spec.get("decoder")))
    added = {token["id"] for token in spec.get("added_tokens") or []}
    spaced = {step["type"] for step in steps(spec.get("decoder"))} & {"WordPiece", "BPEDecoder"} or not spec.get(
        "decoder"
    )
    raw = added if byte_level else frozenset() if spaced else special  # taken from the text as it stands
    size = max(tokens) + 1
    head: list[bytes | None] = [None] * size
    body: list[bytes | None] = [None] * size
    for number, token in tokens.items():
        if number in raw:
            head[number] = body[number] = token.encode()
        else:
            head[number], body[number] = render(token, True), render(token, False)
    glue = frozenset(number for number, token in tokens.items() if suffix and token.endswith(suffix))
    return Pieces(head, body, glue, special)


def renderer(spec: Spec) -> tuple[Render, str | None]:
    """How to write one token, and the suffix that means "a space follows". `TokenizerError` for a decoder not known."""
    decoder, ending = spec.get("decoder"), spec.get("model", {}).get("end_of_word_suffix")
    if decoder is None:
        return (lambda token, first: (token if first else f" {token}").encode()), None
    chain, kinds = steps(decoder), [step["type"] for step in steps(decoder)]
    if kinds == ["BPEDecoder"]:
        suffix = chain[0].get("suffix") or "</w>"
        return (lambda token, _: token.removesuffix(suffix).replace(suffix, " ").encode()), suffix
    if kinds == ["WordPiece"]:
        return _wordpiece(chain[0]), None
    if kinds == ["Metaspace"]:
        mark, prefixed = chain[0]["replacement"], _prefixed(chain[0])
        return (lambda token, first: token.replace(mark, "" if first and prefixed else " ").encode()), None
    if kinds and kinds[0] == "ByteLevel" and set(kinds[1:]) <= {"Fuse"}:
        return (lambda token, _: _byte_level(token.removesuffix(ending or ""))), ending or None  # CLIP's words end in </w>
    if set(kinds) <= {"Replace", "ByteFallback", "Fuse", "Strip"}:
        return _chain(chain), None
    raise TokenizerError("the tokenizer's decoder is not one polyhead reads", received=" + ".join(kinds),
                         expected="ByteLevel, BPEDecoder, WordPiece, Metaspace, or Replace + ByteFallback + Fuse + Strip")  # fmt: skip


def _prefixed(step: Spec) -> bool:
    return step.get("prepend_scheme", "always") != "never" and step.get("add_prefix_space", True)


def _byte_level(token: str) -> bytes:
    try:
        return bytes(_BYTE_OF[ord(letter)] for letter in token)
    except KeyError:
        return token.encode()


def _wordpiece(step: Spec) -> Render:
    prefix = step.get("prefix", "##")

    def render(token: str, first: bool) -> bytes:
        if not first:
            token = token.removeprefix(prefix) if token.startswith(prefix) else f" {token}"
        if step.get("cleanup", True):
            for wide, tight in _CLEANUP:
                token = token.replace(wide, tight)
        return token.encode()

    return render


def _chain(chain: list[Spec]) -> Render:
    fused = next((at for at, step in enumerate(chain) if step["type"] == "Fuse"), len(chain))
    for at, step in enumerate(chain):
        pattern = step.get("pattern", {}).get("String") if step["type"] == "Replace" else "x"
        after = at > fused
        strips_end = step["type"] == "Strip" and after and step.get("stop")
        if not pattern or strips_end or (after and len(pattern) > 1):
            raise TokenizerError("the tokenizer's decoder has a step that looks across tokens", received=repr(step)[:120],
                                 expected="replacements of a fixed text, and Strip of the beginning only")  # fmt: skip

    def render(token: str, first: bool) -> bytes:
        text: str | bytes = token
        for at, step in enumerate(chain):
            match = _BYTE_TOKEN.fullmatch(text) if step["type"] == "ByteFallback" and isinstance(text, str) else None
            if match:
                text = bytes([int(match[1], 16)])
            elif step["type"] == "Replace" and isinstance(text, str):
                text = text.replace(step["pattern"]["String"], step["content"])
            elif step["type"] == "Strip" and (first or at < fused):
                text = _strip(text, step, at < fused)
        return text if isinstance(text, bytes) else text.encode()

    return render


def _strip(text: str | bytes, step: Spec, both: bool) -> str | bytes:
    unit = step["content"].encode() if isinstance(text, bytes) else step["content"]
    for _ in range(step.get("start", 0)):
        text = text.removeprefix(unit)  # type: ignore[arg-type]
    for _ in range(step.get("stop", 0) if both else 0):
        text = text.removesuffix(unit)  # type: ignore[arg-type]
    return text
