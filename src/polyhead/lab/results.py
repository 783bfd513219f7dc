"""What was measured of a claim, as a file of JSON: every number by arm and seed, and where and with what it was measured.

    {format, id, title, statement, kind, verdict, because, expected, decides, units, runs: [{mode, seeds, again, code,
     arms: {arm: {seed: numbers}}, intervals: {arm: {name: [mean, low, high]}}, verdict, because, seconds, machine, versions,
     corpus, created}]}

again: on other seeds, after a first run. code: finding.code of the claim's file. seconds: of one core, all measurements
together. corpus: the fingerprint of the text, if there is one. JSON has no NaN and no infinities: they are the strings
"NaN", "Infinity" and "-Infinity". A run that is not finished has no verdict; a claim's verdict is the one that its runs
agree on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyhead.errors import DataError

from .claim import Claim, Ruling, Verdict
from .finding import code, package

if TYPE_CHECKING:
    from .table import Table

FORMAT = 1
SHIPPED = Path(__file__).with_name("results")  # measured by us
FOLDER = Path("runs") / "lab"  # measured by the user
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
Result = dict[str, Any]
Run = dict[str, Any]


def read(path: Path) -> Result | None:
    """None where there is no file. DataError where it is none of ours."""
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known, version = found["runs"] is not None and found["id"], found["format"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(f"{path} holds no result of the lab", expected="what `polyhead lab run` wrote", received=str(error), change=f"remove {path}") from None
    if not known or version != FORMAT:
        raise DataError(f"{path} has another format", expected=f"format {FORMAT}", received=f"format {version}", change="another version of polyhead, or another folder (-o)")
    return found


def find(id: str, folder: Path = FOLDER) -> Result | None:
    """The claim's result with a verdict: the user's if there is one of the claim as it is now, else that of the package."""
    own, path = read(folder / f"{id}.json"), package().get(id)
    if own is not None and own["verdict"] is not None and (path is None or {run["code"] for run in deciding(own)} == {code(path)}):
        return own
    return read(SHIPPED / f"{id}.json")


def deciding(result: Result) -> list[Run]:
    """The runs that the verdict is taken from: the finished full ones, or if there is none the quick ones."""
    done = [run for run in result["runs"] if run["verdict"] is not None]
    return [run for run in done if run["mode"] == "full"] or done


def table(run: Run) -> Table:
    """The numbers of a run, seeds as numbers."""
    from .table import Table

    return Table({arm: {int(seed): unpacked(numbers) for seed, numbers in seeds.items()} for arm, seeds in run["arms"].items()})


def settle(result: Result) -> None:
    """Write the common verdict of the runs that decide into the result."""
    runs = deciding(result)
    if not runs:
        result["verdict"] = result["because"] = None
        return
    said = list(dict.fromkeys(run["verdict"] for run in runs))
    if len(said) == 1:
        result["verdict"], result["because"] = said[0], runs[0]["because"]
        return
    told = [f"seeds {spoken(run['seeds'])}: {run['verdict']} ({run['because'].rstrip('.')})" for run in runs]
    result["verdict"], result["because"] = Verdict.OPEN.value, "Runs on other seeds differ. " + "; ".join(told) + "."


def spoken(seeds: list[int]) -> str:
    """"0–2", "0, 7"."""
    if len(seeds) > 1 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}–{seeds[-1]}"
    return ", ".join(map(str, seeds))


def begin(claim: Claim) -> Result:
    """A result without runs."""
    result: Result = {"format": FORMAT, "id": claim.id, "runs": []}
    describe(result, claim)
    return result


def describe(result: Result, claim: Claim) -> None:
    """The claim's words as they are now; the runs stay last in the file."""
    runs = result.pop("runs")
    result |= {
        "title": claim.title, "statement": claim.statement, "kind": claim.kind, "verdict": result.get("verdict"),
        "because": result.get("because"), "expected": claim.expected.value, "decides": claim.decides, "units": dict(claim.units), "runs": runs,
    }  # fmt: skip


def judge(claim: Claim, run: Run) -> None:
    """What the rule says of the numbers of a run that has them all, and their intervals."""
    numbers = table(run)
    ruling = Ruling(*claim.rule(numbers))
    run["verdict"], run["because"] = Verdict(ruling.verdict).value, ruling.because
    names = {arm: [n for n, v in next(iter(seeds.values())).items() if _is_number(v)] for arm, seeds in numbers.arms.items()}
    run["intervals"] = {arm: {name: packed(list(numbers.interval(arm, name))) for name in found} for arm, found in names.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def packed(value: Any) -> Any:
    """Numbers that JSON lacks as strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): packed(item) for key, item in value.items()}
    return [packed(item) for item in value] if isinstance(value, list | tuple) else value


def unpacked(value: Any) -> Any:
    if isinstance(value, str):
        return _SPECIAL.get(value, value)
    if isinstance(value, dict):
        return {key: unpacked(item) for key, item in value.items()}
    return [unpacked(item) for item in value] if isinstance(value, list) else value


def write(path: Path, result: Result) -> None:
    """Atomic: a reader meets the result of before or of now."""
    from polyhead.checkpoint import write_text

    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, laid_out(result) + "\n")


def laid_out(value: Any, indent: str = "") -> str:
    """JSON that people can read and compare line by line: fields on lines of their own, but short things and lists on one."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    nested = isinstance(value, dict) and any(isinstance(item, dict | list) for item in value.values())
    if isinstance(value, dict) and (nested or len(indent) + len(line) > 120):
        rows = [f"{indent} {json.dumps(key, ensure_ascii=False)}: {laid_out(item, indent + ' ')}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"{indent} {laid_out(item, indent + ' ')}" for item in value) + f"\n{indent}]"
    return line
