"""Every model is what its spec says: equal to a naive second implementation that shares no formula with the package."""

import pytest
from hypothesis import given

from . import laws, specs


@pytest.mark.parametrize("spec", specs.cases("r:"))
def test_every_value_of_every_axis_is_its_formula(spec):
    laws.law_formula(spec, length=7)


@pytest.mark.parametrize(
    "spec", specs.cases("er:pattern er:global buckets encoder:content-d decoder:content-shaw alibi_key learned_offset typed factor_sum pool classify tag seq2seq:t5")
)
def test_padded_marked_and_packed_batches_are_the_formula_row_by_row(spec):
    laws.law_formula_of_batches(spec)


@specs.draws(25)
@given(specs.models())
def test_combinations_are_their_formula(spec):
    laws.law_formula(spec, length=6)
