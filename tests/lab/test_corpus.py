"""The trained claims' text is the demo's, and its pieces are where they should be."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import torch

from polyhead.data.library import select
from polyhead.lab.corpus import OTHER, VOCAB, corpus, decode, encode, spread, windows


def test_the_text_is_the_demos_in_two_parts_that_share_no_module() -> None:
    text = corpus()
    modules = [source for _, source in select(Path(sysconfig.get_path("stdlib")), 500_000)]
    assert text.modules == len(modules) and len(text.fingerprint) == 64
    assert decode(text.held) == "\n".join(modules[9::10]).translate({ord(c): "�" for c in set("".join(modules)) if encode(c)[0] == OTHER})
    assert len(text.train) > 4 * len(text.held) > 40_000 and int(text.train.max()) < VOCAB
    assert 2.5 < text.unigram < 3.6, "nats per character"


def test_characters_are_ids_and_back() -> None:
    assert decode(encode("def f(x):\n  ~")) == "def f(x):\n  ~" and decode(encode("é\t")) == "��"


def test_windows_are_drawn_from_everywhere_and_spread_from_end_to_end() -> None:
    ids = torch.arange(10)
    drawn = windows(ids, 500, 4, torch.Generator().manual_seed(0))
    assert drawn.shape == (500, 4) and set(drawn[:, 0].tolist()) == set(range(7)) and (drawn.diff(dim=1) == 1).all()
    assert spread(ids, 3, 4)[:, 0].tolist() == [0, 3, 6]
