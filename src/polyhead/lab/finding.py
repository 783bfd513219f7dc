"""Which claims there are: those of the package by their id, a user's own by the path of its file.

What a list shows of a claim is read from the file's last lines without running them: they hold literals, and a claim's file
imports what it measures with.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterable
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from polyhead.errors import ConfigError

from .claim import Claim, Verdict

FOLDER = Path(__file__).with_name("claims")
_MEASURED = {"arms", "measure", "seeds"}  # what of a Claim its numbers depend on


class Facts(NamedTuple):
    """What can be told of a claim without running its file."""

    id: str
    title: str
    topic: str
    kind: str
    statement: str
    notes: tuple[str, ...]
    expected: Verdict


@cache
def package() -> dict[str, Path]:
    """id → file, of the package's claims, by id."""
    found = {path.name.split("_")[0].upper(): path for path in FOLDER.glob("c[0-9][0-9]*_*.py")}
    return dict(sorted(found.items()))


def chosen(names: Iterable[str]) -> list[str]:
    """What the user named, each once: ids as they are written here, paths as they are; nothing means every claim of the
    package. ConfigError where there is no such claim."""
    return list(dict.fromkeys(map(_known, names))) or list(package())


def _known(name: str) -> str:
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise ConfigError("there is no such file", expected="the file of a claim", received=name, change="polyhead lab new FILE writes one")
        return name
    if name.upper() in package():
        return name.upper()
    near = difflib.get_close_matches(name.upper(), package(), 3, 0.5)
    raise ConfigError(
        "there is no such claim", expected=" | ".join(near) if near else "an id that `polyhead lab list` shows, or a file that ends in .py",
        received=repr(name), change="polyhead lab list",
    )  # fmt: skip


def path_of(name: str) -> Path:
    """name: as `chosen` gives it."""
    return package().get(name) or Path(name)


def load(name: str) -> Claim:
    """Run the file of a claim and take what it calls CLAIM. ConfigError where the file is broken."""
    if name in package():
        claim = importlib.import_module(f"{__package__}.claims.{package()[name].stem}").CLAIM
        assert claim.id == name, package()[name]
        return claim
    return checked(_run(Path(name)), name)


def _run(path: Path) -> Any:
    """The module of a user's file."""
    spec = importlib.util.spec_from_file_location(f"claim_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and the like look themselves up
    if (beside := str(path.parent.resolve())) not in sys.path:
        sys.path.append(beside)  # a claim may be more than one file
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise _broken(path, error.lineno, error.msg) from None
    except Exception as error:
        raise _broken(path, line_in(error, path), f"{type(error).__name__}: {error}") from None
    return module


def line_in(error: BaseException, path: Path) -> int | None:
    """The last line of the file that the error came through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).resolve() == path.resolve()]
    return lines[-1] if lines else None


def _broken(path: Path, line: int | None, what: str) -> ConfigError:
    where = str(path) if line is None else f"{path}, line {line}"
    return ConfigError("this claim cannot be read", expected="a file that ends in CLAIM = Claim(…)", received=f"{where}: {' '.join(what.split())}")


def checked(module: Any, name: str) -> Claim:
    """What a user's file calls CLAIM, if it is one that can be run."""
    claim, needed = getattr(module, "CLAIM", None), [f.name for f in fields(Claim) if f.default is MISSING and f.default_factory is MISSING]
    if not isinstance(claim, Claim):
        raise ConfigError(
            f"{name} has no claim", expected="CLAIM = Claim(…) on its last lines, with " + ", ".join(needed),
            received="no CLAIM" if claim is None else f"CLAIM is {type(claim).__name__}", change="polyhead lab new FILE writes a whole one",
        )  # fmt: skip
    faults = {
        "id": not isinstance(claim.id, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", claim.id),
        "arms": not claim.arms,
        "expected": not isinstance(claim.expected, Verdict),
        "seeds": not (len(claim.seeds) == 2 and 1 <= claim.seeds[0] <= claim.seeds[1]),
        **{part: not callable(getattr(claim, part)) for part in ("measure", "rule", "draw")},
    }
    wanted = {"id": "letters, digits, - and _", "arms": "at least one, by name", "expected": "a Verdict", "seeds": "two numbers, quick and full"}
    for part, wrong in faults.items():
        if wrong:
            raise ConfigError(f"the claim of {name} has no such {part}", expected=wanted.get(part, "a function"), received=repr(getattr(claim, part)))
    if claim.id.upper() in package():
        raise ConfigError(f"the claim of {name} has an id that is taken", expected="an id of its own", received=claim.id)
    return claim


def facts(name: str) -> Facts:
    """Of a claim of the package: its literals, read but not run."""
    words = {word.arg: _literal(word.value) for word in _call(package()[name].read_text(encoding="utf-8")).keywords if word.arg in Facts._fields}
    return Facts(**words)


def _literal(node: ast.expr) -> Any:
    return Verdict[node.attr] if isinstance(node, ast.Attribute) else ast.literal_eval(node)


def _call(source: str) -> ast.Call:
    """The Claim(…) of a file's last lines."""
    for node in reversed(ast.parse(source).body):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and getattr(node.targets[0], "id", "") == "CLAIM":
            return node.value
    raise ValueError("no CLAIM")


def code(path: Path) -> str:
    """sha256 of what the numbers of a claim come from: its file without comments, docstrings, rule, figure and words. A
    file that is laid out in another way (no Claim(…) in it) counts as a whole."""
    source = path.read_text(encoding="utf-8")
    try:
        call = _call(source)
    except ValueError:
        return hashlib.sha256(source.encode()).hexdigest()
    aside = {word.value.id for word in call.keywords if word.arg in ("rule", "draw") and isinstance(word.value, ast.Name)}
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if not (isinstance(node, ast.FunctionDef) and node.name in aside)]
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))]  # type: ignore[attr-defined]
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Claim":
            node.keywords = [word for word in node.keywords if word.arg in _MEASURED]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()
