"""1. TEXT → TOKENS: tokenizers (train, load, save), and text files into strings.

    tokenizer.py    Tokenizer: encode, decode, stream, wrap, frame, render, chat, train, load, save
    kinds.py        what each kind does around its model; which kind a file is; whether it is lossless
    training.py     one function per kind, from a stream of texts to a tokenizer.json
    unigram.py      the Unigram trainer (EM and pruning)
    files.py        a stranger's files: found inside their folder, read within limits
    old.py          vocab.txt, vocab.json + merges.txt, SentencePiece models → the content of a tokenizer.json
    layouts.py      what those files leave unsaid, by class: special tokens, templates, order of the ids
    protobuf.py     SentencePiece's model file
    charsmap.py     SentencePiece's normaliser
    rows.py         its pieces as rows of a tokenizer.json, and its normaliser in front of the engine
    marian.py       two sides with one vocabulary
    offsets.py      where in the text, and in which word, each token stands
    wrap.py         [CLS] A [SEP] B [SEP] and the like
    chat.py         chat templates, rendered by chat_worker.py in a process of its own
    turns.py        conversations → ids, and which of them the assistant says; the default template
    export.py       the files beside a tokenizer.json, for transformers
    guard.py        checks on files; special tokens never come from plain text
    pieces.py       ids → bytes → text, whole or streamed
    read.py         files → text, in pieces of bounded size
    misencoded.py   UTF-8 that was read as something else: recognise and repair
"""

from polyhead.text.kinds import KINDS, ROLES, SPECIAL
from polyhead.text.misencoded import looks_misencoded, repair
from polyhead.text.pieces import Stream
from polyhead.text.read import cut_point, read_chunks, read_text
from polyhead.text.tokenizer import Tokenizer
from polyhead.text.training import SmallCorpusWarning

__all__ = ["KINDS", "ROLES", "SPECIAL", "SmallCorpusWarning", "Stream", "Tokenizer", "cut_point", "looks_misencoded",
           "read_chunks", "read_text", "repair"]  # fmt: skip
