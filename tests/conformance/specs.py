"""Every value of every axis, tiny models that carry one of them each, and draws of their combinations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from polyhead import nn as ph
from polyhead.nn.rotary import Dynamic, Linear, Llama3, LongRope, Yarn

WIDTH, VOCAB, CONTEXT = 16, 23, 64

ABSOLUTE = {
    "none": ph.NoPosition(),
    "learned": ph.LearnedSpec(length=CONTEXT),
    "learned_offset": ph.LearnedSpec(length=CONTEXT, offset=2),
    "sinusoidal": ph.SinusoidalSpec(),
    "sinusoidal_halves": ph.SinusoidalSpec(layout="halves"),
    "sinusoidal_fairseq": ph.SinusoidalSpec(layout="halves", step="half-1", offset=2),
    "sinusoidal_tensor2tensor": ph.SinusoidalSpec(layout="halves", step="half-1"),
}
ROTARY = {
    "rotary": ph.RotarySpec(),
    "rotary_interleaved": ph.RotarySpec(interleaved=True),
    "rotary_partial": ph.RotarySpec(dim=2),
    "rotary_theta": ph.RotarySpec(theta=50.0),
    "rotary_linear": ph.RotarySpec(scaling=Linear(factor=4.0)),
    "rotary_dynamic": ph.RotarySpec(scaling=Dynamic(factor=2.0, original=8)),
    "rotary_llama3": ph.RotarySpec(theta=20.0, scaling=Llama3(factor=8.0, original=16)),
    "rotary_yarn": ph.RotarySpec(scaling=Yarn(factor=4.0, original=16, fast=4.0)),
    "rotary_yarn_exact": ph.RotarySpec(scaling=Yarn(factor=4.0, original=16, fast=4.0, truncate=False, attention=1.3)),
    "rotary_longrope": ph.RotarySpec(
        dim=4, scaling=LongRope(original=8, short=(1.0, 1.5), long=(2.0, 5.0), attention=1.2)
    ),
}
RELATIVE = {
    "none": ph.NoPosition(),
    **ROTARY,
    "alibi": ph.AlibiSpec(),
    "alibi_key": ph.AlibiSpec(form="key"),
    "alibi_rounded": ph.AlibiSpec(form="key", rounded=True, scale=0.3),
    "buckets": ph.BucketsSpec(buckets=8, distance=16, two_sided=False),
}
CONTENT = {
    "disentangled": ph.DisentangledSpec(span=6, distance=14, norm=ph.LayerNormSpec(eps=1e-7)),
    "disentangled_exact": ph.DisentangledSpec(span=4),
    "shaw": ph.ShawSpec(distance=3),
}
TWO_SIDED_BUCKETS = ph.BucketsSpec(buckets=8, distance=16, two_sided=True)
CAUSAL = {
    "causal": ph.Causal(),
    "prefix": ph.Prefix(),
    "window": ph.Window(back=3),
    "window_itself": ph.Window(back=0),
    "window_long": ph.Window(back=40),
    "causal_document": ph.And(parts=(ph.Causal(), ph.Document())),
    "window_cut": ph.And(parts=(ph.Window(back=4, ahead=2), ph.Causal())),
    "windows": ph.Or(parts=(ph.Window(back=2), ph.And(parts=(ph.Window(back=5), ph.Causal())))),
    "window_prefix": ph.Or(parts=(ph.Window(back=2), ph.Prefix())),
    "window_globals": ph.Or(parts=(ph.Window(back=2), ph.And(parts=(ph.Causal(), ph.Marked(queries=False))))),
    "dilated": ph.Dilated(step=3, back=2),
    "strided": ph.Strided(stride=4, back=1),
    "strided_columns": ph.Strided(stride=3),
    "causal_chunked": ph.And(parts=(ph.Causal(), ph.Chunked(size=4))),
}
TWO_SIDED = {
    "full": ph.Full(),
    "window_both": ph.Window(back=3, ahead=2),
    "window_ahead": ph.Window(back=0, ahead=3),
    "document": ph.Document(),
    "full_window": ph.And(parts=(ph.Full(), ph.Window(back=2, ahead=2))),
    "window_or_causal": ph.Or(parts=(ph.Window(back=1, ahead=1), ph.Causal())),
    "prefix": ph.Prefix(),
    "dilated_both": ph.Dilated(step=2, back=2, ahead=1),
    "chunked": ph.Chunked(size=3),
    "globals": ph.Or(parts=(ph.Window(back=2, ahead=2), ph.Marked())),
    "global_keys": ph.Or(parts=(ph.Window(back=1, ahead=1), ph.Marked(queries=False))),
    "global_queries": ph.Or(parts=(ph.Window(back=0, ahead=1), ph.Marked(keys=False))),
}
BLOCKS = {  # what they give depends on the length of the batch, so they stand apart
    "block0": ph.BlockSparse(block=1, random=1, draw="block0"),
    "seeded": ph.BlockSparse(block=1, random=1, seed=3),
    "no_random": ph.BlockSparse(block=1),
    "block0_of_two": ph.BlockSparse(block=2, random=2, draw="block0"),
    "seeded_of_three": ph.BlockSparse(block=3, random=1, seed=1),
    "window_in_blocks": ph.And(parts=(ph.BlockSparse(block=2, random=1), ph.Window(back=3, ahead=9))),
    "causal_blocks": ph.And(parts=(ph.Causal(), ph.BlockSparse(block=2, random=1, draw="block0"))),
}
HEADS = {
    "multi_head": ph.GroupedSpec(heads=4),
    "grouped": ph.GroupedSpec(heads=4, kv_heads=2),
    "multi_query": ph.GroupedSpec(heads=4, kv_heads=1),
    "biased": ph.GroupedSpec(heads=4, kv_heads=2, bias="qkvo"),
    "bias_qv": ph.GroupedSpec(heads=4, bias="qv"),
    "qk_norm": ph.GroupedSpec(heads=4, kv_heads=2, qk_norm=ph.RMSNormSpec()),
    "qk_norm_all": ph.GroupedSpec(heads=4, kv_heads=2, qk_norm=ph.LayerNormSpec(), qk_norm_over="all"),
    "softcap": ph.GroupedSpec(heads=4, kv_heads=2, softcap=2.0),
    "scale": ph.GroupedSpec(heads=4, scale=1.0),
    "sinks": ph.GroupedSpec(heads=4, kv_heads=2, sinks=True),
    "sinks_capped": ph.GroupedSpec(heads=3, head_dim=4, softcap=2.0, sinks=True),
    "latent": ph.LatentSpec(heads=4, kv_rank=6, nope=4, rope=4, value=3),
    "latent_low_rank": ph.LatentSpec(
        heads=3, q_rank=7, kv_rank=8, nope=2, rope=4, value=5, bias=True, norm=ph.RMSNormSpec(eps=1e-2), scale=0.7
    ),
    "head_dim": ph.GroupedSpec(heads=3, head_dim=6, kv_heads=1),
}
MIXINGS = {  # some give weights of exactly 0, some cannot be rolled back, one has no causal form: they stand apart
    "sigmoid": ph.SigmoidSpec(),
    "relu": ph.ReluSpec(),
    "entmax": ph.EntmaxSpec(),
    "sparsemax": ph.SparsemaxSpec(),
    "linear": ph.LinearSpec(),
    "performer": ph.PerformerSpec(features=10),
}
LINFORMERS = {share: ph.LinformerSpec(rank=5, length=CONTEXT, share=share) for share in ("none", "kv", "layers")}
NORMS = {
    "layer": ph.LayerNormSpec(),
    "layer_no_bias": ph.LayerNormSpec(bias=False),
    "layer_bare": ph.LayerNormSpec(gain=False, bias=False, eps=1e-3),
    "layer_plus": ph.LayerNormSpec(form="plus", eps=1e-2),
    "rms": ph.RMSNormSpec(),
    "rms_one_plus": ph.RMSNormSpec(gain="one_plus"),
    "rms_bare": ph.RMSNormSpec(gain="none"),
    "dyt": ph.DyTSpec(),
    "batch": ph.BatchNormSpec(),
    "none": ph.NoNormSpec(),
}
RESIDUALS = {
    "pre": ph.ResidualSpec(),
    "post": ph.ResidualSpec(placement="post"),
    "sandwich": ph.ResidualSpec(placement="sandwich"),
    "inner": ph.ResidualSpec(placement="inner"),
    "bare": ph.ResidualSpec(placement="none"),
    "one_norm": ph.ResidualSpec(parallel="one_norm"),
    "two_norms": ph.ResidualSpec(parallel="two_norms"),
    "skip_first_norm": ph.ResidualSpec(skip_first_norm=True),
    "layer_scale": ph.ResidualSpec(gain=ph.LayerScale(start=0.1)),
    "rezero": ph.ResidualSpec(placement="none", gain=ph.ReZero()),
    "deepnorm": ph.ResidualSpec(placement="post", gain=ph.DeepNorm(alpha=1.5, beta=0.6)),
    "first": ph.ResidualSpec(values=True, x0=True),
    "parallel_scaled": ph.ResidualSpec(parallel="two_norms", gain=ph.LayerScale(start=0.1)),
    "stochastic_depth": ph.ResidualSpec(stochastic_depth=0.5),
}
ACTS = ("relu", "relu2", "gelu", "gelu_tanh", "quick_gelu", "silu", "tanh")
FFNS = {
    **{f"plain_{act}": ph.PlainSpec(inner=24, act=act) for act in ACTS},
    **{f"gated_{act}": ph.GatedSpec(ratio=1.5, act=act) for act in (*ACTS, "clamped_swiglu")},
    "plain_no_bias": ph.PlainSpec(ratio=2, bias=False),
    "gated_bias": ph.GatedSpec(inner=20, bias=True),
    "experts": ph.ExpertsSpec(experts=4, top_k=2, inner=12),
    "experts_one": ph.ExpertsSpec(experts=4, top_k=1, inner=12, normalise=False, act="clamped_swiglu", bias=True),
    "experts_shared": ph.ExpertsSpec(experts=4, top_k=2, inner=12, shared=10, scale=1.5),
    "experts_groups": ph.ExpertsSpec(
        experts=6, top_k=3, inner=8, router="sigmoid", router_fp32=True, correction=True, groups=3, top_groups=2, group_score="top2"
    ),
    "experts_groups_max": ph.ExpertsSpec(experts=6, top_k=2, inner=8, groups=3, top_groups=1),
    "experts_balance": ph.ExpertsSpec(experts=4, top_k=2, inner=12, balance=0.3),
}
SHARINGS = {
    "none": ph.NoSharing(),
    "all": ph.Groups(),
    "groups": ph.Groups(groups=2),
    "groups_inner": ph.Groups(inner=2),
    "cycle": ph.Cycle(period=2),
}
EMBEDDINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "scaled": {"scale": 4.0},
    "scale_rounded": {"scale": 1.7, "round_scale": True},
    "typed": {"types": 2},
    "normed": {"norm": ph.LayerNormSpec()},
    "factor_sum": {"width": 6, "project": "sum", "types": 2, "norm": ph.LayerNormSpec()},
    "factor_sum_first": {"width": 6, "project": "sum_first", "norm": ph.LayerNormSpec()},
    "factor_token": {"width": 6, "project": "token"},
}
OUTPUTS = {
    "lm": ph.HeadSpec(output=VOCAB),
    "lm_tied": ph.HeadSpec(output=VOCAB, tied=True),
    "lm_capped": ph.HeadSpec(output=VOCAB, bias=True, scale=0.5, softcap=3.0),
    "mlm": ph.HeadSpec(
        task="mlm", dense=WIDTH, act="gelu", norm=ph.LayerNormSpec(), output=VOCAB, tied=True, bias=True
    ),
    "classify": ph.HeadSpec(task="classify", pool="first", dense=WIDTH, act="tanh", output=3, bias=True),
    "classify_last": ph.HeadSpec(task="classify", pool="last", output=3),
    "classify_mean": ph.HeadSpec(task="classify", pool="mean", input_norm=ph.LayerNormSpec(), output=3),
    "tag": ph.HeadSpec(task="tag", output=5, bias=True),
    "span": ph.HeadSpec(task="span", output=2, bias=True),
    "span_behind": ph.HeadSpec(task="span", dense=10, act="gelu_tanh", back=True, norm=ph.LayerNormSpec(), output=2, bias=True),
    "rtd": ph.HeadSpec(task="rtd", dense=WIDTH, act="gelu", output=1, bias=True),
    "pair": ph.HeadSpec(task="pair", pool="first", dense=WIDTH, act="tanh", output=2, bias=True),
    "image": ph.HeadSpec(task="image", pool="first_mean", output=3, bias=True),
    "image_mean": ph.HeadSpec(task="image", pool="mean_patches", output=3),
    "several": ph.HeadSpec(task="embed", pool=("first", "max", "mean", "mean_sqrt", "weighted_mean", "last")),
    "largest_id": ph.HeadSpec(task="embed", pool="largest_id", output=4, normalise=True),
    "embed": ph.HeadSpec(task="embed", pool="mean", dense=8, dense_bias=False, normalise=True),
    "states": ph.HeadSpec(task="embed"),
    "pooled": ph.HeadSpec(task="pool", pool="first", dense=WIDTH, act="tanh"),
}


def stack(
    pattern: Any = None,
    relative: Any = None,
    absolute: Any = ABSOLUTE["none"],
    heads: Any = HEADS["grouped"],
    norm: Any = NORMS["rms"],
    residual: Any = RESIDUALS["pre"],
    ffn: Any = FFNS["gated_silu"],
    sharing: Any = SHARINGS["none"],
    embedding: dict[str, Any] | None = None,
    layers: int = 2,
    cross: bool = False,
    width: int = WIDTH,
    vocab: int = VOCAB,
    global_heads: bool = False,
    mixing: Any = None,
) -> ph.StackSpec:
    attention = ph.AttentionSpec(
        heads=heads,
        pattern=ph.Causal() if pattern is None else pattern,
        position=ROTARY["rotary"] if relative is None else relative,
        global_heads=global_heads,
        mixing=mixing or ph.SoftmaxSpec(),
    )
    crossing = ph.AttentionSpec(heads=heads if heads.kind == "grouped" else HEADS["grouped"]) if cross else None
    block = ph.BlockSpec(attention=attention, cross=crossing, ffn=ffn, norm=norm, residual=residual)
    return ph.StackSpec(
        width=width,
        layers=layers,
        embedding=ph.EmbeddingSpec(vocab=vocab, position=absolute, **(embedding or {})),
        blocks={"block": block},
        layout=("block",),
        sharing=sharing,
        final_norm=norm,
    )


def decoder(head: Any = None, dropout: Any = None, **choices: Any) -> ph.ModelSpec:
    """A decoder with two layers unless said otherwise; every choice is an argument of `stack`."""
    vocab = choices.get("vocab", VOCAB)
    head = head or ph.HeadSpec(output=vocab)
    extra = {} if dropout is None else {"dropout": dropout}
    return ph.ModelSpec(decoder=stack(**choices), heads={"out": head}, context=CONTEXT, **extra)


def encoder(head: Any = None, **choices: Any) -> ph.ModelSpec:
    choices = {"pattern": ph.Full(), **choices}
    return ph.ModelSpec(encoder=stack(**choices), heads={"out": head or OUTPUTS["lm"]}, context=CONTEXT)


def seq2seq(share: bool = True, head: Any = None, **choices: Any) -> ph.ModelSpec:
    """choices go to both stacks; the decoder is causal and crosses, the encoder sees all."""
    both = {k: v for k, v in choices.items() if k not in ("pattern", "relative")}
    relative = choices.get("relative", ROTARY["rotary"])
    seen = TWO_SIDED_BUCKETS if relative == RELATIVE["buckets"] else relative
    return ph.ModelSpec(
        encoder=stack(pattern=ph.Full(), relative=seen, **both),
        decoder=stack(pattern=choices.get("pattern"), relative=relative, cross=True, **both),
        heads={"out": head or OUTPUTS["lm_tied"]},
        share_embeddings=share,
        context=CONTEXT,
    )


def local_full() -> ph.ModelSpec:
    """Two kinds of layers with a rotation of their own each (Gemma 3)."""
    kinds = {
        "local": stack(pattern=ph.Window(back=3), relative=ROTARY["rotary_theta"]).blocks["block"],
        "full": stack(relative=ROTARY["rotary_linear"]).blocks["block"],
    }
    base = stack(layers=3)
    fields = {name: getattr(base, name) for name in ("width", "layers", "embedding", "final_norm")}
    mixed = ph.StackSpec(**fields, blocks=kinds, layout=("local", "local", "full"))
    return ph.ModelSpec(decoder=mixed, heads={"out": OUTPUTS["lm"]}, context=CONTEXT)


def _decoders() -> dict[str, ph.ModelSpec]:
    axes: dict[str, dict[str, Any]] = {
        "absolute": ABSOLUTE, "relative": RELATIVE, "pattern": CAUSAL, "heads": HEADS, "norm": NORMS,
        "residual": RESIDUALS, "ffn": FFNS, "embedding": EMBEDDINGS,
    }  # fmt: skip
    found = {f"{axis}-{name}": decoder(**{axis: v}) for axis, values in axes.items() for name, v in values.items()}
    found |= {f"sharing-{name}": decoder(sharing=v, layers=4) for name, v in SHARINGS.items()}
    found |= {f"head-{name}": decoder(head=OUTPUTS[name]) for name in ("lm", "lm_tied", "lm_capped")}
    biased = {
        "window-alibi": (CAUSAL["window"], RELATIVE["alibi"]),
        "window-buckets": (CAUSAL["window"], RELATIVE["buckets"]),
    }
    found |= {name: decoder(pattern=p, relative=r) for name, (p, r) in biased.items()}
    found["softcap-buckets"] = decoder(heads=HEADS["softcap"], relative=RELATIVE["buckets"])
    found["softcap-window"] = decoder(heads=HEADS["softcap"], pattern=CAUSAL["window"], relative=RELATIVE["alibi"])
    found["window-sinks"] = decoder(heads=HEADS["sinks"], pattern=CAUSAL["window"])
    for name, position in CONTENT.items():
        found[f"content-{name}"] = decoder(relative=position, heads=HEADS["biased"])
    found["content-window-sinks"] = decoder(relative=CONTENT["shaw"], pattern=CAUSAL["window"], heads=HEADS["sinks"])
    found["window-latent"] = decoder(heads=HEADS["latent"], pattern=CAUSAL["window"], relative=ROTARY["rotary_interleaved"])
    found["latent-alibi"] = decoder(heads=HEADS["latent_low_rank"], relative=RELATIVE["alibi"])
    found["sinks-buckets"] = decoder(heads=HEADS["sinks"], relative=RELATIVE["buckets"])
    found["alibi-three-heads"] = decoder(heads=HEADS["head_dim"], relative=RELATIVE["alibi"])
    return found | {"kinds-local_full": local_full()}


def _encoders() -> dict[str, ph.ModelSpec]:
    found = {f"pattern-{name}": encoder(pattern=p) for name, p in TWO_SIDED.items()}
    found |= {f"absolute-{name}": encoder(absolute=p, relative=RELATIVE["none"]) for name, p in ABSOLUTE.items()}
    scored = ph.GroupedSpec(heads=4, bias="qkvo", scale=12**-0.5)
    found |= {f"content-{name}": encoder(relative=r, heads=scored) for name, r in CONTENT.items()}
    found["content-window"] = encoder(relative=CONTENT["disentangled"], pattern=TWO_SIDED["window_both"])
    found["heads-latent"] = encoder(heads=HEADS["latent"])
    found |= {f"relative-{n}": encoder(relative=r) for n, r in RELATIVE.items() if n.startswith("alibi")}
    found["relative-buckets"] = encoder(relative=TWO_SIDED_BUCKETS)
    found["window-buckets"] = encoder(relative=TWO_SIDED_BUCKETS, pattern=TWO_SIDED["window_both"])
    found |= {f"head-{n}": encoder(head=h, norm=NORMS["layer"], residual=RESIDUALS["post"]) for n, h in OUTPUTS.items()}
    found |= {f"embedding-{name}": encoder(embedding=e) for name, e in EMBEDDINGS.items()}
    own = {"pattern": TWO_SIDED["globals"], "global_heads": True}
    found["global_heads"] = encoder(heads=HEADS["biased"], norm=NORMS["layer"], residual=RESIDUALS["post"], **own)
    found["global_heads-sinks_capped"] = encoder(heads=HEADS["sinks_capped"], **own)
    found["global_heads-alibi"] = encoder(heads=HEADS["qk_norm"], relative=RELATIVE["alibi"], **own)
    found["albert"] = encoder(
        embedding=EMBEDDINGS["factor_sum"], sharing=ph.Groups(), absolute=ABSOLUTE["learned"], norm=NORMS["layer"],
        residual=RESIDUALS["post"], relative=RELATIVE["none"], ffn=FFNS["plain_gelu"], layers=3,
    )  # fmt: skip
    return found


def _seq2seqs() -> dict[str, ph.ModelSpec]:
    return {
        "rotary": seq2seq(),
        "vaswani": seq2seq(
            absolute=ABSOLUTE["sinusoidal"], relative=RELATIVE["none"], norm=NORMS["layer"],
            residual=RESIDUALS["post"], ffn=FFNS["plain_relu"], heads=HEADS["multi_head"], embedding={"scale": 4.0},
        ),
        "t5": seq2seq(relative=RELATIVE["buckets"], heads=HEADS["scale"], ffn=FFNS["plain_relu"]),
        "window": seq2seq(pattern=ph.Window(back=2), share=False),
        "shared_layers": seq2seq(sharing=ph.Groups(), layers=3),
        "qk_norm": seq2seq(heads=HEADS["qk_norm"], residual=RESIDUALS["sandwich"]),
    }  # fmt: skip


DECODERS, ENCODERS, SEQ2SEQS = _decoders(), _encoders(), _seq2seqs()
CACHED = {**{f"decoder:{n}": s for n, s in DECODERS.items()}, **{f"seq2seq:{n}": s for n, s in SEQ2SEQS.items()}}
EVERY = {
    **{f"decoder:{n}": s for n, s in DECODERS.items()},
    **{f"encoder:{n}": s for n, s in ENCODERS.items()},
    **{f"seq2seq:{n}": s for n, s in SEQ2SEQS.items()},
}


def cases(fast: str, table: dict[str, ph.ModelSpec] | None = None) -> list[Any]:
    """Every spec as a test case; those whose name matches none of the words in `fast` run with `-m slow`."""
    words = fast.split()
    found = []
    for name, spec in (EVERY if table is None else table).items():
        quick = any(word in name for word in words)
        found.append(pytest.param(spec, id=name, marks=() if quick else pytest.mark.slow))
    return found


# ---------------------------------------------------------------- draws


def draws(examples: int) -> settings:
    """Settings of a test over drawn combinations: the same ones on every machine, however busy it is."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=slow)


def _choices(draw: Any, *, causal: bool, cross: bool) -> dict[str, Any]:
    """A valid choice of every axis of one stack."""

    def one(table: dict[str, Any]) -> Any:
        return draw(st.sampled_from(sorted(table.items())))[1]

    residuals = {n: r for n, r in RESIDUALS.items() if not (cross and r.parallel != "no")}
    residual = one(residuals)
    plain = not (residual.values or residual.x0)
    relative = one(RELATIVE)
    if not causal and isinstance(relative, ph.BucketsSpec):
        relative = TWO_SIDED_BUCKETS
    heads = one(HEADS if not residual.values else {n: h for n, h in HEADS.items() if h.kind == "grouped"})
    return {
        "pattern": one(CAUSAL if causal else TWO_SIDED),
        "relative": relative,
        "absolute": one(ABSOLUTE),
        "heads": heads if not _long_rope(relative) else HEADS["grouped"],
        "norm": one(NORMS),
        "residual": residual,
        "ffn": one(FFNS),
        "sharing": one(SHARINGS) if plain else SHARINGS["none"],
        "embedding": one(EMBEDDINGS),
        "layers": draw(st.sampled_from((2, 4))),
    }


def _long_rope(relative: Any) -> bool:
    return isinstance(relative, ph.RotarySpec) and isinstance(relative.scaling, LongRope)


@st.composite
def decoders(draw: Any) -> ph.ModelSpec:
    return decoder(**_choices(draw, causal=True, cross=False))


@st.composite
def encoders(draw: Any) -> ph.ModelSpec:
    head = draw(st.sampled_from([h for h in OUTPUTS.values() if not h.tied]))
    return encoder(head=head, **_choices(draw, causal=False, cross=False))


@st.composite
def seq2seqs(draw: Any) -> ph.ModelSpec:
    choices = _choices(draw, causal=True, cross=True)
    return seq2seq(head=OUTPUTS["lm"], share=draw(st.booleans()), **choices)


def models() -> Any:
    return st.one_of(decoders(), encoders(), seq2seqs())


# ---------------------------------------------------------------- building


@torch.no_grad()
def build(spec: ph.ModelSpec, dtype: torch.dtype = torch.float64, seed: int = 0) -> ph.Transformer:
    """The model in eval mode with every value random and large enough to matter: no gain at 0, no bias at 0."""
    model = spec.build(seed).to(dtype).eval()
    generator = torch.Generator().manual_seed(seed + 1)

    def noise(t: torch.Tensor) -> torch.Tensor:
        return torch.randn(t.shape, generator=generator, dtype=torch.float64).to(dtype)

    for p in model.parameters():
        if p.dim() > 1:
            p.copy_(noise(p) / p.shape[-1] ** 0.5)
        else:
            p.add_(0.3 * noise(p))
    for name, buffer in model.named_buffers():
        buffer.copy_(noise(buffer).abs() + 0.5 if name.endswith("var") else 0.3 * noise(buffer))
    return model
