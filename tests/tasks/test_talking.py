"""eval of conversations, prompts with completions, and preferences: the numbers of training's own rows, and by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import polyhead as ph
from polyhead.data import Instruct, Prefer, open_source, pack
from polyhead.nn import Tokens
from polyhead.tasks.talking import preferred, said
from polyhead.text.turns import encode_answers, encode_turns
from polyhead.train.loop import evaluate
from tests.tiny import prose, train_tiny

TALK = [("Who sees the sea?", "The cat."), ("What does my uncle forget?", "Old songs, and the sea."), ("Who sleeps?", "Nobody.")]


def rows(folder: Path) -> dict[str, Path]:
    chats = [{"messages": [{"role": "system", "content": "Say it."}, {"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in TALK]
    wishes = [{"prompt": q, "chosen": a, "rejected": "No idea at all."} for q, a in TALK]
    pairs = [{"prompt": q, "completion": " " + a} for q, a in TALK]
    found = {}
    for name, part in (("chat", chats), ("preferences", wishes), ("pairs", pairs)):
        found[name] = folder / f"{name}.jsonl"
        found[name].write_text("".join(json.dumps(row) + "\n" for row in part))
    return found


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `base`, a drawn model with a template of its own, and `run`, a few steps of DPO from it."""
    from polyhead.families import override

    folder = tmp_path_factory.mktemp("talk")
    text = ph.Tokenizer.train([prose()], "byte_bpe", 340)
    text.templates["default"] = "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    spec = override(ph.preset("gpt-nano"), {"decoder.layers": 1, "decoder.width": 32, "decoder.embedding.vocab": text.vocab_size, "heads.lm.output": text.vocab_size})
    ph.Model(spec.build(seed=3).eval(), text).save(folder / "base", to="native")
    data = rows(folder)["preferences"]
    settings = {"training.steps": 4, "training.batch": 3, "training.eval_every": 4, "training.sample_every": 0, "training.compile": "off", "training.threads": 1}
    ph.train(str(folder / "base"), str(data), folder / "run", settings | {"data.validation": str(data), "training.objective": {"kind": "prefer", "beta": 0.3}})
    return folder


def test_tokens_of_the_assistant_alone_in_its_own_template(tuned: Path, polyhead) -> None:
    model = ph.load(tuned / "base")
    found = json.loads(polyhead("eval", tuned / "base", "--on", tuned / "chat.jsonl", "--json").out)
    nats, right, tokens = [], 0, 0
    for q, a in TALK:
        messages = [{"role": "system", "content": "Say it."}, {"role": "user", "content": q}, {"role": "assistant", "content": a}]
        turn = encode_turns(model.tokenizer, [(messages, "")])[0][0]
        each = model.score(ids=turn.ids)
        asked = torch.tensor(turn.trained[1:]) > 0
        with torch.inference_mode():
            best = model.net(Tokens(torch.tensor([turn.ids[:-1]])))[0].argmax(-1)
        nats.append(each[asked])
        tokens += int(asked.sum())
        right += int((best == torch.tensor(turn.ids[1:]))[asked].sum())
    loss = float(torch.cat(nats).mean())
    assert (found["task"], found["n"], found["examples"]) == ("instruct", tokens, 3)
    assert found["metrics"] == pytest.approx({"loss": loss, "perplexity": np.exp(loss), "accuracy": right / tokens}, rel=1e-4)
    assert all(found["intervals"][name][0] <= value <= found["intervals"][name][1] for name, value in found["metrics"].items())


@pytest.mark.parametrize("batch", [1, 2])
def test_it_is_what_training_measures(tuned: Path, tmp_path: Path, batch: int) -> None:
    model = ph.load(tuned / "base")
    for name in ("chat", "pairs"):
        data = Instruct(pack(open_source(tuned / f"{name}.jsonl"), model.tokenizer, tmp_path / name), 64)
        tokens, count, score = said(model, data, batch)
        theirs = evaluate(model.net, data, 3)
        assert (tokens, count) == (theirs.weight, 3) and score.metrics["loss"] == pytest.approx(theirs.loss, rel=1e-5)
    assert said(model, data, batch, limit=2)[1] == 2


def test_prompts_with_completions_and_what_is_left_as_text(tuned: Path, polyhead, tmp_path: Path) -> None:
    found = json.loads(polyhead("eval", tuned / "base", "--on", tuned / "pairs.jsonl", "--json").out)
    assert found["task"] == "instruct" and "3 pairs" in found["of"]
    named = json.loads(polyhead("eval", tuned / "base", "--on", tuned / "preferences.jsonl", "--columns", "prompt,chosen", "--json").out)
    assert named["task"] == "instruct"
    (tmp_path / "text.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in prose(40).splitlines()))
    assert json.loads(polyhead("eval", tuned / "base", "--on", tmp_path / "text.jsonl", "--json").out)["task"] == "causal"


def test_preferences_beside_the_model_that_the_run_began_with(tuned: Path, polyhead) -> None:
    answer = polyhead("eval", tuned / "run", "--on", tuned / "preferences.jsonl", "--json")
    found, last = json.loads(answer.out), [json.loads(line) for line in (tuned / "run/metrics.jsonl").read_text().splitlines()][-1]
    assert (found["task"], found["n"], found["reference"]) == ("prefer", 3, str(tuned / "base")) and "no reference" not in answer.err
    assert found["metrics"] == pytest.approx({name: last[f"val_{name}"] for name in ("loss", "accuracy", "margin")}, rel=1e-3, abs=1e-6)
    assert found["metrics"]["margin"] != 0 and set(found["intervals"]) == {"loss", "accuracy", "margin"}


def test_preferences_of_a_model_with_no_reference_are_plain_and_said_to_be(tuned: Path, polyhead, tmp_path: Path) -> None:
    answer = polyhead("eval", tuned / "base", "--on", tuned / "preferences.jsonl", "--json")
    found, model = json.loads(answer.out), ph.load(tuned / "base")
    asked = [([{"role": "user", "content": q}], (a, "No idea at all."), "") for q, a in TALK]
    gaps = []
    for prompt, answers in encode_answers(model.tokenizer, asked):
        one, other = (-float(model.score(ids=[*prompt, *ids])[-len(ids) :].sum()) for ids in answers)
        gaps.append(one - other)
    assert found["reference"] is None and "no reference" in answer.err
    assert found["metrics"] == pytest.approx({"accuracy": np.mean(np.array(gaps) > 0), "margin": np.mean(gaps)}, rel=1e-4)
    data = Prefer(pack(open_source(tuned / "preferences.jsonl"), model.tokenizer, tmp_path / "p"), 64)
    assert preferred(model, data, 2, reference=model)[1].metrics == pytest.approx({"accuracy": 0, "margin": 0, "loss": np.log(2)})
    assert preferred(model, data, 2, limit=1)[0] == 1


def test_a_model_without_a_template_says_how_it_is_asked(polyhead, tmp_path: Path) -> None:
    run = train_tiny(tmp_path / "a/run", context=128)
    answer = polyhead("eval", run, "--on", rows(tmp_path)["chat"], "--json")
    assert answer.code == 0 and "ChatML" in answer.err and json.loads(answer.out)["examples"] == 3
    short = train_tiny(tmp_path / "b/run", context=8)
    answer = polyhead("eval", short, "--on", rows(tmp_path)["preferences"])
    assert answer.code == 2 and "nothing to measure" in answer.err
