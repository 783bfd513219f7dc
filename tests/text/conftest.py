"""One small corpus, and a tokenizer of every kind and option trained on it once."""

from __future__ import annotations

import warnings

import pytest

from polyhead.text import SmallCorpusWarning, Tokenizer

LINES = (
    "The lamp in the harbour was lit before the evening boats came home.",
    "Nobody in the harbour asked who had lit the lamp; nobody had to.",
    "  It doesn't matter, said Anna — “it burns,” and that's what a lamp is for.",
    "Das Licht im Hafen brannte früher als die Boote; niemand fragte danach.",
    "x = [i * 2 for i in range(10)]  # <b>bold</b> and <i>italic</i>",
    "灯台の灯は毎晩ともる。\tOne, two; three: 4 5 6 7 8 9!",
)
CORPUS = "\n".join(LINES * 40) + "\n"

VARIANTS = {
    "words": ("words", 80, {}),
    "words-spaces": ("words", 70, {"split": "spaces"}),
    "words-lines": ("words", 71, {"split": "lines"}),
    "chars": ("chars", None, {}),
    "chars-bytes": ("chars", None, {"byte_fallback": True}),
    "bytes": ("bytes", None, {}),
    "byte_bpe": ("byte_bpe", 400, {}),
    "byte_bpe-whole": ("byte_bpe", 400, {"pretokenize": False}),
    "bpe": ("bpe", 260, {}),
    "wordpiece": ("wordpiece", 260, {}),
    "wordpiece-lower": ("wordpiece", 250, {"lowercase": True}),
    "unigram": ("unigram", 240, {}),
    "sentencepiece": ("sentencepiece", 480, {}),
    "sentencepiece-bpe": ("sentencepiece", 480, {"backend": "bpe"}),
}
LOSSLESS = {"chars-bytes", "bytes", "byte_bpe", "byte_bpe-whole", "sentencepiece", "sentencepiece-bpe"}


def make(name: str, texts: object = (CORPUS,)) -> Tokenizer:
    kind, size, options = VARIANTS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SmallCorpusWarning)
        return Tokenizer.train(texts, kind, size, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def trained() -> dict[str, Tokenizer]:
    return {name: make(name) for name in VARIANTS}


@pytest.fixture(params=VARIANTS)
def tokenizer(request: pytest.FixtureRequest, trained: dict[str, Tokenizer]) -> Tokenizer:
    return trained[request.param]


@pytest.fixture(params=sorted(LOSSLESS))
def lossless(request: pytest.FixtureRequest, trained: dict[str, Tokenizer]) -> Tokenizer:
    return trained[request.param]
