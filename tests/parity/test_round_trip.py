"""Law 2: what came in leaves unchanged, and transformers opens what leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import polyhead as ph
from polyhead.errors import UserError

from . import reference
from .cases import BY_NAME, CASES, Case
from .common import ask, check, gap, same
from .reference import Made

Make, Open = Callable[[Case | str], Made], Callable[[Case | str], ph.Model]
WEIGHTS = "model.safetensors"
QUICK = [pytest.param(c, id=c.name, marks=() if c.fast else pytest.mark.slow) for c in CASES]


def copy_folder(source: Path, target: Path, change: Callable[[dict[str, Tensor]], None] | None = None, **config: object) -> Path:
    """The folder again with its tensors changed in place, and config keys replaced."""
    target.mkdir()
    tensors = load_file(source / WEIGHTS)
    if change is not None:
        change(tensors)
    save_file(tensors, target / WEIGHTS, {"format": "pt"})
    (target / "config.json").write_text(json.dumps({**json.loads((source / "config.json").read_text()), **config}))
    return target


@pytest.mark.parametrize("case", QUICK)
def test_weights_and_logits_survive_export(case: Case, made: Make, opened: Open, tmp_path: Path) -> None:
    asked, model, out = made(case), opened(case), tmp_path / "out"
    model.save(out, to="hf")
    before, after = load_file(asked.folder / WEIGHTS), load_file(out / WEIGHTS)
    before = {case.prefix + name: tensor for name, tensor in before.items()}
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert tensor.dtype == after[name].dtype and torch.equal(tensor, after[name]), name

    original, _ = reference.reopen(case, asked.folder)
    theirs, info = reference.reopen(case, out)
    assert not any(info.values()), info
    assert same(reference.ask(original, case, asked.batch), reference.ask(theirs, case, asked.batch))
    # our config is in the 4.x spelling, theirs in the 5.x one: both say the same
    assert ph.load(out).spec == model.spec
    assert type(model.spec).model_validate_json(model.spec.model_dump_json()) == model.spec


@pytest.mark.parametrize("case", QUICK)
def test_forward_never_sees_the_family(case: Case, made: Make, opened: Open) -> None:
    asked, model = made(case), opened(case)
    nets = [model.spec.model_copy(update={"family": family}).build(None).eval() for family in (model.spec.family, "x")]
    for net in nets:  # a product may round otherwise where weights are mapped: both have them in memory
        net.load_state_dict(model.net.state_dict())
    assert same(*(ask(net, case, asked.batch) for net in nets))


# ------------------------------------------------------------------------------------------------ spellings

OLD_KEYS = {
    "rope_theta", "rope_scaling", "rope_local_base_freq", "rotary_pct", "rotary_emb_base", "partial_rotary_factor", "global_rope_theta",
    "local_rope_theta", "num_experts", "sliding_window_pattern", "original_max_position_embeddings", "tie_word_embeddings",
}  # fmt: skip
NEW_KEYS = {"rope_parameters", "layer_types", "dtype", "_sliding_window_pattern", "scale_decoder_outputs", "tie_word_embeddings"}
SPELLED = [c for c in CASES if OLD_KEYS & c.fields.keys() and c.fast and "layer_types" not in c.fields]


@pytest.mark.parametrize("case", SPELLED, ids=str)
def test_both_spellings_of_a_config_say_the_same(case: Case, made: Make, opened: Open, tmp_path: Path) -> None:
    """The cases' fields are written as transformers 4 spells them; what transformers 5 saved is the other spelling."""
    folder = copy_folder(made(case).folder, tmp_path / "old")
    config = json.loads((folder / "config.json").read_text())
    dropped = NEW_KEYS | ({"num_local_experts"} if "num_experts" in case.fields else set())
    old = {k: v for k, v in config.items() if k not in dropped} | {k: v for k, v in case.fields.items() if k in OLD_KEYS}
    (folder / "config.json").write_text(json.dumps({**old, "torch_dtype": "float32", "transformers_version": "4.57.1"}))
    assert ph.load(folder).spec == opened(case).spec


# ------------------------------------------------------------------------------------------------ other files

BARE = ["bert_mlm", "roberta_mlm", "albert_mlm", "distilbert_mlm", "electra_generator", "modernbert_mlm", "deberta_mlm", "longformer_mlm",
        "bigbird_45", "gpt2_lm", "neox_parallel", "opt_pre", "bloom_lm", "falcon_40b", "llama_2", "bart_lm", "marian_mt", "led_lm", "whisper_lm",
        "vit_classify", "dinov2_classify"]  # fmt: skip


@pytest.mark.parametrize("name", BARE)
def test_a_base_checkpoint_has_no_prefix_and_loads_alike(name: str, made: Make, opened: Open, tmp_path: Path) -> None:
    case, asked = BY_NAME[name], made(name)
    headed, _ = reference.reopen(case, asked.folder)
    headed.base_model.save_pretrained(tmp_path)
    assert not load_file(tmp_path / WEIGHTS).keys() & load_file(asked.folder / WEIGHTS).keys(), "the prefix is still there"
    ours, full = ph.load(tmp_path), opened(name)
    assert ours.spec.stacks == full.spec.stacks
    bare = Case(case.name, case.family, case.model, case.fields, {}, case.feed, case.side, case.length, case.marks)
    assert same(ask(ours.net, bare, asked.batch), ask(full.net, bare, asked.batch))


DUPLICATES = {
    "bert_mlm": {"cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.bias": "cls.predictions.bias"},
    "gpt2_lm": {"lm_head.weight": "transformer.wte.weight"},
    "llama_2": {"lm_head.weight": "model.embed_tokens.weight"},
    "t5_lm": {f"{part}.weight": "shared.weight" for part in ("encoder.embed_tokens", "decoder.embed_tokens", "lm_head")},
    "bart_lm": {f"{part}.weight": "model.shared.weight" for part in ("model.encoder.embed_tokens", "model.decoder.embed_tokens", "lm_head")},
    "roberta_mlm": {"lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight", "lm_head.decoder.bias": "lm_head.bias"},
}
BUFFERS = {
    "bert_mlm": {"bert.embeddings.position_ids": torch.arange(64)[None]},
    "gpt2_lm": {"transformer.h.0.attn.bias": torch.ones(1, 1, 64, 64), "transformer.h.0.attn.masked_bias": torch.tensor(-1e4)},
    "llama_2": {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)},
}


@pytest.mark.parametrize("name", DUPLICATES)
def test_old_files_repeat_tied_tensors_and_carry_buffers(name: str, made: Make, opened: Open, tmp_path: Path) -> None:
    def add(tensors: dict[str, Tensor]) -> None:
        tensors.update({new: tensors[old].clone() for new, old in DUPLICATES[name].items()} | BUFFERS.get(name, {}))

    ours = ph.load(copy_folder(made(name).folder, tmp_path / "old", add))
    assert ours.spec == opened(name).spec
    batch = made(name).batch
    assert same(ask(ours.net, BY_NAME[name], batch), ask(opened(name).net, BY_NAME[name], batch))


def test_old_bert_files_say_gamma_and_beta(made: Make, opened: Open, tmp_path: Path) -> None:
    def rename(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors):
            old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
            tensors[old] = tensors.pop(name)

    ours = ph.load(copy_folder(made("bert_mlm").folder, tmp_path / "old", rename))
    assert same(ask(ours.net, BY_NAME["bert_mlm"], made("bert_mlm").batch), ask(opened("bert_mlm").net, BY_NAME["bert_mlm"], made("bert_mlm").batch))


@pytest.mark.parametrize("name", ["bert_mlm", "gpt2_lm", "llama_2", "t5_lm", "vit_classify"])
def test_a_tensor_too_many_or_too_few_is_named(name: str, made: Make, tmp_path: Path) -> None:
    extra = copy_folder(made(name).folder, tmp_path / "extra", lambda t: t.update({"surprise.weight": torch.zeros(3)}))
    with pytest.raises(UserError, match="surprise.weight"):
        ph.load(extra)
    lost = sorted(load_file(made(name).folder / WEIGHTS))[-1]
    with pytest.raises(UserError, match=lost.replace(".", r"\.") + "|more than the weights hold"):
        ph.load(copy_folder(made(name).folder, tmp_path / "short", lambda t: t.pop(lost)))


QUANTISED = {"deepseek_v3": "model.layers.0.self_attn.o_proj.weight_scale_inv", "gpt_oss_lm": "model.layers.0.mlp.experts.gate_up_proj_blocks",
             "llama_2": "model.layers.0.self_attn.q_proj.qweight"}  # fmt: skip


@pytest.mark.parametrize("name", QUANTISED)
def test_quantised_files_are_refused_as_such(name: str, made: Make, tmp_path: Path) -> None:
    folder = copy_folder(made(name).folder, tmp_path / "q", lambda t: t.update({QUANTISED[name]: torch.zeros(2, 2)}))
    with pytest.raises(UserError, match="quantised"):
        ph.load(folder)


def test_an_output_matrix_of_its_own_is_untied_whatever_the_config_says(made: Make, tmp_path: Path) -> None:
    case, asked = BY_NAME["llama_2"], made("llama_2")
    folder = copy_folder(asked.folder, tmp_path / "own", lambda t: t.update({"lm_head.weight": torch.randn(99, 32)}))
    theirs, _ = reference.reopen(case, folder)
    answer = reference.ask(theirs, case, asked.batch)
    check(gap(ask(ph.load(folder).net, case, asked.batch), answer, case, asked.batch), asked._replace(answer=answer))
