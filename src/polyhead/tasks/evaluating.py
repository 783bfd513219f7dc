"""A trained model and examples it has not seen → the metrics of its task, with intervals.

What is measured follows from the kind of the examples and the model's head, as the table in docs/eval.md says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from ..data.examples import Labelled, Picture, Question, Tagged
from ..data.pieces import Pair, Referenced
from ..errors import ConfigError, DataError
from . import metrics
from .classify import meaning
from .images import classes_of
from .metrics import Score
from .reading import labels_of, tool

ROWS = 32  # sources answered together
REFERENCES = ("target", "annotated", "all")
"""What an answer is compared with: the pair's target, the references beside it, or both."""


def evaluate_task(
    model: Any, records: Iterable[Any], *, batch: int = 32, limit: int | None = None, beams: int = 1, rouge: bool = False, strict: bool = False,
    references: str = "target",
) -> dict[str, Any]:  # fmt: skip
    """{"task", "n", "metrics": {name: value}, "intervals": {name: [low, high]}}, and "signature" where sacrebleu gave one, "references" where
    pairs have some beside their target: {"used", "least", "most"} of a pair.

    model: generate.Model. records: of one kind, see data/examples.py, or pairs; `limit`: the first ones alone. batch: computed together. beams: of
    answers that are written. rouge: ROUGE too. strict: spans count only as their scheme allows. references: of REFERENCES, what
    an answer to a pair is compared with. Raises ConfigError for a
    model without the head, DataError for none or for labels that it does not know.
    """
    rows = list(records if limit is None else islice(records, limit))
    if not rows:
        raise DataError("there is nothing to measure", expected="at least one example", received="none")
    check_references(references)
    kind = type(rows[0])
    used: dict[str, Any] = {}
    if kind is Labelled:
        task, score = _labelled(model, rows, batch)
    elif kind is Tagged:
        task, score = "tag", _tagged(model, rows, batch, strict)
    elif kind is Question:
        task, score = "answer", _questions(model, rows, batch)
    elif issubclass(kind, Pair):
        right = _references(rows, references)
        task, score = "write", _pairs(model, rows, right, beams, rouge)
        if any(isinstance(row, Referenced) for row in rows):
            used = {"references": {"used": references, "least": min(map(len, right)), "most": max(map(len, right))}}
    elif kind is Picture:
        task, score = "classify_images", _pictures(model, rows, batch)
    else:
        raise ConfigError("there is no measure for such examples", expected="texts with labels or tags, questions, pairs, pictures", received=kind.__name__)
    found = {"task": task, "n": len(rows), "metrics": score.metrics, "intervals": {name: list(pair) for name, pair in score.intervals.items()}}
    return found | ({"signature": score.signature} if score.signature else {}) | used


def _labelled(model: Any, rows: Sequence[Labelled], batch: int) -> tuple[str, Score]:
    heads = [] if not hasattr(model.spec, "heads") else [head.task for head in model.spec.heads.values()]
    if "classify" not in heads and "embed" in heads:
        return "embed", _similar(model, rows, batch)
    at = tool(model.net, model.tokenizer, model.meta, ("classify", "pair"), "classify texts")
    names, problem = meaning(at)
    right = [_wanted(row.label, names, problem) for row in rows]
    texts = [row.text if row.second is None else (row.text, row.second) for row in rows]
    given = [one.label for one in model.classify(texts, batch=batch)]
    if problem == "number":
        return "classify", metrics.numbers(given, right)
    return "classify", metrics.classes(given, right) if problem == "single" else metrics.several(given, right, names)


def _wanted(label: Any, names: list[str], problem: str) -> Any:
    """A right label as the model calls it. Raises DataError for one it does not know."""
    sort: Any = {"single": str, "multi": tuple, "number": float}[problem]
    if problem == "multi" and isinstance(label, str):
        label = (label,)
    if not isinstance(label, sort):
        kinds = {"single": "one class for each text", "multi": "classes for each text", "number": "a number for each text"}
        raise DataError("the labels are not of the model's sort", expected=kinds[problem], received=repr(label)[:80], change="name the column that is meant, or load another model")
    if problem == "number":
        return label
    return _known(label, names) if isinstance(label, str) else tuple(_known(one, names) for one in label)


def _known(label: str, names: Sequence[str]) -> str:
    """transformers' LABEL_1 is a file's 1."""
    for name in (label, f"LABEL_{label}"):
        if name in names:
            return name
    raise DataError("the model does not know this label", expected=" | ".join(names[:20]) + (" | …" if len(names) > 20 else ""), received=label[:80])


def _similar(model: Any, rows: Sequence[Labelled], batch: int) -> Score:
    """STS: the cosine of each pair's vectors against the score that people gave."""
    from torch.nn.functional import cosine_similarity

    odd = next((row for row in rows if row.second is None or not isinstance(row.label, float)), None)
    if odd is not None:
        raise DataError("embeddings are measured on pairs of texts with a score", expected="two texts and a number", received=repr(tuple(odd))[:120])
    one, other = (model.embed([row[i] for row in rows], batch=batch) for i in (0, 1))
    return metrics.numbers(cosine_similarity(one, other).tolist(), [float(row.label) for row in rows])  # type: ignore[arg-type]


def _tagged(model: Any, rows: Sequence[Tagged], batch: int, strict: bool) -> Score:
    at = tool(model.net, model.tokenizer, model.meta, ("tag",), "tag words")
    names = set(labels_of(model.meta, at.outputs))
    for row in rows:
        for tag in row.tags:
            if tag not in names:
                _known(tag, sorted(names))
    found = model.tag([tuple(row.words) for row in rows], batch=batch)
    return metrics.tags([one.tags for one in found], [list(row.tags) for row in rows], "strict" if strict else "default")


def _questions(model: Any, rows: Sequence[Question], batch: int) -> Score:
    """As SQuAD 2.0 where a question has no answer, else as SQuAD 1.1, where every question gets one."""
    possible = any(not row.answers for row in rows)
    found = model.answer([row.question for row in rows], [row.context for row in rows], no_answer=possible, batch=batch)
    return metrics.squad([one.text for one in found], [[text for text, _ in row.answers] for row in rows])


def check_references(asked: str) -> None:
    """ConfigError for what is none of REFERENCES."""
    if asked not in REFERENCES:
        raise ConfigError("what answers are compared with", expected=" | ".join(REFERENCES), received=repr(asked)[:60])


def _references(rows: Sequence[Pair], asked: str) -> list[list[str]]:
    """The references of each pair, each once, the target first. DataError for a pair without annotated ones where these are asked for."""
    annotated = [row.references if isinstance(row, Referenced) else () for row in rows]
    if asked == "target":
        return [[row.target] for row in rows]
    if asked == "all":
        return [list(dict.fromkeys((row.target, *more))) for row, more in zip(rows, annotated, strict=True)]
    without = sum(not more for more in annotated)
    if without:
        raise DataError(
            f"{without} of {len(rows)} pairs have no references beside their target", expected='a list of texts "references" in each row',
            received=repr(next(row.source for row, more in zip(rows, annotated, strict=True) if not more))[:80], change="--references all, or target",
        )  # fmt: skip
    return [list(dict.fromkeys(more)) for more in annotated]


def _pairs(model: Any, rows: Sequence[Pair], right: list[list[str]], beams: int, rouge: bool) -> Score:
    metrics.need("sacrebleu.metrics", "sacrebleu")  # before the work, not behind it
    given = written(model, [row.source for row in rows], beams)
    scores = [metrics.exact(given, right), metrics.bleu(given, right), metrics.chrf(given, right)]
    return metrics.merged(*scores, *([metrics.rouge(given, right)] if rouge else []))


def written(model: Any, sources: Sequence[str], beams: int = 1) -> list[str]:
    """The model's most probable answer to each source; like lengths together, sources beyond the context cut."""
    context = model.text_spec.context
    ids = model.tokenizer.encode_batch(list(sources))
    texts = [text if len(row) < context - 2 else model.tokenizer.decode(row[: context - 3]) for text, row in zip(sources, ids, strict=True)]
    order = sorted(range(len(texts)), key=lambda i: len(ids[i]))
    found = [""] * len(texts)
    how = {"temperature": 0.0} if beams == 1 else {"beams": beams}
    for start in range(0, len(order), ROWS):
        part = order[start : start + ROWS]
        for i, one in zip(part, model.generate([texts[i] for i in part], max_tokens=context, **how), strict=True):
            found[i] = one.text
    return found


def _pictures(model: Any, rows: Sequence[Picture], batch: int) -> Score:
    names = classes_of(model.net, model.meta)
    right = [_known(row.label, names) for row in rows]
    found = model.classify_images([row.image for row in rows], top=1, batch=batch)
    return metrics.classes([best[0][0] for best in found], right)
