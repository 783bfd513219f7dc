"""eval, run, chat, show and doctor on tiny runs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from polyhead.commands import answering, checkup


def test_eval_of_a_decoder_agrees_with_score(polyhead, folder: Path, causal: Path) -> None:
    import polyhead as ph

    found = json.loads(polyhead("eval", causal, "--on", "held-out.txt", "--json").out)
    assert found["task"] == "causal"
    text = (folder / "held-out.txt").read_bytes()
    assert found["n"] == len(text)  # raw bytes: each but the first is asked for, and the end
    loss, metrics = found["metrics"]["loss"], found["metrics"]
    assert metrics["perplexity"] == pytest.approx(math.exp(loss))
    assert metrics["word_perplexity"] == pytest.approx(math.exp(loss * found["n"] / len(text.decode().split())), rel=1e-6)
    assert metrics["bits_per_byte"] == pytest.approx(loss / math.log(2) * found["n"] / len(text), rel=1e-6)
    model = ph.load(causal)
    ids = model.tokenizer.encode(text.decode())[:33]
    short = text[:32].decode()
    (folder / "short.txt").write_text(short)
    found = json.loads(polyhead("eval", causal, "--on", "short.txt", "--json").out)
    expected = float(model.score(ids=[*ids[:32], model.tokenizer.eos]).mean())
    assert found["metrics"]["loss"] == pytest.approx(expected, rel=1e-5)


def test_eval_of_an_encoder_counts_masked_tokens(polyhead, folder: Path, masked: Path) -> None:
    found = json.loads(polyhead("eval", masked, "--on", "held-out.txt", "--json").out)
    assert found["task"] == "masked" and found["n"] > 10
    assert 0 <= found["metrics"]["accuracy"] <= 1 and found["metrics"]["loss"] > 0


def test_eval_of_an_encoder_decoder_answers(polyhead, folder: Path, seq2seq: Path) -> None:
    found = json.loads(polyhead("eval", seq2seq, "--on", "held.de,held.en", "--json").out)
    assert found["task"] == "seq2seq" and found["n"] == 4 and 0 <= found["metrics"]["exact_match"] <= 1
    words = polyhead("eval", seq2seq, "--on", "held.de,held.en", "--limit", "1").out
    assert words.startswith("seq2seq on held.de,held.en, 4 pairs") and "exact_match" in words


def test_exact_match_is_one_when_the_answers_are_right(seq2seq: Path, tmp_path: Path) -> None:
    import polyhead as ph
    from polyhead.data import open_source

    model = ph.load(seq2seq)
    sources = ["das ist zeile 3", "das"]
    answers = [a.text for a in model.generate(sources, max_tokens=model.spec.context, temperature=0.0)]
    rows = [{"source": s, "target": t} for s, t in zip(sources, answers, strict=True) if t.strip()]
    rows.append({"source": "das ist", "target": "surely not this"})
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    from polyhead.tasks.evaluating import evaluate_task

    found = evaluate_task(model, open_source(tmp_path / "pairs.jsonl", kind="pairs").pairs(), rouge=True)
    assert found["metrics"]["exact_match"] == pytest.approx((len(rows) - 1) / len(rows)) and found["n"] == len(rows)
    assert set(found["metrics"]) == {"exact_match", "bleu", "chrf", "rouge1", "rouge2", "rougeL"} == set(found["intervals"])
    assert "tok:13a" in found["signature"] and "nc:6" in found["signature"]


# ---------------------------------------------------------------- run


def test_run_repeats_itself_with_a_seed(polyhead, causal: Path) -> None:
    words = ["run", causal, "The cat", "--max-tokens", "12", "--seed", "5"]
    first, again = polyhead(*words), polyhead(*words)
    assert first.code == 0 and first.out == again.out and first.err == ""
    found = json.loads(polyhead(*words, "--json").out)
    assert found["text"] + "\n" == first.out and found["prompt"] == "The cat" and found["seed"] == 5
    assert len(found["ids"]) == len("The cat") + 12 or found["reason"] == "eos"


@pytest.mark.parametrize("words", [["-"], []])
def test_run_reads_a_pipe(polyhead, causal: Path, words: list[str]) -> None:
    piped = polyhead("run", causal, *words, "--seed", "5", "--max-tokens", "4", "--json", stdin="The cat\n")
    assert json.loads(piped.out)["prompt"] == "The cat"


def test_run_streams_whole_characters_to_a_terminal(polyhead, causal: Path, monkeypatch) -> None:
    plain = polyhead("run", causal, "The cat", "--seed", "5", "--max-tokens", "20").out
    monkeypatch.setattr(answering, "is_terminal", lambda stream: True)
    shown = polyhead("run", causal, "The cat", "--seed", "5", "--max-tokens", "20").out
    assert shown == "\033[2mThe cat\033[0m" + answering.visible(plain)


def test_a_file_of_prompts_gives_a_file_of_answers(polyhead, folder: Path, causal: Path) -> None:
    result = polyhead("run", causal, "--in", "prompts.txt", "--out", "answers.jsonl", "--seed", "1", "--max-tokens", "6")
    rows = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert result.code == 0 and [row["prompt"] for row in rows] == ["The cat", "My uncle"]
    alone = json.loads(polyhead("run", causal, "My uncle", "--seed", "2", "--max-tokens", "6", "--json").out)
    assert rows[1]["text"] == alone["text"]


def test_beams_need_no_seed(polyhead, seq2seq: Path) -> None:
    words = ["run", seq2seq, "das ist zeile 3", "--beams", "3", "--max-tokens", "8", "--json"]
    first = json.loads(polyhead(*words).out)
    assert first["score"] is not None and first == json.loads(polyhead(*words).out)


def test_a_stop_string_ends_the_answer(polyhead, causal: Path) -> None:
    base = ["run", causal, "The cat", "--seed", "5", "--max-tokens", "20", "--json"]
    text = json.loads(polyhead(*base).out)["text"]
    mark = text[3]
    found = json.loads(polyhead(*base, "--stop", mark).out)
    assert found["text"] == text[: text.index(mark)] and found["reason"] == "stop"


@pytest.mark.parametrize(
    ("words", "needle"),
    [
        (["x", "--in", "prompts.txt"], "twice"), (["x", "--temperature", "-1"], "temperature"), (["x", "--top-p", "2"], "top_p"),
        (["x", "--max-tokens", "5000"], "context"), (["--in", "none.txt"], "none.txt"), (["x", "--device", "tpu"], "tpu"),
    ],
)  # fmt: skip
def test_run_with_settings_that_cannot_be(polyhead, folder: Path, causal: Path, words: list[str], needle: str) -> None:
    result = polyhead("run", causal, *words)
    assert result.code == 2 and needle in result.err and not result.out


def test_an_encoder_does_not_write(polyhead, masked: Path) -> None:
    result = polyhead("run", masked, "The cat")
    assert result.code == 2 and "nothing to fill" in result.err and "[MASK]" in result.err


# ---------------------------------------------------------------- chat


def test_chat_keeps_the_text_and_forgets_it(polyhead, causal: Path) -> None:
    result = polyhead("chat", causal, "--seed", "3", "--max-tokens", "5", "--json", stdin="The cat\nsees\n/text\n/reset\nThe cat\n/exit\nnot read\n")
    lines = result.out.split("\n")
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    assert result.code == 0 and [row["prompt"] for row in rows] == ["The cat", "sees", "The cat"]
    assert rows[0]["text"] == rows[2]["text"]
    assert "The cat\n" in result.out and "forgotten" in result.err


def test_a_long_chat_never_outgrows_the_context(causal: Path) -> None:
    import polyhead as ph

    chat = answering.Chat(ph.load(causal), answering.Style(seed=1), budget=8)
    for turn in range(6):
        assert "".join(chat.answer(f"turn {turn}, a line with äöü and more words")) is not None
    assert len(chat.text) > 2 * chat.model.spec.context and len(chat.model.tokenizer.encode(chat._prompt("x"))) <= chat.model.spec.context - 8


def test_chat_with_an_encoder_decoder_answers_each_line_alone(polyhead, seq2seq: Path) -> None:
    result = polyhead("chat", seq2seq, "--json", "--max-tokens", "6", stdin="das ist\nandere\ndas ist\n")
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert result.code == 0 and rows[0]["text"] == rows[2]["text"]


def test_ctrl_c_ends_an_answer_and_not_the_chat(polyhead, causal: Path, monkeypatch) -> None:
    def broken(self: object, line: str):
        yield "begun"
        raise KeyboardInterrupt

    monkeypatch.setattr(answering.Chat, "answer", broken)
    result = polyhead("chat", causal, stdin="one\ntwo\n")
    assert result.code == 0 and result.out.count("begun") == 2 and result.err.count("broken off") == 2


# ---------------------------------------------------------------- show, doctor


@pytest.mark.parametrize("name", ["gpt-nano", "bert-base", "t5-small", "gpt3", "albert-base-v2", "falcon-7b", "mistral-7b"])
def test_show_draws_each_shape_with_its_counts(polyhead, name: str) -> None:
    import polyhead as ph

    result, spec = polyhead("show", name), ph.preset(name)
    assert result.code == 0 and f"{spec.params().total:,} parameters" in result.out
    for stack in spec.stacks.values():
        for kind, block in stack.blocks.items():
            assert kind in result.out and f"{block.attention.heads.heads} heads" in result.out and block.attention.pattern.kind in result.out
    found = json.loads(polyhead("show", name, "--json").out)
    assert found["parameters"] == spec.params().total == sum(found["parts"].values())


def test_show_tells_what_differs(polyhead, causal: Path, tmp_path: Path) -> None:
    text = polyhead("show", "llama-7b", "--against", "mistral-7b").out
    assert text.startswith("llama-7b against mistral-7b: 6 differences\n") and "window (back 4,095)" in text
    found = json.loads(polyhead("show", "llama-7b", "--against", "mistral-7b", "--json").out)
    assert {"path": "context", "a": 2048, "b": 32768} in found["differences"] and not found["equal"]
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps({"preset": "gpt2", "decoder": {"layers": 3}}), encoding="utf-8")
    assert [d["path"] for d in json.loads(polyhead("show", "gpt2", "--against", mine, "--json").out)["differences"]] == ["decoder.layers"]
    assert "same architecture" in polyhead("show", causal, "--against", causal).out
    for words in (["--against", "gpt2"], ["gpt2", "--against", "gpt-4"], ["gpt2", "--against", str(tmp_path)]):
        assert polyhead("show", *words).code == 2


LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48, "hidden_act": "silu", "rms_norm_eps": 1e-6,
    "max_position_embeddings": 64, "rope_theta": 77.0, "tie_word_embeddings": False,
}  # fmt: skip


def test_show_needs_only_the_config_of_a_hugging_face_folder(polyhead, tmp_path: Path, monkeypatch) -> None:
    import huggingface_hub

    (tmp_path / "config.json").write_text(json.dumps(LLAMA), encoding="utf-8")
    result = polyhead("show", tmp_path)
    assert result.code == 0 and "rotary, θ 77" in result.out and "8 heads" not in result.out
    asked = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda repo, **kw: asked.append((repo, kw["allow_patterns"])) or str(tmp_path))
    assert polyhead("show", "owner/name").out.partition(":")[2] == result.out.partition(":")[2]
    assert asked == [("owner/name", ["*.json"])]
    assert "same architecture" in polyhead("show", tmp_path, "--against", "owner/name").out
    for name in (tmp_path / "nothing", "missing/x.json", "gpt2-smal"):
        assert polyhead("show", name).code == 2
    assert len(asked) == 2


@pytest.mark.parametrize("verb", [["run", "owner/name", "The cat", "--max-tokens", "2"], ["chat", "owner/name"], ["eval", "owner/name", "--on", "none.txt"]], ids=lambda v: v[0])
def test_a_name_of_the_hub_is_a_model_to_every_verb(polyhead, tmp_path: Path, causal: Path, monkeypatch, verb: list[str]) -> None:
    import huggingface_hub

    import polyhead as ph

    asked = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda repo, **kw: asked.append(repo) or str(ph.load(causal).save(tmp_path)))
    result = polyhead(*verb, stdin="The cat\n")
    assert asked == ["owner/name"] and (result.code == 0) == (verb[0] != "eval"), result.err
    assert verb[0] != "eval" or "none.txt" in result.err, "the model was opened, the data is not there"


def test_show_reads_a_run_and_lists_presets(polyhead, causal: Path) -> None:
    assert "1 layer of width 32" in polyhead("show", causal).out
    listed = polyhead("show").out
    assert "gpt2-xl" in listed and "1,557,611,200" in listed
    assert json.loads(polyhead("show", "--json").out)["gpt2"]["parameters"] == 124_439_808
    assert max(map(len, listed.splitlines())) <= 100 and len(listed.splitlines()) > 30


def test_an_unpublished_architecture_is_not_made_up(polyhead) -> None:
    result = polyhead("show", "gpt-4")
    assert result.code == 2 and "unpublished" in result.err


def test_doctor_finds_this_machine_well(polyhead) -> None:
    result = polyhead("doctor", "--json")
    found = json.loads(result.out)
    assert result.code == 0 and found["ok"]
    assert {"torch", "devices", "threads", "compiler", "disk", "fused AdamW", "sdpa on cpu", "banded on cpu"} <= {f["name"] for f in found["findings"]}


def test_doctor_says_when_a_backend_is_wrong(polyhead, monkeypatch) -> None:
    true = checkup.small_model
    monkeypatch.setattr(checkup, "small_model", lambda backend, device: [t * (1.01 if backend == "sdpa" else 1) for t in true(backend, device)])
    result = polyhead("doctor")
    assert result.code == 1 and "broken: sdpa on cpu" in result.out
