"""Muon's update: orthogonalisation by few products, batched over the matrices of one shape (Jordan et al.,
kellerjordan.github.io/posts/muon). Which parameters it takes, and at what rate, is decided in optim.py."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from .optim import Group, MuonSpec

# Odd quintics a·x + b·x³ + c·x⁵ by number of steps: the greedy minimax composition of Polar Express (arXiv:2505.16932,
# Alg. 2), for singular values from REACH to 1 of the largest and a final band of 1 ± BAND. Each is the best on the
# interval that the one before maps to, but no wider than 1 : 5 (the paper's cushion, 0.2 here): the unrestrained ones
# pull some large singular values down to 2%, where rounding in bf16 loses them. ROOM keeps rounding inside the intervals.
BAND, ROOM = 0.3, 1.01
REACH = {2: 0.0479, 3: 0.01392, 4: 0.00405, 5: 0.00118}
_FIRST = {2: (5.970397, -12.254241, 8.002273), 3: (6.634339, -13.616982, 8.892171), 4: (6.85515, -14.070195, 9.188129), 5: (6.92149, -14.206359, 9.277046)}  # fmt: skip
_THEN = ((3.441034, -1.779574, 0.292811), (3.362423, -1.772739, 0.297359), (3.126635, -1.759982, 0.315198), (2.628351, -1.826851, 0.403986))  # fmt: skip


def quintics(steps: int) -> list[tuple[float, float, float]]:
    """The coefficients of each of `steps` (2 to 5) steps."""
    *early, last = _FIRST[steps], *_THEN[-(steps - 1) :]
    return [*((a / ROOM, b / ROOM**3, c / ROOM**5) for a, b, c in early), last]


def _segments(steps: int, aspect: float, half: bool) -> list[list[tuple[float, float, float]]]:
    """The steps, cut where the product is applied to the matrix and its Gram matrix is taken anew.

    n cuts cost 4·steps + n·(2·aspect − 3) products of the short side, so square matrices are cut after every step and long
    ones never; except in bf16, where errors of a Gram matrix, which grow about tenfold per step, are too large to start with.
    """
    length = 1 if half or aspect <= 1.5 else steps
    coefficients = quintics(steps)
    return [coefficients[i : i + length] for i in range(0, steps, length)]


def orthogonalise(x: Tensor, steps: int = 4, half: bool = False) -> Tensor:
    """The nearest (semi-)orthogonal matrix U·Vᵀ to each x = U·S·Vᵀ, about: singular values end in 1 ± 0.3.

    x (n, rows, columns) in fp32 or fp64, overwritten; half: the products in bf16. The band holds for singular values
    above REACH[steps] of the normaliser; smaller ones are raised by as much as these and stay below it; a zero matrix
    stays zero. The normaliser is the Schatten-8 norm, whose products are at hand: at most rank^(1/8) above the
    largest singular value where the usual Frobenius norm is up to rank^(1/2) above, which saves about one step.
    """
    if x.device.type != "cpu":
        return _newton_schulz(x, steps, half)
    # a share at a time: its few square matrices stay in a core's cache (a fifth faster at 128 x 128)
    short = min(x.shape[-2:])
    size = max(torch.get_num_threads(), 2**16 // short**2)
    for part in x.split(size):
        part.copy_(_newton_schulz(part, steps, half))
    return x


def _newton_schulz(x: Tensor, steps: int, half: bool) -> Tensor:
    """`orthogonalise` for matrices taken together, by products on the shorter side."""
    rows, columns = x.shape[-2:]
    tall = rows > columns
    x = x.div_(torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).add_(1e-7))
    x = x.bfloat16() if half else x
    normalised = False
    for segment in _segments(steps, max(rows, columns) / min(rows, columns), half):
        gram, product = (x.mT @ x if tall else x @ x.mT), None
        for i, (a, b, c) in enumerate(segment):
            if normalised:
                step = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
                step.diagonal(dim1=1, dim2=2).add_(a)
            else:
                step, normalised = _first_step(gram, a, b, c), True
            product = step if product is None else step @ product
            if i + 1 < len(segment):
                gram = step @ (gram @ step)
        assert product is not None
        x = x @ product if tall else product @ x
    return x


def _first_step(gram: Tensor, a: float, b: float, c: float) -> Tensor:
    """The first step's a + b·G + c·G² for a matrix divided by its Schatten-8 norm s; includes that division."""
    square = gram @ gram
    # s², summed in fp32; the floor keeps zero matrices at zero
    bound = torch.linalg.vector_norm(
        square, dim=(1, 2), keepdim=True, dtype=torch.promote_types(gram.dtype, torch.float32)
    )
    bound = bound.sqrt_().clamp_min_(1e-12)
    root = bound.rsqrt()
    step = square.mul_((c * root / bound.square()).to(gram.dtype)).addcmul_(gram, (b * root / bound).to(gram.dtype))
    step.diagonal(dim1=1, dim2=2).add_((a * root).to(gram.dtype).squeeze(-1))
    return step


class Muon:
    """Muon for the matrices of one shape: momentum and gradients in one buffer each, one batched orthogonalisation."""

    def __init__(self, spec: MuonSpec, group: Group, members: list[tuple[str, nn.Parameter]]) -> None:
        self.spec, self.lr, self.decay = spec, group.lr, group.weight_decay
        self.names, self.params = [name for name, _ in members], [parameter for _, parameter in members]
        first, shape = self.params[0], self.params[0].shape[-2:]
        self.sizes = [math.prod(parameter.shape[:-2]) for parameter in self.params]
        self.momentum = first.new_zeros(sum(self.sizes), *shape, requires_grad=False)
        self.grads = torch.empty_like(self.momentum)
        self.grad_views, self.momentum_views = self._views(self.grads), self._views(self.momentum)
        self.gain = spec.gain(*shape)
        on_cuda = first.device.type == "cuda" and first.dtype == torch.float32
        self.half = spec.precision == "bf16" or (spec.precision == "auto" and on_cuda)

    def _views(self, stack: Tensor) -> list[Tensor]:
        """The stack as one tensor per parameter, in the parameter's shape."""
        parts = stack.split(self.sizes)
        return [part.view(parameter.shape) for part, parameter in zip(parts, self.params, strict=True)]

    def step(self, factor: float, step: int) -> None:
        present = [i for i, parameter in enumerate(self.params) if parameter.grad is not None]
        if not present:
            return
        momentum = self.spec.momentum_at(step)
        idle = {i: self.momentum_views[i].clone() for i, p in enumerate(self.params) if p.grad is None}
        for i in idle:
            self.grad_views[i].zero_()
        grads = [parameter.grad for parameter in self.params if parameter.grad is not None]
        torch._foreach_copy_([self.grad_views[i] for i in present], grads)
        self.momentum.lerp_(self.grads, 1 - momentum)
        for i, kept in idle.items():  # a parameter without a gradient is left as it is, its momentum too
            self.momentum_views[i].copy_(kept)
        source = self.grads.lerp_(self.momentum, momentum) if self.spec.nesterov else self.grads.copy_(self.momentum)
        updates = self._views(orthogonalise(source, self.spec.steps, self.half).to(self.momentum.dtype))
        params: list[Tensor] = [self.params[i] for i in present]
        lr = self.lr * factor
        if self.decay:
            torch._foreach_mul_(params, 1 - lr * self.decay)
        torch._foreach_add_(params, [updates[i] for i in present], alpha=-lr * self.gain)

    def state(self) -> dict[str, Tensor]:
        return {f"{n}/momentum": view for n, view in zip(self.names, self.momentum_views, strict=True)}


def by_shape(spec: MuonSpec, group: Group) -> list[Muon]:
    """One batch per shape, dtype and device."""
    alike: dict[tuple[object, ...], list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in zip(group.names, group.params, strict=True):
        alike.setdefault((parameter.shape[-2:], parameter.dtype, parameter.device), []).append((name, parameter))
    return [Muon(spec, group, members) for members in alike.values()]
