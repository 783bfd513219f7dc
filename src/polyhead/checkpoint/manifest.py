"""What makes a folder a checkpoint: `manifest.json`, which names every file with its size and SHA-256.

    {"format": "polyhead-checkpoint", "version": 1, "step": 1234,
     "files": {"model.safetensors": {"size": 3211264, "sha256": "…"}, "state.json": {…}},
     "sha256": "…"}

The last field is the SHA-256 of the compact, key-sorted JSON of all the others, so that a damaged manifest is
told from a newer one. `format`, `version` and this rule hold in every version to come; anything else may
change with the version.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from pathlib import Path
from typing import Any, NamedTuple

from polyhead.checkpoint.files import CHUNK, parse_json, shown
from polyhead.errors import CheckpointError

FORMAT = "polyhead-checkpoint"
FORMAT_VERSION = 1
NAME = "manifest.json"
STATE = "state.json"
SUFFIX = ".safetensors"
MAX_STATE = 64_000_000  # bytes of state.json
_MAX_MANIFEST = 1_000_000  # bytes
_GROUP = re.compile(r"[a-z][a-z0-9_]{0,40}")
_FILE = re.compile(rf"{re.escape(STATE)}|[a-z][a-z0-9_]{{0,40}}{re.escape(SUFFIX)}")


class Damaged(Exception):
    """A checkpoint of ours that cannot be used; the text says why."""


class NotOurs(Exception):
    """A folder that polyhead did not write, or not completely; it is never removed."""


class Newer(Exception):
    """A checkpoint of a later format version."""


class Contents(NamedTuple):
    """A checked checkpoint; `files` gives per name what the disk said about the file when it was checked."""

    version: int
    step: int
    files: dict[str, os.stat_result]


def is_group(name: object) -> bool:
    return isinstance(name, str) and _GROUP.fullmatch(name) is not None


def build(step: int, files: dict[str, tuple[int, str]]) -> bytes:
    """The text of a manifest; `files` gives size and SHA-256 by name."""
    fields: dict[str, Any] = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "step": step,
        "files": {name: {"size": size, "sha256": digest} for name, (size, digest) in files.items()},
    }
    return (json.dumps({**fields, "sha256": _own_hash(fields)}, indent=1) + "\n").encode("ascii")


def inspect(folder: Path, step: int, hashes: bool) -> Contents:
    """Check the checkpoint in `folder`: the manifest, and that each file is there in its size and (`hashes`)
    with its bytes.

    Raises Damaged, NotOurs or Newer.
    """
    try:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            raise NotOurs("not a folder")
        fields = _read_manifest(folder)
        if fields["version"] > FORMAT_VERSION:
            raise Newer(f"format version {fields['version']}")
        if fields.get("step") != step:
            raise Damaged(f"its manifest is of step {shown(fields.get('step'))}")
        return Contents(fields["version"], step, _check_files(folder, fields.get("files"), hashes))
    except OSError as error:
        raise Damaged(f"{Path(error.filename or folder).name}: {error.strerror or error}") from error


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / NAME
    if not os.path.lexists(path):
        others = sorted(entry.name for entry in folder.iterdir())[:5]
        raise NotOurs(f"it has no {NAME}, only {', '.join(map(shown, others))}" if others else "an empty folder")
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_MANIFEST:
        raise Damaged(f"{NAME} is not a file of at most {_MAX_MANIFEST:,} bytes")
    try:
        fields = parse_json(path.read_bytes(), NAME)
    except CheckpointError as error:
        raise Damaged(f"{error.message} ({error.received})") from error
    if not isinstance(fields, dict):
        raise Damaged(f"{NAME} is not an object")
    own = fields.pop("sha256", None)
    if fields.get("format") != FORMAT:
        raise NotOurs(f"its {NAME} is not of format {FORMAT}")
    if own != _own_hash(fields) or type(fields.get("version")) is not int or fields["version"] < 1:
        raise Damaged(f"{NAME} does not agree with its own checksum")
    return fields


def _own_hash(fields: dict[str, Any]) -> str:
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _check_files(folder: Path, files: Any, hashes: bool) -> dict[str, os.stat_result]:
    if not isinstance(files, dict) or STATE not in files:
        raise Damaged(f"its manifest names no {STATE}")
    result = {}
    for name, facts in files.items():
        if not _FILE.fullmatch(name):  # never a path: nothing outside the folder is ever opened
            raise Damaged(f"its manifest names {shown(name)}")
        if not isinstance(facts, dict) or type(facts.get("size")) is not int:
            raise Damaged(f"its manifest gives no size of {name}")
        status = os.lstat(folder / name)
        if not stat.S_ISREG(status.st_mode):
            raise Damaged(f"{name} is not a regular file")
        if status.st_size != facts["size"]:
            raise Damaged(f"{name} has {status.st_size:,} bytes instead of {facts['size']:,}")
        if hashes and file_hash(folder / name) != facts.get("sha256"):
            raise Damaged(f"{name} does not have the bytes that were written (SHA-256)")
        result[name] = status
    return result


def file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def unchanged(path: Path, before: os.stat_result) -> bool:
    """Whether the file is still the one that was checked: same file, same size, not written since."""
    now = os.lstat(path)
    return os.path.samestat(now, before) and (now.st_size, now.st_mtime_ns) == (
        before.st_size,
        before.st_mtime_ns,
    )
