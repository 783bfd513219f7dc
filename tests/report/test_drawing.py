"""The drawing is the forward pass: every choice can be read off it, in its order, within 100 columns; counts add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from polyhead import families
from polyhead.families import override, preset, presets
from polyhead.nn import BlockSpec, ModelSpec, ResidualSpec
from polyhead.nn.spec import Spec
from polyhead.report import cache_bytes, draw, ends, steps, words
from polyhead.report.counting import active, rows, table
from polyhead.report.differing import differences
from polyhead.report.telling import side_by_side
from tests.conformance.specs import EVERY, decoder
from tests.nn.test_pair import pair


def steps_of(text: str, title: str) -> list[str]:
    """What is computed under a title, line by line."""
    lines = text.split(f"║  {title}\n")[1].split("║\n")[0].splitlines()
    return [line[5:34].strip() for line in lines if line[5:34].strip()]


def check(spec: ModelSpec, name: str = "") -> None:
    assert max(map(len, draw(spec, name).splitlines())) <= 100
    found = rows(spec)
    assert sum(row.total for row in found if row.depth == 0) == spec.params().total
    assert all(row.total >= 0 for row in found)
    for i, row in enumerate(found):
        inner = []
        for other in found[i + 1 :]:
            if other.depth <= row.depth:
                break
            inner.append(other)
        if inner:
            assert (sum(r.total for r in inner), sum(r.each for r in inner)) == (row.total, row.each)
    assert f"{spec.params().total:,}" in table(spec)[-1 if active(spec) == spec.params().total else -2]


def test_every_preset_is_drawn() -> None:
    for name in presets():
        check(preset(name), name)
    for name in families.pairs():
        check(families.pair(name), name)


def test_no_two_architectures_look_alike() -> None:
    """Each value of each axis shows in the drawing; the same drawing means the same architecture."""
    drawn: dict[str, ModelSpec] = {}
    for spec in EVERY.values():
        check(spec)
        twin = drawn.setdefault(draw(spec), spec)
        assert differences(twin, spec) == []
    assert len(drawn) > 130


def leaves(node: BaseModel, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], type, str, Any, Any]]:
    """(path, class, field, its annotation, value) of every field of a spec."""
    for name, field in type(node).model_fields.items():
        value = getattr(node, name)
        yield (*path, name), type(node), name, field.annotation, value
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, tuple) else [(None, value)]
        for key, part in inner:
            if isinstance(part, BaseModel):
                yield from leaves(part, (*path, name) if key is None else (*path, name, key))


def other_values(annotation: Any, value: Any) -> list[Any]:
    """A few values that a field might have instead."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value * 2, value - 1] if isinstance(value, int) else [value * 1.5 + 0.25, value / 2]
    if isinstance(value, tuple) and value and isinstance(value[0], float):
        return [tuple(2 * v for v in value)]
    named = [v for part in (annotation, *get_args(annotation)) if get_origin(part) is Literal for v in get_args(part)]
    return [v for v in named if v != value] or (["qkvo", "q"] if isinstance(value, str) else [4, 2, 0.5] if value is None else [])


def changed(spec: ModelSpec, path: tuple[Any, ...], value: Any) -> ModelSpec | None:
    data = spec.model_dump(mode="json")
    node = data
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    try:
        return ModelSpec.model_validate(data)
    except (ValidationError, ValueError, TypeError):
        return None


# Shown only beside what gives them a meaning: a norm on q and k, a dense layer, several groups of experts.
DEPENDENT = {("GroupedSpec", "qk_norm_over"), ("HeadSpec", "dense_bias"), ("ExpertsSpec", "group_score")}


def test_every_field_shows() -> None:
    """Each field of each choice is changed once, and the drawing changes."""
    tries: Counter[tuple[type, str]] = Counter()
    shown, hidden = set(), set()
    for spec in EVERY.values():
        for path, choice, name, annotation, value in leaves(spec):
            if (choice, name) in shown or tries[choice, name] > 4 or name in ("kind", "version", "family"):
                continue
            tries[choice, name] += 1
            others = (changed(spec, path, other) for other in other_values(annotation, value))
            other = next((other for other in others if other is not None and differences(spec, other)), None)
            if other is not None:
                (shown if draw(spec) != draw(other) else hidden).add((choice, name))
    assert {(choice.__name__, name) for choice, name in hidden - shown} <= DEPENDENT
    assert len(shown) > 110


def test_norms_stand_where_they_are() -> None:
    norms = {
        "pre": ("h = norm(x)", "x = x + f"), "post": ("f = gelu(x·Wup + b)", "x = norm(x + f)"),
        "sandwich": ("h = norm(x)", "f = norm(f)", "x = x + f"), "inner": ("f = gelu(x·Wup + b)", "f = norm(f)", "x = x + f"),
    }  # fmt: skip
    for placement, expected in norms.items():
        spec = override(preset("bert-base"), {"encoder.blocks.layer.residual.placement": placement})
        found = steps_of(draw(spec), "feed-forward")
        assert found[0] == expected[0] and tuple(found[-len(expected) + 1 :]) == expected[1:], placement


def test_attention_reads_as_it_is_computed() -> None:
    spec = override(preset("llama-nano"), {"decoder.blocks.layer.attention.heads": {
        "kind": "grouped", "heads": 4, "kv_heads": 2, "bias": "qv", "qk_norm": {"kind": "rms"}, "scale": 0.4, "softcap": 50, "sinks": True,
    }, "decoder.blocks.layer.attention.position.scaling": {"kind": "llama3", "factor": 8, "original": 64}})  # fmt: skip
    text = draw(spec)
    assert steps_of(text, "attention") == [
        "h = norm(x)", "q = h·Wq + b", "k = h·Wk", "v = h·Wv + b", "q, k = norm(q), norm(k)", "q, k = turn(q), turn(k)",
        "s = q·k · 0.4", "s = 50·tanh(s / 50)", "s = −∞ where not seen", "a = softmax(s)·v", "a = a·Wo", "x = x + a",
    ]  # fmt: skip
    assert "(B, 2, T, 32)     128 → 64: 2 heads, each for 2 of q" in text
    assert "8 times slower (llama3, trained at 64)" in " ".join(text.replace("║", " ").split())
    assert "learned sink per head" in text


def test_parallel_sublayers_share_one_addition() -> None:
    one = steps_of(draw(preset("falcon-7b")), "attention and feed-forward, side by side")
    assert one.count("h = norm(x)") == 1 and one[-1] == "x = x + a + f"
    two = override(preset("falcon-7b"), {"decoder.blocks.layer.residual.parallel": "two_norms"})
    assert steps_of(draw(two), "attention and feed-forward, side by side").count("h = norm(x)") == 2


def test_another_kind_of_layer_is_told_by_what_differs() -> None:
    text = draw(preset("gpt3"))
    assert "dense: 48 layers (every 2nd: 0, 2, …, 94)" in text and "banded: 48 layers (every 2nd: 1, 3, …, 95)" in text
    assert steps_of(text, "attention: as in dense, but") == ["s = −∞ where not seen"]
    assert "a token sees itself and 127 before it" in text.split("banded")[1]
    assert "║  feed-forward: as in dense\n" in text
    experts = {"kind": "experts", "experts": 4, "top_k": 1, "inner": 64}
    mixed = override(preset("gpt3"), {"decoder.blocks.banded.ffn": experts})
    assert steps_of(draw(mixed), "experts")[1:3] == ["p = softmax(h·Wrouter)", "choose 1 expert"]


def test_shared_layers_tables_and_ties_are_said() -> None:
    assert "12 layers of width 768, all with one set of weights" in draw(preset("albert-base-v2"))
    assert "x = x·Wproject + b              (B, T, 768)       128 → 768" in draw(preset("albert-base-v2"))
    assert "a row of the encoder's table" in draw(preset("t5-small")) and "the token table again (tied)" in draw(preset("t5-small"))
    assert "a matrix of its own" in draw(preset("llama-3-8b"))
    assert "4 layers of width 16, 2 sets of weights in the order 0, 0, 1, 1" in draw(EVERY["decoder:sharing-groups"])


def test_latent_attention_says_what_the_cache_keeps() -> None:
    text = draw(EVERY["decoder:heads-latent_low_rank"])
    plain = " ".join(text.split())
    assert "z = norm(h·Wq_a + b) (B, T, 7)" in plain and "c, k_rope = h·Wkv_a + b (B, T, 12) 16 → 12: all that the cache keeps" in plain
    spec = EVERY["decoder:heads-latent_low_rank"]
    assert cache_bytes(spec, 1) == 12 * spec.decoder.layers


def test_parameters_at_work_are_those_of_the_visited_experts() -> None:
    spec = decoder(ffn=EVERY["decoder:ffn-experts_one"].decoder.blocks["block"].ffn)
    net, idle = spec.build(None), 0
    for name, tensor in net.named_parameters():
        if ".ffn." in name and "router" not in name and "shared" not in name:
            idle += tensor.numel() * 3 // 4
    assert active(spec) == spec.params().total - idle
    assert "at work on one token" in table(spec)[-1]


def test_images_sounds_and_pairs_are_drawn() -> None:
    both = pair()
    text, found = draw(both, "clip"), rows(both)
    assert max(map(len, text.splitlines())) <= 100 and sum(row.total for row in found if not row.depth) == both.params().total
    plain = " ".join(text.split())
    assert "pixels (B, 3, 6, 6)" in plain and "x = patches·Wpatch + b (B, 9, 16) 3 × 3 squares of 2 × 2 pixels, 12 → 16" in plain
    assert "IMAGE TOWER: an encoder" in text and "TEXT TOWER: a decoder" in text and "e^scale · text·imageᵀ" in text
    heard = override(both.image, {"encoder.embedding": {"input": {"kind": "frames", "channels": 3}}, "context": 10})
    assert "frames (B, 3, 2T) a spectrum of 3 bands" in " ".join(draw(heard).split())
    longer = both.model_copy(update={"image": override(both.image, {"encoder.layers": 3}), "scale": 1.0})
    assert [d.path for d in differences(both, longer)] == ["scale", "image.encoder.layers"]
    told = side_by_side(both, longer, ("a", "b"))
    assert "2 differences" in told and "image: sizes\n  layers                          2                               3" in told
    assert "same architecture" in side_by_side(both, pair(), ("a", "b")) and "one model" in side_by_side(both, both.text, ("a", "b"))


class Spiral(Spec):
    """A choice nobody has written words for."""

    kind: Literal["spiral"] = "spiral"
    turns: int = 3
    wide: bool = True

    def hidden(self, width: int) -> int:
        return width


def test_a_choice_without_words_is_told_by_its_kind_and_fields() -> None:
    odd = Spiral(turns=7, wide=False)
    for tell in (words.norm, words.pattern, words.position, words.gain):
        assert "spiral" in tell(odd) and "turns 7" in tell(odd) and "no wide" in tell(odd)
    block = EVERY["decoder:norm-rms"].decoder.blocks["block"]
    attention = block.attention.model_copy(update={"heads": odd, "pattern": odd, "position": odd})
    every = block.model_copy(update={"attention": attention, "ffn": odd, "norm": odd, "cross": attention})
    told = [step for section in steps.block(every, 16) for step in section.steps]
    assert sum("spiral (turns 7, no wide)" in step.how for step in told) >= 8
    stack = EVERY["decoder:norm-rms"].decoder
    embedding = stack.embedding.model_copy(update={"position": odd, "norm": odd})
    assert sum("turns 7" in step.how for step in ends.embedding(stack.model_copy(update={"embedding": embedding}), "T")) == 2


def test_a_field_without_words_still_shows() -> None:
    class Residual(ResidualSpec):
        echo: float = 0.0

    class Block(BlockSpec):
        residual: Residual = Residual()
        mirror: bool = False

    plain = EVERY["decoder:norm-rms"].decoder.blocks["block"]
    block = Block(attention=plain.attention, ffn=plain.ffn, residual=Residual(echo=0.25), mirror=True)
    sections = steps.block(block, 16)
    assert any("echo 0.25" in step.how for section in sections for step in section.steps)
    assert sections[-1].title == "mirror"


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([0, 1, 2, 3], "0–3"), ([5], "5"), ([0, 2, 4, 6, 8], "every 2nd: 0, 2, …, 8"), ([0, 1, 2, 4, 5, 6, 8], "0–2, 4–6, 8"),
     ([2, 5, 8, 11, 14, 17], "every 3rd: 2, 5, …, 17"), ([0, 2, 3, 5, 6, 8, 9, 11, 12, 14], "0, 2–3, 5–6, …, 14")],
)  # fmt: skip
def test_layers_are_named_from_0_as_tensors_are(numbers: list[int], text: str) -> None:
    assert words.spans(numbers) == text


@pytest.mark.parametrize(("value", "text"), [(512**-0.5, " / √512"), (512**0.5, " · √512"), (0.4, " · 0.4"), (1.0, ""), (2.0, " · 2"), (0.125, " / √64")])
def test_factors_are_told_as_roots_where_they_are_roots(value: float, text: str) -> None:
    assert words.times(value) == text
