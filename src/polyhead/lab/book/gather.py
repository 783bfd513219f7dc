"""From the claims' files, their results and the pages to the book."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from polyhead.report.page import duration

from .. import finding, results
from ..claim import Ruling, Verdict
from ..pages import read_pages
from .content import Book, Finding


def gather(folder: Path = results.FOLDER, own: Iterable[str] = ()) -> Book:
    """The claims of the package and the user's own files, with the user's results where there are any. Raises ConfigError
    for a file that holds no claim, DataError for a result that cannot be read."""
    files = list(own)
    claims = [finding.load(name) for name in (*finding.package(), *(finding.chosen(files) if files else ()))]
    found = {claim.id: results.find(claim.id, folder) for claim in claims}
    return Book(claims, {id: _finding(result) for id, result in found.items() if result}, read_pages())


def _finding(result: results.Result) -> Finding:
    """The first of the runs that decide, and what the others said."""
    first, *others = results.deciding(result)
    ruling = Ruling(Verdict(result["verdict"]), result["because"])
    return Finding(ruling, results.table(first), first["mode"], tuple(Verdict(run["verdict"]) for run in others), _facts(first, others))


def _facts(run: results.Run, others: list[results.Run]) -> dict[str, str]:
    machine = run["machine"]
    facts = {
        "measured": f"{run['created'][:10]}, {run['mode']}, seeds {results.spoken(run['seeds'])}",
        "other seeds": "; ".join(f"{results.spoken(other['seeds'])}: {other['verdict']}" for other in others),
        "time": f"{duration(run['seconds'])} of one core",
        "machine": f"{machine['cpu']}, {machine['cores']} cores, {machine['os']}",
        "versions": ", ".join(f"{name} {version}" for name, version in run["versions"].items()),
        "text": f"the demo's corpus, sha256 {run['corpus'][:16]}" if run["corpus"] else "",
    }
    return {name: said for name, said in facts.items() if said}
