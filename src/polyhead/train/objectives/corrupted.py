"""Damaged text in, what was lost out: span corruption (T5), denoising (BART), and texts whose first part is given."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from polyhead.data import Corrupted, Denoising, Objective, Prefix
from polyhead.errors import ConfigError
from polyhead.families import for_objective, override
from polyhead.nn import ModelSpec

from .base import Given, ObjectiveSpec


class CorruptedSpec(ObjectiveSpec):
    """Spans are taken out of the text and asked for behind sentinels: 15 % of the tokens, spans of 3 on average (T5, Raffel et
    al. 2020, arXiv 1910.10683, §3.1.4 and §3.3.4). A tokenizer trained for it reserves 100 sentinels."""

    kind: Literal["corrupted"] = "corrupted"
    asks: ClassVar[str] = "the spans that were taken out, each behind its sentinel"
    rate: float = Field(0.15, gt=0, lt=1)
    mean_span: float = Field(3.0, ge=1)

    @property
    def sentinels(self) -> int:
        return 100

    def makes(self, spec: ModelSpec) -> str:
        return "seq2seq"

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        return for_objective(spec, "seq2seq")

    def dataset(self, file: Any, given: Given) -> Objective:
        return Corrupted(file, given.context, given.words, rate=self.rate, mean_span=self.mean_span)


class DenoisingSpec(ObjectiveSpec):
    """The whole text for a damaged one: spans of Poisson(3) tokens behind one <mask> each, 30 % in all, and sentences in a
    random order (BART, Lewis et al. 2020, arXiv 1910.13461, §2.2 and §5)."""

    kind: Literal["denoising"] = "denoising"
    asks: ClassVar[str] = "the whole text, from a damaged one"
    rate: float = Field(0.3, gt=0, lt=1)
    poisson: float = Field(3.0, gt=0)
    noise: Literal["infill", "mask", "delete"] | None = "infill"
    permute: bool = True
    rotate: bool = False
    steady: ClassVar[bool] = False

    def makes(self, spec: ModelSpec) -> str:
        return "seq2seq"

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        return for_objective(spec, "seq2seq")

    def dataset(self, file: Any, given: Given) -> Objective:
        return Denoising(
            file, given.context, given.words, rate=self.rate, poisson=self.poisson, noise=self.noise, permute=self.permute, rotate=self.rotate
        )


class PrefixSpec(ObjectiveSpec):
    """The rest of a text whose first part, of a random length, is read in both directions (T5, §3.2.1). The decoder's causal
    pattern becomes the one of a prefix; prompts are prefixes from then on."""

    kind: Literal["prefix"] = "prefix"
    asks: ClassVar[str] = "what comes behind a beginning that is read in both directions"
    writes: ClassVar[Literal["continues"]] = "continues"

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        patterns = {} if spec.decoder is None else {n: b.attention.pattern.kind for n, b in spec.decoder.blocks.items()}
        others = sorted(set(patterns.values()) - {"causal", "prefix"})
        if others:
            raise ConfigError("objective prefix reads prefixes in both directions", expected="layers of pattern causal", received=others[0], change="choose a decoder without windows")
        plain = override(spec, {f"decoder.blocks.{name}.attention.pattern": {"kind": "causal"} for name in patterns}) if patterns else spec
        ready = for_objective(plain, "causal")
        return override(ready, {f"decoder.blocks.{name}.attention.pattern": {"kind": "prefix"} for name in patterns})

    def dataset(self, file: Any, given: Given) -> Objective:
        return Prefix(file, given.context, documents=given.documents)
