"""Files of weights and runs: safetensors in and out, checkpoints that survive anything, and nothing pickled.

tensors.py  one safetensors file, checked before it is believed
store.py    write the checkpoints of a run, keep the last few
saved.py    find the newest whole one, and read it
manifest.py what makes a folder a checkpoint
files.py    atomic text and JSON
lines.py    metrics.jsonl
lock.py     one writer per run
"""

from polyhead.checkpoint.files import need_space, write_json, write_text
from polyhead.checkpoint.lines import JsonLines
from polyhead.checkpoint.lock import lock
from polyhead.checkpoint.manifest import FORMAT_VERSION
from polyhead.checkpoint.saved import Saved, latest, steps
from polyhead.checkpoint.store import save
from polyhead.checkpoint.tensors import Entry, Header, Written, read_header, read_tensors, write_tensors

__all__ = [
    "FORMAT_VERSION",
    "Entry",
    "Header",
    "JsonLines",
    "Saved",
    "Written",
    "latest",
    "lock",
    "need_space",
    "read_header",
    "read_tensors",
    "save",
    "steps",
    "write_json",
    "write_tensors",
    "write_text",
]
