"""What was fine-tuned here opens in transformers with the names of its classes, and comes back the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import polyhead as ph
from polyhead.errors import ConfigError
from tests.tasks.tiny import bert_files, published, roberta_files

QUICK = {
    "training.steps": 3, "training.batch": 4, "training.eval_every": 3, "training.compile": "off", "training.threads": 1, "training.precision": "fp32",
    "data.holdout": 0.2, "training.optimizer": {"kind": "adamw", "lr": 0.01}, "training.schedule": {"kind": "constant"},
}  # fmt: skip
SMALL = {"model.encoder.layers": 2, "model.encoder.width": 16, "model.encoder.blocks.layer.attention.heads.heads": 2, "tokenizer.vocab_size": 300}
TEXTS = ["the lamp was lit", "the boats came home", "Bremen in the evening", "nobody asked"]


def rows_of(labels: list[Any], path: Path) -> str:
    """A table of 40 texts, each with one of these labels."""
    rows = [{"text": f"{TEXTS[i % 4]} {i}", "label": labels[i % len(labels)]} for i in range(40)]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return str(path)


def base(folder: Path, family: str = "bert") -> str:
    if family == "distilbert":
        import transformers

        fields = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 140, "vocab_size": 160}
        folder.mkdir()
        transformers.DistilBertForMaskedLM._from_config(transformers.DistilBertConfig(**fields)).save_pretrained(folder)
        bert_files(folder)
        return str(folder)
    return str(published(folder, family, "MaskedLM"))


def config_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def comes_back(model: ph.Model, out: Path, auto: str, labels: list[str] | None) -> Any:
    """Save, open in transformers, and check names and logits there and here; returns what is loaded again."""
    import transformers

    model.save(out)
    theirs = getattr(transformers, auto).from_pretrained(out).eval()
    if labels is not None:
        assert theirs.config.id2label == dict(enumerate(labels)) and theirs.config.label2id == {name: i for i, name in enumerate(labels)}
    ids = torch.tensor([model.tokenizer.wrap(model.tokenizer.encode(TEXTS[0]))[0]])
    with torch.no_grad():
        assert torch.allclose(theirs(input_ids=ids).logits, model.net(ph.nn.Tokens(ids)), atol=1e-5)
    back = ph.load(out)
    assert back.meta.get("labels") == model.meta.get("labels") and back.meta.get("problem") == model.meta.get("problem")
    assert ph.verify(out).equal
    return back


@pytest.mark.parametrize(("labels", "problem", "told"), [
    (["sour", "sweet", "bitter"], "single", "single_label_classification"), ([["a", "b"], ["b"], []], "multi", "multi_label_classification"),
    ([0.25, 1.5, 3.75], "number", "regression"),
])  # fmt: skip
def test_a_classifier(labels: list[Any], problem: str, told: str, tmp_path: Path) -> None:
    model = ph.train(base(tmp_path / "base"), rows_of(labels, tmp_path / "a.jsonl"), tmp_path / "run", QUICK)
    names = {"single": ["bitter", "sour", "sweet"], "multi": ["a", "b"], "number": ["LABEL_0"]}[problem]
    assert model.meta["problem"] == problem
    back = comes_back(model, tmp_path / "out", "AutoModelForSequenceClassification", names)
    assert config_of(tmp_path / "out")["problem_type"] == told
    (tmp_path / "out" / "meta.json").unlink()  # as a folder that transformers wrote: the config says enough
    bare = ph.load(tmp_path / "out")
    said, again, anew = (m.classify(TEXTS) for m in (model, back, bare))
    for one, two, three in zip(said, again, anew, strict=True):
        assert {name for name, _ in one.scores} == set(names) and one.scores == two.scores == three.scores
        assert type(one.label) is {"single": str, "multi": tuple, "number": float}[problem]


def test_what_it_was_before_is_not_said_of_it(tmp_path: Path) -> None:
    """A regression model with one class's name becomes a classifier, in the same number of steps as anything else."""
    before = published(tmp_path / "base", "bert", "SequenceClassification", problem_type="regression", id2label={0: "score", 1: "doubt"}, label2id={"score": 0, "doubt": 1})
    model = ph.train(str(before), rows_of(["no", "yes"], tmp_path / "a.jsonl"), tmp_path / "run", QUICK)
    comes_back(model, tmp_path / "out", "AutoModelForSequenceClassification", ["no", "yes"])
    assert config_of(tmp_path / "out")["problem_type"] == "single_label_classification"


def test_one_from_scratch(tmp_path: Path) -> None:
    small = SMALL | {"model.encoder.blocks.layer.ffn.inner": 32}
    model = ph.train("bert-base", rows_of(["no", "yes"], tmp_path / "a.jsonl"), tmp_path / "run", QUICK | small)
    back = comes_back(model, tmp_path / "out", "AutoModelForSequenceClassification", ["no", "yes"])
    assert back.classify(TEXTS[0]).scores == model.classify(TEXTS[0]).scores


def test_one_that_no_published_family_holds_is_saved_all_the_same(tmp_path: Path) -> None:
    model = ph.train("bert-nano", rows_of(["no", "yes"], tmp_path / "a.jsonl"), tmp_path / "run", QUICK | SMALL)
    model.save(tmp_path / "out")
    assert (tmp_path / "out" / "spec.json").exists()
    assert ph.load(tmp_path / "out").classify(TEXTS[0]).scores == model.classify(TEXTS[0]).scores
    with pytest.raises(ConfigError):
        model.save(tmp_path / "hf", to="hf")


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_a_tagger(family: str, tmp_path: Path) -> None:
    lines = ["Anna\tB-PER", "was\tO", "in\tO", "Bremen\tB-LOC", "Har\tI-LOC", ""]
    (tmp_path / "a.conll").write_text("\n".join(lines * 20), encoding="utf-8")
    model = ph.train(base(tmp_path / "base", family), str(tmp_path / "a.conll"), tmp_path / "run", QUICK)
    back = comes_back(model, tmp_path / "out", "AutoModelForTokenClassification", ["B-LOC", "B-PER", "I-LOC", "O"])
    assert [word.tag for word in back.tag("Anna was in Bremen").words] == [word.tag for word in model.tag("Anna was in Bremen").words]


def test_an_answerer(tmp_path: Path) -> None:
    text = "Anna was in the harbour of Bremen when the lamp was lit"
    asked = [{"id": str(i), "question": "Who was in Bremen ?", "answers": [{"text": "Anna", "answer_start": 0}]} for i in range(20)]
    paragraphs = [{"context": text + f" {i}", "qas": [dict(one, id=f"{i}-{one['id']}") for one in asked[:1]]} for i in range(20)]
    (tmp_path / "a.json").write_text(json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}))
    model = ph.train(base(tmp_path / "base"), str(tmp_path / "a.json"), tmp_path / "run", QUICK | {"training.context": 64})
    import transformers

    model.save(tmp_path / "out")
    theirs = transformers.AutoModelForQuestionAnswering.from_pretrained(tmp_path / "out").eval()
    ids = torch.tensor([model.tokenizer.wrap(model.tokenizer.encode(text))[0]])
    with torch.no_grad():
        out = theirs(input_ids=ids)
        assert torch.allclose(torch.stack([out.start_logits, out.end_logits], -1), model.net(ph.nn.Tokens(ids)), atol=1e-5)
    assert ph.load(tmp_path / "out").answer("Who was in Bremen ?", text) == model.answer("Who was in Bremen ?", text)
    assert ph.verify(tmp_path / "out").equal


LONG = {"attention_window": [4, 4], "vocab_size": 340, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
        "max_position_embeddings": 140, "type_vocab_size": 1, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "sep_token_id": 2}  # fmt: skip
ASKED = [("where was the lamp lit before the boats came home?", "in the harbour of Bremen"), ("who was it?", "Anna, in the evening, when the lamp was lit")]


@pytest.mark.parametrize("kind", ["labelled", "tagged", "questions"])
def test_a_longformer_is_trained_with_the_marks_it_is_asked_with(kind: str, tmp_path: Path) -> None:
    """A batch of training is marked as a task's and as transformers does by itself, so that the logits are the same."""
    import transformers

    from polyhead.data import Answer, Classify, ExampleFile, Tag, open_source, pack

    name = {"labelled": "SequenceClassification", "tagged": "TokenClassification", "questions": "QuestionAnswering"}[kind]
    theirs = getattr(transformers, f"LongformerFor{name}")._from_config(transformers.LongformerConfig(**LONG)).eval()
    torch.manual_seed(0)
    for p in theirs.parameters():
        torch.nn.init.normal_(p, std=0.3)
    (tmp_path / "base").mkdir()
    theirs.save_pretrained(tmp_path / "base")
    roberta_files(tmp_path / "base")
    model = ph.load(tmp_path / "base")
    if kind == "tagged":
        (tmp_path / "a.conll").write_text("\n".join(f"{word}\t{'XO'[i % 2]}" for i, word in enumerate(" ".join(ASKED[0]).split())) + "\n\n")
    rows = [{"premise": a, "hypothesis": b, "label": str(i)} for i, (a, b) in enumerate(ASKED)]
    if kind == "questions":
        rows = [{"id": str(i), "question": a, "context": b, "answers": {"text": [b[:2]], "answer_start": [0]}} for i, (a, b) in enumerate(ASKED)]
    if kind != "tagged":
        (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    file = pack(open_source(str(tmp_path / ("a.conll" if kind == "tagged" else "a.jsonl"))), model.tokenizer, tmp_path / "packed")
    assert isinstance(file, ExampleFile) and file.kind == kind
    objective: Any = {
        "labelled": lambda: Classify(file, model.tokenizer, 128, types=False, marks=True), "tagged": lambda: Tag(file, model.tokenizer, 128, types=False),
        "questions": lambda: Answer(file, model.tokenizer, 128, types=False, marks=True),
    }[kind]()  # fmt: skip
    for i in range(len(objective)):
        batch = objective.make(np.array([i]), 0, 0)
        with torch.no_grad():
            made = theirs(input_ids=batch.inputs.ids)
            wanted = torch.stack([made.start_logits, made.end_logits], -1) if kind == "questions" else made.logits
            x, _ = model.net.hidden(batch.inputs)
            at = ph.nn.At.of(batch.inputs, x.shape[1])
            assert torch.allclose(model.net.logits(x, at=at, read=batch.inputs), wanted, atol=1e-4)


def test_a_classifier_of_pictures(tmp_path: Path) -> None:
    import transformers

    config = transformers.ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, image_size=16, patch_size=4, num_channels=1)
    (tmp_path / "base").mkdir()
    transformers.ViTForImageClassification._from_config(config).save_pretrained(tmp_path / "base")
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", images=draw.integers(0, 256, (40, 16, 16), np.uint8), labels=np.array(["cat", "dog"] * 20))
    model = ph.train(str(tmp_path / "base"), str(tmp_path / "a.npz"), tmp_path / "run", QUICK)
    model.save(tmp_path / "out")
    theirs = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "out").eval()
    assert theirs.config.id2label == {0: "cat", 1: "dog"}
    image = draw.integers(0, 256, (16, 16), np.uint8)
    pixels = model.pixels([image])
    told = json.loads((tmp_path / "out" / "preprocessor_config.json").read_text())
    by_hand = (torch.from_numpy(image)[None, None].float() / 255 - told["image_mean"][0]) / told["image_std"][0]
    assert torch.allclose(pixels, by_hand, atol=1e-5)
    with torch.no_grad():
        shares = theirs(pixel_values=pixels).logits.softmax(-1)[0].tolist()
    back = ph.load(tmp_path / "out")
    assert back.meta["preprocessor"] == model.meta["preprocessor"]
    for one in (model, back):
        assert dict(one.classify_images([image])[0]) == pytest.approx(dict(zip(("cat", "dog"), shares, strict=True)), abs=1e-5)
    assert ph.verify(tmp_path / "out").equal


