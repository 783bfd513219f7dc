"""LOGITS → TEXT. Reading order: model (what users hold), write (the loop), engine (prefill and step), sample, stop, beam;
prompt turns text into what a model reads, senses (speech) are for models that see or hear, folder keeps models on disk;
lm_eval is for EleutherAI's harness and imported by itself."""

from .beam import Beam, Hypothesis, beam_search
from .engine import Engine, State
from .folder import Parts, read_folder, weights, write_folder
from .model import Model, load
from .sample import Draws, History, Sampling, sample
from .stop import Generation, Limits, Row, StopStrings
from .write import write

__all__ = [
    "Beam",
    "Draws",
    "Engine",
    "Generation",
    "History",
    "Hypothesis",
    "Limits",
    "Model",
    "Parts",
    "Row",
    "Sampling",
    "State",
    "StopStrings",
    "beam_search",
    "load",
    "read_folder",
    "sample",
    "weights",
    "write",
    "write_folder",
]
