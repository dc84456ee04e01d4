"""`lrdecay bench`, as a user meets it."""

import argparse
import re
from pathlib import Path

import numpy as np
import pytest
import tiny

from lrdecay.benchmark import report, study, timing
from lrdecay.cli import bench, main
from lrdecay.study.plan import plan
from lrdecay.training import data

pytestmark = pytest.mark.usefixtures("compiled_quickly")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working directory, but for the file of a study; the shortest of measurements."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study, "RUNS", (1,))
    monkeypatch.setattr(timing, "_MATRICES", (64,))
    monkeypatch.setattr(timing, "_VECTORS", (2**12,))
    (tmp_path / "study.toml").write_text(tiny.TOML)
    return tmp_path


def earlier():
    """A report of some other machine."""
    one = timing.spread(np.array([1.0]))
    result = study.Result(
        name="tiny",
        batch_size=8,
        steps=8,
        compilation=study.Compilation(1.0, 1.0, 1.0, 1.0),
        step=one,
        cost=timing.Cost(1.0, None),
        memory_bytes=None,
        schedules={},
        scaling=(study.Scale(1, 1, one, 8.0),),
    )
    environment = {"device": "tpu: TPU v6", "jax": "0.1"}
    return report.Report(environment, 4, timing.Rooflines(1.0, 1.0), (result,))


def test_a_benchmark_shows_compares_and_writes(capsys):
    report.write(Path("earlier.json"), earlier())
    options = ["--out", "now.json", "--plot", "now.svg", "--profile", "trace"]
    options += ["--compare", "earlier.json", "--repeats", "1"]
    assert main(["bench", "study.toml", "batch_size=8", *options]) == 0
    shown = capsys.readouterr().out
    assert "tiny, batch 8" in shown
    assert "compile, cold" in shown
    assert "earlier.json is of another device: 4 x tpu: TPU v6" in shown
    ratio = report.read(Path("now.json")).results[0].step.median  # the earlier step took a second
    assert re.search(rf"tiny: step, s +1 +\S+ +{re.escape(f'{ratio:.3g}')} ", shown)
    assert Path("now.svg").read_text().startswith("<svg")
    assert list(Path("trace").rglob("*.xplane.pb"))


def test_the_built_in_suite_needs_no_files(monkeypatch):
    monkeypatch.delenv("LRDECAY_DATA", raising=False)
    monkeypatch.setattr(data, "_SYSTEM_FOLDER", Path("nowhere"))
    arguments = bench_arguments(["batch_size=20", "seeds=1"])
    plans = [plan(raw) for raw in bench._raw(arguments)]
    assert [p.config.name for p in plans] == ["digits", "fashion_mnist"]
    assert [p.config.batch_size for p in plans] == [20, 20]
    assert plans[1].load().train.images.shape[1:] == (28, 28, 1)


def bench_arguments(argv):
    parser = argparse.ArgumentParser()
    bench.add(parser.add_subparsers())
    return parser.parse_args(["bench", *argv])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["study.toml", "--repeats", "0"], "--repeats must be an integer of at least 1, got 0"),
        (["study.toml", "--out", "no/x.json"], "--out must be a file in a folder that is there"),
        (["study.toml", "--out", "."], "--out must be a file in a folder that is there, got ."),
        (["study.toml", "--plot", "x.gif"], "--plot must be a .png or .svg file, got x.gif"),
        (["study.toml", "--compare", "no.json"], "no.json: cannot be read: No such file"),
        (["study.toml", "--compare", "study.toml"], "study.toml: not the JSON of `lrdecay bench`"),
        (["study.toml", "--profile", "study.toml"], "--profile must be a folder, got study.toml"),
        (["study.toml", "batch_size=0"], "batch_size must be an integer of at least 1, got 0"),
        (["nothing.toml"], "nothing.toml: no such file"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_compiled(options, message, capsys, monkeypatch):
    monkeypatch.setattr(study, "programs", None)
    assert main(["bench", *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"lrdecay: {message}")
    assert err.count("\n") == 1
