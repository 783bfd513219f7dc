"""Made-up languages tell what they say they tell, and attention that is watched is the attention itself."""

from random import Random

import pytest
import torch

from polyhead.lab.relations import ASKS, NONE, RELATIONS, VALUES, build, text
from polyhead.lab.small import small
from polyhead.lab.translation import (
    END,
    MEANING,
    NOUNS,
    PAD,
    SOURCE,
    TARGET,
    VERBS,
    WORDS,
    exact,
    joined,
    logits,
    pairs,
    spec,
)
from polyhead.lab.watching import watch, watched
from polyhead.nn import Tokens
from polyhead.nn.heads import Grouped


def test_a_translation_says_each_word_of_its_source_once():
    given = pairs(40, (1, 3), Random(0))
    for source, target, align in zip(given.source, given.target, given.align, strict=True):
        words, n = source[source != PAD] - SOURCE, int((source != PAD).sum())
        assert sorted(align[align != PAD].tolist()) == list(range(n)) and target[n] == END
        for word, place in zip(target[:n].tolist(), align[:n].tolist(), strict=True):
            meant = int(words[place])
            plain = TARGET + MEANING[meant]
            assert word == plain or (NOUNS <= meant < NOUNS + VERBS and word == TARGET + WORDS + meant - NOUNS)


def test_a_verb_is_translated_by_its_subject():
    given = pairs(200, (1, 1), Random(1))
    forms = {0: set(), 1: set()}
    for source, target in zip(given.source, given.target, strict=True):
        words = source[source != PAD] - SOURCE
        subject = int(words[words < NOUNS][0])
        n = int((target != PAD).sum())
        forms[subject % 2].add(int(target[n - 2]))
    assert forms[0] and forms[1] and not forms[0] & forms[1]


def test_both_arrangements_have_one_size_and_foretell_from_what_came_before():
    given = pairs(4, (1, 2), Random(2))
    sizes = [sum(p.numel() for p in spec(a).build(0).parameters()) for a in ("encoder-decoder", "decoder-only")]
    assert max(sizes) < 1.03 * min(sizes)
    for arrangement, positions in (("encoder-decoder", "learned"), ("decoder-only", "learned"), ("decoder-only", "rotary")):
        model = spec(arrangement, positions).build(0)
        said = logits(model, given)
        changed = given._replace(target=torch.where(torch.arange(given.target.shape[1]) >= 3, END, given.target))
        assert said.shape[:2] == given.target.shape
        assert torch.allclose(said[:, :4], logits(model, changed)[:, :4], atol=1e-5)
        source = torch.where(given.source == PAD, PAD, (given.source - SOURCE + 1) % NOUNS + SOURCE)
        assert not torch.allclose(said[:, 0], logits(model, given._replace(source=source))[:, 0], atol=1e-4)


def test_padding_changes_no_translation():
    given = pairs(6, (1, 2), Random(3))
    for arrangement in ("encoder-decoder", "decoder-only"):
        model, row = spec(arrangement).build(0), int(given.lengths().argmin())
        n = int(given.lengths()[row])
        alone = type(given)(given.source[row : row + 1, :n], given.target[row : row + 1, : n + 1], given.align[row : row + 1, : n + 1])
        assert torch.allclose(logits(model, given)[row, : n + 1], logits(model, alone)[0], atol=1e-5)
    tokens, where = joined(given)
    assert tokens.ids.shape[1] > int(where[0, 0])


def test_exact_counts_whole_sentences():
    given = pairs(5, (1, 1), Random(4))
    assert exact(spec("decoder-only").build(0), given) == 0.0


def test_each_question_is_answered_where_it_says():
    rows = text(60, Random(0))
    asked = rows.relation != NONE
    assert torch.equal(rows.ids >= ASKS, asked)
    source = rows.ids.gather(1, rows.where.clamp(min=0))
    assert torch.equal((source % VALUES)[asked], rows.wanted[asked])
    place = torch.arange(rows.ids.shape[1]).expand_as(rows.ids)
    assert (rows.where[asked] < place[asked]).all()
    first = asked & (rows.relation == RELATIONS.index("previous"))
    assert torch.equal(rows.where[first], place[first] - 1)
    assert {int(which) for which in rows.relation[asked].unique()} == set(range(len(RELATIONS)))


def test_heads_that_start_alike_are_alike():
    for heads in build(0, alike=True).modules():
        if isinstance(heads, Grouped):
            first = heads.q.weight[: heads.dim]
            assert all(torch.equal(first, part) for part in heads.q.weight.split(heads.dim))


@pytest.mark.parametrize("shape", ["encoder", "decoder", "encoder-decoder"])
def test_watched_attention_answers_as_before(shape):
    model = small(11, shape, width=16, heads=2).build(0)
    ids = torch.randint(11, (3, 7), generator=torch.Generator().manual_seed(0))
    source = (Tokens(ids.flip(1), pos=torch.arange(7).expand(3, 7).clone().masked_fill(torch.arange(7) > 4, -1), padded=True),) if shape == "encoder-decoder" else ()
    before = model(Tokens(ids), *source)
    copy, parts = watched(model)
    assert torch.allclose(copy(Tokens(ids), *source), before, atol=1e-5)
    for part in [*parts["encoder"], *parts["decoder"], *parts["cross"]]:
        assert torch.allclose(part.seen.sum(-1), torch.ones(3, 2, 7))
    if shape == "decoder":
        assert parts["decoder"][0].seen.triu(1).abs().max() == 0
    if shape == "encoder-decoder":
        assert parts["cross"][0].seen[..., 5:].abs().max() == 0


def test_closed_heads_and_given_weights_change_what_is_said():
    model = small(11, "encoder", width=16, heads=2, layers=1).build(0)
    ids = torch.randint(11, (3, 7), generator=torch.Generator().manual_seed(0))
    before = model(Tokens(ids))
    (part,) = watch(model)["encoder"]
    part.given = torch.eye(7).view(1, 1, 7, 7)
    own = model(Tokens(ids))
    assert not torch.allclose(own, before) and torch.allclose(own[0, 0], model(Tokens(ids[:1, :1].expand(1, 7)))[0, 0], atol=1e-5)
    part.given, part.gate = None, torch.zeros(2)
    without = model(Tokens(ids))
    assert torch.allclose(without[0][ids[0] == ids[0, 0]], without[0, :1].expand(int((ids[0] == ids[0, 0]).sum()), -1))
