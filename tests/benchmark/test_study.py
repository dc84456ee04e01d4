"""The benchmark of a study, and what becomes of its result."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import tiny

from lrdecay.benchmark import report as reports
from lrdecay.benchmark import study
from lrdecay.benchmark.study import bench, placements
from lrdecay.benchmark.timing import Rooflines
from lrdecay.study.config import ConfigError
from lrdecay.study.plan import plan
from lrdecay.training.placement import Placement

pytestmark = pytest.mark.usefixtures("compiled_quickly")

ARMS = """
[arms.constant]
name = "constant"
value = 0.1

[arms.cosine]
name = "cosine"
init_value = 0.1
decay_fraction = 1.0
"""


@pytest.fixture(scope="module")
def result():
    stages = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "RUNS", (1, 2))
        found = bench(plan(tiny.config(arms=ARMS)), 2, stages.append, None)
    assert stages[0] == "compiling"
    return found


@pytest.fixture(scope="module")
def report(result):
    environment = {"device": "cpu: cpu", "jax": jax.__version__}
    return reports.Report(environment, jax.device_count(), Rooflines(1e9, 2e9), (result,))


def dense_flops():
    """Of the matrix products of tiny's network: forward, and twice backward but for the input."""
    first, second = 2 * 16 * 16 * 8, 2 * 16 * 8 * 3
    return 2 * first + 3 * second


def test_a_result_is_of_the_study_s_step(result):
    assert (result.name, result.batch_size, result.steps) == ("tiny", 16, 4)
    assert result.step.n == 2
    assert 0 < result.step.minimum <= result.step.low <= result.step.median <= result.step.high
    # The rest is element by element.
    assert dense_flops() < result.cost.flops < 2 * dense_flops()
    assert list(result.schedules) == ["cosine"]
    data_and_weights = 4 * (64 * 16 + 16 * 8 + 8 + 8 * 3 + 3)
    assert result.memory_bytes > data_and_weights


def test_the_user_s_cache_is_as_it_was(result, compiled_once):
    assert result.compilation.cached > 0
    assert jax.config.jax_compilation_cache_dir == str(compiled_once)


def test_all_runs_of_a_wave_count(result):
    scale = result.scaling[-1]
    assert [(s.runs, s.devices) for s in result.scaling] == [(1, 1), (2, 2)]
    assert scale.examples_per_second == pytest.approx(2 * 16 / scale.step.median)


@pytest.mark.parametrize(
    ("devices", "backend", "expected"),
    [
        (1, "cpu", [(1, 1)]),
        (4, "cpu", [(1, 1), (2, 1), (4, 1)]),
        (6, "cpu", [(1, 1), (2, 1), (4, 1), (6, 1)]),
        (1, "gpu", [(1, 1), (1, 2), (1, 4), (1, 8), (1, 16), (1, 32), (1, 64)]),
        (4, "tpu", [*((1, 2**k) for k in range(7)), (2, 32), (4, 16)]),
    ],
)
def test_more_runs_share_a_device_and_then_more_devices_share_the_runs(devices, backend, expected):
    found = placements(devices, backend)
    assert found == [Placement(groups, 1, lanes) for groups, lanes in expected]


def test_a_streamed_study_is_timed_in_memory(monkeypatch):
    monkeypatch.setattr(study, "RUNS", (1,))
    arms = ARMS.partition("[arms.cosine]")[0]
    found = bench(plan(tiny.config("data.name=tiny:streamed", arms=arms)), 1, str, None)
    assert (found.steps, len(found.scaling)) == (4, 1)
    assert found.step.median > 0


def test_a_run_that_diverges_has_no_time(monkeypatch):
    monkeypatch.setattr(study, "RUNS", (1,))
    arms = '[arms.much]\nname = "constant"\nvalue = 1e30\n'
    diverging = plan(tiny.config(arms=arms))
    with pytest.raises(ConfigError, match=r"^much: its weights are no longer finite"):
        bench(diverging, 3, lambda stage: None, None)


def test_random_images_are_those_of_their_size():
    source = study.random_images(30, pixels=8)
    data = source.load()
    assert data.train.images.shape == (source.train_size, 8, 8, 1) == (30, 8, 8, 1)
    assert set(np.unique(data.train.labels)) <= set(range(source.classes))


def test_a_report_comes_back_from_its_file(report, tmp_path):
    path = tmp_path / "report.json"
    reports.write(path, report)
    assert reports.read(path) == report
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]
    assert json.loads(path.read_text())["results"][0]["name"] == "tiny"


def test_a_report_against_itself_has_ratios_of_one(report):
    compared = reports.compare(report, report)
    assert {ratio for _, _, ratio in compared.values()} == {1.0}
    assert "tiny: step, s" in compared
    assert "tiny: 2 at once on 2, examples/s" in compared


def test_a_ratio_is_new_over_old_of_what_both_have(report):
    (result,) = report.results
    step = dataclasses.replace(result.step, median=4 * result.step.median)
    scaling = result.scaling[:1]
    slow = dataclasses.replace(
        report, results=(dataclasses.replace(result, step=step, scaling=scaling),)
    )
    compared = reports.compare(slow, report)
    assert compared["tiny: step, s"] == (result.step.median, step.median, 4.0)
    assert not any("2 at once" in name for name in compared)


def test_the_shares_of_the_rooflines_are_those_of_the_median_step(report):
    (result,) = report.results
    expected = result.cost.flops / result.step.median / 1e9
    assert report.share_of_flops(result) == pytest.approx(expected)
    unknown = dataclasses.replace(result, cost=study.Cost(None, None))
    assert report.share_of_flops(unknown) is None
    assert report.share_of_bytes(unknown) is None


def test_a_figure_shows_each_schedule_and_each_number_of_runs(report):
    growth, price = reports.figure(report).axes
    assert [line.get_xdata().tolist() for line in growth.lines] == [[1], [2]]
    assert [label.get_text() for label in price.get_yticklabels()] == ["tiny: cosine"]
