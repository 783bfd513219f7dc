"""The small recipes: their examples are the same every time and none is judged that was trained on; a judge takes what is right
and nothing else; every YAML is a run's configuration."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from polyhead.data import open_source
from polyhead.train import build_config
from polyhead.train.settings import changed, settled
from polyhead.train.start import is_model
from recipes.small import (
    arithmetic,
    autocomplete,
    base,
    calculator,
    chat,
    code,
    grammar,
    grammars,
    needle,
    ngram,
    sequences,
    shapes,
    table,
    verbs,
)
from recipes.small.__main__ import main
from recipes.small.catalogue import RECIPES

ROOT = Path(__file__).parents[2]
FEW = {"TRAINED": 60, "ASKED": 10}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every recipe with a handful of examples."""
    for module in (arithmetic, autocomplete, chat, code, grammar, needle, sequences, shapes, verbs):
        for name, count in FEW.items():
            monkeypatch.setattr(module, name, count)


def made(name: str, folder: Path, seed: int = 0) -> Path:
    folder.mkdir(parents=True)
    RECIPES[name].write(folder, seed)
    return folder


def examples(folder: Path, judged: bool) -> set[Any]:
    """What a model is given to read, of all files of a folder."""
    found: set[Any] = set()
    for path in sorted(folder.iterdir()):
        if path.stem.startswith("judged") != judged:
            continue
        if path.suffix == ".npz":
            with np.load(path) as held:
                found |= {image.tobytes() for image in held["images"]}
        elif path.suffix == ".txt":
            found |= set(path.read_text().splitlines())
        else:
            found |= {row.get("prompt") or row.get("source") or json.dumps(row["messages"]) for row in base.read_rows(path)}
    return found


# -- every recipe ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_yaml_is_a_runs_configuration(path: Path) -> None:
    config = build_config(str(path))
    assert is_model(config.model) or changed(config).params().total > 0, "its overrides make an architecture"


def test_every_small_recipe_has_its_yaml_and_no_yaml_is_left_over() -> None:
    assert {recipe.recipe for recipe in RECIPES.values()} == set((ROOT / "recipes" / "small").glob("*.yaml"))
    assert all(name == recipe.name for name, recipe in RECIPES.items())


@pytest.mark.parametrize("name", RECIPES)
def test_a_seed_makes_the_same_files_and_another_makes_others(name: str, few: None, tmp_path: Path) -> None:
    first, again, other = (made(name, tmp_path / mark, seed) for mark, seed in (("a", 0), ("b", 0), ("c", 1)))
    files = sorted(path.name for path in first.iterdir())
    assert files == sorted(path.name for path in other.iterdir()) and files
    assert all((first / file).read_bytes() == (again / file).read_bytes() for file in files)
    assert all((first / file).read_bytes() != (other / file).read_bytes() for file in files)


@pytest.mark.parametrize("name", RECIPES)
def test_nothing_is_judged_that_was_trained_on(name: str, few: None, tmp_path: Path) -> None:
    folder = made(name, tmp_path / "data")
    trained, judged = examples(folder, False), examples(folder, True)
    assert len(trained) >= FEW["TRAINED"] // 2 and (judged or name == "grammar") and not trained & judged


@pytest.mark.parametrize("name", RECIPES)
def test_the_files_are_found_to_be_what_the_yaml_trains_on(name: str, few: None, tmp_path: Path) -> None:
    recipe, folder = RECIPES[name], made(name, tmp_path / "data")
    for run in (recipe.runs or {name: {}}).values():
        own = dict(run)
        config = build_config(str(recipe.recipe), str(folder / own.pop("data.path", "train.jsonl")), own)
        assert open_source(config.data.path, split=config.data.split).kind in settled(config).training.objective.takes
        assert changed(config).params().total > 0


# -- generators -----------------------------------------------------------------------------------------------------


def test_sequences_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(0)
    for _ in range(100):
        text, answer = sequences.backwards(draw)
        assert answer[::-1] == text
        text, answer = sequences.in_order(draw)
        assert sorted(text) == list(answer)
        text, answer = sequences.recalled(draw)
        assert text.count(text[-1]) == 2 and text[text.index(text[-1]) + 1] == answer
        text, answer = sequences.induced(draw)
        assert answer and text[:-2].endswith(text[-1] + answer)


def test_verbs_are_obeyed_from_the_string_outwards() -> None:
    assert verbs.row(("upper",), "cab") == {"prompt": "upper: cab\n", "completion": "CAB"}
    assert verbs.obeyed(("reverse", "sort"), "cab") == "cba" and verbs.obeyed(("sort", "reverse"), "cab") == "abc"
    assert len(verbs.PAIRS) == 6


def test_a_sum_goes_from_left_to_right_and_keeps_the_last_digit() -> None:
    assert arithmetic.scratchpad("7+5*3-8") == "+5=2*3=6-8=8"
    assert arithmetic.steps_of("7+5*3-8") == "268" and arithmetic.steps_of("4") == "" and arithmetic.steps_of("1-9") == "2"
    for text in ("7+", "7++3", "", "7/3", "12+3", "٧+1"):
        with pytest.raises(ValueError, match="no sum"):
            arithmetic.steps_of(text)
    draw = random.Random(0)
    for _ in range(50):  # no step forgets what came before it
        text = arithmetic.sum_of(draw, 6)
        assert {arithmetic.steps_of(first + text[1:])[-1] for first in "0123456789"} == set("0123456789")


def test_a_conversation_tells_what_it_asks_for() -> None:
    draw = random.Random(0)
    for asked, right in (("name", "Kamilo"), ("other", "Tesun")) * 50:
        messages = chat.talk(draw, "Kamilo", "Tesun", asked)
        said = " ".join(message["content"] for message in messages[:-1] if message["role"] == "user")
        assert right in said and right in messages[-1]["content"] and [m["role"] for m in messages] == ["user", "assistant"] * (len(messages) // 2)
    messages = chat.talk(draw, "Kamilo", "Tesun", "likes")
    assert messages[-1]["content"].removeprefix("You like ").rstrip(".") in " ".join(m["content"] for m in messages[:-1])


def test_no_judged_name_was_ever_trained_on(few: None, tmp_path: Path) -> None:
    folder = made("chat", tmp_path / "data")
    trained = (folder / "train.jsonl").read_text()
    for row in base.read_rows(folder / "judged.jsonl"):
        if row["asked"] == "name":
            assert row["messages"][-1]["content"].split()[-1].rstrip(".") not in trained


def test_a_needle_is_there_once_and_out_of_reach_where_it_must_be() -> None:
    draw = random.Random(0)
    for length, far in ((24, 0), (100, 0), (512, 144)):
        text, answer = needle.prompt(draw, length, far)
        words = text.split()
        key, places = words[-2], [i for i, word in enumerate(words) if word == words[-2]]
        assert len(words) == length and len(places) == 2 and words[places[0] : places[0] + 3] == [key, "is", answer]
        assert places[1] - places[0] > far


def test_shapes_lie_within_the_picture_and_differ() -> None:
    draw = random.Random(0)
    for shape in shapes.SHAPES:
        image = shapes.picture(draw, shape)
        assert image.shape == (28, 28) and image.dtype == np.uint8 and image.max() - int(image.min()) > 40
    x, y = np.meshgrid(np.arange(-12, 13.0), np.arange(-12, 13.0))
    areas = {shape: int(shapes._inside(shape, 10.0, x, y).sum()) for shape in shapes.SHAPES}
    assert areas["circle"] == pytest.approx(314, abs=10) and areas["square"] == pytest.approx(200, abs=20)
    assert areas["triangle"] == pytest.approx(130, abs=15) and 60 < areas["star"] < 170


# -- judges ---------------------------------------------------------------------------------------------------------


def test_the_parser_takes_what_the_grammar_makes_and_nothing_else() -> None:
    rules, draw = grammars.english(), random.Random(0)
    for _ in range(200):
        assert grammars.accepts(rules, grammars.sentence(rules, draw))
    right = "the cat that the dogs see near a farmer sleeps .", "many singers that wait think that every child laughs ."
    wrong = "the cat sleep .", "the cat that the dogs sees sleeps .", "the dogs that see the cat sleeps .", "cat sleeps .", "the cat sleeps", "", "the cat sleeps . .", "the cat xyz ."
    assert not grammars.accepts(rules, right[0].split()) and grammars.accepts(rules, right[0].replace(" near a farmer", "").split())
    assert grammars.accepts(rules, right[1].split()) and not any(grammars.accepts(rules, text.split()) for text in wrong)


def test_expressions_by_hand() -> None:
    values = {"a": 3, "b": -2, "c": 10}
    for text, value in (("a + b * c", -17), ("( a + b ) * c", 10), ("max ( a , b ) - min(a,c)", 0), ("- a * - 2", 6), ("7-2-1", 4), ("2 * 2 * 2 ", 8)):
        assert calculator.evaluate(text, values) == value, text
    for text in ("", "a +", "( a", "a b", "max ( a )", "d", "a ** 2", "__import__", "1 / 2", "( " * 300, "9" * 50, "- " * 60 + "1", "2)", "999999999 * 999999999"):
        with pytest.raises(calculator.Wrong):
            calculator.evaluate(text, values)


def test_code_is_right_if_it_runs_right() -> None:
    draw = random.Random(0)
    assert code.passes("b + a", "a + b", draw) and code.passes("a * 2", "2 * a", draw) and code.passes("( max ( b , a ) )", "max ( a , b )", draw)
    assert not any(code.passes(answer, "a - b", draw) for answer in ("b - a", "a - b +", "", "a", "print ( a )"))
    for _ in range(100):
        part = code.described(draw, 3)
        assert code.passes(part.code, part.code, draw), part


def test_descriptions_mean_what_their_code_says() -> None:
    a, b = code.Part("a", "a", 2), code.Part("the sum of a and b", "a + b", 0)
    assert code._at(b, 1) == "( a + b )" and code._at(a, 2) == "a" and code._within(b) == "( the sum of a and b )"
    values = {"a": 3, "b": 5, "c": 7}
    says = {"sum": lambda x, y: x + y, "product": lambda x, y: x * y, "difference": lambda x, y: x - y, "larger": max, "smaller": min}
    draw, seen = random.Random(1), set()
    while len(seen) < len(says):
        part = code.described(draw, 1)
        words = part.text.split()
        if words[:1] == ["the"] and words[1] in says and {words[3], words[5]} <= set(values):
            assert calculator.evaluate(part.code, values) == says[words[1]](values[words[3]], values[words[5]])
            seen.add(words[1])


def test_a_trigram_by_hand() -> None:
    grams = ngram.Trigram([[1, 2, 3], [1, 2, 3], [1, 2, 2]], vocab=4, begin=0)
    chances = grams.after([1, 2, 3])
    assert chances.shape == (3, 4) and np.allclose(chances.sum(1), 1) and (chances > 0).all()
    # after 1 2: 3 twice, 2 once; 0.75 off each; the lower order has after 2: 3 and 2, from one context each (1 2 → 2 2 is none)
    lower = grams.two[2]
    assert np.allclose(chances[2], [1.5 / 3 * lower[0], 1.5 / 3 * lower[1], 0.25 / 3 + 1.5 / 3 * lower[2], 1.25 / 3 + 1.5 / 3 * lower[3]])
    assert np.allclose(grams.after([3, 3, 1])[2], grams.two[3]), "words that never stood together: the lower order"


def test_keystrokes_by_hand() -> None:
    names = ["cat", "car", "can", "cap", "dog", "."]
    chances = np.array([[0.4, 0.3, 0.2, 0.05, 0.04, 0.01]] * 3)
    # cat is offered at once: 1 key; cap is the fourth, behind "c" and "ca" too: 4 letters with the blank; a stop and its blank
    assert autocomplete.typed(["cat", "cap", "."], names, chances) == (1 + 4 + 2, 4 + 4 + 2, 1, 1, 2)
    assert autocomplete.typed(["dog"], names, chances[:1]) == (2, 4, 0, 0, 1), "after a d it is the only one"


class Parrot:
    """Stands where a model stands and says what it is told."""

    def __init__(self, say: Callable[[Any], str]) -> None:
        self.say, self.tokenizer = say, SimpleNamespace(chat=lambda messages, add_generation_prompt: [json.dumps(messages)])

    def generate(self, prompt: list[str] | None = None, *, ids: Any = None, **_: Any) -> list[Any]:
        asked = prompt if prompt is not None else [row[0] for row in ids]
        return [SimpleNamespace(text=self.say(one)) for one in asked]

    def classify_images(self, images: list[np.ndarray], **_: Any) -> list[list[tuple[str, float]]]:
        return [[(self.say(image.tobytes()), 1.0)] for image in images]


def key_of(name: str, folder: Path) -> dict[Any, str]:
    """The right answers to all that a recipe judges."""
    if name == "shapes":
        with np.load(folder / "judged.npz") as held:
            return {image.tobytes(): str(label) for image, label in zip(held["images"], held["labels"], strict=True)}
    rows = [row for path in folder.glob("judged*.jsonl") for row in base.read_rows(path)]
    if name == "chat":
        return {json.dumps(row["messages"][:-1]): row["messages"][-1]["content"] for row in rows}
    return {row.get("prompt", row.get("source")): row.get("completion", row.get("target")) for row in rows}


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in ("grammar", "autocomplete")])
def test_a_judge_takes_the_right_answers_and_no_others(name: str, few: None, tmp_path: Path) -> None:
    recipe, folder = RECIPES[name], made(name, tmp_path / "data")
    right = key_of(name, folder)
    for say, value in ((right.__getitem__, 1.0), (lambda asked: "circles" if name == "shapes" else right[asked] + "?", 0.0)):
        found = recipe.judge({run: Parrot(say) for run in recipe.runs or {name: {}}}, folder)
        main_figures = [figure for figure in found.figures if "gains" not in figure.name]
        assert found.samples and all(figure.value == value for figure in main_figures), main_figures


def test_free_text_is_judged_by_the_parser(few: None, tmp_path: Path) -> None:
    folder = made("grammar", tmp_path / "data")
    known = (folder / "train.txt").read_text().splitlines()[0]
    for text, valid, new in ((known, 1.0, 0.0), ("the cat sleep .", 0.0, 0.0), ("the cat that the dogs see sleeps .", 1.0, 1.0)):
        found = {figure.name: figure for figure in grammar.judge({"grammar": Parrot(lambda _, text=text: text)}, folder).figures}
        assert found["free sentences that the grammar accepts"].value == valid and found["new among these"].value == new
        assert found["free sentences that the grammar accepts"].reached == bool(valid)


# -- the command ----------------------------------------------------------------------------------------------------

TINY = ["training.steps=2", "data.holdout=0.4", "training.batch=2", "training.eval_every=2", "training.save_every=2", "training.compile=off", "training.threads=1"]


def test_the_examples_alone(few: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["verbs", "-o", str(tmp_path / "out"), "--data-only"]
    assert main(words) == 0 and (tmp_path / "out/data/train.jsonl").exists() and not (tmp_path / "out/verbs").exists()
    assert main([*words, "--seed", "1"]) == 2, "a folder has one seed"
    assert "another seed" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_from_end_to_end(name: str, few: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = [] if name == "shapes" else ["model.decoder.width=32"] + ["model.encoder.width=32"] * (name == "code")
    words = [name, "-o", str(tmp_path / "out"), *TINY, *size]
    assert main(words) == 1, "two steps reach nothing"
    out = capsys.readouterr().out
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert "NOT reached" in out and result["recipe"] == name and result["seed"] == 0 and result["figures"]
    assert set(result["training"]) == set(RECIPES[name].runs or {name: {}})
    assert main(words) == 1 and not re.search(r"^step ", capsys.readouterr().out, re.MULTILINE), "it is judged again and not trained again"
    assert json.loads((tmp_path / "out/result.json").read_text()) == result


def test_results_become_a_table_in_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = [base.Figure("exact", 0.5, 0.9), base.Figure("chance", 0.01, 0.05, under=True), base.Figure("beside it", 2.0)]
    result = {"recipe": "verbs", "seed": 3, "settings": {"training.steps": 9}, "training": {"a": {"processor_seconds": 20.2}, "b": {"processor_seconds": 30.1}}, "figures": [f._asdict() | {"reached": f.reached} for f in figures]}
    (tmp_path / "result.json").write_text(json.dumps(result))
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}old\n{table.END}\nafter\n")
    for _ in range(2):
        assert table.main([str(tmp_path), "--into", str(page)]) == 0
    rows = page.read_text().splitlines()
    assert rows[0] == "before" and rows[-1] == "after" and "old" not in rows
    assert rows[4] == "| `verbs`, training.steps=9 | 3 | 50 s | exact | 0.500 | ≥ 0.9, not reached |" and rows[5].endswith("| 0.010 | ≤ 0.05 |") and rows[6].endswith("| 2.000 |  |")
    (tmp_path / "bare.md").write_text("nothing\n")
    assert table.main([str(tmp_path), "--into", str(tmp_path / "bare.md")]) == 2 and "has no line" in capsys.readouterr().err
