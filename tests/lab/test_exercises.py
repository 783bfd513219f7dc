"""The exercises' graders: solutions get all points, each typical mistake loses the point that names it, a broken file gets words."""

import importlib
import types
from pathlib import Path

import pytest
import torch

from polyhead.errors import UserError
from polyhead.lab.exercises import EXERCISES, exercise
from polyhead.lab.exercises.child import judge, load
from polyhead.lab.exercises.grading import grade


def missed(name: str, handed_in: object) -> set[str]:
    points = importlib.import_module(f"polyhead.lab.exercises.{name}.points").POINTS
    return {point.name for point in points if not judge(point, handed_in, Path("work.py"))["ok"]}


def module(text: str) -> types.ModuleType:
    made = types.ModuleType("work")
    exec(compile(text, "work.py", "exec"), made.__dict__)
    return made


def changed(name: str, *changes: tuple[str, str]) -> types.ModuleType:
    text = exercise(name).solution()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return module(text)


@pytest.mark.parametrize("name", ["attention", "cache"])
def test_the_solution_has_all_points_and_the_skeleton_none(name):
    points = importlib.import_module(f"polyhead.lab.exercises.{name}.points").POINTS
    assert missed(name, module(exercise(name).solution())) == set()
    assert missed(name, module(exercise(name).skeleton())) == {point.name for point in points}


INFINITE = 'scores.masked_fill(~allowed & ~blind, float("-inf"))'
MISTAKES = {  # what is changed in the solution of `attention`, and the points that it must lose, no other
    "no scale": ([(" / (width // heads) ** 0.5", "")], {"scale", "together"}),
    "scale of the whole width": ([("/ (width // heads) ** 0.5", "/ width ** 0.5")], {"scale", "together"}),
    "scale without the root": ([("/ (width // heads) ** 0.5", "/ (width // heads)")], {"scale", "together"}),
    "mask after the softmax": (
        [(INFINITE, "scores"), ("scores.softmax(-1)", "scores.softmax(-1).masked_fill(~allowed, 0.0)")], {"before", "together"}
    ),
    "masked scores are zero": (
        [(INFINITE, "scores.masked_fill(~allowed & ~blind, 0.0)")], {"future", "padding", "together"}
    ),
    "no causal mask": ([("allowed.tril()", "allowed")], {"future", "together"}),
    "a token does not see itself": ([("allowed.tril()", "allowed.tril(-1)")], {"itself", "together"}),
    "upside down": ([("allowed.tril()", "allowed.triu()")], {"future", "together"}),
    "no padding mask": ([("allowed & keep[:, None, None, :]", "allowed")], {"padding", "blind", "together"}),
    "padding masks queries": ([("keep[:, None, None, :]", "keep[:, None, :, None]")], {"padding", "together"}),
    "heads without transposing": (
        [("y.view(rows, length, heads, width // heads).transpose(1, 2)", "y.view(rows, heads, length, width // heads)"),
         ("(weights @ v).transpose(1, 2)", "(weights @ v)")],
        {"scale", "heads", "together"},
    ),
    "heads interleaved": (
        [("y.view(rows, length, heads, width // heads).transpose(1, 2)", "y.view(rows, length, width // heads, heads).permute(0, 3, 1, 2)")],
        {"heads", "together"},
    ),
    "softmax over queries": ([("scores.softmax(-1)", "scores.softmax(-2)")], {"heads", "before", "together"}),
    "rows that see nothing are NaN": ([(" & ~blind", ""), (".masked_fill(blind, 0.0)", "")], {"blind"}),
    "rows that see nothing are an average": ([(".masked_fill(blind, 0.0)", "")], {"blind"}),
    "exponential without the largest score": (
        [("scores.softmax(-1)", "(scores.exp() / scores.exp().sum(-1, keepdim=True))")], {"large"}
    ),
    "no output projection": ([("mixed @ wo", "mixed")], {"heads", "together"}),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_attention_loses_its_point(mistake):
    changes, points = MISTAKES[mistake]
    assert missed("attention", changed("attention", *changes)) == points


def test_the_scale_that_was_used_is_named():
    points = {point.name: point for point in importlib.import_module("polyhead.lab.exercises.attention.points").POINTS}
    found = judge(points["scale"], changed("attention", (" / (width // heads) ** 0.5", "")), Path("work.py"))
    assert found["expected"] == "a factor of 1/√16 = 0.25 (width 16, 1 head)" and found["received"] == "1, no scale"
    found = judge(points["scale"], changed("attention", ("/ (width // heads) ** 0.5", "/ width ** 0.5")), Path("work.py"))
    assert found["expected"].startswith("a factor of 1/√8 = 0.3536 (width 32, 4 heads)")
    assert found["received"] == "0.1768, 1/√32, of the whole width"


START = "torch.arange(cache.length, cache.length + x.shape[1])"
CACHE_MISTAKES = {
    "positions begin at 0 again": (
        [("if rotary:\n        q, k = rotate(q, positions), rotate(k, positions)  #", "if rotary:\n        start = torch.arange(x.shape[1])\n        q, k = rotate(q, start), rotate(k, start)  #")],
        {"positions", "writing"},
    ),
    "positions one too far": ([(START, "torch.arange(cache.length + (cache.length > 0), cache.length + x.shape[1] + (cache.length > 0))")], {"positions", "writing", "pieces"}),
    "the newest token is not seen": (
        [("k, v = cache.append(k, v)", "before = cache.length\n    k, v = cache.append(k, v)\n    k, v = (k[:, :, :-1], v[:, :, :-1]) if before else (k, v)"),
         ("torch.arange(cache.length) >", "torch.arange(k.shape[2]) >")],
        {"one", "positions", "writing", "pieces", "new"},
    ),
    "the first token is lost": (
        [("torch.cat([self.keys, k], 2), torch.cat([self.values, v], 2)", "torch.cat([self.keys[:, :, 1:], k], 2), torch.cat([self.values[:, :, 1:], v], 2)")],
        {"one", "positions", "writing", "pieces", "length", "new"},
    ),
    "a mask that stands to the left": (
        [("torch.arange(cache.length) > positions[:, None]", "(torch.arange(cache.length) > torch.arange(x.shape[1])[:, None]) & (x.shape[1] > 1)")],
        {"pieces"},
    ),
    "no mask": ([("torch.arange(cache.length) > positions[:, None]", "torch.arange(cache.length) > positions[-1:, None]")], {"prompt", "writing", "pieces"}),
    "one cache for all": (
        [("self.keys: Tensor | None = None\n        self.values: Tensor | None = None", "pass"), ("def __init__", "keys = values = None\n\n    def __init__"), ("self.keys", "Cache.keys"), ("self.values", "Cache.values")],
        {"prompt", "one", "positions", "writing", "pieces", "length", "new", "apart", "rewind"},
    ),
    "rewinding one short": ([("self.keys[:, :, :n], self.values[:, :, :n]", "self.keys[:, :, : n - 1], self.values[:, :, : n - 1]")], {"rewind"}),
    "keys turned again at every step": (
        [("q, k = rotate(q, positions), rotate(k, positions)", "q = rotate(q, positions)"), ("    scores =", "    if rotary:\n        k = cache.keys = rotate(k, torch.arange(cache.length))\n    scores =")],
        {"positions", "writing"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", CACHE_MISTAKES)
def test_a_mistake_in_the_cache_loses_its_point(mistake):
    changes, points = CACHE_MISTAKES[mistake]
    assert missed("cache", changed("cache", *changes)) == points


def test_the_given_layer_is_written_out_in_full():
    folder = Path(importlib.import_module("polyhead.lab.exercises.cache").__file__ or "").parent
    body = (folder / "given.py").read_text(encoding="utf-8").partition('from __future__')[2].rstrip()
    for text in (exercise("cache").skeleton(), exercise("cache").solution()):
        assert body in text and "from .given" not in text, "a person's file stands alone"


# ---------------------------------------------------------------- design


def design(tmp_path: Path, **model: object) -> set[str]:
    file = tmp_path / "design.yaml"
    file.write_text(exercise("design").solution(), encoding="utf-8")
    handed_in = load(file)
    tokens = model.pop("tokens", handed_in["tokens"])
    return missed("design", {"tokens": tokens, "model": handed_in["model"] | model})


HEADS = "decoder.blocks.layer.attention.heads"


def test_the_design_fits_and_each_limit_binds(tmp_path):
    assert design(tmp_path) == set()
    assert design(tmp_path, **{HEADS: {"heads": 16, "kv_heads": 16}}) == {"parameters", "cache", "memory", "tokens", "compute"}
    unbuilt = design(tmp_path, **{HEADS: {"heads": 16, "kv_heads": 5}})
    assert len(unbuilt) == 8, "what cannot be built has no point"
    assert design(tmp_path, **{HEADS: {"heads": 64, "kv_heads": 8}}) == {"heads"}
    assert design(tmp_path, **{"decoder.layers": 16}) == {"parameters"}
    assert design(tmp_path, **{HEADS: {"heads": 20, "kv_heads": 5, "head_dim": 64}}) == {"memory"}
    assert design(tmp_path, tokens=20e9) == {"tokens"}
    assert design(tmp_path, tokens=3e10) == {"compute"}
    assert design(tmp_path, context=4096) == {"fields"}


def test_a_window_counts_as_what_the_engine_would_allocate(tmp_path):
    window = {"decoder.blocks.layer.attention.pattern": {"kind": "window", "back": 1023}}
    assert design(tmp_path, **{HEADS: {"heads": 16, "kv_heads": 4}}) == {"cache", "memory"}
    assert design(tmp_path, **{HEADS: {"heads": 16, "kv_heads": 4}}, **window) == set()


def test_the_cache_is_two_numbers_for_each_layer_and_head_and_feature():
    from polyhead.lab.exercises.design.points import cache_bytes, read

    handed_in = {"tokens": 1, "model": {"preset": "llama-nano", "context": 8192, HEADS: {"heads": 4, "kv_heads": 1}}}
    assert cache_bytes(read(handed_in).spec) == 2 * 4 * 1 * 32 * 2


@pytest.mark.parametrize(
    ("handed_in", "words"),
    [
        ({}, "nothing"), ({"model": {"preset": "gpt-9"}, "tokens": 1}, "gpt-9"), ({"model": {"preset": "bert-nano"}, "tokens": 1}, "encoder"),
        ({"model": {"preset": "gpt-nano"}, "tokens": "many"}, "'many'"), ({"model": "gpt2", "tokens": 1}, "'gpt2'"),
    ],
)  # fmt: skip
def test_what_is_no_design_is_said_in_words(handed_in, words):
    point = importlib.import_module("polyhead.lab.exercises.design.points").POINTS[0]
    found = judge(point, handed_in, Path("design.yaml"))
    assert not found["ok"] and words in found["received"]


# ---------------------------------------------------------------- the child


def test_a_solution_is_graded_in_a_process_of_its_own(tmp_path):
    file = tmp_path / "work.py"
    file.write_text(exercise("attention").solution() + '\nprint("hello")\n', encoding="utf-8")
    found = grade(exercise("attention"), file)
    assert found.passed and found.right == found.of == 11 and found.printed == "hello\n"


BROKEN = {  # the text, and the words of the fault; or of the first point's answer
    "syntax": ("def attention(x:\n", "it could not be read: '(' was never closed (line 1 of work.py)"),
    "raises": ("x = 1\nraise ValueError('no')", "it could not be read: ValueError: no (line 2 of work.py)"),
    "leaves": ("import os\nos._exit(3)", "the program was ended (exit code 3), while it was read"),
    "leaves orderly": ("raise SystemExit(4)", "it could not be read: SystemExit: 4 (line 1 of work.py)"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", ["syntax", "leaves"])
def test_a_broken_file_gets_words(tmp_path, what):
    text, words = BROKEN[what]
    (tmp_path / "work.py").write_text(text, encoding="utf-8")
    found = grade(exercise("attention"), tmp_path / "work.py")
    assert not found.passed and found.fault == words and not found.points


def test_a_file_that_does_not_end_is_ended(tmp_path):
    (tmp_path / "work.py").write_text("def attention(*_, **__):\n    while True: pass\n", encoding="utf-8")
    found = grade(exercise("attention"), tmp_path / "work.py", limit=0.5)
    assert found.fault == "it did not finish within 0.5 s, at the point shape" and found.of == 11


@pytest.mark.parametrize("what", BROKEN)
def test_what_a_file_raises_becomes_one_line(tmp_path, what):
    text, words = BROKEN[what]
    if "could not be read" not in words:
        pytest.skip("ends the process")
    from polyhead.lab.exercises.child import in_words

    file = tmp_path / "work.py"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BaseException) as caught:
        load(file)
    assert in_words(caught.value, file) == words.removeprefix("it could not be read: ")


def test_a_file_that_is_not_there_and_an_exercise_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"no file.*work\.py"):
        grade(exercise("attention"), tmp_path / "work.py")
    with pytest.raises(UserError, match=r"attention, cache, design"):
        exercise("atention")
    (tmp_path / "work.txt").write_text("")
    with pytest.raises(UserError, match=r"ends in \.py"):
        grade(exercise("attention"), tmp_path / "work.txt")


def test_an_answer_of_the_wrong_kind_is_named():
    point = importlib.import_module("polyhead.lab.exercises.attention.points").POINTS[0]
    for answer, words in ((lambda *_, **__: None, "NoneType"), (lambda *_, **__: torch.zeros(2, 2), "shape (2, 2)")):
        assert words in judge(point, types.SimpleNamespace(attention=answer), Path("work.py"))["received"]
    assert "no attribute 'attention'" in judge(point, types.SimpleNamespace(), Path("work.py"))["received"]


def test_every_exercise_has_its_files():
    for one in EXERCISES:
        assert one.statement().startswith("# ") and f"polyhead lab grade {one.name}" in one.statement()
        assert one.skeleton() and one.solution()
