"""No module of polyhead can run code out of a file: no pickle, no eval, no loader that falls back to one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import polyhead

MODULES = {"pickle", "_pickle", "cPickle", "dill", "marshal", "shelve", "cloudpickle", "joblib"}
CALLS = {"eval", "exec", "builtins.eval", "builtins.exec", "torch.load", "torch.save", "torch.hub.load", "yaml.load",
         "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "yaml.full_load_all", "yaml.unsafe_load_all", "pandas.read_pickle",
         "torch.package.PackageImporter", "multiprocessing.Pipe"}  # fmt: skip
OBJECT_COLLECTIVES = ("_object", "_object_list", "_objects")
SOURCES = sorted(Path(polyhead.__file__).parent.rglob("*.py"))


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    """`t.load` as `torch.load`, with the names a module imported; empty for what is no plain name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        left = dotted(node.value, names)
        return f"{left}.{node.attr}" if left else ""
    return ""


def imported(tree: ast.AST) -> dict[str, str]:
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def faults(source: str) -> list[str]:
    tree = ast.parse(source)
    names, found = imported(tree), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(node.module or "")
        elif isinstance(node, ast.Name | ast.Attribute):
            name = dotted(node, names)
            is_collective = name.startswith("torch.distributed.") and name.endswith(OBJECT_COLLECTIVES)
            if name in CALLS or is_collective:
                found.append(name)
        elif isinstance(node, ast.Call):
            name = dotted(node.func, names)
            found += [
                f"{name}(allow_pickle)"
                for word in node.keywords
                if word.arg == "allow_pickle" and not is_false(word.value)
            ]
            if name == "__import__" or name == "importlib.import_module":
                found += [name for item in node.args if isinstance(item, ast.Constant) and item.value in MODULES]
    return found


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


LEGACY = Path(polyhead.__file__).parent / "checkpoint" / "legacy.py"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(SOURCES[0].parent)))
def test_no_module_can_run_code_from_a_file(path: Path) -> None:
    assert faults(path.read_text(encoding="utf-8")) == (["torch.load"] if path == LEGACY else [])


def test_the_one_importer_of_pickled_weights_loads_weights_only_once_and_falls_back_to_nothing() -> None:
    tree = ast.parse(LEGACY.read_text(encoding="utf-8"))
    loads = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and dotted(node.func, imported(tree)) == "torch.load"]
    assert len(loads) == 1
    options = {word.arg: word.value for word in loads[0].keywords}
    assert isinstance(options["weights_only"], ast.Constant) and options["weights_only"].value is True
    assert None not in options, "**options could say otherwise"
    callers = [path.name for path in SOURCES if path != LEGACY and "legacy import" in path.read_text(encoding="utf-8")]
    assert callers == ["source.py"]


@pytest.mark.parametrize(
    "source",
    ["import pickle", "import dill as d", "from marshal import loads", "def f():\n  import cloudpickle", "eval('1')",
     "exec(code)", "run = eval", "import torch\ntorch.load('x')", "import torch as t\nt.load('x', weights_only=True)",
     "from torch import load\nload('x')", "from torch import load as open_it\nopen_it('x')", "import yaml\nyaml.load(x)",
     "from yaml import unsafe_load\nunsafe_load(x)", "import numpy as np\nnp.load('x', allow_pickle=True)",
     "import numpy as np\nnp.load('x', allow_pickle=flag)", "import torch\ntorch.save(x, 'y')",
     "import torch.distributed as dist\ndist.broadcast_object_list(x)", "from torch import distributed\ndistributed.all_gather_object(a, b)",
     "__import__('pickle')", "import importlib\nimportlib.import_module('pickle')"],
)  # fmt: skip
def test_the_check_bites(source: str) -> None:
    assert faults(source)


@pytest.mark.parametrize(
    "source",
    ["model.eval()", "import torch\ntorch.nn.Module().eval()", "import yaml\nyaml.safe_load(x)", "import numpy as np\nnp.load('x')",
     "import numpy as np\nnp.load('x', allow_pickle=False)", "import json\njson.load(x)", "saved.load('model')",
     "import torch.distributed as dist\ndist.all_gather(a, b)"],
)  # fmt: skip
def test_the_check_leaves_the_harmless_alone(source: str) -> None:
    assert not faults(source)
