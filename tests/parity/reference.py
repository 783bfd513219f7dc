"""Makes a tiny checkpoint of a case and asks transformers what it answers.

transformers' own initial values leave norms at 1 and biases at 0, where a wrong weight table passes: every parameter and
stored buffer is drawn anew. Reference models carry state (BigBird switches to full attention for good after a short
input, dynamic rotary keeps the longest length seen), so each question gets a model of its own.

Imports no polyhead: another environment with an older transformers runs it too.
"""

from __future__ import annotations

import logging
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor, nn

from .cases import Case

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
logging.getLogger("transformers").setLevel(logging.ERROR)

ROWS, PADDING, SOURCE = 3, 5, 17
Batch = dict[str, Tensor]


class Answer(NamedTuple):
    """heads: one tensor per task. states: (B, T, D) of the top stack, the embedding first, the last one normed; empty
    where the reference keeps none."""

    heads: dict[str, Tensor]
    states: list[Tensor]


class Made(NamedTuple):
    """A checkpoint on disk, what it was asked, and what it answered."""

    case: Case
    folder: Path
    batch: Batch
    answer: Answer


def make(case: Case, folder: Path) -> Made:
    """Writes the checkpoint to `folder` and returns it with its reference answers in fp32."""
    model = build(case)
    model.save_pretrained(folder)
    batch = feed(case, model.config)
    return Made(case, folder, batch, ask(model, case, batch))


def build(case: Case, **options: Any) -> Any:
    """A model of the case's class with random weights, in evaluation mode."""
    kind = getattr(transformers, case.model)
    config = kind.config_class(**case.fields)
    torch.manual_seed(0)
    model = kind._from_config(config, attn_implementation=case.attention, **options).eval()
    head = model.get_output_embeddings()
    if case.untied and head is not None:
        head.weight = nn.Parameter(head.weight.detach().clone())
    randomise(model, zlib.crc32(case.name.encode()))
    if case.equal is not None:
        first, second = (model.get_parameter(name) for name in case.equal)
        second.data.copy_(first.data)
    return model


def reopen(case: Case, folder: Path, **options: Any) -> tuple[Any, dict[str, Any]]:
    """(model, what from_pretrained found missing, unexpected or mismatched) of a folder."""
    kind = getattr(transformers, case.model)
    model, info = kind.from_pretrained(folder, attn_implementation=case.attention, output_loading_info=True, **options)
    for tensor in (*model.parameters(), *model.buffers()):  # a product may round otherwise where weights are mapped
        tensor.data = tensor.data.clone()
    return model.eval(), info


@torch.no_grad()
def randomise(model: nn.Module, seed: int) -> None:
    """Matrices N(0, ¼), norm gains 1 + N/5 (Gemma's, which start at 0, N/5), all else N/5; sinusoidal tables stay.
    T5 does not scale its scores: its query matrices are smaller by √head_dim, as its own initial values are."""
    draw = torch.Generator().manual_seed(seed)
    stored, seen = set(model.state_dict()), set()
    for path, module in model.named_modules():
        if "Sinusoidal" in type(module).__name__:
            continue
        buffers = [(n, b) for n, b in module.named_buffers(recurse=False) if f"{path}.{n}".lstrip(".") in stored]
        for name, tensor in [*module.named_parameters(recurse=False), *buffers]:
            if id(tensor) in seen or not tensor.is_floating_point():
                continue
            seen.add(id(tensor))
            noise = torch.randn(tensor.shape, generator=draw)
            kind = type(module).__name__
            gain = name == "weight" and tensor.dim() == 1 and "Norm" in kind and "Gemma" not in kind
            size = 0.25 / model.config.d_kv**0.5 if path.endswith("Attention.q") else 0.25
            tensor.copy_(noise * size if tensor.dim() > 1 else noise * 0.2 + gain)


@torch.no_grad()
def ask(model: nn.Module, case: Case, batch: Batch) -> Answer:
    """What the model answers, by task of ours."""
    last: list[Tensor] = []  # vision models leave the last state they list without its norm
    hook = model.base_model.register_forward_hook(lambda _, __, out: last.append(getattr(out, "last_hidden_state", None)))
    model.config.use_cache = False  # FSMT of 4.57 fails with one
    out = model(**batch, output_hidden_states=True, return_dict=True)
    hook.remove()
    heads = {}
    for task, names in case.answers.items():
        parts = [out[name] for name in names.split()]
        heads[task] = torch.stack(parts, -1) if len(parts) > 1 else parts[0]
    states = list(out.get("decoder_hidden_states") or out.get("hidden_states") or ())
    if model.config.model_type == "big_bird":  # it lists them with the padding up to a whole block
        states = [state[:, : batch["input_ids"].shape[-1]] for state in states]
    if last and last[0] is not None and states and last[0].shape == states[-1].shape:
        states[-1] = last[0]
    return Answer(heads, states)


def feed(case: Case, config: Any) -> Batch:
    """The case's input as transformers takes it; the last row is padded."""
    draw = torch.Generator().manual_seed(1)
    return {"tokens": _tokens, "choices": _choices, "cross": _cross, "seq2seq": _seq2seq, "mirror": _mirror,
            "speech": _speech, "pixels": _pixels, "pair": _pair}[case.feed](case, config, draw)  # fmt: skip


def _ids(draw: torch.Generator, vocab: int, length: int, rows: int = ROWS) -> Tensor:
    """Ids that are nobody's special token: the lowest and highest few are."""
    return torch.randint(5, min(vocab, 99) - 10, (rows, length), generator=draw)


def _mask(side: str, length: int) -> Tensor:
    mask = torch.ones(ROWS, length, dtype=torch.long)
    mask[-1, {"left": slice(0, PADDING), "right": slice(-PADDING, None), "inside": slice(-PADDING, None)}[side]] = 0
    if side == "inside":
        mask[1, 4:6] = 0
    return mask


def _tokens(case: Case, config: Any, draw: torch.Generator) -> Batch:
    vocab = getattr(config, "src_vocab_size", None) or config.vocab_size
    ids, mask = _ids(draw, vocab, case.length), _mask(case.side, case.length)
    if case.end is not None:  # at a different place in each row; legacy CLIP looks for the largest id
        for row, stop in enumerate(mask.sum(1).tolist()):
            ids[row, stop - 1 - row] = case.end
    ids = ids.masked_fill(mask == 0, _pad(config))
    batch = {"input_ids": ids, "attention_mask": mask}
    if getattr(config, "type_vocab_size", 0):
        batch["token_type_ids"] = torch.randint(0, config.type_vocab_size, ids.shape, generator=draw)
    if case.marks:
        batch["global_attention_mask"] = torch.zeros_like(ids).index_fill_(1, torch.tensor([0, 7]), 1)
    return batch


def _pad(config: Any) -> int:
    pad = getattr(config, "pad_token_id", None)
    return 0 if pad is None else pad


def _choices(case: Case, config: Any, draw: torch.Generator) -> Batch:
    """One question, its answers to choose from as rows."""
    return {name: tensor.unsqueeze(0) for name, tensor in _tokens(case, config, draw).items()}


def _cross(case: Case, config: Any, draw: torch.Generator) -> Batch:
    memory = torch.randn(ROWS, SOURCE, config.hidden_size, generator=draw)
    seen = torch.ones(ROWS, SOURCE, dtype=torch.long)
    seen[0, -4:] = 0
    return {**_tokens(case, config, draw), "encoder_hidden_states": memory, "encoder_attention_mask": seen}


def _target(case: Case, config: Any, draw: torch.Generator, length: int = 13) -> Tensor:
    vocab = getattr(config, "tgt_vocab_size", None) or getattr(config, "decoder_vocab_size", None) or config.vocab_size
    ids = _ids(draw, vocab, length)
    ids[:, 0] = config.decoder_start_token_id
    return ids


def _seq2seq(case: Case, config: Any, draw: torch.Generator) -> Batch:
    source = _tokens(case, config, draw)
    return {**source, "decoder_input_ids": _target(case, config, draw)}


def _mirror(case: Case, config: Any, draw: torch.Generator) -> Batch:
    """The text is both source and, shifted by one, target; the answer is read where the source ends."""
    batch = _tokens(case, config, draw)
    for row, stop in enumerate(batch["attention_mask"].sum(1).tolist()):
        ids = batch["input_ids"][row]
        ids[ids == case.end] = 6
        ids[stop - 1] = case.end
    return batch


def _speech(case: Case, config: Any, draw: torch.Generator) -> Batch:
    frames = torch.randn(ROWS, config.num_mel_bins, 2 * config.max_source_positions, generator=draw)
    return {"input_features": frames, "decoder_input_ids": _target(case, config, draw)}


def _pixels(case: Case, config: Any, draw: torch.Generator) -> Batch:
    config = getattr(config, "vision_config", config)
    height, width = case.size or (config.image_size, config.image_size)
    return {"pixel_values": torch.randn(ROWS, config.num_channels, height, width, generator=draw)}


def _pair(case: Case, config: Any, draw: torch.Generator) -> Batch:
    return {**_tokens(case, config.text_config, draw), **_pixels(case, config.vision_config, draw)}
