"""What users hold: prompts in, answers out, scores, and errors that say what to change."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from polyhead.errors import ConfigError, TokenizerError, UserError
from polyhead.generate import Engine, Generation, Model
from polyhead.nn import HeadSpec, ModelSpec, RotarySpec, Tokens, Transformer

from .nets import CONTEXT, VOCAB, byte_tokenizer, decoder, lively, seq2seq

TOKENIZER = byte_tokenizer()
BYTES = TOKENIZER.vocab_size


def gpt(vocab: int = BYTES, **meta: object) -> Model:
    return Model(lively(decoder(vocab, position=RotarySpec()), scale=0.2), TOKENIZER, meta=meta)


def translator(**meta: object) -> Model:
    return Model(lively(seq2seq(BYTES), scale=0.2), TOKENIZER, objective="seq2seq", meta=meta)


@pytest.fixture(scope="module")
def model() -> Model:
    return gpt()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """What reaches the engine: (prompts, source) of each prefill."""
    seen: list[tuple] = []
    prefill = Engine.prefill

    def spy(self: Engine, prompts: list, budget: int, source: list | None = None, **more: object) -> object:
        seen.append((prompts, source))
        return prefill(self, prompts, budget, source, **more)

    monkeypatch.setattr(Engine, "prefill", spy)
    return seen


def test_an_answer_holds_text_and_a_flat_list_of_ids(model: Model) -> None:
    answer = model.generate("Once", max_tokens=12, seed=0)
    assert isinstance(answer, Generation)
    assert answer.ids == TOKENIZER.encode("Once") + answer.new_ids
    assert answer.text == str(answer) == TOKENIZER.decode(answer.new_ids) and answer.prompt == "Once"
    assert len(answer.new_ids) == 12 and answer.reason == "length" and answer.seed == 0


def test_ids_alone_are_enough() -> None:
    model = Model(lively(decoder()), meta={"eos": 5})
    answer = model.generate(ids=[1, 2, 3], max_tokens=6, temperature=0)
    assert answer.ids[:3] == [1, 2, 3] and answer.text is None and str(answer) == " ".join(map(str, answer.new_ids))
    assert model.generate(ids=torch.tensor([1, 2, 3]), max_tokens=6, temperature=0).ids == answer.ids
    both = model.generate(ids=[[1, 2, 3], [4]], max_tokens=6, temperature=0)
    assert [type(a) for a in both] == [Generation] * 2 and both[0].ids == answer.ids


def test_a_list_of_prompts_gives_a_list_and_each_row_is_as_alone(model: Model) -> None:
    prompts = ["Once upon", "a", "time, there"]
    greedy = model.generate(prompts, max_tokens=10, temperature=0)
    drawn = model.generate(prompts, max_tokens=10, seed=40, top_k=50, repetition_penalty=1.3, frequency_penalty=0.2)
    for i, prompt in enumerate(prompts):
        assert greedy[i] == model.generate(prompt, max_tokens=10, temperature=0)
        alone = model.generate(
            prompt, max_tokens=10, seed=40 + i, top_k=50, repetition_penalty=1.3, frequency_penalty=0.2
        )
        assert drawn[i] == alone
    assert model.generate(["a"], max_tokens=3)[0].prompt == "a"


def test_a_seed_repeats_an_answer_and_no_other_random_state_moves(model: Model) -> None:
    state = torch.get_rng_state()
    one, two = (model.generate("x", max_tokens=20) for _ in range(2))
    assert one.new_ids != two.new_ids and model.generate("x", max_tokens=20, seed=one.seed) == one
    same = model.generate(["x"] * 3, max_tokens=20, seed=[7, 7, 8])
    assert same[0].new_ids == same[1].new_ids != same[2].new_ids
    assert torch.equal(torch.get_rng_state(), state)
    assert model.generate("x", max_tokens=5, temperature=0).seed is None  # nothing was drawn


def test_a_stream_gives_the_same_text_in_pieces(model: Model) -> None:
    for seed in range(3):
        whole = model.generate("né", max_tokens=40, seed=seed, temperature=1.5)
        pieces = list(model.generate("né", max_tokens=40, seed=seed, temperature=1.5, stream=True))
        assert "".join(pieces) == whole.text and len(pieces) > 3 and all(pieces)


def test_stop_strings_end_the_text(model: Model) -> None:
    free = model.generate("abc", max_tokens=40, seed=3)
    stop = next(free.text[i : i + 2] for i in range(5, 35) if free.text[i : i + 2].isascii())
    cut = model.generate("abc", max_tokens=40, seed=3, stop=["never here", stop])
    assert cut.reason == "stop" and cut.text == free.text[: free.text.index(stop)]
    assert cut.new_ids == free.new_ids[: len(cut.new_ids)] and stop not in cut.text
    pieces = model.generate("abc", max_tokens=40, seed=3, stop=stop, stream=True)
    assert "".join(pieces) == cut.text


def test_generation_ends_at_eos() -> None:
    model = gpt()
    free = model.generate(ids=[1, 2, 3], max_tokens=20, temperature=0)
    model = Model(model.net, None, meta={"eos": free.new_ids[4]})
    answer = model.generate(ids=[1, 2, 3], max_tokens=20, temperature=0)
    assert answer.reason == "eos" and answer.new_ids == free.new_ids[: free.new_ids.index(free.new_ids[4])]


def test_nothing_is_produced_that_the_tokenizer_does_not_know() -> None:
    model = gpt(BYTES + 200)  # an embedding padded to a round size
    ids = model.generate("x", max_tokens=62, temperature=50.0, seed=0).new_ids
    assert max(ids) < BYTES and len(set(ids)) > 20
    assert not set(model.generate("x", max_tokens=62, temperature=50.0, seed=0, forbid=ids[:9]).new_ids) & set(ids[:9])


def test_b32_one_bos_never_two_and_only_if_training_had_it(read: list[tuple]) -> None:
    bos = TOKENIZER.bos
    gpt().generate("ab", max_tokens=2)
    with_bos = gpt(bos=True)
    with_bos.generate(["ab", ""], max_tokens=2)
    with_bos.generate(ids=[bos, 9], max_tokens=2)
    with_bos.generate(ids=[9], max_tokens=2)
    ab = TOKENIZER.encode("ab")
    assert read == [([ab], None), ([[bos, *ab], [bos]], None), ([[bos, 9]], None), ([[9]], None)]  # ids are read as they are
    assert with_bos.score("ab").shape == (2,) and gpt().score("ab").shape == (1,)


def test_no_prompt_is_a_text_from_its_beginning(read: list[tuple]) -> None:
    model = gpt()
    model.generate(max_tokens=2)
    model.generate("", max_tokens=2)
    assert read == [([[TOKENIZER.bos]], None)] * 2
    with pytest.raises(UserError, match="no token to start from"):
        Model(model.net).generate(max_tokens=2)


def test_an_encoder_decoder_reads_the_prompt_as_its_source(read: list[tuple]) -> None:
    bos, eos = TOKENIZER.bos, TOKENIZER.eos
    model = translator()
    answer = model.generate("ab", max_tokens=5)
    assert read == [([[bos]], [[*TOKENIZER.encode("ab"), eos]])]
    assert answer.ids == answer.new_ids and answer.prompt == "ab" and answer.seed is None  # greedy by default
    assert model.generate(ids=[*TOKENIZER.encode("ab"), eos], max_tokens=5).ids == answer.ids
    assert read[-1] == read[0]  # an eos that is there is not doubled
    assert model.generate(["ab", "cde"], max_tokens=5)[0] == answer
    translator(start=TOKENIZER.pad).generate("ab", max_tokens=1)
    assert read[-1][0] == [[TOKENIZER.pad]]


def test_ids_of_a_source_and_of_a_target_are_read_as_they_are(read: list[tuple]) -> None:
    eos, ab = TOKENIZER.eos, TOKENIZER.encode("ab")
    model = translator()
    model.generate(ids=[ab, []], max_tokens=1)
    assert read[-1][1] == [ab, [eos]]  # an encoder reads at least its end
    wanted = whole(model.net, [TOKENIZER.bos, *ab[:-1]], ab, ab)
    torch.testing.assert_close(model.score(ids=ab, source=ab), wanted)
    assert gpt(bos=True).score(ids=ab).shape == (len(ab) - 1,)


@pytest.mark.parametrize(("source", "target"), [(VOCAB + 9, VOCAB), (VOCAB, VOCAB + 9)])
def test_a_source_may_have_a_vocabulary_of_its_own(source: int, target: int) -> None:
    one, two = seq2seq(source), seq2seq(target)
    spec = one.model_copy(update={"decoder": two.decoder, "heads": two.heads, "share_embeddings": False})
    model = Model(lively(spec), meta={"eos": 1, "start": 0})
    assert model.generate(ids=[source - 1, 1], max_tokens=2, forbid=[1]).new_ids
    assert model.score(ids=[target - 1, 1], source=[source - 1]).shape == (2,)
    for wrong in (lambda: model.generate(ids=[source]), lambda: model.score(ids=[2], source=[source])):
        with pytest.raises(TokenizerError) as caught:
            wrong()
        assert caught.value.expected == f"whole numbers from 0 to {source - 1}"
    with pytest.raises(TokenizerError) as caught:
        model.score(ids=[target], source=[2])
    assert caught.value.expected == f"whole numbers from 0 to {target - 1}"


def test_beams_answer_with_text_and_score(model: Model) -> None:
    answers = model.generate(["ab", "c"], beams=3, max_tokens=6)
    assert all(a.score < 0 and a.seed is None and a.text == TOKENIZER.decode(a.new_ids) for a in answers)
    assert translator().generate("ab", beams=4, length_penalty=1.0, max_tokens=6).reason in ("eos", "length")
    greedy = model.generate("ab", max_tokens=6, temperature=0)
    assert model.generate("ab", max_tokens=6, temperature=0, length_penalty=3.0).new_ids == greedy.new_ids
    for options in ({"temperature": 0.5}, {"top_k": 3}, {"stop": "x"}, {"stream": True}, {"repetition_penalty": 1.2}):
        with pytest.raises(UserError, match="beam search"):
            model.generate("ab", beams=3, **options)


def test_without_max_tokens_the_context_sets_the_end(model: Model) -> None:
    assert len(model.generate(ids=[1] * 50, temperature=0).ids) == CONTEXT + 1
    roomy = Model(lively(decoder(context=200, position=RotarySpec())))
    assert len(roomy.generate(ids=[1] * 5, temperature=0).new_ids) == 64
    with pytest.raises(UserError, match="context"):
        model.generate(ids=[1] * (CONTEXT + 1))
    with pytest.raises(UserError, match="context"):
        model.generate(ids=[1] * 60, max_tokens=20)
    assert len(model.generate(ids=[1] * 60, max_tokens=20, temperature=0, extrapolate=True).new_ids) == 20
    with pytest.raises(UserError, match="context"):
        model.generate("x" * 60, max_tokens=20, stream=True)  # at the call, not at the first piece


def test_an_engine_of_ones_own_does_the_work(model: Model) -> None:
    other = gpt()
    other.engine = Engine(other.net, prepared=model.net)
    assert other.generate("ab", max_tokens=5, temperature=0) == model.generate("ab", max_tokens=5, temperature=0)


def whole(net: Transformer, inputs: list[int], targets: list[int], source: list[int] | None = None) -> torch.Tensor:
    with torch.no_grad():
        logits = net(Tokens(torch.tensor([inputs])), None if source is None else Tokens(torch.tensor([source])))
    return F.cross_entropy(logits[0], torch.tensor(targets), reduction="none")


def test_score_gives_nats_per_token(model: Model) -> None:
    ids = TOKENIZER.encode("a short text")
    torch.testing.assert_close(model.score("a short text"), whole(model.net, ids[:-1], ids[1:]))
    assert torch.equal(model.score(ids=ids), model.score("a short text"))


@pytest.mark.parametrize("stride", [None, 64, 40, 7])
def test_a_long_text_is_scored_in_windows_each_token_once(model: Model, stride: int | None) -> None:
    ids = torch.randint(0, BYTES, (200,), generator=torch.Generator().manual_seed(0)).tolist()
    found = model.score(ids=ids, stride=stride)
    assert found.shape == (199,)
    step = stride or CONTEXT
    for i in (0, 30, 63, 64, 103, 104, 128, 198):
        block = 0 if i < CONTEXT else 1 + (i - CONTEXT) // step  # the window that asks for target i
        start = max(0, block and CONTEXT + (block - 1) * step - (CONTEXT - step))
        alone = whole(model.net, ids[start : i + 1], ids[start + 1 : i + 2])[-1]
        torch.testing.assert_close(found[i], alone)


def test_score_of_an_encoder_decoder_is_of_the_target_with_its_end() -> None:
    model = translator()
    source, target = ([*TOKENIZER.encode(text), TOKENIZER.eos] for text in ("ab", "cde"))
    wanted = whole(model.net, [TOKENIZER.bos, *target[:-1]], target, source)
    torch.testing.assert_close(model.score("cde", source="ab"), wanted)
    torch.testing.assert_close(model.score(ids=target, source=source), wanted)


def test_wrong_uses_say_what_is_expected(model: Model) -> None:
    bare = Model(model.net)
    wrong = [
        (lambda: model.generate("a", ids=[1]), "twice"),
        (lambda: model.generate([]), "no prompt"),
        (lambda: model.generate(7), "no prompt"),
        (lambda: model.generate([7]), "a prompt is text"),
        (lambda: model.generate(ids=7), "ids are a list"),
        (lambda: model.generate("a", seed=-1), "seed"),
        (lambda: model.generate("a", seed=2**64), "seed"),
        (lambda: model.generate("a", seed=1.5), "seed"),
        (lambda: model.generate(["a", "b"], seed=[1]), "seed"),
        (lambda: model.generate("a", stop=5), "stop"),
        (lambda: model.generate("a", stop=""), "stop"),
        (lambda: model.generate("a", forbid=[BYTES]), "forbid"),
        (lambda: model.generate("a", max_tokens=0), "max_tokens"),
        (lambda: model.generate("a", max_tokens=2**63), "context"),
        (lambda: model.generate("a", beams="4"), "beams"),
        (lambda: model.generate("a", temperature=-1.0), "temperature"),
        (lambda: model.generate(["a", "b"], stream=True), "stream"),
        (lambda: bare.generate("a"), "no tokenizer"),
        (lambda: bare.generate(ids=[1], stop="x"), "stop"),
        (lambda: bare.generate(ids=[1], stream=True), "stream"),
        (lambda: model.score("a"), "nothing to score"),
        (lambda: model.score(""), "nothing to score"),
        (lambda: model.score(), "score needs"),
        (lambda: model.score("ab", ids=[1]), "score needs"),
        (lambda: model.score("ab", source="c"), "no source"),
        (lambda: model.score("ab", stride=0), "stride"),
        (lambda: translator().score("ab"), "target"),
        (lambda: translator().score("a" * 99, source="b"), "context"),
    ]
    for use, message in wrong:
        with pytest.raises(UserError) as error:
            use()
        assert message in error.value.message and error.value.received


@pytest.mark.parametrize("ids", [[-1], [BYTES], [1, 2**40], [1.0], ["a"], [True], [[1], [2.5]], [[1], 2.5]])
def test_h99_ids_outside_the_vocabulary_are_refused(model: Model, ids: list) -> None:
    with pytest.raises(TokenizerError, match="vocabulary") as error:
        model.generate(ids=ids)
    assert str(BYTES - 1) in error.value.expected


def test_a_tokenizer_larger_than_the_embedding_is_refused() -> None:
    with pytest.raises(ConfigError, match="larger than the model's embedding") as error:
        Model(lively(decoder(BYTES - 1)), TOKENIZER)
    assert str(BYTES - 1) in error.value.expected and error.value.received == str(BYTES)


@pytest.mark.parametrize("meta", [{"bos": "yes"}, {"eos": VOCAB}, {"start": -1}, {"bos": True}, {"eos": "2"}])
def test_meta_that_cannot_be_is_refused(meta: dict) -> None:
    with pytest.raises(ConfigError, match=f'"{next(iter(meta))}"'):
        Model(lively(decoder()), None, meta=meta)


def test_an_encoder_is_held_but_does_not_generate() -> None:
    spec = ModelSpec(
        encoder=seq2seq().encoder, heads={"mlm": HeadSpec(task="mlm", output=VOCAB, tied=True)}, context=CONTEXT
    )
    model = Model(spec.build(0), objective="masked")
    assert "encoder" in repr(model) and "objective masked" in repr(model)
    for use in (lambda: model.generate(ids=[1, 2]), lambda: model.score(ids=[1, 2])):
        with pytest.raises(ConfigError, match="cannot generate"):
            use()
