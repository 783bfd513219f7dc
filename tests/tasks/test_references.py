"""Several references of a pair: what an answer is compared with, and that it is said."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from polyhead.data import Pair, open_source, pack
from polyhead.data.pieces import Referenced
from polyhead.errors import ConfigError, DataError
from polyhead.tasks import evaluating, metrics
from polyhead.tasks.evaluating import evaluate_task
from polyhead.text import Tokenizer
from tests.cli.conftest import seq2seq
from tests.parity.data import reference_data

__all__ = ["seq2seq"]
MAILS = [
    {"id": "1", "body": "Shall we meet at ten on Monday?", "subject": "Monday", "references": ["meeting on Monday at ten", "meeting at ten", "meeting at ten"]},
    {"id": "2", "body": "The lamp in the hall is broken.", "subject": "Broken lamp in hall", "references": ["the broken lamp", "the hall lamp is broken", "a lamp"]},
]
WRITTEN = ["the meeting on Monday", "a broken lamp in the hall"]


def mails(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows or MAILS))
    return path


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A model that writes WRITTEN."""
    monkeypatch.setattr(evaluating, "written", lambda model, sources, beams: WRITTEN[: len(sources)])
    return SimpleNamespace()


def test_they_stand_beside_the_target_and_training_sees_a_pair(tmp_path: Path) -> None:
    source = open_source(mails(tmp_path / "a.jsonl"))
    found = list(source.pairs())
    assert source.kind == "pairs" and found == [(row["body"], row["subject"]) for row in MAILS] and len(found[0]) == 2
    assert [pair.references for pair in found if isinstance(pair, Referenced)] == [tuple(row["references"]) for row in MAILS]
    tokenizer = Tokenizer.train(["ab"], "bytes")
    plain = open_source(mails(tmp_path / "b.jsonl", *({k: v for k, v in row.items() if k != "references"} for row in MAILS)))
    one, other = (pack(one, tokenizer, tmp_path / name).file.tokens for one, name in ((source, "one"), (plain, "other")))
    assert one.tolist() == other.tolist()


@pytest.mark.parametrize("given", [None, "x", [], [3, None], ["", " "], {"a": 1}])
def test_what_is_no_list_of_texts_is_no_reference(tmp_path: Path, given) -> None:
    source = open_source(mails(tmp_path / "a.jsonl", MAILS[0], MAILS[1] | {"references": given}))
    assert [isinstance(pair, Referenced) for pair in source.pairs()] == [True, False]


@pytest.mark.parametrize("used", evaluating.REFERENCES)
def test_the_metrics_are_the_libraries_own(tmp_path: Path, told, used: str) -> None:
    import sacrebleu
    from rouge_score.rouge_scorer import RougeScorer

    beside, targets = [row["references"] for row in MAILS], [row["subject"] for row in MAILS]
    right = {"target": [[t] for t in targets], "annotated": [beside[0][:2], beside[1]], "all": [[targets[0], *beside[0][:2]], [targets[1], *beside[1]]]}[used]
    found = evaluate_task(told, open_source(mails(tmp_path / "a.jsonl")).pairs(), rouge=True, references=used)
    streams = [[row[i] if i < len(row) else None for row in right] for i in range(max(map(len, right)))]
    assert found["metrics"]["bleu"] == pytest.approx(sacrebleu.corpus_bleu(WRITTEN, streams).score)
    assert found["metrics"]["chrf"] == pytest.approx(sacrebleu.corpus_chrf(WRITTEN, streams).score)
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    best = [max(scorer.score(text, one)["rougeL"].fmeasure for text in row) for one, row in zip(WRITTEN, right, strict=True)]
    assert found["metrics"]["rougeL"] == pytest.approx(sum(best) / 2)
    assert found["references"] == {"used": used, "least": len(min(right, key=len)), "most": len(max(right, key=len))}
    assert found["signature"].startswith("nrefs:1|" if used == "target" else "nrefs:var|")


def test_without_any_nothing_is_said_and_nothing_is_made_up(told) -> None:
    pairs = [Pair("a", "b"), Pair("c", "d")]
    assert "references" not in evaluate_task(told, pairs) and evaluate_task(told, pairs, references="all")["n"] == 2
    with pytest.raises(DataError, match="2 of 2 pairs have no references"):
        evaluate_task(told, pairs, references="annotated")
    with pytest.raises(DataError, match="1 of 2 pairs"):
        evaluate_task(told, [Pair("a", "b"), Referenced("c", "d", ("e",))], references="annotated")
    with pytest.raises(ConfigError, match="compared with"):
        evaluate_task(told, pairs, references="both")


def test_the_verb_says_which_were_used(tmp_path: Path, polyhead, made, seq2seq: Path) -> None:
    file = mails(tmp_path / "a.jsonl")
    for used, words in (("target", "--references annotated or all"), ("annotated", "the 2 to 3 of each pair"), ("all", "3 to 4 in all")):
        result = polyhead("eval", seq2seq, "--on", file, "--references", used, "--rouge")
        assert result.code == 0 and words in result.out.splitlines()[-1], result.err
    assert json.loads(polyhead("eval", seq2seq, "--on", file, "--json").out)["references"] == {"used": "target", "least": 1, "most": 1}
    assert polyhead("eval", seq2seq, "--on", file, "--references", "both").code == 2
    refused = polyhead("eval", made("bert", "single"), "--on", file, "--references", "all")
    assert refused.code == 2 and "of answers that are written" in refused.err


def test_mails_with_three_annotated_subjects() -> None:
    rows = list(open_source(reference_data("aeslc") / "dev.jsonl.gz").pairs())
    assert len(rows) == 1960 and all(isinstance(row, Referenced) and len(row.references) == 3 for row in rows)
    rows = rows[:50]
    given = [row.target for row in rows]
    right = evaluating._references(rows, "annotated")
    assert metrics.rouge(given, right).metrics["rouge1"] < metrics.rouge(given, evaluating._references(rows, "all")).metrics["rouge1"] == pytest.approx(1, abs=0.01)
