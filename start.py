"""Sets everything up and goes: needs nothing but Python 3.11 or newer.

    python3 start.py demo     install polyhead into .venv, then train a small GPT and look at what it writes
    python3 start.py test     install what the tests need too, then run them; further words go to pytest
                              (--slow all: the slow ones too, of which a commit otherwise takes an eighth)
    python3 start.py check    the same, with the linter and the type checker before it

Inside an activated virtual environment that one is used instead of .venv.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent
EXTRAS = {"demo": "", "test": "[test]", "check": "[dev]"}


def stop(what, change):
    """Say what is wrong and what to do about it, and leave with 1."""
    sys.exit(f"start.py: {what}\n  change: {change}")


def python_of(folder):
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def environment():
    """The Python of the active virtual environment, else of .venv, which is made if it is not there."""
    if sys.prefix != sys.base_prefix:
        return Path(sys.executable)
    folder = ROOT / ".venv"
    python = python_of(folder)
    if python.exists() and subprocess.call([str(python), "-m", "pip", "--version"], stdout=subprocess.DEVNULL) == 0:
        return python
    print(f"start.py: making the virtual environment {folder}", flush=True)
    try:
        import venv

        venv.EnvBuilder(with_pip=True, clear=folder.exists()).create(str(folder))
    except (ImportError, subprocess.CalledProcessError):
        stop("this Python cannot make a virtual environment", "install its venv module (on Debian and Ubuntu: apt install python3-venv)")
    except OSError as error:
        stop(f"cannot write {folder}: {error.strerror or error}", "free some space, or clone to a folder that can be written")
    return python


def install(python, extra):
    """pip install -e, unless exactly this was installed there already."""
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + str(ROOT).encode()).hexdigest()
    mark = python.parent.parent / ".polyhead{}".format(extra.strip("[]") and "-" + extra.strip("[]"))
    if mark.exists() and mark.read_text() == wanted:
        return
    print(f"start.py: installing polyhead{extra} and what it needs", flush=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-e", f"{ROOT}{extra}"]
    if subprocess.call(command) != 0:
        stop("the installation failed; pip's words are above", "check the network and the disk (torch alone needs a gigabyte), then start again")
    mark.write_text(wanted)


def tests(python, words):
    """One process per core, each with one thread: tiny models gain nothing from more."""
    environment = dict(os.environ, OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
    spread = [] if any(word.startswith("-n") for word in words) else ["-n", str(os.cpu_count() or 1), "--dist", "worksteal"]
    return subprocess.call([str(python), "-m", "pytest"] + spread + words, cwd=str(ROOT), env=environment)


def check(python, words):
    for tool in (["ruff", "check", "."], ["mypy"]):
        code = subprocess.call([str(python), "-m"] + tool, cwd=str(ROOT))
        if code:
            return code
    return tests(python, words)


def demo(python, words):
    return subprocess.call([str(python), "-m", "polyhead", "demo"] + words)


def main(arguments):
    if not arguments or arguments[0] not in EXTRAS:
        print(__doc__.strip())
        return 0 if arguments[:1] in (["--help"], ["-h"]) else 2
    if sys.version_info < OLDEST:
        found = "{}.{}".format(*sys.version_info[:2])
        stop("Python {}.{} or newer is needed, this is {}".format(*OLDEST, found), f"python3.11 start.py {arguments[0]}")
    python = environment()
    install(python, EXTRAS[arguments[0]])
    try:
        return {"demo": demo, "test": tests, "check": check}[arguments[0]](python, arguments[1:])
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
