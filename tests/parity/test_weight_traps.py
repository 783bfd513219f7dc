"""Traps that no field of a spec says: how fused weights lie in a file, and what is computed on the way. Each is set wrong, and seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import polyhead as ph
from polyhead.errors import UserError
from polyhead.nn import Tokens, embedding, heads, moe, position

from .cases import BY_NAME, Case
from .common import ask, gap, inputs
from .reference import Made
from .test_round_trip import copy_folder

Make, Open = Callable[[Case | str], Made], Callable[[Case | str], ph.Model]
Tensors = dict[str, Tensor]

# ------------------------------------------------------------------------------------------------ how weights lie in a file


def rows(heads: int, parts: int) -> Callable[[Tensor], Tensor]:
    """What lay head by head, part by part, and the other way round with the numbers swapped."""
    return lambda t: t.unflatten(0, (heads, parts, -1)).transpose(0, 1).flatten(0, 2)


def swapped(t: Tensor) -> Tensor:
    """The second half first: gate and up, or up and gate."""
    return t.roll(t.shape[0] // 2, 0)


def halves_for_neighbours(t: Tensor) -> Tensor:
    """Columns 0::2 and 1::2 as if they were two halves."""
    return torch.cat([t[..., 0::2], t[..., 1::2]], -1)


# case, part of the names that are changed, how: what the file would hold if it were written the other way
LAYOUTS: list[tuple[str, str, Callable[[Tensor], Tensor]]] = [
    ("neox_parallel", "query_key_value.", rows(4, 3)),  # per head, not in three blocks
    ("bloom_lm", "query_key_value.", rows(6, 3)),
    ("falcon_rw", "query_key_value.", rows(12, 3)),
    ("falcon_40b", "query_key_value.", rows(2, 4)),  # per group of keys
    ("falcon_7b", "query_key_value.", lambda t: t.roll(8, 0)),  # queries first
    ("gpt2_lm", "c_attn.", lambda t: t.unflatten(-1, (3, 4, -1)).transpose(-2, -3).flatten(-3)),  # in three blocks, not per head
    ("modernbert_mlm", "Wqkv.", rows(3, 4)),
    ("phi3_long", "qkv_proj.", lambda t: t.roll(24, 0)),
    ("phi3_long", "gate_up_proj.", swapped),  # the gate is first
    ("modernbert_mlm", "mlp.Wi.", swapped),
    ("dinov2_giant", "weights_in.", swapped),
    ("gpt_oss_lm", "gate_up_proj", halves_for_neighbours),  # neighbours, not halves
    ("gpt2_lm", "attn.c_proj.weight", lambda t: t.T),  # stored transposed: square, so that no shape tells
    ("gpt_oss_lm", "router.weight", lambda t: t.flip(0)),
    ("mixtral_lm", "gate.weight", lambda t: t.roll(1, 0)),  # experts in their order
    ("deepseek_v2", "kv_b_proj.", lambda t: t.unflatten(0, (4, 20, -1)).roll(12, 1).reshape(t.shape)),  # per head: keys, then values
    ("deepseek_v2", "kv_a_proj_with_mqa.", lambda t: t.roll(4, 0)),  # the latent first, then the key that turns
]
EXCHANGED = [("t5_v1_1", "wi_0", "wi_1"), ("mixtral_lm", ".w1.", ".w3."), ("llama_2", "gate_proj", "up_proj"), ("olmo2_lm", "post_attention_layernorm", "post_feedforward_layernorm"),
             ("gemma2_lm", "post_attention_layernorm", "pre_feedforward_layernorm"), ("bart_lm", "decoder.layers.0.self_attn_layer_norm", "decoder.layers.0.encoder_attn_layer_norm"),
             ("neox_parallel", "input_layernorm", "post_attention_layernorm"), ("falcon_40b", "ln_attn", "ln_mlp"), ("longformer_mlm", "query.", "query_global."),
             ("whisper_lm", "encoder.layers.0.self_attn_layer_norm", "encoder.layers.0.final_layer_norm")]  # fmt: skip


def seen(folder: Path, asked: Made) -> float:
    """How far the answer of a folder is from the reference's, or infinity where it is refused."""
    found = gap(ask(ph.load(folder).net, asked.case, asked.batch), asked.answer, asked.case, asked.batch)
    return found.head if asked.case.answers else found.state


@pytest.mark.parametrize(("name", "part", "change"), LAYOUTS, ids=[f"{name}-{part.strip('.')}" for name, part, _ in LAYOUTS])
def test_a_fused_weight_in_another_order_is_seen(name: str, part: str, change: Callable[[Tensor], Tensor], made: Make, tmp_path: Path) -> None:
    def rearrange(tensors: Tensors) -> None:
        named = [key for key in tensors if part in key and tensors[key].shape[0] > 1]
        assert named
        tensors.update({key: change(tensors[key]).contiguous() for key in named})

    assert seen(copy_folder(made(name).folder, tmp_path / "other", rearrange), made(name)) > 0.05


@pytest.mark.parametrize(("name", "one", "other"), EXCHANGED, ids=[f"{name}-{one.strip('.')}" for name, one, _ in EXCHANGED])
def test_two_weights_exchanged_are_seen(name: str, one: str, other: str, made: Make, tmp_path: Path) -> None:
    def exchange(tensors: Tensors) -> None:
        pairs = [(key, key.replace(one, other)) for key in tensors if one in key and key.replace(one, other) in tensors]
        assert pairs
        for a, b in pairs:
            tensors[a], tensors[b] = tensors[b], tensors[a]

    assert seen(copy_folder(made(name).folder, tmp_path / "other", exchange), made(name)) > 0.05


# case, the tensor that is one with another by the config but holds other numbers, what the refusal names
TWICE = [
    ("bart_lm", "model.encoder.embed_tokens.weight", (99, 32)), ("bart_lm", "model.decoder.embed_tokens.weight", (99, 32)), ("led_lm", "led.decoder.embed_tokens.weight", (99, 32)),
    ("marian_mt", "model.encoder.embed_tokens.weight", (99, 32)), ("t5_lm", "encoder.embed_tokens.weight", (99, 32)), ("t5_lm", "decoder.embed_tokens.weight", (99, 32)),
    ("mt5_lm", "decoder.embed_tokens.weight", (99, 32)), ("marian_mt", "model.decoder.embed_positions.weight", (64, 32)), ("fsmt_mt", "model.encoder.embed_positions.weight", (66, 32)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "theirs", "shape"), TWICE, ids=[f"{name}-{theirs}" for name, theirs, _ in TWICE])
def test_a_second_tensor_with_other_numbers_is_refused_by_name(name: str, theirs: str, shape: tuple[int, int], made: Make, tmp_path: Path) -> None:
    folder = copy_folder(made(name).folder, tmp_path / "twice", lambda t: t.update({theirs: torch.full(shape, 0.5)}))
    with pytest.raises(UserError, match=theirs.replace(".", r"\.")):
        ph.load(folder)


def test_stored_sinusoids_of_a_narrow_dtype_are_the_sinusoids(made: Make, tmp_path: Path) -> None:
    def narrow(tensors: Tensors) -> None:
        tensors.update({name: t.bfloat16() for name, t in tensors.items()})

    assert ph.load(copy_folder(made("fsmt_mt").folder, tmp_path / "bf16", narrow)).spec.family == "fsmt"


def test_an_older_file_with_one_table_beside_an_output_matrix_of_its_own(made: Make, tmp_path: Path) -> None:
    """transformers 4 shares the two tables whatever tie_word_embeddings says, and writes them once."""
    folder = copy_folder(made("bart_untied").folder, tmp_path / "old", lambda t: [t.pop(f"model.{s}.embed_tokens.weight") for s in ("encoder", "decoder")])
    net = ph.load(folder).net
    assert torch.equal(net.encoder.embed.token, net.decoder.embed.token) and not torch.equal(net.encoder.embed.token, net.heads["lm"].weight)


# ------------------------------------------------------------------------------------------------ what is computed


def _aligned(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, **how: f(x, **{**how, "align_corners": True})


def _bilinear(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, **how: f(x, **{**how, "mode": "bilinear"})


def _normed_after(_: Any) -> Callable[..., Tensor]:
    return lambda self, x, turn: self.q_norm(turn(self._split(self.q(x))))


def _weighed_with_correction(f: Callable[..., tuple[Tensor, Tensor, Tensor]]) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    def forward(self: moe.Router, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        chosen, _, scores = f(self, x)
        weights = (scores + self.correction).gather(1, chosen)
        return chosen, weights / weights.sum(-1, keepdim=True) * self.spec.scale, scores

    return forward


class _Tanh:
    """torch.nn.functional with another gelu."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def gelu(self, x: Tensor) -> Tensor:
        return self.real.gelu(x, approximate="tanh")


def _next_axis(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Pictures read column by column: patches and the pixels in them."""
    return lambda self, tokens, *a: f(self, tokens._replace(signal=tokens.signal.transpose(-1, -2)), *a)


COMPUTED: list[tuple[str, str, float, Any, str, Callable[[Any], Any]]] = [
    ("dinov2_other_size", "a grid stretched to its corners", 0.05, nn.functional, "interpolate", _aligned),
    ("bloom_lm", "slopes of eight heads for six", 0.2, position, "alibi_slopes", lambda f: lambda heads: f(8)[:heads]),
    ("falcon_rw", "slopes of sixteen heads for twelve", 0.2, position, "alibi_slopes", lambda f: lambda heads: f(16)[:heads]),
    ("qwen3_lm", "queries normed after they are turned", 0.2, heads.Grouped, "query", _normed_after),
    ("gemma3_lm", "queries normed after they are turned", 0.2, heads.Grouped, "query", _normed_after),
    ("deepseek_v3", "experts weighed by the corrected score", 0.01, moe.Router, "forward", _weighed_with_correction),
    ("whisper_lm", "the audio stem's gelu by tanh", 1e-4, embedding, "F", _Tanh),
    ("vit_classify", "patches column by column", 0.2, embedding.PatchEmbedding, "forward", _next_axis),
]


@pytest.mark.parametrize(("name", "what", "least", "owner", "attribute", "change"), COMPUTED, ids=[f"{row[0]}-{row[1]}" for row in COMPUTED])
def test_a_computation_done_otherwise_is_seen(
    name: str, what: str, least: float, owner: Any, attribute: str, change: Callable[[Any], Any], made: Make, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, net = made(name), opened(name).net
    with monkeypatch.context() as patch:
        patch.setattr(owner, attribute, change(getattr(owner, attribute)))
        found = gap(ask(net, asked.case, asked.batch), asked.answer, asked.case, asked.batch)
    assert max(found.head, found.state) > least, found


def test_the_scale_of_gemma_is_rounded_to_the_weights_dtype(made: Make) -> None:
    """√d in bf16 is another number than in fp32: with d = 32 5.65625, not 5.65685."""
    net = ph.load(made("gemma_lm").folder, dtype=torch.bfloat16).net
    rows = net.table.detach()
    batch, states = made("gemma_lm").batch, []
    net.decoder.embed.register_forward_hook(lambda *a: states.append(a[-1]))
    net(inputs(BY_NAME["gemma_lm"], batch).tokens)
    found = nn.functional.embedding(batch["input_ids"], rows)
    assert torch.equal(states[0], found * torch.tensor(32**0.5, dtype=torch.bfloat16))
    assert not torch.equal(states[0], found.float().mul(32**0.5).bfloat16())


def test_the_correction_of_a_router_stays_in_fp32(made: Make) -> None:
    net = ph.load(made("deepseek_v3").folder, dtype=torch.bfloat16).net
    kept = {tensor.dtype for name, tensor in net.state_dict().items() if name.endswith("router.correction")}
    assert kept == {torch.float32}


def test_types_for_a_model_without_them_are_refused(opened: Open) -> None:
    """transformers' GPT-2 would look them up among its tokens."""
    with pytest.raises(ValueError, match="types"):
        opened("gpt2_lm").net(Tokens(torch.ones(1, 3, dtype=torch.long), types=torch.ones(1, 3, dtype=torch.long)))
