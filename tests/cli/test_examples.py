"""polyhead train --show: the first examples of every kind of data, marked, and nothing left behind."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from polyhead.data import Loader

WORDS = ["tokenizer.vocab_size=300", "training.context=48", "training.batch=4", "training.threads=1"]


def rows(name: str, make: Callable[[int], dict]) -> str:
    Path(name).write_text("".join(json.dumps(make(i)) + "\n" for i in range(40)), encoding="utf-8")
    return name


def chat(i: int) -> dict:
    return {"messages": [{"role": "user", "content": f"ask {i}"}, {"role": "assistant", "content": f"say {i}"}]}


def question(i: int) -> dict:
    return {"id": str(i), "context": f"The cat {i} sat.", "question": "Who sat?", "answers": {"text": [f"cat {i}"], "answer_start": [4]}}


def tags(_: object = None) -> str:
    Path("tags.conll").write_text("".join(f"Anna B-PER\nsees O\n{i} O\n\n" for i in range(40)), encoding="utf-8")
    return "tags.conll"


def pictures() -> str:
    grey = np.zeros((40, 12, 12), np.uint8)
    grey[:, 2:10, 6:] = 255
    np.savez("pictures.npz", x_train=grey, y_train=np.arange(40) % 3)
    return "pictures.npz"


KINDS = {  # preset, data, settings → kind, objective, what an example of it says
    "text": ("gpt-nano", lambda: "book.txt", [], "text", "causal", ["inputs ", "targets   ⟦", "weight    48 of 48"]),
    "hidden": ("bert-nano", lambda: "book.txt", [], "text", "masked", ["⟦<mask>⟧", "targets "]),
    "two": ("bert-nano", lambda: "book.txt", ["data.split=line", "training.objective.pairing=order"], "text", "masked", ["pair      ⟦"]),
    "given": ("gpt-nano", lambda: "book.txt", ["training.objective=prefix"], "text", "prefix", ["prefix "]),
    "replaced": ("bert-nano", lambda: "book.txt", ["training.objective=replaced"], "text", "replaced", ["⟦<mask>⟧"]),
    "spans": ("transformer-nano", lambda: "book.txt", ["tokenizer.vocab_size=500"], "text", "corrupted", ["source ", "<extra_id_0>", "targets   ⟦<extra_id_0>"]),
    "damaged": ("transformer-nano", lambda: "book.txt", ["training.objective=denoising", "tokenizer.vocab_size=400"], "text", "denoising", ["source ", "<mask>"]),
    "pairs": ("transformer-nano", lambda: "train.de,train.en", [], "pairs", "seq2seq", ["source    das ist", "targets   ⟦this is", "<eos>⟧"]),
    "prompts": ("gpt-nano", lambda: "train.de,train.en", [], "pairs", "instruct", ["⟦this is line", "<eos>⟧"]),
    "near": ("bert-nano", lambda: "train.de,train.en", [], "pairs", "contrast", ["anchor    <cls>das", "positive  ⟦<cls>this"]),
    "alike": ("bert-nano", lambda: rows("alike.jsonl", lambda i: {"sentence1": f"a {i}", "sentence2": f"b {i}", "score": i % 10 / 2 + 0.25}),
              ["training.objective=similar"], "labelled", "similar", ["first     <cls>a", "second    <cls>b", "score     ⟦0."]),
    "labels of texts": ("transformer-nano", lambda: "labels.tsv", ["tokenizer.vocab_size=500"], "pairs", "seq2seq", ["source ", "<bos>"]),
    "labelled": ("bert-nano", lambda: "labels.tsv", [], "labelled", "classify", ["labels     calm, glad, sad", "inputs    <cls>", "targets   ⟦"]),
    "tagged": ("bert-nano", tags, [], "tagged", "tag", ["targets   Anna⟦B-PER⟧ sees⟦O⟧"]),
    "questions": ("bert-nano", lambda: rows("squad.jsonl", question), [], "questions", "answer", ["<cls>Who sat?<sep>The ⟦cat"]),
    "chat": ("gpt-nano", lambda: rows("chat.jsonl", chat), [], "chat", "instruct", ["ask ", "⟦say "]),
    "preferences": ("gpt-nano", lambda: rows("two.jsonl", lambda i: {"prompt": f"say {i}", "chosen": f"yes {i}", "rejected": f"no {i}"}), [],
                    "preferences", "prefer", ["chosen ", "⟦yes ", "rejected ", "⟦no "]),
    "images": ("vit-nano", pictures, [], "images", "image", ["12 × 12 pixels, 1 channel", "picture ", "@@@@@@", "targets   ⟦"]),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_data(name: str, polyhead, folder: Path) -> None:
    preset, make, more, kind, objective, parts = KINDS[name]
    data, settings = make(), [word for word in WORDS if kind != "images" or "context" not in word]
    before = sorted(folder.rglob("*"))
    result = polyhead("train", preset, data, "--show", 2, *settings, *more)
    assert result.code == 0, result.err
    assert sorted(folder.rglob("*")) == before
    head, first, second = result.out.split("\nexample ")
    assert f"objective  {objective}, because " in head and f"data       {kind} from {data}: " in head and "context    " in head and "note       " in head
    assert ("named in the settings" in head) == any("objective" in word for word in more)
    assert first[0] == "1" and second[0] == "2" and first[1:] != second[1:] or kind == "images"
    for part in parts:
        assert part in result.out, part


def test_objects_for_programs(polyhead, folder: Path) -> None:
    found = json.loads(polyhead("train", "bert-nano", "book.txt", "--show", 3, *WORDS, "training.objective.rate=0.3", "--json").out)
    assert found["objective"] == {"kind": "masked", "rate": 0.3, "unit": "token", "pairing": None, "short": 0.1}
    assert found["kind"] == "text" and found["context"] == 48 and len(found["examples"]) == 3
    for one in found["examples"]:
        said = one["trained"]["targets"]
        assert said and all(f"⟦{text}⟧" in one["targets"] for text in said) and "<mask>" not in "".join(said)
    pair = json.loads(polyhead("train", "gpt-nano", rows("two.jsonl", lambda i: {"prompt": "p", "chosen": f"y{i}", "rejected": "n"}), "--show", 1, *WORDS, "--json").out)
    one = pair["examples"][0]
    assert len(one["inputs"]) == 2 and one["trained"]["rejected"] == ["n<eos>"] and one["chosen"].endswith("<eos>⟧")
    picture = json.loads(polyhead("train", "vit-nano", pictures(), "--show", 1, "--json").out)["examples"][0]
    assert len(picture["picture"].split("\n")) == 6 and picture["trained"] == {"targets": [picture["targets"].strip("⟦⟧")]}


def test_they_are_the_ones_the_run_begins_with(polyhead, folder: Path, monkeypatch) -> None:
    seen: list[str] = []

    def told(self: Loader, start: int = 0, micros: int = 1, *, stop: int | None = None):
        from polyhead.text import Tokenizer

        tokenizer = Tokenizer.load(folder / "a" / "tokenizer.json")
        for step in range(3):
            seen.extend(tokenizer.decode(row.tolist()) for row in self.batch_at(step).inputs.ids)
        raise KeyboardInterrupt

    monkeypatch.setattr(Loader, "iterate", told)
    words = ["gpt-nano", "book.txt", *WORDS, "seed=5", "model.decoder.layers=1"]
    polyhead("train", *words, "-o", "a")
    found = json.loads(polyhead("train", *words, "--show", 12, "--json").out)
    assert [one["inputs"].replace("\\n", "\n") for one in found["examples"]] == seen and len(set(seen)) == 12


def test_no_more_than_an_epoch_holds(polyhead, folder: Path) -> None:
    found = json.loads(polyhead("train", "bert-nano", "labels.tsv", "--show", 100, *WORDS, "training.batch=64", "--json").out)
    inputs = [one["inputs"] for one in found["examples"]]
    assert len(inputs) == found["data"]["train_samples"] == len(set(inputs)) < 30


def test_trained_models_and_recipes(polyhead, folder: Path, causal: Path, masked: Path) -> None:
    found = json.loads(polyhead("train", causal, rows("chat.jsonl", chat), "--show", 1, "--json").out)
    assert found["objective"]["kind"] == "instruct" and "decoder" in found["why"] and found["context"] == 32
    found = json.loads(polyhead("train", masked, "labels.tsv", "--show", 1, "--json").out)
    assert found["objective"]["kind"] == "classify" and found["labels"] == ["calm", "glad", "sad"] and found["vocabulary"] == 300
    Path("recipe.yaml").write_text(f"model: bert-nano\ndata: {{path: book.txt}}\ntraining: {{context: 32, objective: {{kind: distilled, source: '{masked.as_posix()}'}}}}\n")
    found = json.loads(polyhead("train", "recipe.yaml", "--show", 1, "--json").out)
    assert found["why"] == "it is named in the settings" and found["vocabulary"] == 300 and found["examples"][0]["trained"]["targets"]
    assert "teacher" in found["asks"]


def test_colour_on_a_terminal(polyhead, folder: Path, monkeypatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def shown() -> str:
        from polyhead.cli import main

        monkeypatch.setattr(sys, "stdout", screen := Terminal())
        assert main(["train", "bert-nano", "labels.tsv", "--show", "1", *WORDS]) == 0
        return screen.getvalue()

    for name, value in {"TERM": "xterm-256color", "COLORTERM": "", "NO_COLOR": None, "FORCE_COLOR": None}.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    text = shown()
    assert "\x1b[1;32m" in text and "⟦" not in text
    monkeypatch.setenv("TERM", "dumb")
    text = shown()
    assert "\x1b" not in text and "targets   ⟦" in text


@pytest.mark.parametrize(("words", "needle"), [(["--show", 0], "--show"), (["--show", 2, "--dry-run"], "one of them")])
def test_what_is_refused(words: list[object], needle: str, polyhead, folder: Path) -> None:
    result = polyhead("train", "gpt-nano", "book.txt", *words)
    assert result.code == 2 and needle in result.err
