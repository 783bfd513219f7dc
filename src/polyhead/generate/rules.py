"""What a published model's generation_config.json says of the tokens that may come next, at every temperature and with beams.

They are the rules of transformers' `generate` under the same names; what is followed is what `_read` takes, and a key that
would change an answer and is not followed is warned of by name.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import ConfigError

FILE = "generation_config.json"
# keys that would change an answer, each with the values by which it does not
_IGNORED: dict[str, tuple[Any, ...]] = {
    "guidance_scale": (1,), "sequence_bias": (), "encoder_repetition_penalty": (1,), "encoder_no_repeat_ngram_size": (0,),
    "exponential_decay_length_penalty": (), "forced_decoder_ids": (), "force_words_ids": (), "constraints": (),
    "num_beam_groups": (1,), "penalty_alpha": (0,), "dola_layers": (), "stop_strings": (), "max_time": (), "watermarking_config": (),
}  # fmt: skip
_IGNORED_DRAWN: dict[str, tuple[Any, ...]] = {"typical_p": (1,), "epsilon_cutoff": (0,), "eta_cutoff": (0,), "top_h": ()}


class Rules(NamedTuple):
    """never: ids that never come; not_first: that do not come first, or second after a forced first one. An end comes only
    once a row has `length` tokens, a decoder's prompt among them, and `new` new ones. phrases: sequences that never
    come, ends alone excepted. ngram: so many tokens in a row come once, the prompt's among them; 0: any number of times."""

    ends: frozenset[int] = frozenset()
    never: tuple[int, ...] = ()
    not_first: tuple[int, ...] = ()
    forced_first: bool = False
    length: int = 0
    new: int = 0
    phrases: tuple[tuple[int, ...], ...] = ()
    ngram: int = 0

    @property
    def empty(self) -> bool:
        return self == Rules(ends=self.ends, forced_first=self.forced_first)

    def barred(self, row: Sequence[int], new: int) -> set[int]:
        """The ids that may not follow a row, of whose tokens `new` were written, the others read."""
        found = set(self.never)
        if new == (1 if self.forced_first and len(row) - new == 1 else 0):
            found.update(self.not_first)
        if new < self.new or len(row) < self.length:
            found |= self.ends
        for *before, last in self.phrases:
            if len(before) <= len(row) and list(row[len(row) - len(before) :]) == before:
                found.add(last)
        if self.ngram and len(row) >= self.ngram:
            tail = list(row[len(row) - self.ngram + 1 :])
            starts = range(len(row) - self.ngram + 1)
            found.update(row[i + self.ngram - 1] for i in starts if list(row[i : i + self.ngram - 1]) == tail)
        return found

    def allowed(self, rows: Sequence[Sequence[int] | None], new: Sequence[int], allowed: Tensor | None, like: Tensor) -> Tensor:
        """(B, V) bool, as the logits `like`: what may follow each row, of what is allowed (V,) anyhow. None: an ended row."""
        every = torch.ones_like(like, dtype=torch.bool) if allowed is None else allowed.expand(like.shape).clone()
        for i, (row, count) in enumerate(zip(rows, new, strict=True)):
            if row is not None:
                every[i, list(self.barred(row, count))] = False
        return every


def read_rules(told: dict[str, Any], vocab: int, ends: Collection[int], where: str = FILE) -> Rules:
    """The rules of a generation_config.json; ids that are not of the vocabulary never come anyhow. ConfigError names a
    key that is not possible; a warning, the keys that are not followed."""
    told = {key: value for key, value in told.items() if value is not None}
    ignored = _IGNORED | (_IGNORED_DRAWN if told.get("do_sample") is True else {})
    if left := sorted(key for key, neutral in ignored.items() if told.get(key) not in (None, [], {}, *neutral)):
        warnings.warn(f"{where}: {', '.join(left)}: not followed; answers may differ from transformers'", stacklevel=4)
    ids = {key: _ids(f"{where}: {key}", told.get(key, []), vocab) for key in ("suppress_tokens", "begin_suppress_tokens")}
    phrases = told.get("bad_words_ids", [])
    if not isinstance(phrases, list) or not all(isinstance(phrase, list) for phrase in phrases):
        raise _impossible(f"{where}: bad_words_ids", "lists of ids", phrases)
    words = [tuple(phrase) for phrase in phrases if phrase and len(_ids(f"{where}: bad_words_ids", phrase, vocab)) == len(phrase)]
    new, length, ngram = (_count(f"{where}: {key}", told.get(key, 0)) for key in ("min_new_tokens", "min_length", "no_repeat_ngram_size"))
    return Rules(
        frozenset(ends), ids["suppress_tokens"], ids["begin_suppress_tokens"], "forced_bos_token_id" in told,
        0 if new else length, new, tuple(word for word in words if len(word) > 1 or word[0] not in ends), ngram,
    )  # fmt: skip


def _ids(key: str, found: Any, vocab: int) -> tuple[int, ...]:
    if not isinstance(found, list) or any(type(i) is not int for i in found):
        raise _impossible(key, "a list of ids", found)
    return tuple(i for i in found if 0 <= i < vocab)


def _count(key: str, found: Any) -> int:
    if type(found) is not int or found < 0:
        raise _impossible(key, "a whole number from 0", found)
    return found


def _impossible(key: str, expected: str, found: Any) -> ConfigError:
    return ConfigError(f"{key} is not possible", expected=expected, received=repr(found)[:100], change="correct it there")
