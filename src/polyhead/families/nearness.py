"""A config.json of no known model_type: which families come nearest, by its keys and its weights' names, and what differs.

    for near in nearest_families(config, names): print(near)

A key counts for a family that reads it; one that no family reads, but most configs of transformers have (USUAL), counts
for none. A weight's name counts where the family's table has it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from .presets import recipes

Config = dict[str, Any]

USUAL = re.compile(
    r"model_type|architectures|_.*|transformers_version|(torch_)?dtype|.*_token_id|use_cache|(id2label|label2id|num_labels)|initializer_.*"
    r"|output_.*|return_dict.*|is_(en|de)coder.*|add_cross_attention|tie_.*|torchscript|pruned_heads|prefix|problem_type|task_specific_params"
    r"|auto_map|chunk_size_feed_forward|cross_attention_.*|finetuning_task|gradient_checkpointing|name_or_path|.*dropout.*|.*pdrop|.*layerdrop|init_std|summary_.*|pretraining_tp|tokenizer_class"
)  # fmt: skip
_OPS = {"@rope": ("rope_theta", "rope_scaling", "rope_parameters", "rotary_emb_base", "original_max_position_embeddings"), "@labels": ("id2label",)}
_SHOWN = 4  # keys or names in a line


class Near(NamedTuple):
    """recipe: its name; model_type: what a config of it says. keys, names: how many of the config's and the weights' it
    reads, `of` all; unsaid: keys it reads that the config lacks; odd: keys it does not read; needed: keys it cannot do without, and the config lacks; strange: names of
    weights it does not have, {i} for numbers."""

    recipe: str
    model_type: str
    keys: int
    of_keys: int
    names: int
    of_names: int
    unsaid: int
    odd: tuple[str, ...]
    needed: tuple[str, ...]
    strange: tuple[str, ...]

    @property
    def score(self) -> float:
        """Mean of the shares read; a needed key that is not there counts like one that is not read."""
        found = [self.keys / max(1, self.of_keys + len(self.needed))]
        found += [self.names / self.of_names] if self.of_names else []
        return sum(found) / len(found)

    def __str__(self) -> str:
        words = f"{self.model_type} reads {self.keys} of {self.of_keys} settings"
        words += f" and {self.names:,} of {self.of_names:,} weights" if self.of_names else ""
        for told, many in (("not", self.odd), ("it needs", self.needed), ("has no weight", self.strange)):
            words += f"; {told} {_few(many)}" if many else ""
        return words


def nearest_families(config: Config, names: Iterable[str] = (), count: int = 3) -> list[Near]:
    """The families that read most of a config and of its weights' names, best first; none that reads less than a third."""
    asked = [key for key, value in config.items() if isinstance(key, str) and value is not None and not USUAL.fullmatch(key)][:500]
    stems = list(dict.fromkeys(re.sub(r"(?<=\.)\d+(?=\.|$)", "{i}", name) for name in names))
    found: dict[str, Near] = {}
    for name, recipe in recipes().items():
        if not recipe.get("hf", {}).get("types"):
            continue
        near = _near(name, recipe["hf"], asked, stems)
        best = found.get(near.model_type)
        found[near.model_type] = near if best is None or near.score > best.score else best
    kind = str(config.get("model_type")).lower()
    ranked = sorted(found.values(), key=lambda near: (-round(near.score, 2), -_alike(kind, near.model_type), near.unsaid))
    return [near for near in ranked[:count] if near.score > 1 / 3]


def _near(name: str, hf: Config, asked: list[str], stems: list[str]) -> Near:
    known, required = _keys(hf)
    odd = tuple(key for key in asked if key not in known)
    needed = tuple(keys[0] for keys in required if not set(keys) & set(asked))
    strange: tuple[str, ...] = ()
    if stems:
        have = _weights(hf)
        strange = tuple(stem for stem in stems if not have.fullmatch(stem))
    return Near(name, hf["types"][0], len(asked) - len(odd), len(asked), len(stems) - len(strange), len(stems), len(known - set(asked)), odd, needed, strange)


def _keys(hf: Config) -> tuple[set[str], list[list[str]]]:
    """(every key that a family's rows read, the spellings of each that it cannot do without)."""
    known: set[str] = set(hf.get("when", {}))
    required = []
    for key, _, *rest in hf["config"]:
        spelled = [key] if isinstance(key, str) else list(key)
        if spelled[0].startswith("@"):
            known |= {*_OPS.get(spelled[0], ()), *_texts(rest)}
            continue
        known |= {word.removeprefix("<") for word in spelled}
        required += [spelled] if not rest else []
    return known, required


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _weights(hf: Config) -> re.Pattern[str]:
    """The family's names of weights, as one pattern over names whose numbers are written {i}."""
    prefixes = "|".join(re.escape(prefix) for prefix in ["", *hf.get("prefixes", [])])
    rows = [re.sub(r"(?<=\.)\d+(?=\.)", "{i}", row) for row in _theirs(hf)]
    return re.compile("|".join(_pattern(row, prefixes) for row in rows))


def _theirs(hf: Config) -> list[str]:
    return [row[0] for row in hf["weights"] if len(row) > 1] + list(hf.get("drop", []))


def _pattern(row: str, prefixes: str) -> str:
    out = ""
    for part in re.split(r"(\{[^{}]*\}|\*|~)", row):
        if part == "~":
            out += f"(?:{prefixes})"
        elif part == "*":
            out += "[a-z_]+"
        elif part.startswith("{") and "|" in part:
            out += "(?:" + "|".join(re.escape(word) for word in part[1:-1].split("|")) + ")"
        else:
            out += re.escape("{i}" if part.startswith("{") else part)
    return out


def _alike(a: str, b: str) -> float:
    """How alike two names are: 1 where one is part of the other, as in mbart; 0 for most."""
    a, b = a[:100], b[:100]  # no name is longer, and the time grows with the square
    ratio = difflib.SequenceMatcher(None, a, b).ratio()
    return 1.0 if a in b or b in a else ratio if ratio > 0.75 else 0.0


def _few(many: tuple[str, ...]) -> str:
    short = [one if len(one) <= 60 else one[:57] + "…" for one in many[:_SHOWN]]
    return ", ".join(short) + (f" and {len(many) - _SHOWN} more" if len(many) > _SHOWN else "")
