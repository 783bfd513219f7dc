"""A tokenizer whose file says nothing of what stands around texts can be made to say so, here and in other programs."""

from __future__ import annotations

import pytest

from polyhead.errors import TokenizerError
from polyhead.text import Tokenizer
from tests.data.corpora import KINDS, trained


@pytest.mark.parametrize("kind", KINDS)
def test_framed(tmp_path, kind) -> None:
    plain = trained(kind)
    framed = plain.framed()
    cls, sep = plain.cls, plain.sep
    assert plain.wrap([7]) == ([7], [0])
    assert framed.wrap([7]) == ([cls, 7, sep], [0, 0, 0])
    assert framed.wrap([7], [8, 9]) == ([cls, 7, sep, 8, 9, sep], [0, 0, 0, 1, 1, 1])
    assert framed.encode("some text") == plain.encode("some text") and framed.fingerprint != plain.fingerprint
    assert framed.framed() is framed
    framed.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.wrap([7], [8]) == framed.wrap([7], [8]) and again.fingerprint == framed.fingerprint
    tokenizers = pytest.importorskip("tokenizers")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode("ab", "c")
    assert (theirs.ids, theirs.type_ids) == framed.wrap(plain.encode("ab"), plain.encode("c"))


def test_without_the_tokens_it_is_refused() -> None:
    bare = Tokenizer.train(["a b c"], "bytes", special=["<pad>", "<eos>"])
    with pytest.raises(TokenizerError, match="nothing to put around texts"):
        bare.framed()
