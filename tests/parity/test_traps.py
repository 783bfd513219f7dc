"""The parity gate can fail: each axis, set wrong in OUR spec and nothing else, must move the answer by what it should.

A trap overrides fields of the imported spec ("decoder.blocks.*.attention.heads.scale"), keeps the weights, and asks again.
`least` is the order of the error to be seen; the gate itself is at 2e-5.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

import polyhead as ph
from polyhead.nn import ModelSpec, Transformer

from . import reference
from .cases import BY_NAME, Case
from .common import LIMITS, Input, ask, gap, inputs
from .reference import Made

Make, Open = Callable[[Case | str], Made], Callable[[Case | str], ph.Model]


@dataclass(frozen=True)
class Trap:
    """change: path → the wrong value, or a function from the right one to it. ask: the same for the batch."""

    case: str
    what: str
    least: float
    change: dict[str, Any] = field(default_factory=dict)
    asked: Callable[[Input], Input] | None = None
    states: bool = False  # seen in the states alone

    def __str__(self) -> str:
        return f"{self.case}: {self.what}"


def counted(given: Input) -> Input:
    """Positions 0, 1, 2 … over the columns, padding or not (the mask itself stays)."""
    def columns(tokens: Any) -> Any:
        order = torch.arange(tokens.ids.shape[1]).expand_as(tokens.ids)
        return tokens._replace(pos=order.masked_fill(tokens.pos < 0, -1))

    return given._replace(tokens=columns(given.tokens)) if given.source is None else given._replace(source=columns(given.source))


def unmarked(given: Input) -> Input:
    """No global tokens."""
    change = "source" if given.source is not None else "tokens"
    return given._replace(**{change: getattr(given, change)._replace(mark=None)})


def untyped(given: Input) -> Input:
    """No token types."""
    return given._replace(tokens=given.tokens._replace(types=None))


def seen(given: Input) -> Input:
    """Padding taken for text."""
    return given._replace(tokens=given.tokens._replace(pos=torch.arange(given.tokens.ids.shape[1]).expand_as(given.tokens.ids), padded=False))


def when(key: str, **change: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Change only the values that have a key: experts among feed-forwards, windows among patterns."""
    return lambda spec: spec | (change if key in spec else {})


def wider(pattern: dict[str, Any]) -> dict[str, Any]:
    """The windows of a pattern, or of the parts it is the union of, one wider on both sides."""
    if "parts" in pattern:
        return {**pattern, "parts": [wider(part) for part in pattern["parts"]]}
    return pattern | ({"back": pattern["back"] + 1, "ahead": pattern["ahead"] + 1} if "back" in pattern else {})


D, E = "decoder.blocks.*", "encoder.blocks.*"
ROPE = f"{D}.attention.position"
EMBEDDING = [
    Trap("gemma_lm", "embedding scale", 5.7, {"decoder.embedding.scale": 1.0}),
    Trap("bart_lm", "embedding scale of the decoder", 1.2, {"decoder.embedding.scale": 1.0}),
    Trap("bloom_lm", "embedding norm", 4.1, {"decoder.embedding.norm": None}),
    Trap("clip_vision", "embedding norm", 3.6, {"encoder.embedding.norm": None}),
    Trap("bert_mlm", "token types", 7.7, asked=untyped),
    Trap("opt_pre", "positions counted from 0", 6.7, {"decoder.embedding.position": lambda p: {**p, "offset": 0, "length": p["length"] + 2}}),
    Trap("bart_lm", "positions counted from 0", 1.7, {"decoder.embedding.position": lambda p: {**p, "offset": 0, "length": p["length"] + 2}}),
    Trap("opt_pre", "positions count the padding on the left", 6.0, asked=counted),
    Trap("roberta_mlm", "positions count the padding inside", 4.1, asked=counted),
    Trap("roberta_mlm", "positions counted from 0", 4.1, {"encoder.embedding.position": lambda p: {**p, "offset": 0, "length": p["length"] + p["offset"]}}),
    Trap("marian_mt", "sines and cosines in pairs", 4.7, {"*.embedding.position.layout": "pairs"}),
    Trap("marian_mt", "frequencies over d/2 − 1", 0.85, {"*.embedding.position.step": "half-1"}),
    Trap("fsmt_mt", "sines and cosines in pairs", 4.7, {"*.embedding.position.layout": "pairs"}),
    Trap("fsmt_mt", "frequencies over d/2", 0.85, {"*.embedding.position.step": "half"}),
    Trap("fsmt_mt", "positions counted from 0", 1.3, {"*.embedding.position.offset": 0}),
    Trap("led_lm", "positions counted from 2", 0.4, {"*.embedding.position": lambda p: {**p, "offset": 2, "length": p["length"] - 2}, "context": 46}),
    Trap("bigbird_45", "embedding scale", 1.0, {"encoder.embedding.scale": 1.0}),
    Trap("whisper_lm", "embedding scale, though its config says so", 0.4, {"decoder.embedding.scale": 32**0.5}),
    Trap("marian_mt", "embedding scale", 1.0, {"*.embedding.scale": 1.0}),
    Trap("fsmt_mt", "embedding scale", 1.0, {"*.embedding.scale": 1.0}),
    Trap("gemma_lm", "a norm of the embedding", 0.4, {"decoder.embedding.norm": {"kind": "rms"}}),
    Trap("roberta_mlm", "the one row of types", 0.1, {"encoder.embedding.types": 0}, untyped),
    Trap("bert_mlm", "embedding norm", 1.0, {"encoder.embedding.norm": None}),
    Trap("modernbert_mlm", "embedding norm", 0.4, {"encoder.embedding.norm": None}),
    Trap("deberta_narrow", "norm before the projection", 0.4, {"encoder.embedding.project": "sum"}),
]  # fmt: skip
ROTARY = [
    Trap("llama_2", "neighbours are paired", 6.4, {f"{ROPE}.interleaved": True}),
    Trap("deepseek_v2", "halves are paired", 7.3, {f"{ROPE}.interleaved": False}),
    Trap("deepseek_v3", "halves are paired", 7.3, {f"{ROPE}.interleaved": False}),
    Trap("neox_parallel", "all features turn", 3.5, {f"{ROPE}.dim": None}),
    Trap("phi3_long", "all features turn", 3.5, {ROPE: lambda p: {**p, "dim": None, "scaling": None}}),
    Trap("mixtral_lm", "theta 10000", 1.0, {f"{ROPE}.theta": 1e4}),
    Trap("gpt_oss_lm", "theta 10000", 0.3, {f"{ROPE}.theta": 1e4}),
    Trap("gemma3_lm", "one theta for both kinds", 2.5, {"decoder.blocks.sliding.attention.position.theta": 1000.0}),
    Trap("modernbert_base", "one theta for both kinds", 0.5, {f"{E}.attention.position.theta": 1000.0}),
    Trap("llama_linear", "no linear scaling", 8.1, {f"{ROPE}.scaling": None}),
    Trap("gemma3_lm", "no linear scaling on full layers", 3.6, {f"{ROPE}.scaling": None}),
    Trap("gemma3_lm", "linear scaling on sliding layers too", 1.0, {"decoder.blocks.sliding.attention.position.scaling": {"kind": "linear", "factor": 8.0}}),
    Trap("llama_3", "theta 10000", 0.4, {f"{ROPE}.theta": 1e4}),
    Trap("llama_dynamic", "no dynamic scaling", 5.3, {f"{ROPE}.scaling": None}),
    Trap("llama_3", "no scaling in bands", 7.3, {f"{ROPE}.scaling": None}),
    Trap("llama_yarn", "no scaling", 6.9, {f"{ROPE}.scaling": None}),
    Trap("llama_yarn", "no factor on the angles' cosine", 2.1, {f"{ROPE}.scaling.attention": 1.0}),
    Trap("gpt_oss_lm", "yarn's corners rounded", 1.1, {f"{ROPE}.scaling.truncate": True}),
    Trap("deepseek_v3", "yarn's own factor, not the ratio", 2.0, {f"{ROPE}.scaling.attention": None}),
    Trap("phi3_long", "short factors for a long text", 8.9, {f"{ROPE}.scaling": lambda s: {**s, "long": s["short"]}}),
    Trap("phi3_long", "no factor on the angles' cosine", 3.2, {f"{ROPE}.scaling.attention": 1.0}),
]  # fmt: skip
BIASES = [
    Trap("bloom_lm", "ALiBi scaled like the score", 2.1, {f"{ROPE}.scale": 8**-0.5}),
    Trap("falcon_rw", "ALiBi not scaled", 2.8, {f"{ROPE}.scale": 1.0}),
    Trap("falcon_rw", "slopes not rounded", 8e-3, {f"{ROPE}.rounded": False}),
    Trap("t5_v1_1", "one-sided buckets in the encoder", 0.57, {f"{E}.attention.position.two_sided": False}),
    Trap("t5_lm", "buckets end at 128", 0.1, {"*.blocks.*.attention.position.distance": 128}),
    Trap("deberta_mlm", "scale without the factor 3", 3.3, {f"{E}.attention.heads.scale": None}),
    Trap("deberta_mlm", "buckets of another distance", 0.1, {f"{E}.attention.position.distance": 200}),
    Trap("deberta_mlm", "rows of distances not normed", 1.0, {f"{E}.attention.position.norm": None}),
]  # fmt: skip
HEADS = [
    Trap("qwen3_lm", "no norm on queries and keys", 4.2, {f"{D}.attention.heads.qk_norm": None}),
    Trap("gemma3_lm", "no norm on queries and keys", 3.4, {f"{D}.attention.heads.qk_norm": None}),
    Trap("olmo2_lm", "queries and keys normed per head", 6.6, {f"{D}.attention.heads.qk_norm_over": "head"}),
    Trap("longformer_mlm", "global tokens use the local matrices", 7.1, {f"{E}.attention.global_heads": False}),
    Trap("led_lm", "global tokens use the local matrices", 0.3, {f"{E}.attention.global_heads": False}),
    Trap("t5_lm", "scores scaled", 0.9, {"*.blocks.*.attention.heads.scale": None}),
    Trap("gemma2_lm", "scores scaled by the head's size", 0.45, {f"{D}.attention.heads.scale": None}),
    Trap("deepseek_v2", "scores without yarn's temperature", 2.3, {f"{D}.attention.heads.scale": None}),
    Trap("deepseek_v3", "scores without yarn's temperature", 2.3, {f"{D}.attention.heads.scale": None}),
    Trap("gpt2_lm", "scores not divided by the layer's number", 0.8, {f"{D}.attention.heads.scale": None}),
    Trap("gemma2_lm", "scores without their cap", 2.7, {f"{D}.attention.heads.softcap": None}),
    Trap("gpt_oss_lm", "no sinks", 3.8, {f"{D}.attention.heads.sinks": False}),
    Trap("gemma3_lm", "queries and keys normed by gains around 0", 1.0, {f"{D}.attention.heads.qk_norm.gain": "weight"}),
    *(Trap(name, "no biases", 0.1, {"*.blocks.*.attention.heads.bias": ""})
      for name in ("bert_mlm", "llama_2", "qwen2_lm", "gpt2_lm", "whisper_lm", "vit_classify", "gpt_oss_lm", "falcon_rw", "opt_pre", "bloom_lm")),
    Trap("whisper_lm", "no biases in the attention to the source", 0.1, {f"{D}.cross.heads.bias": ""}),
    Trap("llama_2", "no bias of the output", 0.1, {f"{D}.attention.heads.bias": "qkv"}),
]  # fmt: skip
VISIBLE = [
    Trap("clip_text", "all tokens see each other", 3.7, {f"{D}.attention.pattern": {"kind": "full"}}),
    *(Trap(name, "window one too wide", 1.0, {f"{D}.attention.pattern.back": lambda w: w + 1})
      for name in ("mistral_lm", "mixtral_lm", "qwen2_lm", "qwen3_lm", "gemma2_lm", "gemma3_lm", "phi3_long", "gpt_oss_lm")),
    Trap("gemma2_lm", "sliding and full layers swapped", 4.1, {"decoder.layout": lambda kinds: kinds[1:] + kinds[:1]}),
    Trap("gpt_oss_lm", "sliding and full layers swapped", 4.1, {"decoder.layout": lambda kinds: kinds[1:] + kinds[:1]}),
    Trap("modernbert_mlm", "window one too narrow", 3.7, {f"{E}.attention.pattern": lambda p: p | ({"back": p["back"] - 1} if "back" in p else {})}),
    Trap("longformer_mlm", "no window", 5.4, {f"{E}.attention.pattern.parts": lambda parts: [{"kind": "full"}, parts[1]]}),
    Trap("longformer_mlm", "no global tokens", 7.1, asked=unmarked),
    Trap("led_lm", "no global tokens", 0.3, asked=unmarked),
    Trap("led_lm", "no window", 0.3, {f"{E}.attention.pattern.parts": lambda parts: [{"kind": "full"}, parts[1]]}),
    Trap("longformer_mlm", "windows one too wide", 1.0, {f"{E}.attention.pattern": wider}),
    Trap("longformer_mlm", "windows of other layers", 1.0, {"encoder.layout": lambda kinds: kinds[1:] + kinds[:1]}),
    Trap("gemma3_lm", "sliding and full layers swapped", 1.0, {"decoder.layout": lambda kinds: kinds[1:] + kinds[:1]}),
    Trap("qwen2_lm", "another layer is the first to slide", 1.0, {"decoder.layout": lambda kinds: kinds[::-1]}),
    Trap("modernbert_mlm", "another layer sees everything", 1.0, {"encoder.layout": lambda kinds: ["first", "full", "local", "full"]}),
    Trap("qwen3_moe", "window one too wide", 1.0, {f"{D}.attention.pattern.back": lambda w: w + 1}),
    Trap("bigbird_45", "all blocks", 4.2, {f"{E}.attention.pattern": {"kind": "full"}}),
    Trap("bigbird_45", "block 0 counted once", 2.0, {f"{E}.attention.pattern.random": 0}),
    Trap("bigbird_45", "random blocks", 1.0, {f"{E}.attention.pattern.draw": "seeded"}),
    Trap("bigbird_short", "blocks in a short text", 0.4, {f"{E}.attention.pattern": lambda p: {**p, "random": 0, "block": 2}}),
    *(Trap(name, "padding is seen", 0.4, asked=seen) for name in ("bert_mlm", "roberta_mlm", "opt_pre", "bloom_lm", "deberta_mlm")),
    Trap("bigbird_45", "block 0 counts once", 2.0, {f"{E}.attention.pattern.random": 0}),
]  # fmt: skip
NORMS = [
    Trap("gemma_lm", "gains around 0", 10.7, {f"{D}.norm.gain": "weight", "decoder.final_norm.gain": "weight"}),
    Trap("deepseek_v3", "latent norms with the block's ε", 1e-4, {f"{D}.attention.heads.norm.eps": 1e-5}),
    Trap("bert_mlm", "norms before", 6.0, {f"{E}.residual.placement": "pre"}),
    Trap("opt_350m", "norms before", 6.0, {f"{D}.residual.placement": "pre"}),
    Trap("olmo2_lm", "norms before", 6.6, {f"{D}.residual.placement": "pre"}),
    Trap("gemma2_lm", "no second norms", 3.9, {f"{D}.residual.placement": "pre"}),
    Trap("neox_parallel", "one after the other", 5.5, {f"{D}.residual.parallel": "no"}),
    Trap("falcon_40b", "one norm for both", 1.0, {f"{D}.residual.parallel": "one_norm"}),
    Trap("falcon_7b", "one after the other", 3.6, {f"{D}.residual.parallel": "no"}),
    Trap("modernbert_mlm", "a norm before the first attention", 3.0, {"encoder.blocks.first.residual.skip_first_norm": False}),
    Trap("dinov2_classify", "no gain per channel", 1.0, {f"{E}.residual.gain": {"kind": "none"}}),
    Trap("gpt2_lm", "no final norm", 1.0, {"decoder.final_norm": None}),
    Trap("whisper_lm", "no final norms", 0.4, {"*.final_norm": None}),
    Trap("bart_lm", "final norms", 0.1, {"*.final_norm": {"kind": "layer"}}),
    Trap("bert_base", "a final norm", 0.1, {"encoder.final_norm": {"kind": "layer"}}),
    Trap("clip_vision", "a norm of the sequence, not of the pooled token alone", 2.0, {"encoder.final_norm": {"kind": "layer"}}, states=True),
    Trap("clip_vision", "no norm of the pooled token", 0.4, {"heads.*.input_norm": None}),
    Trap("llama_2", "norms that subtract the mean", 0.4, {path: lambda n: {"kind": "layer", "eps": n["eps"], "bias": False} for path in (f"{D}.norm", "decoder.final_norm")}),
    Trap("falcon_11b", "one after the other", 1.0, {f"{D}.residual.parallel": "no"}),
    Trap("neox_sequential", "beside each other", 1.0, {f"{D}.residual.parallel": "two_norms"}),
    Trap("bart_lm", "norms before", 1.0, {"*.blocks.*.residual.placement": "pre"}),
    Trap("t5_lm", "norms after", 1.0, {"*.blocks.*.residual.placement": "post"}),
]  # fmt: skip
FEED = [
    Trap("bert_mlm", "gelu by tanh", 1e-3, {f"{E}.ffn.act": "gelu_tanh"}),
    Trap("gpt2_lm", "exact gelu", 1e-3, {f"{D}.ffn.act": "gelu"}),
    Trap("gemma_lm", "exact gelu", 1e-3, {f"{D}.ffn.act": "gelu"}),
    Trap("t5_v1_1", "exact gelu", 1e-3, {"*.blocks.*.ffn.act": "gelu"}),
    Trap("modernbert_mlm", "gelu by tanh", 1e-3, {f"{E}.ffn.act": "gelu_tanh"}),
    Trap("neox_parallel", "exact gelu", 1e-3, {f"{D}.ffn.act": "gelu"}),
    Trap("clip_vision", "exact gelu", 4e-2, {f"{E}.ffn.act": "gelu"}),
    Trap("opt_pre", "gelu", 0.4, {f"{D}.ffn.act": "gelu"}),
    Trap("gpt_oss_lm", "plain swiglu", 4.3, {f"{D}.ffn.act": "silu"}),
    Trap("mixtral_lm", "weights of the chosen not renormalised", 1.7, {f"{D}.ffn.normalise": False}),
    Trap("qwen3_moe", "weights of the chosen renormalised", 0.9, {f"{D}.ffn": lambda f: f | ({"normalise": True} if "experts" in f else {})}),
    Trap("deepseek_v3", "softmax router", 6.6, {f"{D}.ffn": lambda f: f | ({"router": "softmax", "correction": False} if "experts" in f else {})}),
    Trap("deepseek_v3", "no correction", 0.4, {f"{D}.ffn": lambda f: f | ({"correction": False} if "experts" in f else {})}),
    Trap("deepseek_v2", "no groups", 1.7, {f"{D}.ffn": lambda f: f | ({"groups": 1, "top_groups": 1} if "experts" in f else {})}),
    Trap("deepseek_v3", "groups ranked by their best", 5.9, {f"{D}.ffn": lambda f: f | ({"group_score": "max"} if "experts" in f else {})}),
    Trap("deepseek_v2", "weights not scaled", 2.0, {f"{D}.ffn": lambda f: f | ({"scale": 1.0} if "experts" in f else {})}),
    Trap("deepseek_v3", "no shared expert", 1.0, {f"{D}.ffn": lambda f: f | ({"shared": 0} if "experts" in f else {})}),
    Trap("deepseek_v2", "weights of the chosen renormalised", 0.9, {f"{D}.ffn": when("experts", normalise=True)}),
    Trap("deepseek_v3", "weights not scaled", 2.0, {f"{D}.ffn": when("experts", scale=1.0)}),
    Trap("gpt_oss_lm", "experts without biases", 0.4, {f"{D}.ffn.bias": False}),
    *(Trap(name, "exact gelu", 1e-3, {"*.blocks.*.ffn.act": "gelu"}) for name in ("albert_mlm", "bigbird_45", "bloom_lm")),
    *(Trap(name, "gelu by tanh", 1e-3, {"*.blocks.*.ffn.act": "gelu_tanh"})
      for name in ("roberta_mlm", "distilbert_mlm", "electra_generator", "deberta_mlm", "bart_lm", "whisper_lm", "vit_classify", "dinov2_classify", "falcon_7b")),
    *(Trap(name, "gelu", 0.1, {"*.blocks.*.ffn.act": "gelu"}) for name in ("t5_lm", "fsmt_mt", "marian_mt", "llama_2", "dinov2_giant")),
    Trap("clip_vision_gelu", "quick gelu", 1e-2, {f"{E}.ffn.act": "quick_gelu"}),
    Trap("bert_mlm", "feed-forward without biases", 0.4, {f"{E}.ffn.bias": False}),
]  # fmt: skip
OUTPUTS = [
    Trap("t5_lm", "states not scaled before a tied matrix", 0.4, {"heads.*.scale": 1.0}),
    Trap("t5_v1_1", "states scaled before a matrix of their own", 4.4, {"heads.*.scale": 32**-0.5}),
    Trap("gemma2_lm", "logits without their cap", 5.7, {"heads.*.softcap": None}),
    Trap("bart_lm", "no bias of the vocabulary", 0.2, {"heads.*.bias": False}),
    Trap("bert_mlm", "the head's gelu by tanh", 1e-4, {"heads.*.act": "gelu_tanh"}),
    Trap("roberta_classify", "no tanh", 0.1, {"heads.*.act": None}),
    Trap("gpt2_classify", "the first token", 0.4, {"heads.*.pool": "first"}),
    Trap("modernbert_classify", "the first token", 0.1, {"heads.*.pool": "first"}),
    Trap("electra_classify", "tanh", 0.1, {"heads.*.act": "tanh"}),
    Trap("opt_350m", "a bias before the narrow output", 1e-3, {"heads.*.act": "tanh"}),
    Trap("electra_discriminator", "no hidden layer's gelu", 0.1, {"heads.*.act": None}),
    Trap("distilbert_classify", "tanh", 0.1, {"heads.*.act": "tanh"}),
    Trap("deberta_classify", "tanh", 0.1, {"heads.*.act": "tanh"}),
    Trap("bert_classify", "the mean", 0.1, {"heads.*.pool": "mean"}),
    Trap("bart_classify", "the first token", 0.1, {"heads.*.pool": "first", "heads.*.eos": None}),
    Trap("dinov2_classify", "the class token twice", 0.1, {"heads.*.pool": lambda _: ("first", "first")}),
    Trap("clip_text", "the last token", 0.1, {"heads.*.pool": "last", "heads.*.eos": None}),
    Trap("clip_text_legacy", "where id 2 stands, not the largest", 0.1, {"heads.*.pool": "first"}),
    Trap("modernbert_classify", "no norm of the hidden layer", 0.1, {"heads.*.norm": None}),
    Trap("albert_mlm", "layers in another order", 0.4, {"encoder.sharing": {"kind": "groups", "groups": 4, "inner": 1}}),
    Trap("albert_mlm", "every layer weights of group 0", 0.4, {"encoder.sharing": {"kind": "cycle", "period": 1}}),
]  # fmt: skip
TRAPS = [*EMBEDDING, *ROTARY, *BIASES, *HEADS, *VISIBLE, *NORMS, *FEED, *OUTPUTS]


def changed(data: Any, path: list[str], value: Any) -> int:
    """Set what a path names in nested data; returns how many places it named and really changed."""
    name, rest = path[0], path[1:]
    found = 0
    for key in (list(data) if name == "*" else [name]):
        if not isinstance(data, dict) or key not in data:
            continue
        if rest:
            found += changed(data[key], rest, value) if isinstance(data[key], dict) else 0
            continue
        new = value(data[key]) if callable(value) else value
        found += new != data[key]
        data[key] = new
    return found


def rebuilt(model: ph.Model, spec: ModelSpec) -> Transformer:
    """Another spec with the same weights; parts that are new keep their initial values, parts that shrank their beginning."""
    net = spec.build(0)
    weights, own = model.net.state_dict(), net.state_dict()
    for name, tensor in own.items():
        if name in weights:
            tensor.copy_(weights[name][tuple(map(slice, tensor.shape))])
    return net.eval()


@pytest.mark.parametrize("trap", TRAPS, ids=str)
def test_an_axis_set_wrong_is_seen(trap: Trap, made: Make, opened: Open) -> None:
    case, asked, model = BY_NAME[trap.case], made(trap.case), opened(trap.case)
    data = model.spec.model_dump(mode="json")
    for path, value in trap.change.items():
        assert changed(data, path.split("."), value), f"{path} changes nothing in {data}"
    given = inputs(case, asked.batch)
    given = trap.asked(given) if trap.asked is not None else given
    wrong = ask(rebuilt(model, ModelSpec.model_validate(data)), case, asked.batch, given)
    right = LIMITS[torch.float32]
    found = gap(wrong, asked.answer, case, asked.batch)
    seen = found.head if case.answers and not trap.states else found.state
    assert seen > max(trap.least / 4, 3 * right.head), f"{trap}: only {found}"
    assert not math.isnan(seen)


# ------------------------------------------------------------------------------------------------ ε, invisible in fp32

EXACT = ["bert_mlm", "roberta_mlm", "albert_mlm", "electra_generator", "distilbert_mlm", "bart_lm", "gpt2_lm", "whisper_lm", "dinov2_classify"]


@torch.no_grad()
@pytest.mark.parametrize("name", EXACT)
def test_epsilon_is_right_in_fp64(name: str, made: Make, opened: Open) -> None:
    """Where the reference's softmax follows the dtype the answers agree to 5e-15 or so; a doubled ε shows."""
    case = BY_NAME[name]
    model = reference.build(case).double()
    batch = {k: t.double() if t.is_floating_point() else t for k, t in made(name).batch.items()}
    theirs, spec = reference.ask(model, case, batch), opened(name).spec
    right = gap(ask(rebuilt(opened(name), spec).double(), case, batch), theirs, case, batch)
    assert right.head < 1e-13 and right.state < 1e-13
    data = spec.model_dump(mode="json")
    places = [f"{stack}.{where}" for stack in ("encoder", "decoder") for where in ("blocks.*.norm.eps", "embedding.norm.eps", "final_norm.eps")]
    assert sum(changed(data, path.split("."), lambda eps: 2 * eps) for path in places)
    wrong = gap(ask(rebuilt(opened(name), ModelSpec.model_validate(data)).double(), case, batch), theirs, case, batch)
    assert max(wrong.head, wrong.state) > max(4e-13, 4 * max(right.head, right.state))


EPSILONS = {
    "llama_2": 1e-5, "llama_1": 1e-6, "mixtral_lm": 1e-5, "gemma_lm": 1e-6, "gemma3_lm": 1e-6, "phi3_long": 1e-5, "olmo2_lm": 1e-5, "gpt_oss_lm": 1e-5,
    "deepseek_v2": 1e-5, "neox_parallel": 1e-5, "opt_pre": 1e-5, "bloom_lm": 1e-5, "falcon_7b": 1e-5, "longformer_mlm": 1e-5, "bigbird_45": 1e-12,
    "deberta_mlm": 1e-7, "modernbert_mlm": 1e-5, "t5_lm": 1e-6, "marian_mt": 1e-5, "fsmt_mt": 1e-5, "led_lm": 1e-5, "vit_classify": 1e-12,
    "clip_text": 1e-5, "clip_vision": 1e-5,
}  # fmt: skip


@pytest.mark.parametrize("name", EPSILONS)
def test_epsilon_is_the_one_the_reference_uses(name: str, opened: Open) -> None:
    for stack in opened(name).spec.stacks.values():
        norms = [block.norm for block in stack.blocks.values()] + [n for n in (stack.final_norm, stack.embedding.norm) if n is not None]
        assert {norm.eps for norm in norms} == {EPSILONS[name]}
