"""A family from outside the package: known after register(), refused where it is not whole, and never in another's way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import polyhead as ph
from polyhead.errors import ConfigError
from polyhead.families import by_family, presets, recipes, register
from polyhead.families.presets import FAMILIES
from polyhead.nn import Tokens
from tests.tiny import families_as_before

HF = {"types": ["heron"], "classes": {"HeronForCausalLM": ["lm"]}, "config": [["attention_bias", "bias", {False: "", True: "qkvo"}, True]]}
RECIPE = {"base": "llama", "values": {"vocab": 99, "context": 32, "bias": "qkvo"}, "hf": HF}
TINY = {"recipe": "heron", "width": 32, "layers": 2, "heads": 4, "inner": 48}


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    with families_as_before():
        yield


def test_its_presets_build_and_its_folders_go_out_and_come_in(tmp_path: Path) -> None:
    assert register("heron", {"heron": RECIPE}, {"heron-tiny": TINY}) == ["heron-tiny"]
    assert presets()[-1] == "heron-tiny" and by_family()["heron"] == ["heron-tiny"]
    net = ph.preset("heron-tiny").build(seed=0).eval()
    ph.Model(net).save(tmp_path, to="hf")
    again = ph.load(tmp_path)
    assert again.spec.family == "heron" and again.spec.decoder.blocks["layer"].attention.heads.bias == "qkvo"
    tokens = Tokens(torch.arange(8)[None])
    assert torch.equal(again.net(tokens), net(tokens))


def test_the_same_name_again_replaces_it() -> None:
    register("heron", {"heron": RECIPE}, {"heron-tiny": TINY})
    assert ph.preset("heron-tiny").decoder.layers == 2
    register("heron", {"heron": RECIPE}, {"heron-tiny": TINY | {"layers": 3}, "heron-wide": TINY | {"width": 64}})
    assert ph.preset("heron-tiny").decoder.layers == 3 and "heron-wide" in presets()
    register("heron", {"heron": RECIPE})
    assert "heron-tiny" not in presets() and "heron" in recipes()


def test_what_is_given_is_copied() -> None:
    own = {"heron-tiny": dict(TINY)}
    register("heron", {"heron": RECIPE}, own)
    own["heron-tiny"]["layers"] = 7
    assert ph.preset("heron-tiny").decoder.layers == 2


BARE = {"base": "llama", "values": RECIPE["values"]}
WRONG: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "a family of the package": ("llama", {}, {}, "there is a family llama already"),
    "a recipe of the package": ("heron", {"llama": RECIPE}, {}, "RECIPES has a name that is taken"),
    "a preset of the package": ("heron", {"heron": RECIPE}, {"gpt2": TINY}, "PRESETS has a name that is taken"),
    "a base that is not there": ("heron", {"heron": RECIPE | {"base": "egret"}}, {}, "'egret'"),
    "a base that is itself": ("heron", {"heron": RECIPE | {"base": "heron"}}, {}, "its own base"),
    "no base, and no spec": ("heron", {"heron": {"values": {}}}, {}, "spec is missing"),
    "a recipe that is not there": ("heron", {}, {"egret-tiny": TINY | {"recipe": "egret"}}, "'egret'"),
    "a section nobody reads": ("heron", {"heron": RECIPE | {"hg": HF}}, {}, "change: write hf"),
    "a key of hf nobody reads": ("heron", {"heron": BARE | {"hf": HF | {"class": {}}}}, {}, "class is not known"),
    "a class with an unknown head": ("heron", {"heron": BARE | {"hf": HF | {"classes": {"HeronForTagging": ["tags"]}}}}, {}, "received: tags"),
    "an op nobody has": ("heron", {"heron": BARE | {"hf": HF | {"config": [["bias", "bias", "@upside_down"]]}}}, {}, "received: @upside_down"),
    "a model_type that is read already": ("heron", {"heron": BARE | {"hf": HF | {"types": ["mistral"]}}}, {}, "mistral is read by mistral"),
    "a reference to nothing": ("heron", {"heron": RECIPE}, {"heron-tiny": {"recipe": "heron", "width": 32}}, "cannot be filled in"),
    "sizes that are no model": ("heron", {"heron": RECIPE}, {"heron-tiny": TINY | {"heads": 5}}, "preset heron-tiny"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_whole_is_refused_and_leaves_nothing_behind(what: str) -> None:
    name, own, models, words = WRONG[what]
    before = presets(), list(recipes()), list(FAMILIES)
    with pytest.raises(ConfigError) as caught:
        register(name, own, models)
    assert words in str(caught.value), str(caught.value)
    assert (presets(), list(recipes()), list(FAMILIES)) == before


def test_a_refused_replacement_leaves_the_old_one() -> None:
    register("heron", {"heron": RECIPE}, {"heron-tiny": TINY})
    with pytest.raises(ConfigError):
        register("heron", {"heron": RECIPE}, {"heron-tiny": TINY | {"heads": 5}})
    assert ph.preset("heron-tiny").decoder.blocks["layer"].attention.heads.heads == 4
