"""Memory against the measured peak in a process of its own; the step without numbers against the step itself."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polyhead.families import preset, presets
from polyhead.nn import LoraSpec, ModelSpec, Tokens
from polyhead.train import TrainingConfig
from polyhead.train.loss import loss_sum
from polyhead.train.memory import step_memory
from polyhead.train.shadow import Asked, shadow
from polyhead.train.trained import All
from tests.conformance import specs

from .peaks import CASES, in_child


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_peak_is_within_a_tenth_of_the_measured_one(name):
    found = in_child(name)
    assert found["planned"] == pytest.approx(found["measured"], rel=0.1)


def kept_by(spec: ModelSpec, rows: int, tokens: int) -> int:
    """Bytes that autograd really keeps for the backward pass, weights left out, each block of memory once."""
    model = spec.build(0).train()
    known, kept = {p.untyped_storage().data_ptr() for p in model.parameters()}, {}

    def keep(t: torch.Tensor) -> torch.Tensor:
        storage = t.untyped_storage()
        kept[storage.data_ptr()] = 0 if storage.data_ptr() in known else storage.nbytes()
        return t

    ids = torch.zeros(rows, tokens, dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        x, _ = model.hidden(Tokens(ids))
        loss = loss_sum(x, model.logits, ids, torch.ones(rows, tokens))
    del loss
    return sum(kept.values())


ALIKE = ["heads-", "norm-", "residual-", "gated_silu", "plain_gelu", "pattern-causal"]


@pytest.mark.parametrize("name", [n for n in specs.DECODERS if n.startswith(tuple(ALIKE))])
def test_what_is_kept_is_what_autograd_keeps(name):
    """Within a hundredth: ids, positions and masks that are alive anyway are not told from kept ones."""
    spec = specs.DECODERS[name]
    if spec.top.layers < 2:
        pytest.skip("one layer")
    config = TrainingConfig(batch=3, precision="fp32")
    course = step_memory(spec, config, 40).course
    top = next(m for m in course if not m.forward)
    forward = [m for m in course if m.forward][-1]
    parts = shadow(spec, All(), Asked(3, 40, 40))
    kept = top.activations + parts[top.where[0], "after"].forward.total.change
    assert forward.activations == top.activations
    assert kept == pytest.approx(kept_by(spec, 3, 40), rel=0.12)


def test_every_kind_of_preset_can_be_counted():
    names = [n for n in ("gpt2", "t5-small", "bert-base", "vit-base-16-224", "deepseek-v2-lite", "gemma-3-270m", "bigbird-roberta-base",
                         "deberta-v3-xsmall", "longformer-base-4096", "gpt-oss-20b", "whisper-tiny") if n in presets()]  # fmt: skip
    for name in names:
        spec = preset(name)
        tokens = 256 if spec.top.embedding.vocab and spec.encoder is None else spec.context
        tokens = 197 if name.startswith("vit") else 64 if name in ("t5-small",) else min(tokens, 448)
        source = 1500 if name.startswith("whisper") else None
        memory = step_memory(spec, TrainingConfig(batch=1, precision="fp32"), tokens, source=source)
        assert memory.peak["weights"] == 4 * spec.params().total
        assert memory.total == sum(memory.peak.values()) > 16 * spec.params().total * 0.99 or name == "t5-small"


@specs.draws(10)
@given(st.integers(1, 3), st.integers(2, 3), st.sampled_from([8, 16]))
def test_more_of_anything_needs_more(rows, layers, tokens):
    def needs(layers: int = layers, rows: int = rows, tokens: int = tokens) -> int:
        spec = specs.DECODERS["heads-grouped"] if "heads-grouped" in specs.DECODERS else next(iter(specs.DECODERS.values()))
        spec = spec.model_copy(update={"decoder": spec.decoder.model_copy(update={"layers": layers})})
        return step_memory(spec, TrainingConfig(batch=rows, precision="fp32"), tokens).full

    now = needs()
    assert sum(needs(rows=rows + 1).values()) > sum(now.values())
    assert sum(needs(tokens=tokens + 8).values()) > sum(now.values())
    assert sum(needs(layers=layers + 1).values()) > sum(now.values())
    assert needs(rows=2 * rows)["activations"] == pytest.approx(2 * now["activations"], rel=0.02)


def test_low_rank_updates_keep_no_gradient_of_what_is_frozen():
    spec = preset("gpt-nano")
    config = TrainingConfig(batch=2, precision="fp32")
    whole = step_memory(spec, config, 64)
    low = step_memory(spec, config.model_copy(update={"trained": LoraSpec(rank=2)}), 64)
    assert low.full["gradients"] < whole.full["gradients"] / 20 and low.total < whole.total


