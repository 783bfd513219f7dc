"""Classification: rows by hand, truncation as transformers does it, targets by problem, no label in the inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyhead.data import Classify, Loader
from polyhead.data.objectives.classify import shortened
from polyhead.errors import ConfigError, DataError
from polyhead.text import Tokenizer
from tests.data.packed import by_bytes, packed, shown, whole_epoch


def made(objective, *indices):
    return objective.make(np.array(indices), 0, 0)


def test_one_text_by_hand(tmp_path) -> None:
    t = by_bytes()
    file = packed(tmp_path, [{"text": "ab", "label": 7}, {"text": "c", "label": 10}])
    batch = made(Classify(file, t, multiple=1), 1, 0)
    cls, sep, pad = t.cls, t.sep, t.pad
    a, b, c = (t.encode(letter)[0] for letter in "abc")
    assert batch.inputs.ids.tolist() == [[cls, c, sep, pad], [cls, a, b, sep]]
    assert (
        batch.inputs.pos.tolist() == [[0, 1, 2, -1], [0, 1, 2, 3]]
        and batch.inputs.padded
        and batch.inputs.types is None
    )
    assert batch.targets.tolist() == [1, 0] and batch.targets.dtype == torch.int64
    assert batch.weights.tolist() == [1, 1] and batch.weights.dtype == torch.float32
    alone = made(Classify(file, t, multiple=1), 0)
    assert alone.inputs.pos is None and not alone.inputs.padded  # no padding: no positions, no mask


def test_pairs_have_types(tmp_path) -> None:
    t = by_bytes()
    file = packed(
        tmp_path,
        [{"premise": "ab", "hypothesis": "c", "label": "x"}, {"premise": "a", "hypothesis": "bcd", "label": "y"}],
    )
    batch = made(Classify(file, t, multiple=8), 0, 1)
    assert [shown(t, batch, i) for i in (0, 1)] == ["^ab|c|", "^a|bcd|"]
    assert batch.inputs.types.tolist() == [[0, 0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1, 1, 0]]
    bare = made(Classify(file, t, types=False, marks=True), 0, 1)
    assert bare.inputs.types is None and bare.inputs.mark.tolist() == [[True] + [False] * 6] * 2  # the first token alone, of pairs too


def test_targets_of_every_problem(tmp_path) -> None:
    several = packed(tmp_path, [{"text": "a", "labels": ["x", "z"]}, {"text": "b", "labels": ["y"]}])
    batch = made(Classify(several, by_bytes()), 0, 1)
    assert batch.targets.tolist() == [[1, 0, 1], [0, 1, 0]] and batch.targets.dtype == torch.float32
    numbers = packed(tmp_path, [{"sentence1": "a", "sentence2": "b", "score": s} for s in (3.8, 5, 0.25)])
    batch = made(Classify(numbers, by_bytes()), 2, 0)
    assert batch.targets.tolist() == [0.25, np.float32(3.8)] and batch.weights.shape == (2,)


def test_longest_first_as_transformers_does(tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    t = by_bytes()
    t.save(tmp_path / "t")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "t" / "tokenizer.json"))
    rng = np.random.default_rng(0)
    pairs = [("a" * int(i), "b" * int(j)) for i, j in rng.integers(1, 30, (60, 2))]
    file = packed(tmp_path, [{"premise": a, "hypothesis": b, "label": "x"} for a, b in pairs])
    for context in (5, 12, 13, 40):
        objective = Classify(file, t, context)
        batch = made(objective, *range(len(pairs)))
        asked = theirs([a for a, _ in pairs], [b for _, b in pairs], truncation="longest_first", max_length=context)
        for i, ids in enumerate(asked["input_ids"]):
            mine = batch.inputs.ids[i, : len(ids)].tolist()
            assert (
                abs(mine.count(t.encode("a")[0]) - ids.count(t.encode("a")[0])) <= 1
            )  # who gives the odd token is free
            assert len(ids) == int(
                (batch.inputs.pos[i] >= 0).sum() if batch.inputs.padded else batch.inputs.ids.shape[1]
            )
        assert batch.inputs.ids.shape[1] <= context
        long = sum(len(a) + len(b) + 3 > context for a, b in pairs)
        assert objective.over_long == long and (f"{long} of 60 texts are longer" in "".join(objective.notes)) == (
            long > 0
        )


def test_the_same_lengths_as_the_task_uses() -> None:
    from polyhead.tasks.reading import _shortened

    one, two = (array.ravel() for array in np.mgrid[0:14, 0:14])
    for room in (2, 3, 8, 9, 40):
        mine = shortened(one, two, room)
        assert list(zip(*(side.tolist() for side in mine), strict=True)) == [
            _shortened(a, b, room) for a, b in zip(one.tolist(), two.tolist(), strict=True)
        ]


def test_a_long_text_is_cut_at_its_end(tmp_path) -> None:
    objective = Classify(
        packed(tmp_path, [{"text": "abcdefgh", "label": "x"}, {"text": "ab", "label": "y"}]), by_bytes(), 6
    )
    assert shown(by_bytes(), made(objective, 0, 1), 0) == "^abcd|"
    assert objective.notes == ["1 of 2 texts are longer than 6 tokens: cut at the end"]


def test_an_epoch_is_everything_once_in_batches_of_one_length(tmp_path) -> None:
    file = packed(tmp_path, [{"text": "x" * (1 + i * 7 % 40), "label": i % 3} for i in range(96)])
    objective = Classify(file, by_bytes(), multiple=1)
    assert whole_epoch(objective, 8) == list(range(96))
    assert objective.padded_share(8) < 0.1 < 0.3 < Classify(file, by_bytes(), multiple=1, pool=1).padded_share(8)
    seen = [int(i) for batch in objective.evaluation(7) for i in batch.targets]
    assert seen == file.array("label").tolist()
    assert sum(len(batch.targets) for rank in (0, 1, 2) for batch in objective.evaluation(7, rank=rank, world=3)) == 96
    loader = Loader(objective, batch=8, seed=1)
    whole, parts = loader.batch_at(5), [loader.batch_at(5, micro, 2) for micro in (0, 1)]
    assert torch.equal(whole.targets, torch.cat([part.targets for part in parts]))
    assert torch.equal(whole.inputs.ids, loader.batch_at(5).inputs.ids)


def test_labels_do_not_leak(tmp_path) -> None:
    """Two files that differ in their labels alone give the same inputs."""
    texts = ["abc", "de", "f"]
    inputs = []
    for labels in ("xyz", "zxy"):
        file = packed(tmp_path, [{"text": t, "label": label} for t, label in zip(texts, labels, strict=True)])
        batch = made(Classify(file, by_bytes()), 0, 1, 2)
        inputs.append((batch.inputs.ids, batch.targets))
    assert torch.equal(inputs[0][0], inputs[1][0]) and not torch.equal(inputs[0][1], inputs[1][1])


def test_refused(tmp_path) -> None:
    file = packed(tmp_path, [{"text": "ab", "label": "x"}])
    with pytest.raises(ConfigError, match="leaves no room"):
        Classify(file, by_bytes(), 2)
    with pytest.raises(DataError, match="packed with another tokenizer"):
        Classify(file, Tokenizer.train(["abc"], "chars"), 9)
    with pytest.raises(DataError, match="shorter than one batch: 1 labelled texts"):
        Loader(Classify(file, by_bytes()), batch=2, seed=0)
    mixed = packed(tmp_path, [{"text": "ab", "label": "x"}])
    tagged = packed(tmp_path, [{"tokens": ["a"], "tags": ["X"]}])
    assert mixed.kind == "labelled"
    with pytest.raises(DataError, match="holds tagged"):
        Classify(tagged, by_bytes())
