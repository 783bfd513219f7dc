"""What polyhead exports opens in transformers 4.57.1 too, with the same logits. In an environment of its own, once for all cases.

$PH_TRANSFORMERS4_PYTHON names that environment's python; without it the release is installed by pip, once, into a folder of its own
($XDG_CACHE_HOME or ~/.cache, polyhead/transformers-4.57.1; some 240 MB), beside this environment's torch. Where that fails
the tests are skipped and say why.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import polyhead as ph

from .cases import CASES, Case
from .common import check, gap
from .reference import Answer, Made

VERSION = "4.57.1"
_ROOT = Path(__file__).resolve().parents[2]
LACKS = {
    "deepseek_v2": "leaves mscale² out of the attention's scale",
    "deepseek_v2_base": "the same",
    "deepseek_v2_classify": "the same",
    "olmo2_classify": "has no such class",
    "deberta_infill": "ties the head's hidden layer, which it takes for the output matrix",
    "marian_two_vocabularies": "makes the decoder's table as long as the encoder's",
    **dict.fromkeys(("marian_untied", "led_untied"), "shares the two tables whatever tie_word_embeddings says"),
    "fsmt_mt": "always ties the decoder's two matrices, so that a file where they differ is another model",
}
CASES4 = [case for case in CASES if case.name not in LACKS]

pytestmark = pytest.mark.slow


def python4() -> tuple[str, dict[str, str]]:
    """(a python, its environment) in which `import transformers` is 4.57.1."""
    env = {**os.environ, "PYTHONPATH": str(_ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    if "PH_TRANSFORMERS4_PYTHON" in os.environ:
        return os.environ["PH_TRANSFORMERS4_PYTHON"], env
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "polyhead" / f"transformers-{VERSION}"
    if not cache.is_dir():
        unfinished = cache.with_name(f"{cache.name}.{os.getpid()}")
        command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(unfinished), f"transformers=={VERSION}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired:
            pytest.skip(f"transformers {VERSION} cannot be installed: pip took more than 5 minutes")
        if done.returncode:
            pytest.skip(f"transformers {VERSION} cannot be installed: {done.stderr[-300:]}")
        unfinished.rename(cache)
    return sys.executable, {**env, "PYTHONPATH": os.pathsep.join([str(cache), str(_ROOT)])}


@pytest.fixture(scope="module")
def answers4(made: Callable[[Case], Made], opened: Callable[[Case], ph.Model], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the older release's answer to every case, or what it said instead."""
    root = tmp_path_factory.mktemp("transformers4")
    written = []
    for case in CASES4:
        try:
            opened(case).save(root / case.name, to="hf")
        except Exception:  # one case must not spoil the others
            (root / f"{case.name}.failure").write_text(traceback.format_exc())
            continue
        save_file({k: t.contiguous() for k, t in made(case).batch.items()}, root / f"{case.name}.batch")
        written.append(case.name)
    python, env = python4()
    command = [python, "-m", "tests.parity.worker", str(root), *written]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=570)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1])["version"] == VERSION
    return root


@pytest.mark.parametrize("case", CASES4, ids=str)
def test_the_older_release_answers_the_same(case: Case, answers4: Path, made: Callable[[Case], Made]) -> None:
    failure = answers4 / f"{case.name}.failure"
    assert not failure.exists(), failure.read_text()
    asked = made(case)
    heads = load_file(answers4 / f"{case.name}.answer")
    states = [heads.pop("last state")] if "last state" in heads else []
    check(gap(Answer(heads, states), asked.answer._replace(states=asked.answer.states[-1:]), case, asked.batch), asked)
