"""The command line: verbs and their options, nothing else. What a verb does is in commands/, imported when it runs, so
that `polyhead --help` answers at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from polyhead.cli_lab import Json, lab
from polyhead.cli_plan import plan
from polyhead.errors import PolyheadError

app = typer.Typer(
    name="polyhead", add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
    help="Every Transformer in one small package: train, evaluate, generate, look inside.",
    epilog="Start with `polyhead demo`. `polyhead VERB --help` explains a verb.",
    context_settings={"help_option_names": ["--help", "-h"]},
)  # fmt: skip

AnyModel = Annotated[str, typer.Argument(metavar="MODEL", help="A run's folder, a model's folder of any kind, or owner/name on the Hub.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Temperature = Annotated[float | None, typer.Option(help="0 takes the most probable token. Left out: what a published model says, else 0.8, for an encoder–decoder 0.")]
TopK = Annotated[int | None, typer.Option(help="Draw among the k most probable tokens.")]
TopP = Annotated[float | None, typer.Option(help="Draw among the most probable tokens that reach this share together.")]
MinP = Annotated[float | None, typer.Option(help="Leave out tokens below this share of the most probable one.")]
Stop = Annotated[list[str] | None, typer.Option(help="A text that ends the answer; may be given several times.")]
Seed = Annotated[int | None, typer.Option(help="The same seed, the same answer.")]


def _version(asked: bool) -> None:
    if asked:
        from polyhead import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _polyhead(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)] = False,
) -> None:
    pass


@app.command()
def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="The run's folder.")] = Path("runs/demo"),
    steps: Annotated[int | None, typer.Option(min=1, help="A shorter or longer demo.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Remove a finished demo and start anew.")] = False,
    as_json: Json = False,
) -> None:
    """Train a small GPT offline, in about two minutes.

    The text is the source and documentation of this Python's own library, so nothing is downloaded. A demo that was
    interrupted goes on where it stopped.

    \b
    Example:
      polyhead demo
    """
    from polyhead.commands.demo import run_demo

    raise typer.Exit(run_demo(out, steps, again, as_json))


@app.command()
def train(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="A preset (gpt-nano), a spec file, a recipe, or a trained model: a folder, or owner/name on the Hub.")] = None,
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="A file, a folder, two parallel files a.de,a.en, or a Hub data set owner/name, owner/name:subset[part].")] = None,
    settings: Annotated[list[str] | None, typer.Argument(metavar="FIELD=VALUE...", help="Settings of the run, such as training.steps=500 or model.decoder.layers=6.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The run's folder.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint; an empty folder starts fresh.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, from one real step, and write nothing.")] = False,
    examples: Annotated[int | None, typer.Option("--show", metavar="N", min=1, help="Print the first N examples with what is learnt of them marked, and train nothing.")] = None,
    as_json: Json = False,
) -> None:
    """Train a preset, or go on from a trained model.

    The shape of the data decides what is learnt: text, pairs, labels, tags, questions, conversations, preferences, pictures.
    Every preset knows how it wants to be trained; settings change that. They may stand anywhere after the model.
    With --resume the model and the data may be left out.

    \b
    Example:
      polyhead train gpt-nano book.txt -o runs/a training.steps=500 seed=7
      polyhead train bert-nano reviews.csv --show 3
    """
    from polyhead.commands.training import run_training

    raise typer.Exit(run_training([model, data, *(settings or [])], out, resume, dry_run, examples, as_json))


@app.command("eval")
def evaluate(
    model: AnyModel,
    on: Annotated[str | None, typer.Option("--on", metavar="DATA", help="Data the model has not been trained on: text, pairs, conversations, preferences, labels, tags, questions, pictures. Left out: what the run held out.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Rows computed together.")] = 16,
    limit: Annotated[int | None, typer.Option(min=1, help="Examples to answer at most; left out: all.")] = None,
    columns: Annotated[str | None, typer.Option(help="The column of the text, two for pairs or text and label, three for two texts and their label.")] = None,
    beams: Annotated[int, typer.Option(min=1, help="Search answers among this many prefixes.")] = 1,
    rouge: Annotated[bool, typer.Option("--rouge", help="ROUGE of answers too.")] = False,
    references: Annotated[str, typer.Option("--references", metavar="WHICH", help="Compare answers with the target, with the list references beside it (annotated), or with all.")] = "target",
    strict: Annotated[bool, typer.Option("--strict", help="Count only spans that their scheme of tags allows.")] = False,
    header: Annotated[bool | None, typer.Option("--header/--no-header", help="Whether a table's first row holds names; left out: as it looks.")] = None,
    max_bad: Annotated[float | None, typer.Option("--max-bad", min=0, max=1, help="The share of broken rows above which reading stops; left out: 0.01.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure a model on data it has not seen.

    By the metrics of what it was trained for.

    A decoder: loss, perplexity, bits per byte; of conversations on what the assistant says alone, of preferences how often
    the chosen answer is the more probable one. An encoder: loss and accuracy on masked tokens. An encoder–decoder: loss,
    exact match, BLEU, chrF. A classifier: accuracy, F1. A tagger: accuracy, F1 of spans. Answers: exact match and F1 as
    SQuAD's. Embeddings: correlation with people's scores. Pictures: accuracy. With 95% intervals over the examples.

    \b
    Example:
      polyhead eval runs/a
      polyhead eval runs/a --on held-out.txt
    """
    from polyhead.commands.evaluating import Asked, run_eval

    raise typer.Exit(run_eval(model, on, Asked(batch, limit, columns, beams, rouge, strict, header, max_bad, references), device, as_json))


@app.command()
def run(
    model: AnyModel,
    text: Annotated[str | None, typer.Argument(metavar="INPUT", help="A text, a question, the name of a picture; two texts with a tab between them; - or nothing reads standard input.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Length of the answer; left out: what the context holds.")] = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    beams: Annotated[int, typer.Option(min=1, help="Search among this many prefixes instead of drawing.")] = 1,
    stop: Stop = None,
    seed: Seed = None,
    context: Annotated[Path | None, typer.Option("--context", metavar="FILE", help="The text that questions are about.")] = None,
    query: Annotated[str | None, typer.Option("--query", metavar="TEXT", help="Rank the texts of --in for this.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", metavar="TEXT", help="What a pair of towers may see in a picture; give several.")] = None,
    top: Annotated[int | None, typer.Option(min=1, help="Classes, answers or ranked texts to show; left out: all classes and texts, one answer.")] = None,
    given: Annotated[Path | None, typer.Option("--in", metavar="FILE", help="Inputs: one a line, or .jsonl with fields such as text.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the answers as JSON lines.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Let a model do what it was trained for.

    A decoder goes on with a text, an encoder–decoder answers it, a classifier names its class, a tagger tags its words,
    others answer questions about a text, embed texts, or say what a picture shows.

    \b
    Example:
      polyhead run runs/a "Once upon a time" --max-tokens 100 --seed 1
      polyhead run runs/answer "Who lit the lamp?" --context story.txt
    """
    from polyhead.commands.answering import Ask, Style, run_model

    style = Style(max_tokens, temperature, top_k, top_p, min_p, beams, tuple(stop or ()), seed)
    raise typer.Exit(run_model(model, text, style, Ask(context, query, tuple(label or ()), top), given, out, device, as_json))


@app.command()
def chat(
    model: AnyModel,
    max_tokens: Annotated[int, typer.Option(min=1, help="Length of an answer, at most half the context.")] = 120,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    stop: Stop = None,
    seed: Seed = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Write with a model, turn by turn.

    /help lists the commands; Ctrl-D leaves. A model trained on plain text goes on with the text you both write; the oldest part is forgotten when the context
    is full. Lines may be piped in.

    \b
    Example:
      polyhead chat runs/a --stop "."
    """
    from polyhead.commands.answering import Style, run_chat

    style = Style(None, temperature, top_k, top_p, min_p, 1, tuple(stop or ()), seed)
    raise typer.Exit(run_chat(model, style, max_tokens, device, as_json))


@app.command()
def show(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="A preset, a spec file, a model's folder, or owner/name on the Hub; nothing lists the presets.")] = None,
    against: Annotated[str | None, typer.Option("--against", metavar="OTHER", help="Tell what differs from this model instead.")] = None,
    as_json: Json = False,
) -> None:
    """Draw an architecture step by step, and count its costs.

    Shapes, norms, positions, who sees whom, experts; then parameters by part, FLOPs, cache and memory. Without MODEL it
    lists the presets.

    \b
    Example:
      polyhead show llama-3-8b
      polyhead show llama-3-8b --against mistral-7b
    """
    from polyhead.commands.showing import run_show

    raise typer.Exit(run_show(model, against, as_json))


@app.command()
def verify(
    model: AnyModel,
    against: Annotated[str | None, typer.Option("--against", metavar="OTHER", help="Compare with this model in place of transformers.")] = None,
    tokens: Annotated[int | None, typer.Option(min=2, help="Length of the random row; left out: 64, or the context.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the random row.")] = 0,
    device: Device = "auto",
    dtype: Annotated[str, typer.Option(help="What both compute in: fp32, bf16 or fp16.")] = "fp32",
    as_json: Json = False,
) -> None:
    """Prove that a model equals transformers's, or another one.

    Logits, the states of every layer, and greedy tokens through the cache, on random input and a short text. Exit code 0:
    equal; 1: not equal.

    \b
    Example:
      polyhead verify runs/a
      polyhead verify runs/a --against exported
    """
    from polyhead.commands.proving import run_verify

    raise typer.Exit(run_verify(model, against, tokens, seed, device, dtype, as_json))


@app.command()
def convert(
    model: AnyModel,
    to: Annotated[str, typer.Option("--to", metavar="hf|native", help="hf: a folder that transformers opens; native: polyhead's own.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The new folder.")],
    dtype: Annotated[str | None, typer.Option(help="What weights are stored in: fp32, bf16 or fp16. Left out: as they are.")] = None,
    max_shard: Annotated[str | None, typer.Option(metavar="SIZE", help="Largest file of weights, such as 500MB. Left out: 5GB.")] = None,
    unsafe_pickle: Annotated[bool, typer.Option("--unsafe-pickle", help="Read old pickled weights, of an author you trust, in a process of their own.")] = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Write a model in another format, and prove that it is the same.

    The result is read back: its weights are compared bit for bit, its answers with the original's and with those of
    transformers where that is installed. Exit code 0: equal; 1: not equal.

    \b
    Example:
      polyhead convert runs/a --to hf -o exported
    """
    from polyhead.commands.proving import run_convert

    raise typer.Exit(run_convert(model, to, out, dtype, max_shard, unsafe_pickle, device, as_json))


app.add_typer(lab)
app.add_typer(plan)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check this machine and this installation.

    Versions, devices, threads, compiler, disk, and whether all ways to compute attention agree here.

    \b
    Example:
      polyhead doctor
    """
    from polyhead.commands.checkup import run_doctor

    raise typer.Exit(run_doctor(as_json))


# ---------------------------------------------------------------- how it ends

_UsageError: Any = typer.BadParameter.__base__  # click's, wherever typer keeps click


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 2 = the input, 1 = ours, 130 or 143 = stopped."""
    _quiet()
    try:
        code = app(args=arguments, standalone_mode=False, prog_name="polyhead")
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except PolyheadError as error:
        return _say(str(error), error.exit_code)
    except _UsageError as error:
        error.show()
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return _say("stopped", 130)
    except BrokenPipeError:  # the reader has gone: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return _unexpected(error)


def _quiet() -> None:
    """Characters a console lacks become "?"; warnings are one line without the line of code that gave them."""
    import warnings

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    if "POLYHEAD_DEBUG" not in os.environ:
        warnings.showwarning = lambda message, *_, **__: print(f"note: {message}", file=sys.stderr)


def _say(text: str, code: int) -> int:
    print(f"polyhead: {text}", file=sys.stderr, flush=True)
    return code


def _unexpected(error: Exception) -> int:
    """A mistake of ours, or of the machine: no traceback unless asked for."""
    if os.environ.get("POLYHEAD_DEBUG"):
        import traceback

        traceback.print_exc()
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    return _say(f"{what}\n  this was not expected; POLYHEAD_DEBUG=1 shows where it happened", 1)


if __name__ == "__main__":
    sys.exit(main())
