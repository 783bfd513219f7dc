"""Every example in the README and in docs/ runs.

A page is run in a folder of its own, its blocks in order. ```python blocks share one namespace. In ```console blocks each line
that begins with "$ polyhead" is run by the command line itself; training is made tiny by settings put behind the page's own,
the demo by a smaller corpus. `echo "…" | polyhead …` is a pipe. If an error is shown ("polyhead: …"), exactly it must come, with
exit code 2; any other text shown must be the beginning of what is printed. ```yaml blocks are written to recipe.yaml. What the page needs stands in
a comment a reader does not see: <!-- here: book.txt runs/a -->.
"""

from __future__ import annotations

import io
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from polyhead.cli import main
from polyhead.commands import demo
from polyhead.data import library
from polyhead.lab import running
from tests.tiny import SMALL, SMALL_ENCODER, TRAINING, build_tiny, families_as_before, train_tiny, write_files

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BUILT = {"sentiment": "classify", "tagger": "tag", "reader": "span", "vectors": "embed"}
CONTEXT = 128  # of the tiny runs: room for what the pages ask for
HERE = re.compile(r"<!-- here: (.*?) -->")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


class Command(NamedTuple):
    words: list[str]
    stdin: str
    shown: str


def commands(block: str) -> list[Command]:
    out = []
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        line, _, shown = part.partition("\n")
        words, stdin = shlex.split(line), ""
        if words[0] == "echo":
            stdin, words = words[1] + "\n", words[3:]
        assert words[0] == "polyhead", line
        out.append(Command(words[1:], stdin, shown))
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("runs")
    return {"runs/a": train_tiny(place / "a/run", context=CONTEXT), "runs/translate": train_tiny(place / "b/run", "seq2seq", CONTEXT),
            "runs/masked": train_tiny(place / "c/run", "masked", CONTEXT),
            **{f"runs/{name}": build_tiny(place / name, what) for name, what in BUILT.items()}}


@pytest.fixture
def tiny_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"training.batch": 2, "training.context": 64, "training.sample_tokens": 8, "training.threads": 1, "training.steps": 5,
             "training.eval_every": 5, "model.decoder.layers": 1, "model.decoder.width": 32}  # fmt: skip
    monkeypatch.setattr(demo, "SETTINGS", demo.SETTINGS | small)
    monkeypatch.setattr(library.select, "__defaults__", (300_000,))


def lay_out(folder: Path, needs: str, runs: dict[str, Path]) -> None:
    write_files(folder / "files")
    for name in needs.split():
        if name in runs:
            shutil.copytree(runs[name], folder / name)
        elif name != "nothing":
            shutil.copy(folder / "files" / name, folder / name)
    shutil.rmtree(folder / "files")


def tiny(words: list[str]) -> list[str]:
    """The command with less to do."""
    if words[0] == "demo" and "--steps" in words:
        words[words.index("--steps") + 1] = "4"
    if words[0] != "train" or "--resume" in words and not any("steps" in word for word in words):
        return words
    if "--resume" in words:
        return [word if "steps" not in word else "training.steps=6" for word in words]
    if "--show" in words:  # nothing is computed
        return words
    encoder = [*SMALL_ENCODER, "tokenizer.vocab_size=300"] if {"transformer-nano", "bert-nano"} & set(words) else []
    return [*words, *TRAINING, f"training.context={CONTEXT}", *([] if "bert-nano" in words else SMALL), *encoder]


def run_command(command: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(command.stdin))
    capsys.readouterr()
    code = main(tiny(command.words))
    out, err = capsys.readouterr()
    if command.shown.startswith("polyhead: "):
        assert (code, err) == (2, command.shown), command
    else:
        assert code == 0, f"{command}\n{err}"
        assert out.startswith(command.shown.rstrip("\n")), f"{command}\n{out}"


def run_block(kind: str, body: str, page: Path, names: dict[str, object], capsys, monkeypatch) -> None:
    if kind == "yaml":
        Path("recipe.yaml").write_text(body, encoding="utf-8")
    elif kind == "python":
        exec(compile(body, str(page), "exec"), names)  # noqa: S102 - our own page
    elif kind == "console":
        for command in commands(body):
            run_command(command, capsys, monkeypatch)


@pytest.fixture
def here_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims are measured in this process."""
    monkeypatch.setattr(running, "_measured", lambda units, jobs, stop: running.here(list(units), stop))


@pytest.mark.parametrize("page", [p for p in PAGES if HERE.search(p.read_text(encoding="utf-8"))], ids=lambda page: page.name)
def test_every_example_runs(page: Path, runs, tiny_demo, here_lab, tmp_path, monkeypatch, capsys) -> None:
    text = page.read_text(encoding="utf-8")
    lay_out(tmp_path, HERE.search(text)[1], runs)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    with families_as_before():
        for kind, body in BLOCK.findall(text):
            run_block(kind, body, page, names, capsys, monkeypatch)


def test_a_page_that_is_not_run_here_has_a_test_of_its_own() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))
    for page in PAGES:
        assert HERE.search(page.read_text(encoding="utf-8")) or f'"{page.name}"' in tests, f"{page.name}: <!-- here: … -->"


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?)\)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_verb_has_a_page_that_the_readme_names() -> None:
    from polyhead.cli import app

    verbs = [command.name or command.callback.__name__ for command in app.registered_commands]
    assert len(verbs) == 9
    verbs += ["lab"]  # a group of verbs has one page
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for verb in verbs:
        assert (ROOT / "docs" / f"{verb}.md").exists() and f"docs/{verb}.md" in readme


def test_the_readmes_two_commands_are_those_of_start_py() -> None:
    blocks = [body.strip() for kind, body in BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8")) if kind == "sh"]
    assert blocks == ["python3 start.py demo", "python3 start.py test"]
    assert (ROOT / ".ci/run").read_text().rstrip().endswith(f"exec {blocks[1]}")
