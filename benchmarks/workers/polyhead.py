"""polyhead: Trainer on the peers' shapes, its CPU recipe at 0.80 M parameters, packed generation; the
forward pass of a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

import polyhead as ph
from polyhead.families import override, preset, resolve
from polyhead.generate import Engine, Model
from polyhead.generate.pack import prepare
from polyhead.nn import Batch, ModelSpec, Tokens, Transformer
from polyhead.train import AdamWSpec, Trainer, TrainingConfig, build_config
from workers.inputs import DTYPES, ids, sample
from workers.training import Corpus
from workers.wire import serve

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = {"fast": ("shakespeare-fast.yaml", 10), "budget": ("shakespeare-budget.yaml", 20)}  # file, interval in steps


def gpt(size: dict[str, int]) -> ModelSpec:
    """The peers' GPT: learned positions, layer norms, GELU, tied head; no bias in products, as nanoGPT."""
    changes: dict[str, Any] = {
        "decoder.width": size["width"],
        "decoder.layers": size["layers"],
        "decoder.blocks.layer.attention.heads": {"kind": "grouped", "heads": size["heads"]},
        "decoder.blocks.layer.ffn": {"kind": "plain", "act": "gelu", "ratio": 4, "bias": False},
        "dropout": {},
        "vocab": size["vocabulary"],
        "context": size["context"],
    }
    return override(preset("gpt2"), changes)


class Steps:
    """Training steps of polyhead's Trainer. One unit is one step."""

    def __init__(self, spec: dict[str, Any], net: Transformer, config: TrainingConfig) -> None:
        torch.manual_seed(spec.get("seed", 0))
        self.corpus, self.context, self.done = Corpus(spec["corpus"]), spec["size"]["context"], 0
        self.net, self.config = net, config
        self.trainer = Trainer(net, config, seed=spec.get("seed", 0), compiled=spec["compile"])
        self.params = sum(weight.numel() for weight in net.parameters())
        self.weights = torch.ones(config.batch, self.context)

    def run(self, units: int) -> dict[str, Any]:
        for _ in range(units):
            inputs, targets = self.corpus.batch(self.config.batch, self.context)
            self.trainer.step([Batch(Tokens(inputs), targets, self.weights)], self.done)
            self.done += 1
        return {"step": self.done}


class Recipe(Steps):
    """A recipe of the repository, with the corpus' characters. One unit is one interval."""

    def __init__(self, spec: dict[str, Any]) -> None:
        name, self.interval = RECIPES[spec["recipe"]]
        config = build_config(str(FOLDER / name), "corpus")
        size = {"vocab": spec["size"]["vocabulary"], "context": spec["size"]["context"]}
        net = override(resolve(config.model), config.overrides | size).build(spec["seed"])
        super().__init__(spec, net, config.training.model_copy(update={"precision": "fp32"}))

    def run(self, units: int) -> dict[str, Any]:
        reply = super().run(min(units * self.interval, self.config.steps - self.done))
        return reply | {"finished": self.done >= self.config.steps}

    def evaluate(self) -> float:
        self.net.eval()
        return self.corpus.validate(self.loss, self.context)

    def loss(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(self.net(Tokens(inputs)).flatten(0, 1), targets.flatten())


class Generate:
    """Greedy generation from random weights, packed when built. One unit is one new token per sequence."""

    def __init__(self, spec: dict[str, Any]) -> None:
        dtype = torch.bfloat16 if spec["dtype"] == "bf16" else torch.float32
        net = decoder(spec["shape"]).build(0).to(dtype)
        self.params = sum(weight.numel() for weight in net.parameters())
        self.model = Model(net)
        self.model.engine = Engine(net, prepare(net))
        vocabulary = net.spec.top.embedding.vocab
        self.ids = torch.randint(4, vocabulary, (spec["batch"], spec["prompt"])).tolist()

    def run(self, units: int) -> None:
        answers = self.model.generate(ids=self.ids, max_tokens=units, temperature=0.0)
        assert all(len(answer.new_ids) == units for answer in answers)


def decoder(shape: str) -> ModelSpec:
    if shape == "gpt2":
        return preset("gpt2")
    changes: dict[str, Any] = {
        "decoder.width": 768,
        "decoder.layers": 12,
        "decoder.blocks.layer.attention.heads": {"kind": "grouped", "heads": 12},
        "decoder.blocks.layer.ffn.inner": 2048,
    }
    return override(preset("llama-7b"), changes)


class Forward:
    """Forward pass of a loaded folder, prepared for speed: logits, or BERT's pooled row. One unit is one pass."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.net = ph.load(spec["folder"], dtype=DTYPES[spec["dtype"]]).prepared
        self.params = self.net.spec.params().total
        self.tokens = Tokens(ids(spec["batch"], spec["tokens"], self.net.spec.vocab))

    @torch.inference_mode()
    def run(self, units: int) -> dict[str, Any]:
        for _ in range(units):
            answer = self.net(self.tokens)
        return {"sample": sample(answer)}


def train(spec: dict[str, Any]) -> Steps:
    optimizer = AdamWSpec(lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    batch, precision = spec["size"]["batch"], spec["dtype"]
    config = TrainingConfig(steps=10**6, batch=batch, optimizer=optimizer, precision=precision, clip=1.0)
    return Steps(spec, gpt(spec["size"]).build(0), config)


if __name__ == "__main__":
    kinds = {"train": train, "curve": Recipe, "decode": Generate, "forward": Forward}
    serve(kinds, ["torch"])
