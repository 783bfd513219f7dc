"""Which slow tests run. The fast ones always do; of the slow ones, each commit takes its turn with an eighth.

    --slow share    the commit's eighth (the default)
    --slow 3/8      that one: how to repeat a share that failed
    --slow all      every one, as `-m slow` does alone
    --slow none     none, as `-m "not slow"` does

What is asked for by name (FILE::TEST) or by a mark (-m) runs as asked.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

SHARES = 8


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", default="share", metavar="all|none|K/N|share", help="which slow tests run: see tests/conftest.py")


def pytest_configure(config: pytest.Config) -> None:
    """Turn the words into "all" or "K/N", once: processes that xdist starts are handed it."""
    chosen = config.option.slow
    if config.option.markexpr or any("::" in word for word in config.args):
        chosen = "all"
    elif chosen == "share":
        chosen = f"{turn(Path(__file__).parent)}/{SHARES}"
    elif chosen == "none":
        chosen = "0/1"
    found = re.fullmatch(r"(\d+)/([1-9]\d*)", chosen)
    if chosen not in ("all", "0/1") and not (found and 1 <= int(found[1]) <= int(found[2])):
        raise pytest.UsageError(f"--slow: expected all, none, share or K/N with K from 1 to N, received {chosen!r}")
    config.option.slow = chosen


def turn(folder: Path) -> int:
    """1 … SHARES, by the commit that is checked out; 1 where there is none."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=False)
    except OSError:
        return 1
    return int(done.stdout[:8], 16) % SHARES + 1 if done.returncode == 0 else 1


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Every N-th slow test, from the K-th on, so that each group of cases sends some; first, for some take minutes."""
    if config.option.slow == "all":
        return
    share, shares = map(int, config.option.slow.split("/"))
    slow = [item for item in items if item.get_closest_marker("slow")]
    chosen = slow[share - 1 :: shares] if share else []
    fast = [item for item in items if not item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=[item for item in slow if item not in chosen])
    items[:] = chosen + fast


def pytest_itemcollected(item: pytest.Item) -> None:
    """xdist's workers must agree on every name; an object's address differs from process to process."""
    if " at 0x" in item.nodeid:
        raise pytest.UsageError(f"a test's name holds an address, give it an id: {item.nodeid}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.option.slow not in ("all", "0/1"):
        terminalreporter.write_line(f"slow tests: share {config.option.slow}, by the commit; every one: --slow all")
