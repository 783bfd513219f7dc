"""The verb: what it says, on which devices, and its errors; that parts add up; that more costs more."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyhead.cli import main
from polyhead.families import preset
from polyhead.plan import measure, room, timing, writing
from polyhead.plan.device import Device, between, device
from polyhead.plan.devices import DEVICES
from polyhead.plan.model import Asked, plan
from polyhead.train import TrainingConfig
from polyhead.train.watching import Op
from tests.conformance import specs

H100 = DEVICES["h100-sxm"]
RATES = {
    "product": {"fp32": [[1, 1e9], [64, 1e11]], "bf16": [[1, 1e9], [64, 2e11]]}, "packed": {"fp32": [[1, 2e9]], "bf16": [[1, 2e9]]},
    "attention": {"fp32": [5e10, 4e10], "bf16": [5e10, 4e10]}, "plain": [[1e4, 1e10], [1e8, 5e9]], "special": 1e9, "random": 1e8,
    "stream": 2e10, "update": 1e10, "call": 1e-6, "write": [1e-6, 1e-4],
}  # fmt: skip
MEASURED = {"name": "here", "kind": "cpu", "peak": {"fp32": 1e11}, "bandwidth": 2e10, "memory": 1e9, "rates": RATES}


def test_the_terminal_the_json_and_the_page_say_the_same(tmp_path, capsys):
    assert main(["plan", "gpt-nano", "--on", "h100-sxm", "--batch", "2", "--json", "--html", str(tmp_path / "p.html")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"]["total"] == preset("gpt-nano").params().total
    training = found["training"]
    assert sum(training["memory"].values()) == training["needed"] and training["fits"] and training["largest_batch"] > 2
    assert sum(training["time"].values()) == pytest.approx(training["seconds"])
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert page.count("prefers-color-scheme: dark") >= 4 and "<script" not in page and "http" not in page.split("</style>")[1].split("base64")[0]
    assert main(["plan", "gpt-nano", "--on", "h100-sxm", "--batch", "2"]) == 0
    said = capsys.readouterr().out
    assert f"{found['parameters']['total']:,}" in said and "12·d²" in said and "█" in said and max(map(len, said.splitlines())) <= 110


@pytest.mark.parametrize(
    ("words", "say"),
    [
        (["gpt2", "--on", "h10"], "h100"), (["gpt2", "--on", "nowhere.yaml"], "there is no file"),
        (["gpt2", "--on", "h100-sxm", "--tokens", "5000"], "--tokens 1024"), (["gpt2", "--on", "h100-sxm", "--dtype", "int8"], "--dtype bf16"),
        (["clip-vit-base-32", "--on", "h100-sxm"], "one by one"), (["gpt2", "--on", "h100-sxm", "--optimizer", "sgd"], "adamw or muon"),
        (["vit-base-16-224", "--on", "h100-sxm", "--tokens", "8"], "exactly 197"),
    ],
)  # fmt: skip
def test_errors_say_what_to_change(words, say, capsys):
    assert main(["plan", *words]) == 2
    told = capsys.readouterr().err
    assert say in told and "expected" in told and "Traceback" not in told


def test_a_device_of_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("{peak: {fp32: 1.0e+12}, bandwidth: 1.0e+11, memory: 8.0e+9}", encoding="utf-8")
    on = device(str(path))
    assert on.name == "mine" and on.reach("fp32") == 1e12
    path.write_text("{peak: {fp32: fast}, bandwidth: 1.0e+11, memory: 8.0e+9}", encoding="utf-8")
    with pytest.raises(Exception, match="peak.fp32"):
        device(str(path))


def test_what_does_not_fit_is_told_with_what_would():
    found = plan(preset("llama-3-8b"), Asked(tokens=2048, on="rtx-4090", decode=False))
    assert not found["training"]["fits"] and found["training"]["largest_batch"] == 0
    assert "mi300x" in found["training"]["would_fit"] and "rtx-4090" not in found["training"]["would_fit"]


def test_decoding_is_the_roofline_by_hand():
    """LLaMA-3 8B in bf16: 15.0 GB of weights without the input table, 128 KiB of cache a token."""
    spec = preset("llama-3-8b")
    one = writing.decode(spec, H100, "bf16", 1, 2048)
    table = 128256 * 4096
    assert one.weights == 2 * (spec.params().total - table) and one.bound == "bandwidth"
    assert one.cache == pytest.approx(2048 * 131072, rel=1e-3)
    assert one.limit == pytest.approx(3.35e12 / (one.weights + one.cache))
    assert one.flops == pytest.approx(2 * (spec.params().total - table) + 4 * 32 * 4096 * 2048, rel=0.01)
    assert one.seconds > (one.weights + one.cache) / 3.35e12
    assert writing.decode(spec, H100, "bf16", 64, 2048).tokens_per_second > 20 * one.tokens_per_second


def test_on_a_measured_machine_every_kernel_and_every_layer_of_a_written_token_costs_something():
    spec = preset("gpt-nano")

    def seconds(kernel: float, layer: float) -> float:
        here = MEASURED | {"rates": RATES | {"write": (kernel, layer)}}
        return writing.decode(spec, Device.model_validate(here), "fp32", 1, 64).seconds

    kernels = sum(writing.step_ops(spec, 1, 64, half=False, cpu=True).values())
    assert seconds(1e-3, 0.0) - seconds(0.0, 0.0) == pytest.approx(1e-3 * kernels)
    assert seconds(0.0, 1e-3) - seconds(0.0, 0.0) == pytest.approx(1e-3 * spec.top.layers)


def test_experts_are_read_as_they_are_visited():
    spec = preset("mixtral-8x7b")
    few, many = writing.at_work(spec, 1), writing.at_work(spec, 64)
    assert few < 13.5e9 < 46e9 < many <= spec.params().total


def test_training_time_is_work_over_rates():
    spec, config = preset("gpt2"), TrainingConfig(batch=8, precision="bf16")
    time = timing.training(spec, config, 1024, H100)
    needed = 3 * spec.flops(1024, 8).total
    assert time.flops == pytest.approx(needed, rel=0.05)  # the fused kernel computes scores again
    assert time.seconds > needed / H100.reach("bf16") and time.tokens == 8 * 1024
    again = timing.training(spec, config.model_copy(update={"checkpointing": True}), 1024, H100)
    assert again.flops - time.flops == pytest.approx(sum(n for p, n in spec.flops(1024, 8).parts.items() if not p.startswith("heads")), rel=0.05)
    muon = timing.training(spec, TrainingConfig(batch=8, precision="bf16", optimizer={"kind": "muon"}), 1024, H100)
    assert muon.parts["update"] > time.parts["update"]


@specs.draws(40)
@given(st.floats(0, 100), st.floats(0.01, 10), st.floats(0, 0.01), st.floats(1, 1e5))
def test_the_largest_that_fits_is_found(a, b, c, space):
    def needs(n: int) -> float:
        return a + b * n + c * n * n

    n = room.largest(needs, space, 10_000)
    assert (n == 0 or needs(n) <= space) and (n == 10_000 or needs(n + 1) > space)


def test_a_measured_machine_has_rates_of_its_own():
    on = Device.model_validate(MEASURED)
    assert on.seconds(Op("mm", "product", 10**10, 64, 10)) == 0.1 and on.seconds(Op("mm", "product", 10**10, 64, 10, 2)) == 0.05
    assert on.seconds(Op("gelu", "other", 0, 0, 10**9)) == 1 and on.seconds(Op("bernoulli_", "other", 0, 0, 10**8)) == 1
    assert between(on.rates.plain, 1e9) == 5e9 and on.seconds(Op("add", "other", 0, 0, 10**9)) == 0.2
    found = plan(preset("gpt-nano"), Asked(on="h100-sxm"))
    assert found["device"]["share"] and not found["device"]["measured"]


def test_a_measurement_is_kept_and_taken_again_on_another_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = []
    monkeypatch.setattr(measure, "measure", lambda: made.append(1) or H100)
    assert measure.this_machine() == measure.this_machine() == H100 and len(made) == 1
    monkeypatch.setattr(measure, "_cpu_name", lambda: "another")
    assert measure.remembered() is None and measure.this_machine() == H100 and len(made) == 2
    measure.cache_file().write_text("{", encoding="utf-8")
    assert measure.this_machine() == H100 and len(made) == 3
