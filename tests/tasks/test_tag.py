"""Tags and entities: beside transformers' pipeline, by hand, and on Unicode."""

from __future__ import annotations

import pytest
import torch

import polyhead as ph
from polyhead.errors import UserError
from polyhead.tasks.tag import Word, entities

from .tiny import FAMILIES, SENTENCES


def assert_same(found, expected) -> None:
    assert [(e.label, e.begin, e.end) for e in found.entities] == [(e["entity_group"], e["start"], e["end"]) for e in expected]
    assert [e.score for e in found.entities] == pytest.approx([e["score"] for e in expected], abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_entities_are_those_of_the_pipeline(made, opened, family: str) -> None:
    from transformers import pipeline

    path, model = str(made(family, "tag")), opened(family, "tag")
    seen = 0
    for strategy, by in (("first", "word"), ("simple", "token")):
        theirs = pipeline("token-classification", model=path, aggregation_strategy=strategy, device="cpu")
        for text in SENTENCES:
            expected = theirs(text)
            found = model.tag(text, by=by)
            assert_same(found, expected)
            assert all(text[e.begin : e.end] == e.text for e in found.entities)
            seen += len(expected)
    assert seen > 4


def test_a_batch_is_its_rows_and_words_stand_in_their_text(opened) -> None:
    model = opened("bert", "tag")
    found = model.tag([*SENTENCES, ("Anna", "Bremen")])
    for one, text in zip(found, [*SENTENCES, "Anna Bremen"], strict=True):
        assert one.text == text and [w.text for w in one.words] == text.split()
        assert all(text[w.begin : w.end] == w.text for w in one.words)
        assert one.words == tuple(w._replace(score=pytest.approx(w.score, abs=1e-6)) for w in model.tag(text).words)
    assert model.tag([]) == [] and model.tag("").words == () and model.tag("  ").entities == ()


def test_text_and_words_agree_for_a_model_that_learnt_from_words(opened) -> None:
    plain = opened("roberta", "tag")
    learnt = ph.Model(plain.net, plain.tokenizer, meta={"labels": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"], "problem": "tag"})
    text = "the lamp, in Bremen!"
    words = ("the", "lamp", ",", "in", "Bremen", "!")
    assert learnt.tag(text).tags == learnt.tag(words).tags
    assert [w.text for w in learnt.tag(text).words] == list(words) == [w.text for w in plain.tag(text).words]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("text", ["Zoë früher 灯台 🙂 नमस्ते", "e\u0301 ﬁ\u200b x", "a\u00a0b\u3000c\td\n", "\U0001f468\u200d\U0001f469 lamp"])
def test_words_and_tokens_of_unicode(opened, family: str, text: str) -> None:
    found = opened(family, "tag").tag(text)
    spans = [(w.begin, w.end) for w in found.words]
    assert spans == sorted(spans) and all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))
    assert all(w.text == text[w.begin : w.end] and w.text.strip() == w.text and w.text for w in found.words)


def test_a_long_text_is_read_in_windows(opened) -> None:
    model = opened("bert", "tag")
    long = " ".join(SENTENCES * 12)
    found = model.tag(long)
    assert len(found.words) == len(long.split())
    short = model.tag(" ".join(long.split()[:30])).words  # the first window ends far behind
    assert [w.text for w in found.words[:30]] == [w.text for w in short]
    assert all(0 <= w.score <= 1 for w in found.words)


def test_windows_cover_every_token_once_and_from_within() -> None:
    from polyhead.tasks.windows import judged, windows

    spans = windows(25, 10, 4)
    assert spans == [(0, 10), (4, 14), (8, 18), (12, 22), (16, 25)]
    chosen = judged(25, spans)
    assert all(spans[w][0] <= i < spans[w][1] for i, w in enumerate(chosen))
    assert min(9 - 6, 6) and chosen[6] == 0 and chosen[8] == 1 and chosen[24] == 4
    assert windows(10, 10, 4) == [(0, 10)] and windows(11, 10, 50) == [(0, 10), (10, 11)]


def words(*tags: str) -> list[Word]:
    return [Word("x", tag, 0.5 + i / 20, 2 * i, 2 * i + 1) for i, tag in enumerate(tags)]


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        (("B-A", "I-A", "O", "B-A"), [("A", 0, 3), ("A", 6, 7)]), (("I-A", "I-A", "I-B"), [("A", 0, 3), ("B", 4, 5)]), (("B-A", "B-A"), [("A", 0, 1), ("A", 2, 3)]),
        (("S-A", "S-A", "B-B", "I-B", "E-B", "I-B"), [("A", 0, 1), ("A", 2, 3), ("B", 4, 9), ("B", 10, 11)]), (("U-A", "B-A", "L-A"), [("A", 0, 1), ("A", 2, 5)]), (("O", "O"), []),
    ],
)  # fmt: skip
def test_entities_by_hand_and_as_seqeval_reads_them(tags, spans) -> None:
    from seqeval.metrics.sequence_labeling import get_entities

    text = "x " * len(tags)
    found = entities(text, words(*tags))
    assert [(e.label, e.begin, e.end) for e in found] == spans
    if not any(tag[0] in "UL" for tag in tags):
        assert [(e.label, e.begin // 2, (e.end - 1) // 2) for e in found] == get_entities(list(tags))
    if spans and spans[0] == ("A", 0, 3):
        assert found[0].score == pytest.approx((0.5 + 0.55) / 2)


def test_a_tag_is_that_of_the_first_token(opened) -> None:
    model = opened("bert", "tag")
    found = model.tag("harbour")
    ids, _ = model.tokenizer.wrap(model.tokenizer.encode("harbour"))
    from polyhead.nn import Tokens

    with torch.no_grad():
        share = model.net(Tokens(torch.tensor([ids])))[0, 1].softmax(-1)
    assert len(ids) == 4 and found.words[0].score == pytest.approx(float(share.max()), abs=1e-5)


@pytest.mark.parametrize("texts", [7, [7], [("a", " ")], [("a", 1)]])
def test_what_is_no_text_is_refused(opened, texts) -> None:
    with pytest.raises(UserError, match="only texts"):
        opened("bert", "tag").tag(texts)
    with pytest.raises(UserError, match="word or by token"):
        opened("bert", "tag").tag("a", by="letter")
