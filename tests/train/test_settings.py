"""From what was typed to one config: presets, recipes, overrides, and what may change on resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from polyhead.data.examples import KINDS
from polyhead.errors import ConfigError, TokenizerError
from polyhead.train import AdamWSpec, MuonSpec, RunConfig, TrainingConfig, build_config, parse_overrides
from polyhead.train.config import DataConfig
from polyhead.train.objectives import MaskedSpec
from polyhead.train.reading import open_data
from polyhead.train.settings import FREE_ON_RESUME, merge, read_config, settled, spec_of, validate
from tests.tiny import write_files

from .tiny import GPT


def write(folder: Path, tree: dict[str, Any], name: str = "recipe.yaml") -> str:
    path = folder / name
    path.write_text(yaml.safe_dump(tree))
    return str(path)


def test_a_preset_brings_working_defaults() -> None:
    for name in ("gpt-nano", "bert-nano", "transformer-nano", "gpt2", "t5-small", "bert-base"):
        made = build_config(name, "x.txt")
        assert made.training.steps > 0 and made.data.path == "x.txt" and made.data.holdout > 0
        assert made.training.every("eval_every") * 10 >= made.training.steps


def test_an_objective_that_nobody_names_is_left_to_model_and_data(tmp_path: Path) -> None:
    write_files(tmp_path)
    book, pair = str(tmp_path / "book.txt"), [str(tmp_path / "train.de"), str(tmp_path / "train.en")]
    found = [settled(build_config(n, d)).training.objective for n, d in (("gpt-nano", book), ("bert-nano", book), ("transformer-nano", pair))]
    assert [one.kind for one in found] == ["causal", "masked", "seq2seq"]
    asked = build_config("bert-nano", book, {"training.objective": "replaced", "training.objective.weight": 20})
    assert settled(asked) is asked and asked.training.objective.weight == 20


def test_a_config_of_format_1(tmp_path: Path) -> None:
    tree = {"model": "bert-nano", "data": {"path": "x"}, "training": {"objective": "masked", "mask_rate": 0.3}, "version": 1}
    made = read_config(Path(write(tmp_path, tree, "config.yaml")).parent)
    assert made.version == 2 and made.training.objective == MaskedSpec(rate=0.3)


def test_steps_and_times_over_the_data_replace_each_other() -> None:
    assert build_config("gpt-nano", "x", {"training.epochs": 2}).training.epochs == 2
    made = build_config("gpt-nano", "x", {"training.steps": 7})
    assert (made.training.steps, made.training.epochs) == (7, None)


def test_overrides_are_read_as_yaml() -> None:
    pairs = ["training.steps=500", "training.optimizer.lr=3e-3", "training.tensorboard=true", "seed=7", "data.columns=a,b",
             "training.sample_prompt=a: b", "training.ema=null", "training.compile=off", "tokenizer.path=C:\\x", "a=b=c"]  # fmt: skip
    assert parse_overrides(pairs) == {
        "training.steps": 500, "training.optimizer.lr": 0.003, "training.tensorboard": True, "seed": 7, "data.columns": "a,b",
        "training.sample_prompt": "a: b", "training.ema": None, "training.compile": "off", "tokenizer.path": "C:\\x", "a": "b=c",
    }  # fmt: skip
    for wrong in ("training.steps", "=5"):
        with pytest.raises(ConfigError, match="cannot read"):
            parse_overrides([wrong])


def test_overrides_land_in_their_sections_and_in_the_spec() -> None:
    made = build_config("gpt-nano", "x", GPT | {"training.steps": 5, "seed": 3, "training.optimizer.adamw.lr": 0.5})
    assert (made.training.steps, made.seed) == (5, 3)
    assert isinstance(made.training.optimizer, MuonSpec) and made.training.optimizer.adamw.lr == 0.5
    assert made.training.optimizer.adamw.betas == (0.8, 0.95), "the preset's other values stay"
    assert spec_of(made, 263).decoder.width == 16
    assert spec_of(build_config("gpt-nano", "x", {"training.context": 32}), 100).context == 32


def test_another_kind_starts_with_its_own_defaults_and_the_same_kind_keeps_the_presets() -> None:
    for value in ("adamw", {"kind": "adamw"}):
        made = build_config("gpt-nano", "x", {"training.optimizer": value, "training.optimizer.lr": 0.01})
        assert made.training.optimizer == AdamWSpec(lr=0.01)
    kept = build_config("gpt-nano", "x", {"training.optimizer": {"kind": "muon", "lr": 0.5}}).training.optimizer
    assert kept.lr == 0.5 and kept.adamw.lr == 0.01
    schedule = build_config("gpt-nano", "x", {"training.schedule": "linear"}).training.schedule
    assert schedule.kind == "linear" and schedule.warmup != 10


def test_merge_replaces_a_choice_of_another_kind() -> None:
    base = {"a": {"kind": "x", "p": 1}, "b": {"c": 1, "d": 2}}
    assert merge(base, {"a": {"kind": "y"}, "b": {"d": 3}}) == {"a": {"kind": "y"}, "b": {"c": 1, "d": 3}}
    assert merge(base, {"a": {"q": 2}})["a"] == {"kind": "x", "p": 1, "q": 2}
    assert base == {"a": {"kind": "x", "p": 1}, "b": {"c": 1, "d": 2}}


def test_a_recipe_is_a_config_that_overrides_go_on_top_of(tmp_path: Path) -> None:
    tree = {
        "model": "gpt-nano", "overrides": {"decoder.layers": 2}, "seed": 5, "data": {"path": "r.txt", "split": "line"},
        "tokenizer": {"kind": "chars"}, "training": {"steps": 9, "optimizer": {"kind": "adamw", "lr": 0.1}},
    }  # fmt: skip
    made = build_config(write(tmp_path, tree))
    assert (made.model, made.seed, made.data.path, made.training.steps) == ("gpt-nano", 5, "r.txt", 9)
    assert made.training.optimizer == AdamWSpec(lr=0.1) and made.overrides == {"decoder.layers": 2}
    made = build_config(write(tmp_path, tree), "other.txt", {"training.steps": 3, "model.decoder.layers": 1})
    assert (made.data.path, made.data.split, made.training.steps) == ("other.txt", "line", 3)
    assert made.overrides == {"decoder.layers": 1}


@pytest.mark.parametrize("how", ["word", "setting"])
def test_a_recipes_held_out_part_goes_with_its_data(tmp_path: Path, how: str) -> None:
    tree = {"model": "gpt-nano", "data": {"path": "owner/name", "validation": "owner/name[validation]", "columns": "text", "holdout": 0.2, "held": "last"}}
    recipe = write(tmp_path, tree)

    def built(path: str, **more: Any) -> tuple[RunConfig, list[str]]:
        notes: list[str] = []
        more = {f"data.{name}": value for name, value in more.items()}
        word, setting = (path, more) if how == "word" else (None, more | {"data.path": path})
        return build_config(recipe, word, setting, notes), notes

    made, notes = built("local.tsv")
    assert (made.data.validation, made.data.holdout, made.data.columns) == (None, 0.2, "text")
    assert len(notes) == 1 and all(word in notes[0] for word in ("owner/name[validation]", "local.tsv", "last share 0.2"))
    assert built("local.tsv", holdout=0.5)[1][0].count("share 0.5")
    made, notes = built("local.tsv", validation="dev.tsv")
    assert made.data.validation == "dev.tsv" and not notes
    for made, notes in (built("owner/name"), built("local.tsv", validation="owner/name[validation]")):
        assert made.data.validation == "owner/name[validation]" and not notes
    assert build_config(recipe).data.validation == "owner/name[validation]"
    assert build_config("gpt-nano", "x", {"data.validation": "dev"}).data.validation == "dev"


def test_the_kind_of_data_is_named_where_its_shape_leaves_several(tmp_path: Path) -> None:
    assert set(get_args(get_args(DataConfig.model_fields["kind"].annotation)[0])) == set(KINDS)
    (tmp_path / "sums.tsv").write_text("Source\tTarget\n" + "".join(f"[MAX {i} {i % 7} ]\t{max(i, i % 7)}\n" for i in range(40)))
    recipe = write(tmp_path, {"model": "bert-nano", "data": {"path": str(tmp_path / "sums.tsv"), "kind": "labelled"}})
    made = settled(build_config(recipe))
    assert made.training.objective.kind == "classify" and open_data(made.data, made.data.path).kind == "labelled"
    assert settled(build_config(recipe, None, {"data.kind": None})).training.objective.kind == "contrast"
    both = settled(build_config(recipe, None, {"model": "transformer-nano"}))
    assert both.training.objective.kind == "seq2seq" and open_data(both.data, both.data.path, "pairs").kind == "pairs"
    with pytest.raises(ConfigError, match="data.kind does not fit the objective"):
        open_data(made.data, made.data.path, "tagged")
    with pytest.raises(ConfigError, match="labelled"):
        build_config(recipe, None, {"data.kind": "labeled"})


def test_a_spec_file_is_a_model(tmp_path: Path) -> None:
    path = write(tmp_path, {"preset": "gpt-nano", "decoder": {"layers": 2}}, "spec.yaml")
    made = build_config(path, "x")
    assert made.model == path and spec_of(made, 263).decoder.layers == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training.stepps": 5}, "steps"), ({"trainign.steps": 5}, "training"), ({"training.optimizer.learning_rate": 1}, "lr"),
        ({"training.optimizer": "adam"}, "adamw"), ({"data.holdut": 0.1}, "holdout"), ({"tokenizer.kind": "byte-bpe"}, "byte_bpe"),
        ({"training.batch": 10, "training.accumulate": 4}, "divide"), ({"training.steps": 0}, "steps"),
        ({"training.steps": "many"}, "steps"), ({"training.ema": 1.5}, "ema"), ({"seed.x": 1}, "seed"), ({"seed": -1}, "seed"),
        ({"training.clip": float("nan")}, "clip"),
    ],
)  # fmt: skip
def test_a_wrong_key_or_value_is_named_with_the_nearest(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build_config("gpt-nano", "x", changes)


def test_no_data_and_an_unknown_preset_are_said() -> None:
    with pytest.raises(ConfigError, match="no data"):
        build_config("gpt-nano")
    with pytest.raises(ConfigError, match="gpt-nano"):
        build_config("gpt-nanno", "x")


def run_folder(folder: Path, made: RunConfig, **changes: Any) -> Path:
    (folder / "config.yaml").write_text(yaml.safe_dump(made.model_dump(mode="json") | changes))
    return folder


def test_a_config_survives_its_file(tmp_path: Path) -> None:
    made = build_config("gpt-nano", ["a", "b"], GPT | {"training.schedule": {"kind": "wsd", "shape": "sqrt"}, "training.ema": 0.9})
    assert read_config(run_folder(tmp_path, made)) == made


def test_a_newer_or_missing_or_broken_config_is_refused(tmp_path: Path) -> None:
    made = build_config("gpt-nano", "x")
    with pytest.raises(ConfigError, match="newer"):
        read_config(run_folder(tmp_path, made, version=3))
    (tmp_path / "config.yaml").write_text("model: [")
    with pytest.raises(ConfigError, match="config.yaml"):
        read_config(tmp_path)
    with pytest.raises(ConfigError, match="no config.yaml"):
        read_config(tmp_path / "none")


def test_what_may_change_on_resume(tmp_path: Path) -> None:
    made = build_config("gpt-nano", "x")
    folder = run_folder(tmp_path, made)
    free = {"training.steps": 7, "training.save_every": 2, "training.keep": 5, "training.threads": 1, "training.log_every": 3}
    now = read_config(folder, build_config("gpt-nano", "x", free))
    assert (now.training.steps, now.training.save_every, now.training.keep) == (7, 2, 5)
    assert set(TrainingConfig.model_fields) >= FREE_ON_RESUME
    for frozen in (
        {"training.batch": 8}, {"training.optimizer.lr": 0.5}, {"seed": 1}, {"model.decoder.layers": 2}, {"training.precision": "bf16"},
        {"tokenizer.kind": "chars"}, {"data.split": "line"}, {"training.schedule": "linear"}, {"training.accumulate": 2},
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="cannot change while a run is resumed"):
            read_config(folder, build_config("gpt-nano", "x", frozen))
    with pytest.raises(ConfigError, match="data.path cannot change"):
        read_config(folder, build_config("gpt-nano", "y"))
    with pytest.raises(ConfigError, match="training.batch cannot change while a run is resumed; nor can seed") as caught:
        read_config(folder, build_config("gpt-nano", "x", {"training.batch": 8, "seed": 1}))
    assert (caught.value.expected, caught.value.received) == (str(made.training.batch), "8")


def test_the_steps_of_passes_stay_whole_however_often_a_run_is_resumed(tmp_path: Path) -> None:
    """They are counted once, from the data, and follow when other passes are asked for."""
    made = build_config("gpt-nano", "x", {"training.epochs": 3.0})
    made = made.model_copy(update={"training": made.training.model_copy(update={"steps": 1467})})
    for asked, steps in ((3.0, 1467), (3.0, 1467), (4.5, 2201), (3.0, 1468)):
        folder = run_folder(tmp_path, made)
        made = read_config(folder, build_config("gpt-nano", "x", {"training.epochs": asked}))
        assert (type(made.training.steps), made.training.steps) == (int, steps)


def test_a_run_resumed_with_another_model_is_told_of_the_model(tmp_path: Path) -> None:
    """Not of the settings that the other model brings."""
    folder = run_folder(tmp_path, build_config("bert-nano", "x"))
    with pytest.raises(ConfigError, match=r"^model cannot change while a run is resumed\n") as caught:
        read_config(folder, build_config("gpt-nano", "x", {"training.batch": 8}))
    assert (caught.value.expected, caught.value.received) == ("bert-nano", "gpt-nano")


def test_two_texts_of_as_many_lines_are_asked_about(tmp_path: Path) -> None:
    """Where both could be meant: for an encoder–decoder, and nobody says what they are."""
    for name, lines in (("deutsch.txt", 9), ("english.txt", 9), ("more.txt", 12)):
        (tmp_path / name).write_text("".join(f"a line {i}\n" for i in range(lines))[: -1 if name == "english.txt" else None])
    two, other = (tuple(str(tmp_path / name) for name in names) for names in (("deutsch.txt", "english.txt"), ("deutsch.txt", "more.txt")))
    with pytest.raises(ConfigError, match="9 lines each: two texts, or pairs") as caught:
        settled(build_config("transformer-nano", two))
    assert "data.kind=pairs" in str(caught.value.change)
    with pytest.raises(ConfigError, match="9 lines each"):
        settled(build_config("transformer-nano", ",".join(two)))
    kinds = [
        settled(build_config(model, files, asked)).training.objective.kind
        for model, files, asked in (
            ("transformer-nano", two, {"data.kind": "pairs"}), ("transformer-nano", two, {"data.kind": "text"}), ("transformer-nano", other, {}),
            ("transformer-nano", two, {"data.split": "line"}), ("gpt-nano", two, {}),
        )
    ]  # fmt: skip
    assert kinds == ["seq2seq", "corrupted", "corrupted", "corrupted", "causal"]


@pytest.mark.parametrize(("key", "path"), [
    ("learning_rate", "training.optimizer.lr"), ("lr", "training.optimizer.lr"), ("training.lr", "training.optimizer.lr"),
    ("training.optimizer.learning_rate", "training.optimizer.lr"), ("optimizer.lr", "training.optimizer.lr"), ("batch_size", "training.batch"),
    ("epochs", "training.epochs"), ("epoch", "training.epochs"), ("max_bad", "data.max_bad"), ("training.max_bad", "data.max_bad"), ("header", "data.header"),
    ("warmup", "training.schedule.warmup"), ("vocab_size", "tokenizer.vocab_size"), ("path", "data.path or tokenizer.path"), ("seeds", "seed"),
    ("trainin.steps", "training.steps"), ("training.step", "training.steps"),
])  # fmt: skip
def test_an_unknown_setting_is_told_where_it_stands(key: str, path: str) -> None:
    """A setting without its section, with another's, as other programs call it, or mistyped; one like nothing is to be removed."""
    with pytest.raises(ConfigError, match="unknown key") as caught:
        build_config("bert-nano", "a.txt", {key: 3})
    assert caught.value.change == f"write {path}"


def test_a_setting_like_no_other_is_to_be_removed() -> None:
    with pytest.raises(ConfigError, match="unknown key zzz") as caught:
        build_config("bert-nano", "a.txt", {"zzz": 3})
    assert caught.value.change == "remove it"


def test_what_other_programs_call_a_setting_names_one_of_ours() -> None:
    for ours in set(RunConfig.also.values()):
        with pytest.raises(ConfigError) as caught:
            validate({"model": "gpt-nano", "data": {"path": "a"}, ours: 1})
        assert str(caught.value.change).endswith(f".{ours}"), ours


def test_a_tokenizers_options_are_those_of_its_kind() -> None:
    config = build_config("gpt-nano", "book.txt", {"tokenizer.kind": "words", "tokenizer.split": "lines"})
    assert config.tokenizer.options() == {"split": "lines"}
    with pytest.raises(TokenizerError, match="'lowercase' does not apply to the tokenizer kind 'words'"):
        build_config("gpt-nano", "book.txt", {"tokenizer.kind": "words", "tokenizer.lowercase": True})
