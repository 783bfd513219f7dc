"""The files beside a tokenizer.json: what transformers (4.57 and 5) must be told to give the same ids, chat templates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyhead.errors import TokenizerError
from polyhead.text.files import MAX_CONFIG, inside, optional_json, read_text, write
from polyhead.text.layouts import LAYOUTS
from polyhead.text.wrap import Frame

CONFIG, MAP, JINJA, MORE = ("tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
                            "additional_chat_templates")  # fmt: skip
# Keys of a configuration that name code, places on somebody's disk, or what tokenizer.json says itself.
_DROPPED = {"auto_map", "trust_remote_code", "tokenizer_file", "name_or_path", "vocab_file", "merges_file",
            "special_tokens_map_file", "_commit_hash", "added_tokens_decoder", "chat_template", "backend",
            "is_local", "fast_tokenizer_files"}  # fmt: skip
_MAX_TEMPLATES = 64


def exported_config(
    config: Mapping[str, Any],
    roles: Mapping[str, str],
    frame: Frame,
    prefix_space: bool | None,
    templates: Mapping[str, str],
    max_length: int | None,
) -> dict[str, Any]:
    """A tokenizer_config.json. The class is the one that runs tokenizer.json as it stands: others build their own."""
    layout = LAYOUTS.get(str(config.get("tokenizer_class")).removesuffix("Fast"))
    typed = layout.types if layout else any(part.type for part in frame.pair) and frame.single[0].text == ""
    names = ["input_ids", *(["token_type_ids"] if typed else []), "attention_mask"]
    kept = {key: value for key, value in config.items() if key not in _DROPPED and not key.endswith("_token")}
    kept = {"clean_up_tokenization_spaces": False, "model_input_names": names, **kept}
    kept |= {"tokenizer_class": "PreTrainedTokenizerFast"}
    if prefix_space is not None:
        kept["add_prefix_space"] = prefix_space  # else 4.57 sets the pre-tokeniser's to false
    if max_length is not None:
        kept["model_max_length"] = max_length
    kept |= {f"{role}_token": token for role, token in roles.items()}
    if templates:
        several = [{"name": name, "template": text} for name, text in templates.items()]
        kept["chat_template"] = templates["default"] if list(templates) == ["default"] else several
    return kept


def write_beside(folder: Path, config: Mapping[str, Any], templates: Mapping[str, str]) -> None:
    """The configuration, the older map of special tokens, and the template as a file of its own if there is one."""
    write(folder / CONFIG, json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    special = {key: value for key, value in config.items() if key.endswith("_token") and isinstance(value, str)}
    write(folder / MAP, json.dumps(special, indent=2, ensure_ascii=False) + "\n")
    if list(templates) == ["default"]:
        write(folder / JINJA, templates["default"])
    else:
        (folder / JINJA).unlink(missing_ok=True)  # it would be read instead of the ones in the configuration


def write_files(path: Path, files: Mapping[str, bytes], config: Mapping[str, Any]) -> Path:
    """The files a tokenizer was read from, for one that no tokenizer.json can hold."""
    if path.name != "tokenizer.json":
        raise TokenizerError("this tokenizer cannot be written as one file", expected="a folder", received=str(path))
    for name, data in files.items():
        write(path.parent / name, data)
    write_beside(path.parent, {**config, "tokenizer_class": "MarianTokenizer"}, {})
    return path.parent / next(iter(files))


def files_templates(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """The templates in files of their own, as `chat_template` would list them; they go before the configuration's."""
    found = {}
    if path := inside(folder, JINJA):
        found["default"] = read_text(path, MAX_CONFIG)
    if (folder / MORE).is_dir():
        for entry in sorted((folder / MORE).glob("*.jinja"))[:_MAX_TEMPLATES]:
            if path := inside(folder, f"{MORE}/{entry.name}"):
                found[entry.stem] = read_text(path, MAX_CONFIG)
    if not found and config.get("chat_template") is None:
        return {"chat_template": optional_json(folder, "chat_template.json").get("chat_template")}
    return {"chat_template": [{"name": name, "template": text} for name, text in found.items()]} if found else {}


def read_templates(config: Mapping[str, Any], where: str) -> dict[str, str]:
    """Templates by name, of a `chat_template`: one text, or a list of {"name", "template"}."""
    given = config.get("chat_template")
    if given is None:
        return {}
    if isinstance(given, str):
        return {"default": given}
    rows = given if isinstance(given, list) else []
    named = {row["name"]: row["template"] for row in rows if isinstance(row, dict)
             and isinstance(row.get("name"), str) and isinstance(row.get("template"), str)}  # fmt: skip
    if not named or len(named) < len(rows) or len(rows) > _MAX_TEMPLATES:
        raise TokenizerError(f"{where}: chat_template cannot be read", received=repr(given)[:120],
                             expected=f'a text, or up to {_MAX_TEMPLATES} objects with "name" and "template"')  # fmt: skip
    return named
