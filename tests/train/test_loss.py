"""Losses against their formulas in fp64; the cheap ways against the plain one."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyhead.train.loss import at_once, chunked_cross_entropy, cross_entropy, loss_sum

V, D = 11, 6


def sample(n: int = 14, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    weights = torch.rand(n, generator=g) * (torch.rand(n, generator=g) > 0.3)
    return torch.randn(n, V, generator=g, dtype=dtype) * 2, torch.randint(V, (n,), generator=g), weights


class Head(nn.Module):
    """Norm, tied-like table, bias and soft cap: parameters of several shapes behind a closure."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(1)
        self.table = nn.Parameter(torch.randn(V, D, generator=g, dtype=dtype))
        self.bias = nn.Parameter(torch.randn(V, generator=g, dtype=dtype))
        self.gain = nn.Parameter(torch.randn(D, generator=g, dtype=dtype))
        self.seen: list[int] = []

    def forward(self, hidden: Tensor) -> Tensor:
        self.seen.append(len(hidden))
        return 5 * torch.tanh(F.linear(F.rms_norm(hidden, (D,), self.gain), self.table, self.bias) / 5)


def grads(loss: Tensor, hidden: Tensor, head: Head) -> list[Tensor]:
    return list(torch.autograd.grad(loss, [hidden, *head.parameters()]))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("z", [0.0, 1e-2])
def test_the_formula(smoothing: float, z: float) -> None:
    logits, targets, weights = sample()
    target = (1 - smoothing) * F.one_hot(targets, V).double() + smoothing / V
    logp = logits - logits.exp().sum(-1, keepdim=True).log()
    rows = -(target * logp).sum(-1) + z * logits.exp().sum(-1).log() ** 2
    loss = cross_entropy(logits, targets, weights, smoothing, z)
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx((rows * weights).sum().item(), rel=1e-13)


def test_r13_smoothed_target_and_its_floor() -> None:
    """ε = 0.1, K = 3: [0.033, 0.933, 0.033]; read off the gradient at equal logits: softmax − target."""
    logits = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    cross_entropy(logits, torch.tensor([1]), torch.ones(1), smoothing=0.1).backward()
    assert logits.grad is not None
    target = 1 / 3 - logits.grad[0]
    torch.testing.assert_close(target, torch.tensor([0.1 / 3, 0.9 + 0.1 / 3, 0.1 / 3], dtype=torch.float64))
    big, eps = 37_000, 0.1  # the loss cannot fall below the entropy of the target
    p = torch.full((big,), eps / big, dtype=torch.float64)
    p[5] += 1 - eps
    floor = cross_entropy(p.log()[None], torch.tensor([5]), torch.ones(1), smoothing=eps)
    assert floor.item() == pytest.approx(-(p * p.log()).sum().item(), rel=1e-12)
    assert f"{floor.item():.3f}" == "1.377"


def test_b1_b3_sums_add_up_however_the_batch_is_cut() -> None:
    logits, targets, weights = sample()
    whole = cross_entropy(logits, targets, weights, 0.1)
    for cuts in ([7, 7], [10, 4], [1] * 14):
        parts = zip(*(t.split(cuts) for t in (logits, targets, weights)), strict=True)
        assert sum(cross_entropy(*part, 0.1).item() for part in parts) == pytest.approx(whole.item(), rel=1e-13)


@pytest.mark.parametrize("chunked", [False, True])
def test_b12_no_trained_token_gives_zero_and_finite_gradients(chunked: bool) -> None:
    head, hidden = Head(), torch.randn(9, D, dtype=torch.float64, requires_grad=True)
    targets, weights = torch.zeros(9, dtype=torch.long), torch.zeros(9)
    for limit, drop in ((V * 2 if chunked else 2**26, True), (V * 2 if chunked else 2**26, False)):
        loss = loss_sum(hidden, head, targets, weights, smoothing=0.1, z=0.1, limit_elements=limit, drop_untrained=drop)
        assert loss.item() == 0
        assert all((grad == 0).all() for grad in grads(loss, hidden, head))


def test_b13_smoothing_and_z_leave_out_untrained_tokens() -> None:
    logits, targets, weights = sample()
    weights[::3] = 0
    changed = torch.where((weights == 0)[:, None], torch.randn_like(logits) * 50, logits)
    a, b = (cross_entropy(x, targets, weights, smoothing=0.2, z=0.01) for x in (logits, changed))
    assert a.item() == b.item()
    kept = weights > 0
    assert a.item() == pytest.approx(
        cross_entropy(logits[kept], targets[kept], weights[kept], 0.2, 0.01).item(), rel=1e-13
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_large_logits_of_any_dtype_are_summed_in_fp32(dtype: torch.dtype) -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]], dtype=dtype, requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([1, 1]), torch.ones(2), smoothing=0.1)
    want = cross_entropy(logits.detach().double(), torch.tensor([1, 1]), torch.ones(2), smoothing=0.1)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(want.item(), rel=1e-6)
    loss.backward()
    assert logits.grad is not None and logits.grad.isfinite().all()
    many = torch.zeros(3000, 5, dtype=dtype)  # a bf16 sum would stop at 256
    total = cross_entropy(many, torch.zeros(3000, dtype=torch.long), torch.ones(3000))
    assert total.item() == pytest.approx(3000 * math.log(5), rel=1e-5)


def test_gradcheck() -> None:
    logits, targets, weights = sample(5)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, targets, weights.double(), 0.1, 0.01), logits)
    head, hidden = Head(), torch.randn(5, D, dtype=torch.float64, requires_grad=True)

    def chunked(h: Tensor, table: Tensor, bias: Tensor) -> Tensor:
        return 2 * chunked_cross_entropy(h, lambda x: F.linear(x, table, bias), targets, weights.double(), 0.1, 2, 0.01)

    assert torch.autograd.gradcheck(chunked, (hidden, head.table, head.bias))


@pytest.mark.parametrize("size", [1, 4, 5, 14, 100])
@pytest.mark.parametrize(("smoothing", "z"), [(0.0, 0.0), (0.1, 0.01)])
def test_chunked_equals_plain(size: int, smoothing: float, z: float) -> None:
    _, targets, weights = sample()
    head, hidden = Head(), torch.randn(2, 7, D, dtype=torch.float64, requires_grad=True)
    targets, weights = targets.view(2, 7), weights.view(2, 7)
    plain = cross_entropy(head(hidden), targets, weights, smoothing, z)
    chunked = chunked_cross_entropy(hidden, head, targets, weights, smoothing, size, z)
    torch.testing.assert_close(chunked, plain, rtol=1e-13, atol=1e-13)
    for got, want in zip(grads(chunked / 3, hidden, head), grads(plain / 3, hidden, head), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-13)


def test_chunked_never_holds_more_than_a_chunk() -> None:
    _, targets, weights = sample()
    weights += 1
    head, hidden = Head(), torch.randn(14, D, dtype=torch.float64, requires_grad=True)
    loss_sum(hidden, head, targets, weights, limit_elements=4 * V + 1).backward()
    assert max(head.seen) == 4 and sum(head.seen) == 14
    head.seen.clear()
    loss_sum(hidden, head, targets, weights, limit_elements=14 * V)
    assert sum(head.seen) == max(head.seen) == 14
    head.seen.clear()
    loss_sum(hidden, head, targets, weights, limit_elements=13 * V).backward()
    assert head.seen == [0, 0, 7, 7], "equal chunks, after two looks at the shape"


def test_on_a_cpu_chunks_are_of_cached_size_and_of_about_as_many_rows_as_the_width() -> None:
    for vocabulary, width, rows in ((6000, 192, 349), (33_278, 128, 128), (33_278, 256, 236), (256, 128, 8192), (50_257, 768, 1335)):
        assert at_once(True, vocabulary, width) // vocabulary == rows
        assert at_once(False, vocabulary, width) == 2**26
    head = Head()
    most = at_once(True, V, D) // V
    loss_sum(torch.randn(2 * most, D, dtype=torch.float64), head, torch.zeros(2 * most, dtype=torch.long), torch.ones(2 * most))
    assert max(head.seen) == most


def test_chunked_reaches_weights_behind_a_shared_graph_and_under_autocast() -> None:
    """The closure's weight is itself computed (a product, then autocast's cast), once for all chunks."""
    _, targets, weights = sample(dtype=torch.float32)
    a, b = (torch.randn(*shape, requires_grad=True) for shape in ((V, 3), (3, D)))
    hidden, results = torch.randn(14, D, requires_grad=True), []
    for size in (3, 14):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            table = a @ b
            loss = chunked_cross_entropy(hidden, lambda x, t=table: x @ t.T, targets, weights, 0.1, size)
        assert loss.dtype == torch.float32
        results.append([loss, *torch.autograd.grad(loss, [hidden, a, b])])
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want, rtol=2e-2, atol=2e-2)  # bf16 products, summed in another order


def test_chunked_without_gradients() -> None:
    _, targets, weights = sample()
    head, hidden = Head(), torch.randn(14, D, dtype=torch.float64)
    with torch.no_grad():
        quiet = chunked_cross_entropy(hidden, head, targets, weights, 0.0, 4)
    assert not quiet.requires_grad
    loss = chunked_cross_entropy(hidden, head, targets, weights, 0.0, 4)  # only the head is trained
    loss.backward()
    assert loss.item() == quiet.item() and head.bias.grad is not None
    for parameter in head.parameters():
        parameter.requires_grad_(False)
    frozen_head = hidden.clone().requires_grad_()  # only what lies below is trained
    chunked_cross_entropy(frozen_head, head, targets, weights, 0.0, 4).backward()
    want = torch.autograd.grad(cross_entropy(head(frozen_head), targets, weights), frozen_head)[0]
    torch.testing.assert_close(frozen_head.grad, want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("limit", [2 * V, 2**26])
def test_untrained_rows_are_not_projected(limit: int) -> None:
    _, targets, weights = sample()
    weights[:] = 0
    weights[[2, 3, 9]] = torch.tensor([1.0, 0.5, 2.0])
    head, hidden = Head(), torch.randn(14, D, dtype=torch.float64, requires_grad=True)
    dropped = loss_sum(hidden, head, targets, weights, smoothing=0.1, limit_elements=limit)
    assert sum(head.seen) == 3
    head.seen.clear()
    full = loss_sum(hidden, head, targets, weights, smoothing=0.1, limit_elements=limit, drop_untrained=False)
    assert sum(head.seen) == 14
    torch.testing.assert_close(dropped, full, rtol=1e-13, atol=0)
    for got, want in zip(grads(dropped, hidden, head), grads(full, hidden, head), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-13)
