"""Models in EleutherAI's lm-evaluation-harness, as its model `polyhead`: the benchmarks that papers report.

    python -m polyhead.generate.lm_eval --model_args pretrained=runs/a --tasks lambada_openai

is the harness's own command `lm_eval` with this model known and chosen; it finds no models of other packages by itself. What is
asked, cut and counted is what its Hugging Face model asks, cuts and counts, so that the numbers compare.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import ConfigError, PolyheadError, UserError
from ..nn import Pair, Tokens
from ..tasks.rows import batch, evaluating
from .model import Model, load

try:
    from lm_eval.api.model import TemplateLM
    from lm_eval.api.registry import register_model
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
    from tqdm import tqdm
except ImportError as error:
    raise ConfigError("EleutherAI's harness is not installed", expected="lm-eval", received=str(error), change="pip install 'polyhead[lm-eval]'") from None

_TOGETHER = 8192  # tokens of a batch whose size nobody chose
_NEW = 256  # tokens of an answer, where the task names no number
_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_DRAWN = {"top_k": "top_k", "top_p": "top_p", "min_p": "min_p", "repetition_penalty": "repetition_penalty", "num_beams": "beams", "length_penalty": "length_penalty"}
_DTYPES = {"auto": None, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class _Row(NamedTuple):
    """What the network reads for a request: a decoder's ids, the encoder's, and how many ids are context (prefix LMs)."""

    ids: tuple[int, ...]
    source: tuple[int, ...] | None
    seen: int


@register_model("polyhead")
class PolyheadLM(TemplateLM):
    """A model that writes: a decoder, or an encoder–decoder whose source is the context.

    pretrained: what `polyhead.load` opens, or an open Model. batch_size: rows computed together, "auto": as many as make some
    thousand tokens, at most max_batch_size. device: left out, the GPU if there is one. dtype: of the weights, as transformers
    names it; "auto": as stored. max_length: tokens the model reads, its context if left out. seed: of tasks that draw. Raises
    UserError for a model that writes nothing, or words of --model_args that it does not know.
    """

    def __init__(
        self,
        pretrained: str | Model,
        *,
        batch_size: int | str = "auto",
        max_batch_size: int = 64,
        device: str | None = None,
        dtype: str = "auto",
        max_length: int | None = None,
        seed: int = 1234,
        **unknown: Any,
    ) -> None:
        super().__init__()
        if unknown:
            known = "pretrained, batch_size, max_batch_size, device, dtype, max_length, seed"
            raise ConfigError("--model_args: not known to this model", expected=known, received=", ".join(unknown))
        if dtype not in _DTYPES:
            raise ConfigError("--model_args: dtype", expected=" | ".join(_DTYPES), received=repr(dtype))
        if not isinstance(pretrained, Model):
            device = device or ("cuda" if torch.cuda.is_available() else "cpu")
            self.model = load(pretrained, device=device, dtype=_DTYPES[dtype])
        else:
            self.model = pretrained
        engine = self.model.engine  # a model that writes nothing says so
        if self.model.tokenizer is None:
            raise ConfigError("the harness asks in texts", expected="a model with a tokenizer", received="one without")
        self.text, self.reader, self._device = self.model.tokenizer, self.model._reader, engine.device
        self.backend = "causal" if self.model.text_spec.encoder is None else "seq2seq"
        self.name, self.seed, self.template = str(pretrained), seed, "default"
        self.batch_size, self._most = _rows(batch_size), max_batch_size
        self.max_length = self.model.text_spec.context if max_length is None else _whole("max_length", max_length)

    # -- texts and ids -----------------------------------------------------------------------------------------

    @property
    def eot_token_id(self) -> int:
        found = self.reader.eos
        return self.prefix_token_id if found is None else found

    @property
    def prefix_token_id(self) -> int:
        """What a text without a context stands behind: <bos>, else <eos>."""
        found = [one for one in (self.text.bos, self.reader.eos) if one is not None]
        return found[0] if found else self.reader.started()

    @property
    def max_gen_toks(self) -> int:
        return min(_NEW, max(1, self.model.text_spec.context // 2))

    @property
    def tokenizer_name(self) -> str:
        return self.name.replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """As transformers does: special tokens that are spelled out are meant (a chat template's are), and the model's own
        stand around the text unless it begins with one or add_special_tokens is False."""
        ids = self.text.encode(string, special=True) if string else []
        if add_special_tokens is False or (add_special_tokens is None and ids[:1] == [self.prefix_token_id]):
            return ids
        bare = not ids and self.reader.bos is None and not self.reader.framed([])
        return ids if bare else self.reader.read(ids)  # which is never empty

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The template's text, which the harness keeps with the results; a name chooses one of several."""
        if chat_template is False or chat_template is None:
            return None
        self.template = chat_template if isinstance(chat_template, str) else "default"
        self.text.render([{"role": "user", "content": "a"}], template=self.template)  # or says that there is none
        return self.text.templates[self.template]

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The conversation as the model's template writes it; without a prompt for an answer it ends in its last words."""
        text = self.text.render(chat_history, template=self.template, add_generation_prompt=add_generation_prompt).text
        if add_generation_prompt:
            return text
        last = chat_history[-1]["content"].strip()
        return text[: text.rindex(last) + len(last)] if last in text else text

    # -- probabilities -----------------------------------------------------------------------------------------

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """ln p of whole texts: windows of the context's length, one behind the other, each token asked for once."""
        windows: list[Any] = []
        owners: list[int] = []
        for i, request in enumerate(requests):
            ids = self.tok_encode(request.args[0])
            rolled = get_rolling_token_windows(ids, prefix_token=self.prefix_token_id, max_seq_len=self.max_length, context_len=1)
            for before, asked in map(make_disjoint_window, rolled):
                windows.append((None, before, asked))
                owners.append(i)
        sums = [0.0] * len(requests)
        for i, (nats, _) in zip(owners, self._loglikelihood_tokens(windows, disable_tqdm), strict=True):
            sums[i] += nats
        for request, total in zip(requests, sums, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return sums

    def _loglikelihood_tokens(self, requests: Sequence[Any], disable_tqdm: bool = False, **_: Any) -> list[tuple[float, bool]]:
        """(ln p of the continuation, whether it is the most probable one) of each (texts, context ids, continuation ids).

        Requests that read the same ids, as answers of one token to one question do, are computed once.
        """
        asked: dict[_Row, list[int]] = {}
        for i, (texts, context, continuation) in enumerate(requests):
            asked.setdefault(self._read(texts, context, continuation), []).append(i)
        found: list[tuple[float, bool]] = [(0.0, True)] * len(requests)
        with tqdm(total=len(requests), desc="polyhead: log-likelihoods", disable=disable_tqdm) as bar:
            for rows in self._batches(list(asked)):
                lengths = [max(len(requests[i][2]) for i in asked[row]) for row in rows]
                for row, probable in zip(rows, self._log_probs(rows, lengths), strict=True):
                    for i in asked[row]:
                        texts, _, continuation = requests[i]
                        found[i] = _told(probable, continuation)
                        if texts is not None:
                            self.cache_hook.add_partial("loglikelihood", texts, found[i])
                        bar.update(1)
        return found

    def _read(self, texts: Any, context: list[int], continuation: list[int]) -> _Row:
        """What is too long loses its beginning."""
        if not 0 < len(continuation) <= self.max_length:
            raise UserError(
                "a continuation cannot be scored", expected=f"1 to {self.max_length} tokens",
                received=f"{len(continuation)} of {str(texts)[:120]}", change="leave the task out, or use a model with a longer context",
            )  # fmt: skip
        if self.backend == "seq2seq":
            return _Row((self.reader.started(), *continuation[:-1]), tuple(context[-self.max_length :]), 0)
        ids = [*context, *continuation][-self.max_length - 1 : -1]
        return _Row(tuple(ids), None, len(ids) + 1 - len(continuation) if self.model.engine.prefixed else 0)

    def _batches(self, rows: list[_Row]) -> Iterator[list[_Row]]:
        """Like lengths together, the longest first, so that memory fails at once or never."""
        order = sorted(rows, key=_length, reverse=True)
        start = 0
        while start < len(order):
            count = self.batch_size or max(1, min(self._most, _TOGETHER // _length(order[start])))
            yield order[start : start + count]
            start += count

    @torch.inference_mode()
    def _log_probs(self, rows: list[_Row], lengths: list[int]) -> Iterator[Tensor]:
        """(n, V) of each row: ln p of what follows each of its last n ids."""
        net, device, head = self.model.prepared, self.device, self.model.engine.head
        assert not isinstance(net, Pair), "which has no engine"
        tokens = batch([row.ids for row in rows], device)
        if self.model.engine.prefixed:
            tokens = _marked(tokens, [row.seen for row in rows])
        source = batch([row.source for row in rows if row.source is not None], device) if self.backend == "seq2seq" else None
        with evaluating(net):
            x, _ = net.hidden(tokens, source)
            for row, states, count in zip(rows, x, lengths, strict=True):
                yield net.logits(states[len(row.ids) - count : len(row.ids)], head).log_softmax(-1)

    # -- answers -----------------------------------------------------------------------------------------------

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Each answer up to the first of its `until` texts; the most probable tokens unless the task draws."""
        groups: dict[str, list[int]] = {}
        for i, request in enumerate(requests):
            groups.setdefault(json.dumps(request.args[1], sort_keys=True, default=str), []).append(i)
        found = [""] * len(requests)
        with tqdm(total=len(requests), desc="polyhead: answers", disable=disable_tqdm) as bar:
            for group in groups.values():
                how, until = self._how(requests[group[0]].args[1])
                rows = {i: self._prompt(requests[i].args[0], how["max_tokens"]) for i in group}
                order = sorted(group, key=lambda i: len(rows[i]), reverse=True)
                size = self.batch_size or min(self._most, 16)
                for part in (order[start : start + size] for start in range(0, len(order), size)):
                    seeds = [self.seed + i for i in part]
                    answers = self.model.generate(ids=[rows[i] for i in part], seed=seeds, stop=until if how.get("beams", 1) == 1 else (), **how)
                    for i, answer in zip(part, answers, strict=True):
                        found[i] = _ended(self.text.decode(answer.new_ids), until)
                        self.cache_hook.add_partial("generate_until", requests[i].args, found[i])
                    bar.update(len(part))
        return found

    def _prompt(self, text: str, budget: int) -> list[int]:
        ids = self.tok_encode(text) or [self.reader.started()]
        return ids[-(self.max_length - budget if self.backend == "causal" else self.max_length) :]

    def _how(self, told: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """(settings of Model.generate, texts that end an answer) from a task's generation_kwargs."""
        given = dict(told)
        until = given.pop("until", None) or []
        lengths = [given.pop(name) for name in _LENGTHS if given.get(name) is not None]
        budget = _whole("max_gen_toks", lengths[0]) if lengths else self.max_gen_toks
        if self.backend == "causal" and budget >= self.max_length:
            raise UserError("the task wants longer answers than the model's context", expected=f"max_gen_toks below {self.max_length}", received=str(budget), change="--gen_kwargs max_gen_toks=N")
        temperature, draws = given.pop("temperature", None), given.pop("do_sample", None)
        draws = bool(temperature) if draws is None else bool(draws)
        how: dict[str, Any] = {"max_tokens": budget, "temperature": (1.0 if temperature is None else float(temperature)) if draws else 0.0}
        how |= {_DRAWN[name]: given.pop(name) for name in list(given) if name in _DRAWN and given[name] is not None}
        if not draws:
            how = {name: value for name, value in how.items() if name not in ("top_k", "top_p", "min_p")}
        if how.get("beams", 1) > 1:
            how.pop("temperature")
        else:
            how = {name: value for name, value in how.items() if name not in ("beams", "length_penalty")}
        odd = [name for name, value in given.items() if value is not None and name != "use_cache"]
        if odd:
            raise UserError("the task's generation_kwargs", expected=", ".join(("until", "do_sample", "temperature", *_LENGTHS, *_DRAWN)), received=", ".join(odd))
        return how, [text for text in ([until] if isinstance(until, str) else until) if text]


def _rows(told: int | str) -> int | None:
    """Rows of a batch; None: as many as fit."""
    return None if str(told).startswith("auto") else _whole("batch_size", told)


def _whole(name: str, told: Any) -> int:
    try:
        number = int(told)
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise ConfigError(f"{name} is not possible", expected="a whole number from 1", received=repr(told)[:100])
    return number


def _length(row: _Row) -> int:
    return len(row.ids) + len(row.source or ())


def _marked(tokens: Tokens, seen: list[int]) -> Tokens:
    assert tokens.ids is not None, "rows are ids"
    places = torch.arange(tokens.ids.shape[1], device=tokens.ids.device)
    return tokens._replace(mark=places < torch.tensor(seen, device=tokens.ids.device)[:, None])


def _told(probable: Tensor, continuation: list[int]) -> tuple[float, bool]:
    probable, wanted = probable[-len(continuation) :], torch.tensor(continuation, device=probable.device)
    return float(probable.gather(1, wanted[:, None]).sum()), bool((probable.argmax(1) == wanted).all())


def _ended(text: str, until: list[str]) -> str:
    for stop in until:
        text = text.split(stop)[0]
    return text


def main() -> int:
    """The harness's command with this model chosen; returns the exit code."""
    from lm_eval.__main__ import cli_evaluate

    words = sys.argv[1:]
    if words[:1] not in (["ls"], ["validate"]):
        sys.argv[1:] = ["--model", "polyhead", *(words[1:] if words[:1] == ["run"] else words)]
    try:
        cli_evaluate()
        return 0
    except PolyheadError as error:
        print(f"polyhead: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
