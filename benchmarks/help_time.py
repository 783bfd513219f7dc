"""Time to the first character of `polyhead --help`, beside a bare Python; proof that torch stays out."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path

import common

REACH = 0.4  # seconds


def help_command(python: str) -> list[str]:
    """The installed `polyhead` beside that Python, or the module where only the sources are on the path."""
    script = shutil.which("polyhead", path=str(Path(python).parent))
    return [script, "--help"] if script else [python, "-m", "polyhead", "--help"]


def first_character(command: list[str]) -> float:
    """Seconds from starting a command to the first byte it writes."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout
        first = process.stdout.read(1)
        seconds = time.perf_counter() - start
        _, errors = process.communicate()
    if not first:
        said = errors.decode(errors="replace").strip()[-300:]
        raise SystemExit(f"{' '.join(command)} wrote nothing: {said}")
    return seconds


def imports(command: list[str]) -> set[str]:
    """The modules that the command imports."""
    environment = os.environ | {"PYTHONPROFILEIMPORTTIME": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    lines = (line for line in result.stderr.splitlines() if line.startswith("import time:"))
    return {line.rsplit("|", 1)[1].strip() for line in lines}


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    args = parser.parse_args()
    common.machine(args)
    commands = {"polyhead --help": help_command(args.python), "bare Python": [args.python, "-c", "print(1)"]}
    for command in commands.values():
        first_character(command)  # the first start reads from the disk
    units = {name: lambda c=command: first_character(c) for name, command in commands.items()}
    seconds = common.interleave(units, args.rounds)
    rows = []
    for name, values in seconds.items():
        modules = imports(commands[name])
        row = {"variant": name, "seconds": statistics.median(values), "slowest": max(values)}
        row |= {"modules": len(modules), "imports_torch": "torch" in modules}
        rows.append(common.emit(args, bench="help_time", **row))
    common.table(f"First character (reach: < {REACH} s, torch not imported)", rows)


if __name__ == "__main__":
    main()
