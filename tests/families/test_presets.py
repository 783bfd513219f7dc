"""Names, files, overrides and vocabularies, and what a mistake in them gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from polyhead.errors import ConfigError
from polyhead.families import (
    defaults,
    for_objective,
    override,
    preset,
    presets,
    resolve,
    spec_from,
    with_context,
    with_vocab,
)
from polyhead.nn import ModelSpec


def refused(call: Any, *arguments: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        call(*arguments)
    return caught.value


def written(folder: Path, data: Any, name: str = "spec.json") -> Path:
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


# ---------------------------------------------------------------- presets


def test_a_preset_is_frozen_and_the_same_object_each_time() -> None:
    spec = preset("gpt2")
    assert spec is preset("gpt2") and isinstance(spec, ModelSpec)
    with pytest.raises(ValidationError):
        spec.context = 5


@pytest.mark.parametrize("name", presets())
def test_a_preset_survives_json(name: str) -> None:
    assert ModelSpec.model_validate_json(preset(name).model_dump_json()) == preset(name)
    assert spec_from(preset(name).model_dump(mode="json")) == preset(name)


def test_an_unknown_name_gets_the_nearest() -> None:
    error = refused(preset, "gpt2-smal")
    assert "gpt2-small" not in str(error) and error.change.startswith("did you mean gpt2")
    assert "llama-7b" in refused(preset, "LLaMA-7B").change
    assert refused(preset, "xyzzy").change == "polyhead show lists them"


@pytest.mark.parametrize(
    ("name", "why"),
    [("gpt-4", "2303.08774"), ("GPT4-turbo", "2303.08774"), ("gpt-4o-mini", "2410.21276"), ("gpt-3.5-turbo", "no paper"), ("o1-preview", "2412.16720"),
     ("claude-3-opus", "model cards"), ("gemini_1.5_pro", "2403.05530"), ("gpt-5", "system card")],
)  # fmt: skip
def test_an_unpublished_architecture_is_refused_as_such(name: str, why: str) -> None:
    error = refused(preset, name)
    assert "unpublished" in str(error) and why in str(error) and error.change.startswith("take ")


def test_defaults_are_a_copy_of_their_own() -> None:
    first = defaults("gpt-nano")
    first["training"]["optimizer"]["lr"] = 99
    first["training"]["optimizer"]["adamw"]["betas"].append(1)
    assert defaults("gpt-nano")["training"]["optimizer"]["lr"] == 0.03
    assert defaults("gpt-nano")["training"]["optimizer"]["adamw"]["betas"] == [0.8, 0.95]


@pytest.mark.parametrize("name", presets())
def test_defaults_fit_the_runs_configuration_and_the_shape(name: str) -> None:
    from polyhead.families import check
    from polyhead.train.config import TokenizerConfig, TrainingConfig

    found = defaults(name)
    training = check(TrainingConfig, found["training"])
    tokenizer = check(TokenizerConfig, found["tokenizer"])
    assert set(found["training"]) >= {"objective", "steps", "batch", "optimizer", "schedule"}
    kind = training.objective.kind
    if kind == "image":
        spec = training.objective.spec(preset(name), {"labels": list("abc"), "size": (32, 32), "channels": 3, "problem": "single"})
        assert next(iter(spec.heads.values())).output == 3 and spec.top.embedding.input.image == 32
        return
    if any(stack.embedding.vocab is None for stack in preset(name).stacks.values()):  # no objective hears
        assert "token ids" in str(refused(for_objective, preset(name), kind))
        return
    spec = for_objective(preset(name), kind)
    assert next(iter(spec.heads.values())).output == spec.top.embedding.vocab
    assert tokenizer.vocab_size in (None, *(stack.embedding.vocab for stack in spec.stacks.values()))


def test_the_transformer_follows_its_own_schedule() -> None:
    training = defaults("transformer-big")["training"]
    assert training["schedule"] == {"kind": "noam", "d_model": 1024, "warmup": 4000}
    assert training["optimizer"]["lr"] == 1.0 and training["label_smoothing"] == 0.1


# ---------------------------------------------------------------- files


def test_a_file_holds_a_whole_spec(tmp_path: Path) -> None:
    assert resolve(written(tmp_path, preset("t5-small").model_dump(mode="json"))) == preset("t5-small")
    assert resolve(str(written(tmp_path, preset("bert-base").model_dump_json()))) == preset("bert-base")
    assert resolve("gpt2") is preset("gpt2")


def test_a_file_starts_from_a_preset(tmp_path: Path) -> None:
    text = "preset: gpt-nano\ndecoder:\n  layers: 2\n  blocks.layer.attention.position.theta: 1e3\ncontext: 64\nvocab: 99\n"
    spec = resolve(written(tmp_path, text, "small.yaml"))
    assert (spec.decoder.layers, spec.context, spec.decoder.embedding.vocab, spec.heads["lm"].output) == (2, 64, 99, 99)
    assert spec.decoder.blocks["layer"].attention.position.theta == 1000.0
    assert spec.decoder.width == 128


def test_defaults_of_a_file(tmp_path: Path) -> None:
    started = written(tmp_path, {"preset": "gpt2", "vocab": 8000})
    assert defaults(started)["tokenizer"] == {"kind": "byte_bpe", "vocab_size": 8000}
    assert defaults(started)["training"] == defaults("gpt2")["training"]
    own = written(tmp_path, preset("distilbert-base").model_dump(mode="json"))
    assert defaults(own)["training"]["objective"] == "masked"
    assert defaults(own)["training"]["optimizer"]["kind"] == "adamw"
    assert defaults(own)["tokenizer"]["vocab_size"] == 30522


def test_yaml_reads_plain_words_as_a_person_means_them(tmp_path: Path) -> None:
    from polyhead.families import read

    text = "a: 3e-4\nb: off\nc: true\nd: 1.5\ne: 7\nf: no\ng: 2024-01-02\nh: -1E+2\n"
    assert read(written(tmp_path, text, "x.yaml")) == {
        "a": 3e-4, "b": "off", "c": True, "d": 1.5, "e": 7, "f": "no", "g": "2024-01-02", "h": -100.0,
    }  # fmt: skip


# ---------------------------------------------------------------- mistakes in them


def changed(path: str, value: Any, name: str = "gpt2") -> dict[str, Any]:
    data = preset(name).model_dump(mode="json")
    *inner, last = path.split(".")
    node = data
    for part in inner:
        node = node[part]
    node[last] = value
    return data


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("contxt", "context"),
        ("decoder.layrs", "decoder.layers"),
        ("decoder.blocks.layer.ffn.raito", "decoder.blocks.layer.ffn.ratio"),
        ("decoder.blocks.layer.attention.heads.kv_head", "decoder.blocks.layer.attention.heads.kv_heads"),
        ("decoder.embedding.position.ofset", "decoder.embedding.position.offset"),
        ("heads.lm.tide", "heads.lm.tied"),
        ("init.sdt", "init.std"),
    ],
)
def test_an_unknown_key_gets_its_path_and_the_nearest_name(path: str, nearest: str) -> None:
    error = refused(spec_from, changed(path, 3), "my.json")
    assert error.message.startswith(f"my.json: unknown key {path}")
    assert error.change == f"write {nearest}"
    assert nearest.rpartition(".")[2] in error.expected
    assert error.received == f"{path.rpartition('.')[2]} = 3 (a whole number)"


def test_the_unknown_keys_of_a_choice_are_its_own() -> None:
    """`interleaved` belongs to rotary, not to learned: only the chosen kind's keys are offered."""
    error = refused(spec_from, changed("decoder.embedding.position.interleaved", True))
    assert error.expected == "one of kind, length, offset, resize"


def test_a_misspelt_required_key_leads_the_report() -> None:
    data = changed("decoder.layrs", 12)
    del data["decoder"]["layers"]
    error = refused(spec_from, data)
    assert "unknown key decoder.layrs" in error.message.splitlines()[0]
    assert "also: decoder.layers is missing" in error.message


@pytest.mark.parametrize(
    ("path", "value", "expected", "received"),
    [
        ("decoder.layers", "12", "a valid integer", '"12" (a text)'),
        ("decoder.layers", True, "a valid integer", "true (true or false)"),
        ("decoder.layers", 1.5, "a valid integer", "1.5 (a number)"),
        ("decoder.width", 0, "greater than 0", "0 (a whole number)"),
        ("dropout.residual", 1.0, "less than 1", "1.0 (a number)"),
        ("decoder.layout", "layer", "a valid array", '"layer" (a text)'),
        ("decoder.layout", [], "at least 1 item", "[] (a list)"),
        ("decoder", [1], "an object", "[1] (a list)"),
        ("decoder.blocks.layer.ffn.act", "relu3", "relu | relu2", '"relu3" (a text)'),
        ("decoder.blocks.layer.norm.kind", "layr", "layer | rms", '"layr" (a text)'),
        ("decoder.layers", None, "a valid integer", "null"),
        ("decoder.blocks.layer.attention.heads.bias", "vq", "q?k?v?o?", '"vq" (a text)'),
        ("decoder.blocks.layer.norm.eps", float("nan"), "finite number", "NaN"),
        ("decoder.layers", 10**9, "less than or equal to 10000", "1000000000 (a whole number)"),
        ("version", 0, "greater than or equal to 1", "0"),
    ],
)
def test_a_wrong_value_gets_its_path_and_what_was_expected(path: str, value: Any, expected: str, received: str) -> None:
    error = refused(spec_from, changed(path, value), "my.json")
    assert error.message.startswith(f"my.json: {path} ")
    assert expected in error.expected and received in error.received
    assert error.change


def test_a_wrong_choice_gets_the_nearest() -> None:
    assert refused(spec_from, changed("decoder.blocks.layer.ffn.act", "gelu_tan")).change == "write gelu_tanh"
    assert refused(spec_from, changed("decoder.blocks.layer.norm.kind", "layr")).change == "write layer"
    error = refused(spec_from, changed("decoder.final_norm", {"eps": 1e-5}))
    assert error.message.endswith("decoder.final_norm.kind is missing") and "layer | rms" in error.expected


def test_heads_that_do_not_divide() -> None:
    error = refused(spec_from, changed("decoder.width", 770), "my.json")
    assert error.message == "my.json: decoder: heads must divide the width"
    assert error.received == "width 770 and 12 heads"
    assert error.change == "change heads to a divisor of 770, or give head_dim"
    assert "kv_heads must divide heads" in str(refused(override, preset("gpt2"), {"decoder.blocks.layer.attention.heads.kv_heads": 5}))


def test_a_window_on_cross_attention() -> None:
    error = refused(override, preset("t5-small"), {"decoder.blocks.layer.cross.pattern": {"kind": "window", "back": 3}})
    assert "cross-attention sees the whole source" in error.message
    assert (error.expected, error.received) == ("pattern full", "window")
    assert error.change.startswith("put windows on the self-attention")


def test_a_spec_of_a_newer_version(tmp_path: Path) -> None:
    data = changed("version", 2) | {"hologram": {"kind": "unheard of"}}
    error = refused(resolve, written(tmp_path, data))
    assert "written by a newer polyhead: format 2, this program reads 1" in str(error)
    assert "newer" in str(refused(spec_from, {"preset": "gpt2", "version": 2}))


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        ("{", "a.json", "is not valid JSON"),
        ("", "a.json", "is not valid JSON"),
        ("[1, 2]", "a.json", "does not hold a mapping"),
        ("", "a.yaml", "does not hold a mapping"),
        ("a: [1", "a.yaml", "is not valid YAML"),
        ("!!python/object/apply:os.system ['true']", "a.yaml", "is not valid YAML"),
        ("? [a, b]\n: 1", "a.yaml", "is not valid YAML"),
        ("[" * 100_000, "a.json", "is not valid JSON"),
        ("[" * 500_000, "a.yaml", "nested too deeply"),
        ("a: &a [1]\nb: *a\n", "a.yaml", "uses a YAML alias"),
        ("preset: [gpt2]", "a.yaml", "preset is not a name"),
        ("preset: gpt22", "a.yaml", "there is no preset 'gpt22'"),
        ("preset: gpt2", "a.txt", "is not a configuration by its name"),
        ("preset: gpt2\n2024-01-02: 5", "a.yaml", "unknown key 2024-01-02"),
        ("preset: gpt2\nnull: 5", "a.yaml", "unknown key"),
        ("preset: gpt2\n!!binary aGk=: 5", "a.yaml", "unknown key"),
        ("{}", "a.json", "context is missing"),
    ],
)
def test_a_file_that_is_no_spec(tmp_path: Path, text: str, name: str, says: str) -> None:
    assert says in str(refused(resolve, written(tmp_path, text, name)))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "no such file" in str(refused(resolve, tmp_path / "none.json"))
    (tmp_path / "folder.json").mkdir()
    assert "cannot read" in str(refused(resolve, tmp_path / "folder.json"))
    (tmp_path / "latin.json").write_bytes(b'{"preset": "gpt\xe4"}')
    assert "is not text" in str(refused(resolve, tmp_path / "latin.json"))
    big = written(tmp_path, '{"family": "' + "x" * 1_000_001 + '"}')
    assert "too big" in str(refused(resolve, big))


def test_h_aliases_that_unfold_to_gigabytes_are_refused_unread(tmp_path: Path) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert "alias" in str(refused(resolve, written(tmp_path, "\n".join(rows), "bomb.yaml")))


# ---------------------------------------------------------------- overrides


def test_override_by_dotted_path() -> None:
    spec = override(preset("gpt-nano"), {"decoder.layers": 8, "decoder.width": 256})
    assert (spec.decoder.layers, spec.decoder.width) == (8, 256)
    assert spec.params().total > 5_000_000 and preset("gpt-nano").decoder.layers == 4
    assert override(preset("gpt-nano"), {}) is preset("gpt-nano")


def test_a_new_kind_starts_anew_whatever_the_order() -> None:
    changes = {"decoder.blocks.layer.ffn.inner": 340, "decoder.blocks.layer.ffn.kind": "gated"}
    for pairs in (changes, dict(reversed(changes.items()))):
        ffn = override(preset("gpt2"), pairs).decoder.blocks["layer"].ffn
        assert (ffn.kind, ffn.act, ffn.inner, ffn.ratio, ffn.bias) == ("gated", "silu", 340, None, False)
    whole = override(preset("gpt-nano"), {"decoder.final_norm.eps": 1e-4, "decoder.final_norm": {"kind": "rms"}})
    assert whole.decoder.final_norm.gain == "weight" and whole.decoder.final_norm.eps == 1e-4


def test_an_empty_mapping_clears_before_it_is_filled() -> None:
    block = preset("gpt2").decoder.blocks["layer"].model_dump(mode="json")
    spec = override(preset("gpt2"), {"decoder.blocks": {}, "decoder.layout": ["mine"], "decoder.blocks.mine": block})
    assert list(spec.decoder.blocks) == ["mine"]


def test_an_override_into_nothing_or_into_a_value() -> None:
    error = refused(override, preset("gpt2"), {"decodr.layers": 3})
    assert "unknown key decodr" in error.message and error.change == "write decoder.layers"
    error = refused(override, preset("gpt2"), {"decoder.layers.deep": 3})
    assert "points into a single value" in error.message and "decoder.layers" in error.change
    assert "encoder.width is missing" in str(refused(override, preset("gpt2"), {"encoder.layers": 3}))
    assert "vocab does not fit" in str(refused(override, preset("gpt2"), {"vocab": "many"}))


@pytest.mark.parametrize("name", presets())
def test_with_vocab_changes_it_everywhere(name: str) -> None:
    spec = with_vocab(preset(name), 77)
    assert all(stack.embedding.vocab == 77 for stack in spec.stacks.values() if stack.embedding.vocab)
    assert all(head.output == 77 for head in spec.heads.values() if head.task in ("lm", "mlm"))
    old = preset(name).params().parts
    grown = {part for part, n in spec.params().parts.items() if n != old[part]}
    assert bool(grown) == any(stack.embedding.vocab for stack in spec.stacks.values()) and all(part.endswith(".embedding") or part.startswith("heads.") for part in grown)
    assert override(preset(name), {"vocab": 77}) == spec


def test_with_context_gives_learned_tables_as_many_rows() -> None:
    assert with_context(preset("gpt2"), 2048).decoder.embedding.position.length == 2048
    assert override(preset("gpt2"), {"context": 64}).params().total == 124_439_808 - (1024 - 64) * 768
    assert with_context(preset("roberta-base"), 64).params().total == 124_645_632 - (512 - 64) * 768
    assert with_context(preset("llama-nano"), 9999).params() == preset("llama-nano").params()


# ---------------------------------------------------------------- objectives


def test_the_masked_head_is_berts() -> None:
    """dense d² + d, norm 2d, a bias per word, a tied matrix: 622,650 more than the bare encoder for bert-base."""
    spec = for_objective(preset("bert-base"), "masked")
    assert list(spec.heads) == ["mlm"]
    assert spec.params().parts["heads.mlm"] == 768 * 768 + 768 + 2 * 768 + 30522
    assert spec.heads["mlm"].act == "gelu" and spec.heads["mlm"].norm.eps == 1e-12
    albert = for_objective(preset("albert-base-v2"), "masked")
    assert albert.heads["mlm"].dense == 128 and albert.heads["mlm"].act == "gelu_tanh"
    assert for_objective(preset("gpt2"), "causal") is preset("gpt2")
    tagged = override(preset("bert-nano"), {"heads.tags": {"task": "tag", "output": 9}})
    assert list(for_objective(tagged, "masked").heads) == ["mlm"]


@pytest.mark.parametrize(
    ("name", "objective", "instead"),
    [("gpt2", "masked", "causal"), ("bert-base", "causal", "masked"), ("t5-small", "causal", "seq2seq"), ("gpt2", "seq2seq", "causal")],
)
def test_an_objective_that_does_not_fit(name: str, objective: str, instead: str) -> None:
    error = refused(for_objective, preset(name), objective)
    assert "does not fit this architecture" in error.message and error.change == f"train it with objective {instead}"


def test_a_decoder_that_looks_ahead_is_not_trained_causally() -> None:
    spec = override(preset("gpt2"), {"decoder.blocks.layer.attention.pattern": {"kind": "full"}})
    assert "looks ahead" in str(refused(for_objective, spec, "causal"))
    assert refused(for_objective, preset("gpt2"), "casual").change == "write causal"
