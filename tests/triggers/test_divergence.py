"""Divergence against its rule in float64, and on spikes, bursts and values that are not finite."""

import numpy as np
import pytest
from histories import at_most, changes, fired, first_fires, histories, progress
from hypothesis import given, settings
from hypothesis import strategies as st


def reference(values, z, patience, beta, rtol, cooldown, mode):
    sign = 1 if mode == "min" else -1
    forget = 1 - np.float32(beta)
    mean = deviation = count = row = resting = 0
    fires = []
    for i, value in enumerate(np.asarray(values, np.float64)):
        away = value - mean
        far = z * np.sqrt(np.pi / 2) * deviation + rtol * abs(mean)
        row = row + 1 if count >= 10 and not at_most(sign * away, far) else 0
        if row > 0 and row % patience == 0 and not resting:
            fires.append(i)
            resting = cooldown
        else:
            resting = max(resting - 1, 0)
        if np.float32(row) * forget >= 1:
            mean, deviation, count, row = value, 0.0, 1, 0
        elif row == 0:
            deviation = count and deviation + max(1 / count, forget) * (abs(away) - deviation)
            mean += max(1 / (count + 1), forget) * away
            count += 1
    return fires


@settings(max_examples=100, deadline=None)
@given(
    values=histories(),
    z=st.sampled_from([1.0, 2.0, 5.0]),
    patience=st.integers(1, 3),
    beta=st.sampled_from([0.0, 0.75, 0.875, 0.984375]),
    rtol=st.sampled_from([0.0, 0.1]),
    cooldown=st.integers(0, 3),
    mode=st.sampled_from(["min", "max"]),
)
def test_equals_the_rule_written_down(values, **arguments):
    assert fired("divergence", values, **arguments) == reference(values, **arguments)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_every_value_of_a_burst_stands_out_like_the_first(mode):
    values = np.random.default_rng(0).normal(size=200)
    values[[100, 101, 102, 110]] += 8.0 if mode == "min" else -8.0
    values[[150, 160]] -= 8.0 if mode == "min" else -8.0  # for the better
    assert fired("divergence", values, mode=mode, z=5.0, patience=1) == [100, 101, 102, 110]


def test_a_new_level_is_usual_after_the_memory_is_over():
    values = np.random.default_rng(0).normal(size=200)
    values[100:] += 50.0
    assert fired("divergence", values, beta=0.875, patience=1) == list(range(100, 108))
    assert fired("divergence", values, beta=0.875, patience=3) == [102, 105]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_fires_on_every_value_that_is_not_finite_and_forgets_it(bad, mode):
    values = np.random.default_rng(0).normal(size=60)
    clean = changes("divergence", values, mode=mode)
    with_bad = np.insert(values, [0, 5, 40], bad)
    seen = changes("divergence", with_bad, mode=mode)
    assert np.flatnonzero(seen).tolist() == [0, 6, 42]
    np.testing.assert_array_equal(np.delete(seen, [0, 6, 42]), clean)
    assert fired("divergence", with_bad, mode=mode, cooldown=6) == [0, 42]


def test_false_alarms_are_rare_in_steady_progress_with_noise():
    # Three in a row above 3 standard deviations: 2e-9 for independent normal values.
    steady = progress(1000, noise=0.05, seeds=64)
    assert np.mean(first_fires("divergence", steady) < 1000) < 0.05


def test_a_constant_metric_does_not_diverge_by_rounding():
    assert fired("divergence", [1.0] * 20 + [1.0 + 1e-6] * 5 + [1.1], patience=1) == [25]


def test_a_small_change_shows_on_a_large_offset():
    values = np.random.default_rng(0).normal(size=100)
    values[60] += 30.0
    assert fired("divergence", 1e6 + values, rtol=0.0, patience=1) == [60]


def test_neither_huge_nor_tiny_values_upset_it():
    values = np.random.default_rng(0).normal(size=100)
    values[60] += 30.0
    for scale in (1e-30, 1e30):
        assert fired("divergence", scale * values, patience=1) == [60]
