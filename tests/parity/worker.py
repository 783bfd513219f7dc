"""Run by another environment's python: opens exported folders with its transformers and writes what it answers.

    python -m tests.parity.worker FOLDER NAME…      FOLDER/NAME is opened, FOLDER/NAME.batch asked
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

import transformers
from safetensors.torch import load_file, save_file

from . import reference
from .cases import BY_NAME


def main(root: Path, names: list[str]) -> None:
    for name in names:
        try:
            model, info = reference.reopen(BY_NAME[name], root / name)
            wrong = {k: v for k, v in info.items() if v}
            if wrong:
                raise ValueError(f"the weights do not fit: {wrong}")
            answer = reference.ask(model, BY_NAME[name], load_file(root / f"{name}.batch"))
            last = {"last state": answer.states[-1]} if answer.states else {}
            save_file({k: t.contiguous() for k, t in (answer.heads | last).items()}, root / f"{name}.answer")
        except Exception:  # noqa: BLE001 - every case is reported, whatever happened to it
            (root / f"{name}.failure").write_text(traceback.format_exc())
    print(json.dumps({"version": transformers.__version__}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
