"""Folders of sentence-transformers, each compared with the package itself: what it wrote is read, what we write it reads."""

from __future__ import annotations

import string
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

import polyhead as ph
from polyhead.families import override

pytest.importorskip("transformers")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="needs sentence-transformers")]  # seconds to import

TEXTS = ["The cat sees the sea.", "A Small Dog", "x" * 200, ""]
SMALL = {"encoder.width": 32, "encoder.layers": 2, "encoder.blocks.layer.attention.heads.heads": 4,
         "encoder.blocks.layer.ffn.inner": 48, "context": 64, "heads.pooler.dense": 32}  # fmt: skip
KINDS = ["cls", "max, mean", "two layers", "weighted"]


def letters(folder: Path) -> ph.Tokenizer:
    """BERT's, of letters."""
    pieces = [start + letter for start in ("", "##") for letter in string.ascii_lowercase + ".:"]
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces]) + "\n")
    return ph.Tokenizer.load(folder / "vocab.txt")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with a tokenizer, as transformers opens it."""
    folder = tmp_path_factory.mktemp("bert")
    tokenizer = letters(folder)
    spec = override(ph.preset("bert-base"), {**SMALL, "encoder.embedding.vocab": tokenizer.vocab_size})
    ph.Model(spec.build(seed=0), tokenizer).save(folder, to="hf")
    return folder


def modules(kind: str) -> tuple[list, dict]:
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling

    if kind == "two layers":
        out = [Pooling(32, "mean"), Dense(32, 40, activation_function=torch.nn.GELU()),
               Dense(40, 24, bias=False, activation_function=torch.nn.Identity()), Normalize()]  # fmt: skip
        return out, {"prompts": {"query": "find: "}, "default_prompt_name": "query"}
    pools = {"cls": "cls", "max, mean": ["max", "mean"], "weighted": ["weightedmean", "lasttoken", "mean_sqrt_len_tokens"]}
    return [Pooling(32, pools[kind])], {"prompts": {"query": "find: "}} | ({"truncate_dim": 7} if kind == "cls" else {})


@pytest.mark.parametrize("kind", KINDS)
def test_both_ways(bare: Path, tmp_path: Path, kind: str) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Transformer

    torch.manual_seed(0)
    rest, facts = modules(kind)
    theirs = SentenceTransformer(modules=[Transformer(str(bare), max_seq_length=12), *rest], device="cpu", **facts)
    theirs.save(str(tmp_path / "theirs"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the text that is cut
        ours = ph.load(tmp_path / "theirs")
        ours.save(tmp_path / "ours", to="hf")
        again = SentenceTransformer(str(tmp_path / "ours"), device="cpu")
        for prompt in (None, "query"):
            expected = theirs.encode(TEXTS, prompt_name=prompt, convert_to_tensor=True)
            assert (ours.embed(TEXTS, prompt=prompt) - expected).abs().max() < 1e-6
            assert (again.encode(TEXTS, prompt_name=prompt, convert_to_tensor=True) - expected).abs().max() < 1e-6


def test_embedding_gemma(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    tokenizer = letters(tmp_path)
    spec = override(ph.preset("embeddinggemma-300m"), {
        "encoder.width": 48, "encoder.layers": 3, "encoder.layout": ["sliding", "sliding", "full"], "encoder.embedding.vocab": tokenizer.vocab_size,
        "encoder.embedding.scale": 48**0.5, "context": 64, "heads.embed.dense": 48, "heads.embed.output": 24,
        **{f"encoder.blocks.{kind}.{key}": value for kind in ("sliding", "full") for key, value in
           {"ffn.inner": 40, "attention.heads.head_dim": 16}.items()},
        "encoder.blocks.sliding.attention.pattern": {"kind": "window", "back": 3, "ahead": 3},
    })  # fmt: skip
    ours = ph.Model(spec.build(seed=0), tokenizer)
    ours.save(tmp_path / "out", to="hf")
    theirs = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    assert [type(module).__name__ for module in theirs] == ["Transformer", "Pooling", "Dense", "Dense", "Normalize"]
    expected = theirs.encode(TEXTS[:2], convert_to_tensor=True)
    assert (ours.embed(TEXTS[:2]) - expected).abs().max() < 1e-6
    assert (ph.load(tmp_path / "out").embed(TEXTS[:2]) - expected).abs().max() < 1e-6
