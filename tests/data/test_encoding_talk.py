"""Conversations, preferences and pictures from a file on disk to a batch."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from polyhead.data import ExampleFile, Instruct, Pictures, Prefer, open_source, pack
from polyhead.errors import DataError
from polyhead.text import SmallCorpusWarning, Tokenizer
from polyhead.text.turns import end_of_turn
from tests.text.templates import GEMMA

NAMES = ["<pad>", "<bos>", "<eos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]


def fresh(template: str | None = None) -> Tokenizer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SmallCorpusWarning)
        made = Tokenizer.train(["what is it? a b c user assistant"] * 9, "bytes", special=NAMES)
    if template:
        made.templates["default"] = template
    return made


def talks(path: Path, n: int = 20, system: int = 0) -> Path:
    rows = []
    for i in range(n):
        said = [{"role": "user", "content": f"what is {i}? <eos>"}, {"role": "assistant", "content": f"it is {i}"}]
        rows.append({"messages": [{"role": "system", "content": "kind"}, *said] if i < system else said})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_conversations_become_ids_with_the_assistants_marked(tmp_path: Path) -> None:
    tokenizer = fresh()
    file = pack(open_source(talks(tmp_path / "x.jsonl")), tokenizer, tmp_path / "x.examples")
    assert isinstance(file, ExampleFile) and file.kind == "chat" and len(file) == 20 and file.special["eos"] == tokenizer.eos
    (ids, at), (trained, marks) = file.ragged("text"), file.ragged("trained")
    assert (at == marks).all()
    for i in range(20):
        row, flags = ids[at[i] : at[i + 1]].tolist(), trained[at[i] : at[i + 1]]
        assert tokenizer.decode([n for n, flag in zip(row, flags, strict=True) if flag], skip_special=False) == f"it is {i}<eos>"
        assert row.count(tokenizer.eos) == 2 and row == tokenizer.chat(  # its <eos> was typed, not written by the template
            [{"role": "user", "content": f"what is {i}? <eos>"}, {"role": "assistant", "content": f"it is {i}"}]
        )[: len(row)]
    assert end_of_turn(tokenizer) == tokenizer.eos and "default" in tokenizer.templates  # and is saved with it
    batch = Instruct(file, 64).make(np.arange(4), 0, 0)
    said = batch.targets[0][batch.weights[0] > 0].tolist()
    assert tokenizer.decode(said, skip_special=False) == "it is 0<eos>"


def test_what_is_packed_depends_on_the_template(tmp_path: Path) -> None:
    path = talks(tmp_path / "x.jsonl")
    first = pack(open_source(path), fresh(), tmp_path / "x.examples").fingerprint
    assert pack(open_source(path), fresh(), tmp_path / "x.examples").fingerprint == first
    assert pack(open_source(path), fresh(GEMMA), tmp_path / "x.examples").fingerprint != first


def test_what_the_template_refuses_is_counted_and_named(tmp_path: Path) -> None:
    path = talks(tmp_path / "x.jsonl", 20, system=2)
    with pytest.raises(DataError, match="2 of 20 rows are broken") as caught:
        pack(open_source(path), fresh(GEMMA), tmp_path / "x.examples")
    assert "conversation 1" in str(caught.value) and "System role" in str(caught.value)
    assert not (tmp_path / "x.examples").exists()
    file = pack(open_source(path, max_bad=0.5), fresh(GEMMA), tmp_path / "x.examples")
    assert len(file) == 18 and any("conversation 1" in note for note in file.notes)


def test_preferences_become_a_prompt_and_two_answers(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("".join(json.dumps({"prompt": f"what is {i}?", "chosen": "a b", "rejected": "c"}) + "\n" for i in range(6)))
    tokenizer = fresh(GEMMA)
    file = pack(open_source(tmp_path / "x.jsonl"), tokenizer, tmp_path / "x.examples")
    batch = Prefer(file, 128).make(np.arange(6), 0, 0)
    said = [tokenizer.decode(row[weight > 0].tolist(), skip_special=False) for row, weight in zip(batch.targets, batch.weights, strict=True)]
    assert said == ["a b<end_of_turn>"] * 6 + ["c<end_of_turn>"] * 6
    ids, at = file.ragged("prompt")
    assert ids[: at[1]].tolist() == tokenizer.chat([{"role": "user", "content": "what is 0?"}], add_generation_prompt=True)


def test_labels_are_no_business_of_conversations(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no label"):
        pack(open_source(talks(tmp_path / "x.jsonl")), fresh(), tmp_path / "x.examples", labels=["a"])
    with pytest.raises(DataError, match="holds chat"):
        pack(open_source(talks(tmp_path / "x.jsonl")), None, tmp_path / "x.examples")


def digits(path: Path, labels: list[int]) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 4, 5), dtype=np.uint8)
    np.savez(path, images=images, labels=np.array(labels))
    return path


def test_pictures_are_packed_with_their_classes_in_order(tmp_path: Path) -> None:
    labels = [10, 9, 2, 10, 2, 0]
    source = open_source(digits(tmp_path / "d.npz", labels))
    file = pack(source, None, tmp_path / "d.examples")
    assert file.kind == "images" and file.facts == {"labels": ["0", "2", "9", "10"], "problem": "single"}
    assert file.array("label").tolist() == [3, 2, 1, 3, 1, 0] and file.array("image").shape == (6, 4, 5, 1)
    assert (file.array("image")[..., 0] == np.stack([one.image for one in source.examples()])).all()
    assert Pictures(file).make(np.arange(6), 0, 0).targets.tolist() == [3, 2, 1, 3, 1, 0]
    held = pack(open_source(digits(tmp_path / "e.npz", [2, 2])), None, tmp_path / "e.examples", labels=file.facts["labels"])
    assert held.array("label").tolist() == [1, 1] and held.facts["labels"] == file.facts["labels"]


def test_an_unknown_class_of_a_held_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'7', which the training part does not have"):
        pack(open_source(digits(tmp_path / "e.npz", [2, 7])), None, tmp_path / "e.examples", labels=["1", "2"])
    with pytest.raises(DataError, match="one class alone"):
        pack(open_source(digits(tmp_path / "e.npz", [2, 2])), None, tmp_path / "e.examples")


SLOW = pytest.mark.slow


@pytest.mark.skipif("PH_DATA" not in os.environ, reason="PH_DATA names the folder with the public sets")
@pytest.mark.parametrize(("name", "count"), [
    ("raschka_val.json", 55),
    pytest.param("glaive_toolcall_en_demo.json.gz", 300, marks=SLOW),
    pytest.param("dpo_en_demo.json.gz", 300, marks=SLOW),
])  # fmt: skip
def test_the_public_sets_are_encoded(tmp_path: Path, name: str, count: int) -> None:
    file = pack(open_source(Path(os.environ["PH_DATA"], "instruct", name)), fresh(), tmp_path / "x.examples")
    data = (Prefer if file.kind == "preferences" else Instruct)(file, 4096)
    assert len(file) == count and len(data) > 0.9 * count and data.make(np.arange(8), 0, 0).weights.sum() > 100
