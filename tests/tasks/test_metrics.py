"""The field's metrics: against numbers worked out by hand or printed by the official tools, and beside the libraries."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from polyhead.errors import ConfigError, DataError
from polyhead.tasks import metrics
from polyhead.tasks.bootstrap import bootstrap, paired
from polyhead.tasks.squad import f1, normalised, scores

# ---------------------------------------------------------------- classes and numbers


def test_accuracy_macro_f1_and_mcc_by_hand() -> None:
    found = metrics.classes(["a", "b", "a", "c"], ["a", "b", "b", "c"])
    assert found.metrics == pytest.approx({"accuracy": 3 / 4, "macro_f1": (2 / 3 + 2 / 3 + 1) / 3})
    two = metrics.classes([1, 0, 1, 1], [1, 0, 0, 1]).metrics  # tp 2, fp 1, fn 0, tn 1
    assert two["mcc"] == pytest.approx((2 * 1 - 1 * 0) / math.sqrt(3 * 2 * 2 * 1))
    assert metrics.classes([1, 1], [1, 1]).metrics == {"accuracy": 1.0, "macro_f1": 1.0, "mcc": 0.0}


def test_several_labels_by_hand() -> None:
    found = metrics.several([["a"], ["a", "b"], []], [["a"], ["b"], ["c"]], ["a", "b", "c"]).metrics
    assert found == pytest.approx({"micro_f1": 2 * 2 / (4 + 1 + 1), "macro_f1": (2 / 3 + 1 + 0) / 3, "exact_match": 1 / 3})


def test_correlations_by_hand_and_without_spread() -> None:
    found = metrics.numbers([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]).metrics
    assert found == pytest.approx({"pearson": 0.8, "spearman": 1 - 6 * 4 / (5 * 24)})
    assert metrics.numbers([1, 2, 3], [1, 10, 100]).metrics["spearman"] == 1
    assert all(math.isnan(x) for x in metrics.numbers([1, 1, 1], [1, 2, 3]).metrics.values())


# ---------------------------------------------------------------- spans

CONLL = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "I-ORG", "I-ORG", "O"]]


def test_span_f1_by_hand() -> None:
    given = [["B-PER", "I-PER", "O", "B-PER"], ["O", "I-ORG", "I-ORG", "O"]]
    lenient = metrics.tags(given, CONLL).metrics  # right: PER, ORG (begun by I-, as conlleval allows); given 3, wanted 3
    assert lenient == pytest.approx({"accuracy": 7 / 8, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3})
    strict = metrics.tags(given, CONLL, "strict").metrics  # IOB2: the ORG is none
    assert strict == pytest.approx({"accuracy": 7 / 8, "precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2})


def test_bioes_spans_and_plain_tags() -> None:
    right = [["S-PER", "O", "B-LOC", "I-LOC", "E-LOC"]]
    given = [["S-PER", "O", "B-LOC", "E-LOC", "O"]]
    for mode in ("default", "strict"):
        assert metrics.tags(given, right, mode).metrics["f1"] == pytest.approx(1 / 2)
    assert metrics.tags([["NOUN", "VERB"]], [["NOUN", "NOUN"]]).metrics == {"accuracy": 0.5}


def test_the_counts_behind_the_interval_give_seqevals_f1() -> None:
    draw = np.random.default_rng(0)
    names = np.array(["O", "O", "B-A", "I-A", "B-B", "I-B"])
    right, given = ([list(names[draw.integers(0, 6, 9)]) for _ in range(80)] for _ in range(2))
    for mode in ("default", "strict"):
        stats = metrics._spans(given, right, mode).sum(0)
        assert 2 * stats[0] / (stats[1] + stats[2]) == pytest.approx(metrics.tags(given, right, mode).metrics["f1"])


# ---------------------------------------------------------------- SQuAD


def test_squads_normalisation() -> None:
    assert normalised("The  Denver-Broncos, an A+ team!") == "denverbroncos team"
    assert normalised("a") == "" and normalised("theatre") == "theatre" and normalised("“x”") == "“x”"  # ASCII signs alone


def test_squads_scores_as_its_script_prints_them() -> None:
    assert scores("the Denver Broncos.", ["Denver Broncos", "Carolina"]) == (1.0, 1.0)
    assert f1("Denver Broncos team", "Denver Broncos") == pytest.approx(0.8)
    assert f1("cat cat", "cat") == pytest.approx(2 / 3)
    assert scores("", []) == (1.0, 1.0) and scores("x", []) == (0.0, 0.0) and scores("the", []) == (1.0, 1.0)
    assert scores("", ["x"]) == (0.0, 0.0) and scores("the", ["the", "x"]) == (0.0, 0.0)  # an accepted answer of nothing is dropped


def test_squad_of_a_set_is_in_percent() -> None:
    found = metrics.squad(["Denver Broncos team", "Paris", "", "x"], [["Denver Broncos"], ["Paris"], [], []]).metrics
    assert found == pytest.approx({"exact_match": 50, "f1": 70, "has_answer_f1": 90, "no_answer_f1": 50})
    assert set(metrics.squad(["a b"], [["b"]]).metrics) == {"exact_match", "f1"}


# ---------------------------------------------------------------- texts

GIVEN = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]  # the example of sacrebleu's README
RIGHT = [["The dog bit the man.", "The dog had bit the man."], ["It was not unexpected.", "No one was surprised."],
         ["The man bit him first.", "The man had bitten the dog."]]  # fmt: skip


def test_bleu_and_chrf_as_sacrebleus_readme_prints_them() -> None:
    import sacrebleu

    found = metrics.bleu(GIVEN, RIGHT)
    assert found.metrics["bleu"] == pytest.approx(48.530827, abs=1e-5)
    assert found.signature == f"nrefs:2|case:mixed|eff:no|tok:13a|smooth:exp|version:{sacrebleu.__version__}"
    found = metrics.chrf(GIVEN, RIGHT)
    whole = sacrebleu.corpus_chrf(GIVEN, [[row[0] for row in RIGHT], [row[1] for row in RIGHT]])
    assert found.metrics["chrf"] == pytest.approx(whole.score) and "nc:6" in (found.signature or "")


def test_rouge_by_hand_and_with_several_references() -> None:
    found = metrics.rouge(["the cats sat"], [["a cat sat", "nothing"]]).metrics
    assert found == pytest.approx({"rouge1": 2 / 3, "rouge2": 1 / 2, "rougeL": 2 / 3})  # stemmed: cats = cat
    assert metrics.rouge(["x y"], [["y x"]]).metrics["rougeL"] == pytest.approx(0.5)
    assert metrics.rouge(["x y", "z"], [["q", "x y"], ["q"]]).metrics["rouge1"] == pytest.approx(0.5)


def test_exact_match_perplexity_and_bits() -> None:
    assert metrics.exact([" a b", "c"], [["a b", "d"], ["C"]]).metrics == {"exact_match": 0.5}
    assert metrics.perplexity_per_word(math.log(8) * 10, 10) == pytest.approx(8)
    assert metrics.bits_per_byte(math.log(2) * 12, 6) == pytest.approx(2)
    assert metrics.perplexity_per_word(1e6, 1) == math.inf and math.isnan(metrics.bits_per_byte(1.0, 0))


# ---------------------------------------------------------------- intervals


def test_the_interval_of_a_mean_is_the_textbooks() -> None:
    draw = np.random.default_rng(1)
    right = draw.random(400) < 0.8
    low, high = bootstrap(right, lambda sums: sums[:, 0] / 400)
    half = 1.96 * math.sqrt(right.mean() * (1 - right.mean()) / 400)
    assert (low, high) == pytest.approx((right.mean() - half, right.mean() + half), abs=0.006)
    noisy, mean = draw.normal(size=400), lambda sums: sums[:, 0] / 400
    assert bootstrap(noisy, mean) == bootstrap(noisy, mean) != bootstrap(noisy, mean, seed=1)


def test_a_resample_of_counts_is_the_metric_of_those_examples() -> None:
    """Each combine on the sums of a drawn half equals the metric of that half."""
    draw = np.random.default_rng(2)
    index = draw.integers(0, 60, 60)
    x, y = draw.normal(size=60), draw.normal(size=60)
    moments = np.stack([np.ones(60), x, y, x * x, y * y, x * y], 1)
    assert metrics._pearson(moments[index].sum(0)[None])[0] == pytest.approx(np.corrcoef(x[index], y[index])[0, 1])
    g, r = draw.integers(0, 4, 60), draw.integers(0, 4, 60)
    found = metrics._macro_f1(metrics._hits(g, r, 4)[index].sum(0)[None].astype(float))[0]
    assert found == pytest.approx(metrics.classes(g[index].tolist(), r[index].tolist()).metrics["macro_f1"])
    from sacrebleu.metrics import BLEU

    given = [" ".join(draw.choice(list("abcd"), 12)) for _ in range(20)]
    right = [[" ".join(draw.choice(list("abcd"), 12))] for _ in range(20)]
    stats = np.array(BLEU(force=True)._extract_corpus_statistics(given, [[row[0] for row in right]]))
    at = draw.integers(0, 20, 20)
    whole = BLEU(force=True).corpus_score([given[i] for i in at], [[right[i][0] for i in at]]).score
    assert BLEU(force=True)._compute_score_from_stats(stats[at].sum(0).tolist()).score == pytest.approx(whole)


def test_every_value_lies_in_its_interval() -> None:
    draw = np.random.default_rng(3)
    g, r = draw.integers(0, 2, 150).tolist(), draw.integers(0, 2, 150).tolist()
    noisy = [a if draw.random() < 0.3 else b for a, b in zip(g, r, strict=True)]
    found = [metrics.classes(noisy, r), metrics.numbers(draw.normal(size=50) + np.arange(50) / 9, np.arange(50)),
             metrics.rouge(GIVEN * 9, RIGHT * 9), metrics.bleu(GIVEN * 9, RIGHT * 9), metrics.squad(["a b", "", "c"] * 9, [["a"], [], ["c"]] * 9)]  # fmt: skip
    for score in found:
        assert score.metrics.keys() == score.intervals.keys()
        for name, value in score.metrics.items():
            low, high = score.intervals[name]
            assert low <= value <= high, name


def test_a_paired_difference_of_one_system_with_itself_is_nothing() -> None:
    right = np.random.default_rng(4).random(80) < 0.6
    better = right | (np.random.default_rng(5).random(80) < 0.5)
    mean = lambda sums: sums[:, 0] / 80  # noqa: E731
    assert paired(right, right, mean) == (0.0, 0.0)
    assert paired(right, better, mean)[0] > 0
    with pytest.raises(ValueError, match="same examples"):
        paired(right, right[:9], mean)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("package", "module", "call"),
    [("scikit-learn", "sklearn.metrics", lambda: metrics.classes([1], [1])), ("scipy", "scipy.stats", lambda: metrics.numbers([1, 2], [1, 2])),
     ("seqeval", "seqeval.metrics", lambda: metrics.tags(CONLL, CONLL)), ("sacrebleu", "sacrebleu.metrics", lambda: metrics.bleu(["a"], [["a"]])),
     ("rouge-score", "rouge_score.rouge_scorer", lambda: metrics.rouge(["a"], [["a"]]))],
)  # fmt: skip
def test_a_missing_library_says_how_to_get_it(monkeypatch, package: str, module: str, call) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match="not installed") as error:
        call()
    assert f"pip install {package}" in str(error.value)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(DataError, match="go together"):
        metrics.classes([1], [1, 2])
    with pytest.raises(DataError, match="nothing to measure"):
        metrics.exact([], [])
    with pytest.raises(DataError, match="sentence 1"):
        metrics.tags([["O"], ["O"]], [["O"], ["O", "O"]])
    with pytest.raises(ConfigError, match="mode"):
        metrics.tags(CONLL, CONLL, "lenient")
    with pytest.raises(DataError, match="no reference"):
        metrics.bleu(["a"], [[]])


# ---------------------------------------------------------------- published figures, where the data is at hand


def test_wnut_17_has_as_many_entities_as_its_paper_says() -> None:
    from polyhead.data import open_source
    from tests.parity.data import reference_data

    rows = [list(row.tags) for row in open_source(reference_data("wnut17") / "dev.conll.gz").examples()]
    assert len(rows) == 1009  # Derczynski et al. 2017, table 2: 836 entities in the development part
    for mode in ("default", "strict"):
        assert metrics._spans(rows, rows, mode).sum(0).tolist() == [836] * 3
    assert metrics.tags(rows, rows).metrics["f1"] == 1


def test_people_score_on_squad_as_its_paper_says() -> None:
    """Rajpurkar et al. 2016, table 5: the second person's answer against the others', development part: EM 80.3, F1 90.5."""
    from polyhead.data import open_source
    from tests.parity.data import reference_data

    rows = [row for row in open_source(reference_data("squad") / "val-v1.1.json.gz").examples() if len(row.answers) > 2]
    answers = [[text for text, _ in row.answers] for row in rows]
    found = metrics.squad([one[1] for one in answers], [[one[0], *one[2:]] for one in answers]).metrics
    assert found["exact_match"] == pytest.approx(80.3, abs=2) and found["f1"] == pytest.approx(90.5, abs=1)  # 7 articles of 48
    rows = list(open_source(reference_data("squad") / "val-v2.0.json.gz").examples())
    nothing = metrics.squad([""] * len(rows), [[text for text, _ in row.answers] for row in rows]).metrics
    share = 100 * sum(not row.answers for row in rows) / len(rows)
    assert nothing == pytest.approx({"exact_match": share, "f1": share, "has_answer_f1": 0, "no_answer_f1": 100})
