"""The verbs of tasks, a part of Model: what a trained head says of texts, and writing as translation, summary, completion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..errors import ConfigError, UserError
from ..tasks.answer import LONGEST, STRIDE, WINDOW, Answers, How, answer
from ..tasks.classify import Classified, Ranked, classify, cosines, pair_scores, ranked
from ..tasks.embed import embedding_head
from ..tasks.fill import Filled, fill
from ..tasks.reading import check
from ..tasks.tag import Tags, tag
from .stop import Generation

BEAMS, LONGER, SUMMARY = 4, 50, 128  # Vaswani et al. 2017, arXiv 1706.03762 §6.1: beam 4, at most 50 tokens more than the source


class Verbs:
    """net, tokenizer, objective and meta are Model's."""

    net: Any
    tokenizer: Any
    objective: str
    meta: dict[str, Any]
    prepared: Any
    text_spec: Any
    engine: Any
    generate: Any
    score: Any
    embed: Any

    # -- models that do not write ------------------------------------------------------------------------------

    def classify(self, texts: Any, *, top: int | None = None, threshold: float = 0.5, batch: int = 32) -> Classified | list[Classified]:
        """The class of a text with its probability, a list for a list of texts. A pair is a tuple of two texts.

        A head of task classify (or pair: whether two texts follow on each other). The classes are meta["labels"], else those
        of the folder's config.json. Classes that exclude each other: `label` is the most probable one; that may hold at once:
        the tuple of those above `threshold`; a number: the number. top: how many `scores` to keep. A text beyond the model's
        context is cut at its end, with a warning. batch: rows at a time. Raises UserError.
        """
        return classify(self.prepared, self.tokenizer, self.meta, texts, top, threshold, batch)

    def fill(self, texts: Any, *, top: int = 5, batch: int = 32) -> Filled | list[Filled]:
        """What a masked language model would put into the gaps of a text, a list for a list of texts.

        A gap is the tokenizer's mask token, or [MASK] or <mask>, whatever the model calls its own. `gaps` of the answer: for
        each the `top` most probable tokens with their probabilities, each gap by itself; `best`: the text with the first of each.
        Of a text beyond the model's context the part around its gaps is read. batch: rows at a time. Raises UserError.
        """
        return fill(self.prepared, self.tokenizer, self.meta, texts, top, batch)

    def tag(self, texts: Any, *, by: str = "word", batch: int = 32) -> Tags | list[Tags]:
        """The tag of every word, and the entities they spell where tags are IOB or BIOES; a list for a list.

        texts: a text, which is split at blanks and around punctuation, or a tuple of words. A word has the tag of its first
        token; by "token": every token its own. A model that learnt here from words reads a text as its words, any other as it
        stands. Longer texts are read in windows. batch: rows at a time. Raises UserError.
        """
        return tag(self.prepared, self.tokenizer, self.meta, texts, by, batch)

    def answer(
        self, question: Any, context: Any, *, top: int = 1, no_answer: bool | None = None, threshold: float = 0.0,
        longest: int = LONGEST, window: int = WINDOW, stride: int = STRIDE, batch: int = 32,
    ) -> Answers | list[Answers]:  # fmt: skip
        """The spans of a context that answer a question, with probabilities and places; a list for a list of questions,
        about one context or a list of as many.

        no_answer: "" is an answer too, given where it is worth more than the best span by over `threshold` logits; None:
        if the model learnt with questions that have none (meta["no_answer"]). longest: tokens of an answer. A context
        longer than `window` tokens, question and special ones counted, is read in windows `stride` apart. top: answers to
        give. batch: windows at a time. Raises UserError.
        """
        single = isinstance(question, str)
        questions = [question] if single else question
        contexts = [context] * len(questions) if isinstance(context, str) and isinstance(questions, list | tuple) else context
        if not _texts(questions) or not _texts(contexts) or len(questions) != len(contexts):
            raise UserError(
                "a question is asked of a context", expected="two texts, or lists of as many", received=f"{_told(question)} and {_told(context)}"
            )
        how = How(top, self.meta.get("no_answer") is True if no_answer is None else bool(no_answer), threshold, longest, window, stride)
        found = answer(self.prepared, self.tokenizer, self.meta, list(zip(questions, contexts, strict=True)), how, batch)
        return found[0] if single else found

    def rank(self, query: str, texts: Sequence[str], *, top: int | None = None, batch: int = 32) -> list[Ranked]:
        """The texts in the order of how well they fit a query, the best first; `top` of them.

        A model that embeds: by the cosine of the vectors, with its prompts named query, and document or passage, where it has
        them. A classifier of pairs with a single logit (a cross-encoder): by that. Raises UserError.
        """
        if not isinstance(query, str) or isinstance(texts, str) or not _texts(texts) or not texts:
            raise UserError("texts are ranked for a query", expected="a text, and a list of texts", received=f"{_told(query)} and {_told(texts)}")
        if top is not None:
            check("top", top)
        spec = self.text_spec
        if any(head.task == "classify" for head in spec.heads.values()) and not any(head.task == "embed" for head in spec.heads.values()):
            return ranked(texts, pair_scores(self.prepared, self.tokenizer, self.meta, query, texts, batch), top)
        embedding_head(spec)
        prompts = (self.meta.get("sentences") or {}).get("prompts") or {}
        one, other = (next((name for name in names if name in prompts), None) for names in (("query",), ("document", "passage", "corpus")))
        vectors = self.embed(list(texts), prompt=other, batch=batch)
        return ranked(texts, cosines(self.embed(query, prompt=one), vectors), top)

    # -- models that write -------------------------------------------------------------------------------------

    def translate(
        self, texts: Any, *, source: str | None = None, target: str | None = None, beams: int | None = None, max_tokens: int | None = None
    ) -> Generation | list[Generation]:
        """A text in the other language, by beam search; a list for a list. For encoder–decoders.

        source, target: languages as the model's config.json names them ("en", "de"), where it knows several pairs (T5: its
        task_specific_params say what to put before the text). beams None: what those or generation_config.json say, else 4.
        max_tokens None: likewise, else 50 more than the longest text has. Raises UserError.
        """
        self._answers("translate")
        tasks = {name: how for name, how in self._tasks.items() if name.startswith("translation_")}
        wanted = f"translation_{source}_to_{target}"
        if source is None and target is None and len(tasks) < 2:
            how = next(iter(tasks.values()), {})
        elif wanted in tasks:
            how = tasks[wanted]
        else:
            known = ", ".join(name.removeprefix("translation_").replace("_to_", " → ") for name in tasks) or "none: it translates one way, so leave both out"
            raise UserError("which languages?", expected=f"source and target, one of {known}", received=f"source {source!r}, target {target!r}")
        return self._by_beams(texts, how, beams, max_tokens, None)

    def summarize(self, texts: Any, *, beams: int | None = None, max_tokens: int | None = None) -> Generation | list[Generation]:
        """A shorter text that says the same, by beam search; a list for a list. For encoder–decoders.

        What config.json's task_specific_params say of summarization is followed: the words before the text (T5), beams,
        lengths, n-grams that come once; generation_config.json next; else 4 beams and at most 128 tokens. Raises UserError.
        """
        self._answers("summarize")
        return self._by_beams(texts, self._tasks.get("summarization", {}), beams, max_tokens, SUMMARY)

    def complete(self, text: str, *, n: int = 3, max_tokens: int = 24, temperature: float = 0.8, seed: int = 0) -> list[Generation]:
        """Up to n different ways to go on with a text to the end of its line, the most probable first. For decoders.

        One is the most probable token each time; the others are drawn, 2 n of them. `score` of each is the mean ln p of its
        tokens. The same seed, the same completions. Raises UserError.
        """
        check("n", n)
        _ = self.engine  # a model that writes nothing says so
        if self.text_spec.encoder is not None:
            raise ConfigError("an encoder–decoder answers a text and does not go on with it", expected="a decoder", received="an encoder–decoder", change="use model.generate")
        settings = {"max_tokens": max_tokens, "stop": "\n"}
        drawn = self.generate([text] * (2 * n), temperature=temperature, seed=seed, **settings) if n > 1 else []
        kept = {one.text: one for one in [self.generate(text, temperature=0.0, **settings), *drawn] if one.new_ids}
        found = []
        for one in kept.values():
            nats = self.score(ids=one.ids)[-len(one.new_ids) :]
            found.append(replace(one, score=-float(nats.mean())))
        return sorted(found, key=lambda one: -(one.score if one.score is not None else -math.inf))[:n]

    def _answers(self, what: str) -> None:
        _ = self.engine  # a model that writes nothing says so
        if self.text_spec.encoder is None:
            raise ConfigError(
                f"a decoder alone does not {what}", expected="an encoder–decoder", received="a decoder that goes on with a text",
                change=f"ask it in its own words: model.generate, or polyhead chat for one that follows instructions, or load a model trained to {what}",
            )  # fmt: skip

    @property
    def _tasks(self) -> dict[str, dict[str, Any]]:
        """config.json's task_specific_params."""
        kept = self.meta.get("huggingface")
        config = kept.get("config") if isinstance(kept, dict) else None
        told = config.get("task_specific_params") if isinstance(config, dict) else None
        return {name: how for name, how in told.items() if isinstance(how, dict)} if isinstance(told, dict) else {}

    def _by_beams(self, texts: Any, how: dict[str, Any], beams: int | None, max_tokens: int | None, longest: int | None) -> Any:
        """Beam search with a task's settings before those of generation_config.json."""
        single = isinstance(texts, str)
        rows = [texts] if single else texts
        if not _texts(rows) or not rows:
            raise UserError("there is nothing to read", expected="a text, or a list of texts", received=_told(texts))
        kept = self.meta.get("huggingface") if isinstance(self.meta.get("huggingface"), dict) else {}
        usual = kept.get("generation") if isinstance(kept, dict) and isinstance(kept.get("generation"), dict) else {}
        told, prefix = {**(usual or {}), **how}, how.get("prefix", "")
        rows = [(prefix if isinstance(prefix, str) else "") + text for text in rows]
        beams = _count(told, "num_beams", BEAMS) if beams is None else beams
        if max_tokens is None:
            lengths = [len(ids) for ids in self.tokenizer.encode_batch(list(rows))] if self.tokenizer is not None else []
            usual_length = longest if longest is not None else max(lengths, default=0) + LONGER
            max_tokens = min(_count(told, "max_length", usual_length), self.text_spec.context)
        rules: dict[str, Any] = {key: how[key] for key in ("min_length", "no_repeat_ngram_size") if key in how}
        writer = self._with(rules) if rules else self
        found = [writer.generate(rows[i : i + 8], beams=beams, max_tokens=max_tokens, **({} if beams > 1 else {"temperature": 0.0})) for i in range(0, len(rows), 8)]
        answers = [one for part in found for one in part]
        return answers[0] if single else answers

    def _with(self, rules: dict[str, Any]) -> Any:
        """This model, its generation_config.json saying this too."""
        kept = dict(self.meta.get("huggingface") or {})
        kept["generation"] = {**(kept.get("generation") or {}), **rules}
        other = type(self)(self.net, self.tokenizer, self.objective, {**self.meta, "huggingface": kept})  # type: ignore[call-arg]
        other.engine = self.engine
        return other


def _count(told: dict[str, Any], key: str, usual: int) -> int:
    value = told.get(key)
    return value if type(value) is int and value > 0 else usual


def _texts(found: Any) -> bool:
    return isinstance(found, list | tuple) and all(isinstance(text, str) for text in found)


def _told(value: Any) -> str:
    return "a text" if isinstance(value, str) else f"{len(value)} texts" if _texts(value) else type(value).__name__
