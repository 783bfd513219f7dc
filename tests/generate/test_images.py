"""From a folder and a picture to names of classes, as transformers goes there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import polyhead as ph
from polyhead.errors import UserError

hf = pytest.importorskip("transformers")
pytest.importorskip("PIL")
PICTURES = list(np.random.default_rng(1).integers(0, 256, (5, 21, 17, 3), dtype=np.uint8))
VIT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24, "image_size": 8, "patch_size": 4}
CLIP = {"text_config": {"vocab_size": 258, "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 1, "num_attention_heads": 2,
        "max_position_embeddings": 16, "eos_token_id": 257, "bos_token_id": 256, "pad_token_id": 0}, "vision_config": VIT, "projection_dim": 6}  # fmt: skip
HOW = {"image_processor_type": "ViTImageProcessor", "size": {"height": 8, "width": 8}}


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = hf.ViTConfig(**VIT, id2label={0: "cat", 1: "dog", 2: "stove"})
    hf.ViTForImageClassification(config).save_pretrained(tmp_path / "vit")
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(HOW))
    return tmp_path / "vit"


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """CLIP with a tokenizer of bytes between its two special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    torch.manual_seed(0)
    hf.CLIPModel(hf.CLIPConfig(**CLIP)).save_pretrained(tmp_path / "clip")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    made.add_special_tokens(["<s>", "</s>"])
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made.post_processor = processors.TemplateProcessing("<s> $A </s>", None, [("<s>", 256), ("</s>", 257)])
    made.save(str(tmp_path / "clip" / "tokenizer.json"))
    processor = {"image_processor": {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 9}, "crop_size": {"height": 8, "width": 8}}}
    (tmp_path / "clip" / "processor_config.json").write_text(json.dumps(processor))
    return tmp_path / "clip"


def test_a_model_names_its_classes(classifier: Path, tmp_path: Path) -> None:
    model = ph.load(classifier)
    found = model.classify_images(PICTURES, batch=2)
    theirs = hf.ViTForImageClassification.from_pretrained(classifier)
    with torch.no_grad():
        wanted = theirs(model.pixels(PICTURES)).logits.softmax(-1)
    for row, told in zip(wanted, found, strict=True):
        assert [name for name, _ in told] == [theirs.config.id2label[i] for i in row.argsort(descending=True).tolist()]
        assert torch.allclose(torch.tensor([p for _, p in told]), row.sort(descending=True).values, atol=1e-6)
    assert model.classify_images(PICTURES[0], top=1) == [found[0][:1]]
    for to in ("hf", "native"):
        model.save(tmp_path / to, to=to)
        assert ph.load(tmp_path / to).classify_images(PICTURES, batch=2) == found
    assert json.loads((tmp_path / "hf" / "preprocessor_config.json").read_text()) == HOW


def test_a_pair_finds_the_text_of_an_image(pair: Path) -> None:
    model, texts = ph.load(pair), ["a cat", "a dog barks", "snow"]
    found = model.classify_images(PICTURES, texts)
    rows = [[256, *model.tokenizer.encode(text), 257] for text in texts]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    with torch.no_grad():
        wanted = hf.CLIPModel.from_pretrained(pair)(input_ids=ids, attention_mask=mask, pixel_values=model.pixels(PICTURES)).logits_per_image.softmax(-1)
    for row, told in zip(wanted, found, strict=True):
        assert [name for name, _ in told] == [texts[i] for i in row.argsort(descending=True).tolist()]
        assert torch.allclose(torch.tensor([p for _, p in told]), row.sort(descending=True).values, atol=1e-6)
    assert model.embed(texts).shape == (3, 6)


def test_what_does_not_fit_is_refused(classifier: Path, pair: Path) -> None:
    seen, both = ph.load(classifier), ph.load(pair)
    text = ph.Model(ph.preset("gpt-nano").build(0))
    asks = [
        (lambda: seen.classify_images(PICTURES, ["a cat"]), "texts and a pair"), (lambda: both.classify_images(PICTURES), "texts and a pair"),
        (lambda: both.classify_images(PICTURES, "a cat"), "texts are not possible"), (lambda: seen.classify_images(PICTURES, top=0), "top"),
        (lambda: text.pixels(PICTURES), "reads no images"), (lambda: text.classify_images(PICTURES), "no classes of images"),
        (lambda: ph.Model(seen.net).pixels(PICTURES), "nothing says"), (lambda: seen.generate(), "cannot generate"),
    ]  # fmt: skip
    for ask, message in asks:
        with pytest.raises(UserError, match=message):
            ask()
