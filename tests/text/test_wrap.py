"""Special tokens around texts: what a post-processor says, as the tokenizers library runs it."""

from __future__ import annotations

import json

import pytest
import tokenizers

from polyhead.errors import TokenizerError
from polyhead.text import Tokenizer

SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "<s>", "</s>", "<unk>"]


def token(name: str, kind: int = 0) -> dict:
    return {"SpecialToken": {"id": name, "type_id": kind}}


def text(name: str, kind: int = 0) -> dict:
    return {"Sequence": {"id": name, "type_id": kind}}


def known(*names: str) -> dict:
    return {name: {"id": name, "ids": [SPECIAL.index(name)], "tokens": [name]} for name in names}


BERT = {"type": "TemplateProcessing", "single": [token("[CLS]"), text("A"), token("[SEP]")],
        "pair": [token("[CLS]"), text("A"), token("[SEP]"), text("B", 1), token("[SEP]", 1)],
        "special_tokens": known("[CLS]", "[SEP]")}  # fmt: skip
EOS = {"type": "TemplateProcessing", "single": [text("A"), token("</s>")],
       "pair": [text("A"), token("</s>"), text("B"), token("</s>")], "special_tokens": known("</s>")}  # fmt: skip
SWAPPED = {"type": "TemplateProcessing", "single": [text("A", 3)], "pair": [text("B"), token("<s>", 2), text("A", 1), text("A")],
           "special_tokens": known("<s>")}  # fmt: skip
LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
KNOWN = {
    "bert": BERT, "eos": EOS, "swapped": SWAPPED, "byte level": LEVEL, "none": None,
    "sequence": {"type": "Sequence", "processors": [LEVEL, BERT]},
    "empty sequence": {"type": "Sequence", "processors": []},
    "old bert": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
    "old roberta": {"type": "RobertaProcessing", "sep": ["</s>", 4], "cls": ["<s>", 3], "trim_offsets": True, "add_prefix_space": False},
}  # fmt: skip


@pytest.fixture(scope="module")
def spec() -> dict:
    trained = Tokenizer.train(["the lamp is lit"], "byte_bpe", 263, special=SPECIAL)
    return json.loads(trained._json)


@pytest.mark.parametrize("name", KNOWN)
def test_wrap_is_what_the_library_does(spec: dict, name: str) -> None:
    whole = {**spec, "post_processor": KNOWN[name]}
    ours, library = Tokenizer(whole), tokenizers.Tokenizer.from_str(json.dumps(whole))
    ids, more = ours.encode("the lamp"), ours.encode("is lit")
    alone, both = library.encode("the lamp"), library.encode("the lamp", "is lit")
    assert ours.wrap(ids) == (alone.ids, alone.type_ids)
    assert ours.wrap(iter(ids), more) == (both.ids, both.type_ids)
    assert ours.encode("the lamp") == ids


def test_a_class_speaks_for_a_file_that_does_not(spec: dict) -> None:
    roles = {"cls_token": "[CLS]", "sep_token": "[SEP]", "bos_token": "<s>", "eos_token": "</s>"}
    assert Tokenizer(spec, {**roles, "tokenizer_class": "BertTokenizerFast"}).wrap([9], [8]) == ([1, 9, 2, 8, 2], [0, 0, 0, 1, 1])
    assert Tokenizer(spec, {**roles, "tokenizer_class": "LlamaTokenizer"}).wrap([9]) == ([3, 9], [0, 0])
    assert Tokenizer(spec, {**roles, "tokenizer_class": "Unheard"}).wrap([9], [8]) == ([9, 8], [0, 1])
    # A file that says so itself is believed, but for the classes whose switches rule.
    eos = {**spec, "post_processor": EOS}
    assert Tokenizer(eos, {**roles, "tokenizer_class": "BertTokenizer"}).wrap([9])[0] == [9, 4]
    assert Tokenizer(eos, {**roles, "tokenizer_class": "LlamaTokenizer"}).wrap([9])[0] == [9, 4]
    switched = {**roles, "tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": True}
    llama = Tokenizer(eos, switched)
    assert llama.wrap([9], [8]) == ([3, 9, 4, 3, 8, 4], [0, 0, 0, 1, 1, 1])
    assert Tokenizer(json.loads(llama._json)).wrap([9])[0] == [3, 9, 4]
    assert Tokenizer(eos, {**switched, "add_bos_token": False, "add_eos_token": False}).wrap([9])[0] == [9]


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        (5, "an object"), ({}, "TemplateProcessing"), ({"type": "Magic"}, "Magic"), ({"type": "Sequence"}, "list of objects"),
        ({"type": "Sequence", "processors": [5]}, "list of objects"), ({"type": "Sequence", "processors": [BERT, EOS]}, "several steps"),
        ({"type": "Sequence", "processors": [{"type": "Sequence", "processors": []}]}, "TemplateProcessing"),
        ({**BERT, "single": None}, "single"), ({**BERT, "single": [5]}, "single"), ({**BERT, "single": [text("C")]}, '"A" or "B"'),
        ({**BERT, "single": [token("<x>")]}, "<x>"), ({**BERT, "special_tokens": None}, "special_tokens"),
        ({**BERT, "special_tokens": {"[CLS]": {"ids": ["1"]}}}, "special_tokens"),
        ({**BERT, "special_tokens": {**known("[SEP]"), "[CLS]": {"ids": [10**9]}}}, "ids of tokens"),
        ({**BERT, "single": [text("A")] * 10**5}, "at most"), ({**BERT, "single": [{"Sequence": {"id": "A", "type_id": "x"}}]}, "type_id"),
        ({"type": "BertProcessing", "sep": ["[SEP]", "2"], "cls": ["[CLS]", 1]}, "sep"), ({"type": "BertProcessing"}, "cls"),
        ({"type": "BertProcessing", "sep": ["[SEP]", -1], "cls": ["[CLS]", 1]}, "ids of tokens"),
    ],
)  # fmt: skip
def test_broken_post_processors_are_named(spec: dict, processor: object, message: str) -> None:
    with pytest.raises(TokenizerError, match=message) as caught:
        Tokenizer({**spec, "post_processor": processor})
    assert "post_processor" in str(caught.value)
