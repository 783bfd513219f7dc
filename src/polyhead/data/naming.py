"""What stands in one string: a path, or a data set with its subset and its part.

    owner/name   owner/name:subset   owner/name[validation]   owner/name:subset[train[:90%]]   folder[validation]
A path that exists is taken as it is. The part is a name, or a slice as the `datasets` library writes it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from ..errors import ConfigError
from .files import looks_like_file

Where = str | os.PathLike[str]
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*\Z")
_NAMED = re.compile(r"(?P<place>[^\[\]]+?)(:(?P<subset>[^:/\\\[\]]+))?(\[(?P<part>.+)\])?\Z")


class Place(NamedTuple):
    """A path or a name on the Hub, and what of it is meant. name: as it was written."""

    where: Where
    hub: bool
    subset: str | None
    part: str | None

    @property
    def name(self) -> str:
        subset = "" if self.subset is None else f":{self.subset}"
        return f"{os.fspath(self.where)}{subset}" + ("" if self.part is None else f"[{self.part}]")


def place_of(where: Where, subset: str | None = None, part: str | None = None) -> Place:
    """What `where` names. subset, part: given beside it. Raises ConfigError where both say different things."""
    if isinstance(where, str) and not Path(where).expanduser().exists() and (match := _NAMED.match(where)):
        place = match["place"]
        hub = bool(_HUB.match(place)) and not looks_like_file(Path(place)) and not Path(place).exists()
        if hub or match["subset"] is None:  # a colon is no sign in a path
            return Place(place, hub, _agreed("subset", match["subset"], subset, where), _agreed("part", match["part"], part, where))
    return Place(where, False, subset, part)


def _agreed(what: str, own: str | None, given: str | None, where: str) -> str | None:
    if own is not None and given is not None and own != given:
        raise ConfigError(f"two {what}s are named", expected=f"one, such as {own!r} of {where}", received=given, change=f"leave {what} out")
    return given if own is None else own


def several(text: str) -> str | list[str]:
    """Names with commas between them as a list, one alone as it is. Commas within {} and [] belong to a name, and a path that
    exists is one name."""
    if "," not in text or Path(text).expanduser().exists():
        return text
    names, depth = [""], 0
    for sign in text:
        depth += (sign in "{[") - (sign in "}]")
        if sign == "," and depth <= 0:
            names.append("")
        else:
            names[-1] += sign
    return names if len(names) > 1 else text
