"""translate, summarize and complete: what they add to generate."""

from __future__ import annotations

import pytest

import polyhead as ph
from polyhead.errors import ConfigError, UserError
from polyhead.text import Tokenizer

from .nets import decoder, lively, seq2seq

TEXTS = ["the lamp was lit", "boats came home early", "the harbour"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([*TEXTS * 5, "translate English to German: summarize: "], "chars")


def t5(tokenizer: Tokenizer, tasks: dict | None = None, generation: dict | None = None) -> ph.Model:
    meta = {"huggingface": {"config": {"task_specific_params": tasks} if tasks else {}, "generation": generation or {}}}
    return ph.Model(lively(seq2seq(vocab=tokenizer.vocab_size)), tokenizer, "seq2seq", meta)


TASKS = {"translation_en_to_de": {"num_beams": 2, "max_length": 12, "prefix": "translate English to German: "},
         "summarization": {"num_beams": 3, "max_length": 9, "min_length": 5, "no_repeat_ngram_size": 2, "prefix": "summarize: "}}  # fmt: skip


def test_translate_is_beam_search_with_the_usual_settings(tokenizer: Tokenizer) -> None:
    model = t5(tokenizer)
    longest = max(len(tokenizer.encode(text)) for text in TEXTS[:2])
    budget = min(longest + 50, model.text_spec.context)
    assert [a.ids for a in model.translate(TEXTS[:2])] == [a.ids for a in model.generate(TEXTS[:2], beams=4, max_tokens=budget)]
    greedy = model.translate(TEXTS[0], beams=1, max_tokens=7)
    assert greedy.ids == model.generate(TEXTS[0], temperature=0.0, max_tokens=7).ids
    told = t5(tokenizer, generation={"num_beams": 2, "max_length": 6})
    assert told.translate(TEXTS[0]).ids == told.generate(TEXTS[0], beams=2, max_tokens=6).ids


def test_t5s_own_words_stand_before_the_text(tokenizer: Tokenizer) -> None:
    model = t5(tokenizer, TASKS)
    expected = model.generate("translate English to German: the lamp", beams=2, max_tokens=12)
    assert model.translate("the lamp").ids == expected.ids == model.translate("the lamp", source="en", target="de").ids
    with pytest.raises(UserError, match="en → de"):
        model.translate("the lamp", source="de", target="en")
    with pytest.raises(UserError, match="one way"):
        t5(tokenizer).translate("the lamp", source="de", target="en")
    two = t5(tokenizer, {**TASKS, "translation_en_to_fr": {"prefix": "x"}})
    with pytest.raises(UserError, match="en → fr"):
        two.translate("the lamp")


def test_summaries_follow_the_tasks_lengths(tokenizer: Tokenizer) -> None:
    model = t5(tokenizer, TASKS)
    found = model.summarize(TEXTS)
    for one in found:
        ids = one.new_ids
        assert 4 <= len(ids) <= 9  # the decoder's start counts in min_length
        assert len({tuple(ids[i : i + 2]) for i in range(len(ids) - 1)}) == len(ids) - 1
    plain = t5(tokenizer)
    assert plain.summarize(TEXTS[0]).ids == plain.generate(TEXTS[0], beams=4, max_tokens=min(128, plain.text_spec.context)).ids
    assert model.summarize([*TEXTS] * 3)[8].ids == pytest.approx(found[2].ids)


def test_completions_are_ranked_and_different(tokenizer: Tokenizer) -> None:
    model = ph.Model(lively(decoder(vocab=tokenizer.vocab_size)), tokenizer)
    found = model.complete("the la", n=4, max_tokens=6, seed=1)
    assert 1 < len(found) <= 4 and len({one.text for one in found}) == len(found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert all("\n" not in one.text for one in found)
    best = found[0]
    assert best.score == pytest.approx(-float(model.score(ids=best.ids)[-len(best.new_ids) :].mean()))
    assert [one.ids for one in found] == [one.ids for one in model.complete("the la", n=4, max_tokens=6, seed=1)]
    (greedy,) = model.complete("the la", n=1, max_tokens=6)
    assert greedy.ids == model.generate("the la", temperature=0.0, max_tokens=6, stop="\n").ids


def test_who_cannot_is_told(tokenizer: Tokenizer) -> None:
    writer = ph.Model(lively(decoder(vocab=tokenizer.vocab_size)), tokenizer)
    for call in (writer.translate, writer.summarize):
        with pytest.raises(ConfigError, match="decoder alone"):
            call("a")
    with pytest.raises(ConfigError, match="does not go on"):
        t5(tokenizer).complete("a")
    for texts in ([], 7, [7]):
        with pytest.raises(UserError, match="nothing to read"):
            t5(tokenizer).translate(texts)
    with pytest.raises(UserError, match="n is not possible"):
        writer.complete("a", n=0)
