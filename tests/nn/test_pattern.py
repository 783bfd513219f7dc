"""AXIS pattern: the predicate against a brute force, and what simplify, reach and covers promise about it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polyhead.nn import And, Causal, Document, Full, Or, Prefix, Window
from polyhead.nn.at import At
from polyhead.nn.pattern import allowed, causal_only, within_documents

from ..conformance.oracle import Row, sees
from ..conformance.specs import draws

LEAVES = st.one_of(
    st.just(Full()), st.just(Causal()), st.just(Prefix()), st.just(Document()),
    st.builds(Window, back=st.integers(0, 6), ahead=st.integers(0, 6)),
)  # fmt: skip


def parts(inner):
    some = st.lists(inner, min_size=1, max_size=3).map(tuple)
    return st.one_of(st.builds(And, parts=some), st.builds(Or, parts=some))


PATTERNS = st.recursive(LEAVES, parts, max_leaves=4)


def coordinates(length, marked, packed, left):
    n = length - left
    pos = torch.cat([torch.full((left,), -1), torch.arange(n)])[None]
    segment = (torch.arange(length) >= length // 2).long()[None] if packed else None
    mark = (torch.arange(length) < 3)[None] if marked else None
    return At(pos, segment, mark, padded=left > 0)


def brute(pattern, at):
    row = Row(
        [0] * at.pos.shape[1], at.pos[0].tolist(), None if at.segment is None else at.segment[0].tolist(),
        None if at.mark is None else at.mark[0].tolist(),
    )  # fmt: skip
    n = len(row.ids)
    # cross=True: documents matter only where the pattern names them
    return torch.tensor([[sees(pattern, row, i, row, j, cross=True) for j in range(n)] for i in range(n)])


@draws(120)
@given(PATTERNS, st.integers(1, 9), st.booleans(), st.booleans(), st.integers(0, 2))
def test_allowed_is_the_predicate_and_no_padding(pattern, length, marked, packed, left):
    at = coordinates(length, marked, packed and length > 1, min(left, length - 1))
    real = at.pos[0] >= 0
    expected = _both(pattern, at) & real[:, None] & real
    assert torch.equal(allowed(pattern, at, at)[0, 0], expected)


def _both(pattern, at):
    """The oracle's `sees` lets parts of and/or respect documents by themselves; here only Document does."""
    if isinstance(pattern, And | Or):
        found = torch.stack([_both(p, at) for p in pattern.parts])
        return found.all(0) if isinstance(pattern, And) else found.any(0)
    return brute(pattern, at)


@draws(120)
@given(PATTERNS, st.integers(1, 9), st.booleans(), st.booleans())
def test_simplify_changes_nothing_that_can_be_seen(pattern, length, marked, packed):
    at = coordinates(length, marked, packed and length > 1, 0)
    for n in (length, None):
        assert torch.equal(allowed(pattern.simplify(at, n), at, at), allowed(pattern, at, at))


@draws(120)
@given(PATTERNS)
def test_nobody_beyond_the_reach_is_seen(pattern):
    at = coordinates(16, False, False, 0)
    back, ahead = pattern.simplify(at, None).reach()
    far = at.pos[0][:, None] - at.pos[0]
    seen = allowed(pattern, at, at)[0, 0]
    assert back is None or not seen[far > back].any()
    assert ahead is None or not seen[-far > ahead].any()


@draws(120)
@given(PATTERNS, st.integers(1, 9))
def test_trap1_covers_promises_that_the_newest_query_sees_all(pattern, n):
    """Chunks, documents and windows longer than their reach are never maskless."""
    keys = coordinates(n, False, False, 0)
    if pattern.covers(n):
        assert allowed(pattern, At(keys.pos[:, -1:]), keys).all()


@pytest.mark.parametrize("back", [0, 1, 5])
def test_b28_a_window_sees_back_others_and_itself(back):
    """Mistral's sliding_window W counts the token itself: back = W − 1. Mask and cache must agree on it."""
    at = coordinates(12, False, False, 0)
    assert allowed(Window(back=back), at, at)[0, 0].sum(-1).tolist() == [min(i, back) + 1 for i in range(12)]
    assert Window(back=back).covers(back + 1) and not Window(back=back).covers(back + 2)


def test_what_a_cache_accepts():
    yes = (Causal(), Prefix(), Window(back=3), And(parts=(Causal(), Document())), Or(parts=(Window(back=2), Causal())))
    no = (Full(), Window(back=1, ahead=1), Document(), Or(parts=(Causal(), Full())))
    assert all(map(causal_only, yes)) and not any(map(causal_only, no))


def test_documents_are_added_where_a_batch_has_segments():
    assert within_documents(Causal(), At(torch.zeros(1, 2))) == Causal()
    with_documents = within_documents(Causal(), At(torch.zeros(1, 2), torch.zeros(1, 2)))
    assert with_documents == And(parts=(Causal(), Document()))


def test_facts_that_allow_a_flag():
    at = coordinates(8, False, False, 0)
    for pattern in (
        Window(back=7),
        Prefix(),
        And(parts=(Causal(), Document())),
        And(parts=(Full(), Causal(), Causal())),
    ):
        assert pattern.simplify(at, 8) == Causal()
    assert Window(back=6).simplify(at, 8) == Window(back=6)
    assert Window(back=7, ahead=7).simplify(at, 8) == Full()
    assert Window(back=7).simplify(at, None) == Window(back=7), "keys that are not the queries prove nothing"
