"""From what a user names to a folder: a path is a path; `owner/name` or `owner/name@revision` is a model on the Hub.

A path is never looked up: neither what exists, nor what has another form than `owner/name`, nor what would lie in a folder
that is here (a mistyped path; `owner/name@main` is on the Hub whatever lies here). HF_HUB_OFFLINE=1 keeps this
off the network; models in the cache then still work. The only use of the network in this package.
"""

from __future__ import annotations

import difflib
import errno
import os
import re
from itertools import islice
from pathlib import Path
from typing import Any

from polyhead.checkpoint.files import disk_errors, printable, shown
from polyhead.errors import CheckpointError

_PART = r"[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9_])?"
_NAME = re.compile(rf"({_PART}/{_PART})(?:@([A-Za-z0-9][\w./-]{{0,127}}))?", re.ASCII)
_DISK = {errno.ENOSPC, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}
WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.spm", "*.jinja"]
PICKLED = ["pytorch_model*.bin", "*/pytorch_model.bin"]
# The same weights once more, for other programs.
UNWANTED = ["consolidated*", "original/*", "onnx/*", "openvino/*", "coreml/*", "checkpoint-*/*", "*.fp16*", "*.bf16*", "*.int8*"]


def resolve(name: str | os.PathLike[str], unsafe_pickle: bool = False, weights: bool = True) -> Path:
    """The folder of a model: the path itself, or a snapshot of the Hub's model in the local cache, fetched if need be.

    unsafe_pickle: fetch pickled weights as well, for `open_source(…, unsafe_pickle=True)`. weights false: fetch the
    JSON files alone, which is enough to know the architecture. A path is returned whether
    anything is there or not. Raises CheckpointError for what looks like a path that is not here, when the Hub has no such model, keeps it from this user, or cannot
    be reached while the cache lacks it; DiskError when the disk is full.
    """
    found = _parse(name)
    if found is None:
        return Path(name)
    from huggingface_hub import constants, snapshot_download

    repo, revision = found
    if revision is None and (near_folders(repo) or Path(repo).parent.is_dir()):
        raise _mistyped(repo)
    wanted = WANTED + (PICKLED if unsafe_pickle else []) if weights else ["*.json"]
    with disk_errors(Path(constants.HF_HUB_CACHE)):
        try:
            folder = snapshot_download(
                repo, revision=revision, allow_patterns=wanted, ignore_patterns=UNWANTED, library_name="polyhead"
            )
        except Exception as error:  # whatever the library, its network and its parsers raise
            cached = _cached(repo, revision) if _is_out_of_reach(error) else None
            if cached is None:
                if isinstance(error, OSError) and error.errno in _DISK:
                    raise
                raise _refusal(repo, revision, error) from error
            folder = cached
    return _with_weights(Path(folder), repo, unsafe_pickle) if weights else Path(folder)


def near_folders(name: str | os.PathLike[str]) -> list[str]:
    """Folders that are here, for a path that is not: those beside it with a name like its own, best first, or one of its name in
    a folder with a name like its parent's."""
    path = Path(name)
    if path.parent.is_dir():
        return [str(path.with_name(near)) for near in difflib.get_close_matches(path.name, _folders(path.parent), 3)]
    if not path.parent.name:
        return []
    others = [path.parent.with_name(near) / path.name for near in difflib.get_close_matches(path.parent.name, _folders(path.parent.parent), 3)]
    return [str(other) for other in others if other.is_dir()]


def _folders(path: Path) -> list[str]:
    try:
        return [inner.name for inner in islice(path.iterdir(), 10_000) if inner.is_dir()]
    except (OSError, ValueError):  # not to be read, or no name of a file
        return []


def _mistyped(name: str) -> CheckpointError:
    near, path = near_folders(name), Path(name)
    there = sorted(_folders(path.parent))
    holds = f"; {path.parent} holds {', '.join(there[:6])}{', …' if len(there) > 6 else ''}" if there else ""
    return CheckpointError(
        f"there is no folder {name}",
        expected="the folder of a run or a model",
        received=f"nothing of that name{holds}",
        change=(f"did you mean {near[0]}?" if near else "check the path") + f" A model of this name on the Hub is {name}@main",
    )


def _parse(name: str | os.PathLike[str]) -> tuple[str, str | None] | None:
    """(owner/name, revision) if `name` is a model on the Hub. A Path never is."""
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None or "--" in match[1] or ".." in match[0] or os.path.lexists(name):
        return None
    return match[1], match[2]


def _is_out_of_reach(error: Exception) -> bool:
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    return isinstance(error, LocalEntryNotFoundError | OfflineModeIsEnabled)


def _cached(repo: str, revision: str | None) -> str | None:
    """The snapshot in the cache, if another program fetched the files it needed of it: not all that we would fetch."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(repo, "config.json", revision=revision)
    return os.path.dirname(config) if isinstance(config, str) else None


def _with_weights(folder: Path, repo: str, unsafe_pickle: bool) -> Path:
    suffixes = (".safetensors", ".bin") if unsafe_pickle else (".safetensors",)
    if any(path.suffix in suffixes for path in folder.rglob("*")):
        return folder
    raise CheckpointError(
        f"{repo} has no weights in safetensors.",
        expected="model.safetensors, or shards of it",
        received=f"none in {folder}",
        change="choose a model that has them, or convert pickled weights of an author you trust: "
        "`polyhead convert … --unsafe-pickle`",
    )


def _refusal(repo: str, revision: str | None, error: Exception) -> CheckpointError:
    from huggingface_hub import constants, errors

    words: dict[str, Any] = {"received": printable(str(error)) or type(error).__name__}
    change = "check the name; a path must exist, and does not here"
    if isinstance(error, errors.GatedRepoError):
        message = f"{repo} is gated: its authors ask for your consent first."
        words["expected"] = f"an account that has accepted the conditions at https://huggingface.co/{repo}"
        change = "accept them there, then `hf auth login` or set HF_TOKEN"
    elif isinstance(error, errors.RevisionNotFoundError):
        message, words["expected"] = f"{repo} has no revision {shown(revision)}.", "a branch, tag or commit of it"
        change = "check what stands after the @"
    elif isinstance(error, errors.RepositoryNotFoundError):
        message = f"{repo} is neither a folder here nor a model on the Hub."
        words["expected"] = "a folder that exists, or a model that is public or open to your account"
    elif _is_out_of_reach(error) and constants.HF_HUB_OFFLINE:
        message = f"{repo} is neither a folder here nor in the Hub's cache, and HF_HUB_OFFLINE is set."
        words["expected"] = f"a folder that exists, or a snapshot in {constants.HF_HUB_CACHE}"
        change = "unset HF_HUB_OFFLINE to fetch it; a path must exist"
    else:
        message = f"{repo} cannot be fetched from the Hub, and is no folder here."
        words["expected"] = f"an answer from {constants.ENDPOINT}, or a snapshot in the cache"
        change = "check the connection and try again; a path must exist"
    return CheckpointError(message, change=change, **words)
