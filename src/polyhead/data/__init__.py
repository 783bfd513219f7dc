"""2. TOKENS → BATCH: sources, packing, objectives, and a loader whose order is a pure function of the step.

sources.py      open_source: what the user names → documents or pairs; holdout → training and validation part
opening.py      which files are meant, and are they text, pairs, rows or a data set?
parallel.py     two parallel files, side by side
files.py        a path → its files, and what each of them is
readers.py      one file → documents, pairs or rows
rows.py         rows of JSONL, CSV, TSV, Parquet
tally.py        what happens to broken ones
shapes.py       what rows are, told from the first of them
columns.py      which columns are meant
reading.py      what was asked for, and what was found
examples.py     the record types beyond text and pairs
pictures.py     pictures in folders and in columns, decoded
arrays.py       pictures as arrays: idx files and .npz
chats.py        conversations and preferences, in the spellings of the public sets
naming.py       a data set, its subset and its part in one string
hub.py          data sets through the `datasets` library
library.py      a corpus every machine has: its own Python's library
corpus.py       a corpus that can be read again and again; the survey that reads it first
holdout.py      which document belongs to which part
pieces.py       text in bounded memory
labelled.py     rows of texts and labels
tagged.py       CoNLL, CoNLL-U, and rows of words and tags
tags.py         IOB1, IOB2, BIOES, and spans
questions.py    SQuAD, and rows of questions
packing.py      pack: a source → a packed corpus, made once
tokenfile.py    the packed corpus: its format, TokenFile and PairFile
encoding.py     examples → columns of ids
encoding_turns.py, encoding_pictures.py     conversations and preferences, and pictures, likewise
classes.py      the classes of a set, and their numbers
examplefile.py  packed examples: their format
order.py        the order of samples: a bijection, no table, no state
objectives/     packed corpus → Batch: causal, prefix, masked, corrupted, denoising,
                contrast, similar, seq2seq, instruct, prefer, pictures, classify, tag, answer
images.py       pictures → pixels, as a published model's processor makes them
sound.py        waveforms → frames of a log-mel spectrum, likewise
showing.py      a row of a batch, as people read it
loader.py       samples → steps, over ranks and micro-batches
"""

from __future__ import annotations

from .examplefile import ExampleFile
from .loader import Loader
from .objectives import (
    Answer,
    Augment,
    Causal,
    Classify,
    Contrast,
    Corrupted,
    Denoising,
    Instruct,
    Masked,
    Objective,
    Pictures,
    Prefer,
    Prefix,
    Seq2Seq,
    Similar,
    Tag,
)
from .packing import pack
from .sources import Pair, Piece, Source, open_source
from .tokenfile import PairFile, TokenFile

__all__ = [
    "Answer",
    "Augment",
    "Causal",
    "Classify",
    "Contrast",
    "Corrupted",
    "Denoising",
    "ExampleFile",
    "Instruct",
    "Loader",
    "Masked",
    "Objective",
    "Pair",
    "PairFile",
    "Pictures",
    "Piece",
    "Prefer",
    "Prefix",
    "Seq2Seq",
    "Similar",
    "Source",
    "Tag",
    "TokenFile",
    "open_source",
    "pack",
]
