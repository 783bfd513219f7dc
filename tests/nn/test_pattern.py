"""AXIS pattern: the predicate against a brute force, and what simplify, reach and covers promise about it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polyhead.nn import (
    And,
    BlockSparse,
    Causal,
    Chunked,
    Dilated,
    Document,
    Full,
    Marked,
    Or,
    Prefix,
    Strided,
    Window,
)
from polyhead.nn.at import At
from polyhead.nn.block_sparse import draw_blocks
from polyhead.nn.pattern import allowed, causal_only, forms, within_documents

from ..conformance.oracle import Row, sees
from ..conformance.specs import draws

LEAVES = st.one_of(
    st.just(Full()), st.just(Causal()), st.just(Prefix()), st.just(Document()),
    st.builds(Window, back=st.integers(0, 6), ahead=st.integers(0, 6)),
    st.builds(Dilated, step=st.integers(1, 4), back=st.integers(0, 3), ahead=st.integers(0, 3)),
    st.builds(Strided, stride=st.integers(1, 5), back=st.integers(0, 4)), st.builds(Chunked, size=st.integers(1, 6)),
    st.sampled_from([Marked(), Marked(keys=False), Marked(queries=False)]),
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
@given(PATTERNS, st.booleans())
def test_tokens_that_are_no_hubs_see_nobody_beyond_the_near_reach(pattern, marked):
    """What a band computes beside its extra columns and rows."""
    at = coordinates(16, marked, False, 0)
    hubs = pattern.hubs(at)
    back, ahead = pattern.near()
    far = at.pos[0][:, None] - at.pos[0]
    seen = allowed(pattern, at, at)[0, 0]
    seen = seen if hubs.keys is None else seen & ~hubs.keys[0][None]
    seen = seen if hubs.queries is None else seen & ~hubs.queries[0][:, None]
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
    seen_by_all = Marked(queries=False)
    yes = (
        Causal(), Prefix(), Window(back=3), And(parts=(Causal(), Document())), Or(parts=(Window(back=2), Causal())),
        Dilated(step=2, back=3), Strided(stride=4), And(parts=(Causal(), Chunked(size=4))),
        Or(parts=(Window(back=2), seen_by_all)), Or(parts=(Window(back=2), And(parts=(Causal(), Marked())))),
    )  # fmt: skip
    no = (
        Full(), Window(back=1, ahead=1), Document(), Or(parts=(Causal(), Full())), Chunked(size=4),
        Dilated(step=2, back=1, ahead=1), Or(parts=(Window(back=2), Marked())), BlockSparse(block=2),
    )  # fmt: skip
    assert all(map(causal_only, yes)) and not any(map(causal_only, no))


def test_documents_are_added_where_a_batch_has_segments():
    assert within_documents(forms(Causal()), At(torch.zeros(1, 2))) == Causal()
    with_documents = within_documents(forms(Causal()), At(torch.zeros(1, 2), torch.zeros(1, 2)))
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


def test_nobody_marked_is_the_pattern_without_marks():
    at = coordinates(8, False, False, 0)
    assert Or(parts=(Window(back=2, ahead=2), Marked())).simplify(at, None) == Window(back=2, ahead=2)
    assert Or(parts=(Causal(), And(parts=(Causal(), Marked(queries=False))))).simplify(at, None) == Causal()
    assert not allowed(And(parts=(Full(), Marked())), at, at).any()


def test_dilated_strided_and_chunked_as_they_are_drawn():
    at = coordinates(9, False, False, 0)

    def seen(pattern, query):
        return allowed(pattern, at, at)[0, 0, query].nonzero()[:, 0].tolist()

    assert seen(Dilated(step=3, back=2), 7) == [1, 4, 7] and seen(Dilated(step=3, back=1, ahead=1), 4) == [1, 4, 7]
    assert seen(Strided(stride=3), 8) == [2, 5, 8] and seen(Strided(stride=3, back=2), 8) == [2, 5, 6, 7, 8]
    assert seen(Chunked(size=4), 5) == [4, 5, 6, 7] and seen(And(parts=(Causal(), Chunked(size=4))), 5) == [4, 5]


@pytest.mark.parametrize("pattern", [Dilated(step=2, back=50), Chunked(size=50), Strided(stride=1), Marked(), Document()])
def test_a_pattern_with_gaps_or_edges_is_never_maskless(pattern):
    assert not pattern.covers(1) and not pattern.covers(3)


# ---------------------------------------------------------------- blocks


@pytest.mark.parametrize("seed, n, count", [(0, 12, 3), (1, 7, 1), (7, 64, 3)])
def test_random_blocks_are_as_many_as_asked_and_never_seen_otherwise(seed, n, count):
    drawn = draw_blocks(seed, n, count, torch.device("cpu"))
    place = torch.arange(n)
    inner = (place > 0) & (place < n - 1)
    assert drawn.sum(1).tolist() == [count if i else 0 for i in inner]
    otherwise = ((place[:, None] - place).abs() <= 1) | ~inner
    assert not (drawn & otherwise).any()


def test_random_blocks_are_a_function_of_the_seed_and_the_number_of_blocks():
    cpu = torch.device("cpu")
    state = torch.get_rng_state()
    draws_ = [draw_blocks(seed, 64, 3, cpu) for seed in range(4)]
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(draw_blocks(2, 64, 3, cpu), draws_[2])
    for i, a in enumerate(draws_):
        for b in draws_[:i]:  # 186 blocks of 62 · 59 drawn twice: 9 of them meet by chance
            assert (a & b).sum() < 30


def test_random_blocks_are_spread_evenly():
    """Over many seeds every block a row may draw is drawn about equally often."""
    counts = sum(draw_blocks(seed, 16, 3, torch.device("cpu")).float() for seed in range(400))
    row = counts[6][[1, 2, 3, 4, *range(8, 15)]]
    assert counts[6].sum() == 1200 and row.sum() == 1200 - counts[6][[5, 6, 7]].sum()
    assert (row - 1200 / 11).abs().max() < 5 * (1200 / 11) ** 0.5


def test_one_seed_is_one_set_of_blocks_for_ever():
    """A model trained with a seed is used with its blocks: what the seed gives must never change."""
    rows = [row.nonzero()[:, 0].tolist() for row in draw_blocks(5, 9, 2, torch.device("cpu"))]
    assert rows == [[], [3, 5], [5, 6], [1, 5], [6, 7], [3, 7], [2, 3], [1, 4], []]


def test_blocks_stand_alone_or_in_an_and():
    with pytest.raises(ValueError, match="cannot stand in an or"):
        Or(parts=(BlockSparse(block=2), Window(back=1)))
    with pytest.raises(ValueError, match="room for one"):
        And(parts=(BlockSparse(block=2), BlockSparse(block=3)))
    with pytest.raises(ValueError, match="marked keys, marked queries, or both"):
        Marked(keys=False, queries=False)


def test_short_rows_of_blocks_see_everything():
    at = coordinates(18, False, False, 0)
    sparse = BlockSparse(block=2, random=2)
    assert sparse.simplify(at, 18) == Full() and sparse.simplify(at, 19) == sparse
    assert allowed(sparse, at, at).all()
