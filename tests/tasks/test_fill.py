"""Gaps: beside transformers' fill-mask pipeline, whatever the gap is called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import polyhead as ph
from polyhead.errors import ConfigError, UserError

from .tiny import CONTEXT, FAMILIES, published

TEXTS = ["the lamp in the {} was lit", "{} boats came {} early", "Anna, {}!"]


@pytest.fixture(scope="module", params=FAMILIES)
def both(request, tmp_path_factory):
    from transformers import pipeline

    folder = published(tmp_path_factory.mktemp("fill") / "model", request.param, "MaskedLM")
    return ph.load(folder), pipeline("fill-mask", model=str(folder), device="cpu")


def test_tokens_and_shares_are_those_of_the_pipeline(both) -> None:
    model, theirs = both
    mask = theirs.tokenizer.mask_token
    for text in TEXTS:
        text = (text.replace(" {}", "{}") if mask == "<mask>" else text).replace("{}", mask)  # RoBERTa's holds the blank before it
        found, expected = model.fill(text, top=4), theirs(text, top_k=4)
        for gap, right in zip(found.gaps, expected if text.count(mask) > 1 else [expected], strict=True):
            assert [one.id for one in gap] == [one["token"] for one in right]
            assert [one.score for one in gap] == pytest.approx([one["score"] for one in right], abs=1e-5)
        if text.count(mask) == 1:
            assert found.best.split() == expected[0]["sequence"].split()


def test_a_gap_may_be_spelled_as_people_do(both) -> None:
    model, _ = both
    for text in TEXTS:
        one, other = model.fill([text.replace("{}", "[MASK]"), text.replace("{}", "<mask>")])
        assert one.gaps == tuple(tuple(c._replace(score=pytest.approx(c.score, abs=1e-6)) for c in gap) for gap in other.gaps) and one.best == other.best


def test_a_batch_is_its_rows_and_a_long_text_keeps_its_gap(both) -> None:
    model, _ = both
    texts = [TEXTS[0].replace("{}", "<mask>"), CONTEXT * 2 + " the <mask> boats " + CONTEXT * 2, "<mask>"]
    alone = [model.fill(text) for text in texts]
    for one, other in zip(model.fill(texts, batch=2), alone, strict=True):
        assert [c.score for c in one.gaps[0]] == pytest.approx([c.score for c in other.gaps[0]], abs=1e-6)
        assert [c.id for c in one.gaps[0]] == [c.id for c in other.gaps[0]] and len(one.gaps) == 1 and len(one.gaps[0]) == 5
    assert len(model.tokenizer.encode(alone[1].best)) <= 140 and model.fill([]) == []


def test_what_cannot_be_filled_is_refused(both, opened) -> None:
    model, _ = both
    with pytest.raises(UserError, match="nothing to fill"):
        model.fill("no gap here")
    with pytest.raises(UserError, match="too far apart"):
        model.fill(f"<mask> {CONTEXT * 3} <mask>")
    with pytest.raises(UserError, match="only texts"):
        model.fill([3])
    with pytest.raises(ConfigError, match="does not fill masks"):
        opened("bert", "single").fill("a [MASK]")


def test_run_fills(both, polyhead, tmp_path: Path) -> None:
    model, _ = both
    place = model.save(tmp_path / "model", to="native")
    alone = polyhead("run", place, "the [MASK] boats", "--top", "3")
    assert alone.code == 0 and len(alone.out.splitlines()) == 4, alone.err
    found = json.loads(polyhead("run", place, "the <mask> boats", "--json").out)
    assert found["text"] == "the <mask> boats" and len(found["gaps"]) == 1 and set(found["gaps"][0][0]) == {"token", "score", "id"}
    (tmp_path / "in.txt").write_text("the [MASK] boats\nAnna <mask> home\n" * 20)
    assert polyhead("run", place, "--in", tmp_path / "in.txt", "--out", tmp_path / "out.jsonl").code == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(rows) == 40 and rows[0]["best"] == rows[38]["best"] == found["best"]
    (tmp_path / "in.txt").write_text("the [MASK] boats\nnothing\n")
    bad = polyhead("run", place, "--in", tmp_path / "in.txt", "--out", tmp_path / "none.jsonl")
    assert bad.code == 2 and "line 2" in bad.err and not (tmp_path / "none.jsonl").exists()
