"""plan MODEL: parameters, FLOPs, memory and time, known beforehand."""

from __future__ import annotations

import sys
from pathlib import Path

from .output import emit, is_terminal, note, say
from .showing import resolve


def run_plan(
    name: str, tokens: int | None, batch: int, on: str, dtype: str | None, optimizer: str, checkpointing: bool, train: bool,
    decode: bool, as_json: bool, html: Path | None,
) -> int:  # fmt: skip
    """The verb plan model; train and decode: that alone."""

    from polyhead.errors import ConfigError
    from polyhead.nn import PairSpec
    from polyhead.plan.device import THIS
    from polyhead.plan.measure import remembered
    from polyhead.plan.model import Asked, plan
    from polyhead.plan.telling import report

    asked = Asked(tokens, batch, on, dtype, optimizer, checkpointing, train or not decode, decode or not train)
    spec = resolve(name)
    if isinstance(spec, PairSpec):
        raise ConfigError(
            "two models that meet in one space are planned one by one", expected="one of its models", received=name,
            change=f"polyhead plan {name}-image, or polyhead plan {name}-text",
        )  # fmt: skip
    if on.lower() in THIS and not remembered() and is_terminal(sys.stderr):
        note("measuring this machine, once: matrix products, attention, memory …")
    found = plan(spec, asked)
    if html is not None:
        from polyhead.plan.pictures import write_page

        write_page(html, found, name)
        if not as_json:
            note(f"wrote {html}")
    if as_json:
        emit({"name": name} | found)
    else:
        say(report(found, name))
    return 0
