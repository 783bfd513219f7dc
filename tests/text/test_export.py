"""Saved tokenizers open in transformers, 5 and 4.57, with the same ids, special tokens, pairs and text."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from polyhead.text import ROLES, Tokenizer
from tests.text.conftest import VARIANTS
from tests.text.models import BPE, HEAD, UNIGRAM, USER, WORDS, folder, model
from tests.text.opened import TEXTS, describe
from tests.text.test_old_files import BERT, GPT2, ROBERTA
from tests.text.test_wrap import BERT as BERT_FRAME

SYMBOLS = model([*HEAD, *WORDS, ("<tag>", 0.0, USER), ("▁▁", 0.0, USER), ("it", 0.0, USER)], collapse=False, prefix=False)
OLD = {
    "bert": ({"vocab.txt": BERT}, "BertTokenizer", {"model_max_length": 512}),
    "cased": ({"vocab.txt": BERT}, "ElectraTokenizer", {"do_lower_case": False}),
    "distilbert": ({"vocab.txt": BERT}, "DistilBertTokenizer", {}),
    "gpt2": (GPT2, "GPT2Tokenizer", {}),
    "opt": (ROBERTA, "GPT2Tokenizer", {"add_bos_token": True, "bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>"}),
    "roberta": (ROBERTA, "RobertaTokenizer", {}),
    "spaced": (ROBERTA, "BartTokenizer", {"add_prefix_space": True}),
    "qwen2": (GPT2, "Qwen2Tokenizer", {}),
    "llama": ({"tokenizer.model": BPE}, "LlamaTokenizer", {}),
    "llama-both": ({"tokenizer.model": BPE}, "LlamaTokenizer", {"add_eos_token": True}),
    "symbols": ({"tokenizer.model": SYMBOLS}, "GemmaTokenizer", {"bos_token": "<s>", "eos_token": "</s>"}),
    "t5": ({"spiece.model": UNIGRAM}, "T5Tokenizer", {}),
    "xlm-roberta": ({"sentencepiece.bpe.model": UNIGRAM}, "XLMRobertaTokenizer", {}),
    "camembert": ({"sentencepiece.bpe.model": UNIGRAM}, "CamembertTokenizer", {}),
    "albert": ({"spiece.model": UNIGRAM}, "AlbertTokenizer", {}),
    "deberta": ({"spm.model": UNIGRAM}, "DebertaV2Tokenizer", {}),
    "bigbird": ({"spiece.model": UNIGRAM}, "BigBirdTokenizer", {}),
}  # fmt: skip


@pytest.fixture(scope="module")
def saved(trained: dict[str, Tokenizer], tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Tokenizer, Path]]:
    root = tmp_path_factory.mktemp("saved")
    made = {name: Tokenizer.load(folder(root / "old" / name, files, kind, **config)) for name, (files, kind, config) in OLD.items()}
    made |= trained
    return {name: (tokenizer, tokenizer.save(root / name).parent) for name, tokenizer in made.items()}


def compare(tokenizer: Tokenizer, theirs: dict) -> None:
    plain = [tokenizer.encode(text, special=True) for text in TEXTS]
    assert theirs["parsed"] == plain
    assert theirs["wrapped"] == [tokenizer.wrap(ids)[0] for ids in plain]
    ids, types = tokenizer.wrap(plain[0], plain[1])
    assert theirs["pair"] == ids and theirs["types"] in (None, types)
    assert theirs["roles"] == {role: getattr(tokenizer, role) for role in ROLES}
    assert theirs["texts"] == [tokenizer.decode(ids) for ids in plain]


@pytest.mark.parametrize("name", [*VARIANTS, *OLD])
def test_transformers_opens_what_we_save(saved: dict[str, tuple[Tokenizer, Path]], name: str) -> None:
    pytest.importorskip("transformers")
    tokenizer, place = saved[name]
    theirs = describe(place)
    compare(tokenizer, theirs)
    typed = name in ("bert", "cased", "albert", "deberta")
    assert theirs["inputs"] == sorted(["input_ids", "attention_mask", *(["token_type_ids"] if typed else [])])
    assert name != "bert" or theirs["longest"] == 512


@pytest.mark.slow
def test_the_older_release_opens_them_too(saved: dict[str, tuple[Tokenizer, Path]], tmp_path: Path) -> None:
    from tests.parity.test_transformers4 import VERSION, python4

    python, env = python4()
    (tmp_path / "in.json").write_text(json.dumps({name: str(place) for name, (_, place) in saved.items()}))
    command = [python, "-m", "tests.text.opened", str(tmp_path / "in.json"), str(tmp_path / "out.json")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["version"] == VERSION
    for name, (tokenizer, _) in saved.items():
        compare(tokenizer, found["answers"][name])


def test_the_configuration_says_what_transformers_must_know(saved: dict[str, tuple[Tokenizer, Path]], tmp_path: Path) -> None:
    files = {"vocab.txt": BERT, "config.json": {"model_type": "bert"}}
    hidden = {"auto_map": {"AutoTokenizer": "evil.py"}, "name_or_path": "/home/me", "tokenizer_file": "/x", "trust_remote_code": True}
    source = folder(tmp_path / "a", files, "BertTokenizer", **hidden, do_lower_case=True, added_tokens_decoder={"0": {"content": "[PAD]"}})
    place = Tokenizer.load(source).save(tmp_path / "b", max_length=77).parent
    config = json.loads((place / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast" and config["model_max_length"] == 77 and config["do_lower_case"] is True
    assert not {*hidden, "added_tokens_decoder"} & config.keys()
    special = json.loads((place / "special_tokens_map.json").read_text())
    assert special == {f"{role}_token": f"[{role.upper()}]" for role in ("pad", "unk", "mask", "cls", "sep")}
    alone = Tokenizer(json.loads((saved["spaced"][1] / "tokenizer.json").read_text(encoding="utf-8")))
    assert alone.config["add_prefix_space"] is True and "add_prefix_space" not in saved["words"][0].config


def test_a_post_processor_is_kept_and_one_file_needs_no_other(trained: dict[str, Tokenizer], tmp_path: Path) -> None:
    spec = json.loads(trained["bytes"]._json)
    frame = {**BERT_FRAME, "special_tokens": {name: {"id": name, "ids": [number], "tokens": [name]}
                                              for name, number in (("[CLS]", 5), ("[SEP]", 6))}}  # fmt: skip
    file = Tokenizer({**spec, "post_processor": frame}).save(tmp_path / "one.json")
    assert json.loads(file.read_text(encoding="utf-8"))["post_processor"] == frame
    assert Tokenizer.load(file).wrap([9])[0] == [5, 9, 6] and [path.name for path in tmp_path.iterdir()] == ["one.json"]


@pytest.mark.parametrize("model_type", ["llama", "mistral", "mixtral", "t5", "bert", "gemma3_text", "qwen3", "deberta-v2",
                                        "modernbert", "phi3", "gpt_oss", "deepseek_v3", "bart", "whisper", "xlm-roberta"])  # fmt: skip
def test_the_models_type_does_not_bring_in_another_class(trained: dict[str, Tokenizer], tmp_path: Path, model_type: str) -> None:
    pytest.importorskip("transformers")
    tokenizer = trained["sentencepiece-bpe"]
    tokenizer.save(tmp_path)
    compare(tokenizer, describe(folder(tmp_path, {"config.json": {"model_type": model_type}})))
