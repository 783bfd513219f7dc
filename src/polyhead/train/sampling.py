"""What a model writes while it is trained: one sample with a fixed seed and prompt, so that samples along a run compare."""

from __future__ import annotations

from polyhead.errors import ConfigError
from polyhead.generate import Model
from polyhead.nn import ModelSpec
from polyhead.text import Tokenizer

from .config import TrainingConfig


def sample_text(model: Model, config: TrainingConfig, example: str | None = None) -> dict[str, str]:
    """{"prompt", "text"}: what the model writes now."""
    assert model.tokenizer is not None  # a run has one
    prompt = sample_prompt(config, model.tokenizer, example)
    causal, spec = config.objective.writes == "continues", model.text_spec
    room = sample_room(config, spec, model.tokenizer, example) if causal else spec.context
    temperature = 0.8 if causal else 0.0
    made = model.generate(prompt, max_tokens=min(config.sample_tokens, room), temperature=temperature, seed=0)
    return {"prompt": prompt, "text": made.text}


def sample_prompt(config: TrainingConfig, tokenizer: Tokenizer, example: str | None) -> str:
    """The prompt asked for; else of what goes on a line's beginning, where the tokenizer has a token to begin with; else the
    example, which is of the held-out part."""
    if config.sample_prompt is not None:
        return config.sample_prompt
    opens = config.objective.writes == "continues" and _begins(tokenizer, "\n")
    return "\n" if opens else example or "\n"


def _begins(tokenizer: Tokenizer, prompt: str) -> bool:
    """Whether there is a token to go on from: of the prompt, or one that begins a text."""
    return bool(tokenizer.encode(prompt)) or (tokenizer.eos if tokenizer.bos is None else tokenizer.bos) is not None


def sample_room(config: TrainingConfig, spec: ModelSpec, tokenizer: Tokenizer, example: str | None) -> int:
    """Tokens left in the context behind the prompt of samples, of a source before its end. ConfigError when there are none, or
    nothing to begin with."""
    prompt = sample_prompt(config, tokenizer, example)
    if not _begins(tokenizer, prompt):
        raise ConfigError(
            "a sample has no token to start from", expected="a prompt that the tokenizer reads, or a tokenizer with <bos> or <eos>",
            received=f"{prompt!r} and neither", change='training.sample_prompt="some words", or training.sample_every=0',
        )  # fmt: skip
    length = len(tokenizer.encode(prompt))
    if length >= spec.context:
        raise ConfigError(
            "training.sample_prompt fills the whole context", expected=f"fewer than {spec.context} tokens", received=f"{length} tokens",
            change="shorten it" if config.sample_prompt is not None else "a longer training.context, or training.sample_every=0",
        )  # fmt: skip
    return spec.context - length
