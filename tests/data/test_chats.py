"""Conversations and preferences, in the spellings of the public sets; broken rows are named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyhead.data import open_source
from polyhead.data.chats import chat, kind_of, preference
from polyhead.data.examples import Chat, Preference
from polyhead.data.reading import Broken
from polyhead.errors import DataError

U, A = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [U, A]},
        {"Messages": [U, A]},
        {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]},
        {"messages": json.dumps([U, A])},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "h"}, {"text": "i"}]}, A]},
        {"messages": [{"role": "USER", "content": "hi", "loss_weight": 0.0}, {**A, "weight": 1}]},
        {"prompt": [U], "completion": [A]},
        {"prompt": "hi", "completion": [A]},
        {"instruction": "hi", "input": "", "output": "hello"},
        {"instruction": "", "input": "hi", "response": "hello"},
    ],
)
def test_one_conversation_in_many_spellings(row: dict) -> None:
    assert kind_of(row) == "chat" and chat(row) == Chat((U, A))


def test_alpaca_with_everything() -> None:
    row = {"instruction": "Add.", "input": "2 3", "output": "5", "system": "Be short.", "history": [["hi", "hello"]]}
    assert chat(row).messages == (
        {"role": "system", "content": "Be short."}, U, A,
        {"role": "user", "content": "Add.\n2 3"}, {"role": "assistant", "content": "5"},
    )  # fmt: skip


def test_tools_and_their_calls() -> None:
    said = [("human", "weather?"), ("function_call", '{"name": "w"}'), ("observation", '"rain"'), ("gpt", "It rains.")]
    row = {"conversations": [{"from": role, "value": text} for role, text in said], "tools": '[{"name": "w"}]'}
    assert [m["role"] for m in chat(row).messages] == ["user", "assistant", "tool", "assistant"]
    assert json.loads(chat(row).tools) == [{"name": "w"}]
    called = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "w", "arguments": '{"at": "é"}'}}]}
    assert chat({"messages": [U, called], "tools": []}) == Chat((U, A | {"content": '{"name": "w", "arguments": {"at": "é"}}'}))


def test_a_message_of_no_weight_is_read_but_not_learned() -> None:
    assert chat({"messages": [U, A | {"weight": 0}, U, A]}).messages[1] == A | {"untrained": "yes"}
    assert chat({"prompt": [U, A, U], "completion": [A]}).messages == (U, A | {"untrained": "yes"}, U, A)
    with pytest.raises(Broken, match="learn"):
        chat({"messages": [U, A | {"weight": 0}]})


def test_other_rows_are_no_conversations() -> None:
    for row in ({"text": "x"}, {"prompt": "a", "completion": "b"}, {"instruction": "x"}, {"messages": "all of them"}, {"input": "a", "output": "b"}):
        assert kind_of(row) is None


BROKEN = {
    "learn from": {"messages": [U]},
    "no messages": {"messages": []},
    "nothing is asked": {"messages": [A]},
    "unknown role 'narrator'": {"messages": [U, {"role": "narrator", "content": "x"}, A]},
    "unknown role 'None'": {"messages": [U, {"content": "x"}, A]},
    "message 2 is empty": {"messages": [U, {"role": "assistant", "content": " \n"}]},
    "message 2 is int, not an object": {"messages": [U, 3]},
    "message 2 is int, not text": {"messages": [U, {"role": "assistant", "content": 3}]},
    "half of a surrogate": {"messages": [U, {"role": "assistant", "content": "a\ud800"}]},
    "a part that is no text (image_url)": {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, A]},
    "not a list of messages": {"messages": {"role": "user"}},
    "'messages' is not a list": {"messages": "[not json"},
    "'output' is missing": {"instruction": "x", "input": ""},
    "'output' is empty": {"instruction": "x", "input": "", "output": " "},
    "'instruction' is empty": {"instruction": "", "input": "", "output": "x"},
    "'history' is not": {"instruction": "x", "output": "y", "history": [["a"]]},
    "'history' is not a": {"instruction": "x", "output": "y", "history": 5},
    "1025 messages": {"messages": [U] * 1024 + [A]},
    "a weight of 0.5": {"messages": [U, A | {"weight": 0.5}]},
    "a weight of 1 for user": {"messages": [U | {"weight": 1}, A]},
    "tool_calls without a name": {"messages": [U, A | {"tool_calls": [{"function": 3}]}]},
    "'tools' is not a list": {"messages": [U, A], "tools": 5},
    "JSON cannot": {"messages": [U, A], "tools": [{"name": "\udc00"}]},
}


@pytest.mark.parametrize("why", BROKEN)
def test_broken_rows_say_why(why: str) -> None:
    with pytest.raises(Broken) as caught:
        chat(BROKEN[why])
    assert why in str(caught.value)


def written(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_broken_rows_are_counted_and_named(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", [{"messages": [U, A]}, {"messages": [U]}, {"messages": [U, A]}])
    source = open_source(path, max_bad=0.5)
    assert source.kind == "chat" and list(source.examples()) == [Chat((U, A))] * 2
    assert "x.jsonl line 2: the assistant says nothing" in source.notes[-1] and "messages" in source.notes[0]
    with pytest.raises(DataError, match="1 of 3 rows are broken"):
        open_source(path).survey()


def test_a_column_that_was_named(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", [{"talk": {"turns": [U, A]}, "id": 1}] * 3)
    assert list(open_source(path, kind="chat", columns="talk.turns").examples()) == [Chat((U, A))] * 3
    assert list(open_source(path, kind="chat", columns="talk.turns").texts()) == ["hi", "hello"] * 3


def test_pairs_stay_pairs_and_parts_never_overlap(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", [{"prompt": "a", "completion": "b"}] * 3)
    assert open_source(path).kind == "pairs"
    path = written(tmp_path / "y.jsonl", [{"instruction": f"say {i}", "output": str(i)} for i in range(40)])
    parts = [{one.messages[1]["content"] for one in part.examples()} for part in open_source(path).holdout(0.2)]
    assert parts[0] | parts[1] == {str(i) for i in range(40)} and not parts[0] & parts[1] and parts[1]
    assert open_source(path, kind="text").kind == "text"


def test_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.Table.from_pylist([{"messages": [U, A], "id": 3}] * 4), tmp_path / "x.parquet")
    assert list(open_source(tmp_path / "x.parquet").examples()) == [Chat((U, A))] * 4


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "hi", "chosen": "hello", "rejected": "no"},
        {"question": "hi", "chosen": "hello", "rejected": "no"},
        {"prompt": [U], "chosen": [A], "rejected": [A | {"content": "no"}]},
        {"prompt": "else", "messages": [U, A], "chosen": [U, A], "rejected": [U, A | {"content": "no"}]},
        {"conversations": [{"from": "human", "value": "hi"}], "chosen": {"from": "gpt", "value": "hello"}, "rejected": {"from": "gpt", "value": "no"}},
        {"instruction": "hi", "input": "", "output": "hello", "rejected": "no"},
        {"instruction": "hi", "input": "", "output": "so so", "chosen": "hello", "rejected": "no"},
    ],
)  # fmt: skip
def test_one_preference_in_many_spellings(row: dict) -> None:
    assert kind_of(row) == "preferences" and preference(row) == Preference((U,), "hello", "no")


BAD_PREFERENCES = {
    "'rejected' is missing": {"prompt": "a", "chosen": "b", "rejected": None},
    "'prompt' is missing": {"chosen": "b", "rejected": "c"},
    "different conversations": {"chosen": [U, A], "rejected": [A, A]},
    "does not end with the assistant": {"prompt": [U], "chosen": [U], "rejected": [A]},
    "nothing is asked": {"messages": [U, A], "chosen": "b", "rejected": "c"},
    "hold what a tool answered: only one message": {"chosen": [U, A, {"role": "tool", "content": "5"}, A], "rejected": [U, A]},
}


@pytest.mark.parametrize("why", BAD_PREFERENCES)
def test_broken_preferences_say_why(why: str) -> None:
    with pytest.raises(Broken, match=why):
        preference(BAD_PREFERENCES[why])


def test_preferences_with_tools_are_read_as_far_as_both_answer_the_same() -> None:
    said = [U, {"role": "assistant", "tool_calls": [{"function": {"name": "w"}}]}, {"role": "tool", "content": "rain"}]
    found = preference({"chosen": [*said, A], "rejected": [*said, A | {"content": "no"}], "tools": [{"name": "w"}]})
    assert [message["role"] for message in found.messages] == ["user", "assistant", "tool"] and (found.chosen, found.rejected) == ("hello", "no")
    assert json.loads(found.tools) == [{"name": "w"}]


def test_good_and_bad_answers_under_labels_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "kto.jsonl", [{"messages": [U, A], "label": False}] * 2)
    with pytest.raises(DataError, match="true or false") as caught:
        open_source(path)
    assert "labelled true" in str(caught.value)
    assert len(list(open_source(path, kind="chat").examples())) == 2


NASTY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", " ", "hi", "user", "assistant", "gpt", "[", "[1]", "\ud800", "text"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["role", "content", "from", "value", "weight", "type", "text", "tool_calls", "function", "name", "arguments"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
COLUMNS = ["completion", "messages", "conversations", "instruction", "input", "output", "system", "history", "tools", "prompt", "chosen", "rejected"]


@settings(max_examples=300, deadline=None)
@given(row=st.dictionaries(st.sampled_from(COLUMNS), NASTY, min_size=1, max_size=6))
def test_any_row_is_read_or_broken(row: dict) -> None:
    kind_of(row)
    for read in (chat, preference):
        try:
            record = read(row)
        except Broken:
            continue
        assert all(message["content"].strip() and message["content"].encode() for message in record.messages)


REAL = {"alpaca_en_demo.json.gz": ("chat", 999), "identity.json.gz": ("chat", 91), "glaive_toolcall_en_demo.json.gz": ("chat", 300),
        "v1_sft_demo.jsonl.gz": ("chat", 500), "raschka_train.json": ("chat", 935), "dpo_en_demo.json.gz": ("preferences", 300),
        "raschka_preference_train.json.gz": ("preferences", 989)}  # fmt: skip


@pytest.mark.skipif("PH_DATA" not in os.environ, reason="PH_DATA names the folder with the public sets")
@pytest.mark.parametrize("name", REAL)
def test_the_public_sets_are_read_whole(name: str) -> None:
    source = open_source(Path(os.environ["PH_DATA"], "instruct", name), max_bad=0)
    assert (source.kind, source.survey().documents) == REAL[name]


@pytest.mark.skipif("PH_DATA" not in os.environ, reason="PH_DATA names the folder with the public sets")
def test_the_public_set_with_labels_is_refused() -> None:
    with pytest.raises(DataError, match="label"):
        open_source(Path(os.environ["PH_DATA"], "instruct", "kto_en_demo.json.gz"))
