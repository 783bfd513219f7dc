"""What differs between two architectures: all of it, nothing else, each once."""

from __future__ import annotations

import pytest

from polyhead.families import override, preset
from polyhead.nn import ModelSpec
from polyhead.report.differing import differences
from polyhead.report.telling import side_by_side
from tests.conformance.specs import EVERY, local_full

LAYER = "decoder.blocks.layer"
CHANGES = {
    "context": 128, "decoder.layers": 5, "decoder.final_norm": None, f"{LAYER}.attention.position.theta": 500.0,
    f"{LAYER}.attention.pattern": {"kind": "window", "back": 7, "ahead": 0}, f"{LAYER}.ffn.act": "gelu", f"{LAYER}.norm.eps": 1e-3,
    f"{LAYER}.residual.placement": "sandwich", f"{LAYER}.attention.heads.softcap": 20.0, "heads.lm.softcap": 30.0, "dropout.residual": 0.1,
    "decoder.embedding.scale": 8.0,
}  # fmt: skip


@pytest.mark.parametrize("path", CHANGES)
def test_one_change_is_one_difference(path: str) -> None:
    base = preset("llama-nano")
    found = differences(base, override(base, {path: CHANGES[path]}))
    assert [(d.path, d.b, d.other) for d in found] == [(path, CHANGES[path], "")]
    assert "1 difference\n" in side_by_side(base, override(base, {path: CHANGES[path]}), ("a", "b"))


def test_differences_turn_one_architecture_into_the_other() -> None:
    for one, other in (("llama-7b", "mistral-7b"), ("llama-7b", "llama-3-8b"), ("gpt2", "gpt2-xl"), ("bert-base", "roberta-base")):
        a, b = preset(one), preset(other)
        changes = {d.path: d.b for d in differences(a, b)}
        assert len(changes) >= 2 and differences(override(a, changes), b) == []


def test_what_comes_to_the_same_number_is_the_same() -> None:
    a = preset("gpt2")
    heads = {"kind": "grouped", "heads": 12, "kv_heads": 12, "head_dim": 64, "bias": "qkvo", "scale": 0.125}
    ffn = {"kind": "plain", "act": "gelu_tanh", "inner": 3072}
    b = override(a, {"decoder.blocks.layer.attention.heads": heads, "decoder.blocks.layer.ffn": ffn})
    assert a != b and differences(a, b) == []
    renamed = a.model_copy(update={"family": "other"})
    assert differences(a, renamed) == [] and "only the family's name differs: gpt2, other" in " ".join(side_by_side(a, renamed, ("a", "b")).split())
    assert "same architecture" in side_by_side(a, b, ("a", "b")) and "differs" not in side_by_side(a, b, ("a", "b"))


def test_two_different_architectures_differ_and_fit_a_terminal() -> None:
    base = EVERY["seq2seq:rotary"]
    for spec in EVERY.values():
        text = side_by_side(base, spec, ("a", "b"))
        assert max(map(len, text.splitlines())) <= 100
        assert bool(differences(base, spec)) == (spec != base) == bool(differences(spec, base))


def test_kinds_of_layers_are_compared_with_those_they_resemble() -> None:
    found = differences(preset("gpt2-xl"), preset("gpt3"))
    banded = [d for d in found if "banded" in d.other and "attention.pattern" in d.path]
    assert [(d.path, d.other) for d in banded] == [("decoder.blocks.layer.attention.pattern", "decoder.blocks.banded.attention.pattern")]
    assert not any("dense" in d.other and "pattern" in d.path for d in found)
    text = side_by_side(preset("gpt2-xl"), preset("gpt3"), ("gpt2-xl", "gpt3"))
    assert "kinds of layers                 48 layer                        48 dense, 48 banded" in text
    assert "pattern (layer/banded)          causal                          window (back 127)" in text
    assert text.count("inner width") == 1  # both kinds say the same


def test_kinds_of_one_name_are_compared_with_each_other() -> None:
    a = local_full()
    b = override(a, {"decoder.blocks.full.attention.position.theta": 77.0})
    assert [d.path for d in differences(a, b)] == ["decoder.blocks.full.attention.position.theta"]
    assert "rotary θ (full)" in side_by_side(a, b, ("a", "b"))
    swapped = override(a, {"decoder.layout": ["full", "local", "local"]})
    assert [d.path for d in differences(a, swapped)] == ["decoder.layout"]


def test_an_encoder_is_compared_with_a_decoder_and_a_lone_stack_is_named() -> None:
    found = {d.path: d for d in differences(preset("bert-base"), preset("gpt2"))}
    assert (found["shape"].a, found["shape"].b) == ("encoder", "decoder") and found["encoder.blocks.layer.attention.pattern"].other.startswith("decoder.")
    alone = {d.path: d for d in differences(preset("gpt2"), preset("t5-small"))}
    assert alone["encoder"].a is None and alone["encoder"].b["layers"] == 6
    assert "none                            6 layers of width 512" in side_by_side(preset("gpt2"), preset("t5-small"), ("a", "b"))


def test_what_both_stacks_say_is_said_once() -> None:
    text = side_by_side(preset("t5-small"), preset("transformer-base"), ("t5", "2017"))
    assert "\n  factor on tokens                1                               √512" in text and text.count("factor on tokens") == 1
    assert "encoder: in attention           buckets (two_sided)" in text and "decoder: in attention           buckets (no two_sided)" in text


def parameters(a: ModelSpec, b: ModelSpec) -> list[list[str]]:
    return [line.split() for line in side_by_side(a, b, ("a", "b")).split("parameters\n")[1].splitlines()]


def test_the_parameters_add_up_to_the_difference() -> None:
    a, b = preset("llama-7b"), preset("mistral-7b")
    *parts, total = parameters(a, b)
    changed = [int(part[3].replace(",", "").replace("−", "-")) for part in parts]
    assert [part[0] for part in parts] == ["attention", "feed-forward"]
    assert sum(changed) == b.params().total - a.params().total and total[-2].startswith("+503,316,480")
