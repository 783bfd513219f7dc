"""Token losses. Each returns a SUM over weighted targets; whoever calls it divides by the weights of everything that
makes up one update (all micro-batches, all ranks), so that accumulation, short last windows and ranks change nothing.

All arithmetic is in fp32 (fp64 stays fp64), whatever the dtype of the logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

Project = Callable[[Tensor], Tensor]


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor, smoothing: float = 0.0, z: float = 0.0) -> Tensor:
    """Σ w · ((1−ε) · nll + ε · mean over classes of nll + z · logsumexp²), a scalar in fp32.

    logits (..., V) of any float dtype, targets (...) long, weights (...): 0 = not trained, which leaves out the
    smoothing and z terms of that position too. All weights 0: the sum is 0 and so are the gradients.
    smoothing ε: the target distribution is (1−ε) · onehot + ε/V (arXiv:1512.00567, §7; ε = 0.1 in arXiv:1706.03762, §5.4).
    z: the weight of the squared log-normaliser (PaLM, arXiv:2204.02311, §5).
    """
    rows = logits.reshape(-1, logits.shape[-1])
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    wanted, weight = targets.reshape(-1), weights.reshape(-1).to(rows.dtype)
    losses = F.cross_entropy(rows, wanted, reduction="none", label_smoothing=smoothing)
    if z:
        losses = losses + z * rows.logsumexp(-1).square()
    return (losses * weight).sum()


@torch.compiler.disable
def chunked_cross_entropy(
    hidden: Tensor,
    project: Project,
    targets: Tensor,
    weights: Tensor,
    smoothing: float = 0.0,
    chunk_tokens: int = 1024,
    z: float = 0.0,
) -> Tensor:
    """`cross_entropy(project(hidden), ...)` with the logits of at most `chunk_tokens` positions alive at a time.

    hidden (..., D); project maps (n, D) -> (n, V) position by position, and may close over parameters: they get
    their gradients as usual. These are computed chunk by chunk during the forward pass, so that the logits are neither
    kept nor computed twice. The result can be differentiated once, and is not traced by torch.compile.
    """
    flat = hidden.reshape(-1, hidden.shape[-1])
    leaves: tuple[Tensor, ...] = ()
    if torch.is_grad_enabled():
        leaves = tuple(_leaves(project(flat.detach()[:0])))
    args = (project, smoothing, z, max(1, chunk_tokens))
    return _Chunked.apply(args, flat, targets.reshape(-1), weights.reshape(-1), *leaves)


def loss_sum(
    hidden: Tensor,
    project: Project,
    targets: Tensor,
    weights: Tensor,
    *,
    smoothing: float = 0.0,
    z: float = 0.0,
    limit_elements: int | None = None,
    drop_untrained: bool | None = None,
) -> Tensor:
    """The loss of a batch from the last hidden states, by the cheapest exact way.

    hidden (..., D), project: (n, D) -> (n, V), targets and weights (...). At most `limit_elements` logits are alive at
    a time (by default `at_once`): larger batches go in chunks. Where most weights are 0 (masked objectives), positions without one are not
    projected at all; that needs their number on the host, so by default it is looked up on the CPU only, where it is
    free; drop_untrained=True asks for it on any device, False never. Under torch.compile, whose shapes are
    static, nothing is dropped.
    """
    flat, wanted, weight = hidden.reshape(-1, hidden.shape[-1]), targets.reshape(-1), weights.reshape(-1)
    may_drop = hidden.device.type == "cpu" if drop_untrained is None else drop_untrained
    if may_drop and not torch.compiler.is_compiling():
        kept = weight.nonzero().squeeze(-1)
        if 2 * len(kept) < len(weight):
            flat, wanted, weight = flat[kept], wanted[kept], weight[kept]
    vocabulary = project(flat.detach()[:0]).shape[-1]
    if limit_elements is None:
        limit_elements = at_once(hidden.device.type == "cpu" and not torch.compiler.is_compiling(), vocabulary, flat.shape[-1])
    chunks = -(-len(flat) // max(1, limit_elements // vocabulary))
    if chunks <= 1:
        return cross_entropy(project(flat), wanted, weight, smoothing, z)
    return chunked_cross_entropy(flat, project, wanted, weight, smoothing, -(-len(flat) // chunks), z)


def at_once(eager_cpu: bool, vocabulary: int, width: int) -> int:
    """How many logits a training step should hold. On an eager CPU few: they stay in its caches, and in memory that the C
    library keeps (up to 32 MiB a block) rather than maps anew, page by page; 1.1 to 1.6 times as fast (benchmarks/loss.py).
    But no fewer rows than about `width`: each chunk's gradient of the head, V·D numbers, is added up. Elsewhere as many as
    are no burden to memory: kernels want large operands."""
    head = vocabulary * width
    return max(2**21, min(head, 15 * 2**19)) if eager_cpu and head <= 2**24 else 2**26


def _leaves(output: Tensor) -> Iterable[Tensor]:
    """The leaf tensors (parameters) that `output` was computed from and that want gradients."""
    seen, stack = set(), [output.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):  # AccumulateGrad, the end of a path
            yield node.variable
        stack.extend(parent for parent, _ in node.next_functions)


class _Chunked(torch.autograd.Function):
    """Loss forward and gradients in one sweep over chunks; backward only scales them."""

    @staticmethod
    def forward(ctx, args, hidden, targets, weights, *leaves):  # type: ignore[no-untyped-def, override]
        project, smoothing, z, size = args
        wanted = [hidden] * ctx.needs_input_grad[1] + list(leaves)
        sums = [torch.zeros_like(tensor) for tensor in wanted]
        total = torch.zeros((), dtype=torch.promote_types(hidden.dtype, torch.float32), device=hidden.device)
        for start in range(0, len(hidden), size):
            part = slice(start, start + size)

            def chunk(rows: Tensor, part: slice = part) -> Tensor:
                return cross_entropy(project(rows), targets[part], weights[part], smoothing, z)

            if not wanted:
                total += chunk(hidden[part])
                continue
            into = [sums[0][part], *sums[1:]] if ctx.needs_input_grad[1] else sums
            total += _accumulate(chunk, hidden[part], leaves, into)
        ctx.save_for_backward(*sums)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, scale):  # type: ignore[no-untyped-def, override]
        grads = [grad * scale for grad in ctx.saved_tensors]
        d_hidden = grads.pop(0) if ctx.needs_input_grad[1] else None
        return None, d_hidden, None, None, *grads


def _accumulate(
    chunk: Callable[[Tensor], Tensor], hidden: Tensor, leaves: tuple[Tensor, ...], into: list[Tensor]
) -> Tensor:
    """Loss of one chunk; its gradients (for `hidden` too, if `into` has one more place than leaves) are added to `into`.

    A function of its own, so that the chunk's logits are gone before the next one's come.
    """
    wants_hidden = len(into) > len(leaves)
    with torch.enable_grad():
        rows = hidden.detach().requires_grad_(wants_hidden)
        loss = chunk(rows)
    # the closure's own graph (a cast weight, say) is shared by all chunks and must outlive this one
    inputs = [rows, *leaves] if wants_hidden else list(leaves)
    grads = torch.autograd.grad(loss, inputs, retain_graph=True, allow_unused=True)
    for place, grad in zip(into, grads, strict=True):
        if grad is not None:
            place.add_(grad)
    return loss.detach()
