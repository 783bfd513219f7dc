"""The field's metrics, by the field's libraries: scikit-learn, scipy, seqeval, sacrebleu, rouge-score.

Every function takes what a model said and what was right, in the same order, and returns a Score: the numbers by name on the
scale their library prints (accuracy, F1 of classes and spans, correlations and ROUGE from 0 or −1 to 1; BLEU, chrF and SQuAD's
two from 0 to 100), and for each the bootstrap interval over examples.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..data.tags import marks_spans
from ..errors import ConfigError, DataError
from . import squad as _squad
from .bootstrap import Combine, bootstrap, bootstrap_examples

N, SEED = 1000, 0
Label = str | int


class Score(NamedTuple):
    """metrics: name → value. intervals: name → (low, high), 95%. signature: how it was computed, where the field has a form
    for that (sacrebleu)."""

    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    signature: str | None = None


# ---------------------------------------------------------------- one class per text


def classes(given: Sequence[Label], right: Sequence[Label]) -> Score:
    """accuracy, macro_f1 (the unweighted mean over the classes that occur, given or right), and mcc (Matthews' correlation)
    where two classes or fewer occur. By scikit-learn."""
    _alike(given, right)
    measure = _sklearn()
    names = sorted({*given, *right}, key=str)
    place = {name: i for i, name in enumerate(names)}
    g, r = np.array([place[x] for x in given]), np.array([place[x] for x in right])
    metrics = {"accuracy": float(measure.accuracy_score(r, g)), "macro_f1": float(measure.f1_score(r, g, average="macro", zero_division=0))}
    intervals = {"accuracy": bootstrap(g == r, _mean(len(g)), N, SEED), "macro_f1": bootstrap(_hits(g, r, len(names)), _macro_f1, N, SEED)}
    if len(names) <= 2:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of one class alone, whose MCC is 0
            metrics["mcc"] = float(measure.matthews_corrcoef(r, g))
        cells = np.stack([(g == i) & (r == j) for i in (1, 0) for j in (1, 0)], 1)
        intervals["mcc"] = bootstrap(cells, _mcc, N, SEED)
    return Score(metrics, intervals)


def several(given: Sequence[Sequence[Label]], right: Sequence[Sequence[Label]], labels: Sequence[Label]) -> Score:
    """micro_f1 and macro_f1 over `labels`, and exact_match: all of an example's classes right and no other. By scikit-learn.
    A class that never occurs counts in macro_f1 as 0, as there."""
    _alike(given, right)
    measure = _sklearn()
    g, r = (np.array([[label in set(row) for label in labels] for row in side]) for side in (given, right))
    metrics = {f"{how}_f1": float(measure.f1_score(r, g, average=how, zero_division=0)) for how in ("micro", "macro")}
    metrics["exact_match"] = float(measure.accuracy_score(r, g))
    stats = np.concatenate([g & r, g & ~r, ~g & r], 1)
    intervals = {"micro_f1": bootstrap(stats, lambda s: _f1(*(part.sum(1) for part in np.split(s, 3, 1))), N, SEED),
                 "macro_f1": bootstrap(stats, lambda s: _f1(*np.split(s, 3, 1)).mean(1), N, SEED),
                 "exact_match": bootstrap((g == r).all(1), _mean(len(g)), N, SEED)}  # fmt: skip
    return Score(metrics, intervals)


def _hits(g: np.ndarray, r: np.ndarray, n: int) -> np.ndarray:
    """(N, 3 n): whether an example is a true positive, false positive, false negative of each class."""
    eye = np.eye(n, dtype=bool)
    given, right = eye[g], eye[r]
    return np.concatenate([given & right, given & ~right, ~given & right], 1)


def _f1(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
    """2 tp / (2 tp + fp + fn); 0 where there is nothing."""
    return 2 * tp / np.maximum(2 * tp + fp + fn, 1)


def _macro_f1(sums: np.ndarray) -> np.ndarray:
    tp, fp, fn = np.split(sums, 3, 1)
    there = tp + fp + fn > 0  # a class that a resample lost is none of its classes
    return (_f1(tp, fp, fn) * there).sum(1) / there.sum(1)


def _mcc(sums: np.ndarray) -> np.ndarray:
    """Sums of true positives, false positives, false negatives, true negatives; 0 where a side is constant, as scikit-learn."""
    tp, fp, fn, tn = sums.T
    under = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return np.where(under > 0, (tp * tn - fp * fn) / np.maximum(under, 1), 0.0)


# ---------------------------------------------------------------- numbers


def numbers(given: Sequence[float], right: Sequence[float]) -> Score:
    """pearson and spearman correlation, by scipy; nan where one side does not vary, which has no correlation."""
    _alike(given, right)
    stats = need("scipy.stats", "scipy")
    x, y = np.asarray(given, np.float64), np.asarray(right, np.float64)
    pairs = np.stack([x, y], 1)
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        nothing = float("nan"), float("nan")
        return Score({"pearson": math.nan, "spearman": math.nan}, {"pearson": nothing, "spearman": nothing})
    metrics = {"pearson": float(stats.pearsonr(x, y).statistic), "spearman": float(stats.spearmanr(x, y).statistic)}
    a, b = x - x.mean(), y - y.mean()
    moments = np.stack([np.ones_like(a), a, b, a * a, b * b, a * b], 1)

    def by_rank(drawn: np.ndarray) -> np.ndarray:
        ranks = stats.rankdata(drawn, axis=1)
        ranks = ranks - ranks.mean(1, keepdims=True)
        return _ratio((ranks[..., 0] * ranks[..., 1]).sum(1), np.sqrt((ranks**2).sum(1).prod(1)))

    return Score(metrics, {"pearson": bootstrap(moments, _pearson, N, SEED), "spearman": bootstrap_examples(pairs, by_rank, N, SEED)})


def _pearson(sums: np.ndarray) -> np.ndarray:
    n, x, y, xx, yy, xy = sums.T
    under = np.sqrt(np.maximum(xx - x * x / n, 0) * np.maximum(yy - y * y / n, 0))
    return _ratio(xy - x * y / n, under)


def _ratio(top: np.ndarray, under: np.ndarray) -> np.ndarray:
    return np.where(under > 0, top / np.where(under > 0, under, 1), np.nan)


# ---------------------------------------------------------------- tags


def tags(given: Sequence[Sequence[str]], right: Sequence[Sequence[str]], mode: str = "default") -> Score:
    """accuracy per word, and, where the right tags are IOB or BIOES, precision, recall and f1 of whole spans, by seqeval.

    mode: "default", conlleval's lenient reading, where a span may begin with I-; "strict": only spans that the scheme allows
    count, IOBES where S- or E- tags occur, else IOB2. Resampled are sentences.
    """
    _alike(given, right)
    if mode not in ("default", "strict"):
        raise ConfigError("the mode of span F1", expected="default or strict", received=repr(mode)[:100])
    for i, (one, other) in enumerate(zip(given, right, strict=True)):
        if len(one) != len(other):
            raise DataError(f"sentence {i} has another number of tags", expected=str(len(other)), received=str(len(one)))
    equal = np.array([[sum(a == b for a, b in zip(one, other, strict=True)), len(other)] for one, other in zip(given, right, strict=True)])
    metrics = {"accuracy": float(equal[:, 0].sum() / max(equal[:, 1].sum(), 1))}
    intervals = {"accuracy": bootstrap(equal, lambda s: _ratio(s[:, 0], s[:, 1]), N, SEED)}
    if not marks_spans({tag for row in right for tag in row}):
        return Score(metrics, intervals)
    found = _spans(given, right, mode)
    how: dict[str, Combine] = {"precision": lambda s: _over(s[:, 0], s[:, 1]), "recall": lambda s: _over(s[:, 0], s[:, 2]),
                               "f1": lambda s: _over(2 * s[:, 0], s[:, 1] + s[:, 2])}  # fmt: skip
    metrics |= _seqeval(given, right, mode)
    return Score(metrics, intervals | {name: bootstrap(found, combine, N, SEED) for name, combine in how.items()})


def _scheme(rows: Sequence[Sequence[str]]) -> str:
    marks = {tag[0] for row in rows for tag in row}
    return "BILOU" if marks & {"L", "U"} else "IOBES" if marks & {"E", "S"} else "IOB2"


def _seqeval(given: Sequence[Sequence[str]], right: Sequence[Sequence[str]], mode: str) -> dict[str, float]:
    library = need("seqeval.metrics", "seqeval")
    more = {"mode": "strict", "scheme": getattr(need("seqeval.scheme", "seqeval"), _scheme(right))} if mode == "strict" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that have no denominator and become 0
        call = {name: getattr(library, f"{name}_score") for name in ("precision", "recall", "f1")}
        return {name: float(score([list(r) for r in right], [list(g) for g in given], **more)) for name, score in call.items()}


def _spans(given: Sequence[Sequence[str]], right: Sequence[Sequence[str]], mode: str) -> np.ndarray:
    """(sentences, 3): spans that are right, given, wanted, as seqeval reads them."""
    if mode == "strict":
        scheme = need("seqeval.scheme", "seqeval")
        kind = getattr(scheme, _scheme(right))

        def read(row: Sequence[str]) -> set[Any]:
            return {entity.to_tuple()[1:] for entity in scheme.Entities([list(row)], kind).entities[0]}
    else:
        get = need("seqeval.metrics.sequence_labeling", "seqeval").get_entities

        def read(row: Sequence[str]) -> set[Any]:
            return set(get(list(row)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pairs = [(read(one), read(other)) for one, other in zip(given, right, strict=True)]
    return np.array([[len(one & other), len(one), len(other)] for one, other in pairs])


def _over(top: np.ndarray, under: np.ndarray) -> np.ndarray:
    return top / np.maximum(under, 1)


# ---------------------------------------------------------------- answers


def squad(given: Sequence[str], right: Sequence[Sequence[str]]) -> Score:
    """exact_match and f1 of SQuAD's official script, in percent; where some questions have no answer, as in SQuAD 2.0, also
    has_answer_f1 and no_answer_f1. given: "" = no answer. right: the accepted answers of each question, none = no answer."""
    _alike(given, right)
    rows = np.array([_squad.scores(one, accepted) for one, accepted in zip(given, right, strict=True)])
    has = np.array([bool(accepted) for accepted in right])
    metrics = {"exact_match": 100 * float(rows[:, 0].mean()), "f1": 100 * float(rows[:, 1].mean())}
    combine = _mean(len(rows))
    intervals = {name: bootstrap(100 * rows[:, i], combine, N, SEED) for i, name in enumerate(("exact_match", "f1"))}
    if not has.all():
        for name, part in (("has_answer_f1", has), ("no_answer_f1", ~has)):
            if part.any():
                metrics[name] = 100 * float(rows[part, 1].mean())
                intervals[name] = bootstrap(100 * rows[part, 1], _mean(int(part.sum())), N, SEED)
    return Score(metrics, intervals)


# ---------------------------------------------------------------- texts


def bleu(given: Sequence[str], right: Sequence[Sequence[str]]) -> Score:
    """Corpus BLEU (Papineni et al. 2002) by sacrebleu: cased, its 13a tokens, with its signature. right: each text's
    references."""
    _alike(given, right)
    metric = need("sacrebleu.metrics", "sacrebleu").BLEU(force=True)
    stats = np.array(metric._extract_corpus_statistics(list(given), _transposed(right)), np.int64)
    return _sacrebleu("bleu", metric, stats)


def chrf(given: Sequence[str], right: Sequence[Sequence[str]]) -> Score:
    """chrF2 (Popović 2015) by sacrebleu, with its signature."""
    _alike(given, right)
    metric = need("sacrebleu.metrics", "sacrebleu").CHRF()
    stats = np.array(metric._extract_corpus_statistics(list(given), _transposed(right)), np.int64)
    return _sacrebleu("chrf", metric, stats)


def _sacrebleu(name: str, metric: Any, stats: np.ndarray) -> Score:
    def combine(sums: np.ndarray) -> np.ndarray:
        return np.array([metric._compute_score_from_stats([round(x) for x in row]).score for row in sums])

    value = float(metric._compute_score_from_stats(stats.sum(0).tolist()).score)
    return Score({name: value}, {name: bootstrap(stats, combine, N, SEED)}, str(metric.get_signature()))


def _transposed(right: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """References the way sacrebleu wants them: the first of every text, then the second …, None where there is none."""
    most = max((len(row) for row in right), default=0)
    if any(not row for row in right):
        raise DataError("a text has no reference", expected="at least one for each", received="none")
    return [[row[i] if i < len(row) else None for row in right] for i in range(most)]


def rouge(given: Sequence[str], right: Sequence[Sequence[str]]) -> Score:
    """rouge1, rouge2, rougeL: F-measures (Lin 2004) by rouge-score with its Porter stemmer, the mean over texts; with several
    references the best one counts. rougeL takes a text as one sentence."""
    _alike(given, right)
    names = ("rouge1", "rouge2", "rougeL")
    scorer = need("rouge_score.rouge_scorer", "rouge-score").RougeScorer(list(names), use_stemmer=True)
    found = [scorer.score_multi(list(accepted), one) for one, accepted in zip(given, right, strict=True)]
    rows = np.array([[row[name].fmeasure for name in names] for row in found])
    combine = _mean(len(rows))
    intervals = {name: bootstrap(rows[:, i], combine, N, SEED) for i, name in enumerate(names)}
    return Score({name: float(rows[:, i].mean()) for i, name in enumerate(names)}, intervals)


def exact(given: Sequence[str], right: Sequence[Sequence[str]]) -> Score:
    """exact_match: the share of texts that are one of their references, but for blanks at the ends."""
    _alike(given, right)
    rows = np.array([one.strip() in {text.strip() for text in accepted} for one, accepted in zip(given, right, strict=True)])
    return Score({"exact_match": float(rows.mean())}, {"exact_match": bootstrap(rows, _mean(len(rows)), N, SEED)})


def perplexity_per_word(nats: float, words: int) -> float:
    """exp(−ln p of a text / its words): comparable between tokenizers, for one way of counting words. inf beyond a float."""
    return math.exp(nats / words) if 0 < words and nats / words < 700 else math.inf


def bits_per_byte(nats: float, count: int) -> float:
    """−log2 p of a text / its bytes in UTF-8: comparable between tokenizers."""
    return nats / math.log(2) / count if count else math.nan


# ---------------------------------------------------------------- helpers


def merged(*scores: Score) -> Score:
    """One Score of several; signatures follow each other."""
    metrics: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    for score in scores:
        metrics |= score.metrics
        intervals |= score.intervals
    told = [score.signature for score in scores if score.signature]
    return Score(metrics, intervals, " ".join(told) or None)


def _mean(n: int) -> Callable[[np.ndarray], np.ndarray]:
    """Sums of n examples → their mean."""
    return lambda sums: sums[:, 0] / n


def _alike(given: Sequence[Any], right: Sequence[Any]) -> None:
    if len(given) != len(right):
        raise DataError("answers and references do not go together", expected=f"{len(right)} answers", received=str(len(given)))
    if not len(right):
        raise DataError("there is nothing to measure", expected="at least one example", received="none")


def _sklearn() -> Any:
    return need("sklearn.metrics", "scikit-learn")


def need(module: str, package: str) -> Any:
    """The library behind a metric. ConfigError that says how to install it."""
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"this metric is computed by {package}, which is not installed", expected=package, received=str(error)[:200],
            change=f"pip install {package}, or all of them: pip install 'polyhead[eval]'",
        ) from None  # fmt: skip
