"""A plan in words and bars, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from polyhead.train.memory import show_bytes

WIDTH = 30  # of a bar
COLUMNS = 110
_UNITS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def report(found: dict[str, Any], name: str) -> str:
    """All of it, short: shares as bars."""
    device = found["device"]
    parts = [
        f"{name}: {found['tokens']:,} tokens a row, batch {found['batch']:,}, {found['dtype']} on {device['name']}",
        _machine(device), *_parameters(found["parameters"]), *_flops(found["flops"], found["tokens"]),
    ]  # fmt: skip
    if found["cache"]:
        parts += _cache(found["cache"], found["tokens"], found["batch"])
    if "training" in found:
        parts += _training(found["training"], device)
    if "decoding" in found:
        parts += _decoding(found["decoding"], device)
    lines = "\n".join(parts).splitlines()
    return "\n".join(piece for line in lines for piece in (wrap(line, COLUMNS, subsequent_indent="    ") if len(line) > COLUMNS else [line]))


def quantity(n: float, digits: int = 3) -> str:
    """13245.6 → "13.2k"."""
    for size, unit in _UNITS:
        if abs(n) >= size * 0.9995:
            return f"{n / size:.{digits}g}{unit}" if abs(n) < 1000 * size else f"{n / size:,.0f}{unit}"
    return f"{n:.{digits}g}"


def span(seconds: float) -> str:
    for size, unit in ((86400 * 2, "days"), (7200, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds / {'days': 86400, 'h': 3600, 'min': 60}[unit]:,.3g} {unit}"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"


def bars(rows: Sequence[tuple[str, float, str]]) -> list[str]:
    """(name, size, what is said of it): a bar each, the longest of full width."""
    rows = [row for row in rows if row[1] > 0]
    most = max((size for _, size, _ in rows), default=1.0)
    wide, said = max((len(name) for name, _, _ in rows), default=0), max((len(text) for _, _, text in rows), default=0)
    return [f"  {name:<{wide}}  {text:>{said}}  {_bar(size / most)}".rstrip() for name, size, text in rows]


def _bar(share: float) -> str:
    eighths = round(share * WIDTH * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _machine(device: dict[str, Any]) -> str:
    head = f"  peak {quantity(device['peak'])}FLOP/s, {quantity(device['bandwidth'])}B/s, {show_bytes(device['memory'])}"
    if device["measured"]:
        return f"{head}: measured here; times are of one kernel after another at measured rates"
    share = device["share"]
    return (
        f"{head} ({device['source'] or 'from the file'}); taken to reach {share['product']:.0%} of the peak in products, "
        f"{share['attention']:.0%} in attention, {share['memory']:.0%} of the bandwidth"
    )


def _parameters(found: dict[str, Any]) -> list[str]:
    total = found["total"]
    rows = [(row["name"], row["total"], f"{row['total']:,}  {row['total'] / total:6.1%}") for row in found["table"] if not row["depth"]]
    more = f", {found['active']:,} at work on one token" if found["active"] < total else ""
    out = ["", f"parameters  {total:,}{more}", *bars(rows)]
    for one in found["twelve"]:
        out.append(f"  a layer of the {one['kind']}: 12·d² = {one['thumb']:,}, exactly {one['exact']:,} ({one['exact'] / one['thumb'] - 1:+.1%}):")
        out += [f"    {n:+,} {name}" for name, n in one["parts"].items()]
    return out


def _flops(found: dict[str, Any], tokens: int) -> list[str]:
    forward = found["forward"]
    total = sum(forward.values()) or 1
    rows = [(name, n, f"{quantity(n)}  {n / total:6.1%}") for name, n in forward.items()]
    each = found["per_token"]
    shares = ", ".join(f"{share:.0%} at {int(n):,}" for n, share in found["share_of_scores"].items())
    out = ["", f"FLOPs of a row  {quantity(total)} forward, {quantity(sum(found['backward'].values()))} back; per token "
           f"{quantity(each['forward'])} and {quantity(each['backward'])} (the rule of thumb, 2·N: {quantity(found['thumb_per_token'])})"]  # fmt: skip
    out += [*bars(rows), f"  scores (queries × keys, weights × values) take {shares} tokens"]
    out += [f"  a kernel may skip {quantity(saving['flops'])} of them: {saving['why']}" for saving in found["savings"]]
    return out


def _cache(found: dict[str, Any], tokens: int, batch: int) -> list[str]:
    each, whole = found["bytes_per_token"], sum(found["allocated"].values())
    window = "; windows stop growing when they are full" if found["windowed"] else ""
    return ["", f"cache  {show_bytes(each)} per token ({', '.join(found['heads'])}, {found['item']} bytes a number){window}; "
            f"{show_bytes(whole)} allocated for {batch:,} × {tokens:,} tokens"]  # fmt: skip


def _training(found: dict[str, Any], device: dict[str, Any]) -> list[str]:
    fits = f"fits into {show_bytes(device['memory'])}" if found["fits"] else f"does not fit into {show_bytes(device['memory'])}"
    rows = [(name, n, show_bytes(n)) for name, n in found["memory"].items()]
    kept, again = found["activations"]["kept"], found["activations"]["recomputed"]
    out = ["", f"training memory  {show_bytes(found['needed'])} at the peak of a step; {fits}", *bars(rows)]
    out.append(f"  activations {show_bytes(kept)} kept, {show_bytes(again)} with --checkpointing; head and loss {show_bytes(found['logits'])}")
    out.append(f"  largest batch at this length {found['largest_batch']:,}; longest row at batch 1 {found['longest_context']:,} tokens")
    if not found["fits"]:
        out.append("  " + _instead(found))
    parts = [(name, seconds, span(seconds)) for name, seconds in found["time"].items()]
    out += ["", f"training time  {span(found['seconds'])} a step, {quantity(found['tokens_per_s'])} tokens/s, {found['mfu']:.0%} of the peak; "
            f"{quantity(found['flops'])}FLOPs, {show_bytes(found['moved'])} moved", *bars(parts)]  # fmt: skip
    return out


def _instead(found: dict[str, Any]) -> str:
    fitting = found["would_fit"]
    if fitting:
        return f"it would fit on {', '.join(fitting[:4])}"
    if found["largest_batch"]:
        return f"a batch of {found['largest_batch']:,} would fit"
    return "it fits on no single device of the list: `polyhead plan parallel` lays it out over many"


def _decoding(found: dict[str, Any], device: dict[str, Any]) -> list[str]:
    fits = "" if found["fits"] else f", which does not fit into {show_bytes(device['memory'])}"
    said = ", ".join(f"{name} {show_bytes(n)}" for name, n in found["memory"].items() if n)
    out = ["", f"writing  {show_bytes(found['needed'])}{fits}: {said}"]
    out.append(f"  at most {found['most_rows']:,} rows of this length; one row of at most {found['most_context']:,} tokens")
    out.append(f"  {'batch':>6} {'per step':>10} {'tokens/s':>10} {'at best':>10}  bound by")
    for step in found["steps"]:
        out.append(f"  {step['rows']:>6,} {span(step['seconds']):>10} {quantity(step['tokens_per_s']):>10} {quantity(step['limit_tokens_per_s']):>10}  {step['bound']}")
    return out
