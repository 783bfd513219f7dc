"""The order of the packages, as the package's docstring states it: each imports only from those before it."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "polyhead"
ORDER = [
    "errors", "nn", "text", "data", "families", "checkpoint", "tasks", "generate", "proof", "report", "train", "plan", "lab", "commands", "cli_lab",
    "cli_plan", "cli",
]  # fmt: skip


def imported(path: Path) -> set[str]:
    """The top-level parts of polyhead that a file imports, at module level or inside a function."""
    package = path.relative_to(SOURCE).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else None
            parts = (base if base is not None else []) + (node.module.split(".") if node.module else [])
            if base is None and parts[:1] != ["polyhead"]:
                continue
            parts = parts[1:] if base is None else parts
            found |= {parts[0]} if parts else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("polyhead.")}
    return found & set(ORDER)


@pytest.mark.parametrize("part", ORDER)
def test_imports_point_one_way(part):
    files = [SOURCE / f"{part}.py"] if (SOURCE / f"{part}.py").exists() else sorted((SOURCE / part).rglob("*.py"))
    assert files
    allowed = set(ORDER[: ORDER.index(part) + 1])
    if part == "nn":
        allowed = {"nn"}  # torch, pydantic and itself
    wrong = {str(f.relative_to(SOURCE)): imported(f) - allowed for f in files}
    assert not {name: parts for name, parts in wrong.items() if parts}


def test_every_part_has_its_place():
    parts = {p.stem for p in SOURCE.iterdir() if not p.name.startswith("__") and (p.is_dir() or p.suffix == ".py")}
    assert parts == set(ORDER)
