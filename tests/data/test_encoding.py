"""pack for labels, tags and questions: numbers of classes, alignment of words and sub-words, characters of tokens."""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyhead.data import ExampleFile, open_source, pack
from polyhead.data.encoding import sorted_labels
from polyhead.errors import DataError
from polyhead.text import Tokenizer
from tests.parity.data import reference_data

KINDS = ("bytes", "byte_bpe", "wordpiece", "sentencepiece", "unigram", "bpe", "words", "chars")
SEEN = ["Zoë's café – naïve 漢字 don't stop; 👩‍👩‍👧 x2 ﬁne e\u0301clair ΑΣ İstanbul ▁ straße"] * 40 + [
    "the cat sat on the mat"
] * 40


@cache
def tokenizer_of(kind: str) -> Tokenizer:
    size = None if kind in ("bytes", "chars") else 400
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so small a corpus
        return Tokenizer.train(SEEN, kind, size)


def rows(path: Path, *given: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in given), "utf-8")
    return path


def examples_of(path: Path, *given: dict, kind: str = "bytes", **options) -> ExampleFile:
    packed = pack(open_source(rows(path, *given)), tokenizer_of(kind), path.with_suffix(".examples"), **options)
    assert isinstance(packed, ExampleFile)
    return packed


def parts(file: ExampleFile, name: str) -> list[np.ndarray]:
    values, offsets = file.ragged(name)
    return [values[a:b] for a, b in zip(offsets[:-1], offsets[1:], strict=True)]


# -- labels ---------------------------------------------------------------------------------------------------------


def test_one_class(tmp_path) -> None:
    file = examples_of(tmp_path / "a.jsonl", *({"text": f"t{n}", "label": n} for n in (10, 9, 2, 10, -1)))
    assert file.facts == {"labels": ["-1", "2", "9", "10"], "problem": "single"}  # numbers by size, not as text
    assert file.array("label").tolist() == [3, 2, 1, 3, 0] and file.array("label").dtype == np.int64
    tokenizer = tokenizer_of("bytes")
    assert [row.tolist() for row in parts(file, "text")] == tokenizer.encode_batch(
        [f"t{n}" for n in (10, 9, 2, 10, -1)]
    )
    assert all(not len(row) for row in parts(file, "second")) and file.special["cls"] == tokenizer.cls


def test_several_classes_and_numbers_and_two_texts(tmp_path) -> None:
    file = examples_of(
        tmp_path / "a.jsonl",
        {"text": "a", "labels": ["x", "z"]},
        {"text": "b", "labels": []},
        {"text": "c", "labels": ["y"]},
    )
    assert file.facts == {"labels": ["x", "y", "z"], "problem": "multi"}
    assert file.array("label").tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    file = examples_of(
        tmp_path / "b.jsonl",
        {"sentence1": "a", "sentence2": "bc", "score": 3.8},
        {"sentence1": "a", "sentence2": "b", "score": 5},
    )
    assert file.facts == {"labels": None, "problem": "number"}
    assert file.array("label").dtype == np.float32 and file.array("label").tolist() == [np.float32(3.8), 5.0]
    assert [len(row) for row in parts(file, "second")] == [2, 1] and file.bytes == 5


def test_the_held_part_is_numbered_as_the_training_part(tmp_path) -> None:
    train = examples_of(tmp_path / "a.jsonl", *({"text": "t", "label": c} for c in "abc"))
    held = examples_of(tmp_path / "b.jsonl", {"text": "t", "label": "c"}, labels=train.facts["labels"])
    assert held.array("label").tolist() == [2] and held.facts == train.facts
    with pytest.raises(DataError, match="example 2 has the label 'nova', which the training part does not have"):
        examples_of(
            tmp_path / "c.jsonl",
            {"text": "t", "label": "a"},
            {"text": "t", "label": "nova"},
            labels=train.facts["labels"],
        )
    with pytest.raises(DataError, match="has numbers for labels"):
        examples_of(tmp_path / "d.jsonl", {"text": "t", "label": 0.5}, labels=train.facts["labels"])
    with pytest.raises(DataError, match="more than 65,536 different labels"):
        sorted_labels(map(str, range(70_000)), "x")
    with pytest.raises(DataError, match="no example of .* has a class"):
        examples_of(tmp_path / "e.jsonl", {"text": "t", "labels": []})


def test_labels_of_two_sorts_in_two_files(tmp_path) -> None:
    both = [
        rows(tmp_path / "1.jsonl", {"text": "a", "label": 0.5}),
        rows(tmp_path / "2.jsonl", {"text": "a", "label": "x"}),
    ]
    with pytest.raises(DataError, match="of several sorts"):
        pack(open_source(both), tokenizer_of("bytes"), tmp_path / "a.examples")


def test_it_is_kept_while_nothing_changed_and_made_again_when_something_did(tmp_path) -> None:
    path, out = tmp_path / "a.jsonl", tmp_path / "a.examples"
    examples_of(path, {"text": "a", "label": "x"}, {"text": "b", "label": "y"})
    before = out.stat().st_mtime_ns
    source = open_source(path)
    pack(source, tokenizer_of("bytes"), out)
    assert out.stat().st_mtime_ns == before
    assert pack(source, tokenizer_of("bytes"), out, labels=["x", "y", "z"]).facts["labels"] == ["x", "y", "z"]
    marks = {pack(source, tokenizer_of(kind), out).fingerprint for kind in ("bytes", "chars")}
    assert len(marks) == 2
    out.write_bytes(out.read_bytes()[:50])
    assert len(pack(source, tokenizer_of("chars"), out)) == 2  # damaged: made again
    whole = pack(open_source(path, kind="text"), tokenizer_of("chars"), tmp_path / "a.tokens")
    assert whole.kind == "text" and len(whole) == 2 + 2  # each with its <eos>


def test_a_part_is_packed_apart(tmp_path) -> None:
    source = open_source(rows(tmp_path / "a.jsonl", *({"text": f"t{i}", "label": str(i % 2)} for i in range(40))))
    train, held = source.holdout(0.25, seed=3)
    one = pack(train, tokenizer_of("bytes"), tmp_path / "1")
    two = pack(held, tokenizer_of("bytes"), tmp_path / "2", labels=one.facts["labels"])
    assert len(one) + len(two) == 40 and one.fingerprint != two.fingerprint


@pytest.mark.parametrize("group", [1, 50, 1 << 17])
def test_groups_do_not_show(tmp_path, monkeypatch, group) -> None:
    monkeypatch.setattr("polyhead.data.encoding._GROUP", group)
    seen: list[int] = []
    given = [{"text": "x" * i, "label": i} for i in range(1, 20)]
    file = examples_of(tmp_path / "a.jsonl", *given, progress=seen.append)
    assert [len(row) for row in parts(file, "text")] == list(range(1, 20)) and seen[-1] == sum(range(20)) == file.bytes


def test_a_text_of_which_nothing_is_made_is_unk(tmp_path) -> None:
    file = examples_of(
        tmp_path / "a.jsonl", {"text": "\u0301\u200b", "label": "x"}, {"text": "cat", "label": "y"}, kind="wordpiece"
    )
    assert all(len(row) for row in parts(file, "text"))


# -- tags -----------------------------------------------------------------------------------------------------------

WORD = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Zs", "Zl", "Zp", "Cc")), min_size=1, max_size=8)
REAL = st.sampled_from(
    [
        "Zoë's",
        "漢字",
        "👩‍👩‍👧",
        "naïve",
        "e\u0301clair",
        "ﬁne",
        "don't",
        "▁",
        "İstanbul",
        "##x",
        "<cls>",
        "\u200b",
        "\u0301",
    ]
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
@given(words=st.lists(st.one_of(REAL, WORD.filter(lambda w: w.strip())), min_size=1, max_size=8))
def test_every_word_has_its_tokens_in_order(kind, words) -> None:
    tokenizer = tokenizer_of(kind)
    if tokenizer.unk is None and not all(tokenizer.encode(word) for word in words):
        return
    (row,) = tokenizer.encode_words([words])
    assert len(row.ids) == len(row.words) and row.words == sorted(row.words)
    assert sorted(set(row.words)) == list(range(len(words)))
    assert not set(row.ids) & (tokenizer.special - {tokenizer.unk})
    if tokenizer.lossless:
        for i, word in enumerate(words):
            own = [number for number, place in zip(row.ids, row.words, strict=True) if place == i]
            assert tokenizer.decode(own).strip(" ") == word.strip(" ")


@pytest.mark.parametrize("kind", KINDS)
def test_tagged_sentences(tmp_path, kind) -> None:
    words = [["Zoë's", "café", "漢字"], ["\u200b", "x", "👩‍👩‍👧"]]
    tags = [["B-A", "I-A", "O"], ["O", "O", "B-B"]]
    file = examples_of(
        tmp_path / "a.jsonl", *({"tokens": w, "tags": t} for w, t in zip(words, tags, strict=True)), kind=kind
    )
    assert file.facts == {"labels": ["B-A", "B-B", "I-A", "O"], "problem": "tag"} and file.kind == "tagged"
    assert [row.tolist() for row in parts(file, "tag")] == [[0, 2, 3], [3, 3, 1]]
    for i, (ids, word) in enumerate(zip(parts(file, "text"), parts(file, "word"), strict=True)):
        assert len(ids) == len(word) and sorted(set(word.tolist())) == list(range(len(words[i])))
    with pytest.raises(DataError, match="example 1 has the label 'B-NEW'"):
        examples_of(tmp_path / "b.jsonl", {"tokens": ["x"], "tags": ["B-NEW"]}, kind=kind, labels=file.facts["labels"])


# -- questions ------------------------------------------------------------------------------------------------------

CONTEXT = "Zoë's  café – naïve 漢字\ndon't stop; 👩‍👩‍👧 x2 ﬁne e\u0301clair İstanbul straße."


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_of_a_context_cover_the_answers_characters(tmp_path, kind) -> None:
    answers = ["Zoë's", "café", "漢字", "don't stop", "👩‍👩‍👧", "ﬁne", "e\u0301clair", "İstanbul", "straße", "straße."]
    given = [
        {
            "id": word,
            "context": CONTEXT,
            "question": "cat?",
            "answers": [{"text": word, "answer_start": CONTEXT.index(word)}],
        }
        for word in answers
    ]
    given.append({"context": CONTEXT, "question": "sat?", "answers": []})
    file = examples_of(tmp_path / "a.jsonl", *given, kind=kind)
    assert len(file) == len(given) and len(parts(file, "answer")[-1]) == 0
    for i, word in enumerate(answers):
        begin, end = parts(file, "begin")[i].astype(int), parts(file, "end")[i].astype(int)
        first, last = parts(file, "answer")[i]
        assert CONTEXT[first:last] == word == bytes(parts(file, "id")[i]).decode()
        inside = (begin < last) & (end > first)
        assert inside.any() and begin[inside].min() <= first and end[inside].max() >= last - word.endswith(".")
        assert (end >= begin).all() and end.max() <= len(CONTEXT) and len(begin) == len(parts(file, "context")[i])


def test_real_files(tmp_path) -> None:
    tokenizer = tokenizer_of("wordpiece")
    file = pack(open_source(reference_data("wnut17") / "dev.conll.gz"), tokenizer, tmp_path / "a")
    assert len(file) == 1009 and len(file.array("tag")) == 15733 and len(file.facts["labels"]) == 13
    assert len({(i, w) for i, row in enumerate(parts(file, "word")) for w in row.tolist()}) == 15733
    file = pack(open_source(reference_data("squad") / "val-v2.0.json.gz"), tokenizer, tmp_path / "b")
    assert len(file) == 1207 and {len(row) % 2 for row in parts(file, "answer")} == {0}
    file = pack(open_source(reference_data("sst2") / "dev.tsv.gz"), tokenizer, tmp_path / "c")
    assert file.facts["labels"] == ["0", "1"] and np.bincount(file.array("label")).tolist() == [428, 444]


def test_whether_some_question_has_no_answer_is_a_fact(tmp_path) -> None:
    row = {"context": "the cat sat", "question": "who?", "answers": [{"text": "cat", "answer_start": 4}]}
    assert examples_of(tmp_path / "a.jsonl", row, row).facts["no_answer"] is False
    assert examples_of(tmp_path / "b.jsonl", row, {**row, "answers": []}, row).facts["no_answer"] is True
