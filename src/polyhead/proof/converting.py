"""From one kind of folder to another, with a proof: what was written is read back, its weights are compared bit for bit,
its answers with the original's, and, where transformers is installed, with those of transformers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..checkpoint import resolve
from ..checkpoint.folder_out import MAX_SHARD, check_target
from ..errors import ConfigError, ProofError, UserError
from ..families.laying import differences, resolved
from ..generate import Model
from ..generate.folder import CONFIG, SPEC, weights, write_folder, write_huggingface
from ..generate.model import open_folder
from ..nn import ModelSpec, PairSpec, Transformer, merged
from .ours import Ours
from .reference import Reference, installed
from .verifying import Report, answers, beside, between, reach, ready
from .weights import compare_weights


@dataclass(frozen=True)
class Converted:
    """out: the folder. proof: the result beside the original. reference: beside transformers, None where it was not asked;
    why then says why."""

    out: Path
    proof: Report
    reference: Report | None
    why: str = ""

    def require(self) -> Converted:
        """Raise ProofError unless everything is equal."""
        for report in (self.proof, self.reference):
            if report is not None and not report.equal:
                try:
                    report.require()
                except ProofError as error:
                    error.change = f"do not use {self.out}: it was written, and is not the model it should be"
                    raise
        return self

    def as_dict(self) -> dict[str, Any]:
        reference = None if self.reference is None else self.reference.as_dict()
        equal = self.proof.equal and (self.reference is None or self.reference.equal)
        return {"out": str(self.out), "equal": equal, "proof": self.proof.as_dict(), "reference": reference, "why": self.why}


def convert(
    model: str | Path, to: str, out: str | Path, *, dtype: torch.dtype | None = None, max_shard: int | None = None,
    unsafe_pickle: bool = False, device: torch.device | str = "cpu",
) -> Converted:  # fmt: skip
    """Write a model (a run, a folder, owner/name on the Hub) as a Hugging Face folder ("hf") or as polyhead's own
    ("native"), then prove it.

    dtype: what real numbers are stored in; None: each as it is. max_shard: bytes per file of a Hugging Face folder.
    unsafe_pickle: read old pickled weights, in a process of their own. Nothing is raised for a proof that fails:
    `Converted.require` does. Raises ConfigError naming what the target cannot express, CheckpointError, DiskError.
    """
    folder, out = resolve(model, unsafe_pickle), Path(out)
    _check(folder, to, out, max_shard)
    original = open_folder(folder, unsafe_pickle=unsafe_pickle, mixed=True)
    meta = {**original.meta, "objective": original.objective}
    if to == "hf":
        write_huggingface(out, original.net, original.tokenizer, meta, dtype, max_shard or MAX_SHARD)
    else:
        write_folder(out, original.net, original.tokenizer, meta, dtype)
    return _proved(str(model), original, folder, out, dtype, device)


def _check(folder: Path, to: str, out: Path, max_shard: int | None) -> None:
    if to not in ("hf", "native"):
        raise ConfigError("there is no such format", expected="hf | native", received=repr(to))
    if max_shard is not None and to == "native":
        raise UserError("polyhead's own format is one file", expected="no largest shard", received=f"{max_shard:,} bytes", change="leave it out")
    if out.exists() and folder.exists() and out.resolve() == folder.resolve():
        raise UserError("a model is not converted in place", expected="a folder of its own for the result", received=f"{out} twice", change="name another folder: -o OUT")
    if folder.resolve() in out.resolve().parents:
        raise UserError("a model does not belong inside another's folder", expected=f"a folder outside {folder}", received=str(out), change="name another folder: -o OUT")
    check_target(out)


def _proved(name: str, original: Model, folder: Path, out: Path, dtype: torch.dtype | None, device: torch.device | str) -> Converted:
    written = open_folder(out, mixed=True)
    kept, notes = original.net, []
    if isinstance(kept, Transformer) and isinstance(written.net, Transformer) and kept.spec.lora != written.net.spec.lora:
        kept, notes = merged(kept), ["low-rank updates were merged: the weights are compared with the sums, the answers with the original's"]
    same = compare_weights(weights(kept), weights(written.net), dtype)
    notes += _specs(kept.spec, written.spec)
    said = answers(ready(original, dtype, torch.float32, device), None, 0)
    notes += reach(original, said)
    spec, size = kept.spec, kept.spec.params().total
    del original, kept
    proof = between(name, str(out), said, Ours(ready(written, None, torch.float32, device)), same, notes)
    if same is None:
        raise ProofError(f"{out} holds other tensors than {name}", expected="the same names and shapes", change=f"do not use {out}")
    del written
    reads = out if (out / CONFIG).exists() else folder
    why = _why(reads, out, dtype)
    if why:
        return Converted(out, proof, None, why)
    return Converted(out, proof, beside(str(reads), said, Reference(reads, spec, device=device), size, []))


def _specs(original: ModelSpec | PairSpec, written: ModelSpec | PairSpec) -> list[str]:
    """Notes on what differs in the two architectures: nothing that changes the function is let through by writing."""
    if isinstance(original, PairSpec) or isinstance(written, PairSpec):
        return []
    found = next(differences(resolved(original), resolved(written)), None)
    return [] if found is None else [f"{found[0]} is {found[2]} there, {found[1]} here"]


def _why(reads: Path, out: Path, dtype: torch.dtype | None) -> str:
    """Why transformers is not asked; empty if it is."""
    if not installed():
        return "not compared with transformers, which is not installed"
    if not (reads / CONFIG).exists() or (reads / SPEC).exists():
        return "not compared with transformers, which reads neither folder: polyhead verify exports it first"
    if reads != out and (dtype is not None or not any(reads.glob("*.safetensors"))):
        return "not compared with transformers, which would read the original: polyhead verify exports the result first"
    return ""
