"""C33: one vector for a whole sentence, against attention to all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import style
from ..baselines.recurrent_translation import RecurrentTranslator
from ..claim import Claim, Ruling, Trial, Verdict
from ..table import Numbers, Table
from ..training import cosine, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SYMBOLS, START = 12, 12
LENGTHS = (4, 8, 12, 16)
ATTENDS, VECTOR = "attention", "one vector"
ARMS = {ATTENDS: (True, 64), VECTOR: (False, 68)}  # whether it attends, width: so that parameters are 2 % apart


def rows(n: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(source, what the writer has read when each symbol is due), (n, length) each; the target is the source itself."""
    source = torch.randint(SYMBOLS, (n, length), generator=generator)
    return source, F.pad(source[:, :-1], (1, 0), value=START)


def measure(trial: Trial) -> Numbers:
    attend, width = trial.arm
    generator = torch.Generator().manual_seed(trial.seed)
    model = RecurrentTranslator(SYMBOLS + 1, width, attend, trial.seed)

    def loss(_: int) -> Tensor:
        length = int(torch.randint(LENGTHS[0], LENGTHS[-1] + 1, (), generator=generator))
        source, before = rows(32, length, generator)
        return F.cross_entropy(model(source, before).flatten(0, 1), source.flatten())

    train(model, loss, trial.steps(500, 2000), lr=6e-3, warmup=30, decay=cosine)
    whole, each = [], []
    with torch.no_grad():
        for length in LENGTHS:
            source, before = rows(500, length, generator)
            right = model(source, before).argmax(-1) == source
            whole.append(float(right.all(1).float().mean()))  # greedy writing is right where every symbol is, after right ones
            each.append(float(right.float().mean()))
    return {"whole": whole, "symbols": each, "shortest": whole[0], "longest": whole[-1], "parameters": sum(p.numel() for p in model.parameters())}


def rule(table: Table) -> Ruling:
    own, other = table.interval(ATTENDS, "longest"), table.interval(VECTOR, "longest")
    short, begun = table.interval(ATTENDS, "shortest"), table.interval(VECTOR, "shortest")
    told = (
        f"Of sequences of {LENGTHS[0]} symbols {short} are repeated whole with attention and {begun} from one vector; of {LENGTHS[-1]} symbols {own} and {other}."
    )
    if short.low < 0.7 or begun.low < 0.7:
        return Ruling(Verdict.OPEN, f"A model has not learnt even the shortest. {told}")
    if own.low > 0.8 and other.high < 0.2:
        return Ruling(Verdict.HOLDS, told)
    if other.low > own.high - 0.1:
        return Ruling(Verdict.WRONG, told)
    return Ruling(Verdict.CONDITION if own.low > other.high + 0.1 else Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    figure, axes = style.figure(2, width=9.6)
    for panel, name, label in ((axes[0], "whole", "sequences repeated whole (share)"), (axes[1], "symbols", "symbols right (share)")):
        style.lines(panel, table, name, LENGTHS)
        panel.set(xlabel="length of the sequence (symbols)", ylabel=label, ylim=(-0.03, 1.05), xticks=LENGTHS)
    style.reference(axes[1], 1 / SYMBOLS, "chance")
    style.legend(axes[0])
    return figure


CLAIM = Claim(
    id="C33",
    title="Does a single vector squeeze the sentence, and attention free it?",
    topic="attention",
    kind="trained",
    statement="Recurrent sequence-to-sequence models squeeze the source into one vector of fixed length; attention removes that bottleneck.",
    notes=("001 Q1",),
    literature=(
        "Cho et al. (2014, arXiv 1409.1259) find translation from one vector to fall off with the sentence's length; Bahdanau et al. (2015, arXiv 1409.0473) let the decoder attend to all of "
        "the encoder's states, and it does not. Sutskever et al. (2014, arXiv 1409.3215) got far with one large vector and the source reversed."
    ),
    method=(
        f"A GRU reads a sequence of {SYMBOLS} symbols both ways, another GRU writes it again. Both begin from one vector made of the reader's last states; one arm attends to all of the reader's states "
        f"besides, the other is wider, so that parameters are alike. Trained alike on lengths {LENGTHS[0]} to {LENGTHS[-1]}; measured: the share of unseen sequences that are repeated without a mistake, by length."
    ),
    decides=(
        f"Holds if, at {LENGTHS[-1]} symbols, more than 0.8 are repeated whole with attention and less than 0.2 from one vector. With a condition if attention is more than 0.1 ahead there, but not so far. Wrong if the one vector is not more "
        f"than 0.1 behind. Whole intervals; not decided otherwise, or if either repeats less than 0.7 at {LENGTHS[0]} symbols."
    ),
    expected=Verdict.HOLDS,
    arms=ARMS,
    measure=measure,
    rule=rule,
    draw=draw,
    units={"shortest": "share of sequences", "longest": "share of sequences", "parameters": "parameters"},
    limits="Random symbols cannot be squeezed, sentences can: where text is predictable one vector goes further. A longer training or a wider vector moves the length at which it fails; it does not remove it.",
)
