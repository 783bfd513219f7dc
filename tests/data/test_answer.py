"""Span answering: windows, the places asked for, and the way back from a window to its question."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyhead.data import Answer, open_source, pack
from polyhead.errors import ConfigError, DataError
from polyhead.tasks.windows import windows
from polyhead.text import Tokenizer
from tests.data.corpora import KINDS, trained, words
from tests.data.packed import by_bytes, packed, shown, whole_epoch
from tests.parity.data import reference_data


def row(context: str, question: str, *answers: str) -> dict:
    places = [{"text": a, "answer_start": context.index(a)} for a in answers]
    return {"context": context, "question": question, "answers": places}


def test_by_hand(tmp_path) -> None:
    t = by_bytes()
    file = packed(tmp_path, [row("ab cd ef", "q?", "cd", "ab"), row("xyz", "why", *[])])
    objective = Answer(file, t, multiple=1)
    batch = objective.make(np.array([0, 1]), 0, 0)
    assert [shown(t, batch, i) for i in (0, 1)] == ["^q?|ab cd ef|", "^why|xyz|"]
    assert batch.targets.tolist() == [[7, 8], [0, 0]] and batch.weights.tolist() == [1, 1]  # the first answer trains
    assert batch.inputs.types[0].tolist() == [0] * 4 + [1] * 9 and batch.targets.dtype == torch.int64
    assert objective.place(np.array([0, 1])).tolist() == [4, 5]


def test_windows_are_those_of_the_task(tmp_path) -> None:
    context = "abcdefghijklmnopqrstuvwxyz"
    objective = Answer(packed(tmp_path, [row(context, "q?", "klm"), row("ab", "q", "b")]), by_bytes(), 15, stride=4)
    room = 15 - 3 - 2
    spans = list(zip(objective.first.tolist(), (objective.first + objective.count).tolist(), strict=True))
    assert spans[:-1] == windows(len(context), room, 4) and objective.question.tolist() == [0] * 5 + [1]
    targets = torch.cat([batch.targets for batch in objective.evaluation(2)]).tolist()
    inside = [a <= 10 and b >= 13 for a, b in spans[:-1]]
    assert inside == [False, True, True, False, False]
    for r, (a, _) in enumerate(spans[:-1]):
        place = 1 + 2 + 1
        assert targets[r] == ([place + 10 - a, place + 12 - a] if inside[r] else [0, 0])
    assert "1 of 2 contexts are longer than 15 tokens: read in windows, 4 apart" in objective.notes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("context", [60, 384])
def test_the_tokens_asked_for_spell_the_answer(tmp_path, kind, context) -> None:
    rng = np.random.default_rng(2)
    tokenizer = trained(kind).framed()
    given = []
    for _ in range(8):
        held = list(rng.choice(words(), 60))
        at = int(rng.integers(0, 58))
        text = " ".join(held)
        begin = len(" ".join(held[:at])) + (at > 0)
        given.append(
            {
                "context": text,
                "question": " ".join(rng.choice(words(), 3)),
                "answers": [{"text": " ".join(held[at : at + 2]), "answer_start": begin}],
            }
        )
    objective = Answer(packed(tmp_path, given, tokenizer), tokenizer, context, stride=12)
    hits, r = set(), 0
    for batch in objective.evaluation(4):
        for i, (start, end) in enumerate(batch.targets.tolist()):
            question = int(objective.question[r])
            place = int(objective.place(np.array([r]))[0])
            if start:
                spelled = tokenizer.decode(batch.inputs.ids[i, start : end + 1].tolist()).replace(" ", "")
                assert spelled == given[question]["answers"][0]["text"].replace(" ", "")
                assert start >= place and batch.inputs.types[i, start] == 1
                hits.add(question)
            else:
                assert end == 0 and batch.inputs.ids[i, 0] == tokenizer.cls
            r += 1
        assert batch.inputs.ids.shape[1] <= context
    assert r == len(objective) and hits == set(range(8))  # windows 12 apart hold every answer of two words whole
    assert whole_epoch(objective, 1) == list(range(len(objective)))


def test_a_long_question_is_cut(tmp_path) -> None:
    objective = Answer(packed(tmp_path, [row("ab", "q" * 100, "a")]), by_bytes(), 40, question=10)
    assert shown(by_bytes(), objective.make(np.array([0]), 0, 0), 0) == "^" + "q" * 10 + "|ab|"
    assert objective.notes == ["1 of 1 questions are cut to fit"]
    tight = Answer(packed(tmp_path, [row("abcdef", "q" * 100, "a")]), by_bytes(), 6, question=99)
    assert len(tight) == 6 and tight.count.tolist() == [1] * 6  # one token of the context at a time is left


def test_an_answer_without_a_token_is_not_trained(tmp_path) -> None:
    t = trained("wordpiece").framed()
    context = f"{words()[0]} \u200b\u200b {words()[1]}"
    given = {
        "context": context,
        "question": words()[2],
        "answers": [{"text": "\u200b\u200b", "answer_start": context.index("\u200b")}],
    }
    objective = Answer(packed(tmp_path, [given, row(words()[3], words()[4], words()[3])], t), t)
    batch = objective.make(np.array([0, 1]), 0, 0)
    if "answers have no token" in "".join(objective.notes):
        assert batch.weights.tolist() == [0, 1] and batch.targets[0].tolist() == [0, 0]
    else:
        assert batch.weights.tolist() == [1, 1]


def test_answers_do_not_leak(tmp_path) -> None:
    inputs = []
    for answer in ("ab", "ef"):
        batch = Answer(packed(tmp_path, [row("ab cd ef", "q?", answer)]), by_bytes()).make(np.array([0]), 0, 0)
        inputs.append((batch.inputs.ids, batch.targets))
    assert torch.equal(inputs[0][0], inputs[1][0]) and not torch.equal(inputs[0][1], inputs[1][1])


def test_refused(tmp_path) -> None:
    file = packed(tmp_path, [row("ab", "q", "a")])
    with pytest.raises(ConfigError, match="must begin with a special token"):
        Answer(file, Tokenizer.train(["abc"], "bytes"))
    with pytest.raises(ConfigError, match="leaves no room"):
        Answer(file, by_bytes(), 4)
    with pytest.raises(ConfigError, match="stride"):
        Answer(file, by_bytes(), stride=0)
    with pytest.raises(DataError, match="holds labelled"):
        Answer(packed(tmp_path, [{"text": "a", "label": "x"}]), by_bytes())


def test_a_real_file(tmp_path) -> None:
    tokenizer = by_bytes()
    source = open_source(reference_data("squad") / "val-v2.0.json.gz")
    asked = list(source.examples())
    objective = Answer(pack(source, tokenizer, tmp_path / "a"), tokenizer, 512, stride=128)
    found: dict[int, set[str]] = {}
    for r in range(0, len(objective), 50):
        rows = np.arange(r, min(r + 50, len(objective)))
        batch = objective.make(rows, 0, 0)
        for i, (start, end) in zip(range(len(rows)), batch.targets.tolist(), strict=True):
            if start:
                text = tokenizer.decode(batch.inputs.ids[i, start : end + 1].tolist())
                found.setdefault(int(objective.question[rows[i]]), set()).add(text)
    assert found == {i: {one.answers[0][0]} for i, one in enumerate(asked) if one.answers}
