"""UTF-8 misread as something else, and undone."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from polyhead.text import looks_misencoded, repair

LINES = (
    "The score is divided by √dₖ, so the cost is O(n²) — not O(n).",
    "“It doesn’t depend on 𝑄, 𝐾 or ℎ”, she said… → that’s why ❌ or ✅.",
    "plain ASCII in between",
    "naïve café, größer, 灯台, a\u00a0b",
)
TEXT = "\n".join(LINES) + "\n"


def misread(text: str, encoding: str) -> str:
    """What a program shows that takes UTF-8 for `encoding`, undefined bytes as controls."""
    return "".join(bytes([byte]).decode(encoding, "ignore") or chr(byte) for byte in text.encode())


@pytest.mark.parametrize("encoding", ["mac_roman", "cp1252", "latin-1"])
def test_t16_misread_text_is_recognised_and_repaired(encoding: str) -> None:
    broken = misread(TEXT, encoding)
    assert broken != TEXT
    assert looks_misencoded(broken) == encoding
    assert repair(broken) == TEXT


def test_t16_every_line_goes_back_as_in_the_notes() -> None:
    broken = TEXT.encode().decode("mac_roman")
    assert [line.encode("mac_roman").decode() for line in broken.splitlines()] == repair(broken).splitlines()


@pytest.mark.parametrize("text", [TEXT, "", "ASCII only", "café", "À propos — ‘œuvre’ coûte 5 €", "Größe: 3 µm ± 2 °C", "灯台",
                                  "The bytes of é look like √© in Mac Roman — or Ã© elsewhere."])  # fmt: skip
def test_good_text_is_left_alone(text: str) -> None:
    assert looks_misencoded(text) is None and repair(text) == text


def test_one_line_that_does_not_go_back_keeps_the_whole() -> None:
    broken = misread(TEXT, "cp1252") + "but this line is a real “quotation”\n"
    assert looks_misencoded(broken) is None and repair(broken) == broken


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"])), encoding=st.sampled_from(["mac_roman", "cp1252", "latin-1"])
)
def test_repair_undoes_every_misreading(text: str, encoding: str) -> None:
    broken = misread(text, encoding)
    assume(looks_misencoded(broken) == encoding or text.isascii())
    assert repair(broken) == text


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    encoding=st.sampled_from(["mac_roman", "cp1252", "latin-1"]),
)
def test_every_misreading_is_recognised(text: str, encoding: str) -> None:
    assume(not text.isascii())
    assert looks_misencoded(misread(text, encoding)) is not None
