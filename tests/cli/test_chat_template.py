"""chat with a published model that brings a chat template, and the settings its generation_config.json brings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import polyhead as ph
from polyhead.commands import answering
from polyhead.errors import ConfigError, UserError
from polyhead.generate.sample import Sampling, chosen
from polyhead.nn import ModelSpec
from tests.tiny import prose

TEMPLATE = "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder of a tiny LLaMA with a template; any of two tokens ends its answers."""
    folder = tmp_path_factory.mktemp("published") / "chatty"
    tokenizer = ph.Tokenizer.train([prose(20)], kind="bytes")
    spec = ph.preset("llama-nano").model_dump()
    spec["context"] = 192
    spec["decoder"] |= {"width": 32, "layers": 1}
    spec["decoder"]["embedding"]["vocab"] = spec["heads"]["lm"]["output"] = tokenizer.vocab_size
    ph.Model(ModelSpec.model_validate(spec).build(seed=0), tokenizer).save(folder, to="hf")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": TEMPLATE}))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [tokenizer.eos, tokenizer.encode("e")[0]], "do_sample": True, "temperature": 0.3, "top_k": 7}))
    return folder


def test_the_template_writes_the_turns_and_any_of_the_ends_ends_an_answer(published: Path) -> None:
    model = ph.load(published)
    chat = answering.open_chat(model, answering.Style(seed=1), budget=12)
    assert isinstance(chat, answering.Conversation) and chat.style.stop == () and chat.style.top_p is None
    first = "".join(chat.answer("The cat <eos> sees"))
    assert "e" not in first and len(chat.messages) == 2
    "".join(chat.answer("and then"))
    assert [message["role"] for message in chat.messages] == ["user", "assistant"] * 2
    assert chat.text.startswith("<bos>[user] The cat <eos> sees<eos>[assistant] ") and chat.messages[1]["content"] == first
    _, ids = chat._fitting(chat.messages[:1])
    assert ids[0] == model.tokenizer.bos and ids.count(model.tokenizer.bos) == 1
    assert ids.count(model.tokenizer.eos) == 1  # the template's own, not the typed one
    chat.reset()
    assert not chat.messages and not chat.text


def test_the_oldest_turns_are_forgotten_and_one_too_long_is_refused(published: Path) -> None:
    chat = answering.open_chat(ph.load(published), answering.Style(seed=1), budget=12)
    for turn in range(6):
        list(chat.answer(f"this is turn number {turn}, with some words"))
    assert 2 < len(chat.messages) < 12 and chat.messages[0]["role"] == "user"
    before = list(chat.messages)
    with pytest.raises(UserError, match="longer than the model's context"):
        list(chat.answer("a" * 400))
    assert chat.messages == before


def test_the_verb(published: Path, polyhead) -> None:
    done = polyhead("chat", published, "--json", "--max-tokens", "8", "--seed", "2", stdin="The cat\n/text\n/reset\nThe cat\n")
    rows = [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]
    assert done.code == 0 and len(rows) == 2 and rows[0] == rows[1] and "[user] The cat" in done.out


def test_sampling_is_what_was_given_else_what_the_file_says_where_it_draws(published: Path) -> None:
    told = {"do_sample": True, "temperature": 0.3, "top_k": 7, "top_p": 0.9, "repetition_penalty": 1.1, "max_length": 20}
    assert chosen(0.8, told, temperature=None, top_k=None, top_p=0.5) == Sampling(temperature=0.3, top_k=7, top_p=0.5, repetition_penalty=1.1)
    assert chosen(0.8, told, temperature=0) == Sampling(temperature=0, repetition_penalty=1.1)
    assert chosen(0.8, {**told, "do_sample": False}) == Sampling(temperature=0.8, repetition_penalty=1.1)
    assert chosen(0.8, {}) == Sampling(temperature=0.8)
    assert chosen(0.8, {"do_sample": True, "top_k": 0}) == Sampling(temperature=0.8)
    with pytest.raises(ConfigError, match=r"generation_config\.json: top_p"):
        chosen(0.8, {"do_sample": True, "top_p": 3})
    model = ph.load(published)
    assert model.generate("The cat", seed=3).ids == model.generate("The cat", seed=3, temperature=0.3, top_k=7).ids
    assert model.generate("The cat", seed=3).ids != model.generate("The cat", seed=3, temperature=3.0, top_k=200).ids
