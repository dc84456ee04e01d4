"""A wave of runs against each run alone, wherever it is computed."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny

from lrdecay.study.plan import plan
from lrdecay.training.arms import stack
from lrdecay.training.hosts import fetch
from lrdecay.training.placement import Placement, choose, make_mesh
from lrdecay.training.wave import Run, compiled, make_wave

ARMS = """
[arms.constant]
name = "constant"
value = 0.1

[arms.wild]
name = "constant"
value = 1e30

[arms.step]
name = "step"
init_value = 0.3
decay_epochs = 1
factor = 0.5

[arms.accuracy]
name = "loss_aware"
base = 0.3
when = {name = "plateau", monitor = "val_accuracy", mode = "max", patience = 1}
how = {name = "multiply", factor = 0.5}
"""
WILD = 1
ALONE = Placement(groups=1, sharing=1, lanes=1)
EPOCHS = 3
RUNS = [(arm, seed) for arm in range(4) for seed in (0, 7)]


@pytest.fixture(scope="module")
def study():
    return plan(tiny.config("optimizer.name=momentum", arms=ARMS))


def made(study, placement, arms=None):
    first = study.arms[0]
    return make_wave(
        first.model(classes=3),
        lambda schedule: first.optimizer(schedule=schedule),
        stack([arm.schedule for arm in arms or study.arms]),
        study.load(),
        study.config.batch_size,
        placement,
    )


def trained(wave, runs):
    """What each run leaves behind, with a first axis of runs."""
    arms, seeds = np.array(runs, np.int32).T
    under_way = wave.start.call(wave.own(Run(arms, seeds)), wave.shared)
    steps, scores = [], []
    for epoch in range(EPOCHS):
        under_way, record, score = wave.epoch.call(under_way, (wave.shared, np.int32(epoch)))
        steps.append(fetch(record))
        scores.append(fetch(score))
    return fetch((under_way.state.params, wave.final.call(under_way, wave.shared))), steps, scores


def row(tree, i):
    return jax.tree.map(lambda x: x[i], tree)


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def assert_close(one, other):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-4, atol=1e-5), one, other)


@pytest.fixture(scope="module")
def alone(study):
    """Each run in a wave of its own."""
    wave = made(study, ALONE)
    return [row(trained(wave, [run]), 0) for run in RUNS]


def test_runs_on_several_devices_are_bitwise_those_alone(study, alone):
    wave = made(study, Placement(groups=4, sharing=1, lanes=1))
    for first in (0, 4):
        results = trained(wave, RUNS[first : first + 4])
        for i in range(4):
            assert_same(row(results, i), alone[first + i])


@pytest.mark.parametrize(("groups", "sharing", "lanes"), [(2, 1, 4), (1, 4, 1), (2, 2, 2)])
def test_vectorised_and_shared_runs_are_close_to_those_alone(study, alone, groups, sharing, lanes):
    with tiny.compiled_quickly():
        wave = made(study, Placement(groups, sharing, lanes))
    at_once = wave.placement.at_once
    for first in range(0, len(RUNS), at_once):
        results = trained(wave, RUNS[first : first + at_once])
        for i, run in enumerate(RUNS[first : first + at_once]):
            one, other = row(results, i), alone[first + i]
            # Of what grows without bound, nothing is close but that it does.
            if run[0] == WILD:
                one, other = one[1:], other[1:]
                one, other = jax.tree.map(np.isfinite, (one, other))
            jax.tree.map(
                lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-4, atol=1e-5), one, other
            )


def test_the_programs_do_not_depend_on_the_number_of_arms_and_seeds(study):
    """Forty arms of one structure, and any seeds, are the operations of one."""

    def operations(arms):
        text = made(study, ALONE, arms).epoch.call.as_text()
        return text.count(" = ")

    one = study.arms[2]
    many = [
        dataclasses.replace(one, schedule=jax.tree.map(lambda x, i=i: x + type(x)(i), one.schedule))
        for i in range(40)
    ]
    assert operations(many) <= 1.02 * operations([one, many[1]])


@pytest.mark.parametrize("lanes", [1, 3])
def test_on_an_accelerator_all_lanes_have_one_convolution_each_of_xla_s_own(monkeypatch, lanes):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    programs = {"cuda": [], "tpu": []}

    def noted(function, *arguments, **options):
        is_called = not programs["tpu"]  # of the three, the one that starts the runs
        traced = jax.jit(function, **options).trace(*arguments)
        for platform, texts in programs.items():
            texts.append(traced.lower(lowering_platforms=(platform,)).as_text())
        return compiled(function if is_called else lambda *_: (), *arguments)

    monkeypatch.setattr("lrdecay.training.wave.compiled", noted)
    with tiny.compiled_quickly():
        made(plan(tiny.config("model.name=cnn", arms=ARMS)), Placement(2, 1, lanes))
    # Two layers. An epoch has them in training, with two gradients for the kernels and one for the
    # images, and in validation, as a run that stands still has; the end has them in two splits.
    for texts in programs.values():
        assert [text.count("stablehlo.convolution") for text in texts] == [0, 5 + 2 + 2, 2 * 2]
        assert "custom_call" not in "".join(texts)


def test_a_run_that_diverges_stands_still_and_leaves_the_others_alone(alone):
    for (arm, _), (_, steps, scores) in zip(RUNS, alone, strict=True):
        if arm != WILD:
            assert all(np.isfinite(epoch.loss).all() for epoch in steps)
            continue
        assert np.isfinite(steps[0].loss[0])
        assert not np.isfinite(scores[0].loss)
        for epoch, score in zip(steps[1:], scores[1:], strict=True):
            assert np.isnan(epoch.loss).all()
            assert np.isnan(epoch.grad_norm).all()
            assert (epoch.learning_rate == np.float32(1e30)).all()
            assert not np.isfinite(score.loss)


@pytest.mark.parametrize(
    ("runs", "devices", "backend", "wanted", "expected"),
    [
        (100, 2, "cpu", {}, (2, 1, 1)),
        (1, 2, "cpu", {}, (1, 1, 1)),
        (100, 1, "gpu", {}, (1, 1, 64)),
        (100, 8, "tpu", {}, (8, 1, 13)),
        (3, 8, "gpu", {}, (3, 1, 1)),
        (10, 4, "gpu", {"sharing": 2}, (2, 2, 5)),
        (10, 4, "cpu", {"lanes": 5}, (4, 1, 5)),
        (10, 4, "gpu", {"groups": 1, "lanes": 2}, (1, 1, 2)),
    ],
)
def test_runs_fill_the_devices_and_side_by_side_only_accelerators(
    runs, devices, backend, wanted, expected
):
    assert choose(runs, devices, backend, **wanted) == expected


def test_the_mesh_has_as_many_devices_as_the_placement():
    mesh = make_mesh(Placement(groups=2, sharing=2, lanes=3))
    assert mesh.devices.size == 4
    assert dict(mesh.shape) == {"runs": 2, "batch": 2}
