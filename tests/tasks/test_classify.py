"""Classes, numbers and ranks: beside transformers' pipeline, and by hand."""

from __future__ import annotations

import pytest
import torch

import polyhead as ph
from polyhead.errors import ConfigError, UserError
from polyhead.nn import HeadSpec
from polyhead.tasks.reading import _shortened, labels_of, problem_of

from .tiny import FAMILIES, SENTENCES

PAIRS = [("the lamp", "the harbour was lit"), ("Anna", "home"), ("the boats came", "in")]


@pytest.mark.parametrize("task", ["single", "multi", "number", "one"])
@pytest.mark.parametrize("family", FAMILIES)
def test_labels_and_scores_are_those_of_the_pipeline(made, opened, family: str, task: str) -> None:
    from transformers import pipeline

    theirs = pipeline("text-classification", model=str(made(family, task)), top_k=None, device="cpu")
    for text, expected in zip(SENTENCES, theirs(SENTENCES), strict=True):
        found = opened(family, task).classify(text)
        assert [name for name, _ in found.scores] == [one["label"] for one in expected]
        assert [score for _, score in found.scores] == pytest.approx([one["score"] for one in expected], abs=1e-5)
    for found, (text, second) in zip(opened(family, task).classify(PAIRS), PAIRS, strict=True):
        expected = theirs({"text": text, "text_pair": second})
        assert found.scores == tuple((e["label"], pytest.approx(e["score"], abs=1e-5)) for e in expected)


def test_labels_of_each_problem(opened) -> None:
    single = opened("bert", "single").classify(SENTENCES[0], top=1)
    assert single.label == single.scores[0][0] and len(single.scores) == 1
    multi = opened("bert", "multi").classify(SENTENCES[0], threshold=0.4)
    assert multi.label == tuple(name for name, share in multi.scores if share > 0.4) and len(multi.scores) == 4
    number = opened("bert", "number").classify(SENTENCES[0])
    assert number.label == number.scores[0][1]


def test_a_batch_is_its_rows(opened) -> None:
    model = opened("bert", "single")
    alone = [model.classify(text) for text in SENTENCES]
    for size in (1, 2, 8):
        for one, other in zip(model.classify(SENTENCES, batch=size), alone, strict=True):
            assert dict(one.scores) == pytest.approx(dict(other.scores), abs=1e-6)
    assert model.classify([]) == []


def test_types_tell_the_second_text_from_the_first(opened) -> None:
    model = opened("bert", "single")
    asked = []
    hook = model.prepared.top.register_forward_hook(lambda _, given, __: asked.append(given[0]))
    model.classify([("the lamp", "was lit"), "the"])
    hook.remove()
    tokens = asked[0]
    assert tokens.types[0].tolist() == [0, 0, 0, 0, 1, 1, 1] and tokens.padded and tokens.pos[1].tolist() == [0, 1, 2, -1, -1, -1, -1]


def test_a_long_pair_is_cut_where_it_is_longer(opened) -> None:
    model = opened("bert", "single")
    long = "the lamp " * 200
    with pytest.warns(UserWarning, match="1 of 2 texts are longer than the 128"):
        found = model.classify([("the", long), "the"])
    assert dict(found[0].scores) == pytest.approx(dict(model.classify(("the", "the lamp " * 62)).scores), abs=1e-6)
    assert [_shortened(*sizes) for sizes in ((3, 4, 9), (9, 4, 9), (4, 9, 9), (20, 30, 9), (20, 4, 9))] == [(3, 4), (5, 4), (4, 5), (5, 4), (5, 4)]


def test_facts_of_a_run_come_before_those_of_the_folder(opened) -> None:
    net, tokenizer = opened("bert", "single").net, opened("bert", "single").tokenizer
    model = ph.Model(net, tokenizer, meta={"labels": ["x", "y", "z"], "problem": "multi"})
    found = model.classify(SENTENCES[0], threshold=0.0)
    assert set(found.label) == {"x", "y", "z"} and sum(share for _, share in found.scores) != pytest.approx(1)
    assert labels_of({}, 2) == ["LABEL_0", "LABEL_1"] and problem_of({}, 2) == "single" and problem_of({}, 1) == "multi"
    for meta in ({"labels": ["x"]}, {"labels": "xyz"}, {"problem": "several"}, {"huggingface": {"config": {"problem_type": "x"}}}):
        with pytest.raises(ConfigError):
            ph.Model(net, tokenizer, meta=meta).classify("a")


def test_two_sentences_that_follow_on_each_other(opened) -> None:
    model = opened("bert", "answer")
    head = {"pair": HeadSpec(task="pair", pool="first", output=2)}
    net = model.spec.model_copy(update={"heads": head}).build(seed=1).eval()
    with torch.no_grad():
        net.heads["pair"].weight.copy_(torch.stack([torch.ones(32), -torch.ones(32)]))
    found = ph.Model(net, model.tokenizer).classify(("the lamp", "was lit"))
    assert {name for name, _ in found.scores} == {"follows", "does not follow"}
    assert ph.Model(net, model.tokenizer, meta={"pair": "order"}).classify(("a", "b")).label in ("in order", "swapped")


@pytest.mark.parametrize("name", ["bart_classify", "gpt2_classify"])
def test_other_shapes_classify_as_their_class_does(name: str, tmp_path) -> None:
    """An encoder–decoder reads a text with both; a decoder with its last token: transformers' logits of the same ids."""
    from polyhead.tasks.reading import Row, Tool, logits
    from tests.parity import reference
    from tests.parity.cases import BY_NAME, CASES

    case = BY_NAME.get(name) or next(c for c in CASES if c.family == name.split("_")[0] and "classify" in c.answers)
    model = reference.build(case)
    model.save_pretrained(tmp_path)
    ours = ph.load(tmp_path)
    head = next(n for n, h in ours.spec.heads.items() if h.task == "classify")
    end = case.end or getattr(model.config, "eos_token_id", None) or 2
    ids = [5, 6, 7, 8, end]
    at = Tool(ours.net, None, ours.meta, head)
    (found,) = logits(at, [Row(ids, [0] * 5)], 4)
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([ids])).logits[0]
    assert torch.allclose(found, expected, atol=2e-5)


# ---------------------------------------------------------------- rank


def test_rank_by_vectors_and_by_pairs(opened) -> None:
    model = opened("bert", "answer")
    spec = model.spec.model_copy(update={"heads": {"embed": HeadSpec(task="embed", pool="mean", normalise=True)}})
    net = spec.build(seed=0).eval()
    plain = ph.Model(net, model.tokenizer)
    found = plain.rank("the lamp was lit", SENTENCES)
    cosines = plain.embed(SENTENCES) @ plain.embed("the lamp was lit")
    assert [one.place for one in found] == cosines.argsort(descending=True).tolist()
    assert found[0].score == pytest.approx(float(cosines.max()), abs=1e-6) and found[0].text == SENTENCES[found[0].place]
    prompted = ph.Model(net, model.tokenizer, meta={"sentences": {"prompts": {"query": "the ", "document": "in "}}})
    other = plain.embed([f"in {text}" for text in SENTENCES]) @ plain.embed("the the lamp was lit")
    assert [one.score for one in prompted.rank("the lamp was lit", SENTENCES, top=2)] == pytest.approx(other.sort(descending=True).values[:2].tolist(), abs=1e-6)
    cross = opened("bert", "one")
    scores = [cross.classify(("the lamp", text)).scores[0][1] for text in SENTENCES]
    assert [one.place for one in cross.rank("the lamp", SENTENCES)] == sorted(range(3), key=lambda i: -scores[i])


@pytest.mark.parametrize(
    ("call", "needle"),
    [
        (lambda m: m.classify(7), "only texts"), (lambda m: m.classify(["a", 7]), "only texts"), (lambda m: m.classify(("a", "b", "c")), "only texts"),
        (lambda m: m.classify("a", top=0), "top"), (lambda m: m.classify("a", batch=0), "batch"), (lambda m: m.classify("a", threshold=2), "threshold"),
        (lambda m: m.tag("a"), "does not tag"), (lambda m: m.answer("a", "b"), "does not answer"), (lambda m: m.rank("a", ["b"]), "does not rank"),
        (lambda m: m.rank("a", "b"), "list of texts"), (lambda m: m.translate("a"), "cannot generate"), (lambda m: m.complete("a"), "cannot generate"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_said(opened, call, needle: str) -> None:
    with pytest.raises(UserError, match=needle):
        call(opened("bert", "single"))
