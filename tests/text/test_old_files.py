"""vocab.txt, vocab.json + merges.txt, SentencePiece models: the same tokenizer as their class makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polyhead.errors import TokenizerError
from polyhead.text import Tokenizer
from polyhead.text.kinds import BYTE_LETTERS
from polyhead.text.layouts import BY_MODEL, LAYOUTS, REFUSED
from tests.text.models import (
    BPE,
    BYTE,
    BYTES,
    CONTROL,
    HEAD,
    LETTERS,
    MERGED,
    NORMAL,
    UNIGRAM,
    UNKNOWN,
    USER,
    WORDS,
    field,
    folder,  # fmt: skip
    model,
    piece,
)

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "lamp", "##s", "é", "e", "Lamp", "灯", "台", "灯台", "cafe", "##́"]
BERT = "\n".join(VOCAB) + "\n"
ANGLED = ["<s>", "<pad>", "</s>", "<unk>"]
PAIRS = ["t h", "th e", "Ġ th", "Ġth e", "l a", "m p", "la mp", "Ġ lamp"]
GPT2 = {"vocab.json": {token: number for number, token in enumerate(
    [*BYTE_LETTERS, *("".join(pair.split()) for pair in PAIRS), "<|endoftext|>"])},
    "merges.txt": "#version: 0.2\n" + "\n".join(PAIRS) + "\n"}  # fmt: skip
ROBERTA = {**GPT2, "vocab.json": {token: number for number, token in enumerate(
    [*ANGLED, *BYTE_LETTERS, *("".join(pair.split()) for pair in PAIRS), "<mask>"])}}  # fmt: skip


def names(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    return [tokenizer.token(number) for number in ids]


# -- vocab.txt ----------------------------------------------------------------------------------------------------


def test_a_vocab_txt_is_lower_cased_unless_it_says_otherwise(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(folder(tmp_path / "a", {"vocab.txt": BERT}))
    assert names(tokenizer, tokenizer.encode("The Lamps é 灯台")) == ["the", "lamp", "##s", "e", "灯", "台"]
    assert (tokenizer.pad, tokenizer.unk, tokenizer.cls, tokenizer.sep, tokenizer.mask) == (0, 1, 2, 3, 4)
    assert tokenizer.bos is None and tokenizer.special == {0, 1, 2, 3, 4} and tokenizer.kind == "wordpiece"
    assert tokenizer.decode(tokenizer.encode("the lamps")) == "the lamps"
    cased = Tokenizer.load(folder(tmp_path / "b", {"vocab.txt": BERT}, do_lower_case=False))
    assert names(cased, cased.encode("Lamp é")) == ["Lamp", "é"]
    kept = Tokenizer.load(folder(tmp_path / "c", {"vocab.txt": BERT}, strip_accents=False, tokenize_chinese_chars=False))
    assert names(kept, kept.encode("É 灯台")) == ["é", "灯台"]


def test_lines_may_end_as_windows_ends_them_and_empty_ones_keep_their_number(tmp_path: Path) -> None:
    text = "\ufeff" + BERT.replace("\n", "\r\n").replace("lamp\r\n", "\r\n")
    tokenizer = Tokenizer.load(folder(tmp_path, {"vocab.txt": text}) / "vocab.txt")
    assert tokenizer.id("##s") == 7 and tokenizer.id("lamp") is None and tokenizer.id("") is None


# -- vocab.json + merges.txt --------------------------------------------------------------------------------------


def test_byte_level_files_by_class(tmp_path: Path) -> None:
    gpt2 = Tokenizer.load(folder(tmp_path / "gpt2", GPT2))
    assert names(gpt2, gpt2.encode("the lamp")) == ["the", "Ġlamp"] and gpt2.lossless and gpt2.kind == "byte_bpe"
    assert gpt2.bos == gpt2.eos == gpt2.unk == gpt2.vocab_size - 1 and gpt2.mask is None
    opt = folder(tmp_path / "opt", ROBERTA, "GPT2Tokenizer", add_bos_token=True, bos_token="</s>", eos_token="</s>", pad_token="<pad>")
    assert Tokenizer.load(opt).wrap([9], [10]) == ([2, 9, 2, 10], [0, 0, 1, 1])
    roberta = Tokenizer.load(folder(tmp_path / "roberta", ROBERTA, "RobertaTokenizerFast"))
    assert roberta.wrap([9], [10]) == ([0, 9, 2, 2, 10, 2], [0] * 6)
    assert names(roberta, roberta.encode("the lamp")) == ["the", "Ġlamp"]
    spaced = Tokenizer.load(folder(tmp_path / "spaced", ROBERTA, "RobertaTokenizer", add_prefix_space=True))
    assert names(spaced, spaced.encode("lamp")) == ["Ġlamp"]
    assert names(spaced, spaced.encode("the", start=False)) == ["the"]


def test_qwen2_composes_and_clip_ends_words(tmp_path: Path) -> None:
    qwen = Tokenizer.load(folder(tmp_path / "qwen", GPT2, "Qwen2Tokenizer"))
    assert qwen.encode("e\u0301") == qwen.encode("é") != qwen.encode("e\u0300")
    assert qwen.bos is None and qwen.wrap([1]) == ([1], [0])
    tokens = [*BYTE_LETTERS, *(f"{letter}</w>" for letter in BYTE_LETTERS), "la", "mp</w>", "lamp</w>",
              "<|startoftext|>", "<|endoftext|>"]  # fmt: skip
    files = {"vocab.json": {token: number for number, token in enumerate(tokens)},
             "merges.txt": "#version: 0.2\nl a\nm p</w>\nla mp</w>\n"}  # fmt: skip
    clip = Tokenizer.load(folder(tmp_path / "clip", files, "CLIPTokenizer"))
    assert names(clip, clip.encode("  LAMP \n a")) == ["lamp</w>", "a</w>"]
    assert clip.wrap(clip.encode("a"))[0] == [clip.bos, *clip.encode("a"), clip.eos]
    assert clip.decode(clip.encode("a lamp, a")) == "a lamp , a"


def test_whisper_and_its_added_tokens(tmp_path: Path) -> None:
    vocab = GPT2["vocab.json"]
    more = {name: len(vocab) + at for at, name in enumerate(["<|startoftranscript|>", "<|notimestamps|>", "<|0.00|>"])}
    whisper = Tokenizer.load(folder(tmp_path, {**GPT2, "added_tokens.json": more}, "WhisperTokenizer"))
    start, silent, _ = more.values()
    assert whisper.wrap([3])[0] == [start, silent, 3, whisper.eos] and set(more.values()) <= whisper.special
    assert whisper.encode("a<|0.00|>", special=True)[-1] == more["<|0.00|>"] not in whisper.encode("a<|0.00|>")


def test_the_first_gpt_ends_words_too(tmp_path: Path) -> None:
    vocab = {"<unk>": 0, "a": 1, "b": 2, "b</w>": 3, "ab</w>": 4, "a</w>": 5}
    tokenizer = Tokenizer.load(folder(tmp_path, {"vocab.json": vocab, "merges.txt": "a b</w>\n"}, "OpenAIGPTTokenizer"))
    assert tokenizer.encode("AB a?") == [4, 5, 0] and tokenizer.decode([4, 5]) == "ab a"


# -- SentencePiece ------------------------------------------------------------------------------------------------


def test_a_bare_model_keeps_the_numbers_of_its_rows(tmp_path: Path) -> None:
    folder(tmp_path, {"any.model": UNIGRAM, "tokenizer.model": BPE})
    unigram = Tokenizer.load(tmp_path / "any.model")
    assert names(unigram, unigram.encode(" the  lamps ")) == ["▁the", "▁lamp", "s"] and unigram.kind == "unigram"
    assert (unigram.unk, unigram.bos, unigram.eos) == (0, 1, 2) and unigram.wrap([5]) == ([5], [0])
    assert unigram.encode("the zz z") == [4, 3, 0, 3, 0] and unigram.decode(unigram.encode("the lamps")) == "the lamps"
    bpe = Tokenizer.load(tmp_path)
    assert names(bpe, bpe.encode("lamp ab")) == ["▁lamp", "▁", "ab"] and bpe.kind == "sentencepiece"
    assert names(bpe, bpe.encode("é")) == ["▁", "<0xC3>", "<0xA9>"] and bpe.decode(bpe.encode("é lamp")) == "é lamp"
    assert names(bpe, bpe.encode(" lamp", start=False)) == ["▁lamp"]


def test_control_pieces_and_bytes_never_come_from_text(tmp_path: Path) -> None:
    pieces = [*HEAD, *BYTES, *WORDS, *((letter, -9.0) for letter in "<>/0xA1unk")]
    for kind in (1, 2):
        tokenizer = Tokenizer.load(_file(tmp_path, model(pieces, kind=kind, byte_fallback=True)))
        byte_ids = {tokenizer.id(f"<0x{byte:02X}>") for byte in range(256)}
        ids = tokenizer.encode("<s></s><unk><0xA1>")
        assert not {0, 1, 2} & set(ids) and not byte_ids & set(ids)
        assert tokenizer.decode(ids) == "<s></s><unk><0xA1>"


def test_symbols_of_the_user_are_whole_and_unchanged(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(_file(tmp_path, model([*HEAD, *WORDS, ("<tag>", 0.0, USER), ("▁▁", 0.0, USER)], collapse=False)))
    assert names(tokenizer, tokenizer.encode("a<tag>b")) == ["▁", "a", "<tag>", "b"]
    assert names(tokenizer, tokenizer.encode(" a")) == ["▁▁", "a"] and tokenizer.special == {0, 1, 2}
    assert names(tokenizer, tokenizer.encode("a<tag>b", special=True))[2] == "<tag>"


def test_a_letter_that_is_no_piece_is_merged_through_its_byte(tmp_path: Path) -> None:
    rows = [*HEAD, *BYTES, *MERGED, *LETTERS, ("\ta", -8.0)]
    tokenizer = Tokenizer.load(_file(tmp_path, model(rows, kind=2, byte_fallback=True, prefix=False, collapse=False)))
    assert tokenizer.encode("\ta\t") == [len(rows) - 1, 3 + 9] and tokenizer.decode(tokenizer.encode("\ta\t")) == "\ta\t"


def _file(path: Path, data: bytes, name: str = "tokenizer.model") -> Path:
    path.mkdir(exist_ok=True)
    (path / name).write_bytes(data)
    return path / name


@pytest.mark.parametrize(
    ("name", "file", "first", "wrapped", "types"),
    [
        ("LlamaTokenizer", "tokenizer.model", 4, [1, 9, 1, 10], [0, 0, 1, 1]),
        ("T5Tokenizer", "spiece.model", 4, [9, 2, 10, 2], [0] * 4),
        ("XLMRobertaTokenizer", "sentencepiece.bpe.model", 5, [0, 9, 2, 2, 10, 2], [0] * 6),
        ("CamembertTokenizer", "sentencepiece.bpe.model", 8, [5, 9, 6, 6, 10, 6], [0] * 6),
        ("AlbertTokenizer", "spiece.model", 4, [11, 9, 12, 10, 12], [0, 0, 0, 1, 1]),
        ("DebertaV2Tokenizer", "spm.model", 4, [11, 9, 12, 10, 12], [0, 0, 0, 1, 1]),
    ],
)
def test_pieces_by_class(tmp_path: Path, name: str, file: str, first: int, wrapped: list, types: list) -> None:
    tokenizer = Tokenizer.load(folder(tmp_path, {file: UNIGRAM}, name))
    assert tokenizer.encode("the lamp") == [first, first + 1]
    assert tokenizer.wrap([9], [10]) == (wrapped, types)
    named = {role: getattr(tokenizer, role) for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")}
    assert {role for role, number in named.items() if number is not None} == set(LAYOUTS[name].roles)
    again = Tokenizer.load(tokenizer.save(tmp_path / "saved"))
    assert again.encode("the  lamp\n") == tokenizer.encode("the  lamp\n") and again.wrap([9], [10]) == (wrapped, types)


def test_ids_that_fairseq_and_t5_shift(tmp_path: Path) -> None:
    xlm = Tokenizer.load(folder(tmp_path / "x", {"sentencepiece.bpe.model": UNIGRAM}, "XLMRobertaTokenizer"))
    assert [xlm.id(token) for token in (*ANGLED, "▁", "<mask>")] == [0, 1, 2, 3, 4, 12]
    camembert = Tokenizer.load(folder(tmp_path / "c", {"sentencepiece.bpe.model": UNIGRAM}, "CamembertTokenizer"))
    assert [camembert.id(token) for token in ("<pad>", "<unk>", "<s>", "</s>", "▁", "<mask>")] == [1, 3, 5, 6, 7, 15]
    t5 = Tokenizer.load(folder(tmp_path / "t", {"spiece.model": UNIGRAM}, "T5Tokenizer"))
    assert (t5.id("<extra_id_0>"), t5.id("<extra_id_99>"), t5.vocab_size) == (110, 11, 112) and t5.pad == 111
    few = Tokenizer.load(folder(tmp_path / "f", {"spiece.model": UNIGRAM}, "T5Tokenizer", extra_ids=0, pad_token="</s>"))
    assert few.id("<extra_id_0>") is None and few.vocab_size == 11 and few.pad == few.eos


def test_albert_reads_in_lower_case_and_leaves_commas_on_no_number(tmp_path: Path) -> None:
    rows = [*HEAD, *WORDS, ("3", -6.0), ("3,", -6.1), (",", -6.2), ('"', -6.3)]
    loud = Tokenizer.load(folder(tmp_path / "a", {"spiece.model": model(rows)}, "AlbertTokenizer"))
    assert names(loud, loud.encode("THE\t lámp ``3,''")) == ["▁the", "▁lamp", "▁", '"', "3", ",", '"']
    kept = Tokenizer.load(folder(tmp_path / "b", {"spiece.model": model(rows)}, "AlbertTokenizer", do_lower_case=False, keep_accents=True))
    assert kept.encode("THE á") == [3, 0, 3, 0]


def test_the_model_says_the_class_where_the_tokenizer_does_not(tmp_path: Path) -> None:
    files = {"sentencepiece.bpe.model": UNIGRAM, "config.json": {"model_type": "xlm-roberta"}}
    assert Tokenizer.load(folder(tmp_path / "a", files)).wrap([9])[0] == [0, 9, 2]
    files = {"tokenizer.model": BPE, "config.json": {"model_type": "mistral", "tokenizer_class": "Nobody's"}}
    assert Tokenizer.load(folder(tmp_path / "b", files)).wrap([9])[0] == [1, 9]
    assert set(BY_MODEL.values()) <= set(LAYOUTS) and not set(REFUSED) & set(LAYOUTS)


def test_added_tokens_in_all_the_places_they_are_found(tmp_path: Path) -> None:
    files = {"vocab.txt": BERT, "added_tokens.json": {"<new>": 17, "[ENT]": 16}}
    row = {"content": "[ENT]", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False, "special": True}
    tokenizer = Tokenizer.load(folder(tmp_path, files, "BertTokenizer", added_tokens_decoder={"16": row},
                                      additional_special_tokens=["[CLS]", "[MORE]"], mask_token={"content": "[MASK]"}))  # fmt: skip
    assert [tokenizer.id(token) for token in ("[ENT]", "<new>", "[MORE]")] == [16, 17, 18]
    assert tokenizer.special == {0, 1, 2, 3, 4, 16, 17, 18} and tokenizer.mask == 4
    assert names(tokenizer, tokenizer.encode("lamp [ENT]s", special=True)) == ["lamp", "[ENT]", "[UNK]"]


# -- Marian -------------------------------------------------------------------------------------------------------

SHARED = {"</s>": 0, "<unk>": 1, "▁the": 2, "▁lamp": 3, "s": 4, "▁": 5, "die": 6, "▁die": 7, ">>deu<<": 8, "<pad>": 9}
SOURCE = model([*HEAD, *WORDS])
TARGET = model([*HEAD, ("▁", -2.0), ("▁die", -3.0), ("s", -4.0)])


def test_marian_has_two_sides_that_share_their_numbers(tmp_path: Path) -> None:
    files = {"vocab.json": SHARED, "source.spm": SOURCE, "target.spm": TARGET}
    tokenizer = Tokenizer.load(folder(tmp_path / "a", files, "MarianTokenizer"))
    assert tokenizer.encode("the lamps") == [2, 3, 4] and tokenizer.target.encode("the dies") == [5, 1, 7, 4]
    assert tokenizer.encode("a") == [5, 1]  # a piece of the source that the vocabulary lacks
    assert tokenizer.wrap([2])[0] == [2, 0] and (tokenizer.eos, tokenizer.unk, tokenizer.pad) == (0, 1, 9)
    assert tokenizer.encode(">>deu<< the", special=True)[0] == 8 not in tokenizer.encode(">>deu<< the")
    assert tokenizer.target.decode([7, 4, 5, 3]) == "dies  lamp"
    again = Tokenizer.load(tokenizer.save(tmp_path / "b").parent)
    assert again.encode("the lamps") == [2, 3, 4] and again.target.encode("dies") == [7, 4]
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [
        "source.spm", "special_tokens_map.json", "target.spm", "tokenizer_config.json", "vocab.json"]  # fmt: skip
    with pytest.raises(TokenizerError, match="one file"):
        tokenizer.save(tmp_path / "c.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"target.spm": None}, "target.spm is missing"), ({"vocab.json": {"a": 0, "b": 2}}, "ids are not 0, 1, 2"),
     ({"vocab.json": {"a": 0, "b": 1}}, "<unk> is missing"), ({"target.spm": BPE}, "model_type"),
     ({"tokenizer_config.json": {"tokenizer_class": "MarianTokenizer", "separate_vocabs": True}}, "separate_vocabs"),
     ({"vocab.json": {"a": 0, "b": "1"}}, "ids are not"), ({"source.spm": b""}, "at least one|pieces")],
)  # fmt: skip
def test_broken_marian_folders(tmp_path: Path, change: dict, message: str) -> None:
    files = {"vocab.json": SHARED, "source.spm": SOURCE, "target.spm": TARGET,
             "tokenizer_config.json": {"tokenizer_class": "MarianTokenizer"}, **change}  # fmt: skip
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.load(folder(tmp_path, {name: data for name, data in files.items() if data is not None}))


# -- broken and hostile files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is empty"), ("\n\n\n", "is empty"), ("a\nb\na\n", "line 3 repeats line 1"), (b"a\n\xff\n", "not UTF-8"),
     ("a\n" + "b" * 2000, "line 2 is no token"), ("a\nb\n", "unk_token|not in the vocabulary")],
)  # fmt: skip
def test_broken_vocab_txt(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TokenizerError, match=message) as caught:
        Tokenizer.load(folder(tmp_path, {"vocab.txt": text}))
    assert "vocab.txt" in str(caught.value)


@pytest.mark.parametrize("value", ["yes", 5, [1], {}])
def test_choices_of_the_wrong_type(tmp_path: Path, value: object) -> None:
    with pytest.raises(TokenizerError, match="do_lower_case"):
        Tokenizer.load(folder(tmp_path, {"vocab.txt": BERT}, do_lower_case=value))


@pytest.mark.parametrize(
    ("merges", "message"),
    [("a b c\n", "line 1 is no merge"), ("a\n", "no merge"), (" b\n", "no merge"), ("zz qq\n", "vocabulary lacks"),
     ("a b\n", "vocabulary lacks"), ("t h\nt h\n", "line 2 repeats line 1"), (b"\xff \xfe\n", "not UTF-8"),
     ("x" * 5000 + " y\n", "no merge"), ("t\u2581 h\n", "vocabulary lacks")],
)  # fmt: skip
def test_h53_broken_merges_are_named_by_line(tmp_path: Path, merges: str, message: str) -> None:
    with pytest.raises(TokenizerError, match=message) as caught:
        Tokenizer.load(folder(tmp_path, {**GPT2, "merges.txt": merges}))
    assert "merges.txt" in str(caught.value)


@pytest.mark.parametrize(
    ("vocab", "message"),
    [("[]", "JSON object"), ('{"a": 0, "a": 1}', "comes twice"), ('{"a": -1}', "out of range"), ('{"a": 1099511627776}', "out of range"),
     ('{"a": "0"}', "broken row"), ('{"a": 0, "b": 0}', "share the id"), ("{}", "empty"), ('{"a": 1.5}', "broken row"), ("{" * 10**5, "not JSON")],
)  # fmt: skip
def test_h55_broken_vocab_json(tmp_path: Path, vocab: str, message: str) -> None:
    with pytest.raises(TokenizerError, match=message) as caught:
        Tokenizer.load(folder(tmp_path, {"vocab.json": vocab, "merges.txt": "#version: 0.2\n"}))
    assert "vocab.json" in str(caught.value)


def _trie(units: dict[int, int]) -> bytes:
    """A double array of 256 units, and one replacement."""
    return b"".join(number.to_bytes(4, "little") for number in (1024, *(units.get(at, 0) for at in range(256)))) + b"x\0"


TRAINER = field(2, field(3, 1))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "at least one|pieces"),
        (b"\n\xff\xff\xff\xff\x0f", "declared"),  # a piece of 4 GB
        (b"\n" + b"\xff" * 9 + b"\x01", "declared"),  # of 2^64 - 1 bytes
        (b"\n" + b"\xff" * 20, "does not end"),
        (b"\n", "does not end"),
        (UNIGRAM[:-3], "declared|end of the message"),
        (b"\n\x0a\n\x40" + b"a" * 8, "declared"),  # a text longer than its piece
        (field(1, field(2, b"ab")) + TRAINER, "1 to 512 characters"),
        (piece("") + TRAINER, "1 to 512 characters"),
        (piece("a" * 513), "1 to 512 characters"),
        (field(1, field(1, b"\xff\xfe")), "UTF-8"),
        (piece("a", float("nan")), "finite"),
        (piece("a", float("inf")), "finite"),
        (piece("a", 0.0, 99), "1 to 6"),
        (piece("a", 0.0, -1), "1 to 6"),
        (field(1, 5), "a message"),
        (b"\x0b\x0c", "wire type 3"),
        (piece("a") + TRAINER, "exactly one unknown"),
        (piece("a", 0.0, UNKNOWN) * 2, "exactly one unknown"),
        (piece("<unk>", 0.0, UNKNOWN) + piece("a") * 2, "same piece"),
        (model([*HEAD, *BYTES[:-1]], kind=2, byte_fallback=True), "<0xFF>"),
        (model([*HEAD, *BYTES, ("<0x-1>", 0.0, BYTE)], kind=2, byte_fallback=True), "<0x-1>"),  # H61
        (model([*HEAD, *BYTES], kind=2), "byte_fallback"),
        (model(HEAD, kind=3), "word"),
        (model(HEAD, kind=77), "model_type"),
        (piece("<unk>", 0.0, UNKNOWN) + field(3, field(5, 0)), "escape_whitespaces"),
        (piece("<unk>", 0.0, UNKNOWN) + field(2, field(24, 1)), "treat_whitespace_as_suffix"),
        (piece("<unk>", 0.0, UNKNOWN) + field(3, field(2, 7)), "precompiled_charsmap"),
        (model([*HEAD, *WORDS], charsmap=b"abc"), "charsmap is damaged"),
        (model([*HEAD, *WORDS], charsmap=_trie({0: 0x80 << 10, 0xE1: 0x161 | 0xFFFF << 10})), "a replacement"),
        (model([*HEAD, *WORDS], charsmap=b"\xff" * 64), "charsmap is damaged"),
        (model([*HEAD, *WORDS], charsmap=_trie({0: 0x80 << 10, 0xE1: 0xF1 << 10 | 0x161, 0x10: 1 << 31 | 9999})), "at byte 9999"),
        (b"IQ== 0\nIg== 1\n", "tiktoken"),
        (b"<!DOCTYPE html><html>", "cannot be accepted"),
        (json.dumps({"a": 1}).encode(), "cannot be accepted"),
    ],
)  # fmt: skip
def test_broken_sentencepiece_models(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(TokenizerError, match=message) as caught:
        Tokenizer.load(folder(tmp_path, {"tokenizer.model": data}))
    assert "tokenizer.model" in str(caught.value) or "the same piece" in str(caught.value)


def test_a_trie_without_end_is_damaged(tmp_path: Path) -> None:
    # Every unit is its own children's parent, whatever the letter.
    charsmap = _trie({letter: 0x100 | letter for letter in range(256)})
    with pytest.raises(TokenizerError, match="charsmap is damaged"):
        tokenizer = Tokenizer.load(_file(tmp_path, model([*HEAD, *WORDS], charsmap=charsmap)))
        tokenizer.encode("".join(map(chr, range(1, 300))))


def test_pieces_whose_merges_would_take_forever(tmp_path: Path) -> None:
    rows = [*HEAD, *((f"{at:0500d}", -1.0) for at in range(1000))]
    with pytest.raises(TokenizerError, match="too long to find their merges"):
        Tokenizer.load(_file(tmp_path, model(rows, kind=2)))


def test_h57_h58_symbols_of_nothing_and_words_that_are_special(tmp_path: Path) -> None:
    rows = [*HEAD, *WORDS, ("lamp", 0.0, CONTROL), ("is", -3.0, NORMAL)]
    tokenizer = Tokenizer.load(_file(tmp_path, model(rows)))
    assert tokenizer.id("lamp") in tokenizer.special and tokenizer.id("lamp") not in tokenizer.encode("the lamp alamp")


@pytest.mark.parametrize(
    ("files", "message"),
    [({"added_tokens.json": {"<x>": -1}}, "added_tokens.json"), ({"added_tokens.json": {"<x>": 2**40}}, "out of range"),
     ({"added_tokens.json": {"<x>": "1"}}, "added_tokens.json"), ({"added_tokens.json": {"": 20}}, "added_tokens.json"),
     ({"added_tokens.json": {"lamp": 3}}, "two ids"), ({"added_tokens.json": {"<x>": 4}}, "share the id"),
     ({"added_tokens.json": {"<x>": 900}}, "cannot be reached"),
     ({"tokenizer_config.json": {"added_tokens_decoder": {"x": "y"}}}, "added_tokens_decoder"),
     ({"tokenizer_config.json": {"added_tokens_decoder": {"16": 5}}}, "added_tokens_decoder"),
     ({"tokenizer_config.json": "[1]"}, "tokenizer_config.json"), ({"config.json": "{"}, "config.json is not JSON")],
)  # fmt: skip
def test_broken_side_files(tmp_path: Path, files: dict, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.load(folder(tmp_path, {"vocab.txt": BERT, **files}))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no tokenizer at"),
        ({"vocab.json": {}}, "merges.txt is missing"),
        ({"merges.txt": ""}, "vocab.json is missing"),
        ({"tekken.json": {}}, "Mistral's own format"),
        ({"vocab-src.json": {}, "merges.txt": "", "tokenizer_config.json": {"tokenizer_class": "FSMTTokenizer"}}, "Moses"),
        ({"sentencepiece.bpe.model": UNIGRAM}, "names the tokenizer_class"),
        ({"sentencepiece.bpe.model": UNIGRAM, "config.json": {"tokenizer_class": "MBartTokenizer"}}, "languages"),
        ({"sentencepiece.bpe.model": BPE, "tokenizer_config.json": {"tokenizer_class": "CamembertTokenizer"}}, "fairseq"),
        ({"tokenizer_config.json": {"tokenizer_class": "BertTokenizer"}, "merges.txt": ""}, "for a BertTokenizer"),
        ({"spiece.model": UNIGRAM, "tokenizer_config.json": {"tokenizer_class": "T5Tokenizer", "extra_ids": 10**12}}, "extra_ids"),
    ],
)  # fmt: skip
def test_folders_that_cannot_be_read(tmp_path: Path, files: dict, message: str) -> None:
    if "fairseq" in message:
        files = {**files, "sentencepiece.bpe.model": model([("<pad>", 0.0, CONTROL), *HEAD])}
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.load(folder(tmp_path, files))
