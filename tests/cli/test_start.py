"""What happens before a verb runs: help, usage, exit codes, and that none of it waits for torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from polyhead import cli
from polyhead.errors import DiskError

VERBS = ("demo", "train", "eval", "run", "chat", "show", "doctor")


def test_help_does_not_import_torch_and_lists_every_verb() -> None:
    code = (
        "import sys, json; from polyhead.cli import main; code = main(['--help']);"
        "print(json.dumps([code, [m for m in ('torch', 'numpy', 'pydantic', 'rich', 'tokenizers') if m in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *help_lines, last = done.stdout.strip().split("\n")
    assert json.loads(last) == [0, []]
    listed = [line.split()[0] for line in help_lines[help_lines.index("Commands:") + 1 :] if line.startswith("  ") and line[2] != " "]
    assert [word for word in listed if word in VERBS] == list(VERBS)


def test_python_m_polyhead_is_the_same_program() -> None:
    done = subprocess.run([sys.executable, "-m", "polyhead", "--version"], capture_output=True, text=True, check=True)
    import polyhead

    assert done.stdout.strip() == polyhead.__version__


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_explains_itself_with_an_example_and_json(polyhead, verb: str) -> None:
    result = polyhead(verb, "--help")
    assert result.code == 0 and "Example:" in result.out and f"polyhead {verb}" in result.out and "--json" in result.out


def test_no_summary_is_cut_off_in_the_list(polyhead) -> None:
    assert "..." not in polyhead("--help").out.partition("Commands:")[2]


def test_an_unknown_verb_names_the_nearest(polyhead) -> None:
    result = polyhead("trian")
    assert result.code == 2 and "train" in result.err and not result.out


def test_an_unknown_option_is_the_users_error(polyhead) -> None:
    assert polyhead("show", "--jsn").code == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (DiskError("the disk is full"), 1), (ValueError("odd"), 1), (BrokenPipeError(), 1)],
)
def test_how_a_verb_ends_is_the_exit_code(monkeypatch, capfd, error: BaseException, code: int) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr("polyhead.commands.showing.run_show", fail)
    kept = cli.os.dup(1)
    try:
        assert cli.main(["show"]) == code
    finally:
        cli.os.dup2(kept, 1)
    assert "Traceback" not in capfd.readouterr().err


def test_a_mistake_of_ours_shows_its_place_when_asked(monkeypatch, capsys) -> None:
    def fail(*_: object) -> int:
        raise ValueError("odd")

    monkeypatch.setattr("polyhead.commands.showing.run_show", fail)
    monkeypatch.setenv("POLYHEAD_DEBUG", "1")
    assert cli.main(["show"]) == 1 and "Traceback" in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_error_to_tell() -> None:
    command = f"'{sys.executable}' -m polyhead show gpt3 --json | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout == "{" and done.stderr == ""
