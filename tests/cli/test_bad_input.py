"""What bad input gets at the command line: exit code 2, what was expected and received, what to change; nothing left behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny import SMALL, TRAINING

TINY = [*TRAINING, *SMALL]


def empty(path: Path) -> None:
    path.write_bytes(b"")


def binary(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 20)


def undecodable(path: Path) -> None:
    path.write_bytes("Zürich liegt am See. ".encode("latin-1") * 50)


def broken_rows(path: Path) -> None:
    rows = [json.dumps({"text": f"line {i}"}) if i % 3 else "{broken" for i in range(90)]
    path.write_text("\n".join(rows))


def too_short(path: Path) -> None:
    path.write_text("A short text.\n")


@pytest.mark.parametrize(
    ("name", "make", "needle"),
    [
        ("x.txt", empty, "empty"),
        ("x.txt", binary, "not text"),
        ("x.txt", undecodable, "UTF-8"),
        ("x.jsonl", broken_rows, "line 1"),
        ("x.txt", too_short, "shorter than one"),
        ("x.txt", lambda path: None, "does not exist"),
    ],
    ids=["empty", "binary", "undecodable", "broken-rows", "too-short", "missing"],
)
def test_data_that_cannot_be_trained_on(polyhead, folder: Path, name: str, make: Callable[[Path], None], needle: str) -> None:
    make(folder / name)
    result = polyhead("train", "gpt-nano", name, "-o", "a", *TINY)
    assert result.code == 2 and needle in result.err, result.err
    assert "Traceback" not in result.err and "change:" in result.err and not (folder / "a").exists()


@pytest.mark.parametrize(
    ("setting", "needles"),
    [
        ("training.step=3", ("unknown key training.step", "training.steps")),
        ("trainin.steps=3", ("unknown key trainin", "training")),
        ("model.decoder.widht=32", ("widht", "width")),
        ("model.decoder.width=30", ("heads must divide the width", "30")),
        ("training.steps=many", ("training.steps", "many")),
        ("training.batch=0", ("training.batch", "0")),
        ("training.accumulate=3", ("accumulate must divide batch",)),
        ("training.objective=masked", ("masked",)),
        ("training.device=tpu", ("tpu",)),
    ],
)
def test_settings_that_cannot_be(polyhead, folder: Path, setting: str, needles: tuple[str, ...]) -> None:
    result = polyhead("train", "gpt-nano", "book.txt", "-o", "a", *TINY, setting)
    assert result.code == 2 and "Traceback" not in result.err and not (folder / "a").exists()
    for needle in needles:
        assert needle in result.err, result.err


def test_a_window_on_cross_attention_is_refused(polyhead, folder: Path) -> None:
    setting = "model.decoder.blocks.layer.cross.pattern={kind: window, back: 3}"
    result = polyhead("train", "transformer-nano", "train.de,train.en", "-o", "a", setting)
    assert result.code == 2 and "cross-attention sees the whole source" in result.err


def test_a_tokenizer_larger_than_the_embedding_is_refused_at_training(polyhead, folder: Path) -> None:
    from polyhead.text import Tokenizer

    Tokenizer.train(["one two three four"] * 9, "byte_bpe", vocab_size=275).save(folder / "big.json")
    spec = {"preset": "gpt-nano", "vocab": 200}
    (folder / "small.json").write_text(json.dumps(spec))
    words = ["train", "small.json", "book.txt", "-o", "a", *TINY, "tokenizer.path=big.json"]
    result = polyhead(*words)
    assert result.code == 2 and "at most 200" in result.err and "model.vocab=275" in result.err, result.err
    assert not (folder / "a").exists()
    assert polyhead(*words, "model.vocab=275").code == 0


def test_a_spec_file_from_a_newer_version_is_refused(polyhead, folder: Path) -> None:
    (folder / "new.json").write_text(json.dumps({"preset": "gpt-nano", "version": 99}))
    for words in (["show", "new.json"], ["train", "new.json", "book.txt", "-o", "a"]):
        result = polyhead(*words)
        assert result.code == 2 and "newer" in result.err and "99" in result.err


def test_two_kinds_of_data_are_told_apart(polyhead, folder: Path) -> None:
    result = polyhead("train", "transformer-nano", "book.txt", "-o", "a", "training.objective=seq2seq")
    assert result.code == 2 and "IN: … OUT: …" in result.err  # the one kind of plain text that is pairs
    (folder / "rows.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    result = polyhead("train", "transformer-nano", "rows.jsonl", "-o", "a", "training.objective=seq2seq")
    assert result.code == 2 and "pairs" in result.err, result.err


def test_a_text_given_to_a_model_of_pairs_is_called_a_text(polyhead, seq2seq: Path, folder: Path) -> None:
    result = polyhead("eval", seq2seq, "--on", "book.txt")
    assert result.code == 2 and "book.txt is one text, not pairs" in result.err and "parallel files" in result.err and "broken" not in result.err


@pytest.mark.parametrize("verb", [["run"], ["chat"], ["eval", "--on", "book.txt"], ["show"]])
@pytest.mark.parametrize("place", ["nowhere", "foreign", "file.txt"])
def test_a_folder_that_is_no_model(polyhead, folder: Path, verb: list[str], place: str) -> None:
    (folder / "foreign").mkdir()
    (folder / "foreign/config.json").write_text('{"model_type": "gpt2"}')
    (folder / "file.txt").write_text("text")
    result = polyhead(verb[0], place, *verb[1:])
    assert result.code == 2 and place in result.err and "Traceback" not in result.err


@pytest.mark.parametrize("place", ["runs/sentimant", "./runs/sentimant", "run/sentiment"])
@pytest.mark.parametrize("words", [["train", "{}", "book.txt", "-o", "a"], ["run", "{}", "text"], ["eval", "{}", "--on", "book.txt"], ["show", "{}"]], ids=lambda words: words[0])
def test_a_mistyped_run_is_named(polyhead, folder: Path, words: list[str], place: str) -> None:
    (folder / "runs" / "sentiment").mkdir(parents=True)
    result = polyhead(*(word.format(place) for word in words))
    assert result.code == 2 and "did you mean runs/sentiment?" in result.err and "HF_HUB" not in result.err, result.err
    assert not (folder / "a").exists()


@pytest.mark.filterwarnings("default")
def test_a_damaged_checkpoint_falls_back_and_says_so(polyhead, causal: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(causal, tmp_path / "run"))
    newest = max((run / "checkpoints").glob("step-*"))
    tensors = max(newest.glob("*.safetensors"), key=lambda path: path.stat().st_size)
    tensors.write_bytes(tensors.read_bytes()[:-64])
    result = polyhead("run", run, "The cat", "--max-tokens", "4", "--seed", "1")
    assert result.code == 0 and "step 2" in result.err and "Traceback" not in result.err


def test_no_whole_checkpoint_at_all_is_an_error(polyhead, causal: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(causal, tmp_path / "run"))
    for path in (run / "checkpoints").rglob("*.safetensors"):
        path.write_bytes(b"{}")
    result = polyhead("run", run, "The cat")
    assert result.code == 2 and "Traceback" not in result.err
