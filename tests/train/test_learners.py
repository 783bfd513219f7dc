"""What rows, pairs and conversations are judged by, against numbers worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.data import open_source
from polyhead.errors import ConfigError
from polyhead.families import override, preset, with_vocab
from polyhead.nn import Batch, ModelSpec, Tokens, Transformer
from polyhead.train import Trainer, TrainingConfig
from polyhead.train.objectives import (
    AnswerSpec,
    ClassifySpec,
    ContrastSpec,
    ImageSpec,
    InstructSpec,
    ObjectiveSpec,
    PreferSpec,
    SimilarSpec,
    TagSpec,
)
from polyhead.train.objectives.base import Learner
from polyhead.train.objectives.choosing import fitting
from polyhead.train.trained import apply

from .tiny import config, gpt

SMALL = {"layers": 2, "width": 16, "blocks.layer.attention.heads.heads": 2, "blocks.layer.ffn.inner": 32}


def encoder(vocab: int = 30, **more: Any) -> ModelSpec:
    return override(with_vocab(preset("bert-base"), vocab), {f"encoder.{name}": value for name, value in SMALL.items()} | {"context": 16} | more)


def rows(*texts: list[int]) -> Tokens:
    """Padded on the right with zeros."""
    width = max(map(len, texts))
    ids = torch.tensor([text + [0] * (width - len(text)) for text in texts])
    pos = torch.tensor([[*range(len(text)), *[-1] * (width - len(text))] for text in texts])
    return Tokens(ids, pos=pos, padded=True)


def made(spec: ObjectiveSpec, model: ModelSpec, facts: dict[str, Any] | None = None, **config: Any) -> tuple[Transformer, Learner]:
    """The network, without dropout, and what judges it."""
    net = spec.spec(model, facts or {}).build(0).eval()
    return net, spec.learner(net, TrainingConfig(**config))


def sums(learner: Learner, batch: Batch) -> dict[str, float]:
    with torch.inference_mode():
        return {name: float(value) for name, value in learner.measure(batch).items()}


# ---------------------------------------------------------------- embeddings

SIX = rows([5, 6, 7], [8, 9], [10, 11, 12, 13], [14, 15], [16, 17, 18], [19])


@torch.no_grad()
def vectors(net: Transformer, tokens: Tokens) -> list[Tensor]:
    """Each row alone: the mean of its states, of unit length."""
    assert tokens.ids is not None and tokens.pos is not None
    found = []
    for ids, pos in zip(tokens.ids, tokens.pos, strict=True):
        states = net.hidden(Tokens(ids[pos >= 0].unsqueeze(0)))[0][0]
        found.append(states.mean(0) / states.mean(0).norm())
    return found


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_contrast_by_hand(temperature: float) -> None:
    """−log of the share of the own second among all seconds of the batch, cosines divided by the temperature."""
    net, learner = made(ContrastSpec(temperature=temperature), encoder())
    batch = Batch(SIX, torch.arange(3), torch.tensor([1.0, 0.5, 1.0]))
    total, more = learner.loss(batch)
    v = vectors(net, SIX)
    by_hand = 0.0
    for i, weight in enumerate((1.0, 0.5, 1.0)):
        shares = [math.exp(float(v[i] @ v[3 + j]) / temperature) for j in range(3)]
        by_hand -= weight * math.log(shares[i] / sum(shares))
    assert more is None and total.item() == pytest.approx(by_hand, rel=1e-4)
    found = sums(learner, batch)
    nearest = [max(range(3), key=lambda j, i=i: float(v[i] @ v[3 + j])) for i in range(3)]
    assert found["nats"] == pytest.approx(by_hand, rel=1e-4) and found["weight"] == 2.5
    assert found["right"] == sum(nearest[i] == i for i in range(3))
    total.backward()
    assert net.top.embed.token.grad is not None and (net.top.embed.token.grad[5:20].abs().sum(1) > 0).all()  # firsts and seconds


def test_a_text_and_its_own_copy_are_nearest() -> None:
    """Without dropout a text is its own partner: cosine 1."""
    assert SIX.ids is not None
    half = rows([5, 6, 7], [8, 9], [5, 6, 7], [8, 9])
    net, learner = made(ContrastSpec(), encoder())
    found = sums(learner, Batch(half, torch.arange(2), torch.ones(2)))
    a, b = vectors(net, half)[:2]
    assert learner.figures(found) == {"accuracy": 1.0}
    assert found["nats"] == pytest.approx(2 * math.log1p(math.exp((float(a @ b) - 1) / 0.05)), rel=1e-3)


SCORES = torch.tensor([0.9, 0.1, 0.5])


@pytest.mark.parametrize("scale", [20.0, 3.0])
def test_cosent_by_hand(scale: float) -> None:
    """log(1 + Σ exp(scale·(cos_i − cos_j))) over score_i < score_j."""
    net, learner = made(SimilarSpec(scale=scale), encoder())
    batch = Batch(SIX, SCORES, torch.ones(3))
    total, _ = learner.loss(batch)
    v = vectors(net, SIX)
    cos = [float(v[i] @ v[3 + i]) for i in range(3)]
    by_hand = math.log(1 + sum(math.exp(scale * (cos[i] - cos[j])) for i, j in ((1, 0), (1, 2), (2, 0))))
    assert total.item() / 3 == pytest.approx(by_hand, rel=1e-4)
    found = sums(learner, batch)
    assert found["nats"] / found["weight"] == pytest.approx(by_hand, rel=1e-4)
    wanted = torch.corrcoef(torch.stack([torch.tensor(cos), SCORES]))[0, 1]
    assert learner.figures(found) == {"pearson": pytest.approx(float(wanted), rel=1e-3)}
    total.backward()
    assert net.top.embed.token.grad is not None and (net.top.embed.token.grad[5:20].abs().sum(1) > 0).all()


def test_cosent_as_sentence_transformers_computes_it() -> None:
    losses = pytest.importorskip("sentence_transformers.losses")
    net, learner = made(SimilarSpec(), encoder())
    total, _ = learner.loss(Batch(SIX, SCORES, torch.ones(3)))
    v = torch.stack(vectors(net, SIX))
    theirs = losses.CoSENTLoss(torch.nn.Identity()).compute_loss_from_embeddings([v[:3], v[3:]], SCORES)
    assert total.item() / 3 == pytest.approx(float(theirs), rel=1e-4)


def test_scores_that_are_equal_or_alone_ask_for_nothing() -> None:
    _, learner = made(SimilarSpec(), encoder())
    for scores, weights in (([0.5, 0.5, 0.5], [1, 1, 1]), ([0.9, 0.1, 0.5], [1, 0, 0]), ([0.9, 0.1, 0.5], [0, 1, 0])):
        batch = Batch(SIX, torch.tensor(scores), torch.tensor(weights).float())
        total, _ = learner.loss(batch)
        total.backward()
        assert total.item() == 0 and learner.figures(sums(learner, batch)) == {}


def test_the_squared_error_of_cosines_by_hand() -> None:
    net, learner = made(SimilarSpec(loss="cosine"), encoder())
    weights = torch.tensor([1.0, 1.0, 0.5])
    total, _ = learner.loss(Batch(SIX, SCORES, weights))
    v = vectors(net, SIX)
    by_hand = sum(float(w) * (float(v[i] @ v[3 + i]) - float(s)) ** 2 for i, (s, w) in enumerate(zip(SCORES, weights, strict=True)))
    assert total.item() == pytest.approx(by_hand, rel=1e-4)


def test_scores_teach_what_embeds_and_are_numbers_to_others(tmp_path: Path) -> None:
    """A model whose first head gives vectors of whole texts; classes stay classes."""
    vectors_of, masked = ContrastSpec().spec(encoder(), {}), encoder()
    rows = {"scored": [{"sentence1": "a", "sentence2": "b", "score": 1.5}], "alone": [{"text": "a", "score": 1.5}], "classes": [{"sentence1": "a", "sentence2": "b", "label": "x"}]}
    for name, given in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in given * 3))
    for name, model, objective in (
        ("scored", vectors_of, "similar"), ("scored", masked, "classify"), ("alone", vectors_of, "classify"), ("classes", vectors_of, "classify"),
    ):  # fmt: skip
        assert fitting(model, open_source(tmp_path / f"{name}.jsonl", kind="labelled")) == objective
    with pytest.raises(ConfigError, match="learns from scores"):
        SimilarSpec().spec(encoder(), {"problem": "single", "labels": ["x"]})


# ---------------------------------------------------------------- classes, numbers


@torch.no_grad()
def each(net: Transformer, tokens: Tokens) -> list[Tensor]:
    """The logits of each row, computed alone, without padding."""
    assert tokens.ids is not None and tokens.pos is not None
    return [net(Tokens(ids[pos >= 0].unsqueeze(0)))[0] for ids, pos in zip(tokens.ids, tokens.pos, strict=True)]


def learns(total: Tensor, net: Transformer) -> None:
    """Gradients reach all parameters."""
    total.backward()
    still = {name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()}
    assert {name for name in still if not name.endswith("key.bias")} == set()  # a bias of keys changes no softmax


CLASSES = torch.tensor([0, 1, 2, 2, 1, 0])
WEIGHTS = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.5, 1.0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_one_class_by_hand(smoothing: float) -> None:
    """(1 − ε)·(−log p of the class) + ε·(the mean of −log p over all); held-out loss is never smoothed."""
    net, learner = made(ClassifySpec(), encoder(), {"problem": "single", "labels": ["a", "b", "c"]}, label_smoothing=smoothing)
    batch = Batch(SIX, CLASSES, WEIGHTS)
    total, _ = learner.loss(batch)
    nats = [-row.log_softmax(-1) for row in each(net, SIX)]
    smoothed = sum(w * ((1 - smoothing) * n[c] + smoothing * n.mean()) for n, c, w in zip(nats, CLASSES, WEIGHTS, strict=True))
    plain = sum(w * n[c] for n, c, w in zip(nats, CLASSES, WEIGHTS, strict=True))
    found = sums(learner, batch)
    assert total.item() == pytest.approx(float(smoothed), rel=1e-4) and found["nats"] == pytest.approx(float(plain), rel=1e-4)
    right = sum(int(n.argmin()) == int(c) for n, c, w in zip(nats, CLASSES, WEIGHTS, strict=True) if w)
    assert found["weight"] == 4.5 and found["answers"] == 5 and found["right"] == right
    assert learner.figures(found) == {"accuracy": right / 5}


def test_several_classes_by_hand() -> None:
    """The mean over classes of the binary cross-entropies."""
    net, learner = made(ClassifySpec(), encoder(), {"problem": "multi", "labels": ["a", "b", "c"]})
    wanted = F.one_hot(CLASSES, 3).float()
    wanted[0] = 0
    wanted[1] = 1
    batch = Batch(SIX, wanted, WEIGHTS)
    total, _ = learner.loss(batch)
    by_hand, right = 0.0, 0
    for row, want, weight in zip(each(net, SIX), wanted, WEIGHTS, strict=True):
        p = row.sigmoid()
        by_hand += float(weight * -torch.where(want > 0, p.log(), (1 - p).log()).sum() / 3)
        right += int(((p > 0.5) == (want > 0)).sum()) if weight else 0
    found = sums(learner, batch)
    assert total.item() == pytest.approx(by_hand, rel=1e-4) == found["nats"]
    assert found["right"] == right and found["answers"] == 15


def test_a_number_by_hand() -> None:
    net, learner = made(ClassifySpec(), encoder(), {"problem": "number", "labels": None})
    wanted = torch.tensor([0.5, -1.0, 2.0, 3.0, 0.0, 1.0])
    batch = Batch(SIX, wanted, WEIGHTS)
    total, _ = learner.loss(batch)
    by_hand = sum(float(w) * (float(row) - float(y)) ** 2 for row, y, w in zip(each(net, SIX), wanted, WEIGHTS, strict=True))
    found = sums(learner, batch)
    assert total.item() == pytest.approx(by_hand, rel=1e-4) == found["nats"] and learner.figures(found) == {}
    learns(total, net)


# ---------------------------------------------------------------- tags, answers


def test_tags_by_hand() -> None:
    """Only weighted places count, whatever stands beside them."""
    net, learner = made(TagSpec(), encoder(), {"labels": ["O", "B", "I"]})
    wanted, weights = torch.zeros(6, 4, dtype=torch.long), torch.zeros(6, 4)
    for i, j, tag in ((0, 0, 1), (0, 2, 2), (2, 1, 1), (2, 3, 0)):
        wanted[i, j], weights[i, j] = tag, 1
    total, _ = learner.loss(Batch(SIX, wanted, weights))
    logits = each(net, SIX)
    nats = [-logits[i][j].log_softmax(-1) for i, j in ((0, 0), (0, 2), (2, 1), (2, 3))]
    by_hand = sum(float(n[tag]) for n, tag in zip(nats, (1, 2, 1, 0), strict=True))
    other = torch.where(weights > 0, wanted, 2)
    for targets in (wanted, other):
        found = sums(learner, Batch(SIX, targets, weights))
        assert found["nats"] == pytest.approx(by_hand, rel=1e-4) == learner.loss(Batch(SIX, targets, weights))[0].item()
        assert found["weight"] == 4 and found["right"] == sum(int(n.argmin()) == tag for n, tag in zip(nats, (1, 2, 1, 0), strict=True))
    learns(total, net)


def test_answers_by_hand() -> None:
    """The mean of both ends' cross-entropies over a row's own places; no answer: both at the first."""
    net, learner = made(AnswerSpec(), encoder())
    wanted = torch.tensor([[1, 2], [0, 0], [2, 3], [1, 1], [0, 2], [0, 0]])
    batch = Batch(SIX, wanted, WEIGHTS)
    total, _ = learner.loss(batch)
    by_hand, right = 0.0, 0
    for row, (begin, end), weight in zip(each(net, SIX), wanted.tolist(), WEIGHTS, strict=True):
        first, last = (-row.log_softmax(0)).unbind(-1)  # over the row's own places alone: padding has no share
        by_hand += float(weight * (first[begin] + last[end]) / 2)
        right += int(weight > 0 and (int(first.argmin()), int(last.argmin())) == (begin, end))
    found = sums(learner, batch)
    assert total.item() == pytest.approx(by_hand, rel=1e-4) == found["nats"]
    assert found["right"] == right and learner.figures(found) == {"exact": right / 4.5}
    alone = Batch(rows([19], [19, 5]), torch.tensor([[0, 0], [0, 0]]), torch.tensor([1.0, 0.0]))
    assert sums(learner, alone)["nats"] == pytest.approx(0, abs=1e-6)  # one place alone: nothing else is possible
    learns(total, net)


# ---------------------------------------------------------------- pictures


def test_pictures_by_hand_and_shares_of_mixed_ones() -> None:
    small = override(preset("vit-nano"), {"encoder.layers": 1, "encoder.width": 16, "encoder.blocks.layer.attention.heads.heads": 2})
    facts = {"size": (8, 8), "channels": 1, "labels": ["a", "b", "c"]}
    net, learner = made(ImageSpec(), small, facts, label_smoothing=0.1)
    pixels = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        nats = [-net(Tokens(signal=one.unsqueeze(0)))[0].log_softmax(-1) for one in pixels]
    shares, weights = torch.tensor([[0.3, 0.7, 0.0], [0.0, 0.0, 1.0], [0.5, 0.0, 0.5]]), torch.tensor([1.0, 0.5, 1.0])
    total, _ = learner.loss(Batch(Tokens(signal=pixels), shares, weights))
    by_hand = sum(float(w * (0.9 * (q * n).sum() + 0.1 * n.mean())) for n, q, w in zip(nats, shares, weights, strict=True))
    assert total.item() == pytest.approx(by_hand, rel=1e-4)
    found = sums(learner, Batch(Tokens(signal=pixels), torch.tensor([1, 2, 0]), weights))
    assert found["nats"] == pytest.approx(sum(float(w * n[c]) for n, c, w in zip(nats, (1, 2, 0), weights, strict=True)), rel=1e-4)
    assert found["right"] == sum(int(n.argmin()) == c for n, c in zip(nats, (1, 2, 0), strict=True))
    learns(total, net)


# ---------------------------------------------------------------- conversations, preferences


def spoken() -> Batch:
    """Two chosen answers and two rejected ones to the same prompts; weight where the assistant speaks."""
    ids = torch.tensor([[7, 8, 20, 21, 22], [7, 9, 10, 23, 24], [7, 8, 30, 31, 32], [7, 9, 10, 33, 34]])
    weights = torch.tensor([[0, 1, 1, 1], [0, 0, 1, 1], [0, 1, 1, 0], [0, 0, 1, 1]]).float()
    return Batch(Tokens(ids[:, :-1]), ids[:, 1:], weights)


@torch.no_grad()
def told(net: Transformer, batch: Batch) -> list[float]:
    """log p of what is weighted, of each row."""
    logs = net(batch.inputs).log_softmax(-1)
    return [sum(float(logs[i, j, batch.targets[i, j]]) for j in range(4) if batch.weights[i, j]) for i in range(4)]


def test_only_what_the_assistant_says_is_learnt() -> None:
    net, learner = made(InstructSpec(), gpt())
    batch = spoken()
    total, _ = learner.loss(batch)
    assert total.item() == pytest.approx(-sum(told(net, batch)), rel=1e-4) and sums(learner, batch)["weight"] == 9
    asked = batch._replace(targets=torch.where(batch.weights > 0, batch.targets, 99))
    assert learner.loss(asked)[0].item() == total.item()


@pytest.mark.parametrize(("beta", "smoothing"), [(0.1, 0.0), (0.5, 0.1)])
def test_preferences_by_hand(beta: float, smoothing: float) -> None:
    """DPO eq. 7: −log σ(β·((log π − log ref)(chosen) − (log π − log ref)(rejected))); the reference is the start."""
    net, learner = made(PreferSpec(beta=beta, smoothing=smoothing), gpt())
    batch, ref = spoken(), gpt().build(0).eval()
    assert learner.loss(batch)[0].item() == pytest.approx(2 * math.log(2), rel=1e-5)  # nothing gained yet
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(i)))
    ours, theirs = told(net, batch), told(ref, batch)
    gaps = [beta * ((ours[i] - theirs[i]) - (ours[i + 2] - theirs[i + 2])) for i in (0, 1)]
    by_hand = sum((1 - smoothing) * math.log1p(math.exp(-g)) + smoothing * math.log1p(math.exp(g)) for g in gaps)
    total, _ = learner.loss(batch)
    found = sums(learner, batch)
    assert total.item() == pytest.approx(by_hand, rel=1e-3) and found["nats"] == pytest.approx(by_hand, rel=1e-3)
    assert learner.weight(batch).tolist() == [1, 1] and found["weight"] == 2
    figures = learner.figures(found)
    assert figures["accuracy"] == sum(g > 0 for g in gaps) / 2 and figures["margin"] == pytest.approx(sum(gaps) / 2, rel=1e-3)
    learns(total, net)
    assert all(p.grad is None for p in learner.reference.parameters())  # type: ignore[attr-defined]


@pytest.mark.parametrize("trained", [{"kind": "all"}, {"kind": "lora", "rank": 2}])
def test_the_reference_stays_where_the_run_began(trained: dict[str, Any]) -> None:
    """Also beside adapters, which it has copies of."""
    settings = config(trained=trained, objective={"kind": "prefer"}, optimizer={"kind": "adamw", "lr": 0.05})
    net, start, batch = gpt().build(0), gpt().build(0).eval(), spoken()
    apply(settings.trained, net, 0)
    trainer = Trainer(net, settings, seed=0)
    losses = [trainer.step([batch], step).loss for step in range(6)]
    reference = trainer.learner.reference.eval()  # type: ignore[attr-defined]
    assert losses[0] == pytest.approx(math.log(2), rel=1e-4) and losses[-1] < 0.6
    assert told(reference, batch) == pytest.approx(told(start, batch), rel=1e-5)
    assert told(net.eval(), batch) != pytest.approx(told(start, batch), rel=1e-2)
