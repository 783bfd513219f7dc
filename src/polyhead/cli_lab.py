"""The verbs of `polyhead lab` and their options; what they do is in commands/, imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyhead.lab.results import FOLDER

lab = typer.Typer(
    name="lab", no_args_is_help=True, rich_markup_mode=None,
    help="Measure what people say about Transformers.\n\nEach claim is a small experiment with a rule, fixed beforehand, that "
    "turns its numbers into a verdict: holds, holds with a condition, wrong as stated, not decided here.",
    epilog="Start with `polyhead lab list`.",
)  # fmt: skip

Json = Annotated[bool, typer.Option("--json", help="One JSON value on standard output, for programs.")]
Results = Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="Where your own results are.")]


@lab.command("list")
def list_claims(out: Results = FOLDER, as_json: Json = False) -> None:
    """List the claims with their verdicts: yours where you have measured, else those that come with polyhead.

    \b
    Example:
      polyhead lab list
    """
    from polyhead.commands.lab import run_list

    raise typer.Exit(run_list(out, as_json))


@lab.command("show")
def show_claim(
    claim: Annotated[str, typer.Argument(metavar="CLAIM", help="An id that `list` shows, or the file of a claim of your own.")],
    figure: Annotated[Path | None, typer.Option("--figure", metavar="FILE", help="Write its figure, .svg or .png.")] = None,
    dark: Annotated[bool, typer.Option("--dark", help="For a dark page.")] = False,
    out: Results = FOLDER,
    as_json: Json = False,
) -> None:
    """Tell a claim: what is said, what the literature says, how it is measured, the rule, the verdict and the numbers.

    \b
    Example:
      polyhead lab show C17
      polyhead lab show C04 --figure mask.svg
    """
    from polyhead.commands.lab import run_show

    raise typer.Exit(run_show(claim, out, figure, dark, as_json))


@lab.command("run")
def run_claims(
    claims: Annotated[list[str] | None, typer.Argument(metavar="[CLAIM]...", help="Ids, or files of your own; left out: all.")] = None,
    full: Annotated[bool, typer.Option("--full/--quick", help="At least five seeds, and longer training where that matters. quick: under three minutes a claim.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Measure once more, on other seeds. A claim whose runs differ is not decided.")] = False,
    seeds: Annotated[int | None, typer.Option(min=1, help="How many; left out: what the claim says.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Measurements at a time, of one thread each; left out: one per core.")] = None,
    out: Results = FOLDER,
    as_json: Json = False,
) -> None:
    """Measure claims, and judge them by their rules.

    What is measured already is not measured again. Ctrl-C keeps every measurement that is finished; the same command goes
    on. Exit code 1: a measurement failed; the others are made nevertheless.

    \b
    Example:
      polyhead lab run C17 C04
      polyhead lab run --again
      polyhead lab run my_claim.py --full
    """
    from polyhead.commands.lab import run_lab

    raise typer.Exit(run_lab(claims or [], "full" if full else "quick", again, seeds, jobs, out, as_json))


@lab.command("new")
def new_claim(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file that ends in .py.")],
    as_json: Json = False,
) -> None:
    """Write a claim of your own to begin with. It runs as it is.

    \b
    Example:
      polyhead lab new my_claim.py
    """
    from polyhead.commands.lab import run_new

    raise typer.Exit(run_new(file, as_json))


@lab.command()
def quiz(
    topic: Annotated[str | None, typer.Option(help="Ask about this topic alone, such as attention or scale.")] = None,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many questions.")] = 10,
    seed: Annotated[int | None, typer.Option(help="The same seed, the same questions.")] = None,
    as_json: Json = False,
) -> None:
    """Be asked the book's questions.

    Enter shows the short answer; then y says that you knew it, n that you did not, d shows more, q ends. At the end it says
    what to read again. Answers may come from a pipe; where they end, the questions left are shown with their answers.

    \b
    Example:
      polyhead lab quiz
      polyhead lab quiz --topic attention -n 5
    """
    from polyhead.commands.quizzing import run_quiz

    raise typer.Exit(run_quiz(topic, number, seed, as_json))


@lab.command()
def exercise(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="attention, cache or design; left out: lists them.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="Write a file to begin with.")] = None,
    solution: Annotated[bool, typer.Option("--solution", help="Show, or write, one that is right.")] = False,
    as_json: Json = False,
) -> None:
    """Read an exercise, and get a file to begin with.

    \b
    Example:
      polyhead lab exercise
      polyhead lab exercise attention -o attention.py
    """
    from polyhead.commands.exercising import run_exercise

    raise typer.Exit(run_exercise(name, out, solution, as_json))


@lab.command()
def grade(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The exercise.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What you made of it.")],
    limit: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="After this long it is ended.")] = 30.0,
    as_json: Json = False,
) -> None:
    """Grade an exercise, point by point: what was expected, what came.

    The file runs in a process of its own. Exit code 0: all points right; 1: not.

    \b
    Example:
      polyhead lab grade attention attention.py
    """
    from polyhead.commands.exercising import run_grade

    raise typer.Exit(run_grade(name, file, limit, as_json))


@lab.command("report")
def report(
    own: Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="Files of your own claims, to be in it too.")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="Where the book is written.")] = Path("lab-report"),
    results: Annotated[Path, typer.Option("--results", metavar="FOLDER", help="Where your own results are.")] = FOLDER,
    as_json: Json = False,
) -> None:
    """Write the lab's book: every claim with its verdict, figure and numbers, and every question of an interview with its answer.

    lab.html is the whole book in one file, lab.pdf a review of half an hour to an hour, markdown/ the book as pages.

    \b
    Example:
      polyhead lab report -o book
    """
    from polyhead.commands.booking import run_report

    raise typer.Exit(run_report(own or [], out, results, as_json))
