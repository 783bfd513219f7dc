"""Inputs and the heads that look at them against the reference implementation, weights copied by hand."""

import pytest
import torch

from polyhead import nn as ph

from . import peers

hf = pytest.importorskip("transformers")


def pixels(rows=2, height=12, width=12, seed=0):
    return torch.randn(rows, 3, height, width, generator=torch.Generator().manual_seed(seed))


def close(a, b, tolerance=2e-5):
    assert a.shape == b.shape
    assert (a - b).abs().max() <= tolerance


def vit():
    config = hf.ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=36, image_size=12, patch_size=4,
        qkv_bias=False,
    )  # fmt: skip
    theirs = peers.random_values(hf.ViTModel(config, add_pooling_layer=False, use_mask_token=True))
    image = {"image": 12, "patch": 4, "mask_token": True}
    ours = peers.vision_spec(image, bias="o", eps=1e-12, resize="bicubic").build(seed=None)
    embeddings = theirs.embeddings
    values = {
        "embed.cls": embeddings.cls_token,
        "embed.mask": embeddings.mask_token,
        "embed.position.weight": embeddings.position_embeddings,
        **peers.pairs("embed.patch", embeddings.patch_embeddings.projection),
        **peers.pairs("final_norm", theirs.layernorm),
    }
    for i, block in enumerate(theirs.layers):
        norms = {"join_attention.ins.0": block.layernorm_before, "join_ffn.ins.0": block.layernorm_after}
        ffn = {"up": block.mlp.fc1, "down": block.mlp.fc2}
        values |= peers.layer(i, block.attention, ("q_proj", "k_proj", "v_proj", "o_proj"), norms, ffn)
    return theirs, peers.fill(ours, peers.prefixed("encoder", values))


def dinov2():
    config = hf.Dinov2Config(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=4, mlp_ratio=2, image_size=12, patch_size=4,
    )  # fmt: skip
    theirs = peers.random_values(hf.Dinov2ForImageClassification(config), seed=1)
    head = ph.HeadSpec(task="image", pool="first_mean", output=2, bias=True)
    image = {"image": 12, "patch": 4, "mask_token": True}
    options = {"eps": 1e-6, "gain": ph.LayerScale(), "ffn": ph.PlainSpec(inner=48), "resize": "bicubic"}
    ours = peers.vision_spec(image, head=head, **options).build(seed=None)
    base, embeddings = theirs.dinov2, theirs.dinov2.embeddings
    values = {
        "embed.cls": embeddings.cls_token,
        "embed.mask": embeddings.mask_token,
        "embed.position.weight": embeddings.position_embeddings,
        **peers.pairs("embed.patch", embeddings.patch_embeddings.projection),
        **peers.pairs("final_norm", base.layernorm),
    }
    for i, block in enumerate(base.encoder.layer):
        norms = {"join_attention.ins.0": block.norm1, "join_ffn.ins.0": block.norm2}
        ffn = {"up": block.mlp.fc1, "down": block.mlp.fc2}
        values |= peers.layer(i, block.attention, ("q_proj", "k_proj", "v_proj", "o_proj"), norms, ffn)
        values[f"layers.{i}.join_attention.gains.0"] = block.layer_scale1.lambda1
        values[f"layers.{i}.join_ffn.gains.0"] = block.layer_scale2.lambda1
    values = peers.prefixed("encoder", values) | peers.pairs("heads.out", theirs.classifier)
    return theirs, peers.fill(ours, values)


@torch.no_grad()
def test_vit():
    theirs, ours = vit()
    close(ours(ph.Tokens(signal=pixels())), theirs(pixels()).last_hidden_state)
    other = pixels(height=20, width=9)
    close(ours(ph.Tokens(signal=other)), theirs(other, interpolate_pos_encoding=True).last_hidden_state)
    hidden = torch.rand(2, 9, generator=torch.Generator().manual_seed(3)) < 0.5
    close(
        ours(ph.Tokens(signal=pixels(), masked=hidden)), theirs(pixels(), bool_masked_pos=hidden).last_hidden_state
    )


@torch.no_grad()
@pytest.mark.parametrize("height, width", [(12, 12), (20, 9), (24, 24), (6, 48)])
def test_dinov2_at_any_size(height, width):
    theirs, ours = dinov2()
    image = pixels(height=height, width=width)
    close(ours(ph.Tokens(signal=image)), theirs(image).logits)


def clip(eos=29):
    vision = {"hidden_size": 24, "intermediate_size": 36, "image_size": 12, "patch_size": 4}
    text = {
        "hidden_size": 16, "intermediate_size": 28, "vocab_size": 30, "max_position_embeddings": 12,
        "bos_token_id": 28, "eos_token_id": eos, "pad_token_id": 0,
    }  # fmt: skip
    shape = {"num_hidden_layers": 2, "num_attention_heads": 4}
    config = hf.CLIPConfig(text_config=text | shape, vision_config=vision | shape, projection_dim=10)
    return peers.random_values(hf.CLIPModel(config), seed=2)


def clip_spec(eos=29):
    norm = ph.LayerNormSpec()
    project = {"task": "embed", "output": 10, "normalise": True}
    seen = ph.HeadSpec(pool="first", input_norm=norm, **project)
    image = peers.vision_spec(
        {"image": 12, "patch": 4, "bias": False}, head=seen, act="quick_gelu", embed_norm=True, final=False,
        resize="bicubic",
    )  # fmt: skip
    block = ph.BlockSpec(
        attention=ph.AttentionSpec(heads=ph.GroupedSpec(heads=4, bias="qkvo"), pattern=ph.Causal()),
        ffn=ph.PlainSpec(inner=28, act="quick_gelu"),
        norm=norm,
    )
    stack = ph.StackSpec(
        width=16, layers=2, embedding=ph.EmbeddingSpec(vocab=30, position=ph.LearnedSpec(length=12)),
        blocks={"block": block}, layout=("block",), final_norm=norm,
    )  # fmt: skip
    where = {"pool": "largest_id"} if eos == 2 else {"pool": "eos", "eos": eos}
    return ph.PairSpec(
        image=image, text=ph.ModelSpec(decoder=stack, heads={"out": ph.HeadSpec(**where, **project)}, context=12)
    )


def clip_layers(tower):
    values = {}
    for i, block in enumerate(tower.encoder.layers):
        norms = {"join_attention.ins.0": block.layer_norm1, "join_ffn.ins.0": block.layer_norm2}
        ffn = {"up": block.mlp.fc1, "down": block.mlp.fc2}
        values |= peers.layer(i, block.self_attn, ("q_proj", "k_proj", "v_proj", "out_proj"), norms, ffn)
    return values


def clip_pair(eos=29):
    theirs, ours = clip(eos), clip_spec(eos).build(seed=None)
    vision, text = theirs.vision_model, theirs.text_model
    image = {
        "embed.cls": vision.embeddings.class_embedding,
        "embed.position.weight": vision.embeddings.position_embedding.weight,
        **peers.pairs("embed.patch", vision.embeddings.patch_embedding),
        **peers.pairs("embed.norm", vision.pre_layrnorm),
        **clip_layers(vision),
    }
    words = {
        "embed.token": text.embeddings.token_embedding.weight,
        "embed.position.weight": text.embeddings.position_embedding.weight,
        **peers.pairs("final_norm", text.final_layer_norm),
        **clip_layers(text),
    }
    values = peers.prefixed("image.encoder", image) | peers.prefixed("text.decoder", words)
    values |= peers.pairs("image.heads.out.input_norm", vision.post_layernorm)
    values |= peers.pairs("image.heads.out", theirs.visual_projection)
    values |= peers.pairs("text.heads.out", theirs.text_projection) | {"logit_scale": theirs.logit_scale}
    return theirs, peers.fill(ours, values)


@torch.no_grad()
@pytest.mark.parametrize("eos", [29, 2])
def test_clip(eos):
    theirs, ours = clip_pair(eos)
    ids = torch.randint(3, 28, (3, 9), generator=torch.Generator().manual_seed(1))
    for i, n in enumerate((8, 4, 6)):
        ids[i, n:] = 29  # the id that ends a text fills the rest too
    image = pixels()
    out, mine = theirs(input_ids=ids, pixel_values=image), ph.Tokens(signal=image)
    close(ours(ph.Tokens(ids), mine), out.logits_per_text)
    texts, images = ours.vectors(ph.Tokens(ids), mine)
    close(texts, out.text_embeds)
    close(images, out.image_embeds)
    other = pixels(height=16, width=8)
    expected = theirs.get_image_features(pixel_values=other, interpolate_pos_encoding=True)
    expected = expected if isinstance(expected, torch.Tensor) else expected.pooler_output
    close(ours.image(ph.Tokens(signal=other)), expected / expected.norm(dim=-1, keepdim=True))


def whisper():
    config = hf.WhisperConfig(
        d_model=16, encoder_layers=2, decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=20, decoder_ffn_dim=20, num_mel_bins=8, max_source_positions=10, max_target_positions=12,
        vocab_size=30, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, scale_embedding=True,
    )  # fmt: skip
    theirs = peers.random_values(hf.WhisperForConditionalGeneration(config), seed=3)
    norm, heads = ph.LayerNormSpec(), ph.GroupedSpec(heads=4, bias="qvo")

    def stack(layers, embedding, pattern, cross):
        block = ph.BlockSpec(
            attention=ph.AttentionSpec(heads=heads, pattern=pattern), cross=cross, ffn=ph.PlainSpec(inner=20), norm=norm
        )
        return ph.StackSpec(
            width=16, layers=layers, embedding=embedding, blocks={"block": block}, layout=("block",), final_norm=norm
        )

    listens = ph.EmbeddingSpec(input=ph.Frames(channels=8), position=ph.LearnedSpec(length=10))
    writes = ph.EmbeddingSpec(vocab=30, position=ph.LearnedSpec(length=12))
    spec = ph.ModelSpec(
        encoder=stack(2, listens, ph.Full(), None),
        decoder=stack(1, writes, ph.Causal(), ph.AttentionSpec(heads=heads)),
        heads={"lm": ph.HeadSpec(output=30, tied=True)}, context=12,
    )  # fmt: skip
    return theirs, peers.fill(spec.build(seed=None), whisper_values(theirs.model))


def whisper_values(theirs):
    values = {
        **peers.pairs("encoder.embed.conv1", theirs.encoder.conv1),
        **peers.pairs("encoder.embed.conv2", theirs.encoder.conv2),
        "decoder.embed.token": theirs.decoder.embed_tokens.weight,
    }
    for side, stack in (("encoder", theirs.encoder), ("decoder", theirs.decoder)):
        values |= peers.pairs(f"{side}.final_norm", stack.layer_norm) | bart_layers(side, stack, "ins.0")
    return values


def bart_layers(side, theirs, norm):
    """A stack of the layout that BART, Whisper and their kin share; norm: where it sits in ours."""
    values = {f"{side}.embed.position.weight": theirs.embed_positions.weight}
    names = ("q_proj", "k_proj", "v_proj", "out_proj")
    for i, block in enumerate(theirs.layers):
        norms = {f"join_attention.{norm}": block.self_attn_layer_norm, f"join_ffn.{norm}": block.final_layer_norm}
        found = peers.layer(i, block.self_attn, names, norms, {"up": block.fc1, "down": block.fc2})
        if side == "decoder":
            norms = {f"join_cross.{norm}": block.encoder_attn_layer_norm}
            crossed = peers.layer(i, block.encoder_attn, names, norms, {})
            found |= {name.replace(".attention.", ".cross."): value for name, value in crossed.items()}
        values |= peers.prefixed(side, found)
    return values


def bart():
    config = hf.BartConfig(
        d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=20, decoder_ffn_dim=20, max_position_embeddings=12, vocab_size=30, pad_token_id=1,
        eos_token_id=2, decoder_start_token_id=2, scale_embedding=True, num_labels=3,
    )  # fmt: skip
    theirs = peers.random_values(hf.BartForSequenceClassification(config), seed=4)
    norm, heads = ph.LayerNormSpec(), ph.GroupedSpec(heads=4, bias="qkvo")

    def stack(pattern, cross):
        block = ph.BlockSpec(
            attention=ph.AttentionSpec(heads=heads, pattern=pattern), cross=cross, ffn=ph.PlainSpec(inner=20),
            norm=norm, residual=ph.ResidualSpec(placement="post"),
        )  # fmt: skip
        table = ph.EmbeddingSpec(vocab=30, scale=4.0, position=ph.LearnedSpec(length=12, offset=2), norm=norm)
        return ph.StackSpec(width=16, layers=1, embedding=table, blocks={"block": block}, layout=("block",))

    head = ph.HeadSpec(task="classify", pool="last_eos", eos=2, dense=16, act="tanh", output=3, bias=True)
    spec = ph.ModelSpec(
        encoder=stack(ph.Full(), None), decoder=stack(ph.Causal(), ph.AttentionSpec(heads=heads)), context=12,
        share_embeddings=True, heads={"out": head},
    )  # fmt: skip
    values = {"encoder.embed.token": theirs.model.shared.weight}
    for side in ("encoder", "decoder"):
        part = getattr(theirs.model, side)
        values |= peers.pairs(f"{side}.embed.norm", part.layernorm_embedding) | bart_layers(side, part, "after")
    values |= peers.pairs("heads.out.dense", theirs.classification_head.dense)
    values |= peers.pairs("heads.out", theirs.classification_head.out_proj)
    return theirs, peers.fill(spec.build(seed=None), values)


@torch.no_grad()
def test_bart_classifies_where_the_source_ends_last():
    theirs, ours = bart()
    ids = torch.randint(3, 30, (2, 9), generator=torch.Generator().manual_seed(7))
    ids[0, [3, 8]], ids[1, [2, 5]] = 2, 2
    ids[1, 6:] = 1
    mask = (ids != 1).long()
    pos = torch.arange(9).masked_fill(mask == 0, -1)
    shifted = torch.cat([torch.tensor([[2], [2]]), ids[:, :-1]], 1)
    expected = theirs(input_ids=ids, attention_mask=mask).logits
    close(ours(ph.Tokens(shifted, pos, padded=True), ph.Tokens(ids, pos, padded=True)), expected)


@torch.no_grad()
def test_whisper_listens_and_steps_through_its_answer():
    theirs, ours = whisper()
    sound = torch.randn(2, 8, 20, generator=torch.Generator().manual_seed(4))
    ids = torch.randint(0, 30, (2, 7), generator=torch.Generator().manual_seed(5))
    source = ph.Tokens(signal=sound)
    expected = theirs(input_features=sound, decoder_input_ids=ids)
    close(ours.encoder(source)[0], expected.encoder_last_hidden_state)
    close(ours(ph.Tokens(ids), source), expected.logits)
    cache = ours.new_cache(2, 7)
    parts = [ours(ph.Tokens(ids[:, :3]), source, cache)]
    parts += [ours(ph.Tokens(ids[:, t : t + 1]), cache=cache) for t in range(3, 7)]
    close(torch.cat(parts, 1), expected.logits)


def test_marian_s_and_fairseq_s_sinusoids_are_theirs():
    from transformers.models.fsmt.modeling_fsmt import SinusoidalPositionalEmbedding as Fairseq
    from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding as Marian

    theirs = Marian(512, 32)
    mine = ph.SinusoidalSpec(layout="halves").build(32, 1, 32)
    pos = torch.arange(512)[None]
    close(mine.embed(torch.zeros(1, 512, 32), pos)[0], theirs.create_weight(), 5e-5)
    ids = torch.tensor([[5, 6, 7, 1, 1], [5, 6, 1, 1, 1]])
    expected = Fairseq(20, 32, 1)
    expected.make_weight(20, 32, 1)
    pos = torch.arange(5).masked_fill(ids == 1, -1)
    mine = ph.SinusoidalSpec(layout="halves", step="half-1", offset=2).build(32, 1, 32)
    close(mine.embed(torch.zeros(2, 5, 32), pos), expected(ids), 1e-6)


@pytest.mark.slow  # the import takes longer than all else here
@torch.no_grad()
def test_pools_are_sentence_transformers_pools():
    pooling = pytest.importorskip("sentence_transformers.models").Pooling
    names = {
        "cls": "first", "max": "max", "mean": "mean", "mean_sqrt_len_tokens": "mean_sqrt",
        "weightedmean": "weighted_mean", "lasttoken": "last",
    }  # fmt: skip
    x = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(6))
    for mask in ([[1, 1, 1, 0, 0], [1] * 5, [1, 0, 0, 0, 0]], [[0, 0, 1, 1, 1], [0, 1, 1, 1, 1], [1] * 5]):
        mask = torch.tensor(mask)
        pos = (mask.cumsum(1) - 1).masked_fill(mask == 0, -1)
        theirs = pooling(4, pooling_mode=tuple(names))({"token_embeddings": x, "attention_mask": mask})
        head = ph.HeadSpec(task="embed", pool=tuple(names.values())).build(4)
        close(head(x, ph.At(pos, padded=True)), theirs["sentence_embedding"], 1e-6)
