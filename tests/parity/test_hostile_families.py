"""Configs of every family, damaged at random (H33 to H50): a user's error that names the folder, at once, or a model."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import polyhead as ph
from polyhead.errors import UserError

from ..swift import swift
from .cases import Case
from .reference import Made
from .test_round_trip import copy_folder

VALUES = [0, -1, 10**12, 2**31, "12", True, None, [], {}, float("nan"), float("inf"), 1e300, 1e-400, "os.system", [3], [None], ["x"], {"a": 1}, 1.5, [10**12] * 3]
NAMES = ["bert_mlm", "deberta_mlm", "longformer_mlm", "bigbird_45", "modernbert_mlm", "opt_pre", "falcon_40b", "gemma3_lm", "phi3_long", "gpt_oss_lm",
         "deepseek_v3", "t5_v1_1", "led_lm", "whisper_lm", "dinov2_classify", "clip_pair"]  # fmt: skip


def places(config: dict[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key, and those inside."""
    for key, value in config.items():
        yield (*before, key)
        if isinstance(value, dict):
            yield from places(value, (*before, key))


def damaged(text: str, place: tuple[str, ...], value: Any) -> str:
    config = part = json.loads(text)
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    return json.dumps(config)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # ids that a vocabulary lacks are left out
@pytest.mark.parametrize("name", NAMES)
def test_random_damage_to_a_config_of_any_family(name: str, made: Callable[[Case | str], Made], tmp_path: Path) -> None:
    folder = copy_folder(made(name).folder, tmp_path / "damaged")
    text, draw = (folder / "config.json").read_text(), random.Random(zlib.crc32(name.encode()))
    every, refused = list(places(json.loads(text))), 0
    for _ in range(60):
        (folder / "config.json").write_text(damaged(text, draw.choice(every), draw.choice(VALUES)))
        try:
            with swift():
                ph.load(folder)
        except UserError as error:
            refused += 1
            assert str(folder) in str(error)
    assert refused > 5
