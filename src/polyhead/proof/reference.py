"""transformers' answers. Nothing of the folder is executed (trust_remote_code stays false), nothing is fetched.

A reference carries state from one question to the next (BigBird turns to full attention for good after a short input,
dynamic rotary keeps the longest length seen), so each question gets a model of its own.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoint import Folder
from ..checkpoint.sentences import split_head
from ..errors import CheckpointError, ConfigError, UserError
from ..families import exchange, is_pair
from ..families.presets import PAIRS
from ..nn import HeadSpec, ModelSpec, PairSpec
from .measures import Answer
from .questions import Question

NEEDED = "transformers"
# name or task of a head → where the reference may answer for it; span has two outputs
FIELDS = {
    "mlm": ("logits", "prediction_logits"), "pair": ("logits", "seq_relationship_logits", "sop_logits"), "pool": ("pooler_output",),
    "embed": ("text_embeds", "image_embeds", "pooler_output"),
}  # fmt: skip
TWO = {"text": "text_embeds", "image": "image_embeds", "pair": "logits_per_text"}  # of a pair of towers
_ALIBI = ("falcon", "RefinedWeb", "RefinedWebModel")  # its eager attention does not add ALiBi as its others do


def installed() -> bool:
    """Whether there is a reference to compare with."""
    return importlib.util.find_spec(NEEDED) is not None


def require() -> None:
    """UserError where transformers is missing."""
    if not installed():
        raise UserError(
            "there is nothing to compare with: transformers is not installed",
            expected="transformers 4.57 or newer, the reference implementation", received="none",
            change="pip install transformers, or compare with another model: --against OTHER",
        )  # fmt: skip


class Reference:
    """The model of a Hugging Face folder as transformers computes it. spec: of the network of ours it is compared with.
    architecture: the class, None as the config says. attention: None is the one to compare with, the eager one."""

    def __init__(
        self, folder: Path, spec: ModelSpec | PairSpec, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu",
        attention: str | None = None, architecture: str | None = None,
    ) -> None:  # fmt: skip
        require()
        place = Folder(folder)
        if place.find("adapter_config.json") is not None:
            raise CheckpointError(
                f"{folder} holds an adapter beside the model", expected="a model alone: transformers would load the adapter's base in its place",
                received="adapter_config.json", change="move the adapter into a folder of its own",
            )  # fmt: skip
        self.folder, self.spec, self.dtype, self.device = folder, spec, dtype, device
        config = place.object("config.json") or {}
        usual = "sdpa" if config.get("model_type") in _ALIBI and config.get("alibi") else "eager"
        self.attention = attention or usual
        self.architecture = architecture or _architecture(config, str(folder))
        self.apart = split_head(spec) if isinstance(spec, ModelSpec) else None  # sentence-transformers' part of the folder
        self.missing: list[str] = []  # tensors that transformers did not find, and drew at random

    def again(self, dtype: torch.dtype | None = None, attention: str | None = None) -> Reference:
        """The same model computed in another way."""
        return Reference(
            self.folder, self.spec, dtype or self.dtype, self.device, attention or self.attention, self.architecture,
        )  # fmt: skip

    def __str__(self) -> str:
        import transformers

        return f"transformers {transformers.__version__} ({self.architecture}, {self.attention} attention)"

    @torch.inference_mode()
    def ask(self, asked: Question) -> Answer:
        with _quiet():
            model = self._open()
            last: list[Tensor] = []  # vision models leave the last state they list without its norm
            hook = model.base_model.register_forward_hook(lambda _, __, out: last.append(_finished(out)))
            out = model(**self._batch(asked), output_hidden_states=True, return_dict=True)
            hook.remove()
        if "logits_per_text" in out:
            return Answer({name: out[field].float().cpu() for name, field in TWO.items()}, dict.fromkeys(TWO, "embed"), {})
        assert isinstance(self.spec, ModelSpec)
        heads: dict[str, Tensor] = {}
        tasks: dict[str, str] = {}
        for name, head in self.spec.heads.items():
            answer = None if head is self.apart else _head(out, name, head)
            if answer is not None:
                heads[name] = answer if head.pools else answer[:, asked.begin :]
                tasks[name] = head.task
        return Answer(heads, tasks, _states(out, last, list(self.spec.stacks)))

    def _open(self) -> Any:
        import transformers

        kind = getattr(transformers, self.architecture, None)
        if kind is None:
            raise ConfigError(
                f"this transformers has no class {self.architecture}", expected="one that it has", received=f"transformers {transformers.__version__}",
                change="update it, or write the folder in today's spelling first: polyhead convert MODEL --to hf",
            )  # fmt: skip
        options = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True, "attn_implementation": self.attention}
        try:
            model, info = kind.from_pretrained(str(self.folder), output_loading_info=True, torch_dtype=self.dtype, **options)
        except Exception as error:  # it stumbles over folders in many ways
            raise ConfigError(
                f"transformers does not open {self.folder}", expected="a folder that both read", received=f"{type(error).__name__}: {str(error)[:300]}",
            ) from error  # fmt: skip
        self.missing = sorted(map(str, info.get("missing_keys", ())))
        model.config.use_cache = False  # FSMT of 4.57 fails with one
        if self.dtype == torch.float64 and hasattr(model, "set_experts_implementation"):
            model.set_experts_implementation("eager")  # the grouped product has no such form
        for tensor in (*model.parameters(), *model.buffers()):  # a product may round otherwise where weights are mapped
            tensor.data = tensor.data.clone()
        return model.to(self.device).eval()

    def _batch(self, asked: Question) -> dict[str, Tensor]:
        """The question in transformers' words."""
        read = asked.ids if asked.source is None else asked.source
        words: dict[str, Tensor | None] = {}
        if asked.signal is not None:
            frames = asked.signal.dim() == 3
            words["input_features" if frames else "pixel_values"] = asked.signal.to(self.dtype)
            words["decoder_input_ids" if frames else "input_ids"] = asked.ids
        elif read is not None:
            words |= {"input_ids": read, "attention_mask": torch.ones_like(read), "token_type_ids": asked.types}
            words |= {"global_attention_mask": None if asked.marks is None else asked.marks.long()}
            words |= {"decoder_input_ids": None if asked.source is None else asked.ids}
            words |= {"encoder_hidden_states": None if asked.memory is None else asked.memory.to(self.dtype)}
        if self.architecture.endswith("ForMultipleChoice"):  # one answer to choose from
            words = {name: None if value is None else value.unsqueeze(1) for name, value in words.items()}
        return {name: value.to(self.device) for name, value in words.items() if value is not None}


def _architecture(config: dict[str, Any], source: str) -> str:
    """The class the folder is of. A pair's is in its config, or the first of its type."""
    if not is_pair(config):
        return exchange.read_config(config, source).architecture
    named = config.get("architectures")
    return str(named[0]) if isinstance(named, list) and named else next(d["class"] for d in PAIRS.values() if config["model_type"] in d["types"])


def _head(out: Any, name: str, head: HeadSpec) -> Tensor | None:
    """The reference's answer for one of our heads; None where it gives hidden states alone."""
    if head.task == "span":
        return torch.stack([out["start_logits"], out["end_logits"]], -1).float().cpu()
    if head.task == "embed" and head.output is None and not head.pools:
        return None
    field = next((field for field in FIELDS.get(name) or FIELDS.get(head.task, ("logits",)) if out.get(field) is not None), None)
    return None if field is None else out[field].float().cpu()


def _finished(out: Any) -> Any:
    return out.get("last_hidden_state") if isinstance(out, Mapping) else None


def _states(out: Any, last: list[Any], stacks: list[str]) -> dict[str, list[Tensor]]:
    """Hidden states by stack; the finished ones in the last one's place."""
    found = {name: list(out.get(f"{name}_hidden_states") or ()) for name in stacks}
    top = stacks[-1]
    found[top] = found[top] or list(out.get("hidden_states") or ())
    finished = {top: last[0] if last else None}
    if len(stacks) == 2:
        finished["encoder"] = out.get("encoder_last_hidden_state")
    for name, state in finished.items():
        if state is not None:
            kept = found[name]
            found[name] = [*kept[:-1], state] if not kept or kept[-1].shape == state.shape else kept
    return {name: [state.float().cpu() for state in states] for name, states in found.items() if states}


@contextmanager
def _quiet() -> Iterator[None]:
    """Offline, and without advice on the way."""
    import transformers
    from huggingface_hub import constants

    logger, before = transformers.utils.logging, transformers.utils.logging.get_verbosity()
    offline, told = constants.HF_HUB_OFFLINE, os.environ.get("HF_HUB_OFFLINE")
    bars = logger.is_progress_bar_enabled()
    constants.HF_HUB_OFFLINE, os.environ["HF_HUB_OFFLINE"] = True, "1"
    logger.set_verbosity(logging.CRITICAL)
    logger.disable_progress_bar()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        os.environ.pop("HF_HUB_OFFLINE") if told is None else os.environ.update(HF_HUB_OFFLINE=told)
        logger.set_verbosity(before)
        with suppress(AttributeError):
            logger.enable_progress_bar() if bars else None
