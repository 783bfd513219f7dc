"""Encode and decode: round trips, special tokens, framing, saving, files of others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyhead.errors import DiskError, TokenizerError
from polyhead.text import ROLES, SPECIAL, Tokenizer
from polyhead.text.kinds import BYTE_LETTERS, BYTE_TOKENS
from tests.text.conftest import CORPUS, LOSSLESS, VARIANTS

UNICODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
AWKWARD = st.lists(
    st.sampled_from(
        [
            " ",
            "  ",
            "\n",
            "\r\n",
            "\t",
            "\0",
            "▁",
            "▁▁",
            "a",
            "The",
            "é",
            "e\u0301",
            "👩‍👩‍👧",
            "日本",
            "\u2028",
            "\ufffe",
            "\ufeff",
            *SPECIAL,
            "<0x0A>",
            "<0xE2>",
            "</w>",
            "##a",
            "<",
            "0x41>",
            "\ue000",
        ]
    ),  # fmt: skip
    max_size=12,
).map("".join)
TEXT = UNICODE | AWKWARD
PROPERTY = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@PROPERTY
@given(text=TEXT)
def test_round_trip_of_every_lossless_kind(lossless: Tokenizer, text: str) -> None:
    ids = lossless.encode(text)
    assert lossless.decode(ids) == text
    assert all(0 <= number < lossless.vocab_size for number in ids)


@PROPERTY
@given(text=TEXT)
def test_b32_h59_plain_text_never_gives_a_special_token(tokenizer: Tokenizer, text: str) -> None:
    assert not (tokenizer.special - {tokenizer.unk}) & set(tokenizer.encode(text))


@PROPERTY
@given(texts=st.lists(TEXT, max_size=4))
def test_a_batch_is_its_texts_one_by_one(tokenizer: Tokenizer, texts: list[str]) -> None:
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]


def test_lossless_is_claimed_by_exactly_these(trained: dict[str, Tokenizer]) -> None:
    assert {name for name, tokenizer in trained.items() if tokenizer.lossless} == LOSSLESS


def test_chars_and_unigram_are_lossless_on_their_alphabet(trained: dict[str, Tokenizer]) -> None:
    for name in ("chars", "unigram"):
        assert trained[name].decode(trained[name].encode(CORPUS)) == CORPUS


def test_special_ids_are_the_first_in_order(tokenizer: Tokenizer) -> None:
    present = [role for role in ROLES if getattr(tokenizer, role) is not None]
    assert [getattr(tokenizer, role) for role in present] == list(range(len(present)))
    assert set(ROLES) - set(present) <= {"unk"}
    assert tokenizer.id("<eos>") == tokenizer.eos and tokenizer.token(tokenizer.eos) == "<eos>"
    assert list(tokenizer) == [tokenizer.token(number) for number in range(tokenizer.vocab_size)]


def test_vocabulary_sizes(trained: dict[str, Tokenizer]) -> None:
    for name, (_kind, size, _options) in VARIANTS.items():
        assert size is None or trained[name].vocab_size == size, name
    assert trained["bytes"].vocab_size == 256 + 6
    assert set(BYTE_LETTERS) <= set(trained["byte_bpe"]) and len(set(BYTE_LETTERS)) == 256
    assert set(BYTE_TOKENS) <= set(trained["sentencepiece"])


def test_words_report_coverage_and_unknown_words(trained: dict[str, Tokenizer]) -> None:
    words = trained["words"]
    assert words.encode("zyzzyva") == [words.unk] and not words.lossless
    assert words.coverage(["lamp zyzzyva"]) == 0.5
    assert trained["bytes"].coverage(["zyzzyva", ""]) == 1.0
    assert words.decode(words.encode("the lamp, the boats")) == "the lamp , the boats"


def test_wordpiece_takes_the_longest_piece_first() -> None:
    vocab = {"<unk>": 0, "un": 1, "una": 2, "##aff": 3, "##able": 4, "##ff": 5}
    model = {"type": "WordPiece", "unk_token": "<unk>", "continuing_subword_prefix": "##", "max_input_chars_per_word": 9, "vocab": vocab}  # fmt: skip
    decoder = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    tokenizer = Tokenizer({"model": model, "pre_tokenizer": {"type": "BertPreTokenizer"}, "decoder": decoder})
    assert tokenizer.encode("unaffable") == [2, 5, 4]
    assert tokenizer.decode([2, 5, 4, 1]) == "unaffable un"


def test_word_level_corpora_are_counted_as_they_are_published() -> None:
    """WikiText's convention: what stands between blanks, and each line's end; <unk> is written out in it."""
    text = " \n = The <unk> = \n\n it 's 3 @-@ d \n"
    words = Tokenizer.train([text], "words", split="lines")
    ids = words.encode(text)
    assert len(ids) == len(text.split()) + text.count("\n") and ids.count(words.unk) == 1
    assert [words.decode([one]) for one in ids] == ["\n", "=", "The", "", "=", "\n", "\n", "it", "'s", "3", "@-@", "d", "\n"]
    assert words.encode("<eos> The <unk>") == [words.unk, words.unk, words.id("The"), words.unk]  # no other special token is spelled
    assert words.vocab_size == 7 + 7 + 1  # the special tokens, the words and the line's end


def test_merges_without_pretokenisation_cross_spaces(trained: dict[str, Tokenizer]) -> None:
    crossing = [token for token in trained["byte_bpe-whole"] if "Ġ" in token[1:]]
    assert crossing and not [token for token in trained["byte_bpe"] if "Ġ" in token.strip("Ġ")]


def test_b32_only_frame_adds_bos_and_never_twice(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("the lamp")
    assert tokenizer.bos not in ids and tokenizer.eos not in ids
    framed = tokenizer.frame(ids, bos=True, eos=True)
    assert framed == [tokenizer.bos, *ids, tokenizer.eos]
    assert tokenizer.frame(framed, bos=True, eos=True) == framed
    assert tokenizer.frame(ids) == ids
    assert tokenizer.frame([], bos=True, eos=True) == [tokenizer.bos, tokenizer.eos]


def test_b32_a_foreign_template_does_not_add_bos_behind_our_back(trained: dict[str, Tokenizer], tmp_path: Path) -> None:
    spec = _spec(trained["byte_bpe"], tmp_path)
    spec["post_processor"] = {"type": "TemplateProcessing", "pair": [], "special_tokens": {"<bos>": {"id": "<bos>", "ids": [1], "tokens": ["<bos>"]}},
                              "single": [{"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}  # fmt: skip
    assert Tokenizer(spec).encode("the lamp") == trained["byte_bpe"].encode("the lamp")


def test_b33_no_space_appears_around_special_tokens(lossless: Tokenizer) -> None:
    before, after = "the lamp", "is lit"
    ids = [lossless.bos, *lossless.encode(before), lossless.sep, *lossless.encode(after, start=False), lossless.eos]
    assert lossless.decode(ids) == before + after
    assert lossless.decode(ids, skip_special=False) == f"<bos>{before}<sep>{after}<eos>"


def test_b33_a_text_that_goes_on_gets_no_prefix(trained: dict[str, Tokenizer]) -> None:
    unigram = trained["unigram"]
    whole = [*unigram.encode("the lamp"), unigram.sep, *unigram.encode("light", start=False)]
    assert unigram.decode(whole) == "the lamplight"
    assert unigram.decode([*unigram.encode("the lamp"), *unigram.encode("light")]) == "the lamp light"


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_h76_lone_surrogates_are_refused_with_their_position(tokenizer: Tokenizer, text: str) -> None:
    with pytest.raises(TokenizerError, match=f"position {len(text) // 2}"):
        tokenizer.encode(text)
    with pytest.raises(TokenizerError, match="lone surrogate"):
        tokenizer.encode_batch(["fine", text])


def test_only_text_is_encoded_and_only_known_ids_decoded(tokenizer: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match="only text"):
        tokenizer.encode(b"bytes")  # type: ignore[arg-type]
    for bad in (-1, tokenizer.vocab_size, 2**40):
        with pytest.raises(TokenizerError, match=f"id {bad}"):
            tokenizer.decode([bad])
        with pytest.raises(TokenizerError, match=f"id {bad}"):
            tokenizer.stream().push(bad)
        with pytest.raises(TokenizerError, match=f"id {bad}"):
            tokenizer.token(bad)


@pytest.mark.parametrize("letter", ["^", " ", "a"])
def test_h60_long_runs_do_not_hang(tokenizer: Tokenizer, letter: str) -> None:
    text = letter * 100_000
    ids = tokenizer.encode(text)
    assert not tokenizer.lossless or tokenizer.decode(ids) == text


@pytest.mark.slow
@pytest.mark.parametrize("letter", ["^", " ", "a"])
def test_h60_a_megabyte_does_not_hang(tokenizer: Tokenizer, letter: str) -> None:
    assert len(tokenizer.encode(letter * 1_000_000)) <= 1_000_001


def test_h77_a_long_chain_of_combining_marks(lossless: Tokenizer) -> None:
    text = "e" + "\u0301" * 20_000 + "\u202e\u200b"
    assert lossless.decode(lossless.encode(text)) == text


# -- files -----------------------------------------------------------------------------------------------------------


def _spec(tokenizer: Tokenizer, folder: Path) -> dict:
    return json.loads(tokenizer.save(folder / "spec.json").read_text(encoding="utf-8"))


def test_saving_and_loading_changes_nothing(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "a")
    for again in (Tokenizer.load(tmp_path / "a"), Tokenizer.load(tmp_path / "a" / "tokenizer.json")):
        assert again.fingerprint == tokenizer.fingerprint and list(again) == list(tokenizer)
        for name in ("kind", "lossless", "vocab_size", "special", *ROLES):
            assert getattr(again, name) == getattr(tokenizer, name), name
        text = "Ein <bos> ▁lamp —\n"
        assert again.encode(text) == tokenizer.encode(text)
        assert again.decode(again.encode(text)) == tokenizer.decode(tokenizer.encode(text))
    assert not list((tmp_path / "a").glob("*.part"))


def test_the_library_alone_reads_our_files(tokenizer: Tokenizer, tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Library

    library = Library.from_file(str(tokenizer.save(tmp_path)))
    text = "  The lamp's light, früher — 4 5!\nx = [i]"
    ids = library.encode(text).ids
    assert ids == tokenizer.encode(text)
    assert library.decode(ids) == tokenizer.decode(ids)


def test_the_fingerprint_follows_the_content(trained: dict[str, Tokenizer], tmp_path: Path) -> None:
    marks = {tokenizer.fingerprint for tokenizer in trained.values()}
    assert len(marks) == len(trained) and all(len(mark) == 64 for mark in marks)
    spec = _spec(trained["words"], tmp_path)
    shuffled = dict(reversed(spec.items()))
    assert Tokenizer(shuffled).fingerprint == trained["words"].fingerprint


def test_roles_come_from_the_configuration_beside_the_file(trained: dict[str, Tokenizer], tmp_path: Path) -> None:
    trained["byte_bpe"].save(tmp_path)
    config = {"bos_token": "<cls>", "eos_token": {"content": "<sep>"}, "mask_token": None, "pad_token": "<gone>",
              "chat_template": "{{ messages }}", "auto_map": {"AutoTokenizer": "evil.py"}}  # fmt: skip
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    loaded = Tokenizer.load(tmp_path)
    assert (loaded.bos, loaded.eos, loaded.mask, loaded.pad) == (loaded.id("<cls>"), loaded.id("<sep>"), None, None)
    loaded.save(tmp_path / "again")
    again = Tokenizer.load(tmp_path / "again")
    assert (again.bos, again.eos, again.config["chat_template"]) == (loaded.bos, loaded.eos, "{{ messages }}")
    assert "auto_map" not in again.config


def test_a_gpt2_style_file_without_configuration(trained: dict[str, Tokenizer], tmp_path: Path) -> None:
    spec = _spec(trained["byte_bpe"], tmp_path)
    kept = {token: number for number, token in enumerate(list(spec["model"]["vocab"])[6:])}
    end = {"id": len(kept), "content": "<|endoftext|>", "single_word": False, "lstrip": False, "rstrip": False,
           "normalized": True, "special": True}  # fmt: skip
    spec["model"] |= {"vocab": {**kept, "<|endoftext|>": len(kept)}, "unk_token": "", "end_of_word_suffix": "",
                      "continuing_subword_prefix": "", "merges": [" ".join(pair) for pair in spec["model"]["merges"]]}  # fmt: skip
    loaded = Tokenizer({**spec, "added_tokens": [end]})
    assert (loaded.kind, loaded.lossless, loaded.eos, loaded.bos, loaded.unk) == (
        "byte_bpe",
        True,
        len(kept),
        None,
        None,
    )
    assert loaded.eos not in loaded.encode("a<|endoftext|>b")
    assert loaded.decode(loaded.encode("a<|endoftext|>b")) == "a<|endoftext|>b"
    with pytest.raises(TokenizerError, match="has no bos token"):
        loaded.frame([1], bos=True)


def _llama_style(tokenizer: Tokenizer, folder: Path) -> Tokenizer:
    spec = _spec(tokenizer, folder)
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    spec["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace]}
    spec["decoder"]["decoders"].append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return Tokenizer({**spec, "pre_tokenizer": None})


@PROPERTY
@given(text=UNICODE)
def test_a_llama_style_file_with_a_prefix_space(trained: dict[str, Tokenizer], tmp_path_factory, text: str) -> None:
    loaded = _llama_style(trained["sentencepiece-bpe"], tmp_path_factory.mktemp("llama"))
    assert loaded.kind == "sentencepiece" and not loaded.lossless
    text = text.replace("▁", "")
    ids = loaded.encode(text)
    assert loaded.decode(ids) == text
    stream = loaded.stream()
    assert "".join(map(stream.push, ids)) + stream.flush() == text
    assert loaded.decode([*loaded.encode("lamp"), *loaded.encode(text, start=False)]) == "lamp" + text


def test_a_full_disk_is_said(trained: dict[str, Tokenizer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained["words"].save(tmp_path)
    before = (tmp_path / "tokenizer.json").read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskError, match="could not be written"):
        trained["bytes"].save(tmp_path)
    assert (tmp_path / "tokenizer.json").read_bytes() == before and not list(tmp_path.glob("*.part"))


def _split(behavior: str) -> dict:
    return {"type": "Split", "pattern": {"Regex": "\\d"}, "behavior": behavior, "invert": False}


@pytest.mark.parametrize(
    ("edit", "kept"),
    [
        (lambda spec: spec.update(pre_tokenizer={"type": "Sequence", "pretokenizers": [_split("Isolated"), spec["pre_tokenizer"]]}), True),
        (lambda spec: spec.update(pre_tokenizer={"type": "Sequence", "pretokenizers": [_split("Removed"), spec["pre_tokenizer"]]}), False),
        (lambda spec: spec["pre_tokenizer"].update(add_prefix_space=True), False),
        (lambda spec: spec.update(normalizer={"type": "NFC"}), False),
        (lambda spec: spec.update(decoder=None), False),
        (lambda spec: spec.update(pre_tokenizer={"type": "Whitespace"}), False),
        (lambda spec: spec["added_tokens"].append({**spec["added_tokens"][0], "id": 400, "content": "lamp", "special": False}), True),
        (lambda spec: spec["added_tokens"].append({**spec["added_tokens"][0], "id": 400, "content": "lamp", "special": False, "lstrip": True}), False),
        (lambda spec: spec["model"]["vocab"].update({"other": spec["model"]["vocab"].pop("Ā")}), False),
    ],
)  # fmt: skip
def test_what_a_changed_file_may_still_promise(trained: dict[str, Tokenizer], tmp_path: Path, edit, kept: bool) -> None:
    spec = _spec(trained["byte_bpe"], tmp_path)
    edit(spec)
    tokenizer = Tokenizer(spec)
    assert tokenizer.lossless is kept
    text = "x  lamp 42 e\u0301\0 lamp "
    assert (tokenizer.decode(tokenizer.encode(text)) == text) is kept
