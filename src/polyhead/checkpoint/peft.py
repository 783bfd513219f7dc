"""PEFT's adapter files ↔ low-rank updates: adapter_config.json and adapter_model.safetensors, in the names that a family's
published classes have, through the same weight tables as whole models (renaming.py).

    write_adapter(folder, net, base)      here
    read_adapter(folder, net)             peft_in.py

Where several of our maps are one matrix of theirs (GPT-2's c_attn, Phi-3's qkv_proj, NeoX's query_key_value), updates of
rank r side by side are one update of rank n·r: A's rows under each other, B in blocks, its rows in the matrix's own order. It
computes the same; read back, each map gets its rows of B and a copy of A. What learnt in full goes as `modules_to_save`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import ConfigError
from ..families import exchange, recipes
from ..nn import HeadSpec, LoraSpec, ModelSpec, Transformer
from ..nn.lora import LoRALinear, beside
from .files import make_folder, write_json
from .folder_out import check_target
from .huggingface import shared_once, table_of
from .layout import write_tensors
from .renaming import Step, disassemble, expand, joined, written
from .sentences import HEAD, split_head

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."  # of every name in an adapter: PEFT's own two wrappers
A, B = ".lora_A.weight", ".lora_B.weight"
ROWS = {"split", "groups"}  # ops that only move rows: an update's B follows them
TASKS = {"lm": "CAUSAL_LM", "classify": "SEQ_CLS", "tag": "TOKEN_CLS", "span": "QUESTION_ANS", "embed": "FEATURE_EXTRACTION", "pool": "FEATURE_EXTRACTION"}



def adapter(net: Transformer, base: str = "", source_config: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(adapter_config.json, tensors) of a network's low-rank updates and of what learnt in full beside them.

    base: the model they belong to, a path or a name on the Hub. source_config: the config.json the network was read from.
    ConfigError names the map that a published family's files cannot give an update of its own.
    """
    lora = net.spec.lora
    if lora is None:
        raise ConfigError(
            "this model has no low-rank updates", expected="a model trained with training.trained=lora", received="none",
            change="save the whole model (to=\"hf\" or \"native\")",
        )  # fmt: skip
    theirs = their_names(net, source_config)
    spec, ours, steps = theirs.spec, theirs.ours, theirs.steps()
    updates: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    experts = {t.split(".")[-2] for step in steps if len(step.theirs) > 1 for t in step.theirs if "." in t}
    turned, left = False, {n.removesuffix(".lora_a") for n, _ in net.named_parameters() if n.endswith(".lora_a")}
    for step in steps:
        stems = [name.removesuffix(".weight") for name in step.ours]
        if left.isdisjoint(stems) or not step.ours[0].endswith(".weight"):
            continue
        module = module_of(step)
        if module.rpartition(".")[2] in experts:
            raise ConfigError(
                f"PEFT would take {module} for the experts' too, whose maps have that name", expected="targets of other names",
                received=", ".join(stems), change="leave it out of the targets, save in polyhead's own format (to=\"native\"), or merge (to=\"hf\")",
            )  # fmt: skip
        updates[module + A], updates[module + B] = _together(step, [net.get_submodule(s) for s in stems], spec)
        ranks[module], turned = len(updates[module + A]), turned or "T" in step.ops
        left -= set(stems)
    if left:
        raise ConfigError(
            f"the published files of this family have no map of its own for {min(left)}", expected="targets that they have",
            received=min(left), change="save in polyhead's own format (to=\"native\"), or merge (to=\"hf\")",
        )  # fmt: skip
    full, modules = _full(net, spec, ours, steps)
    config = _config(lora, ranks, steps, modules, base, _task(spec)) | {"fan_in_fan_out": turned}
    return config, {PREFIX + name: tensor for name, tensor in (updates | full).items()}


def write_adapter(folder: str | Path, net: Transformer, base: str = "", source_config: dict[str, Any] | None = None) -> None:
    """Write an adapter's two files, each atomically, the weights first. Raises as `adapter`; CheckpointError for a folder that
    holds something else; DiskError."""
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        check_target(folder)
    config, tensors = adapter(net, base, source_config)
    make_folder(folder)
    write_tensors(folder / WEIGHTS, tensors, {"format": "pt"})
    write_json(folder / CONFIG, config)


class Theirs(NamedTuple):
    """The spec without updates, our tensors, and the rows that name them in the family's files."""

    spec: ModelSpec
    ours: dict[str, Tensor]
    rows: list[Any]
    prefix: str
    prefixes: list[str]

    def steps(self, prefix: str | None = None) -> list[Step]:
        """Those an export takes."""
        found = expand(self.rows, self.spec, self.ours, self.prefix if prefix is None else prefix)
        return list(written(found, self.spec))


def their_names(net: Transformer, source_config: dict[str, Any] | None) -> Theirs:
    spec = net.spec.model_copy(update={"lora": None})
    gone = HEAD if split_head(spec) is not None else None  # sentence-transformers writes its head elsewhere
    if gone is not None:
        states = {name: HeadSpec.model_validate(head) for name, head in exchange.STATES.items()}
        spec = spec.model_copy(update={"heads": {name: head for name, head in spec.heads.items() if name != gone} or states})
    _, reading = exchange.write_config(spec, source_config)
    rows, prefix = table_of(reading)
    if recipes()[reading.recipe]["hf"].get("renames"):
        raise ConfigError(
            f"adapter files of {reading.architecture} are not exchanged: its modules' names depend on the version of transformers",
            expected="a language model's family", received=reading.architecture, change="save in polyhead's own format (to=\"native\"), or merge (to=\"hf\")",
        )  # fmt: skip
    ours = {n: t for n, t in shared_once(net).items() if ".lora_" not in n and not n.startswith(f"heads.{gone}.")}
    return Theirs(spec, ours, rows, prefix, recipes()[reading.recipe]["hf"].get("prefixes", []))


def module_of(step: Step) -> str:
    """Their module whose weight a step is about, if an update of it can be told in ours."""
    ops = set(step.ops) - {"T", "zeros", "spare", "untied"}
    if len(step.theirs) != 1 or not step.theirs[0].endswith(".weight") or ops - ROWS or len(ops) > 1:
        raise ConfigError(
            f"PEFT's files have no update for {step.theirs[0]}, which holds {', '.join(step.ours[:3])}", expected="a matrix, or several by rows",
            received=", ".join(step.ops) or "another shape", change="leave it out of the targets, or save in polyhead's own format",
        )  # fmt: skip
    return step.theirs[0].removesuffix(".weight")


def _together(step: Step, maps: list[Any], spec: ModelSpec) -> tuple[Tensor, Tensor]:
    """(A, B) of the one matrix that a step's maps are. A map without an update has zero rows in B."""
    found = [m for m in maps if isinstance(m, LoRALinear)]
    rank = sum(len(m.lora_a) for m in found)
    blocks, at = [], 0
    for m in maps:
        block = found[0].lora_b.detach().new_zeros(int(m.out_features), rank)
        if isinstance(m, LoRALinear):
            block[:, at : at + len(m.lora_a)] = m.lora_b.detach()
            at += len(m.lora_a)
        blocks.append(block)
    a = torch.cat([m.lora_a.detach() for m in found])
    return a.contiguous(), joined([op for op in step.ops if op in ROWS], blocks, step, spec).contiguous()


def _full(net: Transformer, spec: ModelSpec, ours: dict[str, Tensor], steps: list[Step]) -> tuple[dict[str, Tensor], list[str]]:
    """Their tensors of what learnt in full, and the modules that hold them and nothing else."""
    chosen = [name for name in beside(net) if name in ours]
    tied = {name for name, head in spec.heads.items() if head.tied}
    shared = [n for n in chosen if n.split(".")[1] in tied or tied and n.endswith("embed.token")]
    if shared:
        raise ConfigError(
            f"{shared[0]} is tied, and PEFT's files would hold a second matrix", expected="heads or tables of their own beside the updates",
            received=shared[0], change="save the whole model (to=\"hf\"), or leave it out of trained.also",
        )  # fmt: skip
    mine = [step for step in steps if not set(step.ours).isdisjoint(chosen)]
    found = disassemble(mine, {n: ours[n] for n in chosen}, spec) if set(chosen) == {n for s in mine for n in s.ours} else None
    rest = [t for step in steps if step not in mine for t in step.theirs]
    modules = {_widest(name.rpartition(".")[0], rest) for name in found or ()}
    others = [t for t in rest if any(t.startswith(f"{m}.") for m in modules)]
    if found is None or others or "" in modules:
        raise ConfigError(
            "PEFT's files hold whole modules, and not all of one learnt", expected="trained.also that names whole parts",
            received=", ".join((others or chosen)[:2]), change="name the rest of it too, or save the whole model",
        )  # fmt: skip
    tensors = {name: (t if isinstance(t, Tensor) else t.get()).detach().contiguous() for name, t in found.items()}
    return tensors, sorted(modules)


def _widest(module: str, rest: list[str]) -> str:
    """The module, or the widest around it that holds nothing of the rest."""
    while (wider := module.rpartition(".")[0]) and not any(t.startswith(f"{wider}.") for t in rest):
        module = wider
    return module


def _task(spec: ModelSpec) -> str | None:
    task = next(iter(spec.heads.values())).task
    return "SEQ_2_SEQ_LM" if task == "lm" and len(spec.stacks) == 2 else TASKS.get(task)


def _config(lora: LoraSpec, ranks: dict[str, int], steps: list[Step], modules: list[str], base: str, task: str | None) -> dict[str, Any]:
    rank = max(ranks.values()) if len(set(ranks.values())) == 1 else lora.rank
    alphas = {r: _whole(lora.scale * (r**0.5 if lora.rslora else r)) for r in {rank, *ranks.values()}}
    return {
        "peft_type": "LORA", "task_type": task, "base_model_name_or_path": base, "r": rank, "lora_alpha": alphas[rank],
        "lora_dropout": lora.dropout, "target_modules": _short(set(ranks), {s.theirs[0].removesuffix(".weight") for s in steps}),
        "modules_to_save": modules or None, "rank_pattern": {m: r for m, r in ranks.items() if r != rank},
        "alpha_pattern": {m: alphas[r] for m, r in ranks.items() if r != rank}, "use_rslora": lora.rslora, "use_dora": False,
        "bias": "none", "init_lora_weights": True, "inference_mode": True,
    }  # fmt: skip


def _whole(x: float) -> float | int:
    return int(x) if x == int(x) else x


def _short(chosen: set[str], every: set[str]) -> list[str]:
    """The last parts of the names, where they say exactly the chosen ones; else the names."""
    ends = {name.rpartition(".")[2] for name in chosen}
    return sorted(ends if {name for name in every if name.rpartition(".")[2] in ends} == chosen else chosen)
