"""Law 6: reference, sdpa, banded and flex agree; compiled = eager; plain causal attention needs no mask tensor."""

import pytest
import torch
from hypothesis import given
from torch._dynamo.testing import CompileCounter
from torch.utils._python_dispatch import TorchDispatchMode

from polyhead import nn as ph

from . import laws, specs

FEW = ("left", "restarting")


@pytest.mark.parametrize("spec", specs.cases("pattern-window pattern-causal er:pattern-prefix pattern-full kinds"))
def test_backends_agree_over_every_form_of_batch(spec):
    laws.law_backends(spec)


@pytest.mark.parametrize("spec", specs.cases("pattern-g global pattern-d pattern-strided pattern-chunked"))
def test_backends_agree_over_sparse_patterns(spec):
    laws.law_backends(spec, names=("plain", "left", "packed", "restarting", "marked", "marked, one row"), flex=("marked",))


def blocks(pattern, **choices):
    return specs.encoder(pattern=pattern, layers=1, heads=specs.HEADS["multi_head"], **choices)


@pytest.mark.parametrize("name", specs.BLOCKS)
def test_backends_agree_over_blocks(name):
    laws.law_backends(blocks(specs.BLOCKS[name]), 22, ("left", "restarting"), flex=("left",))


def test_backends_agree_over_blocks_with_a_bias():
    spec = blocks(specs.BLOCKS["block0_of_two"], relative=specs.RELATIVE["alibi"])
    laws.law_backends(spec, 33, ("right", "packed"), flex=("right",))


@pytest.mark.parametrize("spec", specs.cases("heads relative-a relative-b content window- softcap- seq2seq three"))
def test_backends_agree_over_every_axis(spec):
    laws.law_backends(spec, length=21, names=FEW, flex=("left",))


SCORED = [n for n in specs.EVERY if any(w in n for w in ("pattern", "relative", "heads", "kinds", "t5", "window", "cap"))]


@pytest.mark.slow
@pytest.mark.parametrize("spec", specs.cases("r:", {n: specs.EVERY[n] for n in SCORED}))
def test_flex_agrees_over_every_form_of_batch(spec):
    laws.law_backends(spec, length=21, flex=tuple(laws.batches(spec, 21)), traced=True)


@pytest.mark.parametrize("name", ["heads-grouped", "heads-softcap", "relative-buckets"])
def test_flex_traced_as_users_call_it_agrees(name):
    """Masks, caps and biases that Dynamo can follow; the other tests call the same operations without its trace."""
    laws.law_backends(specs.DECODERS[name], length=9, names=("left",), flex=("left",), traced=True)


@specs.draws(10)
@given(specs.models())
def test_combinations(spec):
    laws.law_backends(spec, length=19, names=("right", "packed"), flex=())


@pytest.mark.parametrize("back, ahead", [(1, 0), (15, 0), (16, 0), (17, 0), (5, 20), (0, 1), (40, 3)])
def test_bands_of_any_width_equal_the_reference(back, ahead):
    pattern = ph.Window(back=back, ahead=ahead)
    for length in (4, 16, 33, 64):
        laws.law_backends(specs.encoder(pattern=pattern, layers=1), length, ("right", "restarting"), flex=())


def test_sdpa_refuses_a_soft_cap_and_flex_a_backward_and_dropout():
    capped, plain = specs.build(specs.DECODERS["heads-softcap"]), specs.build(specs.DECODERS["heads-grouped"])
    tokens = ph.Tokens(laws.random_ids(1, 4))
    with pytest.raises(ValueError, match="cannot cap"):
        capped.use("sdpa")(tokens)
    with pytest.raises(ValueError, match="no backward on CPU"):
        plain.use("flex")(tokens)
    with torch.no_grad(), pytest.raises(ValueError, match="scores made of queries and keys"):
        specs.build(specs.DECODERS["content-shaw"]).use("flex")(tokens)
    dropped = specs.build(specs.decoder(dropout=ph.DropoutSpec(attention=0.1))).train()
    with torch.no_grad(), pytest.raises(ValueError, match="no dropout"):
        dropped.use("flex")(tokens)


@pytest.mark.parametrize("backend", ["auto", "reference", "banded", "flex"])
@pytest.mark.parametrize("pattern", [ph.Window(back=2)])
def test_packed_pairs_read_their_own_source(pattern, backend):
    """Documents of a packed target see the documents of a packed source with their number: each as if it were alone."""
    model = specs.build(specs.seq2seq(pattern=pattern)).use(backend)
    ids, sources = laws.random_ids(2, 11), laws.random_ids(2, 9, seed=5)

    def packed(t, first):
        place = torch.arange(t.shape[1])
        return ph.Tokens(t, torch.where(place < first, place, place - first).repeat(2, 1), (place >= first).long().repeat(2, 1))

    with torch.no_grad():
        together = model(packed(ids, 4), packed(sources, 6))
        for target, source, out in ((ids[:, :4], sources[:, :6], together[:, :4]), (ids[:, 4:], sources[:, 6:], together[:, 4:])):
            laws.close(out, model(ph.Tokens(target), ph.Tokens(source)), what=backend)


def test_marks_of_the_target_mean_nothing_to_the_source():
    """Cross-attention sees the whole source, whoever is marked on either side."""
    model = specs.build(specs.seq2seq())
    ids, source, mark = laws.random_ids(2, 6), laws.random_ids(2, 9, seed=5), torch.ones(2, 6, dtype=torch.bool)
    with torch.no_grad():
        plain = model(ph.Tokens(ids), ph.Tokens(source))
        marked = model(ph.Tokens(ids, mark=mark), ph.Tokens(source, mark=torch.arange(9).repeat(2, 1) < 2))
    laws.close(marked, plain)


# ---------------------------------------------------------------- no mask where a flag will do


class Spy(TorchDispatchMode):
    """Remembers every operation and whether any tensor of it ends in (length, keys)."""

    def __init__(self, length: int, keys: int | None = None) -> None:
        super().__init__()
        self.shape, self.square, self.calls = (length, keys or length), [], []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        found = out if isinstance(out, tuple | list) else (out,)
        for t in (*args, *found):
            if isinstance(t, torch.Tensor) and t.dim() > 1 and tuple(t.shape[-2:]) == self.shape:
                self.square.append(str(func))
        if "scaled_dot_product" in str(func):
            self.calls.append((str(func), args, kwargs or {}))
        return out


MASKLESS = {
    "causal": {},
    "wide_window": {"pattern": ph.Window(back=100)},
    "document_alone": {"pattern": specs.CAUSAL["causal_document"]},
    "prefix_unmarked": {"pattern": ph.Prefix()},
    "multi_query": {"heads": specs.HEADS["multi_query"]},
    "learned": {"absolute": specs.ABSOLUTE["learned"], "relative": ph.NoPosition()},
    "qk_norm": {"heads": specs.HEADS["qk_norm"]},
}


@pytest.mark.parametrize("name", MASKLESS)
def test_plain_causal_attention_reaches_is_causal_without_a_mask(name):
    length = 37  # a size nothing else in the model has
    model = specs.build(specs.decoder(**MASKLESS[name]), torch.float32)
    with Spy(length) as spy:
        model(ph.Tokens(laws.random_ids(2, length))).sum().backward()
    assert not spy.square, f"T x T tensors in {set(spy.square)}"
    forward = [c for c in spy.calls if "backward" not in c[0]]
    assert len(forward) == 2, "one fused call per layer"
    for _, args, kwargs in forward:
        assert args[4] is True, "is_causal"
        assert kwargs.get("attn_mask") is None


def test_full_attention_needs_no_mask_either():
    model = specs.build(specs.ENCODERS["pattern-full"], torch.float32)
    with torch.no_grad(), Spy(37) as spy:
        model(ph.Tokens(laws.random_ids(2, 37)))
    assert not spy.square and spy.calls


def test_the_spy_sees_a_mask_where_there_is_one():
    model = specs.build(specs.DECODERS["relative-alibi"], torch.float32)
    with torch.no_grad(), Spy(37) as spy:
        model(ph.Tokens(laws.random_ids(1, 37)))
    assert spy.square


def test_an_even_cached_step_needs_no_mask_and_copies_no_keys():
    model = specs.build(specs.DECODERS["pattern-causal"], torch.float32)
    cache = model.new_cache(2, 64)
    with torch.no_grad():
        model(ph.Tokens(laws.random_ids(2, 40)), cache=cache)
        with Spy(1, 41) as spy:
            model(ph.Tokens(laws.random_ids(2, 1)), cache=cache)
    for _, args, kwargs in spy.calls:
        assert not any(isinstance(a, torch.Tensor) for a in args[3:]) and True not in args[3:], (
            "no mask, no top-left flag"
        )
        assert kwargs.get("attn_mask") is None and not kwargs.get("is_causal")
    assert len(spy.calls) == 2
    assert "no mask" in model.decoder.last_why["block"]


def test_a_window_reaches_the_band_by_itself_once_it_pays():
    model = specs.build(specs.DECODERS["pattern-window"], torch.float32)
    with torch.no_grad(), Spy(200) as spy:
        model(ph.Tokens(laws.random_ids(1, 200)))
    assert "banded" in model.decoder.last_why["block"] and not spy.square


FAR = {
    "global keys": (specs.TWO_SIDED["global_keys"], False),
    "global queries": (specs.TWO_SIDED["global_queries"], False),
    "longformer": (specs.TWO_SIDED["globals"], True),
    "bigbird": (specs.BLOCKS["block0_of_two"], False),
    "seeded blocks": (specs.BLOCKS["seeded_of_three"], False),
}


@pytest.mark.parametrize("name", FAR)
def test_a_few_tokens_that_see_far_keep_long_inputs_linear(name):
    """Forward and backward over 300 tokens build no 300 × 300 tensor, and give what the reference gives."""
    pattern, own = FAR[name]
    model = specs.build(specs.encoder(pattern=pattern, layers=1, global_heads=own))
    mark = torch.zeros(2, 300, dtype=torch.bool)
    mark[0, [0, 7, 150]], mark[1, 299] = True, True
    tokens = ph.Tokens(laws.random_ids(2, 300), mark=mark)
    expected, gradient = laws._answer(model.use("reference"), tokens, None)
    with Spy(300) as spy:
        out, grad = laws._answer(model.use("auto"), tokens, None)
    assert "banded" in model.encoder.last_why["block"] and not spy.square
    laws.close(out, expected, 1e-11, name)
    laws.close(grad, gradient, 1e-10, name)


def test_many_marked_tokens_are_no_band():
    model = specs.build(specs.encoder(pattern=specs.TWO_SIDED["globals"], layers=1))
    mark = torch.arange(200)[None] % 2 == 0
    model(ph.Tokens(laws.random_ids(1, 200), mark=mark))
    assert "sdpa" in model.encoder.last_why["block"]


# ---------------------------------------------------------------- compiled = eager

COMPILED = {
    "llama": specs.DECODERS["heads-grouped"],
    "gemma": specs.decoder(
        heads=specs.HEADS["softcap"], residual=specs.RESIDUALS["sandwich"], norm=specs.NORMS["rms_one_plus"]
    ),
    "local_full": specs.local_full(),
    "bert": specs.ENCODERS["head-mlm"],
    "t5": specs.SEQ2SEQS["t5"],
    "experts": specs.DECODERS["ffn-experts_groups"],
    "banded": specs.decoder(pattern=ph.Window(back=2)),
    "first": specs.DECODERS["residual-first"],
    "gpt_oss": specs.DECODERS["window-sinks"],
    "deepseek": specs.decoder(heads=specs.HEADS["latent_low_rank"], ffn=specs.FFNS["experts_groups"]),
    "deberta": specs.ENCODERS["content-disentangled"],
}


def compiled_equals_eager(spec, padded: bool = False, backend: str = "inductor", **more: torch.Tensor) -> None:
    model, length = specs.build(spec, torch.float32), 20
    tokens = ph.Tokens(laws.random_ids(2, length), **more)
    if padded:
        tokens = laws.pad([laws.random_ids(1, n, seed=n)[0] for n in (20, 11)], "left", length)
    source = laws.source_of(spec, 2)
    torch.compiler.reset()
    fast = torch.compile(model, fullgraph=True, backend=backend)
    results = []
    for run in (model, fast):
        model.zero_grad()
        out = run(tokens, source)
        out.square().mean().backward()
        grads = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        results.append((out.detach()[tokens.pos >= 0] if padded else out.detach(), grads))
    laws.close(results[1][0], results[0][0], 2e-5, "compiled forward")
    laws.close(results[1][1], results[0][1], 2e-5, "compiled backward")


def test_one_graph_forward_and_backward_equals_eager():
    """Traced and differentiated as for the compiler, which itself takes most of a minute on a machine that begins."""
    compiled_equals_eager(specs.decoder(layers=1), backend="aot_eager")


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
def test_compiled_equals_eager_forward_and_backward(name):
    compiled_equals_eager(COMPILED[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama", "experts", "t5"])
def test_compiled_equals_eager_with_padding(name):
    compiled_equals_eager(COMPILED[name], padded=True)


PACKED = {"window": ph.Window(back=1), "window or prefix": ph.Or(parts=(ph.Window(back=1), ph.Prefix()))}


@pytest.mark.parametrize("name", ["window or prefix", pytest.param("window", marks=pytest.mark.slow)])
def test_one_graph_for_packed_rows(name):
    """No spec is built or compared within it."""
    segment = (torch.arange(20) >= torch.tensor([[3], [9]])).long()
    compiled_equals_eager(specs.decoder(pattern=PACKED[name], layers=1), backend="aot_eager", segment=segment)


def test_one_graph_for_global_tokens():
    """Marks are not counted within it."""
    spec = specs.encoder(pattern=specs.TWO_SIDED["globals"], layers=1, global_heads=True)
    compiled_equals_eager(spec, backend="aot_eager", mark=torch.arange(20) == torch.tensor([[0], [7]]))


@pytest.mark.slow
def test_one_graph_draws_random_blocks():
    compiled_equals_eager(blocks(ph.BlockSparse(block=2, random=1)), backend="aot_eager")


@pytest.mark.slow
@pytest.mark.parametrize("name", FAR)
def test_compiled_equals_eager_for_tokens_that_see_far(name):
    pattern, own = FAR[name]
    mark = torch.arange(20) == torch.tensor([[0], [7]])
    compiled_equals_eager(specs.encoder(pattern=pattern, layers=1, global_heads=own), mark=mark)


def test_trap6_compiled_layers_decode_without_recompiling_at_every_step():
    """Slots and counters are planned outside the graph, so a layer is one full graph however far the cache has grown."""
    model = specs.build(specs.decoder(layers=1), torch.float32)
    ids, cache = laws.random_ids(2, 16), model.new_cache(2, 16)
    torch.compiler.reset()
    with torch.no_grad():
        full = model(ph.Tokens(ids))
        out = [model(ph.Tokens(ids[:, :6]), cache=cache)]
        graphs = CompileCounter()
        model.decoder.layers[0].compile(fullgraph=True, backend=graphs)
        out += [model(ph.Tokens(ids[:, i : i + 1]), cache=cache) for i in range(6, 16)]
    laws.close(torch.cat(out, 1), full, 2e-5)
    assert graphs.frame_count <= 2, f"{graphs.frame_count} graphs for 10 steps"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama", "local_full", "experts", "gpt_oss", "deepseek"])
def test_compiled_decode_steps_equal_the_eager_ones(name):
    model = specs.build(COMPILED[name], torch.float32)
    ids, cache = laws.random_ids(2, 12), model.new_cache(2, 12)
    torch.compiler.reset()
    with torch.no_grad():
        full = model(ph.Tokens(ids))
        out = [model(ph.Tokens(ids[:, :6]), cache=cache)]
        for layer in model.decoder.layers:
            layer.compile(fullgraph=True)
        out += [model(ph.Tokens(ids[:, i : i + 1]), cache=cache) for i in range(6, 12)]
    laws.close(torch.cat(out, 1), full, 2e-5)
