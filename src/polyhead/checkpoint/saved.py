"""Reading the checkpoints of a run: the newest whole one, what was passed over and why, old versions."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from polyhead.checkpoint import manifest
from polyhead.checkpoint.files import parse_json, shown
from polyhead.checkpoint.manifest import Damaged, Newer, NotOurs
from polyhead.checkpoint.tensors import read_tensors
from polyhead.errors import CheckpointError

Groups = dict[str, Callable[[], dict[str, Tensor]]]
"""Per group name, what loads it; so a migration may rename, split or rewrite groups and reads none early."""

MIGRATIONS: dict[int, Callable[[dict[str, Any], Groups], tuple[dict[str, Any], Groups]]] = {}
"""By version n: (state, groups) as n wrote them -> as n + 1 would. Chained up to FORMAT_VERSION.

The rule: whatever changes the meaning of a stored file raises FORMAT_VERSION by one and adds its function
here, with a checkpoint of the old version in the tests. Files on the disk are never rewritten; the next save
writes the new version.
"""

REPLACED = ".replaced"  # the former checkpoint of a step that is being saved again
_STEP = re.compile(rf"step-(\d{{8,15}})({re.escape(REPLACED)})?")


def folder_name(step: int) -> str:
    return f"step-{step:08d}"


@dataclass(frozen=True)
class Saved:
    """A checked checkpoint. `skipped`: per damaged newer one passed over, its name and what is wrong."""

    step: int
    path: Path
    state: dict[str, Any]
    skipped: list[str] = field(default_factory=list)
    groups: Groups = field(default_factory=dict, repr=False)

    def load(self, group: str) -> dict[str, Tensor]:
        """The tensors of one group, on the CPU, mapped from the file: copy them into place, do not keep them.

        Raises CheckpointError when there is no such group, or when its file has changed since it was checked.
        """
        if group not in self.groups:
            raise CheckpointError(
                f"{self.path} has no tensors for {shown(group)}.",
                expected=f"one of {', '.join(sorted(self.groups))}",
                received=shown(group),
                change="resume with the settings it was saved with",
            )
        return self.groups[group]()


def steps(folder: str | Path) -> list[int]:
    """The steps with a checkpoint in `folder`, ascending, by name alone. Empty when it is missing."""
    return sorted({step for step, _, _ in candidates(Path(folder))})


def latest(folder: str | Path, verify: bool = True) -> Saved | None:
    """The newest checkpoint in `folder` that is whole; None when the folder is missing or holds nothing.

    `verify` re-reads every byte and compares SHA-256; without it only the manifest and the sizes are checked.
    Damaged ones are passed over and told in `Saved.skipped`. Raises CheckpointError when there are
    checkpoints and none is whole, when the folder holds something else, or when the newest one is of a later
    format version.
    """
    folder = Path(folder)
    found = candidates(folder)
    while True:
        skipped: list[str] = []
        for step, _, path in found:
            try:
                return _open(path, manifest.inspect(path, step, verify), skipped)
            except Newer as newer:
                raise from_the_future(path, newer) from newer
            except (Damaged, NotOurs) as error:
                skipped.append(f"{path.name}: {error}")
        before, found = found, candidates(folder)
        if found == before:  # otherwise a run that is still going replaced them meanwhile
            break
    if not found:
        _refuse_foreign(folder)
        return None
    raise CheckpointError(
        f"None of the {len(found)} checkpoints in {folder} can be used.",
        expected="at least one whole checkpoint",
        received="; ".join(skipped[:5]),
        change="restore one from a backup, or start again in another folder",
    )


def candidates(folder: Path) -> list[tuple[int, bool, Path]]:
    """(step, whether under its final name, path), newest first."""
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CheckpointError(
            f"{folder} cannot be read.",
            expected="a folder of checkpoints",
            received=error.strerror or str(error),
        ) from error
    found = []
    for name in names:
        match = _STEP.fullmatch(name)
        if match and match[0].startswith(folder_name(int(match[1]))):
            found.append((int(match[1]), match[2] is None, folder / name))
    return sorted(found, reverse=True)


def _open(path: Path, contents: manifest.Contents, skipped: list[str]) -> Saved:
    try:
        state = parse_json(_read_unchanged(path / manifest.STATE, contents), manifest.STATE)
    except CheckpointError as error:
        raise Damaged(error.message) from error
    if not isinstance(state, dict):
        raise Damaged(f"{manifest.STATE} is not an object")
    groups = {
        name.removesuffix(manifest.SUFFIX): _loader(path / name, status)
        for name, status in contents.files.items()
        if name != manifest.STATE
    }
    for version in range(contents.version, manifest.FORMAT_VERSION):
        if version not in MIGRATIONS:
            raise CheckpointError(
                f"{path} is of format version {version}, which this polyhead no longer reads.",
                expected=f"format version {manifest.FORMAT_VERSION}",
                received=str(contents.version),
                change="resume it once with a polyhead in between, which saves it in a later version",
            )
        state, groups = MIGRATIONS[version](state, groups)
    return Saved(contents.step, path, state, skipped, groups)


def _read_unchanged(path: Path, contents: manifest.Contents) -> bytes:
    status = contents.files[path.name]
    if status.st_size > manifest.MAX_STATE:
        raise Damaged(f"{path.name} has more than {manifest.MAX_STATE:,} bytes")
    try:
        data = path.read_bytes()
        if len(data) == status.st_size and manifest.unchanged(path, status):
            return data
    except OSError as error:
        raise Damaged(f"{path.name}: {error.strerror or error}") from error
    raise Damaged(f"{path.name} changed while it was read")


def _loader(path: Path, status: os.stat_result) -> Callable[[], dict[str, Tensor]]:
    def load() -> dict[str, Tensor]:
        with suppress(OSError):
            if manifest.unchanged(path, status):
                tensors = read_tensors(path)
                if manifest.unchanged(path, status):
                    return tensors
        raise CheckpointError(
            f"{path} has changed or gone since it was checked.",
            expected="the file whose SHA-256 was compared",
            received="another one, or none",
            change="make sure that no other process writes this run, and try again",
        )

    return load


def _refuse_foreign(folder: Path) -> None:
    """Raise when `folder` holds something, but nothing of ours: to start afresh there would hide it."""
    names = [name for name in _names(folder) if not name.startswith(".")]
    if names:
        raise CheckpointError(
            f"{folder} holds no polyhead checkpoints, but other things.",
            expected=f"folders step-00000000 with {manifest.NAME} and safetensors inside, or nothing",
            received=", ".join(map(shown, names[:5])),
            change="name the folder of a polyhead run; pickled files (.pt, .bin, .ckpt) are never opened",
        )


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder))
    except FileNotFoundError:
        return []


def from_the_future(path: Path, newer: Newer) -> CheckpointError:
    return CheckpointError(
        f"{path} was written by a newer polyhead.",
        expected=f"format version {manifest.FORMAT_VERSION} or older",
        received=str(newer),
        change="update polyhead",
    )
