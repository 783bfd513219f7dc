"""Rows → conversations and preferences, in every spelling that the public sets of instructions use.

    {"messages": [{"role": "user", "content": …}, …]}              OpenAI, Hugging Face
    {"conversations": [{"from": "human", "value": …}, …]}          ShareGPT
    {"instruction": …, "input": …, "output": …}                    Alpaca; `system` and `history` beside them
    {"prompt": [messages], "completion": [messages]}                TRL; two texts are a pair
    {"prompt": …, "chosen": …, "rejected": …}                      preferences: texts, messages, or lists of messages

A call of a tool is what the assistant says, as JSON; what the tool answers is a message of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from ..errors import DataError
from .columns import Row, value_of
from .examples import Chat, Preference
from .reading import Asked, Broken, Reading

Message = dict[str, str]

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function": "tool",
    "function_response": "tool",
    "ipython": "tool",
}
"""Names of roles in the public sets → ours."""

_LISTS = ("messages", "conversations", "conversation", "dialog")
_ANSWERS = ("output", "response", "answer", "completion")
_PROMPTS = ("prompt", "question", "instruction", "query", "input")
_KNOWN = {*_LISTS, *_ANSWERS, *_PROMPTS, "system", "history", "tools", "chosen", "rejected"}
_MOST = 1024  # messages of a conversation: some templates must write it anew for each
UNTRAINED = "untrained"
"""A message's key: "yes" where the row says that nothing is to be learned from it."""


def shape(sample: list[Row], asked: Asked, name: str) -> Reading | None:
    """How rows that hold conversations or preferences are read; None for others. Raises DataError for labelled ones (KTO)."""
    if asked.kind not in (None, "chat", "preferences") or (asked.columns and (asked.kind != "chat" or len(asked.columns) > 1)):
        return None
    if asked.columns:
        return Reading("chat", asked.columns, partial(_column, asked.columns[0]), [])
    kind = next((kind for row in sample if (kind := kind_of(row)) is not None), None)
    if kind is None or asked.kind not in (None, kind):
        return None
    if kind == "chat" and asked.kind is None:
        _refuse_labels(sample, name)
    columns = tuple(column for column in sample[0] if str(column).lower() in _KNOWN)
    what = "conversations" if kind == "chat" else "preferences"
    return Reading(kind, columns, chat if kind == "chat" else preference, [f"reading {', '.join(columns)} of {name} as {what}"])


def _column(column: str, row: Row) -> Chat:
    return chat({"messages": value_of(row, column)})


def kind_of(row: Row) -> str | None:
    """ "chat" or "preferences" if a row with these columns is one, else None."""
    names = {str(name).lower() for name in row}
    asked = names & {*_LISTS, "instruction"}
    if {"chosen", "rejected"} <= names or ("rejected" in names and asked and names & set(_ANSWERS)):
        return "preferences"
    lists = [_value(row, name) for name in _LISTS if name in names]
    if any(isinstance(value, list | str) and _as_list(value) is not None for value in lists):
        return "chat"
    if {"prompt", "completion"} <= names and _as_list(_value(row, "completion")) is not None:
        return "chat"
    return "chat" if "instruction" in names and names & set(_ANSWERS) else None


def _refuse_labels(sample: list[Row], name: str) -> None:
    """Conversations that a label calls good or bad (KTO): learning to say both is not what is meant."""
    if any(isinstance(_value(row, "label"), bool) for row in sample):
        raise DataError(
            f"{name}: each conversation has a label, true or false, of whether its answer is a good one",
            expected="conversations to learn from, or rows with chosen and rejected",
            received='a column "label"',
            change="keep the rows labelled true, or data.kind=chat to learn from all of them, whatever their label",
        )


def chat(row: Row) -> Chat:
    """A row's conversation. Raises Broken."""
    found = _listed(row)
    if found is not None:
        said = _messages(found)
    elif (answer := _as_list(_value(row, "completion"))) is not None and "instruction" not in row:
        said = _completed(_value(row, "prompt"), answer)
    else:
        said = _alpaca(row)
    return Chat(_conversation(said), _tools(row))


def preference(row: Row) -> Preference:
    """A row's prompt and its two answers. Raises Broken."""
    good = row.get("chosen", next((row[name] for name in _ANSWERS if name in row), None))
    (before, chosen), (other, rejected) = _answer(good, "chosen"), _answer(row.get("rejected"), "rejected")
    prompt = _prompt(row, before, other)
    if not prompt or prompt[-1]["role"] == "assistant":
        raise Broken("nothing is asked before the answers")
    plain = tuple({"role": message["role"], "content": message["content"]} for message in prompt)
    return Preference(plain, chosen, rejected, _tools(row))


# -- conversations ------------------------------------------------------------------------------------------------


def _listed(row: Row) -> list[Any] | None:
    for name in _LISTS:
        value = _value(row, name)
        if value is not None:
            found = _as_list(value)
            if found is None:
                raise Broken(f"{name!r} is not a list of messages")
            return found
    return None


def _as_list(value: Any) -> list[Any] | None:
    """A list, or one that was written as JSON text into a table."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, list) else None


def _messages(found: list[Any]) -> list[Message]:
    if not found or len(found) > _MOST:
        raise Broken("no messages" if not found else f"{len(found)} messages, more than {_MOST}")
    return [_message(one, place) for place, one in enumerate(found, 1)]


def _message(given: Any, place: int) -> Message:
    if not isinstance(given, Mapping):
        raise Broken(f"message {place} is {type(given).__name__}, not an object")
    name = given.get("role", given.get("from"))
    role = ROLES.get(name.strip().lower()) if isinstance(name, str) else None
    if role is None:
        raise Broken(f"message {place}: unknown role {str(name)[:40]!r}")
    content = _text(given.get("content", given.get("value")), f"message {place}", empty=True)
    content = "\n".join(filter(None, [content, *_calls(given.get("tool_calls"), place)]))
    if not content.strip():
        raise Broken(f"message {place} is empty")
    message = {"role": role, "content": content}
    return message | ({UNTRAINED: "yes"} if _is_untrained(given, role, place) else {})


def _is_untrained(given: Mapping[str, Any], role: str, place: int) -> bool:
    """Whether a weight says that nothing is to be learned from this message."""
    weight = given.get("weight", given.get("loss_weight"))
    if weight is None:
        return False
    if isinstance(weight, bool) or weight not in (0, 1) or (weight and role != "assistant"):
        raise Broken(f"message {place}: a weight of {str(weight)[:20]} for {role} (only 0, and 1 for the assistant)")
    return role == "assistant" and not weight


def _calls(given: Any, place: int) -> list[str]:
    """The tools that a message calls, each as a line of JSON."""
    if given is None:
        return []
    calls = given if isinstance(given, list) else [given]
    named = [one.get("function", one) if isinstance(one, Mapping) else None for one in calls]
    if not all(isinstance(one, Mapping) and isinstance(one.get("name"), str) for one in named):
        raise Broken(f"message {place}: tool_calls without a name")
    return [_json({"name": one["name"], "arguments": _unpacked(one.get("arguments"))}) for one in named if one]


def _unpacked(arguments: Any) -> Any:
    try:
        return json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        return arguments


def _json(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
        return text
    except (TypeError, ValueError, RecursionError) as error:
        raise Broken(f"it holds what JSON cannot: {str(error)[:80]}") from None


def _tools(row: Row) -> str:
    """The tools that may be called, as JSON text; "" where there are none."""
    given = _value(row, "tools")
    tools = _as_list(given) if given not in (None, "", [], "[]") else []
    if tools is None:
        raise Broken("'tools' is not a list")
    return _json(tools) if tools else ""


def _completed(prompt: Any, answer: list[Any]) -> list[Message]:
    """A prompt and its completion, both messages: of the prompt nothing is learned."""
    asked = _as_list(prompt)
    before = [{"role": "user", "content": _text(prompt, "'prompt'")}] if asked is None else _messages(asked)
    return [m | ({UNTRAINED: "yes"} if m["role"] == "assistant" else {}) for m in before] + _messages(answer)


def _alpaca(row: Row) -> list[Message]:
    """instruction, and `input` on a new line where there is one, as the user's turn; `output` is the answer."""
    name = next((name for name in _ANSWERS if name in row), "output")
    said = _asked(row)
    said.append({"role": "assistant", "content": _text(row.get(name), repr(name))})
    return said


def _asked(row: Row) -> list[Message]:
    said: list[Message] = []
    if system := _text(row.get("system"), "'system'", empty=True).strip():
        said.append({"role": "system", "content": system})
    history = row.get("history") or []
    for turn in history if isinstance(history, list) else [None]:
        if not isinstance(turn, list | tuple) or len(turn) != 2:
            raise Broken("'history' is not a list of [question, answer]")
        said += [{"role": role, "content": _text(text, "'history'")} for role, text in zip(("user", "assistant"), turn, strict=True)]  # fmt: skip
    more = _text(row.get("input"), "'input'", empty=True)
    asked = _text(row.get("instruction"), "'instruction'", empty=bool(more.strip()))
    said.append({"role": "user", "content": "\n".join(part for part in (asked, more) if part.strip())})
    return said


def _text(value: Any, what: str, *, empty: bool = False) -> str:
    """A text, or the texts of a list of parts, as some interfaces write them. Raises Broken."""
    if isinstance(value, list):
        value = "".join(_part(part, what) for part in value)
    if value is None and empty:
        return ""
    if not isinstance(value, str):
        raise Broken(f"{what} is missing" if value is None else f"{what} is {type(value).__name__}, not text")
    if not empty and not value.strip():
        raise Broken(f"{what} is empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Broken(f"{what} has half of a surrogate pair") from None
    return value


def _part(part: Any, what: str) -> str:
    if isinstance(part, Mapping) and part.get("type", "text") == "text":
        text = part.get("text", part.get("value"))
        if isinstance(text, str):
            return text
    kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
    raise Broken(f"{what} holds a part that is no text ({str(kind)[:40]})")


def _conversation(said: list[Message]) -> tuple[Message, ...]:
    if not any(one["role"] == "assistant" and UNTRAINED not in one for one in said):
        raise Broken("the assistant says nothing to learn from")
    if said[0]["role"] == "assistant" and len(said) == 1:
        raise Broken("nothing is asked")
    return tuple(said)


# -- preferences --------------------------------------------------------------------------------------------------


def _answer(given: Any, what: str) -> tuple[list[Message], str]:
    """(the messages before the answer, the answer) of a text, a message, or a whole conversation."""
    if isinstance(given, Mapping):
        given = [given]
    elif not isinstance(given, list):
        return [], _text(given, repr(what))
    *before, last = _messages(given)
    if last["role"] != "assistant":
        raise Broken(f"{what!r} does not end with the assistant")
    return before, last["content"]


def _prompt(row: Row, before: list[Message], other: list[Message]) -> list[Message]:
    """What was asked: at the beginning of both conversations, or in a column of its own."""
    if before != other:
        tools = any(message["role"] == "tool" for message in [*before, *other] if before.count(message) != other.count(message))
        what = "hold what a tool answered: only one message of each can be compared" if tools else "answer different conversations"
        raise Broken(f"chosen and rejected {what}")
    if before:
        return before
    if (found := _listed(row)) is not None:
        asked = _messages(found)
    elif "instruction" in row:
        asked = _asked(row)
    else:
        name = next((name for name in _PROMPTS if name in row), "prompt")
        given = row.get(name)
        if isinstance(given, list):
            asked = _messages(given)
        else:
            asked = [{"role": "user", "content": _text(given, repr(name))}]
            if system := _text(row.get("system"), "'system'", empty=True).strip():
                asked.insert(0, {"role": "system", "content": system})
    return asked


def _value(row: Row, name: str) -> Any:
    """A column's value; case of the name does not matter."""
    return row[name] if name in row else next((v for k, v in row.items() if str(k).lower() == name), None)
