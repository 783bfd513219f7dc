"""Old pickled weights (`pytorch_model.bin`) turned into safetensors: only on request, and in a process of its own.

A pickle is a program. `weights_only` lets it make tensors and nothing else, but is a lower wall than a format without
programs (CVE-2025-32434, CVE-2026-24747), so it runs in a child that holds no secrets, whose memory, time and files are
limited where the system can do that, and that may start no process, open no socket and write nowhere else. What it
writes is a safetensors file, which the parent reads with the same checks as any other. Nothing falls back to anything.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyhead.checkpoint.files import Output, need_space, printable, shown, write_json
from polyhead.checkpoint.folder import Folder, bad
from polyhead.checkpoint.layout import Layout
from polyhead.checkpoint.source import INDEX, MAX_INDEX, WEIGHTS, shard_names
from polyhead.errors import CheckpointError, PolyheadError

PICKLED = "pytorch_model.bin"
PICKLED_INDEX = f"{PICKLED}.index.json"
SECONDS, BYTES_A_SECOND = 120.0, 20_000_000  # the time a child has: this, and this for its files
MEMORY = 1_000_000_000  # bytes it may take beside what the files have, once it has started
GROWTH = 3  # what it writes may be so many times as large as what it read: tied weights are written under each name
_KEPT = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "TEMP", "LANG")
_FORBIDDEN = re.compile(
    r"(socket|subprocess|pty|ctypes|shutil|urllib|ftplib|smtplib|winreg|webbrowser|tempfile|msvcrt|syslog)\..*"
    r"|os\.(system|exec|posix_spawn|spawn|fork|forkpty|startfile|kill|killpg|putenv|chmod|chown|link|symlink|truncate|rmdir)"
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


# In the parent


def unpickled(folder: Folder, inner: str = "") -> tempfile.TemporaryDirectory[str] | None:
    """A temporary folder with the weights of `folder` (or of its sub-folder) as safetensors; None if none are pickled.

    It is removed with the object. Raises CheckpointError for what is no plain set of tensors, and for a child that took
    too long, too much memory, or tried anything else; DiskError where the temporary files do not fit.
    """
    files = _files(folder, f"{inner}/" if inner else "")
    if not files:
        return None
    size = sum(os.stat(real).st_size for real in files.values())
    target = tempfile.TemporaryDirectory(prefix="polyhead-", ignore_cleanup_errors=True)
    need_space(Path(target.name), size)
    names = {file: WEIGHTS if len(files) == 1 and file == PICKLED else _renamed(file) for file in files}
    jobs = [(str(real), str(Path(target.name) / names[file])) for file, real in files.items()]
    _in_a_child(folder.path / inner, {"folder": target.name, "size": size, "jobs": jobs})
    if list(files) != [PICKLED]:
        index = folder.object(f"{inner}/{PICKLED_INDEX}" if inner else PICKLED_INDEX, MAX_INDEX) or {}
        places = shard_names(folder.path / inner / PICKLED_INDEX, index, ".bin")
        write_json(Path(target.name) / INDEX, {"weight_map": {name: names[file] for name, file in places.items()}})
    return target


def _renamed(file: str) -> str:
    return file.removesuffix(".bin") + ".safetensors"


def _files(folder: Folder, start: str) -> dict[str, Path]:
    """Real path by name of the pickled files."""
    whole = folder.find(start + PICKLED)
    if whole is not None:
        return {PICKLED: whole}
    index = folder.object(start + PICKLED_INDEX, MAX_INDEX)
    if index is None:
        return {}
    path = folder.path / start / PICKLED_INDEX
    found = {}
    for file in sorted(set(shard_names(path, index, ".bin").values())):
        real = folder.find(start + file)
        if real is None:
            raise bad(path, "weight_map", f"{shown(file)} in the folder", "no such file", "download what is missing")
        found[file] = real
    return found


def _in_a_child(what: Path, work: dict[str, Any]) -> None:
    seconds = SECONDS + work["size"] / BYTES_A_SECOND
    here = {name: os.environ[name] for name in _KEPT if name in os.environ}
    here |= {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", __name__]
    text = json.dumps({**work, "seconds": seconds})
    try:
        child = subprocess.run(command, input=text, capture_output=True, text=True, timeout=seconds, env=here, check=False)
    except subprocess.TimeoutExpired:
        raise _refused(what, f"it took more than {seconds:.0f} s") from None
    answer: Any = None
    with suppress(ValueError, IndexError):
        answer = json.loads(child.stdout.splitlines()[-1])
    if not isinstance(answer, dict) or child.returncode != 0:
        ended = f"signal {-child.returncode}" if child.returncode < 0 else f"exit code {child.returncode}"
        raise _refused(what, f"the process that reads it ended with {ended}: out of memory, time or patience")
    if answer:
        raise _refused(what / str(answer.get("file", ""))[:255], str(answer.get("fault"))[:300])


def _refused(path: Path, received: str) -> CheckpointError:
    return bad(
        path,
        "its pickled content",
        "a dictionary of dense tensors and nothing else",
        printable(received),
        "ask its author for safetensors; there is no other way to read it here",
    )


# In the child


def main() -> None:
    """Read the work from the standard input, do it behind limits, and answer with one line of JSON: {} or the fault."""
    work = json.load(sys.stdin)
    _limit(work["size"], work["seconds"])
    sys.addaudithook(_guard(os.path.realpath(work["folder"])))
    answer: dict[str, str] = {}
    for source, target in work["jobs"]:
        try:
            convert(Path(source), Path(target))
        except MemoryError:
            answer = {"fault": "it takes more memory than its size explains"}
        except Exception as error:  # whatever torch makes of a hostile file
            answer = {"fault": _reason(error)}
        if answer:
            answer["file"] = os.path.basename(source)
            break
    print(json.dumps(answer))


def convert(source: Path, target: Path) -> None:
    """Write the tensors of one pickled file as safetensors. Raises whatever torch raises."""
    size = os.stat(source).st_size
    with open(source, "rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    if is_zip:
        _check_zip(source, size)
    # The format of before 2020 is no archive and cannot be mapped; its tensors are as many bytes as the file.
    state = torch.load(source, map_location="cpu", weights_only=True, mmap=is_zip)
    layout = Layout(_checked(state, size), apart=False)
    out = Output(target, hashed=False)
    layout.stream(out.write)
    out.finish()


def _check_zip(path: Path, size: int) -> None:
    """Only what torch writes: records that are stored as they are, each once, none larger than the file."""
    total, names = 0, set()
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise ValueError(f"the record {shown(entry.filename)} is compressed or encrypted")
            if entry.filename in names or entry.filename.startswith("/") or ".." in re.split(r"[/\\]", entry.filename):
                raise ValueError(f"the record {shown(entry.filename)} comes twice, or is a path out of the archive")
            names.add(entry.filename)
            total += entry.file_size
    if total > size:
        raise ValueError(f"its records declare {total:,} bytes, and the file has {size:,}")


def _checked(state: Any, size: int) -> dict[str, Tensor]:
    if not isinstance(state, dict):
        raise ValueError(f"{type(state).__name__} instead of a dictionary")
    total = 0
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{shown(name)} is of type {type(tensor).__name__}")
        if tensor.layout == torch.strided and tensor.nbytes > tensor.untyped_storage().nbytes():
            raise ValueError(f"{shown(name)} declares {tensor.nbytes:,} bytes and has fewer")
        total += tensor.nbytes if tensor.layout == torch.strided else 0
    if total > GROWTH * size:
        raise ValueError(f"its tensors declare {total:,} bytes, and the file has {size:,}")
    return dict(state)


def _reason(error: Exception) -> str:
    """In few words, and without torch's advice to load it unsafely."""
    if isinstance(error, PolyheadError):
        return f"{error.message} {error.received or ''}"
    text = str(error)
    if found := re.search(r"GLOBAL ([\w.]+)", text):
        return f"it calls {found[1][:100]}"
    if found := re.search(r"WeightsUnpickler error: (\S[^\n]*)", text):
        return found[1][:300]
    first = re.split(r"\n|In PyTorch 2|This file can still", text.strip())[0]
    return f"{type(error).__name__}: {first.strip()[:250]}"


def _limit(size: int, seconds: float) -> None:
    """Bounds on memory, time, files and their size, of which the system enforces those it has."""
    try:
        import resource
    except ImportError:  # Windows
        return
    memory = MEMORY + GROWTH * size
    with suppress(OSError, IndexError, ValueError):
        memory += int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
    bounds = {"CORE": 0, "CPU": int(seconds) + 1, "FSIZE": GROWTH * size + 30_000_000, "NOFILE": 64, "AS": memory}
    for name, bound in bounds.items():
        with suppress(OSError, ValueError, AttributeError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (bound, bound))


def _guard(folder: str) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that ends what no reading of tensors does. It cannot be taken back."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if _FORBIDDEN.fullmatch(event):
            raise PermissionError(f"it tries {event}")
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES:
            path = arguments[0]
            if not isinstance(path, str | bytes | os.PathLike) or os.path.dirname(os.path.realpath(os.fsdecode(path))) != folder:
                raise PermissionError(f"it writes to {shown(str(path))}")

    return hook


if __name__ == "__main__":
    main()
