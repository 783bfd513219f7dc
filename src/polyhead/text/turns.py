"""Conversations as training reads them: the ids, and which of them the assistant says.

The template decides. Where it encloses the assistant's part in `{% generation %}`, that part is what is learned. Where it
does not, a turn of the assistant's is what stands between two renderings: the conversation before it, with the generation
prompt, and the conversation that ends with it. Nothing is searched for in the text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from polyhead.errors import TokenizerError
from polyhead.text.chat import Rendered, unspecial

if TYPE_CHECKING:
    from polyhead.text.tokenizer import Tokenizer

Messages = Sequence[Mapping[str, str]]
Span = tuple[int, int]

CHATML = (
    "{%- if tools %}{{ BEGIN + 'system\\nTools that may be called: ' + (tools | tojson) + END + '\\n' }}{% endif %}"
    "{%- for message in messages %}{{ BEGIN + message['role'] + '\\n' + message['content'] + END + '\\n' }}{% endfor %}"
    "{%- if add_generation_prompt %}{{ BEGIN + 'assistant\\n' }}{% endif %}"
)


class Turns(NamedTuple):
    """ids: a conversation. trained: 1 for each id that the assistant says, the end of its turn included; 0 for others."""

    ids: list[int]
    trained: list[int]


def give_template(tokenizer: Tokenizer) -> None:
    """Give a tokenizer that has no chat template the default one; it is saved with the tokenizer from then on.

    ChatML, `<|im_start|>role↵content<|im_end|>↵`, with these two tokens where the tokenizer has them, else with its bos and
    eos in their places: turns are bounded by tokens that nobody can type. Raises `TokenizerError` without an eos.
    """
    if tokenizer.templates:
        return
    if tokenizer.id("<|im_start|>") in tokenizer.special and tokenizer.id("<|im_end|>") in tokenizer.special:
        begin, end = "'<|im_start|>'", "'<|im_end|>'"
    elif tokenizer.eos is None:
        raise TokenizerError("the tokenizer has neither a chat template nor an eos: an answer could never end",
                             expected="a chat template, or an eos token", received="neither",
                             change="train the tokenizer with its default special tokens")  # fmt: skip
    else:
        begin, end = "bos_token" if tokenizer.bos is not None else "eos_token", "eos_token"
    tokenizer.templates["default"] = CHATML.replace("BEGIN", begin).replace("END", end)


def encode_turns(
    tokenizer: Tokenizer, conversations: Sequence[tuple[Messages, str]]
) -> list[list[Turns] | TokenizerError]:
    """Each conversation (messages, tools as JSON text or "") as ids, or the error its template ends in.

    One `Turns` for each, unless its template writes earlier turns in another way once later ones follow (some leave out what
    the assistant thought): then one for each turn of the assistant's, as the model meets them. Messages with a key
    `untrained` are read, not learned. What comes after the assistant's last turn is left out.
    """
    works = [_Work(tokenizer, messages, tools) for messages, tools in conversations]
    asked = [request for work in works for request in work.requests()]
    rendered = iter(tokenizer.render_all(asked))
    out: list[list[Turns] | TokenizerError] = []
    for work in works:
        answers = [next(rendered) for _ in work.requests()]
        try:
            out.append(list(work.turns(answers)))
        except TokenizerError as error:
            out.append(error)
    return out


def encode_answers(
    tokenizer: Tokenizer, asked: Sequence[tuple[Messages, Sequence[str], str]]
) -> list[tuple[list[int], list[list[int]]] | TokenizerError]:
    """Of each (conversation, answers, tools as JSON text or ""): the ids up to the assistant's turn, and those of each answer with the end of its turn;
    or the error its template ends in, if only that it does not write all answers after the same prompt."""
    works = [
        [_Work(tokenizer, [*messages, {"role": "assistant", "content": answer}], tools) for answer in answers]
        for messages, answers, tools in asked
    ]
    rendered = iter(tokenizer.render_all([request for row in works for work in row for request in work.requests()]))
    out: list[tuple[list[int], list[list[int]]] | TokenizerError] = []
    for row in works:
        answers = [[next(rendered) for _ in work.requests()] for work in row]
        try:
            sides = [work.last(answer) for work, answer in zip(row, answers, strict=True)]
            if any(prompt != sides[0][0] for prompt, _ in sides):
                raise TokenizerError("the chat template writes the prompt in another way for another answer")
            out.append((sides[0][0], [said for _, said in sides]))
        except TokenizerError as error:
            out.append(error)
    return out


def end_of_turn(tokenizer: Tokenizer) -> int | None:
    """The special id that ends the assistant's turns, where writing may stop; None if the template has none."""
    found = encode_turns(tokenizer, [([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "")])[0]
    if isinstance(found, TokenizerError):
        raise found
    last = found[-1].ids[-1]
    return last if tokenizer.token(last) in tokenizer.reserved else None


class _Work:
    """One conversation on its way from messages to ids."""

    def __init__(self, tokenizer: Tokenizer, messages: Messages, tools: str) -> None:
        said = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
        self._learned = [place for place in said if "untrained" not in messages[place]]
        self._said, self._last = said, said[-1] if said else -1
        told = [{k: v for k, v in message.items() if k != "untrained"} for message in messages[: self._last + 1]]
        (self._messages, self._tools), self._mark = unspecial([told, json.loads(tools) if tools else None], tokenizer.reserved)
        self._tokenizer = tokenizer
        templates = tokenizer.templates
        chosen = templates.get("tool_use" if tools and "tool_use" in templates else "default", "")
        self._marked = "endgeneration" in chosen

    def requests(self) -> list[dict[str, Any]]:
        """What to render: the whole; and, where nothing marks the assistant's part, before and after each turn."""
        return [self._until(self._last + 1)] + ([] if self._marked else self._around())

    def _around(self) -> list[dict[str, Any]]:
        return [one for place in self._learned for one in (self._until(place, True), self._until(place + 1))]

    def _until(self, count: int, open: bool = False) -> dict[str, Any]:
        return {"messages": self._messages[:count], "tools": self._tools, "add_generation_prompt": open}

    def turns(self, rendered: list[Rendered | TokenizerError]) -> Iterator[Turns]:
        """From what was rendered for `requests`. A first message of the assistant's is not learned where the template can
        write nothing before it. Raises `TokenizerError`."""
        if not self._learned:
            raise TokenizerError("the assistant says nothing in this conversation", expected="a turn to learn from")
        whole = _good(rendered[0])
        if self._marked and len(whole.spans) == len(self._said):
            kept = [span for place, span in zip(self._said, whole.spans, strict=True) if place in self._learned]
            yield self._encode(whole.text, self._ended(whole, kept))
            return
        around = rendered[1:] if not self._marked else self._tokenizer.render_all(self._around())
        sides = zip(self._learned, around[::2], around[1::2], strict=True)
        found = [self._turn(before, after) for place, before, after in sides if place or isinstance(before, Rendered)]
        if all(whole.text.startswith(text) for text, _ in found):
            yield self._encode(whole.text, [span for _, span in found])
        else:
            for text, span in found:
                yield self._encode(text, [span])

    def last(self, rendered: list[Rendered | TokenizerError]) -> tuple[list[int], list[int]]:
        """The ids before the assistant's last turn, and those of the turn."""
        whole = _good(rendered[0])
        if self._marked and whole.spans:
            begin, end = self._ended(whole, whole.spans)[-1]
        else:
            around = rendered[1:] if not self._marked else self._tokenizer.render_all(self._around())
            begin, end = self._turn(around[-2], around[-1])[1]
        turns = self._encode(whole.text, [(begin, end)])
        asked = turns.trained.index(1) if 1 in turns.trained else len(turns.ids)
        return turns.ids[:asked], turns.ids[asked:]

    def _turn(self, prompt: Rendered | TokenizerError, after: Rendered | TokenizerError) -> tuple[str, Span]:
        """The text that ends with a turn, and where that turn stands in it."""
        before, text = _good(prompt), _good(after).text
        if not text.startswith(before.text):
            raise TokenizerError("the chat template does not go on from its own generation prompt",
                                 expected="a conversation with an answer to begin with the one that asks for it",
                                 received=f"{text[:200]!r} after {before.text[-80:]!r}",
                                 change="mark the assistant's part with {% generation %} … {% endgeneration %}")  # fmt: skip
        begin, end = len(before.text), len(text)
        seen = text[begin:end].rstrip()
        if seen.endswith(self._tokenizer.reserved):  # a line end after it is the next turn's business
            end = begin + len(seen)
        return text, (begin, end)

    def _ended(self, whole: Rendered, spans: list[Span]) -> list[Span]:
        """Marked spans with the special token that ends a turn, where the marks leave it out."""
        if not spans:
            return []
        begin, end = whole.spans[-1]
        if whole.text[begin:end].rstrip().endswith(self._tokenizer.reserved):
            return spans
        behind = [name for name in self._tokenizer.reserved if whole.text.startswith(name, end)]
        name = max(behind, key=len, default="")
        return [(b, e + len(name) if whole.text.startswith(name, e) else e) for b, e in spans]

    def _encode(self, text: str, spans: list[Span]) -> Turns:
        """The ids of the text up to the last span's end, and which of them stand in a span.

        As one text, as long as every span begins and ends between two ids; if not, piece by piece: writing begins with a
        new id as well.
        """
        cuts = [0, *(cut for span in spans for cut in span)]
        if not spans or any(a > b for a, b in zip(cuts, cuts[1:], strict=False)):
            raise TokenizerError("the chat template leaves nothing to learn from", received=text[:200])
        tokenizer, text = self._tokenizer, text[: cuts[-1]]
        pieces = [tokenizer.encode_rendered(text[a:b], self._mark, start=not a) for a, b in zip(cuts, cuts[1:], strict=False)]
        ids = tokenizer.encode_rendered(text, self._mark)
        lengths = [len(piece) for piece in pieces]
        if ids != [number for piece in pieces for number in piece]:
            heads = [tokenizer.encode_rendered(text[:cut], self._mark) if cut else [] for cut in cuts]
            if all(ids[: len(head)] == head for head in heads):
                lengths = [len(b) - len(a) for a, b in zip(heads, heads[1:], strict=False)]
            else:
                ids = [number for piece in pieces for number in piece]
        trained = [place % 2 for place, length in enumerate(lengths) for _ in range(length)]
        while tokenizer.bos is not None and ids[:2] == [tokenizer.bos, tokenizer.bos]:
            del ids[0], trained[0]
        return Turns(ids, trained)


def _good(rendered: Rendered | TokenizerError) -> Rendered:
    if isinstance(rendered, TokenizerError):
        raise rendered
    return rendered
