"""Law 7: rows that may see nothing stay finite, forward and backward, and leave others alone."""

import pytest
import torch
from hypothesis import given

from polyhead import nn as ph
from polyhead.nn.at import At
from polyhead.nn.attend import attend, lower

from . import laws, specs

STEADY = {n: s for n, s in specs.EVERY.items() if "stochastic" not in n}
FAST = "content pattern-window pattern-causal pattern-full heads relative-a relative-b norm seq2seq experts head-classify embed kinds"


@pytest.mark.parametrize("spec", specs.cases(FAST, STEADY))
def test_a_row_of_padding_is_finite_and_harms_nobody(spec):
    laws.law_masked_rows(spec)


@pytest.mark.parametrize("spec", specs.cases("pattern-window pattern-causal seq2seq relative-b", STEADY))
def test_a_row_of_padding_is_finite_in_fp32(spec):
    laws.law_masked_rows(spec, torch.float32)


@pytest.mark.parametrize("name", specs.BLOCKS)
def test_a_row_of_padding_is_finite_in_blocks(name):
    laws.law_masked_rows(specs.encoder(pattern=specs.BLOCKS[name]))


def test_a_marked_pad_is_no_token():
    """A mark on padding changes nothing and stays finite, with global heads and without."""
    pos = torch.tensor([[0, 1, 2, 3, 4, 5, -1, -1], [-1] * 8])
    mark = torch.zeros(2, 8, dtype=torch.bool)
    mark[:, 2] = True
    for own in (True, False):
        spec = specs.encoder(pattern=specs.TWO_SIDED["globals"], global_heads=own)
        model, ids = specs.build(spec), laws.random_ids(2, 8)
        for backend in ("reference", "sdpa", "banded"):
            model.use(backend).zero_grad()
            out = model(ph.Tokens(ids, pos, mark=mark, padded=True))
            out.square().sum().backward()
            assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())
            more = model(ph.Tokens(ids, pos, mark=mark | (pos < 0), padded=True))
            assert torch.isfinite(out).all()
            laws.close(more[0, :6], out[0, :6])


@specs.draws(12)
@given(specs.models())
def test_combinations(spec):
    if not any(b.residual.stochastic_depth for s in spec.stacks.values() for b in s.blocks.values()):
        laws.law_masked_rows(spec)


@pytest.mark.parametrize("backend", ["reference", "sdpa", "banded", "flex"])
@pytest.mark.parametrize("biased", [False, True])
def test_b17_a_fully_masked_query_gives_zeros_and_finite_gradients(backend, biased):
    """Rows of padding, and queries whose window holds nobody: output 0, not NaN and not an average."""
    length = 9
    pos = torch.full((2, length), -1)
    pos[1] = torch.arange(length)
    at = At(pos, padded=True)
    bias = (lambda head, q, k: -(q.pos - k.pos).abs() * 0.1 * (head + 1)) if biased else None
    dtype = torch.float64
    lowered = lower(
        ph.Window(back=2), at, at, heads=2, fresh=True, packed=False, dtype=dtype, bias=bias, backend=backend
    )
    q, k, v = (torch.randn(2, 2, length, 4, dtype=dtype, generator=torch.Generator().manual_seed(i)) for i in range(3))
    if backend == "flex":
        out = attend(q, k, v, lowered, scale=0.5)
    else:
        leaves = [t.requires_grad_() for t in (q, k, v)]
        out = attend(*leaves, lowered, scale=0.5)
        for grad in torch.autograd.grad(out.square().sum(), leaves):
            assert torch.isfinite(grad).all() and (grad[0] == 0).all()
    assert (out[0] == 0).all() and torch.isfinite(out).all() and (out[1] != 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("backend", ["reference", "sdpa"])
def test_b18_causal_and_padding_masks_do_not_sum_to_infinity(dtype, backend):
    """One boolean mask, never two sums of the smallest float: finite in every dtype, B22's fp16 too."""
    pos = torch.tensor([[-1, -1, 0, 1, 2, 3], [0, 1, 2, 3, -1, -1]])
    at = At(pos, padded=True)
    lowered = lower(ph.Causal(), at, at, heads=2, fresh=True, packed=False, dtype=dtype, backend=backend)
    q, k, v = (torch.randn(2, 2, 6, 4).to(dtype) * 8 for _ in range(3))
    out = attend(q, k, v, lowered, scale=1.0)
    assert torch.isfinite(out).all()
    exact = attend(*(t.double() for t in (q, k, v)), lowered, scale=1.0)
    laws.close(out.double(), exact, {torch.float16: 2e-2, torch.bfloat16: 1e-1, torch.float32: 1e-4}[dtype])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_b22_softmax_in_half_precision_survives_large_biases(dtype):
    """ALiBi over long distances and a hidden key: the reference path's statistics are fp32."""
    pos = torch.arange(600)[None]
    at = At(pos)
    lowered = lower(
        ph.Causal(), at, at, heads=1, fresh=True, packed=False, dtype=dtype, backend="reference",
        bias=lambda head, q, k: -(q.pos - k.pos).abs() * 200.0 + 0.0 * head,
    )  # fmt: skip
    q, k, v = (torch.randn(1, 1, 600, 4).to(dtype) for _ in range(3))
    assert torch.isfinite(attend(q, k, v, lowered, scale=0.5)).all()


def test_b19_nan_of_a_pad_token_stays_in_its_own_row_of_the_table():
    """A masked NaN value would reach the output (0 · NaN), so nothing the cache holds may start undefined."""
    model = specs.build(specs.DECODERS["pattern-causal"])
    cache = model.new_cache(2, 8)
    for store in cache.stores:
        for slots in store.slots:
            assert (slots == 0).all(), "caches start as zeros, never empty"


@pytest.mark.parametrize("name", ["heads-multi_head", "pattern-window", "relative-alibi"])
def test_an_empty_batch_passes(name):
    model = specs.build(specs.DECODERS[name])
    assert model(ph.Tokens(torch.zeros(0, 5, dtype=torch.long))).shape == (0, 5, specs.VOCAB)
