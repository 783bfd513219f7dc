"""Tiny published-looking folders with a tokenizer: two families, random weights, every task's class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
SENTENCES = ["Anna was in the harbour of Bremen when the lamp was lit", "Nobody asked who had lit the lamp", "the boats came home to Bremen early"]
CONTEXT = "The lamp in the harbour of Bremen was lit before the evening boats came home. " * 5 + "Nobody asked Anna who had lit it."
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def bert_files(folder: Path) -> None:
    words = ["the", "lamp", "in", "har", "##bour", "of", "Bre", "##men", "was", "lit", "before", "even", "##ing", "boat", "##s", "came", "home"]
    rows = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *".,?!-'", *words, *_LETTERS, *(f"##{c}" for c in _LETTERS)]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(rows)) + "\n", encoding="utf-8")
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "model_max_length": 128}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def roberta_files(folder: Path) -> None:
    from tokenizers import ByteLevelBPETokenizer

    made = ByteLevelBPETokenizer()
    made.train_from_iterator(SENTENCES * 20 + [CONTEXT], vocab_size=330, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], show_progress=False)
    made.save_model(str(folder))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "RobertaTokenizer", "model_max_length": 128}))


_SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "max_position_embeddings": 140}
FAMILIES = {"bert": ("Bert", bert_files, {**_SIZE, "vocab_size": 160}),
            "roberta": ("Roberta", roberta_files, {**_SIZE, "vocab_size": 340, "type_vocab_size": 1, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2})}  # fmt: skip


def published(folder: Path, family: str, task: str, **config: Any) -> Path:
    """A folder of `family` with the head of …ForSequenceClassification, …ForTokenClassification, …ForQuestionAnswering."""
    import transformers

    from tests.parity.reference import randomise

    stem, files, fields = FAMILIES[family]
    folder.mkdir(parents=True, exist_ok=True)
    kind = getattr(transformers, f"{stem}For{task}")
    model = kind._from_config(kind.config_class(**fields, **config)).eval()
    randomise(model, 3)
    model.save_pretrained(folder)
    files(folder)
    return folder


def names(labels: list[str]) -> dict[str, Any]:
    return {"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}}
