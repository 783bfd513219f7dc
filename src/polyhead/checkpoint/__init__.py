"""Files of weights and runs: safetensors in and out, checkpoints that survive anything, and nothing pickled.

tensors.py  one safetensors file, checked before it is believed
layout.py   one safetensors file, written
source.py   a Hugging Face folder as files: config, tensors across shards, side files
legacy.py   pickled weights, on request alone and in a process of its own
folder_out.py  a Hugging Face folder, written: shards, index, config
folder.py   a stranger's folder, read by plain names and within limits
hub.py      owner/name -> folder
store.py    write the checkpoints of a run, keep the last few
saved.py    find the newest whole one, and read it
manifest.py what makes a folder a checkpoint
files.py    atomic text and JSON
lines.py    metrics.jsonl
lock.py     one writer per run
"""

from polyhead.checkpoint.files import need_space, write_json, write_text
from polyhead.checkpoint.folder import Folder
from polyhead.checkpoint.folder_out import later, write_hf
from polyhead.checkpoint.hub import near_folders, resolve
from polyhead.checkpoint.layout import Later, Written, write_tensors
from polyhead.checkpoint.lines import JsonLines
from polyhead.checkpoint.lock import lock
from polyhead.checkpoint.manifest import FORMAT_VERSION
from polyhead.checkpoint.saved import Saved, latest, steps
from polyhead.checkpoint.source import Lazy, Source, Tensors, open_source
from polyhead.checkpoint.store import save
from polyhead.checkpoint.tensors import Entry, Header, read_header, read_tensors

__all__ = [
    "FORMAT_VERSION",
    "Entry",
    "Folder",
    "Header",
    "JsonLines",
    "Later",
    "Lazy",
    "Saved",
    "Source",
    "Tensors",
    "Written",
    "later",
    "latest",
    "lock",
    "near_folders",
    "need_space",
    "open_source",
    "read_header",
    "read_tensors",
    "resolve",
    "save",
    "steps",
    "write_hf",
    "write_json",
    "write_tensors",
    "write_text",
]
