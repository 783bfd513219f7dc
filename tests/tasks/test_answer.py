"""Spans that answer: beside the reference's logits and the published rules, in one window and in many."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import polyhead as ph
from polyhead.errors import ConfigError, UserError

from .tiny import CONTEXT, FAMILIES, SENTENCES

QUESTION = "who had lit the lamp?"


def reference(path, question: str, context: str, no_answer: bool, longest: int = 30):
    """transformers' logits, and the rules of its pipeline (4.x): softmax over the context's tokens, and <cls> where no
    answer is possible; the product of both for every span."""
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModelForQuestionAnswering.from_pretrained(path)
    row = tokenizer(question, context, return_offsets_mapping=True, return_tensors="pt")
    spans, sides = row.pop("offset_mapping")[0].tolist(), row.sequence_ids(0)
    with torch.no_grad():
        out = model(**row)
    usable = torch.tensor([side == 1 or (no_answer and i == 0) for i, side in enumerate(sides)])
    start, end = (logit[0].masked_fill(~usable, -math.inf).softmax(-1).numpy() for logit in (out.start_logits, out.end_logits))
    found = []
    for i in np.flatnonzero([side == 1 for side in sides]):
        for j in range(i, min(i + longest, len(sides))):
            if sides[j] == 1:
                begin = spans[i][0] + (context[spans[i][0]] == " ")
                found.append((float(start[i] * end[j]), begin, spans[j][1]))
    return sorted(found, reverse=True), float(start[0] * end[0])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("no_answer", [False, True])
def test_spans_and_scores_are_the_references(made, opened, family: str, no_answer: bool) -> None:
    for context in SENTENCES:
        expected, nothing = reference(made(family, "answer"), QUESTION, context, no_answer)
        found = opened(family, "answer").answer(QUESTION, context, top=6, no_answer=no_answer, threshold=0.0)
        spans = [one for one in found.best if one.text]
        assert [(one.begin, one.end) for one in spans] == [(b, e) for _, b, e in expected[: len(spans)]]
        assert [one.score for one in spans] == pytest.approx([score for score, _, _ in expected[: len(spans)]], abs=1e-5)
        assert all(context[one.begin : one.end] == one.text for one in spans)
        if no_answer:
            assert found.none is not None and (found.best[0].text == "") == (found.none > 0)
            share = next((one.score for one in found.best if not one.text), None)
            assert share is None or share == pytest.approx(nothing, abs=1e-5)


def test_a_long_context_is_read_in_windows(opened) -> None:
    model = opened("bert", "answer")
    (whole,) = model.tokenizer.encode_offsets([CONTEXT])
    assert len(whole.ids) > 128
    found = model.answer(QUESTION, CONTEXT, top=5, window=60, stride=16)
    assert len({(one.begin, one.end) for one in found.best}) == 5
    assert all(CONTEXT[one.begin : one.end] == one.text and one.text for one in found.best)
    assert [one.score for one in found.best] == sorted((one.score for one in found.best), reverse=True) and sum(one.score for one in found.best) < 1.01
    wide = model.answer(QUESTION, CONTEXT[:200], window=400, stride=50)
    assert wide == model.answer(QUESTION, CONTEXT[:200], window=128, stride=1)


def test_the_best_span_of_all_windows_by_hand(opened) -> None:
    """Every window asked alone: the best sum of logits wins, each start counted where it has most around it."""
    from polyhead.tasks.windows import judged, windows

    model, context = opened("bert", "answer"), " ".join(SENTENCES * 3)
    (placed,) = model.tokenizer.encode_offsets([context])
    asked = model.tokenizer.encode(QUESTION)
    space = 40 - len(asked) - 3
    parts = windows(len(placed.ids), space, 7)
    chosen, best = judged(len(placed.ids), parts), []
    from polyhead.nn import Tokens

    for number, (begin, end) in enumerate(parts):
        ids, types = model.tokenizer.wrap(asked, placed.ids[begin:end])
        with torch.no_grad():
            out = model.net(Tokens(torch.tensor([ids]), types=torch.tensor([types])))[0, len(asked) + 2 : -1]
        for i in range(end - begin):
            for j in range(i, min(i + 4, end - begin)):
                if chosen[begin + i] == number:
                    best.append((float(out[i, 0] + out[j, 1]), begin + i, begin + j))
    _, first, last = max(best)
    found = model.answer(QUESTION, context, window=40, stride=7, longest=4)
    assert (found.best[0].begin, found.best[0].end) == (placed.spans[first][0], placed.spans[last][1])


def test_no_answer_by_threshold(opened) -> None:
    model = opened("bert", "answer")
    plain = model.answer(QUESTION, SENTENCES[0])
    assert plain.none is not None and plain.text
    assert model.answer(QUESTION, SENTENCES[0], no_answer=True, threshold=plain.none - 1).text == ""
    assert model.answer(QUESTION, SENTENCES[0], no_answer=True, threshold=plain.none + 1).text == plain.text
    learnt = ph.Model(model.net, model.tokenizer, meta={"no_answer": True})
    assert (learnt.answer(QUESTION, SENTENCES[0]).text == "") == (plain.none > 0)


def test_several_questions_and_an_empty_context(opened) -> None:
    model = opened("bert", "answer")
    both = model.answer([QUESTION, "where?"], SENTENCES[0])
    assert both[0].text == model.answer(QUESTION, SENTENCES[0]).text and len(both) == 2
    assert [a.text for a in model.answer([QUESTION] * 2, SENTENCES[:2])] == [model.answer(QUESTION, c).text for c in SENTENCES[:2]]
    assert model.answer(QUESTION, "").best == ((("", 0.0, 0, 0)),)
    (placed,) = model.tokenizer.encode_offsets([SENTENCES[0]])
    short = model.answer(QUESTION, SENTENCES[0], longest=3, top=20).best
    assert max(sum(one.begin <= begin < one.end for begin, _ in placed.spans) for one in short) == 3


@pytest.mark.parametrize(
    ("words", "more", "needle"),
    [(("q", ["c", "c"]), {}, "question is asked"), ((["q"], ["c", "d"]), {}, "question is asked"), ((7, "c"), {}, "question is asked"), (("q", "c"), {"top": 0}, "top"),
     (("q", "c"), {"stride": 0}, "stride"), (("q", "c"), {"window": 3}, "no room"), (("q", "c"), {"threshold": math.nan}, "threshold")],
)  # fmt: skip
def test_what_cannot_be_asked_is_said(opened, words, more, needle: str) -> None:
    with pytest.raises(UserError, match=needle):
        opened("bert", "answer").answer(*words, **more)


def test_no_answer_needs_a_token_for_it(opened) -> None:
    from polyhead.text import Tokenizer

    tokenizer = Tokenizer.train(["the lamp was lit"] * 9, "chars")
    net = opened("bert", "answer").net
    with pytest.raises(ConfigError, match="no answer"):
        ph.Model(net, tokenizer).answer("the", "lamp", no_answer=True)
    assert ph.Model(net, tokenizer).answer("the", "lamp").none is None
