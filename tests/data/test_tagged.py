"""CoNLL, CoNLL-U and rows of two lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polyhead.data import open_source
from polyhead.data.examples import Tagged
from polyhead.errors import DataError
from tests.parity.data import reference_data

CONLL = "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n# NN B-NP O\n\n\nBlackburn NNP I-NP I-PER"
UD = """# sent_id = 1
# text = It don't work
1\tIt\tit\tPRON\tPRP\t_\t2\tnsubj\t_\t_
2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
2\tdo\tdo\tAUX\tVBP\t_\t4\taux\t_\t_
3\tn't\tnot\tPART\tRB\t_\t4\tadvmod\t_\t_
3.1\tnothing\tnothing\tPRON\t_\t_\t_\t_\t_\t_
4\twork out\twork\tVERB\tVB\t_\t0\troot\t_\t_

1\t#\t#\tSYM\tNN\t_\t0\troot\t_\t_
"""


def put(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def read(path: Path, **options) -> list[Tagged]:
    source = open_source(path, **options)
    assert source.kind == "tagged"
    return list(source.examples())


@pytest.mark.parametrize("name", ["a.conll", "a.iob2", "a.txt", "a.tsv", "noname"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\t"])
def test_conll_by_name_and_by_content(tmp_path, name, ends) -> None:
    text = CONLL.replace(" ", "\t") if ends == "\t" else CONLL.replace("\n", ends)
    sentences = read(put(tmp_path / name, text + "\n"))
    assert sentences == [
        Tagged(("EU", "rejects"), ("B-ORG", "O")), Tagged(("#",), ("O",)), Tagged(("Blackburn",), ("I-PER",)),
    ]  # fmt: skip


def test_columns_choose_the_tags(tmp_path) -> None:
    path = put(tmp_path / "a.conll", CONLL)
    assert read(path, columns=("0", "1"))[0].tags == ("NNP", "VBZ") == read(path, columns=1)[0].tags
    assert read(path, columns=(0, 2))[2] == Tagged(("Blackburn",), ("I-NP",))
    with pytest.raises(DataError, match="which columns"):
        open_source(path, columns=("word", "tag"))
    with pytest.raises(DataError, match="column 7 was asked for"):
        open_source(path, columns=7).survey()


def test_conllu_counts_words_not_multiword_tokens_or_empty_nodes(tmp_path) -> None:
    path = put(tmp_path / "a.conllu", UD)
    first = Tagged(("It", "do", "n't", "work out"), ("PRON", "AUX", "PART", "VERB"))
    assert read(path) == [first, Tagged(("#",), ("SYM",))]
    assert read(put(tmp_path / "a.txt", UD)) == read(path)
    assert read(path, columns="xpos")[0].tags == ("PRP", "VBP", "RB", "VB")
    assert read(path, columns=("lemma", "deprel"))[0] == Tagged(
        ("it", "do", "not", "work"), ("nsubj", "aux", "advmod", "root")
    )


def test_comments_stand_before_sentences(tmp_path) -> None:
    text = "# id 7\tdomain=en\nw _ _ O\n# _ _ B-X\n\n# id 8\nv _ _ O\n"
    assert read(put(tmp_path / "a.conll", text)) == [Tagged(("w", "#"), ("O", "B-X")), Tagged(("v",), ("O",))]
    tabs = "# id 7\tdomain=en\nw\t_\t_\tO\n"
    assert read(put(tmp_path / "b.conll", tabs)) == [Tagged(("w",), ("O",))]


def test_prose_is_no_conll(tmp_path) -> None:
    for text in ("The O\nOh no\n\nO O\n", "Roses are red,\nviolets O\n", "one O\n", "a b\nc d\n"):
        assert open_source(put(tmp_path / "a.txt", text)).kind == "text"
    assert open_source(put(tmp_path / "b.txt", CONLL), split="line").kind == "text"
    assert read(put(tmp_path / "c.txt", "a NN\nb VB\n"), kind="tagged") == [Tagged(("a", "b"), ("NN", "VB"))]


def test_their_words_alone(tmp_path) -> None:
    source = open_source(put(tmp_path / "a.conllu", UD), kind="text")
    assert [piece.text for piece in source.pieces()] == ["It do n't work out", "#"]
    with pytest.raises(DataError, match="holds tagged"):
        open_source(tmp_path / "a.conllu", kind="pairs")


def test_a_folder_of_conll_files(tmp_path) -> None:
    for i in range(3):
        put(tmp_path / f"{i}.conll", f"w{i} B-X\n\n")
    assert [one.words for one in read(tmp_path)] == [("w0",), ("w1",), ("w2",)]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"tokens": ["a", "b"], "ner_tags": [0, 3]}, Tagged(("a", "b"), ("0", "3"))),
        ({"id": "1", "words": ["a"], "labels": ["X"]}, Tagged(("a",), ("X",))),
        ({"tokens": ["a"], "pos_tags": [7], "ner_tags": ["B-PER"]}, Tagged(("a",), ("B-PER",))),
    ],
)
def test_rows_of_two_lists(tmp_path, row, expected) -> None:
    assert read(put(tmp_path / "a.jsonl", json.dumps(row))) == [expected]


def test_rows_by_their_columns(tmp_path) -> None:
    path = put(tmp_path / "a.jsonl", json.dumps({"tokens": ["a"], "pos_tags": [7], "ner_tags": ["B-PER"]}))
    assert any("pos_tags" in note for note in open_source(path).notes)
    assert read(path, columns=("tokens", "pos_tags")) == [Tagged(("a",), ("7",))]


def test_a_broken_first_sentence_does_not_decide_the_columns(tmp_path) -> None:
    source = open_source(put(tmp_path / "a.conll", "x NN\n\n" + "a NN X\nb NN Y\n\n" * 200))
    assert source.survey().documents == 200 and "line 1: 2 columns where 3 were expected" in source.notes[-1]


def test_broken_sentences_are_counted_and_named(tmp_path) -> None:
    bad = ["a\n", "a b c d e\n", "x NN B-NP \t\n"]
    good = "a NN B-NP O\n\n"
    source = open_source(put(tmp_path / "a.conll", good + "\n".join(bad) + "\n" + good), max_bad=0.8)
    assert source.survey().documents == 2
    assert any("3 of 5 rows are broken" in note and "line 3" in note for note in source.notes), source.notes
    rows = [{"tokens": ["a"], "tags": ["X"]}, {"tokens": ["a", "b"], "tags": ["X"]}, {"tokens": [], "tags": []},
            {"tokens": ["a"], "tags": None}, {"tokens": [" "], "tags": ["X"]}, {"tokens": ["a"], "tags": [0.5]}]  # fmt: skip
    source = open_source(put(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows))), max_bad=0.9)
    assert source.survey().documents == 1
    assert any("5 of 6 rows are broken" in note and "2 words and 1 tags" in note for note in source.notes), source.notes


@pytest.mark.parametrize(
    ("name", "sentences", "words", "tags"),
    [("wnut17/dev.conll", 1009, 15733, 13), ("ud_ewt/en_ewt-ud-dev.conllu", 2001, 25147, 17)],
)
def test_real_files(name, sentences, words, tags) -> None:
    folder, _, stem = name.partition("/")
    found = read(reference_data(folder) / f"{stem}.gz")
    assert len(found) == sentences
    assert sum(len(one.words) for one in found) == words
    assert len({tag for one in found for tag in one.tags}) == tags
