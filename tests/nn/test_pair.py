"""Two towers: unit vectors, the learned scale, what must fit, counts, JSON."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from polyhead import nn as ph

from ..conformance import laws, specs
from .peers import vision_spec
from .tiny import randn, same

SEEN = {"task": "embed", "pool": "first", "output": 5}
READ = {"task": "embed", "pool": "last", "output": 5}


def image(**head):
    return vision_spec({"image": 6, "patch": 2}, width=16, head=ph.HeadSpec(**{**SEEN, **head}))


def text(**head):
    return specs.decoder(head=ph.HeadSpec(**{**READ, **head}))


def pair():
    return ph.PairSpec(image=image(), text=text())


def test_logits_are_scaled_cosines_of_every_text_with_every_image():
    model = pair().build(0).double()
    model.logit_scale.data.fill_(0.7)
    ids, pixels = ph.Tokens(laws.random_ids(3, 4)), ph.Tokens(signal=randn(2, 3, 6, 6))
    t, i = model.text(ids).detach(), model.image(pixels).detach()
    cosines = torch.tensor([[torch.cosine_similarity(a, b, 0) for b in i] for a in t]).double()
    same(model(ids, pixels), torch.tensor(0.7).double().exp() * cosines, 1e-7)
    assert model(ids, pixels).shape == (3, 2)


def test_the_scale_starts_at_ln_of_1_over_7_hundredths_and_the_towers_differ():
    spec = ph.PairSpec(image=image(), text=text())
    model = spec.build(0)
    assert abs(model.logit_scale.exp().item() - 1 / 0.07) < 1e-2
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert sum(p.numel() for p in model.parameters()) == spec.params().total


@torch.no_grad()
def test_counts_are_true():
    spec = pair()
    model = spec.build(0).eval()
    for tower in (model.image, model.text):
        tower.use("reference")
    with FlopCounterMode(display=False) as counter:
        model(ph.Tokens(laws.random_ids(3, 4)), ph.Tokens(signal=torch.randn(2, 3, 6, 6)))
    assert counter.get_total_flops() == spec.flops(4, images=2, texts=3).total


def test_json_in_and_out():
    assert ph.PairSpec.model_validate_json(pair().model_dump_json()) == pair()
    with pytest.raises(ValueError, match="extra"):
        ph.PairSpec(image=image(), text=text(), colour="red")


@pytest.mark.parametrize(
    "towers, message",
    [
        ({"image": text(), "text": text()}, "the image tower reads images"),
        ({"image": image(), "text": image()}, "the text tower reads texts"),
        ({"image": image(), "text": text(output=6)}, "one width: got 5 and 6"),
        ({"image": image(), "text": text(pool="none")}, "one vector per row"),
        ({"image": image(), "text": specs.seq2seq(head=ph.HeadSpec(**READ))}, "one stack"),
    ],
)
def test_towers_that_do_not_meet_are_refused(towers, message):
    with pytest.raises(ValueError, match=message):
        ph.PairSpec(**towers)
