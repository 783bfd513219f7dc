"""Tiny runs for tests of the command line and the docs: a second each, no skill, everything in its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TRAINING = ["training.steps=4", "training.batch=4", "training.context=32", "training.eval_every=2", "training.log_every=1",
            "training.sample_tokens=8", "training.compile=off", "training.threads=1"]  # fmt: skip
SMALL = ["model.decoder.layers=1", "model.decoder.width=32"]
SMALL_ENCODER = ["model.encoder.layers=1", "model.encoder.width=32"]


@contextmanager
def families_as_before() -> Iterator[None]:
    """Families registered inside are unknown again behind it."""
    from polyhead.families.presets import FAMILIES, known_anew

    before = dict(FAMILIES)
    yield
    FAMILIES.clear()
    FAMILIES.update(before)
    known_anew()


def prose(lines: int = 400) -> str:
    """Different lines of plain English, always the same."""
    who, does, what = ("The cat", "A small dog", "My uncle", "Every child"), ("sees", "likes", "forgets"), ("the sea", "an apple", "old songs")
    return "".join(f"{who[i % 4]} {does[i % 3]} {what[i // 3 % 3]} number {i}.\n" for i in range(lines))


def write_files(folder: Path) -> None:
    """book.txt, held-out.txt, train.de and train.en, prompts.txt, labels.tsv, story.txt, texts.txt, points.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "book.txt": prose(), "held-out.txt": prose(60), "prompts.txt": "The cat\nMy uncle\n",
        "train.de": "".join(f"das ist zeile {i}\n" for i in range(80)), "train.en": "".join(f"this is line {i}\n" for i in range(80)),
        "labels.tsv": "text\tlabel\n" + "".join(f"{line}\t{('calm', 'glad', 'sad')[i % 3]}\n" for i, line in enumerate(prose(30).splitlines())),
        "story.txt": "The cat sees the sea. A small dog likes an apple. My uncle forgets old songs.",
        "texts.txt": "The cat sees the sea\nMy uncle forgets old songs\nEvery child likes an apple\n",
        "points.csv": "params,tokens,loss\n" + "".join(f"{n:.0f},{d:.0f},{1.8 + 480 / n**0.35 + 2100 / d**0.37 + 0.004 * ((i * 7 + j * 3) % 5 - 2):.4f}\n"
                                                       for i, n in enumerate(10 ** (6 + 0.75 * k) for k in range(5))
                                                       for j, d in enumerate(10 ** (7.3 + 0.75 * k) for k in range(5))),
        "held.de": "".join(f"das ist zeile {i}\n" for i in range(80, 84)), "held.en": "".join(f"this is line {i}\n" for i in range(80, 84)),
    }  # fmt: skip
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def build_tiny(folder: Path, what: str) -> Path:
    """A small model at `folder` that classifies, tags, answers or embeds: drawn, not trained."""
    import polyhead as ph
    from polyhead.families import override
    from polyhead.nn import HeadSpec

    tokenizer = ph.Tokenizer.train([prose()], "wordpiece", 160).framed()
    heads = {"classify": HeadSpec(task="classify", pool="first", output=3), "tag": HeadSpec(task="tag", output=5),
             "span": HeadSpec(task="span", output=2), "embed": HeadSpec(task="embed", pool="mean", normalise=True)}  # fmt: skip
    meta = {"classify": {"labels": ["calm", "glad", "sad"], "problem": "single"}, "span": {"problem": "answer"}, "embed": {},
            "tag": {"labels": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"], "problem": "tag"}}  # fmt: skip
    spec = override(ph.preset("bert-nano"), {"encoder.layers": 1, "encoder.width": 32, "encoder.embedding.vocab": tokenizer.vocab_size})
    net = spec.model_copy(update={"heads": {what: heads[what]}}).build(seed=0)
    return ph.Model(net.eval(), tokenizer, "masked", meta[what]).save(folder, to="native")


def train_tiny(folder: Path, kind: str = "causal", context: int = 32) -> Path:
    """A finished run of each objective at `folder`, from files written beside it."""
    from polyhead.train import build_config, parse_overrides, train_run

    write_files(folder.parent)
    book, pair = str(folder.parent / "book.txt"), [str(folder.parent / f"train.{side}") for side in ("de", "en")]
    preset, data, more = {
        "causal": ("gpt-nano", book, SMALL),
        "masked": ("bert-nano", book, [*SMALL_ENCODER, "tokenizer.vocab_size=300"]),
        "seq2seq": ("transformer-nano", pair, [*SMALL, *SMALL_ENCODER, "tokenizer.vocab_size=300"]),
    }[kind]
    train_run(build_config(preset, data, parse_overrides([*TRAINING, f"training.context={context}", *more])), folder)
    return folder
