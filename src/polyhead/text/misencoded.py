"""Text that was UTF-8, was once read as something else, and was saved again: recognise it and undo it.

`“café”` read as Mac Roman becomes `‚Äúcaf√©‚Äù`, read as Windows-1252 `â€œcafÃ©â€\x9d`. Almost no real text survives the
way back (its bytes are not UTF-8), so a text whose every line does is taken to be one of those.
"""

from __future__ import annotations

import codecs

_Table = dict[int, int]  # character -> the byte it was read from


def _table(encoding: str) -> _Table:
    """One byte per character. A byte that `encoding` leaves undefined was read as the control of the same number."""
    letters = (bytes([byte]).decode(encoding, "ignore") or chr(byte) for byte in range(256))
    return {ord(letter): byte for byte, letter in enumerate(letters)}


_TABLES = {name: _table(name) for name in ("latin-1", "cp1252", "mac_roman")}


def _undo(line: str, table: _Table) -> str | None:
    """The line as it was, or None if it cannot come from UTF-8 read through `table`."""
    if line.isascii():
        return line
    try:
        return codecs.charmap_encode(line, "strict", table)[0].decode("utf-8")  # type: ignore[arg-type]
    except UnicodeError:
        return None


def _repaired(text: str) -> tuple[str, str] | None:
    """(encoding, text repaired) for the first encoding through which every line goes back."""
    if text.isascii():
        return None
    lines = text.split("\n")
    for name, table in _TABLES.items():
        fixed: list[str] = []
        for line in lines:
            undone = _undo(line, table)
            if undone is None:
                break
            fixed.append(undone)
        else:
            return name, "\n".join(fixed)
    return None


def looks_misencoded(text: str) -> str | None:
    """The encoding ("latin-1", "cp1252", "mac_roman") that UTF-8 was once misread as to give `text`, or None.

    Every line with a character outside ASCII must go back to valid UTF-8. A text that only quotes such garble, among
    other accents, does not; one whose only such characters are the quotation does, hence repair is on request.
    """
    found = _repaired(text)
    return found[0] if found else None


def repair(text: str) -> str:
    """`text` as it was before UTF-8 was misread, if every line goes back without a failure; else `text` unchanged."""
    found = _repaired(text)
    return found[1] if found else text
