"""run on models that do not write: what people and programs get, and what hostile files and wrong options get."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import polyhead as ph
from polyhead.nn import HeadSpec
from tests.tasks.conftest import made, opened
from tests.tasks.tiny import SENTENCES, TAGS

__all__ = ["made", "opened"]


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="session")
def embedder(opened, tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = opened("bert", "answer")
    spec = base.spec.model_copy(update={"heads": {"embed": HeadSpec(task="embed", pool="mean", normalise=True)}})
    return ph.Model(spec.build(seed=0).eval(), base.tokenizer).save(tmp_path_factory.mktemp("embed") / "model", to="native")


# ---------------------------------------------------------------- each head


def test_classes_as_a_table_and_as_json(polyhead, made, opened) -> None:
    expected = opened("bert", "single").classify("the lamp was lit")
    shown = polyhead("run", made("bert", "single"), "the lamp was lit")
    assert shown.code == 0 and [row.split() for row in shown.out.splitlines()] == [[name, f"{share:.4f}"] for name, share in expected.scores]
    found = json.loads(polyhead("run", made("bert", "single"), "-", "--json", "--top", "1", stdin="the lamp was lit\n").out)
    assert found == {"text": "the lamp was lit", "label": expected.label, "scores": {expected.label: pytest.approx(expected.scores[0][1])}}
    pair = json.loads(polyhead("run", made("bert", "single"), "the lamp\twas lit", "--json").out)
    assert pair["second"] == "was lit" and pair["scores"] == pytest.approx(dict(opened("bert", "single").classify(("the lamp", "was lit")).scores))
    assert pair == json.loads(polyhead("run", made("bert", "single"), '{"text": "the lamp", "second": "was lit"}', "--json").out)


def test_a_file_of_texts_and_pairs(polyhead, folder: Path, made) -> None:
    (folder / "in.txt").write_text("the lamp\nAnna\thome\n", encoding="utf-8")
    (folder / "in.jsonl").write_text('{"text": "the lamp"}\n\n{"premise": "Anna", "hypothesis": "home"}\n', encoding="utf-8")
    for name in ("in.txt", "in.jsonl"):
        result = polyhead("run", made("bert", "single"), "--in", name, "--out", "out.jsonl")
        assert result.code == 0 and "2 answers in out.jsonl" in result.err and not result.out
        rows = lines((folder / "out.jsonl").read_text())
        assert [(row["text"], row.get("second")) for row in rows] == [("the lamp", None), ("Anna", "home")]
    shown = polyhead("run", made("bert", "single"), "--in", "in.txt").out.splitlines()
    assert len(shown) == 2 and shown[1].endswith("Anna | home")


def test_words_with_their_tags_below(polyhead, folder: Path, made, opened) -> None:
    text = SENTENCES[0]
    found = opened("bert", "tag").tag(text)
    shown = polyhead("run", made("bert", "tag"), text).out.splitlines()
    assert shown[0].split() == text.split() and shown[1].split() == found.tags
    assert all(shown[0].index(word) == shown[1].index(tag) for word, tag in list(zip(text.split(), found.tags, strict=True))[:1])
    row = json.loads(polyhead("run", made("bert", "tag"), text, "--json").out)
    assert row["words"][0] == {"text": "Anna", "tag": found.words[0].tag, "score": pytest.approx(found.words[0].score), "begin": 0, "end": 4}
    assert [one["label"] for one in row["entities"]] == [one.label for one in found.entities]
    (folder / "in.jsonl").write_text(json.dumps({"tokens": ["Anna", "was", "home"]}) + "\n" + json.dumps({"text": "home"}) + "\n")
    rows = lines(polyhead("run", made("bert", "tag"), "--in", "in.jsonl", "--json").out)
    assert rows[0]["text"] == "Anna was home" and len(rows[0]["words"]) == 3 and {word["tag"] for word in rows[0]["words"]} <= set(TAGS)


def test_an_answer_in_its_context(polyhead, folder: Path, made, opened) -> None:
    (folder / "story.txt").write_text(SENTENCES[0], encoding="utf-8")
    best = opened("bert", "answer").answer("who?", SENTENCES[0], top=2).best
    shown = polyhead("run", made("bert", "answer"), "who?", "--context", "story.txt").out
    assert shown.startswith(f"{best[0].text}  {best[0].score:.4f}") and f"[{best[0].text}]" in shown
    row = json.loads(polyhead("run", made("bert", "answer"), "who?", "--context", "story.txt", "--top", "2", "--json").out)
    assert (row["answer"], row["begin"], row["end"]) == (best[0].text, best[0].begin, best[0].end) and len(row["best"]) == 2
    typed = polyhead("run", made("bert", "answer"), json.dumps({"question": "who?", "context": SENTENCES[0]}), "--json", "--top", "2").out
    assert json.loads(typed) == row
    (folder / "in.txt").write_text(f"who?\nwhere?\t{SENTENCES[1]}\n")
    rows = lines(polyhead("run", made("bert", "answer"), "--in", "in.txt", "--context", "story.txt", "--json").out)
    assert rows[0]["answer"] == best[0].text and SENTENCES[1][rows[1]["begin"] : rows[1]["end"]] == rows[1]["answer"]


def test_vectors_and_ranks(polyhead, folder: Path, embedder: Path) -> None:
    model = ph.load(embedder)
    row = json.loads(polyhead("run", embedder, "the lamp", "--json").out)
    assert row["vector"] == pytest.approx(model.embed("the lamp").tolist())
    assert len(polyhead("run", embedder, "the lamp").out.split()) == 32
    (folder / "texts.txt").write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    found = json.loads(polyhead("run", embedder, "--query", "the lamp was lit", "--in", "texts.txt", "--json").out)
    expected = model.rank("the lamp was lit", SENTENCES)
    assert [(one["rank"], one["place"]) for one in found["ranked"]] == [(i, one.place) for i, one in enumerate(expected, 1)]
    shown = polyhead("run", embedder, "--query", "the lamp was lit", "--in", "texts.txt", "--top", "1").out
    assert shown.split()[0] == f"{expected[0].score:.4f}" and len(shown.splitlines()) == 1


def test_pictures_by_their_names(polyhead, folder: Path, tmp_path_factory) -> None:
    Image = pytest.importorskip("PIL.Image")
    from polyhead.families import override

    vit = override(ph.preset("vit-base-16-224"), {"encoder.layers": 1, "encoder.width": 48, "encoder.blocks.layer.attention.heads.heads": 2})
    place = ph.Model(vit.build(seed=0), meta={"preprocessor": {"image_processor_type": "ViTImageProcessor"}}).save(folder / "vit", to="native")
    for name in ("a.png", "b.png"):
        Image.fromarray(np.random.default_rng(len(name)).integers(0, 256, (30, 20, 3), dtype=np.uint8)).save(folder / name)
    row = json.loads(polyhead("run", place, "a.png", "--json", "--top", "3").out)
    assert row["image"] == "a.png" and len(row["scores"]) == 3 and row["label"] in row["scores"]
    (folder / "names.txt").write_text("a.png\nb.png\n")
    assert len(polyhead("run", place, "--in", "names.txt").out.splitlines()) == 2
    missing = polyhead("run", place, "none.png")
    assert missing.code == 2 and "none.png" in missing.err


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("task", "words", "needle"),
    [
        ("single", ["a", "--temperature", "1"], "--temperature is for models that write"), ("single", ["a", "--beams", "2"], "--beams"), ("single", ["a", "--context", "book.txt"], "--context"),
        ("tag", ["a", "--top", "2"], "--top"), ("answer", ["who?"], "without a context"), ("answer", ["who?", "--context", "none.txt"], "none.txt"), ("tag", ["a", "--label", "x"], "--label"),
        ("answer", ["--query", "x", "--in", "book.txt"], "does not rank"), ("single", ["--query", "x", "--in", "book.txt"], "several classes"), ("one", ["--query", "x"], "nothing to rank"),
        ("single", ["a\tb\tc"], "holds 3 texts"), ("single", ["a", "--in", "book.txt"], "twice"), ("single", ['{"label": 1}'], "holds no prompt"), ("tag", ['{"words": [1]}'], "list of words"),
        ("single", ['{"text": 7}'], "text in 'text'"), ("single", ['{"text": "\\ud800"}'], "surrogate"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_said(polyhead, folder: Path, made, task: str, words: list[str], needle: str) -> None:
    result = polyhead("run", made("bert", task), *words)
    assert result.code == 2 and needle in result.err and not result.out and "Traceback" not in result.err


def test_a_writer_has_no_use_for_these(polyhead, folder: Path, causal: Path) -> None:
    for words in (["x", "--context", "book.txt"], ["x", "--top", "3"], ["--query", "x", "--in", "book.txt"]):
        result = polyhead("run", causal, *words)
        assert result.code == 2 and not result.out, words


BAD = {
    "empty.txt": (b"", "holds no prompts"), "blank.jsonl": (b"\n\n", "holds no prompts"), "elf.txt": (b"\x7fELF\x02\x01" + b"\x00" * 60, "not text"), "gzip.txt": (b"\x1f\x8b\x08\x00abc", "not text"),
    "nul.txt": (b"one\ntw\x00o\n", "NUL"), "latin.txt": ("früher\n".encode("latin-1"), "not utf-8"), "overlong.txt": (b"a\n\xc0\xaf\n", "not utf-8"),
    "torn.jsonl": (b'{"text": "a"}\n{"text": "b', "line 2"), "comma.jsonl": (b'{"text": "a",}\n', "line 1"), "nan.jsonl": (b'{"text": "a"}\n{"text": "a", "x": NaN}\n', "line 2"),
    "list.jsonl": (b'{"text": "a"}\n["a"]\n', "line 2"), "null.jsonl": (b"null\n", "line 1"), "wrong.jsonl": (b'{"text": ["a"]}\n', "line 1"), "missing.jsonl": (b'{"label": "a"}\n', "line 1"),
    "deep.jsonl": (b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "line 1"), "digits.jsonl": (b'{"text": ' + b"9" * 1_000_000 + b"}\n", "line 1"),
    "half.jsonl": (b'{"text": "a"}\n{"text": "\\ud83d"}\n', "line 2"), "long.txt": (b"a\n" + b"x " * 600_000, "too long"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("task", ["single", "tag", "causal"])
def test_a_bad_file_is_named_with_its_line(polyhead, folder: Path, made, causal: Path, name: str, task: str) -> None:
    data, needle = BAD[name]
    (folder / name).write_bytes(data)
    result = polyhead("run", causal if task == "causal" else made("bert", task), "--in", name, "--out", "out.jsonl")
    assert result.code == 2 and not result.out and name in result.err and needle in result.err, result.err
    assert not (folder / "out.jsonl").exists() and "Traceback" not in result.err


@pytest.mark.parametrize("data", ["\ufeffthe lamp\r\nAnna".encode(), "the lamp\nAnna\n".encode("utf-16"), b"the lamp\rAnna\r"])
def test_line_ends_and_marks_of_other_systems(polyhead, folder: Path, made, data: bytes) -> None:
    (folder / "in.txt").write_bytes(data)
    rows = lines(polyhead("run", made("bert", "tag"), "--in", "in.txt", "--json").out)
    assert [row["text"] for row in rows] == ["the lamp", "Anna"]


def test_marks_and_signs_cannot_move_the_cursor(polyhead, folder: Path, made) -> None:
    text = "the\x1b[31m lamp \u202eAnna\u0301" + "\u0301" * 500
    shown = polyhead("run", made("bert", "tag"), text)
    assert shown.code == 0 and "\x1b" not in shown.out
    assert polyhead("run", made("bert", "single"), text).code == 0


# ---------------------------------------------------------------- odd input

ODD = ["The cat sees", "", "   ", "x" * 3000, "the lamp " * 500, "naïve 😀👩‍👩‍👧 Ωμέγα 漢字", "​", "<mask> [MASK] <eos> [CLS] [SEP]", "ﷺ" * 30, "a\rb"]


@pytest.mark.filterwarnings("ignore:.*longer than:UserWarning")
@pytest.mark.parametrize("task", ["single", "multi", "number", "tag", "embed", "answer"])
def test_odd_texts_are_answered_in_their_order(polyhead, folder: Path, made, embedder: Path, task: str) -> None:
    model = embedder if task == "embed" else made("bert", task)
    field = "question" if task == "answer" else "text"
    (folder / "odd.jsonl").write_text("".join(json.dumps({field: text, "context": "The lamp 😀 in Bremen."}) + "\n" for text in ODD * 30), encoding="utf-8")
    answer = polyhead("run", model, "--in", "odd.jsonl", "--out", "found.jsonl", "--json")
    assert (answer.code, json.loads(answer.out)) == (0, {"out": "found.jsonl", "n": 300}), answer.err
    found = lines((folder / "found.jsonl").read_text(encoding="utf-8").replace("\u2028", ""))
    assert [row[field] for row in found] == ODD * 30


def test_a_fault_far_down_is_found_before_anything_is_written(polyhead, folder: Path, made, causal: Path) -> None:
    (folder / "long.jsonl").write_text('{"text": "a"}\n' * 300 + '{"text": 3}\n')
    (folder / "found.jsonl").write_text("kept")
    answer = polyhead("run", made("bert", "single"), "--in", "long.jsonl", "--out", "found.jsonl")
    assert answer.code == 2 and "line 301" in answer.err and (folder / "found.jsonl").read_text() == "kept"
    (folder / "long.txt").write_text("The cat\n" * 20 + "x" * 900 + "\n")
    answer = polyhead("run", causal, "--in", "long.txt", "--out", "found.jsonl", "--max-tokens", "4")
    assert answer.code == 2 and "line 21" in answer.err and "context" in answer.err and (folder / "found.jsonl").read_text() == "kept"
    answer = polyhead("run", causal, "x" * 900, "--out", "found.jsonl")
    assert answer.code == 2 and (folder / "found.jsonl").read_text() == "kept"


def test_a_long_prompt_leaves_the_others_their_length(polyhead, folder: Path, causal: Path) -> None:
    prompts = ["The cat", "x" * 29, "My uncle", ""]
    (folder / "in.txt").write_text("".join(text + "\n" for text in prompts))
    assert polyhead("run", causal, "--in", "in.txt", "--out", "found.jsonl", "--seed", "3").code == 0
    found = lines((folder / "found.jsonl").read_text(encoding="utf-8"))
    for i, (text, one) in enumerate(zip(prompts, found, strict=True)):
        assert one == json.loads(polyhead("run", causal, text, "--seed", str(3 + i), "--json").out)


def test_a_picture_that_is_not_there_is_named_with_its_line(polyhead, folder: Path, tmp_path_factory) -> None:
    from polyhead.families import override

    spec = override(ph.preset("vit-base-16-224"), {"encoder.layers": 1, "encoder.width": 48, "encoder.blocks.layer.attention.heads.heads": 2})
    model = ph.Model(spec.build(seed=0), meta={"preprocessor": {"image_processor_type": "ViTImageProcessor"}}).save(folder / "seer", to="native")
    (folder / "pictures.txt").write_text("book.txt\nnone.png\n")
    answer = polyhead("run", model, "--in", "pictures.txt", "--out", "found.jsonl")
    assert answer.code == 2 and "line 2" in answer.err and "none.png" in answer.err
