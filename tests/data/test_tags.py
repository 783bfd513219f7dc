"""Schemes of span tags: conversions, and what malformed sequences mean (as conlleval reads them)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyhead.data.tags import converted, marks_spans, scheme_of, spans, tags_of
from polyhead.errors import DataError


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-A I-A O B-B", [(0, 2, "A"), (3, 4, "B")]),
        ("B-A B-A I-A", [(0, 1, "A"), (1, 3, "A")]),
        ("I-A I-A O I-A", [(0, 2, "A"), (3, 4, "A")]),  # IOB1, or IOB2 without a beginning
        ("I-A B-A I-B", [(0, 1, "A"), (1, 2, "A"), (2, 3, "B")]),
        ("B-A I-B I-B", [(0, 1, "A"), (1, 3, "B")]),
        ("S-A S-A B-A E-A", [(0, 1, "A"), (1, 2, "A"), (2, 4, "A")]),
        ("U-A B-A I-A L-A", [(0, 1, "A"), (1, 4, "A")]),
        ("E-A I-A E-A I-A", [(0, 1, "A"), (1, 3, "A"), (3, 4, "A")]),
        ("B-A E-B", [(0, 1, "A"), (1, 2, "B")]),
        ("O O", []),
        ("", []),
        ("B I O I", [(0, 2, ""), (3, 4, "")]),
        ("B-A-1 I-A-1", [(0, 2, "A-1")]),
    ],
)
def test_spans_of_any_scheme_also_malformed(tags, expected) -> None:
    assert spans(tags.split()) == expected


def test_conversions_by_hand() -> None:
    iob1 = "I-A I-A B-A O I-B I-A".split()
    iob2 = "B-A I-A B-A O B-B B-A".split()
    bioes = "B-A E-A S-A O S-B S-A".split()
    for one in (iob1, iob2, bioes):
        assert [converted(one, scheme) for scheme in ("iob1", "iob2", "bioes")] == [iob1, iob2, bioes]
    assert converted("B-A I-A L-A U-A".split(), "bioes") == "B-A I-A E-A S-A".split()


@given(st.lists(st.sampled_from([f"{p}-{t}" for p in "BIESLU" for t in "AB"] + ["O"]), max_size=12))
def test_every_scheme_keeps_the_spans_of_any_sequence(tags) -> None:
    found = spans(tags)
    assert all(0 <= a < b <= len(tags) for a, b, _ in found)
    assert sum(b - a for a, b, _ in found) == sum(tag != "O" for tag in tags)
    for scheme in ("iob1", "iob2", "bioes"):
        assert spans(tags_of(found, len(tags), scheme)) == found
    assert scheme_of([converted(tags, "bioes")]) is not None


def test_seqeval_finds_the_same_spans() -> None:
    seqeval = pytest.importorskip("seqeval.metrics.sequence_labeling")
    for tags in ("B-A I-A O B-B", "I-A B-A I-B", "B-A I-B I-B O I-A", "E-A I-A E-A", "S-A I-A"):
        theirs = [(a, b + 1, kind) for kind, a, b in seqeval.get_entities(tags.split())]
        assert spans(tags.split()) == theirs


def test_which_scheme_it_is() -> None:
    assert scheme_of([["B-A", "I-A"], ["O"]]) == "iob2"
    assert scheme_of([["I-A", "B-A"], ["O"]]) == "iob1"
    assert scheme_of([["B-A", "E-A"]]) == "bioes" == scheme_of([["U-A", "B-A", "L-A"]])
    assert scheme_of([["I-A", "E-A", "B-A"]]) is None and scheme_of([["NOUN"]]) is None


def test_what_are_no_span_tags() -> None:
    assert (
        marks_spans(["O", "B-A"])
        and not marks_spans(["O"])
        and not marks_spans(["NOUN", "O"])
        and not marks_spans(["B-"])
    )
    for bad in ("NOUN", "X-A", "", "-A"):
        with pytest.raises(DataError, match="marks no spans"):
            spans([bad])
    for wrong in ([(0, 3, "A")], [(0, 1, "A"), (0, 2, "A")], [(1, 1, "A")], [(-1, 1, "A")]):
        with pytest.raises(DataError, match="cannot be written"):
            tags_of(wrong, 2)
    with pytest.raises(DataError, match="no such scheme"):
        tags_of([], 2, "bilou")
