"""C23: a Turing machine written into the weights of a Transformer, and when rounding makes it fail."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import torch

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..counting import slope
from ..readable.turing import BLANK, Machine, Rounded, Step, machine, prompt, rounded, run, tapes, write
from ..table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BEAVER_3 = machine("""start _ 1 R B
    start 1 1 R halt
    B _ 1 L B
    B 1 _ R C
    C _ 1 L C
    C 1 1 L start""")
BEAVER_4 = machine("""start _ 1 R B
    start 1 1 L B
    B _ 1 L start
    B 1 _ L C
    C _ 1 R halt
    C 1 1 L D
    D _ 1 R D
    D 1 _ R start""")
INCREMENT = machine("""start _ _ L add
    add 1 0 L add
    add 0 1 - halt
    add _ 1 - halt""")
COUNT = machine("""start _ _ L add
    add 1 0 L add
    add 0 1 R back
    add _ 1 R back
    back 0 0 R back
    back 1 1 R back
    back _ _ L add""")  # never halts
PALINDROME = machine("""start _ _ L end
    end a _ L want-a
    end b _ L want-b
    end _ y - halt
    want-a a a L want-a
    want-a b b L want-a
    want-a _ _ R first-a
    want-b a a L want-b
    want-b b b L want-b
    want-b _ _ R first-b
    first-a a _ R right
    first-a b n - halt
    first-a _ y - halt
    first-b b _ R right
    first-b a n - halt
    first-b _ y - halt
    right a a R right
    right b b R right
    right _ _ L end""")
BITS = (8, 10, 12, 14, 16, 18, 20)
FEW, MANY = 600, 2500  # steps of the counter: with numbers rounded to BITS, and in fp32 and fp64
MACHINES = 5  # increment, a palindrome, none, busy beavers of 3 and 4 states


def first_wrong(rules: Machine, word: str, limit: int, bits: int | None = None, dtype: torch.dtype = torch.float64) -> int:
    """How many steps the Transformer takes as the machine does before one is wrong; all of them, if none is."""
    wanted = run(rules, word, limit)
    built = write(rules, len(word) + 1 + limit, dtype)
    if bits is None:
        return agreeing(wanted, built.run(word, limit))
    for weight in built.model.parameters():
        weight.copy_(rounded(weight, bits))
    with Rounded(bits):
        return agreeing(wanted, built.run(word, limit))


def agreeing(wanted: list[Step], said: object) -> int:
    for number, (step, other) in enumerate(zip(wanted, said, strict=False)):  # type: ignore[call-overload]
        if step != other:
            return number
    return len(wanted)


def measure(trial: Trial) -> Numbers:
    draw_from = random.Random(trial.seed)
    half = "".join(draw_from.choices("ab", k=12))
    spoilt = draw_from.randrange(6)
    other = half[:spoilt] + ("a" if half[spoilt] == "b" else "b") + half[spoilt + 1 :] + half[::-1]
    number = draw_from.randrange(2**15, 2**16) | 2**8 - 1  # eight ones to carry through
    tasks = [(INCREMENT, f"{number:b}"), (PALINDROME, half + half[::-1]), (PALINDROME, other), (BEAVER_3, ""), (BEAVER_4, "")]
    few, many = trial.steps(FEW, 4 * FEW), trial.steps(MANY, 3 * MANY)
    most = 5 if trial.mode == "smoke" else 1000
    wanted = [run(rules, word, most) for rules, word in tasks]
    said = [list(write(rules, len(word) + 1 + most).run(word, len(steps))) for (rules, word), steps in zip(tasks, wanted, strict=True)]
    start = f"{draw_from.randrange(16):04b}"
    fails = [first_wrong(COUNT, start, few, bits) for bits in BITS]
    within = [(bits, steps) for bits, steps in zip(BITS, fails, strict=True) if 0 < steps < few]
    answers = [answer(word, steps) for (_, word), steps in zip(tasks, said, strict=True)]
    return {
        "steps": [len(steps) for steps in wanted], "wrong": sum(a != b for a, b in zip(wanted, said, strict=True)), "answers": answers,
        "answered": sum(a == b for a, b in zip(answers, (number + 1, 1, 0, 5, 13), strict=True)),
        "tape": picture(prompt("") + said[-1]), "fails": fails,
        "doublings per bit": slope([2.0**bits for bits, _ in within], [steps for _, steps in within]) if len(within) > 1 else 0.0,
        "fp32": first_wrong(COUNT, start, many, dtype=torch.float32), "fp64": first_wrong(COUNT, start, many), "run": many,
    }  # fmt: skip


def answer(word: str, steps: list[Step]) -> int:
    """What the tape says in the end: the number on it in binary, 1 and 0 for yes and no, or how many ones there are."""
    tape = tapes(prompt(word) + steps)[-1]
    left = "".join(tape[cell] for cell in sorted(tape)).strip(BLANK)
    if "a" in word or "b" in word:
        return int("y" in left)
    return int(left, 2) if word else left.count("1")


def picture(steps: list[Step]) -> list[list[int]]:
    """After each step the cells ever written: 0 blank or not yet written, 1 a one; 2 more where the head stands."""
    found, head, rows = tapes(steps), 0, []
    cells = sorted(found[-1])
    for step, tape in zip(steps, found, strict=True):
        head += step.move
        rows.append([int(tape.get(cell, BLANK) == "1") + 2 * (cell == head) for cell in cells])
    return rows


def rule(table: Table) -> Ruling:
    (arm,) = table.arms
    wrong, grows = table.interval(arm, "wrong"), table.interval(arm, "doublings per bit")
    fails, most = table.curve(arm, "fails"), table.values(arm, "steps").max()
    single, double, ran = table.interval(arm, "fp32"), table.interval(arm, "fp64"), table.mean(arm, "run")
    told = (
        f"In fp64 all five machines run as they should, up to {most:.0f} steps, and a counter for {double.mean:.0f} of {ran:.0f} steps. With numbers of {BITS[0]}, {BITS[len(BITS) // 2]} and "
        f"{BITS[-1]} bits the counter takes {fails[0]:.0f}, {fails[len(BITS) // 2]:.0f} and {fails[-1]:.0f} right steps before a wrong one ({grows.mean:.2f} doublings per bit), in fp32 {single.mean:.0f}."
    )
    if wrong.mean == 0 and table.mean(arm, "answered") < MACHINES:
        return Ruling(Verdict.OPEN, f"The machines themselves answer {table.mean(arm, 'answered'):.1f} of {MACHINES} questions.")
    if wrong.mean > 0 or double.low < ran:
        return Ruling(Verdict.WRONG, f"{wrong.mean:.1f} of five machines go wrong in fp64; the counter runs for {double.mean:.0f} of {ran:.0f} steps.")
    if min(fails) >= ran or single.low >= ran and min(fails) > 100:
        return Ruling(Verdict.HOLDS, told)
    return Ruling(Verdict.CONDITION if grows.low > 0.25 else Verdict.OPEN, told)


def draw(table: Table) -> Figure:
    (arm,) = table.arms
    fig, (left, right) = style.figure(2, width=10.4)
    tape = table.values(arm, "tape")[0]
    left.imshow(tape.T % 2, cmap=style.shades(False), vmin=0, vmax=1.4, aspect="auto", interpolation="nearest")
    head = (tape >= 2).argmax(1)
    left.plot(range(len(head)), head, color=style.colour(1), marker=".", markersize=3, linewidth=0.8, label="head")
    left.set(xlabel="token = step of the machine", ylabel="cell of the tape", yticks=[], title="Busy beaver of 4 states (filled: a one)")
    left.grid(visible=False)
    style.legend(left, loc="upper left")
    style.line(right, BITS, table.values(arm, "fails"), "counter, rounded to so many bits")
    right.plot(BITS, [0.5 * 2 ** (bits / 2) for bits in BITS], linestyle=":", color=style.MUTED(), label=r"$\propto 2^{\mathrm{bits}/2}$")
    for bits, name, index in ((24, "fp32", 1), (53, "fp64", 2)):
        values = table.values(arm, name)
        style.line(right, [bits], values[:, None], f"{name}" + (" (not wrong yet)" if values.min() >= table.mean(arm, "run") else ""), index)
    right.set_yscale("log", base=2)
    ticks = [2**i for i in range(2, int(math.log2(table.mean(arm, "run"))) + 3, 2)]
    right.set_yticks(ticks, [str(n) for n in ticks])
    right.set(xlabel="bits of the numbers' mantissa", ylabel="right steps before a wrong one", title="A counter that never halts")
    style.legend(right, loc="lower right")
    return fig


CLAIM = Claim(
    id="C23",
    title="Are Transformers Turing complete?",
    topic="scale",
    kind="exact",
    statement="Transformers are Turing complete and universal approximators, given enough depth and precision.",
    notes=("002 Q20",),
    literature=(
        "Pérez et al. 2019 (arXiv 1901.03429; JMLR 2021) prove it for hard attention, numbers of arbitrary precision and as many decoding steps as the machine takes. "
        "Merrill & Sabharwal 2023 (arXiv 2207.00729): one pass of fixed depth with numbers of O(log n) bits computes no more than uniform TC⁰. Yun et al. 2020 (arXiv 1912.10077) approximate "
        "continuous functions on a compact set, for sequences of one fixed length."
    ),
    method=(
        "No training: the weights of a decoder of four layers (this package's own block, gated ReLU, no norms, one head) are written by hand so that a token is a step of a given machine. The head's cell is the mean of "
        "all moves times their number; the symbol under it is read by attention to the last token that wrote this cell, scores times 2⁶⁰. Run with greedy decoding: binary increment of 16 digits, palindromes of 24 letters "
        f"(right, and spoilt in one letter), the busy beavers of 3 and 4 states; every token is compared with the machine's own step. A binary counter that never halts runs for {FEW} steps with every product "
        f"and sum rounded to {BITS[0]} to {BITS[-1]} bits, and for {MANY} steps in fp32 and in fp64. Seeds draw the inputs."
    ),
    decides=(
        "Wrong as stated if any machine, or the counter, takes a wrong step in fp64. Else it holds without a condition if the counter makes no error in fp32 and none within 100 steps at any rounding; with a condition "
        "(precision, that must grow with the steps) if it does and the first wrong step grows by more than 0.25 doublings per bit (whole interval). Not decided otherwise."
    ),
    expected=Verdict.CONDITION,
    arms={"written by hand": None},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"wrong": "of five machines", "answered": "of five", "doublings per bit": "log₂ steps per bit", "fp32": "steps", "fp64": "steps", "run": "steps"},
    limits=(
        "Existence, not learning: training is not seen to find such weights. Another construction may need fewer bits per step, none bounded ones for ever. The table of positions is as long as the run; "
        "what one pass cannot do (TC⁰) is quoted, not measured."
    ),
)  # fmt: skip
