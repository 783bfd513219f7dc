"""The table of families, docs/families.md: what each one is, from its own literals; what was measured, from families.json.

families.py measures. Nothing here needs transformers, so a test can hold the page against both at any time.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tests.parity.cases import CASES, Case

from polyhead import families
from polyhead.families import exchange
from polyhead.families.presets import FAMILIES, PAIRS
from polyhead.nn import BlockSpec, ModelSpec, PairSpec, StackSpec

ROOT = Path(__file__).parents[1]
PAGE, MEASURED = ROOT / "docs" / "families.md", ROOT / "benchmarks" / "families.json"
MARKS = ("<!-- families: written by python -m benchmarks.families -->", "<!-- end of families -->")
SHAPES = ("Encoders", "Decoders", "Encoder–decoders", "Pictures and sound")


class Family(NamedTuple):
    """One recipe that reads a Hugging Face model_type, or a pair of two. specs: of its published sizes, or of its test checkpoints."""

    name: str
    types: list[str]
    classes: dict[str, list[str]]
    specs: list[ModelSpec | PairSpec]
    cases: list[Case]


# ---------------------------------------------------------------- who there is


def reader(case: Case) -> str | None:
    """The recipe, or the pair, that reads a case's checkpoint. None: nothing does."""
    for name, data in PAIRS.items():
        if case.model == data["class"]:
            return name
    for name, recipe in families.recipes().items():
        hf = recipe.get("hf", {})
        if case.model in hf.get("classes", ()) and exchange.fits(config_of(case, hf["types"][0]), hf):
            return name
    return None


def config_of(case: Case, kind: str) -> dict[str, Any]:
    """What its config.json says; what its fields leave open is as transformers' class has it."""
    return {"model_type": kind, "architectures": [case.model], **case.fields}


def found() -> list[Family]:
    """Every recipe with an hf section, in the order of the package, and every pair."""
    cases: dict[str | None, list[Case]] = {}
    for case in CASES:
        cases.setdefault(reader(case), []).append(case)
    single = [
        Family(name, hf["types"], hf["classes"], _specs(name, cases.get(name, [])), cases.get(name, []))
        for name, recipe in families.recipes().items() if (hf := recipe.get("hf"))
    ]  # fmt: skip
    return single + [
        Family(name, data["types"], {data["class"]: ["pair"]}, [families.pair(two) for two in data["presets"]], cases.get(name, []))
        for name, data in PAIRS.items()
    ]  # fmt: skip


def _specs(name: str, cases: list[Case]) -> list[ModelSpec | PairSpec]:
    """Its presets'; without one, that of its first checkpoint; without that, its base's."""
    published = [own for f in FAMILIES.values() for own, values in f.PRESETS.items() if values["recipe"] == name]
    specs = [spec for spec in map(families.preset, published) if spec.family == name]
    kind = families.recipes()[name]["hf"]["types"][0]
    specs = specs or [exchange.read_config(config_of(case, kind), case.name).spec for case in cases[:1]]
    base = next(f.RECIPES[name].get("base") for f in FAMILIES.values() if name in f.RECIPES)
    return specs or _specs(base, [])


def stacks(spec: ModelSpec | PairSpec) -> dict[str, StackSpec]:
    return {"image": spec.image.top, "text": spec.text.top} if isinstance(spec, PairSpec) else spec.stacks


def shape(spec: ModelSpec | PairSpec) -> str:
    if any(stack.embedding.vocab is None for stack in stacks(spec).values()):
        return SHAPES[3]
    return SHAPES[2] if len(stacks(spec)) == 2 else SHAPES[0] if "encoder" in stacks(spec) else SHAPES[1]


# ---------------------------------------------------------------- the axes in words

NORMS = {"layer": "LayerNorm", "rms": "RMSNorm", "none": "none"}
PLACES = {
    "pre": "before each sublayer", "post": "after each sum", "sandwich": "before and after each sublayer", "inner": "on each sublayer's output",
    "none": "nowhere",
}  # fmt: skip
PARALLEL = {"no": "", "one_norm": "; attention and feed-forward side by side, one norm", "two_norms": "; side by side, a norm each"}
ACTS = {"gelu_tanh": "gelu (tanh)", "quick_gelu": "quick gelu", "clamped_swiglu": "clamped swiglu"}
POSITIONS = {"buckets": "distance buckets", "alibi": "ALiBi"}


def norm(stack: StackSpec, block: BlockSpec) -> str:
    kind, residual = block.norm, block.residual
    name = NORMS.get(kind.kind, kind.kind) + (" (1 + w)" if getattr(kind, "gain", None) == "one_plus" else "")
    name += " without bias" if kind.kind == "layer" and not kind.bias else ""
    gain = {"none": "", "layer_scale": "; LayerScale"}.get(residual.gain.kind, f"; {residual.gain.kind}")
    return f"{name} {PLACES[residual.placement]}{PARALLEL[residual.parallel]}{gain}"


def position(stack: StackSpec, block: BlockSpec) -> str:
    own, inside = stack.embedding.position, block.attention.position
    told = [] if own.kind == "none" else [own.kind]
    if inside.kind == "rotary":
        heads = block.attention.heads
        dim = heads.dim(stack.width) if heads.kind == "grouped" else heads.rope
        part = " on a part of each head" if heads.kind == "latent" or inside.dim not in (None, dim) else ""
        told.append("rotary" + part + (f" ({inside.scaling.kind})" if inside.scaling else ""))
    elif inside.kind != "none":
        told.append(POSITIONS.get(inside.kind, inside.kind))
    return " and ".join(told) or "none"


def heads(stack: StackSpec, block: BlockSpec) -> str:
    spec = block.attention.heads
    if spec.kind == "latent":
        return "latent"
    name = "multi-head" if spec.kv == spec.heads else "multi-query" if spec.kv == 1 else "grouped"
    more = [word for word, there in (("q, k normed", spec.qk_norm), ("soft cap", spec.softcap), ("sinks", spec.sinks)) if there]
    more += ["own projections for global tokens"] if block.attention.global_heads else []
    return ", ".join([name, *more])


def pattern(stack: StackSpec, block: BlockSpec) -> str:
    def say(choice: Any) -> str:
        if choice.kind in ("and", "or"):
            return {"and": " within ", "or": " + "}[choice.kind].join(say(part) for part in choice.parts)
        names = {"marked": "global tokens", "block_sparse": "blocks and random blocks"}
        return names.get(choice.kind, choice.kind)

    return say(block.attention.pattern)


def feed_forward(stack: StackSpec, block: BlockSpec) -> str:
    ffn = block.ffn
    act = ACTS.get(ffn.act, ffn.act)
    if ffn.kind != "experts":
        return f"{ffn.kind}, {act}"
    more = [f"{ffn.router} router"] + ([f"best {ffn.top_groups} of {ffn.groups} groups"] if ffn.groups > 1 else [])
    more += ["a shared one"] if ffn.shared else []
    return f"{ffn.top_k} of {ffn.experts} experts, {act} ({', '.join(more)})"


def biases(stack: StackSpec, block: BlockSpec) -> str:
    spec = block.attention.heads
    mine = spec.bias if isinstance(spec.bias, str) else "qkvo" * spec.bias
    inner = bool(block.ffn.bias)
    if mine == "qkvo" and inner:
        return "all"
    told = [", ".join(mine)] if mine else []
    return "; ".join([*told, *(["feed-forward"] if inner else [])]) or "none"


def embedding(stack: StackSpec, block: BlockSpec) -> str:
    spec = stack.embedding
    if spec.input.kind != "tokens":
        told = [spec.input.kind]
    else:
        told = ["factorised"] if spec.width not in (None, stack.width) else []
    told += ["types"] if spec.types else []
    told += ["norm"] if spec.norm else []
    told += ["scaled"] if spec.scale != 1 else []
    told += [f"layers share weights ({stack.sharing.kind})"] if stack.sharing.kind != "none" else []
    return ", ".join(told) or "plain"


AXES: dict[str, Callable[[StackSpec, BlockSpec], str]] = {
    "norm": norm, "positions": position, "heads": heads, "pattern": pattern, "feed-forward": feed_forward, "biases": biases, "embedding": embedding,
}  # fmt: skip


def values(family: Family, axis: str) -> str:
    """An axis over all sizes, stacks and kinds of layer of a family; what differs between the two stacks says whose it is."""
    told: dict[str, list[str]] = {}
    for spec in family.specs:
        for name, stack in stacks(spec).items():
            for kind in dict.fromkeys(stack.kind(i) for i in range(stack.layers)):
                told.setdefault(name, []).append(AXES[axis](stack, stack.blocks[kind]))
    sides = {name: "<br>".join(dict.fromkeys(words)) for name, words in told.items()}
    if len(set(sides.values())) == 1:
        return next(iter(sides.values()))
    return "<br>".join(f"{name}: {words}" for name, words in sides.items())


def output(family: Family) -> str:
    """Whether the matrix of the language model's head is the table."""
    asked = [head for head in ("lm", "mlm") if head in _heads(family)]
    if not asked:
        return "–"
    recipe = families.recipes()[family.name]
    tied = {exchange.fill(recipe["hf"]["heads"][head].get("tied", False), recipe["values"]) for head in asked}
    tied |= {head.tied for spec in family.specs for head in spec.heads.values() if head.task in ("lm", "mlm")}
    return "tied" if tied == {True} else "its own" if tied == {False} else "tied or its own"


def _heads(family: Family) -> list[str]:
    return list(dict.fromkeys(head for own in family.classes.values() for head in own))


# ---------------------------------------------------------------- the page


def table(columns: list[str], rows: Iterable[Iterable[str]], right: Iterable[str] = ()) -> str:
    rule = ["---:" if column in right else "---" for column in columns]
    return "\n".join("| " + " | ".join(line) + " |" for line in (columns, rule, *rows))


def axes_table(group: list[Family]) -> str:
    rows = [[f"`{f.name}`", *(values(f, axis) for axis in AXES), output(f)] for f in group]
    return table(["family", *AXES, "output matrix"], rows)


def measured_table(group: list[Family], numbers: dict[str, Any]) -> str:
    rows = []
    for f in group:
        own = numbers.get(f.name)
        row = ["not measured"] * 5 if own is None else [
            f"{own['in']:.1e}", f"{own['out']:.1e}", f"{own['largest']:.1f}", "yes" if own["equal"] else "no", str(own["cases"])]  # fmt: skip
        rows.append([f"`{f.name}`", ", ".join(f"`{t}`" for t in f.types), ", ".join(_heads(f)) or "hidden states", *row])
    columns = ["family", "model_type", "heads", "Δ in", "Δ out", "largest", "weights bit-equal", "checkpoints"]
    return table(columns, rows, right=("Δ in", "Δ out", "largest", "checkpoints"))


def classes_list(all_families: list[Family]) -> str:
    def say(own: dict[str, list[str]]) -> str:
        return ", ".join(f"`{name}`" + (f" ({' and '.join(heads)})" if heads else "") for name, heads in own.items())

    return "\n".join(f"- **{f.name}**: {say(f.classes)}" for f in all_families)


def sizes() -> dict[str, int]:
    """Lines of each family's file."""
    folder = Path(families.__file__).parent
    return {name: len((folder / f"{name}.py").read_text(encoding="utf-8").splitlines()) for name in FAMILIES if (folder / f"{name}.py").exists()}


def sizes_text() -> str:
    lines = sizes()
    listed = ", ".join(f"`{name}` {n}" for name, n in sorted(lines.items(), key=lambda item: (item[1], item[0])))
    return f"{len(lines)} files, {statistics.median(lines.values()):g} lines at the median: {listed}."


def render(numbers: dict[str, Any]) -> str:
    """What stands between the page's marks."""
    everyone = found()
    parts = []
    for title in SHAPES:
        group = [f for f in everyone if shape(f.specs[0]) == title]
        parts += [f"## {title}", axes_table(group), measured_table(group, numbers["families"])]
    where = f"torch {numbers['torch']}, transformers {numbers['transformers']}, fp32 on a CPU"
    parts += ["## With what it was measured", f"{where}; again with `python -m benchmarks.families`."]
    parts += ["## Classes", "A class without a head in brackets gives hidden states.", classes_list(everyone)]
    parts += ["## Lines", sizes_text()]
    return "\n\n".join(parts)


def renew(page: Path = PAGE, measured: Path = MEASURED) -> None:
    """Write the page's tables between its marks."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(MARKS[0])
    body = render(json.loads(measured.read_text(encoding="utf-8")))
    page.write_text(f"{before}{MARKS[0]}\n{body}\n{MARKS[1]}{rest.partition(MARKS[1])[2]}", encoding="utf-8")
