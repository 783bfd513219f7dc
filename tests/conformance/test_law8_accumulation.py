"""Law 8: micro-batches give the gradient of the whole batch (weights per token), fp64 1e-12."""

import pytest
from hypothesis import given

from . import laws, specs

BROKEN = ("norm-batch", "experts_balance", "stochastic_depth")
KEPT = {
    n: s for n, s in specs.EVERY.items()
    if not any(b in n for b in BROKEN) and s.heads["out"].pool == "none" and s.heads["out"].output
}  # fmt: skip


@pytest.mark.parametrize(
    "spec", specs.cases("norm residual-first experts heads- seq2seq pattern-window relative-b sharing", KEPT)
)
def test_micro_batches_give_the_gradient_of_the_batch(spec):
    laws.law_accumulation(spec)


@specs.draws(10)
@given(specs.decoders())
def test_combinations(spec):
    block = spec.decoder.blocks["block"]
    steady = not block.residual.stochastic_depth and block.norm.kind != "batch" and not getattr(block.ffn, "balance", 0)
    if steady:
        laws.law_accumulation(spec)


def test_batch_norm_breaks_the_law():
    with pytest.raises(AssertionError, match="off by"):
        laws.law_accumulation(specs.DECODERS["norm-batch"])


def test_the_balance_loss_breaks_the_law_and_nothing_else_of_the_experts_does():
    spec = specs.DECODERS["ffn-experts_balance"]
    with pytest.raises(AssertionError, match="off by"):
        laws.law_accumulation(spec)
    laws.law_accumulation(spec, balanced=False)
