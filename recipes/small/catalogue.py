"""Every small recipe by its name."""

from __future__ import annotations

from .arithmetic import ARITHMETIC
from .autocomplete import AUTOCOMPLETE
from .base import Small
from .chat import CHAT
from .code import CODE
from .grammar import GRAMMAR
from .needle import NEEDLE
from .sequences import SEQUENCES
from .shapes import PICTURES
from .verbs import INSTRUCTIONS

_ALL = (SEQUENCES, INSTRUCTIONS, ARITHMETIC, CHAT, GRAMMAR, AUTOCOMPLETE, CODE, PICTURES, NEEDLE)
RECIPES: dict[str, Small] = {recipe.name: recipe for recipe in _ALL}
