"""The file of packed examples: any safetensors reader opens it, damage is told, memory stays bounded, the disk may be full."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from polyhead.data import ExampleFile
from polyhead.data.examplefile import ExampleWriter
from polyhead.errors import DataError, DiskError, TokenizerError

TOLD = dict(kind="labelled", facts={"labels": ["a"]}, special={"pad": 0}, fingerprint="f", notes=["n"])


def make(path: Path, examples: int = 3) -> ExampleFile:
    with ExampleWriter(path, 300) as writer:
        writer.ragged("text", ([i] * i for i in range(examples)))
        writer.add("label", np.arange(examples))
        writer.add("image", np.full((examples, 2, 3), 7, np.uint8))
        writer.ragged("tag", ([1, 2] for _ in range(examples)), np.uint8)
        writer.bytes += 12
        writer.finish(examples, **TOLD)
    return ExampleFile(path)


def test_what_was_written_is_read(tmp_path) -> None:
    file = make(tmp_path / "new" / "a.examples")
    assert (len(file), file.kind, file.facts, file.special, file.vocab_size) == (
        3,
        "labelled",
        {"labels": ["a"]},
        {"pad": 0},
        300,
    )
    assert (file.bytes, file.fingerprint, file.notes) == (12, "f", ["n"])
    values, offsets = file.ragged("text")
    assert values.dtype == np.uint16 and values.tolist() == [1, 2, 2] and offsets.tolist() == [0, 0, 1, 3]
    assert file.array("label").tolist() == [0, 1, 2] and file.array("image").shape == (3, 2, 3)
    assert "tag" in file and "word" not in file and not values.flags.writeable
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.examples"]


def test_any_reader_of_safetensors_opens_it(tmp_path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    file = make(tmp_path / "a.examples")
    theirs = numpy.load_file(tmp_path / "a.examples")
    assert set(theirs) == {"text", "text.offsets", "label", "image", "tag", "tag.offsets"}
    assert all(np.array_equal(theirs[name], file.array(name)) for name in theirs)
    assert all(file.array(name).flags.aligned for name in theirs)


def test_groups_follow_one_another_and_flush(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("polyhead.data.examplefile._HELD", 64)
    with ExampleWriter(tmp_path / "a", 100_000) as writer:
        for i in range(50):
            writer.ragged("text", [[i] * 3, []])
            writer.add("label", [0.5, 1.5], np.float32)
        writer.finish(100, **TOLD)
    file = ExampleFile(tmp_path / "a")
    assert file.array("text").dtype == np.uint32 and file.array("text").tolist() == [
        i for i in range(50) for _ in range(3)
    ]
    assert np.diff(file.ragged("text")[1]).tolist() == [3, 0] * 50 and file.array("label").sum() == 100


@pytest.mark.parametrize("cut", [0, 4, 8, 40, -1, -8])
def test_a_cut_file(tmp_path, cut) -> None:
    make(tmp_path / "a")
    whole = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(whole[:cut])
    with pytest.raises(DataError, match="is not a whole file of packed examples"):
        ExampleFile(tmp_path / "a")


def test_a_file_without_its_end_says_so(tmp_path) -> None:
    make(tmp_path / "a")
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:-1])
    with pytest.raises(DataError, match="its end is missing"):
        ExampleFile(tmp_path / "a")


def rewritten(path: Path, change) -> None:
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + whole[8 + length :])


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.update(label={**h["label"], "shape": [2**60]}),
        lambda h: h.update(label={**h["label"], "shape": [-3]}),
        lambda h: h.update(label={**h["label"], "dtype": "O"}),
        lambda h: h.update(label={**h["label"], "data_offsets": [0, 10**15]}),
        lambda h: h.update(label={**h["label"], "data_offsets": "x"}),
        lambda h: h.update(label=7),
        lambda h: h.pop("__metadata__"),
        lambda h: h.update(__metadata__={}),
        lambda h: h.update(__metadata__={"polyhead.examples": "[]"}),
        lambda h: h.pop("text.offsets"),
        lambda h: h.update({"text.offsets": h["label"]}),
        lambda h: h.update(__metadata__={"polyhead.examples": h["__metadata__"]["polyhead.examples"].replace('"examples": 4', '"examples": 5')}),
        lambda h: h.update(__metadata__={"polyhead.examples": h["__metadata__"]["polyhead.examples"].replace('"format": 1', '"format": 2')}),
    ],
)  # fmt: skip
def test_a_header_that_lies(tmp_path, change) -> None:
    make(tmp_path / "a", 4)
    rewritten(tmp_path / "a", change)
    with pytest.raises(DataError, match="packed examples"):
        ExampleFile(tmp_path / "a")


def test_boundaries_that_go_back(tmp_path) -> None:
    make(tmp_path / "a")
    whole = bytearray((tmp_path / "a").read_bytes())
    place = whole.index(np.array([0, 0, 1, 3]).tobytes())
    whole[place : place + 32] = np.array([0, 3, 1, 3]).tobytes()
    (tmp_path / "a").write_bytes(whole)
    with pytest.raises(DataError, match="no boundaries"):
        ExampleFile(tmp_path / "a")


def test_h86_a_file_that_shrinks_while_mapped(tmp_path) -> None:
    file = make(tmp_path / "a")
    file.check()
    with open(tmp_path / "a", "r+b") as handle:
        handle.truncate(100)
    with pytest.raises(DataError, match="cut short while in use"):
        file.check()


def test_nothing_is_left_where_the_disk_is_full_or_an_id_is_impossible(tmp_path) -> None:
    with pytest.raises(TokenizerError, match="outside its vocabulary"), ExampleWriter(tmp_path / "a", 300) as writer:
        writer.ragged("text", [[300]])
    assert not list(tmp_path.iterdir())
    if Path("/dev/full").exists():
        with pytest.raises(DiskError, match="full"), ExampleWriter(tmp_path / "b", 300) as writer:
            writer.add("label", np.arange(3))
            writer._columns["label"].handle.close()
            writer._columns["label"].handle = open("/dev/full", "wb+", buffering=0)  # noqa: SIM115
            writer.finish(3, **TOLD)
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match="cannot open"):
        ExampleFile(tmp_path / "none")
