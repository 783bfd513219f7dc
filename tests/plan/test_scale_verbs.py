"""plan size, plan fit and plan parallel on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from polyhead.cli import main
from polyhead.plan.plot import Curve, plot
from polyhead.plan.scaling import LAWS, REFIT


def answer(words: str, capsys: pytest.CaptureFixture[str]) -> dict:
    assert main(["plan", *words.split(), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def page(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") and "http://" not in text.replace("http://www.w3.org", "") and "<script" not in text
    return text


@pytest.fixture
def points(tmp_path: Path) -> Path:
    draw = np.random.default_rng(3)
    path = tmp_path / "points.csv"
    rows = [f"{n:.0f},{d:.0f},{REFIT.loss(n, d) * np.exp(0.004 * draw.standard_normal()):.5f}" for n in np.geomspace(1e6, 1e9, 5) for d in np.geomspace(2e7, 2e10, 5)]
    path.write_text("\n".join(["params,tokens,loss", *rows]) + "\n")
    return path


def test_size_of_a_budget(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = answer(f"size --flops 1e21 --html {tmp_path / 'size.html'}", capsys)
    assert found["law"] == "refit" and found["params"] * found["tokens"] * 6 == pytest.approx(1e21)
    assert found["loss"][1] < found["loss"][0] < found["loss"][2] and {one["law"] for one in found["laws"]} == set(LAWS)
    assert found["shape"]["params"] == pytest.approx(found["params"], rel=0.05)
    assert page(tmp_path / "size.html").count("data:image/svg+xml") == 2  # light and dark


@pytest.mark.parametrize(("words", "said"), [
    ("size", "one of --flops"), ("size --flops 1e21 --tokens 3e9", "--flops and --tokens"), ("size --hours 3", "--on DEVICE"),
    ("size --hours 3 --on h1oo", "no device h1oo"), ("size --flops 1e21 --law nobody", "no scaling law nobody"), ("size --flops 1e21 --law no.json", "no fitted law"),
    ("fit nothing.csv", "cannot be read"), ("parallel gpt2", "how many devices"), ("parallel gpt2 --devices 6 --tensor 4", "cannot be laid out"),
])  # fmt: skip
def test_errors_say_what_to_give(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *words.split()]) == 2
    assert said in capsys.readouterr().err


def test_hours_on_devices_are_flops(capsys: pytest.CaptureFixture[str]) -> None:
    given = answer("size --hours 24 --on h100 --devices 8 --mfu 0.4", capsys)
    assert given["flops"] == pytest.approx(24 * 3600 * 8 * 0.4 * 989.4e12)
    planned = answer("size --hours 24 --on h100 --devices 8 --like llama-3-8b", capsys)["machine"]
    assert 0.2 < planned["mfu"] < 0.7 and planned["layout"]


def test_a_law_of_ones_own_sizes_again(points: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    law = tmp_path / "law.json"
    found = answer(f"fit {points} --resamples 40 --at 1e21 -o {law} --html {tmp_path / 'fit.html'}", capsys)
    for name, value in (("alpha", 0.3478), ("beta", 0.3658), ("E", 1.8172)):
        assert found["constants"][name][1] < value < found["constants"][name][2]
    assert found["forecasts"][0]["decades_beyond"] == pytest.approx(np.log10(1e21 / (6 * 1e9 * 2e10)), abs=1e-6)
    assert "iso-FLOP" in page(tmp_path / "fit.html")
    sized = answer(f"size --flops 1e21 --law {law}", capsys)
    assert sized["law"] == "law" and sized["params"] == pytest.approx(found["forecasts"][0]["params"][0])
    assert sized["around"]["loss"] == pytest.approx(found["forecasts"][0]["loss"])


def test_fit_prints_constants_warnings_and_a_chart(points: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = points.with_name("few.csv")
    few.write_text("\n".join(points.read_text().splitlines()[:11]) + "\n")
    assert main(["plan", "fit", str(few), "--resamples", "20"]) == 0
    told = capsys.readouterr().out
    assert "thin: only 2 sizes" in told and "●" in told and "training compute, FLOPs" in told


def test_a_layout(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = answer(f"parallel gpt2 --devices 8 --on a100 --tensor 2 --pipeline 2 --length 1024 --tokens 1e9 --html {tmp_path / 'l.html'}", capsys)
    first = found["layouts"][0]
    assert (first["layout"]["tensor"], first["layout"]["pipeline"], first["layout"]["data"]) == (2, 2, 2) and found["fits"]
    assert first["days"] == pytest.approx(1e9 / first["tokens_per_second"] / 86400)
    assert page(tmp_path / "l.html")
    assert main(["plan", "parallel", "gpt2", "--devices", "8", "--length", "1024"]) == 0
    assert "matrix products" in capsys.readouterr().out


def test_published_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["plan", "parallel", "--html", str(tmp_path / "p.html")]) == 0
    told = capsys.readouterr().out
    assert "PaLM 540B" in told and "Llama 3 405B" in told and "table 4" in page(tmp_path / "p.html")


def test_a_chart_of_characters() -> None:
    text = plot([Curve("line", [(1, 0), (100, 2)], line=True), Curve("dots", [(10, 1)])], "x", "y", width=21, height=5)
    rows = text.splitlines()
    assert rows[0].strip() == "y" and "● dots" in rows[-1] and "· line" in rows[-1]
    assert rows[3].index("●") == rows[1].index("┤") + 11  # 10 is half way from 1 to 100, on a log axis
    assert plot([], "x", "y") == ""
