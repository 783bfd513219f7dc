"""A Transformer written by hand takes the steps of its machine."""

import pytest
import torch

from polyhead.lab.claims.c23_turing_machine import BEAVER_3, BEAVER_4, INCREMENT, PALINDROME, answer, first_wrong
from polyhead.lab.readable.turing import Rounded, rounded, run, write


@pytest.mark.parametrize(("rules", "word", "steps", "says"), [
    (BEAVER_3, "", 21, 5), (BEAVER_4, "", 107, 13), (INCREMENT, "1011", 4, 0b1100), (PALINDROME, "abba", 16, 1), (PALINDROME, "abab", 7, 0),
])  # fmt: skip
def test_machine_and_transformer_do_what_is_known_of_them(rules, word: str, steps: int, says: int) -> None:
    wanted = run(rules, word, 200)
    assert (len(wanted), answer(word, wanted)) == (steps, says)
    assert list(write(rules, 210).run(word, 200)) == wanted


def test_a_wrong_weight_is_a_wrong_step() -> None:
    built = write(BEAVER_3, 60)
    built.model.top.layers[2].attention.heads.k.weight[2].zero_()  # no longer the last of the tokens that wrote the cell
    assert list(built.run("", 40)) != run(BEAVER_3, "", 40)


def test_with_few_bits_it_fails_and_with_more_it_does_not() -> None:
    assert first_wrong(BEAVER_4, "", 16, 4) < 16 == first_wrong(BEAVER_4, "", 16, 20)


def test_rounding_is_that_of_the_formats() -> None:
    x = torch.randn(1000, dtype=torch.float64) * torch.logspace(-9, 9, 1000, dtype=torch.float64)
    assert torch.equal(rounded(x, 24), x.float().double()) and torch.equal(rounded(x, 8), x.bfloat16().double())
    with Rounded(24):
        assert torch.equal(x * x, rounded(x.square(), 24))
        assert torch.equal((x[:1] + x)[1:], rounded((x[:1] + x)[1:], 24))
