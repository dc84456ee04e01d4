"""A study on a stream, as a user meets it: the numbers of data in memory, and its errors."""

import dataclasses
import json
import shutil
import sys
import threading

import numpy as np
import pytest
import tiny

from lrdecay.cli import main
from lrdecay.study import waves
from lrdecay.study.config import ConfigError
from lrdecay.study.plan import plan
from lrdecay.training import streamed_wave

STREAMED = "data.name=tiny:streamed"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory with the file of a study."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "study.toml").write_text(tiny.TOML)
    return tmp_path


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert [t for t in threading.enumerate() if t.name.startswith("prefetch")] == []


def history(folder):
    with np.load(folder / "history.npz") as arrays:
        return dict(arrays)


def assert_bitwise_equal(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.tobytes() == other[name].tobytes(), name


@pytest.mark.parametrize("placement", ["placement.groups=1", "placement.groups=2"])
def test_a_stream_of_the_same_mini_batches_gives_the_same_history(folder, placement):
    for data in ("data", "streamed"):
        command = ["run", "study.toml", f"data.name=tiny:{data}", placement, "--out", data]
        assert main(command) == 0
    streamed, resident = history(folder / "streamed"), history(folder / "data")
    assert streamed.keys() == resident.keys()
    for name, array in resident.items():
        # Of a stream the training score leaves out the six examples that fill no mini-batch.
        rtol = 0.1 if name.startswith("train_") else 1e-6
        np.testing.assert_allclose(streamed[name], array, rtol=rtol)


def test_a_stream_that_fails_is_a_line_and_what_is_done_is_kept(folder, capsys):
    command = ["run", "study.toml", STREAMED, "placement.groups=1"]
    assert main([*command, "--out", "whole"]) == 0
    (folder / "broken").touch()
    capsys.readouterr()
    assert main([*command, "--out", "halves"]) == 2
    assert capsys.readouterr().err == "lrdecay: data: the disk is gone\n"
    assert [f.name for f in (folder / "halves" / "runs").iterdir()] == ["0-0.npz"]
    (folder / "broken").unlink()
    assert main([*command, "--out", "halves"]) == 0
    assert_bitwise_equal(history(folder / "halves"), history(folder / "whole"))


def test_a_wave_that_fails_on_its_way_goes_on_from_its_snapshot(folder, monkeypatch, capsys):
    monkeypatch.setattr(waves, "SNAPSHOT_SECONDS", -1.0)
    command = ["run", "study.toml", STREAMED, "placement.groups=2"]
    assert main([*command, "--out", "whole"]) == 0
    (folder / "broken").touch()
    assert main([*command, "--out", "halves"]) == 2
    assert sorted(f.name for f in (folder / "halves" / "runs").iterdir()) == ["0-0.npz", "0-1.npz"]
    (folder / "broken").unlink()
    assert main([*command, "--out", "halves"]) == 0
    assert_bitwise_equal(history(folder / "halves"), history(folder / "whole"))
    assert steps_run(folder / "halves") == 16


def steps_run(folder):
    return json.loads((folder / "summary.json").read_text())["steps"]


def test_a_wave_goes_on_within_an_epoch(folder, monkeypatch, capsys):
    """Five chunks of seven steps in an epoch, of which the third is broken in the second epoch."""
    monkeypatch.setattr(waves, "SNAPSHOT_SECONDS", -1.0)
    command = ["run", "study.toml", STREAMED, "batch_size=2", "placement.groups=2"]
    assert main([*command, "--out", "whole"]) == 0
    assert steps_run(folder / "whole") == 2 * 105
    (folder / "broken").touch()
    assert main([*command, "--out", "halves"]) == 2
    (folder / "broken").unlink()
    shutil.copytree(folder / "halves", folder / "others")
    assert main([*command, "--out", "halves"]) == 0
    # The error comes with the chunk that is read ahead, in the place of what the second gives.
    assert steps_run(folder / "halves") == 2 * (105 - 35 - 7)
    assert_bitwise_equal(history(folder / "halves"), history(folder / "whole"))
    # Chunks of five, as on other devices, do not fit in between.
    monkeypatch.setattr(streamed_wave, "_MOST_STEPS", 5)
    capsys.readouterr()
    assert main([*command, "--out", "others"]) == 0
    assert "constant: done" in capsys.readouterr().out  # by the steps, less those done again
    assert steps_run(folder / "others") == 2 * 105
    for name, array in history(folder / "whole").items():
        np.testing.assert_allclose(history(folder / "others")[name], array, rtol=1e-5)


def test_what_is_wrong_with_a_stream_from_the_first_is_said_before_anything_is_written(
    folder, capsys
):
    assert main(["run", "study.toml", "data.name=tiny:crooked"]) == 2
    assert capsys.readouterr().err == (
        "lrdecay: data: the images of a mini-batch must be float32[16, 4, 4, 1], "
        "got float32[16, 4, 5, 1]\n"
    )
    assert not (folder / "runs").exists()


def test_a_stream_must_be_of_the_size_that_the_source_says(monkeypatch):
    source = dataclasses.replace(tiny.streamed(), train_size=80)
    monkeypatch.setattr(tiny, "streamed", lambda: source)
    with pytest.raises(ConfigError, match=r"train_size = 80, and loads 70 training examples$"):
        plan(tiny.config(STREAMED)).load()
