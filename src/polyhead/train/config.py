"""One config sets a run: what to train, on what, how. YAML in a run's folder; `section.field=value` on the command line."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from polyhead.text.training import check_options

from .objectives import CausalSpec, ObjectiveChoice
from .optim import AdamWSpec, OptimizerSpec
from .schedule import Cosine, Schedule
from .trained import All, TrainedSpec


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class DataConfig(_Config):
    """Where the text comes from and how it is cut."""

    path: str | tuple[str, ...] = Field(description="file, folder, pair of files `a.de,a.en`, or a Hub name owner/name:subset[part]")
    validation: str | tuple[str, ...] | None = Field(None, description="a held-out source; None splits the data itself")
    columns: str | None = Field(None, description="`text` column, or `source,target` columns")
    kind: Literal["text", "pairs", "labelled", "tagged", "questions", "chat", "preferences", "images"] | None = Field(
        None, description="what the data holds where its shape leaves several; None: as it looks"
    )
    labels: Literal["classes", "numbers"] | None = Field(
        None, description="what whole numbers are that label texts; None: classes, unless some have a fraction"
    )
    holdout: float = Field(0.05, gt=0, lt=1, description="share of documents held out when validation is None")
    held: Literal["drawn", "last"] = Field("drawn", description="which documents: drawn by the seed, or the last ones")
    split: Literal["file", "blank", "line"] = Field("file", description="where a text file's documents end")
    documents: bool = Field(False, description="never attend across the boundaries of packed documents")
    header: bool | None = Field(None, description="whether a table's first row holds names; None: as it looks")
    image_size: int | None = Field(None, gt=0, description="side to which pictures are resized; None: the trained model's, or as they are")
    repair: bool = Field(False, description="repair text that was decoded with the wrong encoding")
    max_bad: float = Field(0.01, ge=0, le=1, description="stop above this share of broken rows")


class TokenizerConfig(_Config):
    """Train one from the data, or take one from a file."""

    kind: Literal["words", "chars", "bytes", "byte_bpe", "bpe", "wordpiece", "unigram", "sentencepiece"] = "byte_bpe"
    vocab_size: int | None = Field(None, gt=0, description="None: the kind's own default")
    path: str | None = Field(None, description="an existing tokenizer.json, used as it is")
    split: Literal["words", "spaces", "lines"] | None = Field(None, description="of words: apart from signs, between blanks, line ends too")
    lowercase: bool | None = Field(None, description="of wordpiece: everything in small letters")
    min_frequency: int | None = Field(None, gt=0, description="how often a word or a merge must come to be kept")

    def options(self) -> dict[str, Any]:
        """What is said beyond the kind's own ways."""
        return {name: value for name in ("split", "lowercase", "min_frequency") if (value := getattr(self, name)) is not None}

    @model_validator(mode="after")
    def _applies(self) -> TokenizerConfig:
        check_options(self.kind, self.options())
        return self


class TrainingConfig(_Config):
    """The loop. Counts of steps are optimizer updates; batch is the global number of samples per update."""

    objective: ObjectiveChoice = CausalSpec()
    steps: int = Field(1000, gt=0)
    epochs: float | None = Field(None, gt=0, description="times over the data, in place of steps")
    batch: int = Field(32, gt=0)
    accumulate: int = Field(1, gt=0, description="micro-batches per update; must divide batch")
    context: int | None = Field(None, gt=0, description="tokens per sample; None = the model's context")
    trained: TrainedSpec = Field(All(), description="all, heads, parts or lora")
    optimizer: OptimizerSpec = AdamWSpec()
    schedule: Schedule = Cosine()
    clip: Annotated[float, Field(ge=0)] = Field(1.0, description="largest gradient norm; 0 = no clipping")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    z_loss: float = Field(0.0, ge=0)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    checkpointing: bool = Field(False, description="recompute layers in the backward pass to save memory")
    ema: float | None = Field(None, gt=0, lt=1, description="decay of an average of the weights, used for evaluation")
    best: str | None = Field(None, description="a figure of the evaluation, such as loss or accuracy: the run ends with the weights that had the best; None: with the last")
    device: str = "auto"
    threads: int | None = Field(None, gt=0)
    log_every: int = Field(10, gt=0)
    eval_every: int | None = Field(None, gt=0, description="None: about ten times a run")
    eval_batches: int | None = Field(None, gt=0, description="None: the whole held-out part")
    sample_every: int | None = Field(None, ge=0, description="None: whenever it evaluates; 0: never")
    sample_prompt: str | None = None
    sample_tokens: int = Field(120, gt=0)
    save_every: int | None = Field(None, gt=0, description="None: whenever it evaluates")
    keep: int = Field(2, gt=0, description="checkpoints kept")
    tensorboard: bool = False

    @model_validator(mode="after")
    def _divides(self) -> TrainingConfig:
        if self.batch % self.accumulate:
            raise ValueError(f"accumulate must divide batch: got batch {self.batch}, accumulate {self.accumulate}")
        return self

    def every(self, field: Literal["eval_every", "save_every", "sample_every"]) -> int:
        """The resolved interval; 0 = never."""
        value = getattr(self, field)
        if value is not None:
            return value
        return max(1, -(-self.steps // 10)) if field == "eval_every" else self.every("eval_every")


class RunConfig(_Config):
    """Everything about a run. model is a preset, a spec file, or a trained model (a folder, owner/name) to go on from;
    overrides are dotted paths into the spec. also: what settings are called in other programs, for whoever writes that."""

    also: ClassVar[dict[str, str]] = {
        "learning_rate": "lr", "batch_size": "batch", "per_device_train_batch_size": "batch", "num_train_epochs": "epochs",
        "num_epochs": "epochs", "max_steps": "steps", "num_steps": "steps", "iterations": "steps", "warmup_steps": "warmup",
        "warmup_ratio": "warmup", "lr_scheduler_type": "schedule", "gradient_accumulation_steps": "accumulate",
        "max_grad_norm": "clip", "grad_clip": "clip", "gradient_checkpointing": "checkpointing", "eval_steps": "eval_every",
        "logging_steps": "log_every", "save_steps": "save_every", "save_total_limit": "keep", "max_length": "context",
        "max_seq_length": "context", "block_size": "context", "seq_len": "context", "vocab": "vocab_size", "bf16": "precision",
        "fp16": "precision", "dtype": "precision", "torch_compile": "compile", "validation_split": "holdout",
    }  # fmt: skip
    version: int = 2
    model: str
    overrides: dict[str, Any] = {}
    data: DataConfig
    tokenizer: TokenizerConfig = TokenizerConfig()
    training: TrainingConfig = TrainingConfig()
    seed: int = Field(0, ge=0)
