"""evaluate_task and the verb eval: the metric of each kind of examples is that of the answers themselves."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

import polyhead as ph
from polyhead.data.examples import Labelled, Picture, Question, Tagged
from polyhead.data.pieces import Pair
from polyhead.errors import DataError, UserError
from polyhead.nn import HeadSpec
from polyhead.tasks.evaluating import evaluate_task

from .tiny import SENTENCES, TAGS

TEXTS = [f"{a} {b}" for a in SENTENCES for b in ("the lamp", "home early", "Anna", "in Bremen")]


def test_classes(opened) -> None:
    model = opened("bert", "single")
    given = [one.label for one in model.classify(TEXTS)]
    right = [label if i % 3 else "calm" for i, label in enumerate(given)]
    found = evaluate_task(model, [Labelled(text, None, label) for text, label in zip(TEXTS, right, strict=True)])
    share = sum(a == b for a, b in zip(given, right, strict=True)) / len(given)
    assert found["task"] == "classify" and found["n"] == 12 and found["metrics"]["accuracy"] == pytest.approx(share)
    low, high = found["intervals"]["accuracy"]
    assert low <= share <= high and json.loads(json.dumps(found)) == found
    assert evaluate_task(model, iter([Labelled("a", "b", "glad")] * 5), limit=2)["n"] == 2


def test_several_classes_and_numbers(opened) -> None:
    model = opened("bert", "multi")
    rows = [Labelled(text, None, one.label) for text, one in zip(TEXTS, model.classify(TEXTS), strict=True)]
    assert evaluate_task(model, rows)["metrics"]["micro_f1"] == 1 and evaluate_task(model, [Labelled("a", None, "b")])["n"] == 1
    model = opened("bert", "number")
    pairs = [(text, "home") for text in TEXTS]
    numbers = [Labelled(*pair, float(2 * one.label + 1)) for pair, one in zip(pairs, model.classify(pairs), strict=True)]
    assert evaluate_task(model, numbers)["metrics"] == pytest.approx({"pearson": 1, "spearman": 1})


def test_tags(opened) -> None:
    model, draw = opened("bert", "tag"), random.Random(0)
    words = [tuple(text.split()) for text in TEXTS]
    own = [Tagged(row, tuple(model.tag(row).tags)) for row in words]
    assert evaluate_task(model, own)["metrics"]["accuracy"] == 1
    rows = [Tagged(row, tuple(draw.choice(TAGS) for _ in row)) for row in words]
    from seqeval.metrics import f1_score

    found = evaluate_task(model, rows)
    assert found["metrics"]["f1"] == pytest.approx(f1_score([list(r.tags) for r in rows], [list(r.tags) for r in own]))
    assert evaluate_task(model, rows, strict=True)["metrics"]["f1"] <= found["metrics"]["f1"]


def test_questions(opened) -> None:
    model = opened("bert", "answer")
    own = model.answer("who?", SENTENCES[0]).best[0]
    rows = [Question("1", SENTENCES[0], "who?", ((own.text, own.begin),)), Question("2", SENTENCES[1], "where?", (("zzz", 0),))]
    found = evaluate_task(model, rows)
    assert found["metrics"]["exact_match"] == 50 and set(found["metrics"]) == {"exact_match", "f1"}
    found = evaluate_task(model, [*rows, Question("3", SENTENCES[1], "why?", ())])
    assert set(found["metrics"]) == {"exact_match", "f1", "has_answer_f1", "no_answer_f1"}


def test_scored_pairs_of_a_model_that_embeds(opened) -> None:
    base = opened("bert", "answer")
    spec = base.spec.model_copy(update={"heads": {"embed": HeadSpec(task="embed", pool="mean", normalise=True)}})
    model = ph.Model(spec.build(seed=0).eval(), base.tokenizer)
    one, other = model.embed(TEXTS), model.embed(TEXTS[::-1])
    rows = [Labelled(a, b, float(s)) for a, b, s in zip(TEXTS, TEXTS[::-1], (one * other).sum(1).tolist(), strict=True)]
    found = evaluate_task(model, rows)
    assert found["task"] == "embed" and found["metrics"]["spearman"] == pytest.approx(1)
    with pytest.raises(DataError, match="with a score"):
        evaluate_task(model, [Labelled("a", None, 1.0)])


def test_pictures() -> None:
    from polyhead.families import override

    vit = override(ph.preset("vit-base-16-224"), {"encoder.layers": 1, "encoder.width": 48, "encoder.blocks.layer.attention.heads.heads": 2})
    name, head = next((name, head) for name, head in vit.heads.items() if head.task == "image")
    vit = vit.model_copy(update={"heads": {name: head.model_copy(update={"output": 3})}})
    model = ph.Model(vit.build(seed=0), meta={"labels": ["boot", "hat", "sock"], "preprocessor": {"image_processor_type": "ViTImageProcessor"}})
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (20, 20, 3), dtype=np.uint8) for _ in range(3)]
    own = [best[0][0] for best in model.classify_images(images, top=1)]
    found = evaluate_task(model, [Picture(str(i), image, name) for i, (image, name) in enumerate(zip(images, own, strict=True))])
    assert found["task"] == "classify_images" and found["metrics"]["accuracy"] == 1
    with pytest.raises(DataError, match="does not know"):
        evaluate_task(model, [Picture("x", images[0], "glove")])


@pytest.mark.parametrize(
    ("task", "rows", "needle"),
    [
        ("single", [], "nothing to measure"), ("single", [Labelled("a", None, "angry")], "does not know"), ("single", [Labelled("a", None, 1.0)], "not of the model's sort"),
        ("single", [Tagged(("a",), ("O",))], "does not tag"), ("tag", [Tagged(("a",), ("B-ORG",))], "does not know"), ("tag", [Labelled("a", None, "x")], "does not classify"),
        ("single", [Question("1", "a", "b", ())], "does not answer"), ("number", [Labelled("a", None, "x")], "not of the model's sort"),
        ("single", [Pair("a", "b")], "cannot generate"), ("single", ["a"], "no measure"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(opened, task: str, rows: list, needle: str) -> None:
    with pytest.raises(UserError, match=needle):
        evaluate_task(opened("bert", task), rows)


def test_a_published_models_nameless_classes_are_a_files_numbers(opened) -> None:
    base = opened("bert", "single")
    model = ph.Model(base.net, base.tokenizer)
    assert evaluate_task(model, [Labelled(text, None, str(i % 3)) for i, text in enumerate(TEXTS)])["n"] == 12


# ---------------------------------------------------------------- the verb


def test_eval_reads_a_file_by_the_models_head(polyhead, made, folder) -> None:
    (folder / "rows.tsv").write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in zip(TEXTS, ["calm", "glad", "sad"] * 4, strict=True)))
    found = json.loads(polyhead("eval", made("bert", "single"), "--on", "rows.tsv", "--json").out)
    assert found["task"] == "classify" and found["n"] == 12 and found["of"] == "labelled texts" and 0 <= found["metrics"]["accuracy"] <= 1
    shown = polyhead("eval", made("bert", "single"), "--on", "rows.tsv").out
    assert shown.startswith("classify on rows.tsv, 12 labelled texts; in brackets 95%") and "accuracy" in shown and " to " in shown
    (folder / "x.conll").write_text("\n\n".join("\n".join(f"{word}\t{tag}" for word, tag in zip(text.split(), ["B-PER", "I-PER"] + ["O"] * 20, strict=False)) for text in TEXTS) + "\n")
    found = json.loads(polyhead("eval", made("bert", "tag"), "--on", "x.conll", "--json").out)
    assert found["task"] == "tag" and found["n"] == 12 and set(found["metrics"]) == {"accuracy", "precision", "recall", "f1"}
    squad = {"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": SENTENCES[0], "qas": [{"id": "1", "question": "who?", "answers": [{"text": "Anna", "answer_start": 0}]}]}]}]}
    (folder / "q.json").write_text(json.dumps(squad))
    found = json.loads(polyhead("eval", made("bert", "answer"), "--on", "q.json", "--json").out)
    assert found["task"] == "answer" and set(found["metrics"]) == {"exact_match", "f1"} and found["of"] == "questions"


def test_eval_of_data_of_another_kind_is_refused(polyhead, made, folder) -> None:
    result = polyhead("eval", made("bert", "tag"), "--on", "held-out.txt")
    assert result.code == 2 and not result.out and "Traceback" not in result.err
    (folder / "rows.tsv").write_text("text\tlabel\nthe lamp\tangry\nhome\tcalm\n")
    result = polyhead("eval", made("bert", "single"), "--on", "rows.tsv")
    assert result.code == 2 and "calm | glad | sad" in result.err
