"""What is graded of the exercise `attention`. Each point is built so that one kind of mistake misses it, and others do not:
the points on heads and masks compare at the scale the file itself uses, or at scores that are all equal."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..point import Missed, Point, near, shaped

F64 = torch.float64


def _eye(width: int, times: float = 1.0) -> Tensor:
    return times * torch.eye(width, dtype=F64)


def _random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=F64)


def _weights(width: int) -> list[Tensor]:
    return [_random(width, width) / math.sqrt(width) for _ in range(4)]


def _level(width: int) -> list[Tensor]:
    """Weights for which all scores are 0, and values and outputs are the tokens themselves."""
    return [torch.zeros(width, width, dtype=F64), torch.zeros(width, width, dtype=F64), _eye(width), _eye(width)]


def _truth(x: Tensor, weights: list[Tensor], heads: int, causal: bool, keep: Tensor | None, scale: float | None) -> Tensor:
    rows, length, width = x.shape
    q, k, v = ((x @ w).view(rows, length, heads, -1).transpose(1, 2) for w in weights[:3])
    allowed = torch.ones(length, length, dtype=torch.bool)[None, None]
    allowed = (allowed.tril() if causal else allowed).expand(rows, 1, -1, -1)
    if keep is not None:
        allowed = allowed & keep[:, None, None, :]
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, scale=scale)
    return out.transpose(1, 2).reshape(rows, length, width) @ weights[3]


def _scale(module: Any, width: int, heads: int) -> float | None:
    """The factor on q·k that the file uses: two opposite tokens, whose output is tanh(factor · q·k). None: not to be seen."""
    inner = width // heads
    times = inner**-0.25
    x = torch.stack([torch.ones(width, dtype=F64), -torch.ones(width, dtype=F64)])[None]
    out = shaped(module.attention(x, _eye(width, times), _eye(width, times), _eye(width), _eye(width), heads), (1, 2, width))
    seen = float(out[0, 0].mean())
    return math.atanh(seen) / math.sqrt(inner) if 0 < seen < 1 else None


def _own_scale(module: Any, width: int, heads: int) -> float:
    try:
        found = _scale(module, width, heads)
    except Exception:
        found = None
    return found or (width // heads) ** -0.5


def _shape(module: Any) -> None:
    for rows, length, width, heads in ((2, 5, 8, 2), (1, 1, 12, 3)):
        shaped(module.attention(_random(rows, length, width), *_weights(width), heads), (rows, length, width))


def _average(module: Any) -> None:
    x = _random(2, 6, 4)
    out = module.attention(x, *_level(4), 1)
    near(out, x.mean(1, keepdim=True).expand(-1, 6, -1), "the mean of all tokens, where all scores are equal")


def _scaled(module: Any) -> None:
    for width, heads in ((16, 1), (32, 4)):
        inner, found = width // heads, _scale(module, width, heads)
        if found is None or abs(found - inner**-0.5) > 1e-6:
            named = {1.0: "no scale", width**-0.5: f"1/√{width}, of the whole width", 1 / inner: f"1/{inner}, without the root"}
            words = [word for value, word in named.items() if found is not None and abs(found - value) < 1e-6]
            came = "another function of the scores" if found is None else ", ".join([f"{found:.4g}", *words])
            heads_in_words = f"{heads} heads" if heads > 1 else "1 head"
            raise Missed(f"a factor of 1/√{inner} = {inner**-0.5:.4g} (width {width}, {heads_in_words})", came)


def _heads(module: Any) -> None:
    x, weights = _random(2, 5, 12), _weights(12)
    scale = _own_scale(module, 12, 3)
    near(module.attention(x, *weights, 3), _truth(x, weights, 3, False, None, scale), "3 heads, each on its part of the projections")


def _future(module: Any) -> None:
    x = _random(1, 6, 4)
    other = x.clone()
    other[:, 4:] += 1
    one, two = (shaped(module.attention(y, *_level(4), 1, causal=True), (1, 6, 4)) for y in (x, other))
    if (worst := float((one - two)[:, :4].abs().nan_to_num(0).max())) > 1e-9:
        raise Missed("tokens 0 to 3 unchanged when tokens 4 and 5 change (causal)", f"a change of {worst:.3g}")


def _itself(module: Any) -> None:
    x = _random(1, 4, 4)
    out = shaped(module.attention(x, *_level(4), 1, causal=True), (1, 4, 4))
    for t in range(4):
        other = x.clone()
        other[:, t] += 1
        moved = float((module.attention(other, *_level(4), 1, causal=True) - out)[0, t].abs().max())
        if not moved > 1e-9:
            raise Missed(f"the output of token {t} depends on token {t} itself (causal)", "it does not")


def _sums(module: Any) -> None:
    x, ones = torch.cat([_random(2, 6, 7), torch.ones(2, 6, 1, dtype=F64)], -1), torch.zeros(8, 8, dtype=F64)
    ones[7] = 1  # every value vector is (1, …, 1)
    out = shaped(module.attention(x, _eye(8), _eye(8), ones, _eye(8), 2, causal=True), (2, 6, 8))
    out = out[:, 1:].flatten()  # from the second token on, whether or not a token sees itself
    worst = out[int((out - 1).abs().nan_to_num(9).argmax())]
    if not abs(float(worst) - 1) < 1e-9:
        raise Missed("weights that sum to 1 under a mask, for masked scores take no part in the softmax", f"a sum of {float(worst):.4g}")


def _padding(module: Any) -> None:
    x, keep = _random(2, 6, 4), torch.tensor([[True] * 4 + [False] * 2, [False] * 3 + [True] * 3])
    other = torch.where(keep[..., None], x, x + 1)
    one, two = (shaped(module.attention(y, *_level(4), 1, keep=keep), (2, 6, 4)) for y in (x, other))
    if (worst := float((one - two)[keep].abs().nan_to_num(0).max())) > 1e-9:
        raise Missed("kept tokens unchanged when padding changes", f"a change of {worst:.3g}")


def _blind(module: Any) -> None:
    x = _random(2, 3, 4).requires_grad_()
    keep = torch.tensor([[True, True, True], [False, False, False]])
    out = shaped(module.attention(x, *_weights(4), 2, causal=True, keep=keep), (2, 3, 4))
    near(out[1].detach(), torch.zeros(3, 4, dtype=F64), "zeros where a token may see nothing")
    out.sum().backward()
    if x.grad is None or not bool(torch.isfinite(x.grad).all()):
        raise Missed("finite gradients where a token may see nothing", "no gradient" if x.grad is None else "NaN")


def _large(module: Any) -> None:
    x = 1e3 * _random(1, 4, 4).float()
    out = shaped(module.attention(x, *(w.float() for w in _weights(4)), 2, causal=True), (1, 4, 4))
    if not bool(torch.isfinite(out).all()):
        raise Missed("finite numbers at scores of a million (fp32)", "NaN or infinity: subtract the largest score before the exponential")


def _together(module: Any) -> None:
    x, weights, keep = _random(3, 7, 12), _weights(12), torch.ones(3, 7, dtype=torch.bool)
    keep[0, 5:], keep[1, 2] = False, False
    for causal, mask in ((False, None), (True, None), (False, keep), (True, keep)):
        what = f"torch's own attention, causal={causal}, {'no padding' if mask is None else 'with padding'}"
        near(module.attention(x, *weights, 4, causal=causal, keep=mask), _truth(x, weights, 4, causal, mask, None), what)


POINTS = (
    Point("shape", "the output has the input's shape", _shape),
    Point("average", "equal scores give the mean of the values", _average),
    Point("scale", "scores are divided by the root of a head's width", _scaled),
    Point("heads", "each head works on its own part of the projections", _heads),
    Point("future", "with a causal mask no token sees a later one", _future),
    Point("itself", "with a causal mask every token sees itself", _itself),
    Point("before", "the mask comes before the softmax", _sums),
    Point("padding", "nobody sees padding", _padding),
    Point("blind", "a token that sees nothing gets zeros and finite gradients", _blind),
    Point("large", "large scores do not overflow", _large),
    Point("together", "all of it equals torch's scaled_dot_product_attention", _together),
)
