"""A row of a batch as people read it: what goes in, what is asked, and which tokens are trained.

⟦…⟧ stands around what carries weight. Special tokens are spelled out, line ends and control characters escaped; a picture is
drawn in characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError
from ..nn.tokens import Batch, Tokens

if TYPE_CHECKING:
    from ..text import Tokenizer

OPEN, CLOSE = "⟦", "⟧"
BEGIN, END = "\ufdd0", "\ufdd1"  # stand for them until a line is written; no text keeps these: they are not printable
Line = tuple[str, str]
_NAME = 9  # columns of a line's name
_COLUMNS = 32  # of a drawn picture at most
_INK = " .:-=+*#%@"
_PAIR = ("0: the second segment follows the first", "1: the second segment does not follow the first")


def show(
    batch: Batch, row: int, tokenizer: Tokenizer | None, *, labels: Sequence[str] | None = None, task: str | None = None
) -> list[str]:
    """Lines that show sample `row` of a batch, whatever its form; each begins with a name: inputs, targets, source, prefix …

    tokenizer: None for pictures. labels: names of classes or tags, by number. task: "tag" or "prefer", for the two forms whose
    tensors look like another's: tags have a number per token, as masked training has an id; of preferences, rows n + i belong
    to i. Contrastive batches and preferences are shown by pair. Raises ConfigError for a row that is not there.
    """
    lines = told(batch, row, tokenizer, labels=labels, task=task)
    return [f"{name:<{_NAME}}{text.replace(BEGIN, OPEN).replace(END, CLOSE)}".rstrip(" ") for name, text in lines]


def told(
    batch: Batch, row: int, tokenizer: Tokenizer | None, *, labels: Sequence[str] | None = None, task: str | None = None
) -> list[Line]:
    """What `show` shows as (name, text), with BEGIN and END around what carries weight. A line without a name goes on with the
    one above."""
    targets, weights = batch.targets, batch.weights
    rows = len(targets) // 2 if task == "prefer" else len(targets)
    if not 0 <= row < rows:
        raise ConfigError("there is no such row in the batch", expected=f"0 to {rows - 1}", received=str(row))
    if batch.inputs.signal is not None:
        lines = [*_picture(batch.inputs.signal[row]), _named(batch.targets[row], labels)]
    else:
        assert tokenizer is not None, "what is no picture is text"
        lines = _read(batch, row, rows, tokenizer, labels, task)
    if batch.labels is not None:
        lines.append(("pair", f"{BEGIN}{_PAIR[int(batch.labels[row])]}{END}"))
    if weights.dim() == 1 and not float(weights[row]):
        lines.append(("weight", "0: this sample counts for nothing"))
    return lines


def _read(batch: Batch, row: int, rows: int, tokenizer: Tokenizer, labels: Sequence[str] | None, task: str | None) -> list[Line]:
    """A row of tokens."""
    if task == "prefer":
        return _tokens(batch, row, tokenizer, "chosen") + _tokens(batch, row + rows, tokenizer, "rejected")
    if batch.weights.dim() == 2:
        tagged = task == "tag" or labels is not None
        return _tags(batch, row, tokenizer, labels) if tagged else _tokens(batch, row, tokenizer, None)
    if _rows(batch.inputs) == 2 * rows and batch.targets.is_floating_point():
        texts = [(name, _text(batch.inputs, i, tokenizer)) for name, i in (("first", row), ("second", row + rows))]
        return [*texts, ("score", f"{BEGIN}{float(batch.targets[row]):g}{END}")]
    if _rows(batch.inputs) == 2 * rows:
        return [("anchor", _text(batch.inputs, row, tokenizer)), ("positive", f"{BEGIN}{_text(batch.inputs, row + rows, tokenizer)}{END}")]
    return _one_answer(batch, row, tokenizer, labels)


def _tokens(batch: Batch, row: int, tokenizer: Tokenizer, name: str | None) -> list[Line]:
    """Targets that are tokens: of causal, prefix, masked, source-to-target and preference batches."""
    ids, real = _real(batch.inputs, row)
    wanted, trained = batch.targets[row], batch.weights[row] > 0
    ids, wanted, trained = ids[real], wanted[real], trained[real]
    in_place = not torch.equal(ids[1:], wanted[:-1])  # masked training asks for tokens where they stand
    if not in_place:  # a decoder's padding may have no positions: one id again and again at the end, never asked for
        text = (trained | (wanted != wanted[-1])).nonzero()
        end = int(text.max()) + 1 if len(text) else len(ids)
        ids, wanted, trained = ids[:end], wanted[:end], trained[:end]
    lines = [] if batch.source is None else [("source", _text(batch.source, row, tokenizer))]
    if batch.inputs.mark is not None:
        lines.append(("prefix", spelled(ids[batch.inputs.mark[row][real][: len(ids)]], None, tokenizer)))
    lines.append(("inputs", spelled(ids, trained if in_place else None, tokenizer)))
    lines.append((name or "targets", spelled(wanted, trained, tokenizer)))
    return [*lines, ("weight", f"{int(trained.sum())} of {len(ids)} tokens")]


def _tags(batch: Batch, row: int, tokenizer: Tokenizer, labels: Sequence[str] | None) -> list[Line]:
    """A label behind each word that has one; the word goes on to the next one's first token, or a special token."""
    row_ids, real = _real(batch.inputs, row)
    ids, wanted, trained = row_ids[real].tolist(), batch.targets[row][real].tolist(), (batch.weights[row][real] > 0).tolist()
    words: list[list[int]] = []
    names: list[str] = []
    inside = False
    for number, tag, first in zip(ids, wanted, trained, strict=True):
        inside = first or inside and number not in tokenizer.special
        if first:
            words.append([])
            names.append(_name(tag, labels))
        if inside:
            words[-1].append(number)
    pairs = (f"{spelled(torch.tensor(w), None, tokenizer).strip()}{BEGIN}{n}{END}" for w, n in zip(words, names, strict=True))
    return [
        ("inputs", spelled(torch.tensor(ids), None, tokenizer)),
        ("targets", " ".join(pairs)),
        ("weight", f"{len(words)} of {len(ids)} tokens"),
    ]


def _one_answer(batch: Batch, row: int, tokenizer: Tokenizer, labels: Sequence[str] | None) -> list[Line]:
    """One answer for a row: a class, several, a number, or a place in the text."""
    target = batch.targets[row]
    if target.dim() == 1 and not target.is_floating_point() and len(target) == 2:
        return _answer(batch.inputs, row, target, tokenizer)
    return [("inputs", _text(batch.inputs, row, tokenizer)), _named(target, labels)]


def _named(target: Tensor, labels: Sequence[str] | None) -> Line:
    """A class () long, shares of classes (C,), or a number () float."""
    if target.dim() == 1:
        said = ", ".join(
            _name(i, labels) + ("" if share == 1 else f" {share:.2f}") for i, share in enumerate(target.tolist()) if share
        )
    elif target.is_floating_point():
        said = f"{float(target):g}"
    else:
        said = _name(int(target), labels)
    return "targets", f"{BEGIN}{said or 'none of the labels'}{END}"


def _picture(pixels: Tensor) -> list[Line]:
    """Sizes, values, and a drawing of (channels, height, width)."""
    channels, height, width = pixels.shape
    colours = f"{channels} channel" + "s" * (channels > 1)
    size = f"{height} × {width} pixels, {colours}, values from {float(pixels.min()):.2f} to {float(pixels.max()):.2f}"
    drawn = drawing(pixels)
    return [("inputs", size), ("picture", drawn[0]), *(("", line) for line in drawn[1:])]


def drawing(pixels: Tensor) -> list[str]:
    """(channels, height, width) in characters, two columns to a row as a terminal's are; the darkest value is a space."""
    _, height, width = pixels.shape
    columns = min(width, _COLUMNS)
    rows = max(1, round(columns * height / width / 2))
    grey = F.interpolate(pixels.float().mean(0)[None, None], size=(rows, columns), mode="area")[0, 0]
    shade = (grey - grey.min()) / (grey.max() - grey.min()).clamp(min=1e-6)
    return ["".join(_INK[i] for i in line).rstrip() for line in (shade * (len(_INK) - 1)).round().long().tolist()]


def _answer(inputs: Tokens, row: int, target: Tensor, tokenizer: Tokenizer) -> list[Line]:
    ids, real = _real(inputs, row)
    place = torch.arange(len(ids))
    begin, end = target.tolist()
    spanned = (place >= begin) & (place <= end) & bool(begin or end)
    said = spelled(ids[spanned], None, tokenizer).strip() if begin or end else "no answer"
    return [("inputs", spelled(ids[real], spanned[real], tokenizer)), ("targets", f"{BEGIN}{said}{END}")]


def spelled(ids: Tensor, trained: Tensor | None, tokenizer: Tokenizer) -> str:
    """The text of ids (T,), BEGIN and END around runs of trained (T,) ones. A character spread over several tokens comes
    with its last."""
    stream, out, within = tokenizer.stream(skip_special=False), "", False
    flags = [False] * len(ids) if trained is None else trained.tolist()
    for number, flag in zip(ids.tolist(), flags, strict=True):
        piece = _printable(stream.push(number))
        if flag and not within:
            space = piece[: len(piece) - len(piece.lstrip(" "))] if piece.strip() else ""
            out, piece = out + space + BEGIN, piece[len(space) :]
        elif within and not flag:
            out += END
        out, within = out + piece, flag
    return out + _printable(stream.flush()) + END * within


def _text(tokens: Tokens, row: int, tokenizer: Tokenizer) -> str:
    ids, real = _real(tokens, row)
    return spelled(ids[real], None, tokenizer)


def _real(tokens: Tokens, row: int) -> tuple[Tensor, Tensor]:
    """(T,) ids of a row, and which places are no padding."""
    assert tokens.ids is not None, "only a signal has no ids"
    ids = tokens.ids[row]
    if tokens.pos is None:
        return ids, torch.ones(len(ids), dtype=torch.bool)
    return ids, tokens.pos[row if len(tokens.pos) > 1 else 0] >= 0


def _rows(tokens: Tokens) -> int:
    return 0 if tokens.ids is None else len(tokens.ids)


def _name(number: int, labels: Sequence[str] | None) -> str:
    return str(number) if labels is None else _printable(labels[number])


def _printable(text: str) -> str:
    """Line ends and control characters escaped: what data holds cannot move a cursor, or look like BEGIN and END."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
