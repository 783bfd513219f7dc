"""Broken rows: counted, the first ones named, and too many of them stop the reading."""

from __future__ import annotations

from ..errors import DataError

_NAMED = 3  # broken rows told one by one
_EARLY = 1000  # rows before the share is judged while reading


class Tally:
    """Counts good and broken rows of one pass and stops it when too many are broken."""

    def __init__(self, max_bad: float) -> None:
        self.max_bad, self.good, self.bad = max_bad, 0, 0
        self._first: list[str] = []

    def wrong(self, where: str, why: str, rows: int = 1) -> None:
        self.bad += rows
        if len(self._first) < _NAMED:
            self._first.append(f"{where}: {why}")
        if self.good + self.bad >= _EARLY:
            self.judge()

    def judge(self) -> None:
        """Raises DataError if the share of broken rows is above what was allowed."""
        rows = self.good + self.bad
        if self.bad > self.max_bad * rows:
            raise DataError(
                f"{self.bad} of {rows} rows are broken",
                expected=f"a share of at most {self.max_bad:g}",
                received="; ".join(self._first) + (" …" if self.bad > len(self._first) else ""),
                change="mend these rows, or allow more with data.max_bad",
            )

    def notes(self) -> list[str]:
        if not self.bad:
            return []
        return [f"{self.bad} of {self.good + self.bad} rows are broken and left out ({'; '.join(self._first)})"]
