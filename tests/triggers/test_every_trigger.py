"""What holds for every trigger over a metric, whatever its rule."""

import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from examples import arguments_of, rates
from histories import changes, first_fires, progress

import lrdecay
from lrdecay.registry import FACTORIES, factory
from lrdecay.triggers.protocol import WORDS, Reason


def takes(parameter):
    """The names of the triggers that take an argument."""
    names = FACTORIES["trigger"]
    return [n for n in names if parameter in inspect.signature(factory("trigger", n)).parameters]


# Arguments with which each says something on a short history.
SHORT = {
    "plateau": {"patience": 3},
    "slope": {"window": 2},
    "variance": {"window": 8},
    "convergence": {"window": 2, "horizon": 10},
    "divergence": {"z": 2.0, "beta": 0.9},
    "decline": {"z": 2.0, "patience": 2},
    "cusum": {"slack": 0.25, "threshold": 5.0},
    "page_hinkley": {"threshold": 4.0},
    "greedy": {"patience": 3},
    "abel": {"turns": 3},
    "pflug": {"burn_in": 5},
    "stationarity": {"window": 3},
    "stall": {"window": 2},
}

# A metric that falls, stops, jumps up, and falls again, with noise throughout; then one that rises.
NOISE = np.random.default_rng(0).normal(size=300)
MOVES = np.concatenate(
    [np.linspace(9, 0, 60), np.zeros(90), np.full(30, 4.0), np.linspace(4, 0, 120)]
)
HISTORY = (MOVES - 5 + 0.3 * NOISE).astype(np.float32)

every_trigger = pytest.mark.parametrize("name", takes("monitor"))


def test_each_has_its_arguments_here():
    assert set(takes("monitor")) == set(SHORT)


@every_trigger
def test_fires_and_not_all_the_time(name):
    fires = changes(name, HISTORY, **SHORT[name]) > 0
    assert 0 < np.sum(fires) < 100


@pytest.mark.parametrize("name", takes("mode"))
def test_higher_is_better_where_the_negative_is_lower(name):
    expected = changes(name, HISTORY, mode="min", **SHORT[name])
    np.testing.assert_array_equal(changes(name, -HISTORY, mode="max", **SHORT[name]), expected)


@pytest.mark.parametrize("name", takes("grace"))
def test_nothing_is_looked_at_in_the_grace(name):
    @jax.jit
    def fires(values, grace):
        trigger = getattr(lrdecay, name)(grace=grace, **SHORT[name])
        schedule = lrdecay.loss_aware(1.0, when=trigger, how=lrdecay.multiply(0.5))

        def step(state, x):
            state = schedule.update(state, **dict.fromkeys(("value", *trigger.monitors), x))
            return state, lrdecay.fires(state)

        return jax.lax.scan(step, schedule.init(), values)[1]

    # Of one length, which is one program: what comes after the last value cannot matter.
    whole, later = np.pad(HISTORY, (0, 1)), np.pad(HISTORY[37:], (0, 38))
    seen = np.asarray(fires(whole, 37))
    assert not np.any(seen[:37])
    np.testing.assert_array_equal(seen[37:], fires(later, 0)[:-37])
    assert np.any(seen)


@pytest.mark.parametrize("name", takes("cooldown"))
def test_two_fires_are_further_apart_than_the_cooldown(name):
    fires = np.flatnonzero(changes(name, HISTORY, cooldown=9, **SHORT[name]) > 0)
    assert len(fires) > 0
    assert np.all(np.diff(fires) > 9)


@pytest.mark.parametrize(
    "name", ["plateau", "slope", "variance", "convergence", "decline", "greedy"]
)
def test_windows_on_a_large_offset_are_averaged_exactly(name):
    # Whole numbers, whose means of 2 are exact in float32 on the offset too: it has steps of 1/8.
    values = np.round(8 * HISTORY)
    arguments = SHORT[name] | {"window": 2}
    if "rtol" in inspect.signature(factory("trigger", name)).parameters:
        arguments |= {"rtol": 0.0, "atol": 20.25 if name == "slope" else 0.25}
    expected = changes(name, values, **arguments)
    assert np.any(expected)
    np.testing.assert_array_equal(changes(name, values + 2.0**20, **arguments), expected)


@pytest.mark.parametrize(
    "name", ["slope", "variance", "convergence", "divergence", "decline", "stall"]
)
@pytest.mark.parametrize("scale", [2.0**-80, 2.0**80])
def test_the_unit_of_the_metric_does_not_matter(name, scale):
    expected = changes(name, HISTORY, **SHORT[name])
    np.testing.assert_array_equal(changes(name, scale * HISTORY, **SHORT[name]), expected)


@every_trigger
def test_no_finite_value_breaks_the_state(name):
    huge = float(np.finfo(np.float32).max)
    trigger = getattr(lrdecay, name)(**SHORT[name])
    schedule = lrdecay.loss_aware(1.0, when=trigger, how=lrdecay.multiply(0.5))

    def step(state, x):
        return schedule.update(state, **dict.fromkeys(("value", *trigger.monitors), x)), None

    for values in ([huge, -huge] * 40, [0.0] * 80, [1e-45, -1e-45] * 40, [-huge] * 9 + [1.0] * 71):
        state, _ = jax.lax.scan(step, schedule.init(), jnp.asarray(values, jnp.float32))
        assert not any(np.any(np.isnan(leaf)) for leaf in jax.tree.leaves(state))


@every_trigger
def test_says_why_in_words(name):
    arguments = arguments_of("trigger", name) | SHORT[name]
    schedule = lrdecay.loss_aware(
        1.0, when=getattr(lrdecay, name)(**arguments), how=lrdecay.multiply(0.5)
    )
    state, _ = rates(schedule, HISTORY)
    reason = Reason[name.upper()]
    assert state.memory.cause.reason == reason
    pattern = re.sub(r"\\{[^}]*\\}", "-?[0-9.e+-]+", re.escape(WORDS[reason]))
    assert re.search(rf"at step \d+: {pattern}\.", lrdecay.explain(state))


def test_every_reason_to_fire_has_words():
    assert set(WORDS) == {r for r in Reason if r >= Reason.TRIGGER}


def test_a_million_observations_cost_no_accuracy():
    # Two windows of 500,000 whose means differ by a thousandth of the noise, for better or worse.
    noise = np.random.default_rng(0).normal(size=(2, 500_000))
    noise -= np.mean(noise, axis=1, keepdims=True)
    better, worse = (noise - gain * np.arange(2)[:, None] for gain in (1e-3, -1e-3))
    # It fires first at the last value, and so nowhere else; or never.
    found = first_fires("variance", [better.ravel(), worse.ravel()], window=500_000, ratio=0.0)
    assert found.tolist() == [1_000_000, 999_999]


# The mean delay in which each finds that progress has stopped, at most.
DELAYS = {
    "plateau": 20,
    "slope": 205,
    "variance": 443,
    "convergence": 260,
    "cusum": 780,
    "page_hinkley": 620,
}


@pytest.mark.parametrize("name", DELAYS)
def test_a_sudden_end_of_progress_is_found_by_all_that_look_for_it(name):
    values = progress(1500, noise=5e-4, seeds=40, stops=500)
    assert np.all(first_fires(name, values) >= 500)
    assert np.mean(first_fires(name, values, first=500)) < DELAYS[name]
