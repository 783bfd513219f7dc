"""Finding claims: by id, by file; what a user gets wrong is said plainly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from polyhead.errors import ConfigError
from polyhead.lab import finding
from polyhead.lab.claim import Verdict


def test_ids_and_files_are_found() -> None:
    assert "C17" in finding.package() and list(finding.package()) == sorted(finding.package())
    assert finding.chosen(["c17", "C04", "C17"]) == ["C17", "C04"]
    assert finding.chosen([]) == list(finding.package())
    assert finding.load("C17").id == "C17"


@pytest.mark.parametrize(("name", "near"), [("C117", "C17"), ("D04", "C04"), ("seventeen", "an id that")])
def test_an_unknown_id_gets_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ConfigError) as error:
        finding.chosen([name])
    assert near in error.value.expected and name in error.value.received


def test_a_users_file_is_a_claim(write) -> None:
    claim = finding.load(finding.chosen([write()])[0])
    assert claim.id == "A" and claim.expected is Verdict.HOLDS


@pytest.mark.parametrize(("text", "said"), [
    ("x = (\n", "a.py, line 1: '(' was never closed"),
    ("x = 1\nimport nothing_of_the_kind\n", "a.py, line 2: ModuleNotFoundError"),
    ("from polyhead.lab.claim import Claim\nCLAIM = Claim(id='A')\n", "a.py, line 2: TypeError: Claim.__init__() missing"),
    ("x = 1\n", "no CLAIM"),
    ("CLAIM = 3\n", "CLAIM is int"),
])  # fmt: skip
def test_a_broken_file_is_told_by_its_line(text: str, said: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.py").write_text(text)
    with pytest.raises(ConfigError) as error:
        finding.load("a.py")
    assert said in error.value.received and "CLAIM = Claim(" in error.value.expected


@pytest.mark.parametrize(("fields", "said"), [
    ({"id": "C17"}, "an id that is taken"), ({"id": "a/b"}, "no such id"), ({"more": "seeds=(0, 5)"}, "no such seeds"),
])  # fmt: skip
def test_what_cannot_be_run_is_refused(write, fields, said) -> None:
    with pytest.raises(ConfigError, match=said):
        finding.load(write(**fields))


def test_there_is_no_such_file() -> None:
    with pytest.raises(ConfigError, match="no such file"):
        finding.chosen(["nowhere.py"])


def test_the_code_is_what_the_numbers_come_from(write) -> None:
    base = finding.code(Path(write()))
    source = Path("a.py").read_text()
    same = {"a comment": source + "# a comment\n", "other words": source.replace("Peano", "Dedekind"), "a rule": source.replace("apart", "off"),
            "a docstring": source.replace("A claim for tests", "Another"), "lay-out": source.replace("}, rule=rule", "},\n    rule=rule")}  # fmt: skip
    other = {"a measure": source.replace("/ 10", "/ 11"), "arms": source.replace('"two": 2', '"two": 3'), "seeds": source.replace("draw=draw,", "draw=draw, seeds=(2, 2),")}
    for change, text in {**same, **other}.items():
        assert text != source or change == "lay-out"
        Path("b.py").write_text(text)
        assert (finding.code(Path("b.py")) == base) == (change in same), change


def test_a_list_imports_nothing_heavy() -> None:
    words = "from polyhead.commands.lab import run_list; from pathlib import Path; run_list(Path('runs/lab'), True)"
    done = subprocess.run([sys.executable, "-c", f"{words}; import sys; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
