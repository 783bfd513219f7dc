"""What some claims measure with: it finds what was put there, and nothing where nothing is."""

import torch

from polyhead.lab.claims import c52_key_value_memory as memory
from polyhead.lab.claims import c58_low_level_features as features
from polyhead.lab.claims import c65_similar_embeddings as similar
from polyhead.lab.claims import c71_encoders_generate as encoders
from polyhead.lab.small import small
from polyhead.nn import Tokens


def test_the_grammar_of_c71_knows_its_sentences() -> None:
    generator = torch.Generator().manual_seed(0)
    ids = encoders.sentences(200, generator)
    assert encoders.valid(ids).all()
    for place in range(encoders.LENGTH):
        other = ids.clone()
        other[:, place] = (ids[:, place] + encoders.WORDS) % (encoders.CLASSES * encoders.WORDS) + ids[:, place] // 24 * 24
        assert not encoders.valid(other).any(), place


def test_masks_are_filled_in_as_many_passes_and_what_stays_stays() -> None:
    seen = []

    class Counts(torch.nn.Module):
        def forward(self, tokens: Tokens) -> torch.Tensor:
            seen.append(tokens.ids)
            return torch.zeros(*tokens.ids.shape, encoders.VOCAB)

    out = encoders.mask_predict(Counts(), 5, 3, torch.Generator().manual_seed(0))
    assert [int((ids == encoders.MASK).sum(1).unique()) for ids in seen] == [7, 5, 2]
    assert (out < encoders.VOCAB).all() and all(((ids == out) | (ids == encoders.MASK)).all() for ids in seen)


def test_the_probe_of_c58_reads_what_is_there() -> None:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(20, (4000,), generator=generator)
    table, noise = torch.randn(features.VOCAB, 48, generator=generator), torch.randn(4000, 48, generator=generator)
    assert features.probe(table[ids] + 0.3 * noise, ids) > 0.98
    assert features.probe(noise, ids) < 0.1


def test_the_layer_of_c52_is_taken_apart_and_put_together() -> None:
    model = memory.build(16, 0)
    ids = torch.stack([torch.arange(8), memory.SUBJECTS + torch.arange(8)], 1)
    with torch.no_grad():
        held = memory.look(model, ids)
        torch.testing.assert_close(held.logits(held.states()), model(Tokens(ids))[:, -1])
    learns = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert learns and all(".ffn." in name for name in learns)


def test_similar_rows_are_found_and_classes_follow_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(similar.CLASSES, 32, generator=generator).repeat_interleave(similar.WORDS, 0)
    assert similar.alike(centres + 0.1 * torch.randn(similar.VOCAB, 32, generator=generator)) == 1
    assert similar.alike(torch.randn(similar.VOCAB, 32, generator=generator)) < 0.3
    follows = similar.chain(8, generator)
    assert (torch.bincount(follows.flatten()) == 3).all() and len({frozenset(row) for row in follows.tolist()}) == 8


def test_the_decoder_of_c71_writes_words_alone() -> None:
    model = small(encoders.VOCAB + 1, "decoder", width=16, context=7, output=encoders.VOCAB).build(0)
    out = encoders.one_by_one(model, 4, torch.Generator().manual_seed(0))
    assert out.shape == (4, encoders.LENGTH) and (out < encoders.VOCAB).all()
