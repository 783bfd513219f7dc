"""Hostile and broken tokenizer files: a clear error, no panic, no hang."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from polyhead.errors import TokenizerError
from polyhead.text import Tokenizer
from polyhead.text.guard import from_json, split_inside, unsafe_repeat


def added(content: str, number: int, special: bool = True) -> dict:
    return {"id": number, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": special}  # fmt: skip


@pytest.fixture
def broken(trained: dict[str, Tokenizer], tmp_path: Path) -> Callable[..., Tokenizer]:
    def change(edit: Callable[[dict], object], name: str = "byte_bpe") -> Tokenizer:
        spec = json.loads(trained[name].save(tmp_path / "x.json").read_text(encoding="utf-8"))
        edit(spec)
        (tmp_path / "x.json").write_text(json.dumps(spec), encoding="utf-8")
        return Tokenizer.load(tmp_path / "x.json")

    return change


def test_h53_merges_of_unknown_tokens_and_overrun(broken) -> None:
    with pytest.raises(TokenizerError, match="zzzzzz"):
        broken(lambda spec: spec["model"]["merges"].append(["zzzzzz", "qqqq"]))
    with pytest.raises(TokenizerError, match="merges has a broken row"):
        broken(lambda spec: spec["model"].update(continuing_subword_prefix="########"))
    for row in (["a"], "a", 5, ["a", 1], None, "a b c"):
        with pytest.raises(TokenizerError, match="merges"):
            broken(lambda spec, row=row: spec["model"]["merges"].append(row))


def test_a_panic_of_the_engine_is_our_error() -> None:
    class PanicException(BaseException):
        pass

    from polyhead.text.guard import engine_error

    assert isinstance(engine_error(PanicException("boom"), "x"), TokenizerError)
    stop = KeyboardInterrupt()
    assert engine_error(stop, "x") is stop


@pytest.mark.parametrize(
    "pattern", ["(a+)+", "(a|aa)*", "((a*)b?)+", "(?:x?y){2,}", "(?=(a+)+b)", r"([a-z]+\s?)*$", "(a{1,9})+"]
)
def test_h54_patterns_that_can_blow_up_are_refused(broken, pattern: str) -> None:
    assert unsafe_repeat(pattern)
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    with pytest.raises(TokenizerError, match="pre_tokenizer: the regular expression"):
        broken(
            lambda spec: spec.update(
                pre_tokenizer={"type": "Sequence", "pretokenizers": [split, spec["pre_tokenizer"]]}
            )
        )


@pytest.mark.parametrize(
    "pattern",
    [
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
        r"[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))*((?=[\p{L}])([^A-Z]))+(?i:'s|'t)?|\p{N}{1,3}",
        r" ?[^(\s|[.,!?…。，、।۔،])]+",
        r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))",
        r"\(a\)+[(+|*)]",
    ],
)
def test_patterns_of_published_tokenizers_pass(pattern: str) -> None:
    assert not unsafe_repeat(pattern)


def test_h55_duplicate_negative_and_giant_ids(broken) -> None:
    for number, message in ((-1, "out of range"), (2**40, "out of range"), (3, "share the id 3"), ("5", "broken row"), (True, "broken row")):  # fmt: skip
        with pytest.raises(TokenizerError, match=message):
            broken(lambda spec, number=number: spec["model"]["vocab"].update(zzz=number))
    with pytest.raises(TokenizerError, match="cannot be reached"):
        broken(lambda spec: spec["added_tokens"].append(added("<gap>", 5000)))
    with pytest.raises(TokenizerError, match="share the id"):
        broken(lambda spec: spec["added_tokens"].append(added("<twice>", 100)))


def test_h55_gaps_in_the_vocabulary_are_kept(broken) -> None:
    tokenizer = broken(lambda spec: spec["model"]["vocab"].update(zzz=600))
    assert tokenizer.vocab_size == 601 and tokenizer.id("zzz") == 600
    with pytest.raises(TokenizerError, match="id 500"):
        tokenizer.decode([500])


def test_h56_empty_vocabulary_and_no_unk(broken) -> None:
    with pytest.raises(TokenizerError, match="model.vocab is empty"):
        broken(lambda spec: spec["model"].update(vocab={}, merges=[]))
    for name in ("words", "wordpiece"):
        with pytest.raises(TokenizerError, match="unk_token"):
            broken(lambda spec: spec["model"].update(unk_token="gone"), name)
    with pytest.raises(TokenizerError, match="unk_id"):
        broken(lambda spec: spec["model"].update(unk_id=10**6), "unigram")
    nameless = broken(lambda spec: spec["model"].update(unk_id=None), "unigram")
    with pytest.raises(TokenizerError, match="cannot encode"):
        nameless.encode("ф")


def test_h57_added_tokens_of_nothing_and_of_a_space(broken) -> None:
    with pytest.raises(TokenizerError, match="no content"):
        broken(lambda spec: spec["added_tokens"].append(added("", 400)))
    space = broken(lambda spec: spec["added_tokens"].append(added(" ", 400)))
    assert 400 not in space.encode("a b") and space.decode(space.encode("a b")) == "a b"
    with pytest.raises(TokenizerError, match="cannot be told from text"):
        broken(lambda spec: spec["added_tokens"].append(added("a", spec["model"]["vocab"]["a"])))


@pytest.mark.parametrize(
    "name", ["byte_bpe", "unigram", "words", "wordpiece", "sentencepiece", "sentencepiece-bpe", "bpe"]
)
def test_h58_a_special_token_equal_to_a_word(broken, trained: dict[str, Tokenizer], name: str) -> None:
    forms = [token for token in trained[name] if token.strip("Ġ▁").removesuffix("</w>") == "lamp"]
    assert forms
    for form in forms:
        tokenizer = broken(
            lambda spec, form=form: spec["added_tokens"].append(added(form, trained[name].id(form))), name
        )
        number = tokenizer.id(form)
        if not form.endswith("</w>"):
            assert number in tokenizer.special and number not in tokenizer.encode("the lamp lamp\nlamp")
            assert not tokenizer.lossless or tokenizer.decode(tokenizer.encode("the lamp")) == "the lamp"


def test_h59_the_literal_split_follows_normalisation(broken) -> None:
    wide = "＜ｂｏｓ＞"
    tokenizer = broken(lambda spec: spec.update(normalizer={"type": "NFKC"}), "unigram")
    assert tokenizer.bos not in tokenizer.encode(f"{wide} <bos>")
    assert split_inside([]) is None


def test_h61_byte_tokens_that_are_none(broken) -> None:
    for name in ("<0x-1>", "<0x100>", "<0xGG>", "<0x 1>"):
        tokenizer = broken(lambda spec, name=name: spec["model"]["vocab"].update({name: 600}), "sentencepiece-bpe")
        assert tokenizer.decode([600]) == name and 600 not in tokenizer.encode(f"a{name}")


def test_h62_giant_truncation_padding_and_word_length(broken) -> None:
    truncation = {"direction": "Right", "max_length": 10**12, "strategy": "LongestFirst", "stride": 0}
    padding = {"strategy": {"Fixed": 10**12}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
               "pad_type_id": 0, "pad_token": "<pad>"}  # fmt: skip
    tokenizer = broken(lambda spec: spec.update(truncation=truncation, padding=padding))
    assert tokenizer.decode(tokenizer.encode("the lamp")) == "the lamp"
    short = broken(lambda spec: spec.update(truncation={**truncation, "max_length": 1}))
    assert short.decode(short.encode("the lamp")) == "the lamp"
    with pytest.raises(TokenizerError, match="max_input_chars_per_word"):
        broken(lambda spec: spec["model"].update(max_input_chars_per_word=10**12), "wordpiece")
    with pytest.raises(TokenizerError, match="too long"):
        broken(
            lambda spec: spec.update(normalizer={"type": "Replace", "pattern": {"String": "a"}, "content": "x" * 10**6})
        )


@pytest.mark.parametrize("rules", [5, None, "!", "", "YWJj", "////////////////", "gAAAAAAAAAAA"])
def test_damaged_rules_of_a_normaliser(broken, capfd, rules: object) -> None:
    step = {"type": "Precompiled", "precompiled_charsmap": rules}
    for normalizer in (step, {"type": "Sequence", "normalizers": [{"type": "NFC"}, step]}):
        with pytest.raises(TokenizerError, match="normalizer.*precompiled_charsmap"):
            broken(lambda spec, normalizer=normalizer: spec.update(normalizer=normalizer), "unigram")
    assert "panicked" not in capfd.readouterr().err


def test_dropout_of_a_file_does_not_make_encoding_random(broken, trained: dict[str, Tokenizer]) -> None:
    tokenizer = broken(lambda spec: spec["model"].update(dropout=0.9))
    assert tokenizer.encode("the lamp in the harbour") == trained["byte_bpe"].encode("the lamp in the harbour")


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "not JSON"), ("{", "not JSON"), ("[]", "not a tokenizer's file"), ("{}", "no `model`"), ('{"model": 3}', "model"),
     ('{"model": {"type": "Magic"}}', "model.type"), ('{"model": {}}', "model.type"), ("[" * 100_000, "not JSON"),
     ('{"model": {"type": "BPE", "vocab": [1]}}', "wrong type"), ('{"model": {"type": "Unigram", "vocab": {}}}', "wrong type"),
     ('{"model": {"type": "Unigram", "vocab": [["a"]]}}', "broken row"), ('{"a": 1, "a": 2}', "comes twice"),
     ('{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": {}}}', "not a list"),
     ('{"model": {"type": "BPE", "vocab": {"a": 0}}, "added_tokens": 5}', "not a list"),
     ('{"model": {"type": "BPE", "vocab": {"a": 0}}, "added_tokens": [{"content": "<x>"}]}', "has no id"),
     ('{"model": {"type": "BPE", "vocab": {"a": 0}}, "pre_tokenizer": {"type": "Nothing"}}', "cannot|can run")],
)  # fmt: skip
def test_broken_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(TokenizerError, match=message) as caught:
        Tokenizer.load(tmp_path)
    assert "tokenizer.json" in str(caught.value)


@pytest.mark.parametrize("part", ["normalizer", "pre_tokenizer", "decoder"])
@pytest.mark.parametrize("node", [5, "x", [], {}, {"type": 5}, {"type": "Sequence", "decoders": 5, "normalizers": 5, "pretokenizers": 5},
                                  {"type": "Sequence", "decoders": [{}], "normalizers": [None], "pretokenizers": [[]]}])  # fmt: skip
def test_steps_that_are_none(broken, part: str, node: object) -> None:
    with pytest.raises(TokenizerError, match=part):
        broken(lambda spec: spec.update({part: node}), "unigram")


def test_missing_and_undecodable_files(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="no tokenizer at"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TokenizerError, match="not JSON"):
        Tokenizer.load(tmp_path)


def test_the_bare_engine_reports_through_our_error() -> None:
    with pytest.raises(TokenizerError, match="cannot|can run"):
        from_json({"model": {"type": "Magic"}}, "a file")
