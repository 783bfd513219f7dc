"""A user's claims: small files that need no torch, so that a process which measures them is there at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

SOURCE = '''
"""A claim for tests."""
from pathlib import Path

from polyhead.lab.claim import Claim, Ruling, Verdict


def measure(trial):
    log = Path(__file__).with_suffix(".log")
    with log.open("a") as out:
        out.write(f"{{trial.arm}} {{trial.seed}} {{trial.mode}}\\n")
    {body}
    return {{"x": trial.arm + trial.seed / 10, "list": [1.0, float("nan")], "text": "a"}}


def rule(table):
    gap = table.gap("one", "two", "x")
    return Ruling({verdict}, f"{{gap.mean:.1f}} apart")


def draw(table):
    from polyhead.lab import style

    return style.figure()[0]


CLAIM = Claim(
    id={id!r}, title="Is two more than one?", topic="training", kind={kind!r}, statement="Two is more than one.", notes=(),
    literature="Peano 1889.", method="Both are compared.", decides="Holds if it is.", expected=Verdict.HOLDS,
    arms={{"one": 1, "two": 2}}, measure=measure, rule=rule, draw=draw, units={{"x": "pieces"}}, {more}
)
'''


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """write("a.py", body="…") → the name of a claim's file in the working directory; what it measures is logged in a.log."""
    monkeypatch.chdir(tmp_path)

    def made(name: str = "a.py", body: str = "pass", verdict: str = "Verdict.HOLDS", kind: str = "trained", more: str = "", id: str = "A") -> str:
        Path(name).write_text(SOURCE.format(body=body, verdict=verdict, kind=kind, more=more, id=id), encoding="utf-8")
        return name

    return made


def measured(name: str = "a.py") -> list[str]:
    """What was measured since this was last asked, in order."""
    log = Path(name).with_suffix(".log")
    found = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return found
