"""Law 4: pads and batch mates change nothing; other pad ids, not one bit."""

import pytest
import torch
from hypothesis import given

from polyhead import nn as ph

from . import laws, specs

RELEVANT = "content relative pattern heads kinds seq2seq experts norm-batch encoder:head embedding absolute-l residual-first"


@pytest.mark.parametrize("spec", specs.cases(RELEVANT))
def test_padding_and_mates_change_nothing(spec):
    laws.law_padding(spec)


@pytest.mark.parametrize("spec", specs.cases("decoder:pattern seq2seq encoder:head relative-alibi experts"))
def test_padding_and_mates_change_nothing_in_fp32(spec):
    laws.law_padding(spec, torch.float32)


@specs.draws(25)
@given(specs.models())
def test_combinations(spec):
    laws.law_padding(spec)


@pytest.mark.parametrize("name", specs.BLOCKS)
def test_blocks_are_those_of_the_batch_and_mates_change_nothing_else(name):
    """Declared: blocks are cut along the batch's length, so a row is what it is alone, padded to that length."""
    model, rows = specs.build(specs.encoder(pattern=specs.BLOCKS[name])), [laws.random_ids(1, n, seed=n)[0] for n in (24, 9)]
    with torch.no_grad():
        for side in ("left", "right"):
            batch = laws.pad(rows, side, 24)
            together, other = model(batch), model(laws.pad(rows, side, 24, fill=5))
            for i, row in enumerate(rows):
                real = batch.pos[i] >= 0
                assert torch.equal(together[i][real], other[i][real])
                laws.close(together[i][real], model(laws.pad([row], side, 24))[0][real])


def test_blocks_depend_on_the_length_of_the_batch():
    model, row = specs.build(specs.encoder(pattern=specs.BLOCKS["block0"])), laws.random_ids(1, 9)[0]
    with torch.no_grad():
        short, long = model(laws.pad([row], "right", 9)), model(laws.pad([row], "right", 24))
    assert (short[:, :9] - long[:, :9]).abs().max() > 1e-3


def test_batch_norm_breaks_the_law_while_training():
    spec = specs.encoder(norm=specs.NORMS["batch"])
    rows = [laws.random_ids(1, n, seed=n)[0] for n in (9, 4)]
    with torch.no_grad():
        together = specs.build(spec).train()(laws.pad(rows, "right", 9))
        alone = specs.build(spec).train()(ph.Tokens(rows[1][None]))
        assert (together[1, :4] - alone[0]).abs().max() > 1e-3


def test_batch_norm_ignores_padding_while_training():
    """Its statistics are those of real tokens: pad ids and the number of pads change nothing."""
    spec = specs.encoder(norm=specs.NORMS["batch"], embedding={"norm": specs.NORMS["batch"]})
    rows = [laws.random_ids(1, n, seed=n)[0] for n in (9, 4)]
    with torch.no_grad():
        outs = []
        for side, width, fill in (("right", 9, 0), ("right", 9, 5), ("left", 9, 0), ("right", 13, 7)):
            batch = laws.pad(rows, side, width, fill)
            outs.append(specs.build(spec).train()(batch)[batch.pos >= 0])
    for out in outs[1:]:
        laws.close(out, outs[0])


def test_padding_does_not_reach_the_balance_loss():
    spec = specs.DECODERS["ffn-experts_balance"]
    rows = [laws.random_ids(1, n, seed=n)[0] for n in (9, 4)]
    losses = []
    for side, width, fill in (("right", 9, 0), ("right", 9, 5), ("left", 12, 0)):
        losses.append(specs.build(spec).train().hidden(laws.pad(rows, side, width, fill))[1])
    assert losses[0] is not None and losses[0] > 0
    for loss in losses[1:]:
        laws.close(loss, losses[0])


def test_a_length_bound_rotation_keeps_the_law_at_equal_length():
    """Declared: dynamic and longrope tables depend on the batch's length, so shorter rows see another table in a longer batch."""
    model = specs.build(specs.DECODERS["relative-rotary_longrope"])
    row = laws.random_ids(1, 6)[0]
    with torch.no_grad():
        short, long = model(laws.pad([row], "right", 8)), model(laws.pad([row], "right", 9))
    assert (short[:, :6] - long[:, :6]).abs().max() > 1e-3
