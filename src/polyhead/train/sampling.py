"""What a model writes while it is trained: one sample with a fixed seed and prompt, so that samples along a run compare."""

from __future__ import annotations

from polyhead.errors import ConfigError
from polyhead.generate import Model
from polyhead.nn import ModelSpec
from polyhead.text import Tokenizer

from .config import TrainingConfig


def sample_text(model: Model, config: TrainingConfig, example: str | None = None) -> dict[str, str]:
    """{"prompt", "text"}: what the model writes now, to the prompt asked for, else to the example or a line's beginning."""
    prompt = config.sample_prompt if config.sample_prompt is not None else example or "\n"
    causal = config.objective.writes == "continues"
    assert model.tokenizer is not None  # a run has one
    spec = model.text_spec
    room = sample_room(config, spec, model.tokenizer) if causal else spec.context
    temperature = 0.8 if causal else 0.0
    made = model.generate(prompt, max_tokens=min(config.sample_tokens, room), temperature=temperature, seed=0)
    return {"prompt": prompt, "text": made.text}


def sample_room(config: TrainingConfig, spec: ModelSpec, tokenizer: Tokenizer) -> int:
    """Tokens left in the context after the prompt of samples; ConfigError when there is none."""
    length = len(tokenizer.encode(config.sample_prompt if config.sample_prompt is not None else "\n"))
    if length >= spec.context:
        raise ConfigError(
            "training.sample_prompt fills the whole context", expected=f"fewer than {spec.context} tokens",
            received=f"{length} tokens", change="shorten it",
        )  # fmt: skip
    return spec.context - length
