"""The checkpoints of a run: `save`, `latest`, `steps`.

    checkpoints/step-00001234/      whole or not there
      model.safetensors             one file per group of tensors the caller gives
      optimizer.safetensors
      state.json                    what is not a tensor: step, schedule, random state, choices made by timing
      manifest.json                 size and SHA-256 of each file (manifest.py)

A checkpoint is written into a temporary sibling, forced to the disk, renamed, read back and compared with the
hashes taken while writing; only then are older ones removed. At every instant one verified checkpoint is on
the disk, also with keep=1.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyhead.checkpoint import manifest
from polyhead.checkpoint.files import (
    TEMPORARY,
    Output,
    check_json,
    disk_errors,
    make_folder,
    need_space,
    shown,
    sync_folder,
    temporary_sibling,
)
from polyhead.checkpoint.layout import Layout
from polyhead.checkpoint.manifest import Damaged, Newer, NotOurs
from polyhead.checkpoint.saved import REPLACED, Saved, candidates, folder_name, from_the_future, latest, steps
from polyhead.errors import CheckpointError, DiskError, NonFiniteError

_SLACK = 1_000_000  # bytes for names, manifest and the file system's own books
_log = logging.getLogger("polyhead.checkpoint")


def save(
    folder: str | Path,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: dict[str, Any],
    keep: int = 2,
    protect: Collection[int] = (),
    *,
    rank: int = 0,
    warnings: list[str] | None = None,
) -> Path:
    """Write the checkpoint of `step` and remove the oldest beyond `keep`; returns its folder.

    `tensors` holds groups ({"model": {...}, "optimizer": {...}}), `state` whatever JSON gives back unchanged.
    Steps in `protect` are never removed; damaged checkpoints do not count towards `keep`; folders that are
    not ours are left alone. Ranks other than 0 touch nothing (let them wait for rank 0 before they rely on
    it). A removal that fails is survived and told in `warnings` (or logged). Needs the size of one checkpoint
    in free disk.

    Raises CheckpointError for what cannot be stored, NonFiniteError for NaN or infinity in a tensor,
    DiskError for the disk; in each case what was there before is untouched.
    """
    _check_arguments(step, keep, tensors)
    folder, final = Path(folder), Path(folder) / folder_name(step)
    if rank != 0:
        return final
    layouts = {group + manifest.SUFFIX: Layout(named) for group, named in tensors.items()}
    text = _state_text(state)
    for group, named in tensors.items():
        _check_finite(group, named)
    notes: list[str] = []
    needed = sum(layout.size for layout in layouts.values()) + len(text) + _SLACK
    with disk_errors(final, needed):
        make_folder(folder)
        _remove_leftovers(folder, notes)
        _check_place(final)
        need_space(final, needed)
        _write(final, step, layouts, text)
        _verify(final, step)
        _thin_out(folder, step, keep, protect, notes)
    _tell(notes, warnings)
    return final


def _check_arguments(step: int, keep: int, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
    if type(step) is not int or not 0 <= step < 10**15:
        raise CheckpointError("Wrong step for a checkpoint.", expected="a whole number from 0", received=shown(step))
    if type(keep) is not int or keep < 1:
        raise CheckpointError("Wrong number of checkpoints to keep.", expected="1 or more", received=shown(keep))
    for group in tensors:
        if not manifest.is_group(group):
            expected = "a lower-case letter, then letters, digits, underscores"
            raise CheckpointError("Wrong name for a group of tensors.", expected=expected, received=shown(group))


def _state_text(state: dict[str, Any]) -> bytes:
    check_json(state, "state")
    text = json.dumps(state, allow_nan=False).encode("ascii")
    if len(text) > manifest.MAX_STATE or not isinstance(state, dict):
        raise CheckpointError(
            "The state of a checkpoint cannot be stored.",
            expected=f"an object of at most {manifest.MAX_STATE:,} bytes as JSON",
            received=f"{type(state).__name__}, {len(text):,} bytes",
            change="give large numbers of values as tensors",
        )
    return text


def _check_finite(group: str, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not tensor.numel() or not (tensor.is_floating_point() or tensor.is_complex()):
            continue
        values = torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor.detach()
        values = values.float() if values.element_size() == 1 else values  # 8-bit floats know few operations
        if not all(bool(torch.isfinite(bound)) for bound in torch.aminmax(values)):  # NaN passes through both
            raise NonFiniteError(
                f"The checkpoint was not written: {group} {shown(name)} holds NaN or infinity.",
                expected="finite numbers, so that a good checkpoint is never replaced by a broken one",
                change="resume from the last checkpoint with a lower learning rate",
            )


def _check_place(final: Path) -> None:
    """Refuse to save over a folder of this step that is not ours to replace."""
    for path in (final, final.with_name(final.name + REPLACED)):
        if os.path.lexists(path):
            try:
                manifest.inspect(path, int(final.name.removeprefix("step-")), hashes=False)
            except Newer as newer:
                raise from_the_future(path, newer) from newer
            except NotOurs as error:
                raise CheckpointError(
                    f"{path} is in the way.",
                    expected="a checkpoint of polyhead",
                    received=str(error),
                    change="move it away",
                ) from error
            except Damaged:
                continue


def _write(final: Path, step: int, layouts: Mapping[str, Layout], state: bytes) -> None:
    """Write everything into a temporary sibling, force it to the disk, and give it its name."""
    temporary = temporary_sibling(final)
    try:
        os.mkdir(temporary)
        files = {name: _write_file(temporary / name, layout.stream) for name, layout in layouts.items()}
        files[manifest.STATE] = _write_file(temporary / manifest.STATE, lambda write: write(state))
        text = manifest.build(step, files)
        _write_file(temporary / manifest.NAME, lambda write: write(text))
        sync_folder(temporary)
        _put_in_place(temporary, final, step)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _write_file(path: Path, stream: Callable[[Callable[[bytes | memoryview], None]], None]) -> tuple[int, str]:
    out = Output(path)
    try:
        stream(out.write)
        out.finish()
    except BaseException:
        out.abandon()
        raise
    return out.size, out.sha256


def _put_in_place(temporary: Path, final: Path, step: int) -> None:
    """Rename. A checkpoint of the same step first steps aside, under a name that `latest` reads too."""
    if os.path.lexists(final):
        aside = final.with_name(final.name + REPLACED)
        if os.path.lexists(aside):  # an earlier save was killed between its two renames or before it cleaned up
            _discard(aside if _is_whole(final, step) else final)
        if os.path.lexists(final):
            os.rename(final, aside)
    os.rename(temporary, final)
    sync_folder(final.parent)


def _is_whole(path: Path, step: int, hashes: bool = True) -> bool:
    try:
        manifest.inspect(path, step, hashes)
    except (Damaged, NotOurs, Newer):
        return False
    return True


def _verify(final: Path, step: int) -> None:
    try:
        manifest.inspect(final, step, hashes=True)
    except (Damaged, NotOurs) as error:
        with suppress(OSError):
            _discard(final)
        raise DiskError(
            f"{final} does not read back as it was written, and was removed; older checkpoints are kept.",
            expected="the same bytes",
            received=str(error),
            change="check the disk, or choose another one",
        ) from error


def _thin_out(folder: Path, step: int, keep: int, protect: Collection[int], notes: list[str]) -> None:
    """Remove what is older than the `keep` newest whole ones up to `step`; later steps stay."""
    kept = {step}
    for other, _, path in candidates(folder):
        if other > step or path.name == folder_name(step):
            continue
        try:
            manifest.inspect(path, other, hashes=False)
            whole = True
        except Damaged:
            whole = False
        except (NotOurs, Newer):
            continue
        if other not in kept and (len(kept) < keep or other in protect):
            if whole and len(kept) < keep:
                kept.add(other)
            continue
        try:
            _discard(path)
        except OSError as error:
            notes.append(f"{path} could not be removed: {error.strerror or error}")


def _discard(path: Path) -> None:
    """Take a checkpoint out of sight in one durable step, then remove it: a kill leaves a leftover."""
    hidden = temporary_sibling(path)
    os.rename(path, hidden)
    sync_folder(path.parent)
    shutil.rmtree(hidden)


def _remove_leftovers(folder: Path, notes: list[str]) -> None:
    for entry in list(os.scandir(folder)):
        if entry.name.startswith(TEMPORARY):
            try:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)
            except OSError as error:
                notes.append(f"{entry.path} could not be removed: {error.strerror or error}")


def _tell(notes: list[str], warnings: list[str] | None) -> None:
    if warnings is not None:
        warnings.extend(notes)
    else:
        for note in notes:
            _log.warning("%s", note)


__all__ = ["Saved", "latest", "save", "steps"]
