"""Adapter files against PEFT itself: it loads ours onto the transformers model with the same answers, and we read its own."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import polyhead as ph
from polyhead.errors import CheckpointError, ConfigError
from polyhead.nn import LoraSpec, adapt
from polyhead.nn.lora import beside

from . import reference
from .cases import BY_NAME, CASES, Case
from .common import LIMITS, ask, gap
from .reference import Made

peft = pytest.importorskip("peft")

QUICK = ["gpt2_lm", "bert_classify", "neox_parallel", "llama_classify", "phi3_long", "t5_lm"]
RENAMED = ("vit", "dinov2", "clip")
EXPERTS = ("qwen3_moe", "deepseek_v2", "deepseek_v3")
TASKS = {"lm": "CAUSAL_LM", "classify": "SEQ_CLS", "tag": "TOKEN_CLS", "span": "QUESTION_ANS"}
OUTPUTS = {"bert_pretraining", "bert_span", "bert_pair", "albert_pretraining", "electra_discriminator", "bigbird_48", "bart_classify", "fsmt_mt", "fsmt_unscaled"}
Maker = Callable[[str], Made]


def cases(without: tuple[str, ...] = ()) -> list[Any]:
    found = [c for c in CASES if c.fast and c.feed != "pair" and not c.name.startswith((*RENAMED, *without))]
    return [pytest.param(c, id=c.name, marks=() if c.name in QUICK else pytest.mark.slow) for c in found]


def maps(net: torch.nn.Module) -> Any:
    """Every linear map of the layers; beside experts, those of attention."""
    if not any(p.dim() == 3 and ".embed." not in n for n, p in net.named_parameters()):
        return "all"
    return tuple(dict.fromkeys(n.rpartition(".")[2] for n, m in net.named_modules() if isinstance(m, torch.nn.Linear) and ".attention." in n))


@torch.no_grad()
def stir(net: torch.nn.Module) -> None:
    """B away from zero; what learns in full moved."""
    draw = torch.Generator().manual_seed(3)
    for name, p in net.named_parameters():
        if name.endswith("lora_b"):
            p.copy_(torch.randn(p.shape, generator=draw) * 0.2)
        elif name in beside(net):
            p.add_(torch.randn(p.shape, generator=draw) * 0.1)


def answers(case: Case, made: Made, ours: Any, theirs: Any) -> None:
    """The same within the table's limits, and not what the base answers."""
    theirs, ours = reference.ask(theirs, case, made.batch), ask(ours, case, made.batch)
    found, base = gap(ours, theirs, case, made.batch), gap(ours, made.answer, case, made.batch)
    largest = max((float(t.abs().max()) for t in theirs.heads.values()), default=0.0)
    limits = LIMITS[torch.float32]
    # three products where there was one, and sums taken in another order
    assert found.head <= 4 * limits.head * max(1.0, largest / 5), found
    assert found.state <= 4 * limits.state, found
    assert max(base.head, base.state) > 1e-2, "the adapter does nothing"


def loaded(case: Case, made: Made, folder: Path) -> Any:
    model, _ = reference.reopen(case, made.folder)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        peft.PeftModel.from_pretrained(model, folder)
    assert not [str(w.message) for w in said if "adapter keys" in str(w.message) or "pattern" in str(w.message)]
    return model.eval()


@pytest.mark.parametrize("case", cases())
def test_peft_loads_ours(case: Case, made: Maker, tmp_path: Path) -> None:
    model = ph.load(made(case).folder)
    adapt(model.net, LoraSpec(rank=2, alpha=3.0, targets=maps(model.net)), 0)
    stir(model.net)
    model.save_adapter(tmp_path / "a", str(made(case).folder))
    answers(case, made(case), model.net, loaded(case, made(case), tmp_path / "a"))
    again = ph.load(made(case).folder)
    again.load_adapter(tmp_path / "a")
    answers(case, made(case), again.net, loaded(case, made(case), tmp_path / "a"))


@pytest.mark.parametrize("case", cases(("mixtral", *EXPERTS)))
def test_we_load_pefts(case: Case, made: Maker, tmp_path: Path) -> None:
    if case.name in OUTPUTS:
        pytest.skip("PEFT's all-linear takes the output of the head with it, which is refused: see below")
    theirs, _ = reference.reopen(case, made(case).folder)
    torch.manual_seed(0)
    task = TASKS.get(next(iter(case.answers), ""))
    if case.name in ("bert_tag", "distilbert_classify"):
        pytest.skip("PEFT cannot both train a head and put an update onto it")
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules="all-linear", init_lora_weights=False, task_type=task)
    wrapped = peft.get_peft_model(theirs, config)
    wrapped.save_pretrained(tmp_path / "a")
    ours = ph.load(made(case).folder)
    ours.load_adapter(tmp_path / "a")
    assert ours.spec.lora is not None
    assert (ours.spec.lora.rank, ours.spec.lora.alpha) == (3, 5.0)
    answers(case, made(case), ours.net, theirs.eval())


@pytest.mark.parametrize("options", [{"use_rslora": True}, {"rank_pattern": {"q_proj": 5}, "alpha_pattern": {"v_proj": 7}, "target_modules": ["q_proj", "v_proj"]},
                                     {"modules_to_save": ["lm_head"]}, {"target_modules": ["o_proj"], "lora_dropout": 0.1}])  # fmt: skip
def test_pefts_options(options: dict[str, Any], made: Maker, tmp_path: Path) -> None:
    case = BY_NAME["llama_3"]
    theirs, _ = reference.reopen(case, made("llama_3").folder)
    torch.manual_seed(0)
    config = {"r": 3, "lora_alpha": 5, "target_modules": ["q_proj", "v_proj", "down_proj"], "init_lora_weights": False} | options
    wrapped = peft.get_peft_model(theirs, peft.LoraConfig(task_type="CAUSAL_LM", **config))
    if "modules_to_save" in options:
        with torch.no_grad():
            theirs.lm_head.modules_to_save["default"].weight.add_(0.1)
    wrapped.save_pretrained(tmp_path / "a")
    ours = ph.load(made("llama_3").folder)
    ours.load_adapter(tmp_path / "a")
    answers(case, made("llama_3"), ours.net, theirs.eval())


def test_rslora_and_unequal_targets_go_out(made: Maker, tmp_path: Path) -> None:
    """k and v of GPT-2 beside its up: one matrix of rank 2·r, one of rank r."""
    case, model = BY_NAME["gpt2_lm"], ph.load(made("gpt2_lm").folder)
    adapt(model.net, LoraSpec(rank=3, alpha=4.0, rslora=True, dropout=0.1, targets=("k", "v", "decoder.layers.1.ffn.up")), 0)
    stir(model.net)
    model.save_adapter(tmp_path / "a")
    answers(case, made("gpt2_lm"), model.net, loaded(case, made("gpt2_lm"), tmp_path / "a"))


def test_an_update_of_a_heads_output_is_refused_by_name(made: Maker, tmp_path: Path) -> None:
    theirs, _ = reference.reopen(BY_NAME["bert_pair"], made("bert_pair").folder)
    peft.get_peft_model(theirs, peft.LoraConfig(r=3, target_modules="all-linear")).save_pretrained(tmp_path / "a")
    with pytest.raises(CheckpointError, match=r"cls\.seq_relationship, the output of heads\.pair"):
        ph.load(made("bert_pair").folder).load_adapter(tmp_path / "a")


def test_experts_are_refused_by_name(made: Maker, tmp_path: Path) -> None:
    theirs, _ = reference.reopen(BY_NAME["mixtral_lm"], made("mixtral_lm").folder)
    peft.get_peft_model(theirs, peft.LoraConfig(r=3, target_modules="all-linear")).save_pretrained(tmp_path / "a")
    with pytest.raises(CheckpointError, match="target_parameters"):
        ph.load(made("mixtral_lm").folder).load_adapter(tmp_path / "a")
    model = ph.load(made("deepseek_v2").folder)
    adapt(model.net, LoraSpec(targets=("decoder.layers.2.ffn.shared.down",)), 0)
    with pytest.raises(ConfigError, match=r"PEFT would take model\.layers\.2\.mlp\.shared_experts\.down_proj for the experts'"):
        model.save_adapter(tmp_path / "b")


def test_what_is_not_plain_lora_is_refused_by_name(made: Maker, tmp_path: Path) -> None:
    for options, word in (({"use_dora": True}, "use_dora"), ({"bias": "lora_only"}, "bias lora_only"), ({"init_lora_weights": "pissa"}, "init_lora_weights pissa")):
        theirs, _ = reference.reopen(BY_NAME["llama_3"], made("llama_3").folder)
        peft.get_peft_model(theirs, peft.LoraConfig(r=2, target_modules=["q_proj"], **options)).save_pretrained(tmp_path / word)
        with pytest.raises(CheckpointError, match=word):
            ph.load(made("llama_3").folder).load_adapter(tmp_path / word)
    with pytest.raises(ConfigError, match="ViTForImageClassification"):
        model = ph.load(made("vit_classify").folder)
        adapt(model.net, LoraSpec(), 0)
        model.save_adapter(tmp_path / "v")
