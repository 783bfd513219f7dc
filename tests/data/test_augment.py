"""Pictures on their way into a batch: normalised, and changed as a function of (seed, epoch, picture)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from polyhead.data import Augment, Loader, Pictures, open_source
from polyhead.data.images import pixels, read_images
from polyhead.data.objectives.pictures import NOTHING, beta, hidden, shifted
from polyhead.data.order import noise
from polyhead.errors import ConfigError, DataError
from tests.data.in_memory import chats_of, pictures_of

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 6, 5, 3), dtype=np.uint8)
KEYS = noise(np.arange(20_000, dtype=np.uint64))


def data(augment: Augment = NOTHING, **options) -> Pictures:
    return Pictures(pictures_of(IMAGES, [i % 4 for i in range(40)], "abcd"), augment, **options)


def test_pixels_are_normalised_by_the_sets_own_numbers() -> None:
    batch = data().make(np.arange(40), 0, 0)
    assert batch.inputs.signal.shape == (40, 3, 6, 5) and batch.inputs.signal.dtype == torch.float32 and batch.inputs.ids is None
    assert torch.allclose(batch.inputs.signal.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(batch.inputs.signal.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5)
    assert batch.targets.tolist() == [i % 4 for i in range(40)] and batch.weights.tolist() == [1] * 40
    expected = (IMAGES[7].transpose(2, 0, 1) / 255 - np.array([0.5] * 3)[:, None, None]) / 0.25
    given = data(mean=(0.5,) * 3, std=(0.25,) * 3).make(np.array([7]), 0, 0)
    assert torch.allclose(given.inputs.signal[0], torch.from_numpy(expected.astype(np.float32)), atol=1e-6)


def test_a_trained_model_is_shown_the_same_pixels() -> None:
    pytest.importorskip("PIL")
    one = data()
    shown = pixels([IMAGES[3]], read_images(one.preprocessor()))
    assert torch.allclose(shown, one.make(np.array([3]), 0, 0).inputs.signal, atol=1e-5)


def test_shifts_are_uniform_and_black_outside() -> None:
    image = np.arange(1, 10, dtype=np.uint8).reshape(1, 3, 3, 1)
    out = shifted(np.repeat(image, len(KEYS), 0), KEYS, 1, False)[..., 0]
    kinds, counts = np.unique(out.reshape(len(out), -1), axis=0, return_counts=True)
    wide = np.pad(image[0, ..., 0], 1)
    expected = {wide[y : y + 3, x : x + 3].tobytes() for y in range(3) for x in range(3)}
    assert {kind.astype(np.uint8).tobytes() for kind in kinds} == expected
    assert np.abs(counts - len(KEYS) / 9).max() < 4 * np.sqrt(len(KEYS) * 8 / 81)


def test_half_of_the_pictures_are_mirrored() -> None:
    image = np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1)
    out = shifted(np.repeat(image, len(KEYS), 0), KEYS, 0, True)
    mirrored = (out == image[:, :, ::-1]).all((1, 2, 3))
    assert ((out == image).all((1, 2, 3)) ^ mirrored).all()
    assert abs(mirrored.mean() - 0.5) < 3 * 0.5 / np.sqrt(len(KEYS))


def test_a_square_is_hidden_anywhere() -> None:
    cut = hidden(KEYS, (5, 4), 3)
    assert cut.sum((1, 2)).max() == 9 and cut.sum((1, 2)).min() == 4 and cut.any(0).all()
    batch = data(Augment(cutout=2)).make(np.arange(40), 0, 0)
    zero = (batch.inputs.signal == 0).all(1)
    assert zero.any((1, 2)).all() and zero.sum((1, 2)).max() <= 4


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0])
def test_the_share_of_mixup_has_its_distribution(alpha: float) -> None:
    """Moments of Beta(α, α): mean 1/2, variance 1/(4(2α + 1)); and the share below 1/2 is one half."""
    found = beta(KEYS, alpha)
    variance = 1 / (4 * (2 * alpha + 1))
    assert found.min() >= 0 and found.max() <= 1
    assert abs(found.mean() - 0.5) < 3 * np.sqrt(variance / len(KEYS))
    assert abs(found.var() - variance) < 3 * np.sqrt(1 / 16 / len(KEYS)) and abs((found < 0.5).mean() - 0.5) < 0.011
    if alpha == 1.0:
        assert np.abs(np.sort(found) - (np.arange(len(KEYS)) + 0.5) / len(KEYS)).max() < 1.63 / np.sqrt(len(KEYS))


def test_mixed_pictures_and_their_classes() -> None:
    mixed = data(Augment(mixup=1.0)).make(np.arange(40), 3, 1)
    assert mixed.targets.shape == (40, 4) and torch.allclose(mixed.targets.sum(1), torch.ones(40))
    plain = data().make(np.arange(40), 0, 0).inputs.signal
    share = mixed.targets[torch.arange(40), torch.arange(40) % 4]
    for i in range(40):  # (mixed − λ·own) / (1 − λ) is one of the pictures, of the class with the other share
        if share[i] < 0.9:
            rest = (mixed.inputs.signal[i] - share[i] * plain[i]) / (1 - share[i])
            near = (plain - rest).abs().amax((1, 2, 3))
            assert near.min() < 1e-3 and mixed.targets[i, int(near.argmin()) % 4] > 0


def test_changes_are_a_function_of_seed_epoch_and_picture() -> None:
    one = data(Augment(2, True, 2, 0.4))
    whole = one.make(np.arange(40), 5, 9)
    part = one.make(np.array([17, 3]), 5, 9)
    assert torch.equal(part.inputs.signal, whole.inputs.signal[[17, 3]]) and torch.equal(part.targets, whole.targets[[17, 3]])
    several = one.make(np.array([3, 3]), np.array([5, 6]), 9)
    assert torch.equal(several.inputs.signal[0], whole.inputs.signal[3]) and not torch.equal(*several.inputs.signal)
    assert not torch.equal(one.make(np.arange(40), 5, 10).inputs.signal, whole.inputs.signal)
    again = Loader(one, batch=8, seed=2)
    halves = torch.cat([again.batch_at(7, micro, 2).inputs.signal for micro in range(2)])
    assert torch.equal(halves, Loader(one, batch=8, seed=2).batch_at(7).inputs.signal)


def test_evaluation_changes_nothing_and_counts_each_once() -> None:
    one = data(Augment(2, True, 2, 0.4), mean=(0.5,) * 3, std=(0.5,) * 3)
    batches = list(one.evaluation(16))
    assert [len(batch.targets) for batch in batches] == [16, 16, 8] and batches[0].targets.dtype == torch.long
    plain = data(mean=(0.5,) * 3, std=(0.5,) * 3).make(np.arange(40), 0, 0).inputs.signal
    assert torch.equal(torch.cat([batch.inputs.signal for batch in batches]), plain)
    shared = [batch for rank in range(2) for batch in one.evaluation(16, rank=rank, world=2)]
    assert sum(len(batch.targets) for batch in shared) == 40


def test_what_is_refused() -> None:
    with pytest.raises(DataError, match="holds chat"):
        Pictures(chats_of([([10], [1])]))
    for augment in (Augment(crop=-1), Augment(crop=9), Augment(cutout=99), Augment(mixup=2.0)):
        with pytest.raises(ConfigError):
            data(augment)
    for options in ({"mean": (0.5,)}, {"std": (1.0, 1.0, 0.0)}):
        with pytest.raises(ConfigError, match="of the channels"):
            data(**options)
    with pytest.raises(DataError, match="smaller than one batch"):
        Loader(data(), batch=41, seed=0)


@pytest.mark.skipif("PH_DATA" not in os.environ, reason="PH_DATA names the folder with the public sets")
def test_the_published_constants_of_fashion_mnist() -> None:
    source = open_source(Path(os.environ["PH_DATA"], "fashion_mnist"))
    images = np.stack([record.image for record in source.examples()])[..., None]
    made = Pictures(pictures_of(images, [0] * len(images), "a"))
    assert abs(made.mean[0] - 0.2860) < 5e-5 and abs(made.std[0] - 0.3530) < 5e-5
