"""polyhead lab quiz, exercise and grade, from the command line."""

import io
import json
import sys
from pathlib import Path

import pytest

from polyhead.cli import main
from polyhead.commands import quizzing
from polyhead.lab.pages import TOPICS, read_pages


def quiz(monkeypatch, capsys, lines, *words):
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    code = main(["lab", "quiz", *words])
    return code, *capsys.readouterr()


def test_it_asks_shows_and_counts(monkeypatch, capsys):
    pages = quizzing.choose("scale", 3, 1)
    code, out, _ = quiz(monkeypatch, capsys, ["", "y", "", "n", "", "y"], "--topic", "scale", "-n", "3", "--seed", "1")
    assert code == 0 and "known: 2 of 3\nread again:\n" in out
    assert out.endswith(f"  {pages[1].question} (scale)\n")
    places = [out.index(page.question) for page in pages]
    assert places == sorted(places) and "1 of 3 · scale" in out and "\n  " in out


def test_deeper_shows_one_depth_more_each_time(monkeypatch, capsys):
    page = quizzing.choose("scale", 1, 1)[0]
    assert page.wrong and page.claims
    short = quiz(monkeypatch, capsys, ["", "y"], "--topic", "scale", "-n", "1", "--seed", "1")[1]
    assert "Basic" not in short
    once = quiz(monkeypatch, capsys, ["", "d", "y"], "--topic", "scale", "-n", "1", "--seed", "1")[1]
    assert "Basic\n" in once and "Intermediate" not in once
    all_of_it = quiz(monkeypatch, capsys, ["", *"dddddd", "y"], "--topic", "scale", "-n", "1", "--seed", "1")[1]
    assert all_of_it.index("Basic\n") < all_of_it.index("Intermediate\n") < all_of_it.index("Advanced\n") < all_of_it.index("Often said\n")
    assert all_of_it.count("That is all the page has.") >= 1 and "**" not in all_of_it and "known: 1 of 1" in all_of_it


def test_another_word_is_asked_for_again_and_q_ends(monkeypatch, capsys):
    out = quiz(monkeypatch, capsys, ["", "perhaps", "y", "q"], "--topic", "scale", "-n", "4", "--seed", "1")[1]
    assert quizzing.KEYS in out and "2 of 4" in out and "3 of 4" not in out and "known: 1 of 1" in out


def test_without_answers_it_is_a_sheet_to_read(monkeypatch, capsys):
    out = quiz(monkeypatch, capsys, [], "--topic", "scale", "-n", "3")[1]
    assert "3 of 3 · scale" in out and out.endswith("3 questions, none answered\n")


def test_json_is_one_value_and_the_talk_goes_beside_it(monkeypatch, capsys):
    code, out, err = quiz(monkeypatch, capsys, ["", "n", "", "y"], "--topic", "scale", "-n", "3", "--seed", "1", "--json")
    found = json.loads(out)
    assert code == 0 and found["known"] == 1 and found["asked"] == 2 and "1 of 3 · scale" in err
    assert [row["known"] for row in found["questions"]] == [False, True, None]
    assert found["again"] == [found["questions"][0]["id"]]


def test_at_a_terminal_it_prompts(monkeypatch, capsys):
    monkeypatch.setattr(quizzing, "is_terminal", lambda stream: True)
    out = quiz(monkeypatch, capsys, ["", "y"], "--topic", "scale", "-n", "1")[1]
    assert "Enter shows the answer " in out and f"{quizzing.KEYS}: " in out


def test_a_seed_chooses_and_a_topic_limits(monkeypatch, capsys):
    assert quizzing.choose(None, 5, 3) == quizzing.choose(None, 5, 3) != quizzing.choose(None, 5, 4)
    assert {page.topic for page in quizzing.choose("tokens", 100, None)} == {"tokens"}
    assert len(quizzing.choose(None, 10_000, None)) == len(read_pages())
    code, _, err = quiz(monkeypatch, capsys, [], "--topic", "cooking")
    assert code == 2 and TOPICS[0] in err


def test_the_page_names_every_topic():
    text = (Path(__file__).parents[2] / "docs/quiz.md").read_text(encoding="utf-8")
    named = text[text.index("one topic (") :].partition("(")[2].partition(")")[0]
    assert " ".join(named.split()).split(", ") == list(TOPICS)


def test_text_fits_a_terminal():
    for page in read_pages():
        for text in (page.answer, page.basic, page.intermediate, page.advanced):
            shown = quizzing.wrapped(text)
            assert max(map(len, shown.splitlines())) <= quizzing.WIDTH and not {"**", "`"} & set(shown)
    assert quizzing.wrapped("One `a`\ntwo.\n\n- b\n  c\n- **d**") == "  One a two.\n\n  - b c\n  - d"


# ---------------------------------------------------------------- exercise, grade


def test_an_exercise_is_listed_shown_begun_and_solved(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["lab", "exercise"]) == 0 and capsys.readouterr().out.startswith("attention  ")
    assert main(["lab", "exercise", "cache"]) == 0 and capsys.readouterr().out.startswith("# A key–value cache")
    assert main(["lab", "exercise", "cache", "--solution"]) == 0 and "def append" in capsys.readouterr().out
    assert main(["lab", "exercise", "design", "-o", "mine.yaml"]) == 0
    assert "polyhead lab grade design mine.yaml" in capsys.readouterr().out and (tmp_path / "mine.yaml").exists()
    assert main(["lab", "exercise", "design", "-o", "mine.yaml"]) == 2 and "there already" in capsys.readouterr().err
    assert main(["lab", "exercise", "design", "-o", "mine.py"]) == 2 and "does not end in .yaml" in capsys.readouterr().err
    assert main(["lab", "exercise", "-o", "mine.yaml"]) == 2 and "which exercise?" in capsys.readouterr().err
    assert main(["lab", "exercise", "--json"]) == 0 and len(json.loads(capsys.readouterr().out)) == 3


def test_grading_says_each_point_and_leaves_with_1_or_0(tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    main(["lab", "exercise", "design", "-o", str(file)])
    capsys.readouterr()
    assert main(["lab", "grade", "design", str(file)]) == 1
    out = capsys.readouterr().out
    assert "right  vocabulary and context" in out and "wrong  the cache" in out and "expected  at most 32 KiB" in out
    assert out.endswith("design: 4 of 8 points\n")


@pytest.mark.slow
def test_grading_in_json_and_a_file_that_prints(tmp_path, capsys):
    file = tmp_path / "mine.py"
    main(["lab", "exercise", "attention", "--solution", "-o", str(file)])
    file.write_text(file.read_text(encoding="utf-8") + "\nprint('mine')\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["lab", "grade", "attention", str(file)]) == 0
    out, err = capsys.readouterr()
    assert out.endswith("attention: 11 of 11 points, all right\n") and err == f"{file} printed:\n  mine\n"
    assert main(["lab", "grade", "attention", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["right"] == found["of"] == 11 and found["fault"] is None
