"""AXIS input: patches and frames against naive formulas, the grid's resize, counts, backends, refusals."""

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from polyhead import nn as ph
from polyhead.families import for_objective, override, with_context, with_vocab
from polyhead.nn.init import initialise
from polyhead.report.drawing import draw
from polyhead.train.optim import role

from ..conformance import laws, specs
from .peers import vision_spec
from .tiny import randn, same

IMAGE = {"image": 6, "patch": 2}


def seen(**options):
    return vision_spec({**IMAGE, **options.pop("image", {})}, width=16, **options)


def heard(bound=True, layers=1):
    """An encoder of frames with a decoder over it."""
    spec = specs.seq2seq(share=False, head=specs.OUTPUTS["lm"], relative=specs.RELATIVE["none"], layers=layers)
    position = ph.LearnedSpec(length=5) if bound else ph.SinusoidalSpec()
    embedding = ph.EmbeddingSpec(input=ph.Frames(channels=3), position=position)
    return spec.model_copy(update={"encoder": spec.encoder.model_copy(update={"embedding": embedding})})


def naive_patches(model, image):
    """One product per square, row by row, the class vector first."""
    e, side = model.encoder.embed, 2
    rows, columns = image.shape[1] // side, image.shape[2] // side
    out = [e.cls]
    for r in range(rows):
        for c in range(columns):
            square = image[:, r * side : (r + 1) * side, c * side : (c + 1) * side]
            out.append(e.patch.weight.flatten(1) @ square.flatten() + e.patch.bias)
    return torch.stack(out)


@torch.no_grad()
def test_patches_are_products_row_by_row_with_the_class_vector_first():
    model = specs.build(seen(embed_norm=True))
    image = randn(2, 3, 6, 6)
    e = model.encoder.embed
    x = e(ph.Tokens(signal=image), ph.At.of(ph.Tokens(signal=image), 10))
    same(x, torch.stack([e.norm(naive_patches(model, one) + e.position.weight) for one in image]))
    ragged = torch.nn.functional.pad(image, (0, 1, 0, 1), value=9.0)
    assert torch.equal(model(ph.Tokens(signal=ragged)), model(ph.Tokens(signal=image))), "a cut square is not read"


@torch.no_grad()
def test_a_stem_halves_the_image_with_each_convolution():
    """Against a convolution written out: padded by a pixel, each place the sum over its 3 × 3."""
    model = specs.build(seen(image={"image": 8, "patch": 4, "stem": (5, 7)}))
    e, image = model.encoder.embed, randn(1, 3, 8, 8)

    def halved(x, conv):
        padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
        places = [[torch.einsum("oikl,ikl->o", conv.weight, padded[0, :, r : r + 3, c : c + 3]) + conv.bias for c in range(0, x.shape[3], 2)] for r in range(0, x.shape[2], 2)]
        made = torch.stack([torch.stack(row, -1) for row in places], -2)
        return (0.5 * made * (1 + torch.erf(made / math.sqrt(2))))[None]

    made = halved(halved(image, e.stem[0]), e.stem[1])[0].flatten(1).T
    want = torch.cat([e.cls[None], made @ e.patch.weight.flatten(1).T + e.patch.bias]) + e.position.weight
    same(e(ph.Tokens(signal=image), ph.At.of(ph.Tokens(signal=image), 5))[0], want)
    ragged = torch.nn.functional.pad(image, (0, 3, 0, 1), value=9.0)
    assert torch.equal(model(ph.Tokens(signal=ragged)), model(ph.Tokens(signal=image))), "a cut square is not read"
    drawn = draw(model.spec)
    assert "gelu(conv1(pixels) + b)" in drawn and "gelu(conv2(x) + b)" in drawn


def test_a_product_per_place_is_a_matrix_for_the_optimizer():
    named = dict(seen(image={"image": 8, "patch": 4, "stem": (5, 7)}).build().named_parameters())
    assert {role(n, p) for n, p in named.items() if "embed" in n and n.endswith(("stem.0.weight", "stem.1.weight", "patch.weight"))} == {"embedding"}


@torch.no_grad()
def test_masked_patches_are_the_mask_vector_and_the_class_vector_stays():
    model = specs.build(seen(image={"mask_token": True}))
    e, image = model.encoder.embed, randn(1, 3, 6, 6)
    masked = torch.arange(9)[None] % 2 == 0
    tokens = ph.Tokens(signal=image, masked=masked)
    expected = naive_patches(model, image[0])
    expected[1:][masked[0]] = e.mask
    same(e(tokens, ph.At.of(tokens, 10))[0], expected + e.position.weight)


def cubic(t, a=-0.75):
    t = abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def stretched(line, n):
    """(side, D) → (n, D): cubic convolution at the centres of n cells, edges repeated."""
    out = []
    for i in range(n):
        centre = (i + 0.5) * len(line) / n - 0.5
        taps = range(math.floor(centre) - 1, math.floor(centre) + 3)
        out.append(sum(cubic(centre - j) * line[min(max(j, 0), len(line) - 1)] for j in taps))
    return torch.stack(out)


@torch.no_grad()
@pytest.mark.parametrize("rows, columns", [(5, 4), (2, 9), (3, 4)])
def test_another_size_stretches_the_square_of_positions_and_keeps_the_class_row(rows, columns):
    model = specs.build(seen(resize="bicubic"))
    position = model.encoder.embed.position
    table, square = position.table((rows, columns)), position.weight[1:].view(3, 3, 16)
    tall = torch.stack([stretched(square[:, c], rows) for c in range(3)], 1)
    wide = torch.stack([stretched(tall[r], columns) for r in range(rows)])
    same(table, torch.cat([position.weight[:1], wide.flatten(0, 1)]), 1e-12)
    assert position.table((3, 3)) is position.weight, "the own size is not touched"
    model(ph.Tokens(signal=randn(1, 3, 2 * rows, 2 * columns)))


@torch.no_grad()
def test_frames_are_two_convolutions_of_three_with_a_gelu_each_every_other_frame():
    model = specs.build(heard())
    e, sound = model.encoder.embed, randn(1, 3, 10)
    tokens = ph.Tokens(signal=sound)

    def convolved(x, layer, step):
        x = torch.nn.functional.pad(x, (1, 1))
        at = range(0, x.shape[1] - 2, step)
        y = [torch.einsum("dck,ck->d", layer.weight, x[:, t : t + 3]) + layer.bias for t in at]
        y = torch.stack(y, 1)
        return y * 0.5 * (1 + torch.erf(y / 2**0.5))

    expected = convolved(convolved(sound[0], e.conv1, 1), e.conv2, 2).T
    same(e(tokens, ph.At.of(tokens, 5))[0], expected + e.position.weight)


@torch.no_grad()
def test_a_decoder_over_frames_steps_as_it_runs_in_full():
    model, ids = specs.build(heard(bound=False)), laws.random_ids(2, 6)
    source = ph.Tokens(signal=randn(2, 3, 9))
    full = model(ph.Tokens(ids), source)
    laws.close(laws.in_chunks(model, ph.Tokens(ids), (2, 3, 5), source), full)
    with pytest.raises(ValueError, match="only token ids come step by step"):
        model.encoder.new_cache(1, 4)


@pytest.mark.parametrize("spec", [seen(), seen(image={"bias": False, "class_token": False, "mask_token": True}), seen(image={"stem": (5,)}), heard()])
def test_counts_are_true(spec):
    laws.law_params(spec)
    model, rows = specs.build(spec, torch.float32).use("reference"), 2
    crossed = spec.decoder is not None
    signal = torch.randn(rows, 3, 10) if crossed else torch.randn(rows, 3, 6, 6)
    tokens = ph.Tokens(laws.random_ids(rows, 4)) if crossed else ph.Tokens(signal=signal)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(tokens, ph.Tokens(signal=signal) if crossed else None)
    length = 4 if crossed else spec.encoder.embedding.input.positions
    assert counter.get_total_flops() == spec.flops(length, rows, 5 if crossed else None).total


@torch.no_grad()
@pytest.mark.slow
def test_one_graph_takes_images_of_any_size():
    model = specs.build(seen(resize="bicubic", head=specs.OUTPUTS["image"]), torch.float32)
    compiled = torch.compile(model, fullgraph=True, backend="eager")  # traced whole; no C++ compiler
    for height, width in ((6, 6), (8, 6), (12, 10)):
        tokens = ph.Tokens(signal=torch.randn(2, 3, height, width))
        laws.close(compiled(tokens), model(tokens), 1e-5)


@torch.no_grad()
@pytest.mark.parametrize("backend", ["sdpa", "banded"])
def test_backends_agree_and_images_do_not_meet(backend):
    model, image = specs.build(seen()), ph.Tokens(signal=randn(3, 3, 6, 6))
    expected = model.use("reference")(image)
    laws.close(model.use(backend)(image), expected, 1e-11)
    laws.close(model(ph.Tokens(signal=image.signal[1:2]))[0], expected[1])


def test_first_values_class_near_0_mask_0_and_every_one_set():
    for init in (ph.NormalInit(), ph.XavierInit(), ph.ZeroOutInit()):
        for spec in (seen(image={"mask_token": True}), heard()):
            model = spec.model_copy(update={"init": init}).build(seed=None)
            for p in model.parameters():
                p.data.fill_(float("nan"))
            initialise(model, 0)
            assert all(torch.isfinite(p).all() for p in model.parameters())
        e = seen(image={"mask_token": True}).model_copy(update={"init": init}).build(0).encoder.embed
        assert (e.mask == 0).all() and (e.patch.bias == 0).all() and 0 < e.cls.std() < 0.05
    bound = math.sqrt(6 / (12 + 16))  # a square of 2 × 2 × 3 values gives 16
    e = seen().model_copy(update={"init": ph.XavierInit()}).build(0).encoder.embed
    assert 0.9 * bound < e.patch.weight.abs().max() <= bound


def test_an_image_moves_every_parameter():
    model = specs.build(seen(head=ph.HeadSpec(task="image", pool="first_mean", output=3)))
    model(ph.Tokens(signal=randn(2, 3, 6, 6))).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


PIXELS = torch.zeros(1, 3, 6, 6)


@pytest.mark.parametrize(
    "tokens, message",
    [
        (ph.Tokens(torch.zeros(1, 4).long()), "reads a signal: .* got ids"),
        (ph.Tokens(torch.zeros(1, 4).long(), signal=PIXELS), "got ids beside a signal"),
        (ph.Tokens(signal=PIXELS, pos=torch.zeros(1, 10).long()), "got pos beside a signal"),
        (ph.Tokens(signal=PIXELS[:, :1]), r"expected \(B, 3, H, W\), got \(1, 1, 6, 6\)"),
        (ph.Tokens(signal=PIXELS[0]), "shape does not fit"),
        (ph.Tokens(signal=PIXELS[..., :1]), "at least one patch"),
        (ph.Tokens(signal=torch.zeros(1, 3, 8, 6)), "expected 3 × 3 patches, got 4 × 3; set resize"),
        (ph.Tokens(signal=PIXELS, masked=torch.ones(1, 9).bool()), "no mask vector"),
    ],
)
def test_what_a_vision_stack_cannot_read_is_told(tokens, message):
    with pytest.raises(ValueError, match=message):
        seen().build()(tokens)


def test_what_other_stacks_cannot_read_is_told():
    ids = torch.zeros(1, 4).long()
    with pytest.raises(ValueError, match="reads token ids"):
        specs.decoder().build()(ph.Tokens(signal=PIXELS))
    with pytest.raises(ValueError, match="only patches are masked"):
        specs.decoder().build()(ph.Tokens(ids, masked=ids.bool()))
    with pytest.raises(ValueError, match="expected 10 frames, got 9"):
        heard().build()(ph.Tokens(ids), ph.Tokens(signal=torch.zeros(1, 3, 9)))
    with pytest.raises(ValueError, match=r"expected \(1, 9\), got \(1, 8\)"):
        tokens = ph.Tokens(signal=PIXELS, masked=torch.ones(1, 8).bool())
        seen(image={"mask_token": True}).build()(tokens)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({}, "expected vocab"),
        ({"vocab": 5, "input": ph.Patches(**IMAGE)}, "expected no vocab"),
        ({"types": 2, "input": ph.Frames(channels=3)}, "expected no types"),
        ({"input": ph.Patches(**IMAGE), "position": ph.LearnedSpec(length=9)}, "10 rows: got 9"),
        ({"vocab": 5, "position": ph.LearnedSpec(length=9, resize="bicubic")}, "only positions of patches"),
    ],
)
def test_impossible_embeddings_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ph.EmbeddingSpec(**fields)
    with pytest.raises(ValueError, match="fit into the image"):
        ph.Patches(image=4, patch=5)
    with pytest.raises(ValueError, match="expected patch 8, got 4"):
        ph.Patches(image=8, patch=4, stem=(4, 8, 8))


def test_a_model_without_a_vocabulary_goes_through_what_changes_one():
    vision, speech = seen(), heard()
    assert vision.vocab is None and with_vocab(vision, 7) == vision
    assert with_context(vision, 5).encoder == vision.encoder
    changed = with_vocab(speech, 99)
    assert changed.vocab == changed.heads["out"].output == 99 and changed.encoder == speech.encoder
    assert override(vision, {"encoder.embedding.position.resize": "bicubic"}).encoder.embedding.position.resize == "bicubic"
    with pytest.raises(ValueError, match="needs a token table"):
        seen(head=ph.HeadSpec(output=5, tied=True))
    with pytest.raises(ValueError, match="two token tables"):
        ph.ModelSpec(**{**dict(speech), "share_embeddings": True})
    with pytest.raises(Exception, match="does not fit this architecture"):
        for_objective(vision, "masked")
    assert "pixels" in draw(vision) and "frames" in draw(speech)
    again = ph.ModelSpec.model_validate_json(vision.model_dump_json())
    assert again == vision
