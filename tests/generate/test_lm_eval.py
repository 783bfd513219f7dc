"""The harness's numbers from a model here are those its own Hugging Face model gives for the same folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

import polyhead as ph
from polyhead.errors import ConfigError, TokenizerError, UserError
from tests.tiny import SMALL, TRAINING, build_tiny, prose, train_tiny, write_files

if TYPE_CHECKING:
    from polyhead.generate.lm_eval import PolyheadLM

pytestmark = pytest.mark.skipif(not (find_spec("lm_eval") and find_spec("transformers")), reason="lm-eval and transformers")

TEXT = prose(60)
SIZE = {"vocab_size": 300, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
CHAT = "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}<s>assistant: {% endif %}"
PAIRS = [("The cat sees", " the sea"), ("The cat sees ", "the sea"), ("", "My uncle forgets"), ("Every child likes", " an apple"),
         ("Every child likes", " a"), ("Every child likes", " t"), ("<s>The cat", " sees"), (TEXT[:900], " old songs"), ("A\n\n", "small dog")]  # fmt: skip


def tokenizer(folder: Path, bos: bool, eos: bool = False) -> None:
    """Bytes in pieces; bos: the file puts <s> before every text; eos: </s> behind it."""
    from tokenizers import ByteLevelBPETokenizer, processors
    from transformers import PreTrainedTokenizerFast

    made = ByteLevelBPETokenizer()
    made.train_from_iterator([TEXT], vocab_size=300, special_tokens=["<pad>", "<s>", "</s>"], show_progress=False)
    if bos or eos:
        single = (["<s>"] if bos else []) + ["$A"] + (["</s>"] if eos else [])
        made._tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=[*single, "$B"], special_tokens=[("<s>", 1), ("</s>", 2)])
    fast = PreTrainedTokenizerFast(tokenizer_object=made._tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    fast.chat_template = CHAT
    fast.save_pretrained(folder)


def save(folder: Path, model: Any, **texts: bool) -> Path:
    from tests.parity.reference import randomise

    randomise(model.eval(), 5)
    model.save_pretrained(folder)
    tokenizer(folder, **texts)
    return folder


def gpt2(folder: Path) -> Path:
    from transformers import GPT2Config, GPT2LMHeadModel

    return save(folder, GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=96, **SIZE)), bos=False)


def llama(folder: Path) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48, max_position_embeddings=80, **SIZE)
    return save(folder, LlamaForCausalLM(config), bos=True)


def t5(folder: Path) -> Path:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0, n_positions=96, **SIZE)
    return save(folder, T5ForConditionalGeneration(config), bos=False, eos=True)


def opened(pretrained: Any, **more: Any) -> PolyheadLM:
    """The model as the harness sees it; the harness takes seconds to import, so not before a test asks."""
    from polyhead.generate.lm_eval import PolyheadLM

    return PolyheadLM(pretrained, **more)


MADE: dict[str, Callable[[Path], Path]] = {"gpt2": gpt2, "llama": llama, "t5": t5}


@pytest.fixture(scope="module", params=list(MADE))
def both(request, tmp_path_factory) -> tuple[PolyheadLM, Any]:
    from lm_eval.models.huggingface import HFLM

    folder = MADE[request.param](tmp_path_factory.mktemp(request.param) / "model")
    return opened(str(folder), batch_size=3, device="cpu"), HFLM(pretrained=str(folder), batch_size=3, device="cpu")


def asked(kind: str, *arguments: Any) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(request_type=kind, doc={}, arguments=one, idx=i) for i, one in enumerate(arguments)]


def test_log_likelihoods_are_the_harness_own(both) -> None:
    ours, theirs = both
    requests = asked("loglikelihood", *PAIRS)
    for one, other in zip(ours.loglikelihood(requests, disable_tqdm=True), theirs.loglikelihood(requests, disable_tqdm=True), strict=True):
        assert one[0] == pytest.approx(other[0], abs=1e-4) and one[1] == other[1]


def test_rolling_log_likelihoods_are_the_harness_own(both) -> None:
    ours, theirs = both
    requests = asked("loglikelihood_rolling", (TEXT[:20],), (TEXT[:1500],), ("",))
    found = ours.loglikelihood_rolling(requests, disable_tqdm=True)
    assert found == pytest.approx(theirs.loglikelihood_rolling(requests, disable_tqdm=True), abs=1e-3)


def test_answers_are_the_harness_own(both) -> None:
    ours, theirs = both
    how = {"until": ["\n", " s"], "max_gen_toks": 12, "do_sample": False}
    texts = ["The cat", "My uncle forgets", TEXT[:1200], *(["<s>A"] if ours.backend == "causal" else [])]
    requests = asked("generate_until", *[(text, how) for text in texts], ("The cat", {"until": "e", "max_gen_toks": 7}))
    found = ours.generate_until(requests, disable_tqdm=True)
    expected = theirs.generate_until(requests, disable_tqdm=True)
    if ours.backend == "seq2seq":  # theirs lets an answer be longer by the source's padded length
        expected = [text[: len(one)] for text, one in zip(expected, found, strict=True)]
    assert found == expected
    assert not any("\n" in text for text in found)


def test_chat_templates_are_the_harness_own(both) -> None:
    ours, theirs = both
    said = [{"role": "user", "content": "Who sees the sea?"}, {"role": "assistant", "content": "The cat"}]
    for last in (True, False):
        assert ours.apply_chat_template(said, last) == theirs.apply_chat_template(said, last)
    assert ours.chat_template(True) == theirs.chat_template(True) == CHAT
    text = ours.apply_chat_template(said)
    assert ours.tok_encode(text) == theirs.tok_encode(text) and ours.tok_encode(text).count(1) == 3
    assert ours.chat_template(False) is None and "/" not in ours.tokenizer_name
    with pytest.raises(TokenizerError, match="no chat template 'other'"):
        ours.chat_template("other")


def test_a_run_and_its_export_get_the_same_numbers(tmp_path: Path) -> None:
    from lm_eval.models.huggingface import HFLM

    from polyhead.train import build_config, parse_overrides, train_run

    write_files(tmp_path)
    small = [*TRAINING, *SMALL, "model.decoder.blocks.layer.attention.heads.heads=2", "tokenizer.vocab_size=300"]
    train_run(build_config("gpt2", str(tmp_path / "book.txt"), parse_overrides(small)), tmp_path / "run")
    lm = opened(str(tmp_path / "run"), device="cpu")
    lm.model.save(tmp_path / "out", to="hf")
    theirs, requests = HFLM(pretrained=str(tmp_path / "out"), device="cpu"), asked("loglikelihood", *[pair for pair in PAIRS if len(pair[0]) < 99])
    found = lm.loglikelihood(requests, disable_tqdm=True)
    assert [one for one, _ in found] == pytest.approx([one for one, _ in theirs.loglikelihood(requests, disable_tqdm=True)], abs=1e-4)
    requests = asked("loglikelihood_rolling", (TEXT[:300],))
    assert lm.loglikelihood_rolling(requests, disable_tqdm=True) == pytest.approx(theirs.loglikelihood_rolling(requests, disable_tqdm=True), abs=1e-3)


def test_a_batch_and_an_order_change_nothing(tmp_path: Path) -> None:
    model = ph.load(gpt2(tmp_path / "model"))
    requests = asked("loglikelihood", *PAIRS)
    alone = opened(model, batch_size=1).loglikelihood(requests, disable_tqdm=True)
    together = opened(model).loglikelihood(requests[::-1], disable_tqdm=True)[::-1]
    assert [one for one, _ in alone] == pytest.approx([one for one, _ in together], abs=1e-5)
    nats = model.score(ids=[1, *model.tokenizer.encode("My uncle forgets")])
    assert alone[2][0] == pytest.approx(-float(nats.sum()), abs=1e-4)


def test_answers_to_one_question_are_computed_once(tmp_path: Path) -> None:
    lm = opened(str(gpt2(tmp_path / "model")), device="cpu")
    rows = []
    hook = lm.model.prepared.top.register_forward_hook(lambda _, given, __: rows.append(len(given[0].ids)))
    lm.loglikelihood(asked("loglikelihood", *[("The cat", f" {letter}") for letter in "q5x"]), disable_tqdm=True)
    hook.remove()
    together = {tuple(lm._encode_pair("The cat", f" {letter}")[1][:-1]) for letter in "q5x"}
    assert sum(rows) == len(together) < 3


def test_draws_differ_by_request_and_repeat_by_seed(tmp_path: Path) -> None:
    lm = opened(str(gpt2(tmp_path / "model")), batch_size=2)
    how = {"until": [], "max_gen_toks": 8, "do_sample": True, "temperature": 1.5, "top_p": 0.9}
    requests = asked("generate_until", *[("The cat", how)] * 3)
    found = lm.generate_until(requests, disable_tqdm=True)
    assert len(set(found)) == 3 and found == lm.generate_until(requests, disable_tqdm=True)
    beams = asked("generate_until", ("The cat", {"until": ["\n"], "max_gen_toks": 8, "num_beams": 3}))
    assert lm.generate_until(beams, disable_tqdm=True) == [lm.model.generate("The cat", beams=3, max_tokens=8).text.split("\n")[0]]


def test_a_prefix_is_seen_whole(tmp_path: Path) -> None:
    from polyhead.nn import Prefix
    from tests.generate.nets import decoder

    text = ph.Tokenizer.train([TEXT], "bytes")
    net = decoder(text.vocab_size, pattern=Prefix()).build(seed=1).eval()
    lm = opened(ph.Model(net, text))
    (nats, _), (last, _) = lm.loglikelihood(asked("loglikelihood", ("ab", "cd"), ("abc", "d")), disable_tqdm=True)
    ids = lm.tok_encode("abcd")
    with torch.inference_mode():
        _, seen = lm.model.engine.prefill([ids[:3]], 1)
        assert last == pytest.approx(float(seen.log_softmax(-1)[0, ids[3]]), abs=1e-5)
        state, first = lm.model.engine.prefill([ids[:2]], 2)
        second = lm.model.engine.step(state, torch.tensor([ids[2]]))
    assert nats == pytest.approx(float(first.log_softmax(-1)[0, ids[2]] + second.log_softmax(-1)[0, ids[3]]), abs=1e-5)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """Three tasks of one file: choose, perplexity, write."""
    rows = [{"question": f"{who} sees the", "choices": [" sea", " apple", " song"], "answer": i % 3, "text": TEXT[:200]} for i, who in enumerate(("The cat", "A small dog", "My uncle", "Every child"))]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    head = f"dataset_path: json\ndataset_kwargs: {{data_files: {{test: {(tmp_path / 'rows.jsonl').as_posix()}}}}}\ntest_split: test\n"
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "a.yaml").write_text(f"task: choose\n{head}output_type: multiple_choice\ndoc_to_text: '{{{{question}}}}'\ndoc_to_choice: '{{{{choices}}}}'\ndoc_to_target: answer\ntarget_delimiter: ''\n")
    (folder / "b.yaml").write_text(f"task: roll\n{head}output_type: loglikelihood_rolling\ndoc_to_text: ''\ndoc_to_target: '{{{{text}}}}'\nmetric_list: [{{metric: byte_perplexity}}]\n")
    (folder / "c.yaml").write_text(f"task: write\n{head}output_type: generate_until\ndoc_to_text: '{{{{question}}}}'\ndoc_to_target: sea\ngeneration_kwargs: {{until: ['.'], max_gen_toks: 6}}\nmetric_list: [{{metric: exact_match}}]\n")
    return folder


def local(folder: Path) -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(folder), include_defaults=False)


def test_local_tasks_from_a_run(task: Path, tmp_path: Path) -> None:
    from lm_eval import simple_evaluate

    run = train_tiny(tmp_path / "run/a")
    lm = opened(str(run), device="cpu")
    found = simple_evaluate(lm, tasks=["choose", "roll", "write"], task_manager=local(task), bootstrap_iters=0)["results"]
    assert set(found) == {"choose", "roll", "write"} and 0 <= found["choose"]["acc,none"] <= 1
    nats = -sum(lm.loglikelihood_rolling(asked("loglikelihood_rolling", (TEXT[:200],)), disable_tqdm=True))
    assert found["roll"]["byte_perplexity,none"] == pytest.approx(float(torch.tensor(nats / 200).exp()), rel=1e-4)


@pytest.mark.slow
def test_the_command(task: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    from lm_eval.tasks import TaskManager

    from polyhead.generate.lm_eval import main

    monkeypatch.setattr("lm_eval.tasks.TaskManager", partial(TaskManager, include_defaults=False))  # thousands of files
    run = train_tiny(tmp_path / "run/a")
    words = ["--tasks", "choose", "--include_path", str(task), "--device", "cpu", "--model_args"]
    monkeypatch.setattr(sys, "argv", ["lm_eval", *words, f"pretrained={run}"])
    assert main() == 0 and "|choose" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["lm_eval", *words, f"pretrained={tmp_path / 'nowhere'}"])
    assert main() == 2 and "polyhead: " in capsys.readouterr().err


def test_what_cannot_be_asked_is_refused(tmp_path: Path) -> None:
    from tests.generate.nets import decoder

    with pytest.raises(ConfigError, match="cannot generate"):
        opened(str(build_tiny(tmp_path / "tags", "tag")))
    with pytest.raises(ConfigError, match="asks in texts"):
        opened(ph.Model(decoder().build(seed=0)))
    model = ph.load(gpt2(tmp_path / "model"))
    for words, fault in (({"parallelize": True}, "parallelize"), ({"dtype": "int8"}, "int8"), ({"batch_size": 0}, "batch_size"), ({"max_length": "x"}, "max_length")):
        with pytest.raises(ConfigError, match=fault):
            opened(model, **words)
    lm = opened(model)
    for how, fault in (({"max_gen_toks": 96}, "below 96"), ({"guidance": 3}, "guidance"), ({"max_gen_toks": 0}, "max_gen_toks")):
        with pytest.raises(UserError, match=fault):
            lm.generate_until(asked("generate_until", ("a", how)))
    with pytest.raises(UserError, match="1 to 96 tokens"):
        lm.loglikelihood(asked("loglikelihood", ("a", TEXT[:2000])), disable_tqdm=True)
