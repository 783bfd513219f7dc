"""The training loop: batches → loss → gradients → update, with everything that must not go wrong around it.

    for each step: micro-batches → Σ loss / Σ weights (over micro-batches and ranks) → clip → finite? → update
Every step is a pure function of (seed, step, weights, optimizer state): resume needs nothing else.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from polyhead.data import Loader, Objective
from polyhead.errors import CheckpointError, NonFiniteError
from polyhead.generate.folder import weights
from polyhead.nn import Batch, Tokens, Transformer

from .best import Best
from .config import TrainingConfig
from .objectives import Learner
from .optim import Optimizer
from .parallel import ALONE, Ranks
from .trained import still

Stream = Generator[list[Batch], None, None]


class Step(NamedTuple):
    """What one update did. loss: nats per trained token before the update; norm: of the whole gradient, unclipped;
    tokens: read by the model over all ranks, padding not counted."""

    loss: float
    norm: float
    tokens: int


class Evaluation(NamedTuple):
    """nats: summed negative log-likelihood; weight: targets it is summed over; figures: what else was measured, by name."""

    nats: float
    weight: float
    figures: dict[str, float] = {}

    @property
    def loss(self) -> float:
        """Nats per target; NaN when there were none."""
        return self.nats / self.weight if self.weight else math.nan

    def bits_per_byte(self, size: int) -> float:
        """Bits per byte of text when the targets cover `size` bytes: comparable between tokenizers."""
        return self.nats / math.log(2) / size if size else math.nan


class Trainer:
    """A model, its optimizer and how it learns. `step` makes one update; `evaluate` none. learner None: the config's. What
    requires a gradient learns: norms, averages and optimizer state are of that alone. A checkpoint holds the whole model,
    frozen parts too: it needs nothing else."""

    def __init__(
        self,
        net: Transformer,
        config: TrainingConfig,
        *,
        seed: int,
        ranks: Ranks = ALONE,
        compiled: bool = False,
        learner: Learner | None = None,
    ) -> None:
        self.net, self.config, self.seed, self.ranks = net.to(ranks.device), config, seed, ranks
        net.use(checkpoint=config.checkpointing)
        self.learner = config.objective.learner(self.net, config) if learner is None else learner
        self.whole = joined(self.net, self.learner.beside)
        self.whole.to(ranks.device)
        self.optimizer = Optimizer(self.whole, config.optimizer)
        self.params = [p for p in self.whole.parameters() if p.requires_grad]
        own = [(n, p) for n, p in net.named_parameters() if p.requires_grad]
        self.ema = {n: p.detach().clone() for n, p in own} if config.ema else None
        beside = {} if self.learner.beside is None else {"best_beside": self.learner.beside}
        self.best = None if config.best is None else Best(config.best, config.objective.told, {"best": self.net, **beside})
        self.still = still(net)
        self.random = self.learner.random or needs_random(net)
        self.forward: Callable[[Batch], tuple[Tensor, Tensor | None]] = self._forward
        if compiled:
            self.forward = torch.compile(self._forward, dynamic=False)

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """(Σ weighted loss, what is a mean already, or None)."""
        with self._precision():
            return self.learner.loss(batch)

    def _precision(self) -> Any:
        if self.config.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.ranks.device.type, dtype=torch.bfloat16)

    def step(self, micros: list[Batch], step: int) -> Step:
        """One update, number `step` from 0, from this rank's micro-batches. Raises NonFiniteError before the weights
        are touched when the loss or a gradient is NaN or infinite."""
        train_mode(self.net, self.learner.beside, True)
        for module in self.still:
            module.eval()
        self.optimizer.zero_grad()  # a step that failed half-way may have left some
        micros = [move(typed(batch, self.net), self.ranks.device) for batch in micros]
        counts = torch.stack([torch.stack([self.learner.weight(batch).sum(), tokens_of(batch)]) for batch in micros]).sum(0)
        weight, tokens = self.ranks.sum(counts)
        weight, loss = weight.clamp(min=1e-9), torch.zeros((), device=self.ranks.device)
        for micro, batch in enumerate(micros):
            if self.random:  # dropout's stream belongs to (seed, step, micro, rank): nothing to save for resume
                torch.manual_seed(mixed(self.seed, step, micro, self.ranks.rank))
            total, balance = self.forward(batch)
            part = total / weight
            if balance is not None:
                more = balance / (len(micros) * self.ranks.world)
                part = part + more
                loss += more.detach() if self.learner.told else 0
            part.backward()
            loss += total.detach() / weight
        self.ranks.sum_grads(self.params)
        norm = self.optimizer.clip(self.config.clip or math.inf)
        loss_value, norm_value, tokens_value = torch.stack([self.ranks.sum(loss), norm.to(loss.dtype), tokens]).tolist()
        if not math.isfinite(loss_value) or not math.isfinite(norm_value):
            self._refuse(step, loss_value, norm_value)
        factor = self.config.schedule.factor(step, self.config.steps)
        self.optimizer.step(factor, step)
        self.optimizer.zero_grad()
        self._average(step)
        return Step(loss_value, norm_value, int(tokens_value))

    def _average(self, step: int) -> None:
        """EMA ← d·EMA + (1 − d)·w, with d = min(decay, (1 + t) / (10 + t)) while it warms up."""
        if self.ema is None or self.config.ema is None:
            return
        decay = min(self.config.ema, (1 + step) / (10 + step))
        pairs = dict(self.net.named_parameters())
        torch._foreach_lerp_(list(self.ema.values()), [pairs[n].detach() for n in self.ema], 1 - decay)

    def _refuse(self, step: int, loss: float, norm: float) -> None:
        bad = [n for n, p in self.whole.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
        self.optimizer.zero_grad()
        where = [] if math.isfinite(loss) else ["the loss"]
        if bad:
            where.append(f"the gradient of {', '.join(bad[:3])}" + (f" and {len(bad) - 3} more" if len(bad) > 3 else ""))
        where = where or ["the norm, which is too large for fp32"]
        raise NonFiniteError(
            f"step {step + 1}: loss {loss}, gradient norm {norm}; stopped before the weights were touched",
            expected="finite numbers",
            received=f"NaN or infinity in {' and '.join(where)}",
            change="lower the learning rate, lengthen the warm-up, clip harder, or use precision fp32; "
            "--resume goes on from the last checkpoint",
        )

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The averaged weights in place of the trained ones, if an average is kept."""
        if self.ema is None:
            yield
            return
        live = {n: p.detach().clone() for n, p in self.net.named_parameters() if n in self.ema}
        self._put(self.ema)
        try:
            yield
        finally:
            self._put(live)

    @torch.no_grad()
    def _put(self, values: dict[str, Tensor]) -> None:
        for name, p in self.net.named_parameters():
            if name in values:
                p.copy_(values[name])

    def evaluate(self, data: Objective, batch: int, limit: int | None = None) -> Evaluation:
        """Loss over the whole of `data` once (or its first `limit` batches of `batch` rows over all ranks together),
        without smoothing; all ranks share it."""
        with self.averaged():
            return evaluate(self.net, data, batch, limit=limit, ranks=self.ranks, precision=self._precision, learner=self.learner)

    def offer(self, step: int, figures: Mapping[str, float]) -> None:
        """What an evaluation found, by name: if it is the best, its weights are kept."""
        if self.best is not None:
            with self.averaged():
                self.best.offer(step, figures)

    def conclude(self) -> None:
        """Put the weights in place that a run ends with: of the best evaluation, else the averaged ones, else the last."""
        if self.ema is not None:
            self._put(self.ema)
        if self.best is not None:
            self.best.put()

    def state(self) -> dict[str, Any]:
        """What a checkpoint must say beside its tensors."""
        return {} if self.best is None else self.best.state()

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Everything a checkpoint must hold, by group."""
        groups = {"model": weights(self.net), "optimizer": self.optimizer.state_tensors()}
        groups |= {"beside": weights(self.learner.beside)} if self.learner.beside is not None else {}
        groups |= {} if self.best is None else self.best.groups
        return groups | ({"ema": dict(self.ema)} if self.ema is not None else {})

    def load(self, load: Callable[[str], dict[str, Tensor]], state: Mapping[str, Any] | None = None) -> None:
        """Take a checkpoint's tensors, and what `state` said; bit-exact."""
        load_weights(self.net, load("model"))
        if self.learner.beside is not None:
            load_weights(self.learner.beside, load("beside"))
        self.optimizer.load_state_tensors(load("optimizer"))
        if self.ema is not None:
            for name, value in load("ema").items():
                self.ema[name].copy_(value)
        if self.best is not None and (told := (state or {}).get("best")) is not None:
            self.best.take(told, load)


@torch.inference_mode()
def evaluate(
    net: Transformer,
    data: Objective,
    batch: int,
    *,
    limit: int | None = None,
    ranks: Ranks = ALONE,
    precision: Callable[[], Any] = nullcontext,
    learner: Learner | None = None,
) -> Evaluation:
    """Summed loss of `net` over `data`, every target counted once; of its first `limit` batches, whatever the ranks.
    learner None: cross-entropy, token by token."""
    was = net.training
    learner = Learner(net, TrainingConfig()) if learner is None else learner
    train_mode(net, learner.beside, False)
    wide = torch.float32 if ranks.device.type == "mps" else torch.float64  # MPS has no doubles
    sums = {name: torch.zeros((), dtype=wide, device=ranks.device) for name in ("nats", "weight", *learner.counts)}
    for number, part in enumerate(data.evaluation(batch, rank=ranks.rank, world=ranks.world)):
        if limit is not None and number * ranks.world + ranks.rank >= limit:
            break
        part = move(typed(part, net), ranks.device)
        with precision():
            found = learner.measure(part)
        sums = {name: total + found[name].to(wide) for name, total in sums.items()}
    train_mode(net, learner.beside, was)
    totals = dict(zip(sums, ranks.sum(torch.stack(list(sums.values()))).tolist(), strict=True))
    return Evaluation(totals["nats"], totals["weight"], learner.figures(totals))


class Joined(nn.Module):
    """A model and what is trained beside it, under the model's own names."""

    def __init__(self, net: Transformer, beside: nn.Module) -> None:
        super().__init__()
        for name, child in net.named_children():
            self.add_module(name, child)
        self.beside = beside


def joined(net: Transformer, beside: nn.Module | None) -> nn.Module:
    return net if beside is None else Joined(net, beside)


def train_mode(net: Transformer, beside: nn.Module | None, mode: bool) -> None:
    for module in (net, beside):
        if module is not None:
            module.train(mode)


def tokens_of(batch: Batch) -> Tensor:
    """How many tokens the model reads, padding left out, so that every split of a step counts the same."""
    if batch.source is not None:  # targets are padded without a position of their own, with weight 0
        return (batch.weights > 0).sum().float() + _real(batch.source)
    return _real(batch.inputs)


def _real(tokens: Tokens) -> Tensor:
    if tokens.pos is None:
        read = tokens.ids if tokens.signal is None else tokens.signal
        assert read is not None, "tokens are ids or a signal"
        rows = read.numel() if tokens.signal is None else len(read)  # an image counts as one
        return torch.tensor(float(rows), device=read.device)
    return (tokens.pos >= 0).sum().float()


def move(batch: Batch, device: torch.device) -> Batch:
    """The batch on `device`; itself when it is there already."""
    if device.type == "cpu":
        return batch

    def go(t: Any) -> Any:
        return t.to(device, non_blocking=True) if isinstance(t, Tensor) else t

    source = None if batch.source is None else Tokens(*map(go, batch.source))
    return Batch(Tokens(*map(go, batch.inputs)), go(batch.targets), go(batch.weights), source, go(batch.labels))


def typed(batch: Batch, net: Transformer) -> Batch:
    """The batch as the model reads it: without token types where it has no table of them (DistilBERT)."""
    inputs, stack = batch.inputs, next(iter(net.spec.stacks.values()))
    return batch if inputs.types is None or stack.embedding.types else batch._replace(inputs=inputs._replace(types=None))


def mixed(*parts: int) -> int:
    """One 63-bit seed from several numbers (splitmix64 steps); equal parts, equal seed, on every machine."""
    state = 0
    for part in parts:
        state = (state ^ part) * 0x9E3779B97F4A7C15 & 0xFFFF_FFFF_FFFF_FFFF
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFF_FFFF_FFFF_FFFF
        state ^= state >> 27
    return state >> 1


def needs_random(net: Transformer) -> bool:
    """Whether training draws random numbers inside the model."""
    places = net.spec.dropout.model_dump().values()
    stacks, lora = net.spec.stacks.values(), net.spec.lora
    return any(places) or bool(lora and lora.dropout) or any(b.residual.stochastic_depth for s in stacks for b in s.blocks.values())


def load_weights(net: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copy saved weights into `net`; names and shapes must match exactly."""
    own = weights(net)
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    shapes = [n for n in own.keys() & tensors.keys() if own[n].shape != tensors[n].shape]
    if missing or extra or shapes:
        raise CheckpointError(
            "the weights do not fit the spec beside them",
            expected="the same names and shapes",
            received=f"missing {missing[:3]}, unknown {extra[:3]}, other shapes {shapes[:3]}",
            change="use the spec the weights were saved with",
        )
    for name, value in own.items():
        value.copy_(tensors[name])


class Rate:
    """Tokens per second over the recent past, pauses (evaluation, saving) left out."""

    def __init__(self, window: float = 5.0) -> None:
        self.window, self.seconds, self.tokens = window, 0.0, 0.0
        self.mark = time.perf_counter()

    def start(self) -> None:
        self.mark = time.perf_counter()

    def add(self, tokens: int) -> float:
        now = time.perf_counter()
        self.seconds, self.mark, self.tokens = self.seconds + now - self.mark, now, self.tokens + tokens
        rate = self.tokens / max(self.seconds, 1e-9)
        if self.seconds > self.window:
            self.seconds, self.tokens = self.seconds / 2, self.tokens / 2
        return rate


def batches(data: Objective, config: TrainingConfig, seed: int, ranks: Ranks, start: int) -> Stream:
    """This rank's micro-batches of each step from `start` to the last. Close it to stop the thread that makes them."""
    loader = Loader(data, batch=config.batch, seed=seed, rank=ranks.rank, world=ranks.world)
    return cast(Stream, loader.iterate(start, config.accumulate, stop=config.steps))
