"""A run's folder as one self-contained page: no script, no font, no address to fetch. Light and dark by the reader's choice.

Everything comes from the folder (config, spec, metrics, samples, meta), so the page can be written again at any time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from polyhead.checkpoint import latest, write_text
from polyhead.families import read
from polyhead.nn import ModelSpec

from .chart import Series, line_chart, smooth
from .counting import cache_bytes, table
from .drawing import draw

REPORT = "report.html"
_STYLE = Path(__file__).with_name("page.css")
ROWS = frozenset(("answer", "classify", "contrast", "image", "prefer", "similar", "tag"))  # objectives whose loss is not of tokens
_SHOWN = 6  # samples along the run; the first and the last are always among them


def write_report(folder: str | Path) -> Path:
    """Write `folder`/report.html from what the run left behind; returns its path. Raises DiskError."""
    folder = Path(folder)
    path = folder / REPORT
    write_text(path, page(folder))
    return path


def page(folder: Path) -> str:
    """The page's HTML."""
    spec = ModelSpec.model_validate_json((folder / "spec.json").read_text(encoding="utf-8"))
    config, meta = read(folder / "config.yaml"), _json(folder / "meta.json")
    rows, samples = _lines(folder / "metrics.jsonl"), _lines(folder / "samples.jsonl")
    sections = [
        _head(folder, spec, config, rows),
        _curves(rows, config),
        _samples(samples, rows),
        _section("Architecture", f"<pre>{escape(draw(spec, config['model']))}</pre>"),
        _section("Parameters", f"<pre>{escape(_counts(spec))}</pre>"),
        _machine(meta, rows),
        _section("Configuration", f"<pre>{escape((folder / 'config.yaml').read_text(encoding='utf-8'))}</pre>"),
    ]
    return document(f"{folder.name}: {config['model']}", "\n".join(filter(None, sections)))


def document(title: str, body: str, style: str = "") -> str:
    """A self-contained page in the look of all pages: title is plain text, body HTML, style CSS of the page's own."""
    style = _STYLE.read_text(encoding="utf-8") + style
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>\n{style}</style></head>\n'
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>\n{body}\n</section>"


def _head(folder: Path, spec: ModelSpec, config: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    last = rows[-1] if rows else {}
    best = _best(folder)
    told = [row for row in rows if row.get("val_loss") is not None]
    held: dict[str, Any] = next((row for row in reversed(told) if best is None or row["step"] == best["step"]), {})
    cards = [("parameters", f"{spec.params().total:,}"), ("steps", f"{last.get('step', 0):,} of {config['training']['steps']:,}")]
    cards += [(f"{_unit(config)} seen", f"{last['tokens']:,}")] if "tokens" in last else []
    cards += [(f"best {best['name'].replace('_', ' ')}: the weights kept", f"{best['value']:.4f} at step {best['step']:,}")] if best else []
    if held:
        if _kind(config["training"]["objective"]) in ROWS:
            cards.append(("validation loss", f"{held['val_loss']:.3f}"))
        else:
            cards += [("validation loss, nats per token", f"{held['val_loss']:.3f}"), ("perplexity", f"{math.exp(min(held['val_loss'], 700)):,.2f}")]
    if held.get("val_bpb") is not None:
        cards.append(("bits per byte", f"{held['val_bpb']:.3f}"))
    cards += [(f"validation {name}", f"{held[key]:.4f}") for key, name in _figures([held]).items()]
    cards.append(("training time", duration(seconds(rows))))
    made = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in cards)
    where = config["data"]["path"]
    data = where if isinstance(where, str) else " and ".join(where)
    return (
        f"<header><h1>{escape(folder.name)}</h1>\n<p>{escape(config['model'])}, {escape(_kind(config['training']['objective']))}, "
        f"trained on {escape(data)}</p>\n<dl class='cards'>{made}</dl></header>"
    )


def _unit(config: dict[str, Any]) -> str:
    """What the metrics' `tokens` count."""
    return "pictures" if _kind(config["training"]["objective"]) == "image" else "tokens"


def _best(folder: Path) -> dict[str, Any] | None:
    """{"name", "step", "value"} of the evaluation whose weights the run ends with, where it keeps the best."""
    saved = latest(folder / "checkpoints", verify=False)
    return None if saved is None else saved.state.get("best")


def _curves(rows: list[dict[str, Any]], config: dict[str, Any]) -> str:
    def of(name: str) -> list[tuple[float, float]]:
        return [(row["step"], row[name]) for row in rows if isinstance(row.get(name), int | float)]

    loss = of("loss")
    if len(loss) < 2:
        return _section("Loss", "<p>Too few steps for a curve.</p>")
    span = max(1, len(loss) // 20) | 1
    series = [Series("", loss, "raw"), Series("training", smooth(loss, span), "train"), Series("validation", of("val_loss"), "valid", True)]
    unit = "loss" if _kind(config["training"]["objective"]) in ROWS else "loss (nats per token)"
    out = _section("Loss", line_chart([s for s in series if s.points], "step", unit))
    rate = line_chart([Series("", of("lr"), "rate")], "step", "learning rate", height=190, zero=True)
    speed = line_chart([Series("", of("tokens_per_s"), "rate")], "step", f"{_unit(config)} per second", height=190, zero=True)
    figures = [line_chart([Series("", of(key), "valid", True)], "step", name, height=190, whole=True) for key, name in _figures(rows).items() if len(of(key)) > 1]
    out += _section("Held-out figures", f'<div class="two">{"".join(figures)}</div>') if figures else ""
    return out + _section("Learning rate and speed", f'<div class="two">{rate}{speed}</div>')


def _figures(rows: list[dict[str, Any]]) -> dict[str, str]:
    """{key: words} of what evaluations measured beside the loss."""
    keys = dict.fromkeys(key for row in rows for key, value in row.items() if key.startswith("val_") and isinstance(value, int | float))
    return {key: key.removeprefix("val_").replace("_", " ") for key in keys if key not in ("val_loss", "val_bpb")}


def _samples(samples: list[dict[str, Any]], rows: list[dict[str, Any]]) -> str:
    """What the model wrote along the run, from the same prompt and seed."""
    samples = [s for s in samples if s.get("text")]
    samples = list({s["step"]: s for s in samples}.values())  # after a resume a step may stand twice: the last counts
    if not samples:
        return ""
    chosen = sorted({round(i * (len(samples) - 1) / (_SHOWN - 1)) for i in range(_SHOWN)})
    told = {row["step"]: row["val_loss"] for row in rows if row.get("val_loss") is not None}
    parts = ["<p>The same prompt and the same random numbers every time; only the weights differ.</p>"]
    for i in chosen:
        sample = samples[i]
        loss = f", validation loss {told[sample['step']]:.3f}" if sample["step"] in told else ""
        parts.append(f"<h3>step {sample['step']:,}{loss}</h3>")
        parts.append(f"<pre class='sample'><b>{escape(sample['prompt'])}</b>{escape(sample['text'])}</pre>")
    return _section("Samples along the run", "\n".join(parts))


def _counts(spec: ModelSpec) -> str:
    lines = [*table(spec), ""]
    flops = spec.flops(spec.context).total / spec.context
    lines.append(f"  forward {flops:,.0f} FLOPs per token at {spec.context:,} tokens; training three times that")
    if size := cache_bytes(spec):
        lines.append(f"  cache while generating: {size:,} bytes per token in fp32")
    return "\n".join(lines)


def _machine(meta: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    facts = {"training time": duration(seconds(rows))} | meta.get("machine", {})
    choices = meta.get("choices", {})
    facts |= {name: choices[name] for name in ("precision", "compile") if name in choices}
    body = "".join(f"<tr><th>{escape(str(k))}</th><td>{escape(str(v))}</td></tr>" for k, v in facts.items())
    return _section("Time and machine", f"<table>{body}</table>")


def seconds(rows: Iterable[dict[str, Any]]) -> float:
    """Time in the loop over all sessions of a run: the clock starts anew with each."""
    total = last = 0.0
    for row in rows:
        now = float(row.get("seconds") or 0.0)
        total += now - last if now >= last else now
        last = now
    return total


def _kind(objective: str | dict[str, Any]) -> str:
    """An objective's name; runs of format 1 have nothing else."""
    return objective if isinstance(objective, str) else objective["kind"]


def duration(value: float) -> str:
    """75.2 → "1 min 15 s"."""
    whole = round(value)
    if whole < 60:
        return f"{value:.1f} s" if value < 10 else f"{whole} s"
    hours, rest = divmod(whole, 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line.strip()]
