"""The report is one self-contained page with everything on it; the chart's numbers are where they belong."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from polyhead.families import preset
from polyhead.report import cache_bytes, write_report
from polyhead.report.chart import Series, line_chart, smooth, ticks
from polyhead.report.page import duration, page, seconds
from tests.tiny import train_tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(tmp_path_factory.mktemp("report") / "run")


class Balanced(HTMLParser):
    """Counts tags that are opened and closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_run_ends_with_a_whole_self_contained_page(run: Path) -> None:
    text = (run / "report.html").read_text(encoding="utf-8")
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert not re.search(r"https?:|<script|<link|@import|url\(\s*['\"]?[^#'\"]", text)
    for part in ("loss (nats per token)", "learning rate", "tokens per second", "Samples along the run", "step 4", "parameters",
                 "prefers-color-scheme: dark", "training.context" and "context: 32", "torch", "╔═ decoder"):  # fmt: skip
        assert part in text, part


def test_what_was_measured_beside_the_loss_is_told_and_drawn(run: Path, tmp_path: Path) -> None:
    for name in ("config.yaml", "spec.json", "meta.json"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    rows = [{"step": i, "loss": 1.0, "lr": 0.1, "tokens_per_s": 5.0, "tokens": i, "val_loss": 1.0, "val_exact_match": 0.25 * i} for i in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = page(tmp_path)
    assert "validation exact match" in text and "<dd>0.7500</dd>" in text and "Held-out figures" in text and "exact match by step" in text
    assert "Held-out figures" not in page(run)


def test_text_a_model_wrote_cannot_become_markup(run: Path) -> None:
    with (run / "samples.jsonl").open("a") as file:
        file.write(json.dumps({"step": 9, "prompt": "<b>", "text": "<script>alert(1)</script>"}) + "\n")
    assert "<script>" not in page(run) and "&lt;script&gt;" in page(run)


def test_a_page_without_metrics_still_stands(run: Path, tmp_path: Path) -> None:
    for name in ("config.yaml", "spec.json", "meta.json"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    assert "Too few steps" in write_report(tmp_path).read_text(encoding="utf-8")


def test_points_stand_where_their_numbers_say() -> None:
    svg = line_chart([Series("", [(0, 0.0), (10, 1.0)], "train")], "step", "loss", width=276, height=158, zero=True)
    (x0, y0), (x1, y1) = ((float(a), float(b)) for a, b in (p.split(",") for p in re.search(r'points="([^"]+)"', svg)[1].split()))
    assert (x0, x1) == (78, 262) and y0 == 114 and y1 == pytest.approx(114 - 100 / 1.06, abs=0.06)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (1.37, 1.52, [1.4, 1.45, 1.5]), (0, 0.003, [0, 0.001, 0.002, 0.003]), (1, 450, [100, 200, 300, 400])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high, 5) == pytest.approx(expected)


def test_smoothing_keeps_a_line_and_its_ends() -> None:
    line = [(i, 2.0 * i) for i in range(9)]
    assert smooth(line, 5) == line
    assert smooth([(0, 1.0), (1, 4.0), (2, 1.0)], 3)[1] == (1, 2.0)


def test_time_adds_up_over_sessions() -> None:
    assert seconds([{"seconds": 5}, {"seconds": 9}, {"seconds": 2}, {"seconds": 3}]) == 12
    assert [duration(s) for s in (7.24, 42, 75, 7260)] == ["7.2 s", "42 s", "1 min 15 s", "2 h 1 min"]


def test_the_cache_costs_what_the_cache_takes() -> None:
    for name in ("gpt-nano", "llama-nano"):
        spec = preset(name)
        net = spec.build(None)
        grown = net.new_cache(1, 65).bytes() - net.new_cache(1, 64).bytes()
        assert cache_bytes(spec) == grown
