"""What a small recipe is made of: data from a seed, one or more runs of its YAML, a judge, and what it should reach."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROWS = 250  # prompts answered together


class Figure(NamedTuple):
    """One measured number. reach: what it should be at least, or at most with `under`; None: it is told and asks for nothing."""

    name: str
    value: float
    reach: float | None = None
    under: bool = False

    @property
    def reached(self) -> bool:
        return self.reach is None or (self.value <= self.reach if self.under else self.value >= self.reach)


class Judged(NamedTuple):
    """figures, and a few examples of what was asked and written, for people."""

    figures: list[Figure]
    samples: list[str]


@dataclass(frozen=True)
class Small:
    """A recipe. asks: what the model must do, in a line. write: the files of examples into a folder, from a seed; those named
    judged.* are none of the training's. runs: for each model the settings that differ from the YAML, `data.path` under that
    folder. judge: (models by run, folder of the data) → figures."""

    name: str
    asks: str
    write: Callable[[Path, int], None]
    judge: Callable[[Mapping[str, Any], Path], Judged]
    runs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def recipe(self) -> Path:
        return HERE / f"{self.name}.yaml"


def drawer(name: str, seed: int) -> random.Random:
    """A generator that belongs to a recipe and a seed: the same examples on every machine and in every Python."""
    return random.Random(f"{name} {seed}")


def write_rows(path: Path, rows: Iterable[Any]) -> None:
    """JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8", newline="\n")


def read_rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def distinct(make: Callable[[], Any], count: int, key: Callable[[Any], Any], barred: set[Any]) -> Iterator[Any]:
    """`count` examples of different keys, none of them barred; the keys are barred from then on."""
    misses = 0
    while count:
        made = make()
        if (name := key(made)) in barred:
            misses += 1
            if misses > 1000 * (count + 100):
                raise ValueError(f"there are not enough different examples: {count} are missing")
            continue
        barred.add(name)
        count -= 1
        yield made


def others(make: Callable[[], Any], count: int, key: Callable[[Any], Any], barred: set[Any]) -> Iterator[Any]:
    """`count` examples, none of them barred; they may repeat, where there are few."""
    while count:
        if key(made := make()) not in barred:
            count -= 1
            yield made


def written(model: Any, prompts: Sequence[str] | Sequence[Sequence[int]], max_tokens: int) -> list[str]:
    """The most probable answer to each prompt (texts, or rows of ids), those of about one length together."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers = [""] * len(prompts)
    for begin in range(0, len(order), ROWS):
        places = order[begin : begin + ROWS]
        asked = [prompts[i] for i in places]
        given = {"prompt": asked} if isinstance(asked[0], str) else {"ids": asked}
        for place, one in zip(places, model.generate(**given, temperature=0, max_tokens=max_tokens), strict=True):
            answers[place] = one.text
    return answers


def share(right: Iterable[bool]) -> float:
    """The share that is true; of nothing, 0."""
    found = list(right)
    return sum(found) / len(found) if found else 0.0


def shown(asked: Sequence[str], given: Sequence[str], right: Sequence[str], count: int = 6) -> list[str]:
    """`asked → given`, wrong ones with what would have been right."""
    rows = zip(asked[:count], given[:count], right[:count], strict=True)
    return [f"{a.strip()} → {g}" + ("" if g == r else f"   (right: {r})") for a, g, r in rows]
