"""`lrdecay plot`: schedules from the command line and from configurations, before training."""

import re

import numpy as np
import pytest

import lrdecay
from lrdecay.cli import main
from lrdecay.cli.plot import preview

CONFIG = """
epochs = 4
batch_size = 337
data = {name = "digits"}
model = {name = "cnn"}
optimizer = {name = "sgd"}
[arms.flat]
name = "constant"
value = 0.5
optimizer = {name = "adam"}
[arms.halved]
name = "linear"
init_value = 0.5
end_value = 0.0
decay_epochs = 2
[arms.aware]
name = "loss_aware"
base = 0.25
when = {name = "plateau", monitor = "val_loss"}
how = {name = "multiply"}
"""


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return str(path)


def plot(capsys, *arguments):
    """The rows of the table: name to steps, first, highest, its step and last."""
    assert main(["plot", *map(str, arguments)]) == 0
    rows = {}
    for line in capsys.readouterr().out.splitlines():
        if found := re.match(r" (.*\S) +([▁▂▃▄▅▆▇█]{32}) +(.*\S) *$", line):
            rows[found[1]] = [float(x) for x in found[3].split()]
    return rows


def test_a_schedule_is_previewed_over_the_steps(capsys):
    rows = plot(capsys, "cosine:0.1,decay_fraction=0.5,end_value=0.02", "--steps", 50)
    assert rows == {"cosine:0.1,decay_fraction=0.5,end_value=0.02": [50, 0.1, 0.1, 0, 0.02]}


def test_durations_may_be_in_epochs(capsys):
    text = "warmup:0.1,warmup_epochs=3"
    assert plot(capsys, text, "--steps", 100, "--epochs", 10)[text] == [100, 0, 0.1, 30, 0.1]


def test_the_arms_of_a_configuration_have_its_length(config, capsys):
    rows = plot(capsys, config)
    steps = int(rows["flat"][0])
    assert steps % 4 == 0
    assert rows["flat"] == [steps, 0.5, 0.5, 0, 0.5]
    assert rows["halved"] == [steps, 0.5, 0.5, 0, 0]
    assert rows["aware"] == [steps, 0.25, 0.25, 0, 0.25]
    assert plot(capsys, config, "--epochs", 8)["flat"][0] == 2 * steps
    assert plot(capsys, config, "--steps", 100)["flat"][0] == 100


def test_one_arm_beside_another_schedule(config, capsys):
    rows = plot(capsys, f"{config}:halved", "constant:0.3")
    assert list(rows) == ["halved", "constant:0.3"]
    assert rows["constant:0.3"] == [1000, 0.3, 0.3, 0, 0.3]


def test_a_configuration_that_ships_is_found_by_its_name(capsys):
    assert set(plot(capsys, "digits:cosine")) == {"cosine"}


def test_the_same_name_twice_is_told_apart(config, tmp_path, capsys):
    other = tmp_path / "other.toml"
    other.write_text(CONFIG)
    rows = plot(capsys, f"{config}:flat", f"{other}:flat", "--steps", 8)
    assert [name.rpartition(":")[2] for name in rows] == ["flat", "flat"]


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_figure_is_drawn(config, tmp_path, capsys, suffix):
    out = tmp_path / f"figure.{suffix}"
    names = [f"constant:0.{i}" for i in range(1, 10)]
    plot(capsys, config, *names, "constant:0", "--steps", 5000, "--epochs", 4, "--out", out)
    if suffix == "png":
        assert out.read_bytes().startswith(b"\x89PNG")
    else:
        text = out.read_text()
        for shown in ("flat", "halved", "aware", *names, "Learning rate"):
            assert f">{shown}<" in text


def test_a_preview_is_the_rate_while_nothing_is_observed():
    base = lrdecay.cosine(0.1, 20)
    expected = base(np.arange(20))
    aware = lrdecay.loss_aware(base, when=lrdecay.plateau(patience=1), how=lrdecay.multiply(0.5))
    outer = lrdecay.loss_aware(
        aware, when=lrdecay.plateau(monitor="accuracy"), how=lrdecay.multiply(0.5)
    )
    for schedule in (base, aware, outer):
        np.testing.assert_allclose(preview(schedule, 20), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cosin"], "unknown schedule 'cosin'; did you mean 'cosine'"),
        (["cosine:0.1"], "cosine.decay_steps.* missing|decay_steps .*is missing"),
        (["cosine:-1,decay_steps=5"], "cosine.init_value must be a number of at least 0, got -1"),
        (["none.toml"], "none.toml: cannot be read: No such file|none.toml: no such file"),
        (["digits:cosin"], "no arm 'cosin'; did you mean 'cosine'"),
        (["digits", "--steps", "1001"], "--steps must be a multiple of the 20 epochs, got 1001"),
        (["constant:1", "--steps", "0"], "--steps must be an integer of at least 1, got 0"),
        (["constant:1", "--out", "a.gif"], "--out must be a .png or .svg file, got a.gif"),
    ],
)
def test_each_mistake_is_a_line_and_the_exit_code_two(capsys, arguments, message):
    assert main(["plot", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line)


@pytest.mark.parametrize("text", ["arms = 3", ""])
def test_a_configuration_without_arms_is_refused(tmp_path, capsys, text):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    assert main(["plot", str(path)]) == 2
    assert "arms must be a section of sections" in capsys.readouterr().err
