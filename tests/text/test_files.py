"""A stranger's folder: nothing outside it is read, nothing is waited for, nothing large is taken in."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from polyhead.errors import TokenizerError
from polyhead.text import Tokenizer
from polyhead.text.files import MAX_CONFIG, MAX_FILE
from tests.text.models import BPE, UNIGRAM, folder

VOCAB = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n"
KINDS = {"tokenizer.json": {}, "vocab.txt": VOCAB, "tokenizer.model": BPE, "spiece.model": UNIGRAM, "tokenizer_config.json": {"a": 1},
         "added_tokens.json": {}, "chat_template.jinja": "x", "config.json": {}, "special_tokens_map.json": {}}  # fmt: skip


def around(path: Path, name: str) -> Path:
    """A folder in which `name` is missing but would be read."""
    others = {"vocab.txt": VOCAB} if name in ("tokenizer_config.json", "added_tokens.json", "chat_template.jinja",
                                              "config.json", "special_tokens_map.json") else {}  # fmt: skip
    return folder(path, others)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in the file system")
@pytest.mark.parametrize("name", KINDS)
def test_pipes_and_folders_are_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(around(tmp_path / "a", name) / name)
    (around(tmp_path / "b", name) / name).mkdir()
    for place in ("a", "b"):
        with pytest.raises(TokenizerError, match=name):
            Tokenizer.load(tmp_path / place)


@pytest.mark.parametrize("name", KINDS)
def test_links_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    content = KINDS[name]
    folder(tmp_path / "outside", {"secret": content})
    (around(tmp_path / "a", name) / name).symlink_to("../outside/secret")
    with pytest.raises(TokenizerError, match="link out of its folder"):
        Tokenizer.load(tmp_path / "a")
    (around(tmp_path / "b", name) / name).symlink_to(name)
    with pytest.raises(TokenizerError, match=name):
        Tokenizer.load(tmp_path / "b")


def test_links_of_the_hubs_cache_are_followed(tmp_path: Path) -> None:
    folder(tmp_path / "blobs", {"1234": VOCAB})
    (tmp_path / "snapshots" / "main").mkdir(parents=True)
    (tmp_path / "snapshots" / "main" / "vocab.txt").symlink_to("../../blobs/1234")
    assert Tokenizer.load(tmp_path / "snapshots" / "main").encode("the") == [5]


@pytest.mark.parametrize("name", KINDS)
def test_giant_files_are_refused_before_they_are_read(tmp_path: Path, name: str) -> None:
    with (around(tmp_path, name) / name).open("wb") as file:
        file.truncate(1 << 33)  # 8 GB of nothing
    start = time.monotonic()
    with pytest.raises(TokenizerError, match="too large") as caught:
        Tokenizer.load(tmp_path)
    assert name in str(caught.value) and time.monotonic() - start < 1 and MAX_CONFIG < MAX_FILE


def test_a_line_of_megabytes_is_no_token(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="line 8 is no token"):
        Tokenizer.load(folder(tmp_path, {"vocab.txt": VOCAB + "a\n" + "b" * 5_000_000}))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    (folder(tmp_path, {"vocab.txt": VOCAB}) / "vocab.txt").chmod(0)
    with pytest.raises(TokenizerError, match="cannot be read"):
        Tokenizer.load(tmp_path)
