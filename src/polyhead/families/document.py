"""A JSON or YAML file a person wrote, as plain data: small, UTF-8, one mapping, and hostile until proven otherwise."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigError

LIMIT = 1_000_000  # bytes; the largest spec of ours is 6 kB
DEPTH = 100  # levels of nesting; PyYAML's time grows with their square, and no spec has twenty
SUFFIXES = (".json", ".yaml", ".yml")


class _Loader(yaml.SafeLoader):
    """Plain words as YAML 1.2 and JSON read them: 3e-4 is a number; on, off, yes, no and dates are text."""

    yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in pairs if tag.rpartition(":")[2] not in ("bool", "timestamp")]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


for _tag, _form, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("float", r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$", "-+0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_form), list(_first))


def read(path: str | Path) -> dict[str, Any]:
    """The mapping in a .json, .yaml or .yml file. ConfigError for anything else: missing, not a file, above 1 MB, not
    UTF-8, not JSON or YAML, aliases (a few lines of them can unfold to gigabytes), not a mapping."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"{path} is not a configuration by its name",
            expected="a file that ends in .json, .yaml or .yml",
            received=path.suffix or "a name without an ending",
            change="rename it, or give a preset's name",
        )
    try:
        if not path.is_file():
            raise FileNotFoundError(path)
        size = path.stat().st_size
        raw = path.read_bytes() if size <= LIMIT else b""
    except OSError as error:
        what = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        raise ConfigError(f"cannot read {path}", expected="a readable file", received=what, change="check the path") from None
    if size > LIMIT:
        raise ConfigError(
            f"{path} is too big for a configuration",
            expected=f"at most {LIMIT:,} bytes",
            received=f"{size:,} bytes",
            change="is it the right file? A configuration holds choices, not weights or text",
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not text", expected="UTF-8", received=f"byte {raw[error.start]:#04x} at {error.start}", change="save it as UTF-8"
        ) from None
    return parse(text, json_only=path.suffix.lower() == ".json", source=str(path))


def parse(text: str, *, json_only: bool, source: str) -> dict[str, Any]:
    """The mapping a text holds; source names it in errors."""
    language = "JSON" if json_only else "YAML"
    try:
        data = json.loads(text) if json_only else _yaml(text, source)
    except (ValueError, TypeError, yaml.YAMLError, RecursionError) as error:
        received = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise ConfigError(f"{source} is not valid {language}", expected=language, received=received, change="correct it there") from None
    if not isinstance(data, dict):
        raise ConfigError(
            f"{source} does not hold a mapping",
            expected='names with values, such as {"preset": "gpt2"}',
            received="nothing" if data is None else f"a {type(data).__name__}",
            change="put the values under their names",
        )
    return data


def _yaml(text: str, source: str) -> Any:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise RecursionError
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(
                f"{source} uses a YAML alias (*{event.anchor})",
                expected="every value written out",
                received=f"an alias in line {event.start_mark.line + 1}",
                change="write the value itself there",
            )
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()
