"""python -m polyhead.families: the table of all presets in Markdown. With a file's name: writes it between that file's marks."""

from __future__ import annotations

import sys
from pathlib import Path

from .pairs import pair, pairs
from .presets import defaults, preset, presets

MARKS = ("<!-- presets: written by python -m polyhead.families -->", "<!-- end of presets -->")
COLUMNS = ("preset", "shape", "parameters", "layers", "width", "heads", "context", "vocabulary", "objective", "tokenizer")


def row(name: str) -> tuple[str, ...]:
    spec, found = preset(name), defaults(name)
    stack = spec.top
    block = stack.blocks[stack.kind(0)].attention.heads
    heads = f"{block.heads}" if block.kv == block.heads else f"{block.heads} / {block.kv}"
    layers = " + ".join(str(s.layers) for s in spec.stacks.values())
    sizes = (layers, f"{stack.width:,}", heads, f"{spec.context:,}", f"{spec.vocab:,}" if spec.vocab else "–")
    training = (found["training"]["objective"], found["tokenizer"]["kind"]) if spec.vocab else ("–", "–")
    return f"`{name}`", "–".join(spec.stacks), f"{spec.params().total:,}", *sizes, *training


def pair_row(name: str) -> tuple[str, ...]:
    spec = pair(name)
    towers = [tower.top for tower in (spec.image, spec.text)]
    heads = [tower.blocks[tower.kind(0)].attention.heads.heads for tower in towers]
    sizes = (" + ".join(str(n) for n in numbers) for numbers in ([t.layers for t in towers], [t.width for t in towers], heads))
    return f"`{name}`", "image and text", f"{spec.params().total:,}", *sizes, f"{spec.text.context:,}", f"{spec.text.vocab:,}", "–", "–"


def table() -> str:
    """The presets as a Markdown table, counts from the specs."""
    right = {"parameters", "layers", "width", "heads", "context", "vocabulary"}
    rule = ["---:" if column in right else "---" for column in COLUMNS]
    lines = [COLUMNS, rule, *(row(name) for name in presets()), *(pair_row(name) for name in pairs())]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main(arguments: list[str]) -> None:
    if not arguments:
        sys.stdout.buffer.write(f"{table()}\n".encode())  # UTF-8 whatever the console's encoding
        return
    path = Path(arguments[0])
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    path.write_text(f"{before}{MARKS[0]}\n{table()}\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
