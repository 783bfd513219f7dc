"""Two processes do what one does (law 8 over ranks), and take every decision together. gloo; also under torchrun, marked slow."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from polyhead.checkpoint import latest
from polyhead.data import Loader
from polyhead.errors import ConfigError
from polyhead.train import evaluate
from polyhead.train.parallel import ALONE, Ranks, join_ranks, pick_device

from .. import processes
from . import ranks
from .ranks import PLAIN, SHAPES
from .tiny import Halt, causal, close, go, gpt, halt_at, rows

ROOT = Path(__file__).parents[2]


def prepared(folder: Path, data: dict[str, str]) -> Path:
    """A folder with a run that one process began, for two to go on with."""
    with pytest.raises(Halt):
        go("muon", data, folder / "grown", tell=halt_at(5), **PLAIN)
    return folder


@pytest.fixture(scope="module")
def two(data, tmp_path_factory) -> Path:
    """The folder in which two ranks did everything in ranks.py, started as torchrun starts them but without its seconds."""
    folder = prepared(tmp_path_factory.mktemp("two"), data)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    each = [
        processes.Process(folder / f"said-{rank}", ranks.main, folder, data, RANK=str(rank), LOCAL_RANK=str(rank), **meeting)
        for rank in range(2)
    ]
    try:
        for process in each:
            code, words = process.wait(120)
            assert code == 0, words[-4000:]
    finally:
        for process in each:  # one that waits for the other
            process.kill()
    return folder


def sights(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"seen-{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture(scope="module")
def seen(two: Path) -> list[dict[str, Any]]:
    return sights(two)


def assert_alike(a: Path, b: Path) -> None:
    """The same steps, tokens and rates; losses, norms and evaluations within 1e-6 (fp32, sums in another order)."""
    left, right = rows(a), rows(b)
    assert [(r["step"], r["tokens"], r["lr"]) for r in left] == [(r["step"], r["tokens"], r["lr"]) for r in right]
    for x, y in zip(left, right, strict=True):
        assert x.keys() == y.keys()
        for name in ("loss", "val_loss", "grad_norm"):
            if name in x:
                assert close(float.fromhex(x[name]), float.fromhex(y[name]), 2e-6 if name == "grad_norm" else 1e-6), (name, x["step"])


@pytest.mark.parametrize("shape", SHAPES)
def test_b2_b5_two_ranks_one_and_accumulation_tell_the_same_losses_and_norms(shape: str, data, two: Path, tmp_path: Path) -> None:
    for accumulate in (1, 2):
        out = tmp_path / str(accumulate)
        go(shape, data, out, **PLAIN, **SHAPES[shape], training__accumulate=accumulate)
        assert_alike(two / shape, out)


def test_all_ranks_hold_the_same_weights(seen) -> None:
    names = [*SHAPES, "grown", "went on"]
    assert [seen[0][name] for name in names] == [seen[1][name] for name in names]


def test_a_run_goes_on_with_another_number_of_processes(data, two: Path, tmp_path: Path) -> None:
    """1 → 2 above; 2 → 1 here. The data and the sums are the same, so are the losses."""
    go("muon", data, tmp_path / "whole", **PLAIN)
    assert_alike(two / "grown", tmp_path / "whole")
    saved = latest(two / "grown" / "checkpoints")
    assert saved is not None and saved.state["world"] == 2
    go("muon", data, two / "muon", resume=True, **{**PLAIN, "training__steps": 8})
    assert [row["step"] for row in rows(two / "muon")] == list(range(1, 9))


@pytest.mark.slow
def test_under_torchrun_the_ranks_see_the_same(data, seen, tmp_path: Path) -> None:
    """To the bit: its weights, its stops, its errors."""
    folder = prepared(tmp_path, data)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "tests.train.ranks"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    launcher = subprocess.Popen([*command, str(folder), json.dumps(data)], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        words = launcher.communicate(timeout=120)[1]
    except subprocess.TimeoutExpired:
        launcher.terminate()  # not kill: it then ends its ranks, which would stay behind
        raise AssertionError(f"the ranks wait for each other: {launcher.communicate(timeout=60)[1][-4000:]}") from None
    assert launcher.returncode == 0, words[-4000:]
    assert sights(folder) == seen


def test_t13_a_nan_on_one_rank_stops_all_and_keeps_the_checkpoint(two: Path, seen) -> None:
    assert seen[0]["nan"] == seen[1]["nan"] and seen[0]["nan"].startswith("step 5: loss nan")
    saved = latest(two / "nan" / "checkpoints")
    assert saved is not None and saved.step == 3 and not saved.skipped


def test_a_signal_to_one_rank_stops_all_at_the_same_step(two: Path, seen) -> None:
    assert seen[0]["stopped"] == seen[1]["stopped"]
    assert seen[0]["stopped"][0] == 128 + signal.SIGTERM and "after step 5" in seen[0]["stopped"][1]
    assert seen[0]["went on"] == seen[0]["muon"], "and goes on to the same bits"
    assert rows(two / "stopped") == rows(two / "muon")[:6]


def test_b4_the_rate_moves_once_per_update(two: Path, data, tmp_path: Path) -> None:
    """Neither micro-batches nor ranks step the schedule."""
    go("muon", data, tmp_path / "run", **PLAIN, training__accumulate=4)
    rates = [row["lr"] for row in rows(tmp_path / "run")]
    assert rates == [row["lr"] for row in rows(two / "muon")][:6]
    assert float.fromhex(rates[0]) == pytest.approx(0.03 / 10)


def test_a_batch_that_does_not_divide_among_ranks_says_what_would(data, tmp_path: Path) -> None:
    objective, _ = causal(data, tmp_path)
    with pytest.raises(ConfigError, match="set the batch to 6"):
        next(Loader(objective, batch=5, seed=0, rank=0, world=3).iterate(0, 2))


def test_a_limited_evaluation_sees_the_same_text_on_any_number_of_ranks(data, tmp_path: Path) -> None:
    class Alone(Ranks):
        """One rank of several whose sums stay its own."""

        def sum(self, value: torch.Tensor) -> torch.Tensor:
            return value

    objective, _ = causal(data, tmp_path)
    net = gpt().build(0)
    one = evaluate(net, objective, 4, limit=3)
    parts = [evaluate(net, objective, 2, limit=6, ranks=Alone(rank, 2)) for rank in range(2)]
    assert sum(p.weight for p in parts) == one.weight
    assert sum(p.nats for p in parts) == pytest.approx(one.nats, rel=1e-6)


def test_one_of_one_needs_no_group(monkeypatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    ranks = join_ranks("cpu")
    assert ranks == ALONE and ranks.first and not ranks.any(False) and ranks.any(True)
    value = torch.ones(2)
    assert ranks.sum(value) is value and not torch.distributed.is_initialized()
    ranks.barrier()
    ranks.sum_grads([])


def test_devices_are_picked_or_refused() -> None:
    assert pick_device("cpu").type == "cpu"
    for name in ("gpu", "tpu:0", *([] if torch.cuda.is_available() else ["cuda"])):
        with pytest.raises(ConfigError, match="is not here"):
            pick_device(name)
