"""What the old vocabulary files leave unsaid, by `tokenizer_class`: special tokens, templates, order of the ids.

A `tokenizer.json` says all of this itself. `vocab.txt`, `merges.txt` and SentencePiece's models do not: it was code,
and is data here.
"""

from __future__ import annotations

from typing import NamedTuple


class Layout(NamedTuple):
    """One class of tokenizers.

    files: which files it reads, "wordpiece", "bpe" or "pieces". roles: its special tokens by default. single, pair:
    what is put around one text or two, in roles, with `:1` for token type 1. flags: add_bos_token and add_eos_token by
    default, where the class has such switches. split: how byte-level BPE splits text. shift: how the ids differ from
    the rows of a SentencePiece model. extra: how many <extra_id_…> follow, the last first. opens: role whose token
    takes the space before it. types: whether its models have a table of token types.
    """

    files: str
    roles: dict[str, str]
    single: str = "$A"
    pair: str = "$A $B:1"
    flags: tuple[bool, bool] | None = None
    split: str = "gpt2"
    shift: str = "none"
    extra: int = 0
    opens: str = "mask"
    types: bool = False


_SQUARE = {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"}
_ANGLED = {"bos": "<s>", "eos": "</s>", "sep": "</s>", "cls": "<s>", "unk": "<unk>", "pad": "<pad>", "mask": "<mask>"}
_LLAMA = {"bos": "<s>", "eos": "</s>", "unk": "<unk>"}
_ALBERT = {"bos": "[CLS]", "eos": "[SEP]", "unk": "<unk>", "sep": "[SEP]", "pad": "<pad>", "cls": "[CLS]",
           "mask": "[MASK]"}  # fmt: skip
_END = "<|endoftext|>"

_TYPED = ("cls $A sep", "cls $A sep $B:1 sep:1")
_DOUBLE = ("cls $A sep", "cls $A sep sep $B sep")

LAYOUTS = {
    "BertTokenizer": Layout("wordpiece", _SQUARE, *_TYPED, opens="", types=True),
    "DistilBertTokenizer": Layout("wordpiece", _SQUARE, *_TYPED, opens=""),
    "ElectraTokenizer": Layout("wordpiece", _SQUARE, *_TYPED, opens="", types=True),
    "MobileBertTokenizer": Layout("wordpiece", _SQUARE, *_TYPED, opens="", types=True),
    "MPNetTokenizer": Layout("wordpiece", {**_ANGLED, "unk": "[UNK]"}, "cls $A sep", "cls $A sep sep $B:1 sep:1"),
    "GPT2Tokenizer": Layout("bpe", {"bos": _END, "eos": _END, "unk": _END}, flags=(False, False)),
    "CodeGenTokenizer": Layout("bpe", {"bos": _END, "eos": _END, "unk": _END}, flags=(False, False)),
    "GPTNeoXTokenizer": Layout("bpe", {"bos": _END, "eos": _END, "unk": _END}, flags=(False, False)),
    "RobertaTokenizer": Layout("bpe", _ANGLED, *_DOUBLE),
    "BartTokenizer": Layout("bpe", _ANGLED, *_DOUBLE),
    "LongformerTokenizer": Layout("bpe", _ANGLED, *_DOUBLE),
    "LEDTokenizer": Layout("bpe", _ANGLED, *_DOUBLE),
    "DebertaTokenizer": Layout("bpe", {**_SQUARE, "bos": "[CLS]", "eos": "[SEP]"}, *_TYPED, types=True),
    "Qwen2Tokenizer": Layout("bpe", {"eos": _END, "pad": _END, "unk": _END}, split="qwen2"),
    "WhisperTokenizer": Layout("bpe", {"bos": _END, "eos": _END, "unk": _END},
                               "<|startoftranscript|> <|notimestamps|> $A eos",
                               "<|startoftranscript|> <|notimestamps|> $A $B:1 eos"),
    "CLIPTokenizer": Layout("bpe", {"bos": "<|startoftext|>", "eos": _END, "unk": _END, "pad": _END},
                            "bos $A eos", "bos $A eos eos $B eos", split="clip"),
    "OpenAIGPTTokenizer": Layout("bpe", {"unk": "<unk>"}, split="words"),
    "LlamaTokenizer": Layout("pieces", _LLAMA, flags=(True, False)),
    "CodeLlamaTokenizer": Layout("pieces", _LLAMA, flags=(True, False)),
    "GemmaTokenizer": Layout("pieces", {"bos": "<bos>", "eos": "<eos>", "unk": "<unk>", "pad": "<pad>"},
                             flags=(True, False)),
    "T5Tokenizer": Layout("pieces", {"eos": "</s>", "unk": "<unk>", "pad": "<pad>"},
                          "$A eos", "$A eos $B eos", extra=100),
    "MT5Tokenizer": Layout("pieces", {"eos": "</s>", "unk": "<unk>", "pad": "<pad>"},
                           "$A eos", "$A eos $B eos", extra=0),
    "XLMRobertaTokenizer": Layout("pieces", _ANGLED, *_DOUBLE, shift="xlm_roberta"),
    "CamembertTokenizer": Layout("pieces", _ANGLED, *_DOUBLE, shift="camembert"),
    "AlbertTokenizer": Layout("pieces", _ALBERT, *_TYPED, shift="albert", types=True),
    "DebertaV2Tokenizer": Layout("pieces", {**_SQUARE, "bos": "[CLS]", "eos": "[SEP]"}, *_TYPED, opens="", types=True),
    "BigBirdTokenizer": Layout("pieces", {**_LLAMA, "sep": "[SEP]", "cls": "[CLS]", "mask": "[MASK]", "pad": "<pad>"},
                               *_TYPED),
    "MarianTokenizer": Layout("marian", {"eos": "</s>", "unk": "<unk>", "pad": "<pad>"}, "$A eos", "$A $B eos"),
}  # fmt: skip

# A SentencePiece model of a class that is not named above keeps the ids of its rows and adds nothing by itself.
PLAIN_PIECES = Layout("pieces", {}, flags=(False, False))

# The class of folders that name none, by the model_type in config.json.
BY_MODEL = {
    "albert": "AlbertTokenizer", "bart": "BartTokenizer", "bert": "BertTokenizer", "big_bird": "BigBirdTokenizer",
    "camembert": "CamembertTokenizer", "clip": "CLIPTokenizer", "clip_text_model": "CLIPTokenizer",
    "deberta": "DebertaTokenizer", "deberta-v2": "DebertaV2Tokenizer", "distilbert": "DistilBertTokenizer",
    "electra": "ElectraTokenizer", "gemma": "GemmaTokenizer", "gemma2": "GemmaTokenizer",
    "gemma3": "GemmaTokenizer", "gemma3_text": "GemmaTokenizer", "gpt2": "GPT2Tokenizer", "led": "LEDTokenizer",
    "llama": "LlamaTokenizer", "longformer": "LongformerTokenizer", "marian": "MarianTokenizer",
    "mistral": "LlamaTokenizer", "mixtral": "LlamaTokenizer", "mobilebert": "MobileBertTokenizer",
    "mpnet": "MPNetTokenizer", "mt5": "MT5Tokenizer", "openai-gpt": "OpenAIGPTTokenizer", "opt": "GPT2Tokenizer",
    "phi": "CodeGenTokenizer", "phi3": "LlamaTokenizer", "qwen2": "Qwen2Tokenizer", "qwen2_moe": "Qwen2Tokenizer",
    "qwen3": "Qwen2Tokenizer", "qwen3_moe": "Qwen2Tokenizer", "roberta": "RobertaTokenizer", "t5": "T5Tokenizer",
    "whisper": "WhisperTokenizer", "xlm-roberta": "XLMRobertaTokenizer",
}  # fmt: skip

# Classes whose files look like others but whose text or ids go through code that is not written here.
REFUSED = {
    "FSMTTokenizer": "it normalises and splits text with Moses' scripts, and has a vocabulary for each side",
    "BertJapaneseTokenizer": "it splits text with MeCab", "BertweetTokenizer": "it rewrites tweets by rules of its own",
    "PhobertTokenizer": "its text must be segmented into words first", "TransfoXLTokenizer": "its vocabulary is a pickle",
    "MBartTokenizer": "its ids are shifted and followed by languages",
    "MBart50Tokenizer": "its ids are shifted and followed by languages",
    "NllbTokenizer": "its ids are shifted and followed by languages",
    "M2M100Tokenizer": "its ids come from two files and languages",
    "SeamlessM4TTokenizer": "its ids are shifted and followed by languages",
    "Speech2TextTokenizer": "its ids come from two files", "BarthezTokenizer": "its ids come from two files",
    "PegasusTokenizer": "its ids are shifted by 103 masks", "XGLMTokenizer": "its ids are shifted by made-up words",
    "XLNetTokenizer": "it takes numbers apart by rules of its own", "CpmTokenizer": "it segments Chinese with jieba",
    "ReformerTokenizer": "its ids are not verified here", "RemBertTokenizer": "its ids are not verified here",
    "SplinterTokenizer": "it adds a question token", "FunnelTokenizer": "it uses token type 2",
    "BlenderbotSmallTokenizer": "it rewrites text by rules of its own", "XLMTokenizer": "it splits text with Moses' scripts",
    "CTRLTokenizer": "it splits text by rules of its own", "FlaubertTokenizer": "it splits text with Moses' scripts",
    "HerbertTokenizer": "it splits text by rules of its own", "EsmTokenizer": "it splits at its tokens, not into words",
    "RoFormerTokenizer": "it segments Chinese with jieba",
}  # fmt: skip
