"""Instruction tuning: of a conversation, or a prompt with its completion, only what the model is to say is learnt (FLAN, Wei
et al. 2022; InstructGPT's first stage, Ouyang et al. 2022, arXiv 2203.02155, §3.1)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from polyhead.data import Instruct, Objective, PairFile
from polyhead.families import for_objective
from polyhead.nn import ModelSpec
from polyhead.text.turns import end_of_turn

from .base import Given, ObjectiveSpec


class InstructSpec(ObjectiveSpec):
    """The next token, with weight on the assistant's turns, their ends included. over: what becomes of longer rows."""

    kind: Literal["instruct"] = "instruct"
    asks: ClassVar[str] = "what the assistant says, or the completion of a prompt"
    over: Literal["truncate", "drop"] = "truncate"
    takes: ClassVar[tuple[str, ...]] = ("chat", "pairs")
    writes: ClassVar[Literal["continues"]] = "continues"
    steady: ClassVar[bool] = False

    def makes(self, spec: ModelSpec) -> str:
        return "causal"

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        return for_objective(spec, "causal")

    def dataset(self, file: Any, given: Given) -> Objective:
        return Instruct(file, given.context, over=self.over)

    def meta(self, train: Objective, given: Given) -> dict[str, Any]:
        """Where writing stops: at the end of the assistant's turn, as the chat template has it; of prompts with completions at <eos>."""
        assert isinstance(train, Instruct)
        return {"eos": given.words.eos if isinstance(train.file, PairFile) else end_of_turn(given.words)}
