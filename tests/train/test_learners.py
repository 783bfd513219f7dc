"""What rows, pairs and conversations are judged by, against numbers worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from polyhead.data import open_source
from polyhead.errors import ConfigError
from polyhead.families import override, preset, with_vocab
from polyhead.nn import Batch, ModelSpec, Tokens, Transformer
from polyhead.train import TrainingConfig
from polyhead.train.objectives import ContrastSpec, ObjectiveSpec, SimilarSpec
from polyhead.train.objectives.base import Learner
from polyhead.train.objectives.choosing import fitting

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
