"""Turing machines, and Transformers whose weights are written by hand so that they run them.

One token is one step of the machine: the state it goes to, the symbol it writes, where the head moves. A decoder of four layers
(one head, no norms, a gated ReLU feed-forward) says the next token from all before it:

    1  attention  all tokens alike: the mean of their moves            feed-forward  mean · tokens = the cell h under the head
    2  attention  nothing                                              feed-forward  p², p = h − move, the cell the token wrote
    3  attention  scores 2hp − p² − 1/t: the last token that wrote h   feed-forward  |h − p|: was the cell written at all?
    4  attention  nothing                                              feed-forward  a unit per rule: state and symbol → token

In exact arithmetic it is right for ever, after Pérez et al. 2019 (arXiv 1901.03429). A softmax of scores times 2⁶⁰ is their
hard attention; the position's features are t and 1/t.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from polyhead.nn import (
    AttentionSpec,
    BlockSpec,
    Causal,
    EmbeddingSpec,
    GatedSpec,
    GroupedSpec,
    HeadSpec,
    LearnedSpec,
    ModelSpec,
    ResidualSpec,
    StackSpec,
    Tokens,
    Transformer,
)

BLANK, START, HALT = "_", "start", "halt"
HARD = 2.0**60  # factor of the scores: what is 1/t² behind has a weight of 0


class Step(NamedTuple):
    """What a machine does in one step."""

    state: str
    write: str
    move: int  # −1, 0, 1


Machine = Mapping[tuple[str, str], Step]  # (state, symbol under the head) → step


def machine(rows: str) -> Machine:
    """Rules as "state symbol → write move state", one a line, moves as L, R or -."""
    found = {}
    for row in filter(None, map(str.strip, rows.splitlines())):
        state, read, write, move, after = row.split()
        found[state, read] = Step(after, write, "L-R".index(move) - 1)
    return found


def prompt(word: str) -> list[Step]:
    """The steps that write a word and leave the head right of it: a blank first, so that an empty word has a step too."""
    return [Step(START, symbol, 1) for symbol in BLANK + word]


def run(rules: Machine, word: str, limit: int) -> list[Step]:
    """The steps of the machine itself on a word, at most `limit`, the prompt's not among them."""
    tape, head, state = dict(enumerate(BLANK + word)), len(word) + 1, START
    done: list[Step] = []
    while state != HALT and len(done) < limit:
        step = rules[state, tape.get(head, BLANK)]
        tape[head], head, state = step.write, head + step.move, step.state
        done.append(step)
    return done


def tapes(steps: Iterable[Step]) -> list[dict[int, str]]:
    """The tape after each step, the prompt's included: cell → symbol."""
    found: list[dict[int, str]] = []
    head = 0
    for step in steps:
        found.append({**(found[-1] if found else {}), head: step.write})
        head += step.move
    return found


class Written(NamedTuple):
    """A machine as a Transformer. steps: what each id means."""

    model: Transformer
    steps: list[Step]

    @torch.no_grad()
    def run(self, word: str, limit: int) -> Iterator[Step]:
        """Decode greedily after the prompt, with a cache, until a step goes to the state HALT, at most `limit` steps."""
        ids, cache = [self.steps.index(step) for step in prompt(word)], self.model.top.new_cache(1, len(word) + 1 + limit)
        for _ in range(limit):
            logits = self.model(Tokens(torch.tensor([ids])), cache=cache)
            ids = [int(logits[0, -1].argmax())]
            yield self.steps[ids[0]]
            if self.steps[ids[0]].state == HALT:
                return


def write(rules: Machine, length: int, dtype: torch.dtype = torch.float64) -> Written:
    """The Transformer of a machine, for at most `length` tokens."""
    symbols = sorted({BLANK, *(read for _, read in rules), *(step.write for step in rules.values())})
    steps = list(dict.fromkeys([*(Step(START, symbol, 1) for symbol in symbols), *rules.values()]))
    states = sorted({state for state, _ in rules} | {step.state for step in steps})
    names = [
        "one", "tokens", "share", "move", "mean", "head", "square", "cell", "distance",
        *(f"state {q}" for q in states), *(f"wrote {a}" for a in symbols), *(f"found {a}" for a in symbols), *(f"say {i}" for i in range(len(steps))),
    ]  # fmt: skip
    at = {name: i for i, name in enumerate(names)}
    block = BlockSpec(
        attention=AttentionSpec(heads=GroupedSpec(heads=1, head_dim=max(3, len(symbols) + 1), scale=HARD), pattern=Causal()),
        ffn=GatedSpec(act="relu", inner=2 * len(rules)), residual=ResidualSpec(placement="none"),
    )  # fmt: skip
    embedding = EmbeddingSpec(vocab=len(steps), position=LearnedSpec(length=length))
    stack = StackSpec(width=len(names), layers=4, blocks={"layer": block}, layout=("layer",), embedding=embedding)
    spec = ModelSpec(decoder=stack, heads={"lm": HeadSpec(task="lm", output=len(steps))}, context=length)
    model = spec.build().to(dtype).requires_grad_(False).eval()
    model.top.backend = "reference"
    for weight in model.parameters():
        weight.zero_()
    _embed(model, at, steps)
    _attend(model, at, symbols)
    _feed(model, at, rules, steps)
    for i in range(len(steps)):
        model.get_parameter("heads.lm.weight")[i, at[f"say {i}"]] = 1
    return Written(model, steps)


def _embed(model: Transformer, at: Mapping[str, int], steps: list[Step]) -> None:
    token, position = model.get_parameter("decoder.embed.token"), model.get_parameter("decoder.embed.position.weight")
    for i, step in enumerate(steps):
        for name, value in {"one": 1, "move": step.move, f"state {step.state}": 1, f"wrote {step.write}": 1}.items():
            token[i, at[name]] = value
    count = torch.arange(1, len(position) + 1, dtype=position.dtype)
    position[:, at["tokens"]], position[:, at["share"]] = count, 1 / count


def _attend(model: Transformer, at: Mapping[str, int], symbols: list[str]) -> None:
    mean: Any = model.top.layers[0].attention.heads  # no query: all tokens weigh alike
    mean.v.weight[0, at["move"]] = mean.o.weight[at["mean"], 0] = 1
    last: Any = model.top.layers[2].attention.heads
    last.q.weight[0, at["head"]] = 2
    last.q.weight[1:3, at["one"]] = -1
    for row, (name, value) in enumerate([("head", 1), ("square", 1), ("share", 1)]):
        last.k.weight[row, at[name]] = value
    last.k.weight[0, at["move"]] = -1  # the cell it wrote lies where the head was before
    for row, symbol in enumerate(symbols):
        last.v.weight[row, at[f"wrote {symbol}"]] = last.o.weight[at[f"found {symbol}"], row] = 1
    row = len(symbols)
    last.v.weight[row, at["head"]], last.v.weight[row, at["move"]] = 1, -1
    last.o.weight[at["cell"], row] = 1


def _feed(model: Transformer, at: Mapping[str, int], rules: Machine, steps: list[Step]) -> None:
    used = [0] * 4

    def unit(layer: int, gate: Mapping[str, float], up: Mapping[str, float], to: str) -> None:
        """to += relu(gate · x) · (up · x)"""
        ffn: Any = model.top.layers[layer].ffn
        for part, weights in ((ffn.gate, gate), (ffn.up, up)):
            for name, value in weights.items():
                part.weight[used[layer], at[name]] = value
        ffn.down.weight[at[to], used[layer]] = 1
        used[layer] += 1

    unit(0, {"tokens": 1}, {"mean": 1}, "head")
    for sign in (1, -1):
        written = {"head": sign, "move": -sign}
        unit(1, written, written, "square")
        unit(2, {"head": sign, "cell": -sign}, {"one": 1}, "distance")
    for (state, read), step in rules.items():
        say = f"say {steps.index(step)}"
        unit(3, {f"state {state}": 1, f"found {read}": 1, "distance": -1, "one": -1}, {"one": 1}, say)
        if read == BLANK:  # so is a cell that nobody wrote
            unit(3, {f"state {state}": 1, "distance": 1, "one": -1}, {"one": 1}, say)


class Rounded(TorchDispatchMode):
    """Within it every product, sum and softmax of fp64 numbers is rounded to `bits` bits of mantissa, the leading one counted
    (bf16 has 8, fp16 11, fp32 24); exponents have no bound, and a sum of many terms is rounded once."""

    ARITHMETIC = ("mm", "bmm", "addmm", "mul", "add", "sub", "div", "_softmax")

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in self.ARITHMETIC and out.is_floating_point():
            return rounded(out, self.bits)
        return out


def rounded(x: Tensor, bits: int) -> Tensor:
    """x with a mantissa of so many bits, ties to even."""
    mantissa, exponent = torch.frexp(x)
    return torch.ldexp((mantissa * 2.0**bits).round(), exponent - bits)
