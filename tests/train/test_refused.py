"""What a run cannot do is said before it begins, and what is said to be changed works at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import polyhead as ph
from polyhead.commands.training import closing_words
from polyhead.errors import ConfigError, DataError
from tests.tiny import prose

from .tiny import LOOP

TINY = {key: value for key, value in LOOP.items() if not key.startswith(("training.context", "tokenizer"))} | {"training.steps": 2}
SMALL = {f"model.{stack}.{name}": value for stack in ("encoder", "decoder") for name, value in (("layers", 1), ("width", 32))}


def go(model: str, data: str, out: Path, tell: Any = None, **more: Any) -> ph.Model:
    stacks = {"gpt-nano": ("decoder",), "bert-nano": ("encoder",), "transformer-nano": ("encoder", "decoder")}.get(model, ())
    small = {key: value for key, value in SMALL.items() if key.split(".")[1] in stacks}
    return ph.train(model, data, out, TINY | small | {key.replace("__", "."): value for key, value in more.items()}, tell=tell or (lambda *_: None))


@pytest.fixture
def small(tmp_path: Path) -> str:
    (tmp_path / "small.txt").write_text(prose(30), encoding="utf-8")
    return str(tmp_path / "small.txt")


@pytest.mark.parametrize("model", ["gpt-nano", "bert-nano", "transformer-nano"])
def test_a_held_out_part_that_is_too_short_is_named_and_the_context_told_fits(model: str, small: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the held-out part \(data.holdout=0.05\) is too short") as caught:
        go(model, small, tmp_path / "a")
    assert "tokens held out" in str(caught.value.received) and "data.validation" in str(caught.value.change)
    context = int(re.findall(r"training.context=(\d+)", str(caught.value.change))[0])
    go(model, small, tmp_path / "a", training__context=context)
    with pytest.raises(DataError, match="held-out part"):
        go(model, small, tmp_path / "b", training__context=context + 1)


def test_the_context_told_fits_both_parts(small: str, tmp_path: Path) -> None:
    """Where the training part is too short as well, one number does for both at once."""
    with pytest.raises(DataError, match="shorter than one context") as caught:
        go("gpt-nano", small, tmp_path / "a", training__context=5000)
    context = int(re.findall(r"training.context=(\d+)", str(caught.value.change))[0])
    go("gpt-nano", small, tmp_path / "a", training__context=context)


def test_a_named_held_out_part_is_told_by_its_name(small: str, tmp_path: Path) -> None:
    (tmp_path / "held.txt").write_text("A few words.")
    with pytest.raises(DataError, match=r"data.validation=.*held.txt\) is too short") as caught:
        go("gpt-nano", small, tmp_path / "a", data__validation=str(tmp_path / "held.txt"), training__context=64)
    assert "holdout" not in str(caught.value.change)


def test_parts_are_told_by_what_they_are_not_by_files_of_the_run(small: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="strangers: the training part") as caught:
        go("bert-nano", small, tmp_path / "a", training__objective={"kind": "masked", "pairing": "next"}, training__context=32)
    assert "data.split=line" in str(caught.value.change)


@pytest.fixture
def plain(tmp_path: Path) -> str:
    """A tokenizer of words without any special token but <unk>, which makes nothing of a line break."""
    words = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    words.train_from_iterator(prose(30).splitlines(), trainers.WordLevelTrainer(special_tokens=["[UNK]"]))
    words.save(str(tmp_path / "plain.json"))
    return str(tmp_path / "plain.json")


def test_without_a_token_to_begin_with_samples_go_on_from_the_held_out_part(plain: str, small: str, tmp_path: Path) -> None:
    said: list[dict[str, Any]] = []
    model = go("gpt-nano", small, tmp_path / "a", lambda name, fields: said.append(fields) if name == "sample" else None,
               tokenizer__path=plain, training__context=8, training__sample_every=1)  # fmt: skip
    assert said and said[0]["prompt"].strip() and said[0]["prompt"].split()[0] in prose(30)
    assert closing_words(model, tmp_path / "a")[0]["prompt"] == said[0]["prompt"]


def test_a_prompt_that_nothing_can_be_made_of_is_refused_before_the_first_step(plain: str, small: str, tmp_path: Path) -> None:
    steps: list[str] = []
    with pytest.raises(ConfigError, match="no token to start from") as caught:
        go("gpt-nano", small, tmp_path / "a", lambda name, _: steps.append(name), tokenizer__path=plain, training__context=8, training__sample_prompt="\n")
    assert "step" not in steps and "training.sample_prompt" in str(caught.value.change) and not (tmp_path / "a").exists()


def test_sources_longer_than_the_context_are_asked_as_far_as_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("source\ttarget\n" + "".join(f"{line} and more and more\t{line}\n" for line in prose(40).splitlines()))
    said: list[dict[str, Any]] = []
    model = go("transformer-nano", str(tmp_path / "a.tsv"), tmp_path / "a", lambda name, fields: said.append(fields) if name == "sample" else None,
               tokenizer__vocab_size=300, training__context=6, training__sample_every=1)  # fmt: skip
    assert said and closing_words(model, tmp_path / "a")
    with pytest.raises(ConfigError, match="sample_prompt fills"):
        go("transformer-nano", str(tmp_path / "a.tsv"), tmp_path / "b", tokenizer__vocab_size=300, training__context=6, training__sample_prompt="one two three " * 9)


def test_one_class_or_one_tag_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("text\tlabel\n" + "".join(f"{line}\tsame\n" for line in prose(30).splitlines()))
    with pytest.raises(DataError, match="one class alone"):
        go("bert-nano", str(tmp_path / "a.tsv"), tmp_path / "a", training__context=16)
    (tmp_path / "b.conll").write_text("one O\ntwo O\n\nthree O\n\n" * 9)
    with pytest.raises(DataError, match="one tag alone"):
        go("bert-nano", str(tmp_path / "b.conll"), tmp_path / "b", training__context=16)
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()
