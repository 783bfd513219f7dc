"""transformers: GPT-2 in a plain loop or under Trainer; `generate` with dynamic or static cache; folders of random
weights and their forward pass."""

from __future__ import annotations

import tempfile
import threading
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    BertConfig,
    BertModel,
    CompileConfig,
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from workers.inputs import DTYPES, ids, sample
from workers.training import Corpus, PlainSteps, cross_entropy
from workers.wire import Unit, serve


def gpt2(size: dict[str, int]) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    shape = GPT2Config(
        vocab_size=size["vocabulary"], n_positions=size["context"], n_embd=size["width"],
        n_layer=size["layers"], n_head=size["heads"], resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        use_cache=False, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(shape)


def loss(call: Any, inputs: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(call(input_ids=inputs, use_cache=False).logits, targets)


class Windows(torch.utils.data.Dataset):
    """Windows of the corpus, as Trainer wants them: it shifts the labels itself."""

    def __init__(self, corpus: Corpus, context: int) -> None:
        self.text, self.context = corpus.train, context

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        start = index * 7919 % (len(self.text) - self.context - 1)
        window = self.text[start : start + self.context]
        return {"input_ids": window, "labels": window}


class Gate(TrainerCallback):
    """Lets a running Trainer make so many steps, then holds it until the next order."""

    def __init__(self) -> None:
        self.left, self.go, self.rest = 0, threading.Event(), threading.Event()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.go.wait()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.go.clear()
            self.rest.set()


class TrainerSteps:
    """Trainer, unchanged, in a thread of its own, so that its steps can be timed between those of others."""

    def __init__(self, spec: dict[str, Any]) -> None:
        size, self.gate = spec["size"], Gate()
        self.error: Exception | None = None
        net = gpt2(size)
        self.params = sum(weight.numel() for weight in net.parameters())
        arguments = TrainingArguments(
            output_dir=tempfile.gettempdir(), max_steps=10**6, per_device_train_batch_size=size["batch"],
            use_cpu=True, bf16=spec["dtype"] == "bf16", torch_compile=spec["compile"], report_to=[],
            logging_strategy="no", save_strategy="no", disable_tqdm=True, learning_rate=1e-3,
        )  # fmt: skip
        windows = Windows(Corpus(spec["corpus"]), size["context"])
        self.trainer = Trainer(net, arguments, train_dataset=windows, callbacks=[self.gate])
        threading.Thread(target=self.train, daemon=True).start()

    def train(self) -> None:
        try:
            self.trainer.train()
        except Exception as error:
            self.error = error
            self.gate.rest.set()

    def run(self, units: int) -> None:
        self.gate.left = units
        self.gate.rest.clear()
        self.gate.go.set()
        self.gate.rest.wait()
        if self.error:
            raise self.error


class Generate:
    """Greedy `generate` from random weights. One unit is one new token (per sequence)."""

    def __init__(self, spec: dict[str, Any]) -> None:
        dtype = torch.bfloat16 if spec["dtype"] == "bf16" else torch.float32
        self.net = decoder(spec["shape"]).to(dtype).eval()
        self.params = sum(weight.numel() for weight in self.net.parameters())
        self.ids = torch.randint(4, self.net.config.vocab_size, (spec["batch"], spec["prompt"]))
        self.options: dict[str, Any] = {}
        if spec["compile"]:
            compile_config = CompileConfig(mode=None)
            compile_config._compile_all_devices = True  # generate compiles on accelerators only unless told
            self.options = {"cache_implementation": "static", "compile_config": compile_config}

    @torch.no_grad()
    def run(self, units: int) -> None:
        options = {"do_sample": False, "pad_token_id": 3, "eos_token_id": None, **self.options}
        settings = GenerationConfig(max_new_tokens=units, min_new_tokens=units, **options)
        self.net.generate(self.ids, attention_mask=torch.ones_like(self.ids), generation_config=settings)


def decoder(shape: str) -> Any:
    torch.manual_seed(0)
    if shape == "gpt2":
        return GPT2LMHeadModel(GPT2Config())
    llama = LlamaConfig(
        vocab_size=32000, hidden_size=768, intermediate_size=2048, num_hidden_layers=12,
        num_attention_heads=12, num_key_value_heads=12, max_position_embeddings=2048,
    )  # fmt: skip
    return LlamaForCausalLM(llama)


class Folder:
    """A Hugging Face folder of random weights, written when built."""

    def __init__(self, spec: dict[str, Any]) -> None:
        torch.manual_seed(0)
        net = BertModel(BertConfig()) if spec["shape"] == "bert" else LlamaForCausalLM(LlamaConfig(**spec["config"]))
        net.to(DTYPES[spec["dtype"]]).save_pretrained(spec["folder"], max_shard_size="100GB")
        self.params = sum(weight.numel() for weight in net.parameters())

    def run(self, units: int) -> None:
        raise NotImplementedError("a folder is only built")


class Forward:
    """Forward pass, attention by sdpa, without a mask or a cache. BERT's answer is the pooled row, over the hidden
    states. One unit is one pass."""

    def __init__(self, spec: dict[str, Any]) -> None:
        bert, options = spec["shape"] == "bert", {"dtype": DTYPES[spec["dtype"]], "attn_implementation": "sdpa"}
        self.net = (AutoModel if bert else AutoModelForCausalLM).from_pretrained(spec["folder"], **options).eval()
        self.params = sum(weight.numel() for weight in self.net.parameters())
        self.call = torch.compile(self.net) if spec["compile"] else self.net
        self.ids = ids(spec["batch"], spec["tokens"], self.net.config.vocab_size)
        self.answer, self.options = ("pooler_output", {}) if bert else ("logits", {"use_cache": False})

    @torch.inference_mode()
    def run(self, units: int) -> dict[str, Any]:
        for _ in range(units):
            found = self.call(input_ids=self.ids, **self.options)
        return {"sample": sample(found[self.answer])}


def train(spec: dict[str, Any]) -> Unit:
    return TrainerSteps(spec) if spec.get("trainer") else PlainSteps(spec, gpt2(spec["size"]), loss)


if __name__ == "__main__":
    kinds = {"train": train, "decode": Generate, "folder": Folder, "forward": Forward}
    serve(kinds, ["torch", "transformers", "accelerate"])
