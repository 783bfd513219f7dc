"""C52: facts stored in a feed-forward layer: how many fit, which units hold one, and what a changed value does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyhead.nn import Tokens, Transformer

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..counting import slope
from ..small import small
from ..table import Numbers, Table
from ..training import cosine, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUBJECTS, RELATIONS, OBJECTS, WIDTH = 96, 8, 32, 32
FACTS = SUBJECTS * RELATIONS
UNITS = (8, 16, 32, 64, 128)
MOST, EDITS = 12, 100  # units silenced of a fact; facts changed


def build(units: int, seed: int) -> Transformer:
    """One layer that reads subject and relation. Only the feed-forward learns: attention brings the subject to the relation by
    fixed matrices, and what stands for an object is fixed as well, so that facts have no other place."""
    changes = {"decoder.blocks.layer.ffn.inner": units}
    model = small(SUBJECTS + RELATIONS, width=WIDTH, layers=1, heads=1, context=2, output=OBJECTS, changes=changes).build(seed)
    generator = torch.Generator().manual_seed(seed)
    heads: Any = model.top.layers[0].attention.heads
    for part in (heads.v, heads.o):
        nn.init.orthogonal_(part.weight, generator=generator)
    for name in ("decoder.embed.token", "heads.lm.weight"):
        nn.init.normal_(model.get_parameter(name), generator=generator)
    model.requires_grad_(False)
    model.top.layers[0].ffn.requires_grad_(True)
    return model


class Memory(NamedTuple):
    """What the layer holds of all facts: base (N, D), the stream without the feed-forward; hidden (N, units), after the
    activation; values (D, units) and bias (D,), of the second matrix."""

    base: Tensor
    hidden: Tensor
    values: Tensor
    bias: Tensor
    model: Transformer

    def states(self, hidden: Tensor | None = None, values: Tensor | None = None) -> Tensor:
        hidden, values = self.hidden if hidden is None else hidden, self.values if values is None else values
        return self.base + hidden @ values.T + self.bias

    def logits(self, states: Tensor) -> Tensor:
        norm = self.model.top.final_norm
        assert norm is not None
        return self.model.logits(norm(states[None], None))[0]


def look(model: Transformer, ids: Tensor) -> Memory:
    layer, found = model.top.layers[0], []  # type: ignore[var-annotated]
    ffn: Any = layer.ffn
    hooks = [ffn.register_forward_hook(lambda _, args, out: found.extend((args[0], out))), layer.register_forward_hook(lambda _, __, out: found.append(out[0]))]
    model(Tokens(ids))
    for hook in hooks:
        hook.remove()
    read, out, after = (x[:, -1] for x in found)
    return Memory(after - out, ffn.act(ffn.up(read)), ffn.down.weight, ffn.down.bias, model)


def measure(trial: Trial) -> Numbers:
    """trial.arm: hidden units."""
    generator, model = torch.Generator().manual_seed(trial.seed), build(trial.arm, trial.seed)
    subject, relation = torch.arange(SUBJECTS).repeat_interleave(RELATIONS), torch.arange(RELATIONS).repeat(SUBJECTS)
    ids, objects = torch.stack([subject, SUBJECTS + relation], 1), torch.randint(OBJECTS, (FACTS,), generator=generator)
    train(model, lambda _: F.cross_entropy(model(Tokens(ids))[:, -1], objects), trial.steps(700, 3000), lr=1e-2, decay=cosine, weight_decay=0.0)
    with torch.no_grad():
        memory = look(model, ids)
        logits = memory.logits(memory.states())
        right = logits.argmax(-1) == objects
        killed, others = silenced(memory, objects, right), silenced(memory, objects, right, generator)
        return {
            "right": float(right.float().mean()), "without it": float((memory.logits(memory.base).argmax(-1) == objects).float().mean()),
            "active": float((memory.hidden > 0.1 * memory.hidden.amax(1, keepdim=True)).float().mean()),
            "lost": killed, "lost by chance": others, "units of a fact": 1.0 + sum(share <= 0.5 for share in killed),
            **edited(memory, objects, right, generator),
        }  # fmt: skip


def silenced(memory: Memory, objects: Tensor, right: Tensor, generator: torch.Generator | None = None) -> list[float]:
    """Share of the known facts that are lost when their 1 to MOST units that speak most for the object against the runner-up
    are silenced; with a generator, units drawn among all."""
    logits = memory.logits(memory.states())
    second = logits.scatter(1, objects[:, None], -torch.inf).argmax(1)
    head = memory.model.get_parameter("heads.lm.weight")
    speaks = memory.hidden * ((head[objects] - head[second]) @ memory.values)
    order = (speaks if generator is None else torch.rand(speaks.shape, generator=generator)).argsort(1, descending=True)
    lost = []
    for n in range(1, MOST + 1):
        hidden = memory.hidden.scatter(1, order[:, :n], 0.0)
        said = memory.logits(memory.states(hidden)).argmax(1)
        lost.append(float((said != objects)[right].float().mean()) if right.any() else 1.0)
    return lost


def edited(memory: Memory, objects: Tensor, right: Tensor, generator: torch.Generator) -> Numbers:
    """Facts given another object, each on its own, so that the stream becomes the mean of what that object's facts have: by the
    value of the strongest unit alone, or by all values, each by its unit's share (the least change; Meng et al. 2022, eq. 2).
    Shares of facts that then say the new object, and of the other known facts that are lost."""
    states, found = memory.states(), {"one value": [0.0, 0.0], "all values": [0.0, 0.0]}
    moments = memory.hidden.T @ memory.hidden / FACTS
    spread = torch.linalg.inv(moments + 1e-3 * moments.trace() / len(moments) * torch.eye(len(moments)))
    chosen = torch.randperm(FACTS, generator=generator)[:EDITS].tolist()
    for fact in chosen:
        target = int((objects[fact] + 1 + torch.randint(OBJECTS - 1, (), generator=generator)) % OBJECTS)
        wish, key = states[objects == target].mean(0) - states[fact], memory.hidden[fact]
        strongest = F.one_hot(key.abs().argmax(), len(key)).to(key)
        for how, along in (("one value", strongest), ("all values", spread @ key)):
            values = memory.values + torch.outer(wish, along / (along @ key))
            said = memory.logits(memory.states(values=values)).argmax(1)
            rest = right.clone()
            rest[fact] = False
            found[how][0] += float(said[fact] == target) / EDITS
            found[how][1] += float((said != objects)[rest].float().mean() if rest.any() else 1.0) / EDITS
    return {f"{how}, {part}": share for how, shares in found.items() for part, share in zip(("done", "lost"), shares, strict=True)}


def rule(table: Table) -> Ruling:
    arms = list(table.arms)
    most = arms[-1]
    shares = [table.mean(arm, "right") for arm in arms]
    grows = _growth(shares)
    full, units = table.interval(most, "right"), table.interval(most, "units of a fact")
    one, all_ = (table.interval(most, f"{how} value{s}, lost") for how, s in (("one", ""), ("all", "s")))
    told = (
        f"{', '.join(f'{share:.0%}' for share in shares)} of {FACTS} facts are recalled with {', '.join(map(str, UNITS))} units (without the layer {table.mean(most, 'without it'):.0%}): like units^{grows:.2f} while "
        f"there is room. With {UNITS[-1]} units half of the facts are lost without their {units.mean:.1f} strongest; changing one value rewrites {table.mean(most, 'one value, done'):.0%} and loses "
        f"{one.mean:.0%} of the others, changing all a little {table.mean(most, 'all values, done'):.0%} and {all_.mean:.1%}."
    )
    if full.low < 0.9:
        return Ruling(Verdict.OPEN, f"The largest layer does not recall 90 % of the facts. {told}")
    if grows < 0.3:
        return Ruling(Verdict.WRONG, told)
    edits = table.interval(most, "one value, done").low > 0.8 and one.high < 0.1
    if grows > 0.6 and units.high <= 3 and edits:
        return Ruling(Verdict.HOLDS, told)
    apart = table.interval(most, "all values, done").low > 0.8 and all_.high < 0.1
    return Ruling(Verdict.CONDITION if grows > 0.6 and (units.high <= 3 or apart) else Verdict.OPEN, told)


def _growth(shares: list[float]) -> float:
    """Exponent of the recalled facts in the units, from the smallest layer to the first that recalls 95 %."""
    room = next((i for i, share in enumerate(shares) if share > 0.95), len(shares) - 1) + 1
    return slope(UNITS[: max(room, 2)], shares[: max(room, 2)])


def draw(table: Table) -> Figure:
    fig, (left, middle, right) = style.figure(3, width=13.0)
    for index, arm in enumerate(table.arms):
        style.line(left, [UNITS[index]], 100 * table.values(arm, "right")[:, None], None, index)
    left.plot(UNITS, [100 * table.mean(arm, "right") for arm in table.arms], color=style.MUTED(), linewidth=1, zorder=1)
    left.set_xscale("log", base=2)
    left.set_xticks(UNITS, [str(n) for n in UNITS])
    left.set(xlabel="hidden units", ylabel=f"% of {FACTS} facts recalled", ylim=(0, 105), title="How many fit")
    most, index = list(table.arms)[-1], len(table.arms) - 1
    for name, label, shade in (("lost", "those that speak most for it", index), ("lost by chance", "drawn among all", 0)):
        style.line(middle, range(1, MOST + 1), 100 * table.values(most, name), label, shade)
    middle.set(xlabel=f"units silenced of {UNITS[-1]}", ylabel="% of known facts lost", ylim=(0, 105), title="Which hold one")
    style.legend(middle, fontsize=8)
    for place, how in enumerate(("one value", "all values")):
        for shift, (part, label) in enumerate((("done", "the fact is changed"), ("lost", "other facts are lost"))):
            share = 100 * table.values(most, f"{how}, {part}")
            right.bar(place + 0.4 * shift - 0.2, share.mean(), 0.36, color=style.colour(3 - shift), alpha=0.75, label=label if place == 0 else None)
            right.annotate(f"{share.mean():.0f}", (place + 0.4 * shift - 0.2, share.max()), (0, 3), textcoords="offset points", ha="center", fontsize=8.5, color=style.INK())
    right.set_xticks(range(2), ["strongest unit's\nvalue", "all values,\na little each"])
    right.grid(axis="x", visible=False)
    right.set(ylabel="%", ylim=(0, 130), yticks=range(0, 101, 25), title="Rewriting one fact")
    style.legend(right, fontsize=8, loc="upper right")
    return fig


CLAIM = Claim(
    id="C52",
    title="Is the feed-forward layer a key–value memory?",
    topic="feed-forward",
    kind="trained",
    statement="Feed-forward layers act as key–value memories in which facts are stored.",
    notes=("002 Q18",),
    literature=(
        "Geva et al. 2021 (arXiv 2012.14913): rows of the first matrix are keys that react to patterns, columns of the second the values that are added. Meng et al. 2022 (ROME, arXiv 2202.05262) rewrite a fact by a change of rank "
        "one; Allen-Zhu & Li 2024 (arXiv 2404.05405) find about 2 bits a parameter in whole models, without feed-forward layers as well."
    ),
    method=(
        f"{FACTS} facts, ({SUBJECTS} subjects × {RELATIONS} relations) → one of {OBJECTS} objects at random, in one layer of width {WIDTH} of which only the feed-forward learns: embeddings, attention and output are fixed at random, so "
        f"that facts have no other place. Arms: {', '.join(map(str, UNITS))} hidden units. Measured: facts recalled; facts lost when the 1 to {MOST} units that speak most for the object are silenced; {EDITS} facts rewritten one at a time, "
        "by the strongest unit's value alone or by the least change of all values, and what other facts that costs."
    ),
    decides=(
        "Not decided if the largest layer recalls less than 90 %. Wrong if recalled facts grow more slowly than units^0.3 while there is room. If faster than units^0.6: holds if half of the facts hang on at most three units and "
        "changing one value rewrites 80 % of facts at the cost of less than 10 % of the others; with a condition (a fact is spread over units) if one of the two, or if changing all values a little does so. Not decided otherwise."
    ),
    expected=Verdict.HOLDS,
    arms={f"{n} units": n for n in UNITS},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"right": "share of facts", "without it": "share of facts", "units of a fact": "units silenced until half are lost", "active": "share of units"},
    limits="Facts are kept in the feed-forward because nothing else may learn; in a whole model attention and embeddings hold some. Facts here are random: what is regular needs less room.",
)  # fmt: skip
