"""A model tuned on conversations answers as it was taught and stops where the assistant's turn ends: here, in the chat, in transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import polyhead as ph
from polyhead.commands import answering
from polyhead.text import Tokenizer
from polyhead.text.turns import end_of_turn
from polyhead.train.run import ending

TALK = {"where is the lamp?": "on the wall.", "who lit it?": "nobody knows.", "and the boats?": "they came home early.", "is it late?": "yes, very."}
SMALL = {"model.decoder.layers": 2, "model.decoder.width": 48, "model.decoder.blocks.layer.attention.heads.heads": 4, "model.decoder.blocks.layer.ffn.inner": 96}
SETTINGS = {
    "training.steps": 120, "training.batch": 4, "training.context": 96, "training.sample_every": 0, "training.eval_every": 120, "training.compile": "off",
    "training.threads": 1, "training.precision": "fp32", "training.optimizer": {"kind": "adamw", "lr": 0.01}, "training.schedule": {"kind": "cosine", "warmup": 5},
}  # fmt: skip


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama that has learnt four conversations by heart, with a tokenizer whose turns do not end with its <eos>."""
    folder = tmp_path_factory.mktemp("chat")
    words = [text for pair in TALK.items() for text in pair]
    Tokenizer.train(words, "bytes", special=["<pad>", "<bos>", "<eos>", "<|im_start|>", "<|im_end|>"]).save(folder / "tokenizer.json")
    rows = [{"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]} for asked, said in TALK.items()]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    more = {"tokenizer.path": str(folder / "tokenizer.json"), "data.validation": str(folder / "a.jsonl")}
    ph.train("llama-nano", str(folder / "a.jsonl"), folder / "run", SETTINGS | SMALL | more)
    return folder / "run"


def test_it_answers_word_for_word_and_stops_with_the_turn(tuned: Path) -> None:
    model = ph.load(tuned)
    end = end_of_turn(model.tokenizer)
    assert end != model.tokenizer.eos and model.meta["eos"] == [model.tokenizer.eos, end]
    for asked, said in TALK.items():
        ids = model.tokenizer.chat([{"role": "user", "content": asked}], add_generation_prompt=True)
        answer = model.generate(ids=ids, temperature=0, max_tokens=40)
        assert (answer.text, answer.reason) == (said, "eos"), asked
        assert answer.new_ids[-1] != end, "the end is no part of the answer"


def test_so_does_the_chat(tuned: Path) -> None:
    chat = answering.open_chat(ph.load(tuned), answering.Style(temperature=0), budget=40)
    assert isinstance(chat, answering.Conversation)
    assert "".join(chat.answer("who lit it?")) == "nobody knows."
    assert chat.messages[-1] == {"role": "assistant", "content": "nobody knows."}


def test_so_does_transformers(tuned: Path, tmp_path: Path) -> None:
    import transformers

    model = ph.load(tuned)
    model.save(tmp_path / "out", to="hf")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "is it late?"}], add_generation_prompt=True, return_tensors="pt", return_dict=True)["input_ids"]
    with torch.no_grad():
        made = theirs.generate(ids, max_new_tokens=40, do_sample=False)[0, ids.shape[1] :]
    assert made[-1] == end_of_turn(model.tokenizer) and tokenizer.decode(made, skip_special_tokens=True) == "yes, very."
    back = ph.load(tmp_path / "out")
    assert back.meta["eos"] == model.meta["eos"]
    (tmp_path / "out" / "meta.json").unlink()
    assert ph.load(tmp_path / "out").meta["eos"] == model.meta["eos"]


def test_ends_are_added_to_those_there_are() -> None:
    assert ending(None, 2, 5) == {"eos": [2, 5]} and ending([2, 7], 3, 5) == {"eos": [2, 7, 5]} and ending(7, 2, 5) == {"eos": [7, 5]}
    assert ending(None, None, 5) == {"eos": 5}
    assert ending(None, 2, 2) == ending([2, 5], 2, 5) == ending(5, 2, 5) == ending(None, 2, None) == {}
