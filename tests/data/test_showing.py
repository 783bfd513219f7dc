"""Rows of batches as people read them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyhead.data import Causal, Contrast, Corrupted, Denoising, Masked, Prefix, Seq2Seq
from polyhead.data.objectives import Answer, Classify, Tag
from polyhead.data.showing import BEGIN, CLOSE, END, OPEN, drawing, show
from polyhead.errors import ConfigError
from polyhead.nn.tokens import Batch, Tokens
from polyhead.text import Tokenizer
from tests.data.corpora import specials
from tests.data.packed import by_bytes, packed


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return Tokenizer.train(["the cat sat down . a dog ran away ."], "words", sentinels=3)


@pytest.fixture
def file(corpus_of, words):
    ids = [[*words.encode(text), words.eos] for text in ("the cat sat down .", "a dog ran away .")]
    return corpus_of(ids, words.vocab_size, specials(words))


def first(data, words, epoch: int = 0, **options) -> list[str]:
    return show(data.make(np.array([0]), epoch, 0), 0, words, **options)


def test_causal(file, words) -> None:
    assert first(Causal(file, 11, documents=True), words) == [
        "inputs   the cat sat down . <eos> a dog ran away .",
        "targets  ⟦cat sat down . <eos>⟧ a ⟦dog ran away . <eos>⟧",
        "weight   10 of 11 tokens",
    ]


def test_prefix(file, words) -> None:
    lines = first(Prefix(file, 11), words)
    n = len(lines[0].split()) - 1
    text = "the cat sat down . <eos> a dog ran away . <eos>".split()
    assert lines[0] == "prefix   " + " ".join(text[:n]) and lines[1] == "inputs   " + " ".join(text[:11])
    rest = " ".join(text[n:])
    assert lines[2].endswith(f"{OPEN}{rest}{CLOSE}") and lines[3] == f"weight   {12 - n} of 11 tokens"


def test_masked_with_a_pair(file, words) -> None:
    lines = first(Masked(file, 16, words, pairing="order", rate=0.5, split=(1.0, 0.0, 0.0), short=0.0), words, 1)
    assert lines[0].startswith("inputs   <cls>") and lines[0].count("<sep>") == 2 and "<mask>" in lines[0]
    assert lines[0].count(OPEN) == lines[1].count(OPEN) >= 1 and "<mask>" not in lines[1]
    plain = [line.replace(OPEN, "").replace(CLOSE, "")[9:].split() for line in lines[:2]]
    assert all(a in (b, "<mask>") for a, b in zip(*plain, strict=True)) and plain[1][0] == "<cls>"
    assert lines[2].startswith("weight") and lines[3].startswith("pair     ⟦") and "second segment" in lines[3]


def test_source_to_target(file, pairs_of, words) -> None:
    text = "the cat sat down . a dog ran away .".split()
    source, inputs, targets, weight = first(Corrupted(file, 8, words, rate=0.3, mean_span=1.5), words)
    assert source.startswith("source   ") and source.endswith("<eos>") and "<extra_id_0>" in source
    assert inputs.startswith("inputs   <bos> <extra_id_0>") and targets.startswith("targets  ⟦<extra_id_0>") and targets.endswith("<eos>⟧")
    both = source[9:].split() + targets[9:].strip("⟦⟧").split()
    seen = sorted(w for w in both if w[0] != "<")
    assert any(seen == sorted(text[at : at + len(seen)]) for at in range(len(text) - len(seen) + 1))
    lines = first(Denoising(file, 6, words), words)
    assert lines[1:] == ["inputs   <bos> the cat sat down .", "targets  ⟦the cat sat down . <eos>⟧", "weight   6 of 6 tokens"]
    pairs = pairs_of([(words.encode("the cat"), words.encode("a")), (words.encode("a"), words.encode("dog ran"))], specials(words))
    assert show(Seq2Seq(pairs).make(np.arange(2), 0, 0), 0, words) == [
        "source   the cat <eos>", "inputs   <bos> a", "targets  ⟦a <eos>⟧", "weight   2 of 2 tokens",
    ]  # fmt: skip


def test_contrast(file, words) -> None:
    lines = show(Contrast(file, 9, words).make(np.arange(2), 0, 0), 1, words)
    assert lines == ["anchor   a dog ran away .", "positive ⟦a dog ran away .⟧"]


def of(words: Tokenizer, *texts: str) -> Tokens:
    ids = [words.encode(text, special=True) for text in texts]
    width = max(map(len, ids))
    pos = [[*range(len(i)), *[-1] * (width - len(i))] for i in ids]
    padded = [i + [words.pad] * (width - len(i)) for i in ids]
    return Tokens(torch.tensor(padded), pos=torch.tensor(pos), padded=True)


def test_one_answer_for_a_row(words) -> None:
    tokens = of(words, "<cls> the cat <sep>", "<cls> a <sep>")
    ones = torch.ones(2)
    assert show(Batch(tokens, torch.tensor([1, 0]), ones), 1, words, labels=["good", "bad"]) == [
        "inputs   <cls> a <sep>", "targets  ⟦good⟧",
    ]  # fmt: skip
    assert show(Batch(tokens, torch.tensor([1, 0]), ones), 0, words)[1] == "targets  ⟦1⟧"
    assert show(Batch(tokens, torch.tensor([0.5, 4.25]), ones), 1, words)[1] == "targets  ⟦4.25⟧"
    several = Batch(tokens, torch.tensor([[1.0, 0, 1], [0, 0, 0]]), ones)
    assert show(several, 0, words, labels=["x", "y", "z"])[1] == "targets  ⟦x, z⟧"
    assert show(several, 1, words)[1] == "targets  ⟦none of the labels⟧"
    assert show(several._replace(weights=torch.zeros(2)), 1, words)[2] == "weight   0: this sample counts for nothing"


def test_answers_in_a_text(words) -> None:
    tokens = of(words, "<cls> a dog ? <sep> the cat sat down <sep>", "<cls> a <sep> the <sep>")
    batch = Batch(tokens, torch.tensor([[6, 7], [0, 0]]), torch.ones(2))
    assert show(batch, 0, words) == ["inputs   <cls> a dog <unk> <sep> the ⟦cat sat⟧ down <sep>", "targets  ⟦cat sat⟧"]
    assert show(batch, 1, words) == ["inputs   <cls> a <sep> the <sep>", "targets  ⟦no answer⟧"]


def test_tags() -> None:
    tokenizer = Tokenizer.train(["the cat sat down abcdefgh"], "wordpiece", 45)
    text = tokenizer.encode("the cat", special=True)
    ids = [tokenizer.cls, *text, tokenizer.sep]
    starts = [not tokenizer.token(i).startswith("##") and i not in tokenizer.special for i in ids]
    tags, weights = torch.zeros(1, len(ids), dtype=torch.long), torch.tensor([starts]).float()
    tags[0, starts.index(True, 2)] = 1
    batch = Batch(Tokens(torch.tensor([ids])), tags, weights)
    assert show(batch, 0, tokenizer, labels=["O", "ANIMAL"])[1] == "targets  the⟦O⟧ cat⟦ANIMAL⟧"
    assert show(batch, 0, tokenizer, task="tag")[1] == "targets  the⟦0⟧ cat⟦1⟧"


def test_preferences_and_conversations(words) -> None:
    ids = [words.encode(text, special=True) for text in ("the cat sat <eos>", "the dog ran away <eos>")]
    padded = torch.tensor([i + [words.pad] * (6 - len(i)) for i in ids])
    weights = torch.tensor([[1.0, 1, 1, 0, 0], [1, 1, 1, 1, 0]])
    batch = Batch(Tokens(padded[:, :-1]), padded[:, 1:], weights)
    assert show(batch, 0, words, task="prefer") == [
        "inputs   the cat sat", "chosen   ⟦cat sat <eos>⟧", "weight   3 of 3 tokens",
        "inputs   the dog ran away", "rejected ⟦dog ran away <eos>⟧", "weight   4 of 4 tokens",
    ]  # fmt: skip


def test_rows_of_the_objectives_with_labels(tmp_path) -> None:
    tokenizer = by_bytes()

    def one(rows: list[dict], objective, name: str, **options) -> list[str]:
        (folder := tmp_path / name).mkdir()
        file = packed(folder, rows)
        return show(objective(file, tokenizer).make(np.array([0]), 0, 0), 0, tokenizer, labels=file.facts.get("labels"), **options)

    rows = [{"text": "ab cd", "label": "good"}, {"text": "ef", "label": "bad"}]
    assert one(rows, Classify, "classes") == ["inputs   <cls>ab cd<sep>", "targets  ⟦good⟧"]
    rows = [{"tokens": ["ab", "cdé"], "tags": ["O", "B-X"]}] * 2
    lines = one(rows, Tag, "tags")
    assert lines[0].startswith("inputs   <cls>ab") and lines[1] == "targets  ab⟦O⟧ cdé⟦B-X⟧"
    rows = [{"id": "1", "context": "ab cd ef", "question": "who?", "answers": {"text": ["cd"], "answer_start": [3]}}] * 2
    inputs, targets = one(rows, Answer, "answers")
    assert inputs == "inputs   <cls>who?<sep>ab ⟦cd⟧ ef<sep>" and targets == "targets  ⟦cd⟧"


def test_pictures(words) -> None:
    signal = torch.zeros(2, 3, 4, 6)
    signal[0, :, :2, 1:] = torch.arange(5) / 4
    batch = Batch(Tokens(signal=signal), torch.tensor([[0.7, 0.3], [0, 1.0]]), torch.ones(2))
    assert show(batch, 0, None, labels=["cat", "dog"]) == [
        "inputs   4 × 6 pixels, 3 channels, values from 0.00 to 1.00", "picture    :=#@", "", "targets  ⟦cat 0.70, dog 0.30⟧",
    ]  # fmt: skip
    assert show(batch._replace(targets=torch.tensor([1, 0])), 0, words)[-1] == "targets  ⟦1⟧"


def test_a_large_picture_is_drawn_small() -> None:
    drawn = drawing(torch.rand(3, 200, 400))
    assert len(drawn) == 8 and max(map(len, drawn)) <= 32
    assert drawing(torch.ones(1, 9, 1)) == [""] * 4 and drawing(torch.ones(1, 1, 9)) == [""]


def test_what_data_holds_cannot_look_like_a_mark_or_move_a_cursor() -> None:
    tokenizer = by_bytes()
    text = tokenizer.encode(f"a{BEGIN}b{END}\x1b[2J")
    batch = Batch(Tokens(torch.tensor([text])), torch.tensor([0]), torch.ones(1))
    lines = show(batch, 0, tokenizer, labels=["\x1b[31mred\n"])
    assert lines == ["inputs   a\\ufdd0b\\ufdd1\\x1b[2J", "targets  ⟦\\x1b[31mred\\n⟧"]


def test_characters_over_several_tokens_and_control_characters(corpus_of) -> None:
    tokenizer = Tokenizer.train(["x"], "bytes")
    ids = tokenizer.encode("é\n\x1b[2J日本")
    lines = show(Causal(corpus_of([ids], tokenizer.vocab_size), len(ids) - 1).make(np.array([0]), 0, 0), 0, tokenizer)
    assert lines[0].startswith("inputs   é\\n\\x1b[2J日") and "日本⟧" in lines[1] and all(line.isprintable() for line in lines)


def test_no_such_row(file, words) -> None:
    batch = Causal(file, 5).make(np.arange(2), 0, 0)
    for row in (-1, 2):
        with pytest.raises(ConfigError, match="no such row"):
            show(batch, row, words)
