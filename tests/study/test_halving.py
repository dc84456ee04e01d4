"""Successive halving: its decisions against plain Python, and a study that makes them."""

import dataclasses
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from lrdecay.study import run as run_module
from lrdecay.study import waves
from lrdecay.study.config import ConfigError
from lrdecay.study.folder import Folder
from lrdecay.study.halving import SuccessiveHalving
from lrdecay.study.history import load
from lrdecay.study.plan import plan
from lrdecay.study.run import identity, run
from lrdecay.training.placement import Placement

# The decisions


def survivors(table, factor):
    """The arms that are left when the worst, of equal ones the last, goes until few enough are."""
    mean = [sum(map(Fraction, row)) / len(row) for row in table]
    others = list(range(1, len(table)))
    while len(others) > math.ceil(Fraction(len(table) - 1, factor)):
        others.remove(min(others, key=lambda arm: (mean[arm], -arm)))
    return (0, *others)


# Few values, so that there are ties.
ACCURACY = st.integers(0, 12).map(lambda n: n / 16)


@given(st.data(), st.integers(1, 20), st.integers(1, 4), st.integers(2, 5))
def test_the_best_go_on_the_first_of_equal_ones_and_always_the_reference(data, arms, seeds, factor):
    row = st.lists(ACCURACY, min_size=seeds, max_size=seeds)
    table = data.draw(st.lists(row, min_size=arms, max_size=arms))
    halving = SuccessiveHalving(1, factor)
    assert halving.going_on(table) == survivors(table, factor)
    assert halving.kept(arms) == len(survivors(table, factor))


def test_a_tie_does_not_depend_on_the_order_of_the_seeds():
    accuracy = [0.1, 0.2, 0.3, 0.7]
    orders = [list(order) for order in itertools.permutations(accuracy)]
    assert SuccessiveHalving(1, 3).going_on([[0.0] * 4, *orders]) == tuple(range(9))


@pytest.mark.parametrize(
    ("min_epochs", "factor", "epochs", "rungs"),
    [
        (1, 2, 8, (1, 2, 4)),
        (1, 2, 9, (1, 2, 4, 8)),
        (2, 3, 18, (2, 6)),
        (2, 3, 19, (2, 6, 18)),
        (5, 4, 6, (5,)),
    ],
)
def test_rungs_are_a_geometric_series_that_ends_before_the_run(min_epochs, factor, epochs, rungs):
    assert SuccessiveHalving(min_epochs, factor).rungs(epochs) == rungs


# Mistakes

THREE = """
[arms.a]
name = "constant"
value = 0.1
[arms.b]
name = "constant"
value = 0.2
[arms.c]
name = "constant"
value = 0.3
"""
SECTION = "successive_halving={min_epochs=1}"


@pytest.mark.parametrize(
    ("settings", "problems"),
    [
        (["successive_halving=2"], ["successive_halving must be a section, got 2"]),
        (["successive_halving={}"], ["successive_halving.min_epochs is missing"]),
        (
            ["successive_halving={min_epochs=0, reduction_factor=1}"],
            [
                "successive_halving.min_epochs must be an integer of at least 1, got 0",
                "successive_halving.reduction_factor must be an integer of at least 2, got 1",
            ],
        ),
        (
            ["successive_halving={min_epochs=1, factor=3}"],
            ["successive_halving.factor: unknown key; allowed: min_epochs, reduction_factor"],
        ),
        (
            ["successive_halving.min_epochs=3"],
            ["successive_halving.min_epochs must be an integer below epochs = 3, got 3"],
        ),
        (
            [SECTION, "arms={a={name='constant', value=0.1}, b={name='constant', value=0.2}}"],
            [
                "successive_halving: arms must be at least 3, a reference, which is never retired, "
                "and others to choose from, got 2"
            ],
        ),
        (["epochs=0", SECTION], ["epochs must be an integer of at least 1, got 0"]),
        (
            ["placement.lane=3"],
            ["placement.lane: unknown key; did you mean 'lanes'? allowed: groups, sharing, lanes"],
        ),
    ],
)
def test_a_mistake_is_a_line_that_says_what_is_allowed(settings, problems):
    with pytest.raises(ConfigError) as error:
        plan(tiny.config(*settings, arms=THREE))
    assert list(error.value.problems) == problems


# A study

ARMS = """
[arms.constant]
name = "constant"
value = 0.0

[arms.wild]
name = "constant"
value = 1e30

[arms.cosine]
name = "cosine"
init_value = 0.3
decay_fraction = 1.0

[arms.timid]
name = "constant"
value = 1e-4

[arms.other]
name = "constant"
value = 0.3
optimizer = {name = "momentum"}
"""
EPOCHS, PER_EPOCH, RUNGS = 4, 4, (1, 2)
SEEDS = (4, 5)  # with which one arm is worse at the first rung than the one that diverges
ALONE = Placement(groups=1, sharing=1, lanes=1)
HALVED = "successive_halving={min_epochs=1, reduction_factor=2}"


def study_of(*settings):
    return plan(tiny.config(f"epochs={EPOCHS}", f"seeds={list(SEEDS)}", *settings, arms=ARMS))


def execute(study, path, *on, placement=ALONE):
    folder = Folder(path)
    folder.check(identity(study), overwrite=False)
    folder.open(identity(study), overwrite=False)
    on_progress, on_retired = [*on, *[lambda *what: None] * (2 - len(on))]
    return run(study, study.load(), folder, placement, on_progress, on_retired)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The study without halving."""
    return execute(study_of(), tmp_path_factory.mktemp("whole"))[0]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The study with halving: history, timing, progress, retirements, folder, compilations."""
    told, retired, compiled = [], [], []

    def programs(plan, arms, *rest):
        compiled.append(arms)
        return waves.programs(plan, arms, *rest)

    path = tmp_path_factory.mktemp("done")
    with pytest.MonkeyPatch.context() as context:
        context.setattr(run_module, "programs", programs)
        result = execute(
            study_of(HALVED),
            path,
            lambda *what: told.append(what),
            lambda epoch, arms: retired.append((epoch, arms)),
        )
    return *result, told, retired, path, compiled


def lengths(whole):
    """Epochs of each arm by hand, from what the study without halving has recorded."""
    epochs, arms = np.full(len(whole.loss), EPOCHS), list(range(len(whole.loss)))
    for rung in RUNGS:
        finite = np.isfinite(whole.val_loss[arms, :, rung - 1])
        table = np.where(finite, whole.val_accuracy[arms, :, rung - 1], 0)
        kept = [arms[i] for i in survivors(table.tolist(), 2)]
        epochs[[arm for arm in arms if arm not in kept]] = rung
        arms = kept
    return epochs


def assert_bitwise_equal(one, other):
    for name, array in dataclasses.asdict(one).items():
        assert array.tobytes() == getattr(other, name).tobytes(), name


def assert_is_cut_off(history, whole):
    """Each arm is bitwise that without halving, to its end, and nothing behind."""
    epochs = lengths(whole)
    assert sorted(epochs) == [1, 1, 2, 4, 4]
    np.testing.assert_array_equal(history.epochs, epochs)
    for name, array in dataclasses.asdict(history).items():
        for arm, end in enumerate(epochs):
            expected = getattr(whole, name)[arm]
            if name.startswith(("train_", "test_")):
                until = ... if end == EPOCHS else slice(0)
            else:
                until = (slice(None), slice(end if name.startswith("val_") else end * PER_EPOCH))
            rest = np.ones(expected.shape, bool)
            rest[until] = False
            assert array[arm][~rest].tobytes() == expected[~rest].tobytes()
            missing = array[arm][rest]
            assert (missing == -1).all() if name == "fires" else np.isnan(missing).all()


def test_arms_are_bitwise_those_without_halving_until_they_are_retired(whole, done):
    history, _, _, retired, path, _ = done
    assert_is_cut_off(history, whole)
    assert_bitwise_equal(load(path / "history.npz"), history)
    names = [arm.name for arm in study_of().arms]
    of = [
        [name for name, end in zip(names, lengths(whole), strict=True) if end == n] for n in RUNGS
    ]
    assert retired == list(zip(RUNGS, of, strict=True))
    # What diverges is retired first, though an arm that goes on has a lower accuracy by then.
    assert "wild" in of[0]
    at_rung = whole.val_accuracy[:, :, 0].mean(1)
    assert at_rung[1:][history.epochs[1:] > 1].min() < at_rung[names.index("wild")]


def test_what_is_retired_does_not_train_on(whole, done):
    _, timing, told, _, path, _ = done
    steps = {}
    for arm, _, more in told:
        steps[arm] = steps.get(arm, 0) + more
    study = study_of(HALVED)
    assert list(steps) == [arm.name for arm in study.arms]
    assert list(steps.values()) == [n * len(SEEDS) * PER_EPOCH for n in lengths(whole)]
    assert timing.steps == sum(steps.values()) == study.steps
    assert study_of().steps == 5 * len(SEEDS) * EPOCHS * PER_EPOCH
    assert len((path / "metrics.jsonl").read_text().splitlines()) == sum(lengths(whole)) * len(
        SEEDS
    )
    for arm, end in enumerate(lengths(whole)):
        with np.load(path / "runs" / f"{arm}-{SEEDS[0]}.npz") as arrays:
            assert ("test_loss" in arrays) == (end == EPOCHS)
            assert not [name for name in arrays if name.startswith("state_")]


def test_each_group_is_compiled_once(done):
    assert done[-1] == [(0, 1, 2, 3), (4,)]


def test_streams_in_waves_that_are_not_full_are_halved_alike(tmp_path):
    settings = ("data.name=tiny:streamed", "arms.other={name='constant', value=0.2}")
    placement = Placement(groups=3, sharing=1, lanes=1)
    whole, _ = execute(study_of(*settings), tmp_path / "whole", placement=placement)
    study = study_of(HALVED, *settings)
    halved, timing = execute(study, tmp_path / "halved", placement=placement)
    assert_is_cut_off(halved, whole)
    assert timing.steps == study.steps


def stopping_after(n):
    told = itertools.count(1)

    def stop(*what):
        if next(told) == n:
            raise KeyboardInterrupt

    return stop


def go_on(path, done, steps):
    """Runs what is missing, which is all but so many steps, and compares."""
    history, timing, _, retired, _, _ = done
    told, again = [], []
    resumed, rest = execute(
        study_of(HALVED),
        path,
        lambda *what: told.append(what[2]),
        lambda epoch, arms: again.append((epoch, arms)),
    )
    assert_bitwise_equal(resumed, history)
    assert again == retired
    assert sum(told) == timing.steps
    assert rest.steps == timing.steps - steps


def test_stopped_within_a_stage_it_goes_on_bitwise_the_same(done, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        # Ten runs of one epoch are done, and two of the next six.
        execute(study_of(HALVED), tmp_path, stopping_after(13))
    go_on(tmp_path, done, 12 * PER_EPOCH)


def test_stopped_between_rungs_it_goes_on_bitwise_the_same(done, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        execute(study_of(HALVED), tmp_path, lambda *what: None, stopping_after(2))
    go_on(tmp_path, done, 16 * PER_EPOCH)


def test_a_snapshot_between_rungs_is_gone_on_from(done, tmp_path, monkeypatch):
    monkeypatch.setattr(waves, "SNAPSHOT_SECONDS", -1.0)
    with pytest.raises(KeyboardInterrupt):
        # In the last epoch of a run, the one before of which is on disk.
        execute(study_of(HALVED), tmp_path, stopping_after(18))
    go_on(tmp_path, done, 17 * PER_EPOCH)
