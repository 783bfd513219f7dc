"""The shares of the slow tests: together every one, once each; what is asked for by name or mark runs as asked."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import conftest


def configured(slow: str = "share", markexpr: str = "", args: tuple[str, ...] = ("tests",)) -> Any:
    hook = SimpleNamespace(pytest_deselected=lambda items: None)
    config: Any = SimpleNamespace(option=SimpleNamespace(slow=slow, markexpr=markexpr), args=args, hook=hook)
    conftest.pytest_configure(config)
    return config


def names(**asked: Any) -> list[str]:
    """What runs of 3 fast and 19 slow tests, in order."""
    found = [f"fast{n}" for n in range(3)] + [f"slow{n}" for n in range(19)]
    items: Any = [SimpleNamespace(name=name, get_closest_marker=lambda _, name=name: name.startswith("slow")) for name in found]
    conftest.pytest_collection_modifyitems(configured(**asked), items)
    return [item.name for item in items]


def test_the_shares_together_are_every_slow_test_once_and_the_fast_ones_always() -> None:
    shares = [names(slow=f"{k}/8") for k in range(1, 9)]
    slow = [name for share in shares for name in share if name.startswith("slow")]
    assert sorted(slow) == sorted(f"slow{n}" for n in range(19))
    for share in shares:
        assert share[-3:] == ["fast0", "fast1", "fast2"], "the long ones begin first"
        assert len(share) - 3 in (2, 3), "evenly"


def test_words_marks_and_names_are_obeyed() -> None:
    assert len(names()) in (5, 6), "without a word, a share"
    assert names(slow="none") == ["fast0", "fast1", "fast2"]
    for asked in ({"slow": "all"}, {"markexpr": "slow"}, {"args": ("tests/test_a.py::test_b",)}):
        assert len(names(**asked)) == 22, "pytest itself does the rest"


def test_processes_of_xdist_take_the_share_they_are_handed() -> None:
    for slow in ("share", "all", "none", "2/8"):
        once = configured(slow=slow).option.slow
        assert configured(slow=once).option.slow == once


def test_a_commit_has_its_turn_and_no_git_is_no_error(tmp_path: Path) -> None:
    assert 1 <= conftest.turn(Path(__file__).parent) <= conftest.SHARES and conftest.turn(tmp_path) == 1


@pytest.mark.parametrize("word", ["9/8", "0/8", "half", "1/0"])
def test_another_share_is_refused(word: str) -> None:
    with pytest.raises(pytest.UsageError, match="K/N"):
        configured(slow=word)
