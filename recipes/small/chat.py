"""A conversation in which people say what they and others are called and what they like, talk of something else, and ask. The
names are drawn from syllables, and none that is judged was ever trained on: the answer can only be copied from turns before."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .base import Figure, Judged, Small, distinct, drawer, read_rows, share, write_rows, written

TRAINED, ASKED = 6000, 200
Turn = tuple[str, str]

GREETINGS = ("Hi, I am {name}.", "Hello! My name is {name}.", "Good morning, {name} is my name.", "Hi there. They call me {name}.")
REPLIES = ("Hello {name}.", "Nice to meet you, {name}.", "Hello.", "Good to see you.")
RELATIVES = ("brother", "sister", "friend", "cat", "dog")
THINGS = ("tea", "chess", "rain", "apples", "old songs", "trains", "the sea", "maps")
QUESTIONS = {"name": ("What is my name?", "Who am I?", "Do you remember my name?"), "other": ("What is my {who} called?",), "likes": ("What do I like?",)}
ANSWERS = {"name": "Your name is {name}.", "other": "Your {who} is called {other}.", "likes": "You like {thing}."}
FACTS = {"sky": ("What is the colour of the sky?", "Blue."), "grass": ("What is the colour of grass?", "Green."), "snow": ("What is the colour of snow?", "White.")}


def name_of(draw: random.Random) -> str:
    """A name of two or three syllables: Kamilo, Tesun."""
    text = "".join(draw.choice("bdfgklmnprstvz") + draw.choice("aeiou") for _ in range(draw.randint(2, 3)))
    return (text + draw.choice(("", "", "n", "s", "l"))).capitalize()


def talk(draw: random.Random, name: str, other: str, asked: str) -> list[dict[str, str]]:
    """A conversation that ends with the question `asked` ("name", "other", "likes") and its answer."""
    words = {"name": name, "other": other, "who": draw.choice(RELATIVES), "thing": draw.choice(THINGS)}
    told: list[Turn] = [("My {who} is called {other}.", draw.choice(("I see.", "That is a nice name.", "Say hello to {other}."))),
                        ("I like {thing}.", draw.choice(("So do I.", "I see.")))]  # fmt: skip
    must = {"name": [], "other": told[:1], "likes": told[1:]}[asked]
    turns = must + draw.sample([turn for turn in told if turn not in must], draw.randint(0, 2 - len(must)))
    turns += [_small_talk(draw) for _ in range(draw.randint(0, 2))]
    draw.shuffle(turns)
    turns = [(draw.choice(GREETINGS), draw.choice(REPLIES)), *turns, (draw.choice(QUESTIONS[asked]), ANSWERS[asked])]
    return [{"role": role, "content": text.format(**words)} for turn in turns for role, text in zip(("user", "assistant"), turn, strict=True)]


def _small_talk(draw: random.Random) -> Turn:
    if draw.random() < 0.5:
        return draw.choice(list(FACTS.values()))
    a, b = draw.randint(0, 5), draw.randint(0, 4)
    return f"What is {a} plus {b}?", f"{a + b}."


def write(folder: Path, seed: int) -> None:
    """train.jsonl and judged.jsonl, conversations; every name of a judged one is new."""
    draw, names = drawer("chat", seed), set[str]()
    new: Callable[[int], list[str]] = lambda count: list(distinct(lambda: name_of(draw), count, str, names))  # noqa: E731
    judged = [(asked, talk(draw, *new(2), asked)) for asked in QUESTIONS for _ in range(ASKED)]
    write_rows(folder / "judged.jsonl", [{"asked": asked, "messages": messages} for asked, messages in judged])
    known = new(TRAINED // 4)
    kinds = ("name", "name", "other", "likes")
    write_rows(folder / "train.jsonl", [{"messages": talk(draw, *draw.sample(known, 2), draw.choice(kinds))} for _ in range(TRAINED)])


def remembers(answer: str, right: str) -> bool:
    """Whether an answer says just what the right one says, up to small and capital letters and white space."""
    return " ".join(answer.casefold().split()) == " ".join(right.casefold().split())


def judge(models: Mapping[str, Any], folder: Path) -> Judged:
    """The share of conversations whose last question is answered right, by what is asked."""
    model, rows = models["chat"], read_rows(folder / "judged.jsonl")
    prompts = [model.tokenizer.chat(row["messages"][:-1], add_generation_prompt=True) for row in rows]
    answers, right = written(model, prompts, 40), [row["messages"][-1]["content"] for row in rows]
    ok = {kind: [remembers(a, r) for a, r, row in zip(answers, right, rows, strict=True) if row["asked"] == kind] for kind in QUESTIONS}
    figures = [Figure("recall of a new name", share(ok["name"]), 0.95), Figure("of the name of another", share(ok["other"])), Figure("of what is liked", share(ok["likes"]))]
    first = rows[0]["messages"][:-1]
    samples = [f"{message['role']}: {message['content']}" for message in first] + [f"assistant → {answers[0]}   (right: {right[0]})"]
    return Judged(figures, samples)


CHAT = Small("chat", "remember the name somebody said turns ago, one it has never seen", write, judge)
