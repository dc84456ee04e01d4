"""The variance against its rule in float64, and on the histories that it is for."""

import numpy as np
import pytest
from histories import at_most, fired, first_fires, histories, progress
from hypothesis import given, settings
from hypothesis import strategies as st


def reference(values, window, ratio, cooldown, mode):
    sign = 1 if mode == "min" else -1
    heard, resting, fires = [], 0, []
    for i, value in enumerate(np.asarray(values, np.float64)):
        if resting:
            resting -= 1
            continue
        heard.append(sign * value)
        if len(heard) % window or len(heard) < 2 * window:
            continue
        noise = 0.0
        for n, step in enumerate(np.abs(np.diff(heard)), start=1):
            noise += max(1 / n, 0.05) * (step * np.sqrt(np.pi) / 2 - noise)
        gain = np.mean(heard[-2 * window : -window]) - np.mean(heard[-window:])
        if at_most(gain, ratio * noise):
            fires.append(i)
            heard, resting = [], cooldown
    return fires


@settings(max_examples=100, deadline=None)
@given(
    values=histories(),
    window=st.sampled_from([1, 5, 20]),
    ratio=st.sampled_from([0.0, 0.5, 2.0]),
    cooldown=st.sampled_from([0, 7]),
    mode=st.sampled_from(["min", "max"]),
)
def test_equals_the_rule_written_down(values, **arguments):
    assert fired("variance", values, **arguments) == reference(values, **arguments)


def test_fires_where_progress_stops_and_not_before():
    histories = progress(1000, noise=2e-3, seeds=32, stops=500)
    settings = {"window": 100, "ratio": 0.5}
    assert np.all(first_fires("variance", histories, **settings) >= 500)
    assert np.all(first_fires("variance", histories, first=500, **settings) <= 200)


def test_does_not_fire_in_steady_progress():
    assert np.all(first_fires("variance", progress(1000, noise=2e-3, seeds=64)) == 1000)


def test_noise_alone_however_large_does_not_fire():
    # The noise is a hundred times the gain of an observation, and still that of a window is more.
    for noise in (0.1, 1.0, 10.0):
        values = np.random.default_rng(0).normal(scale=noise, size=(16, 1000))
        falling = values - 0.02 * noise * np.arange(1000)
        assert np.all(first_fires("variance", falling, window=100, ratio=0.5) == 1000)
        assert np.all(first_fires("variance", values, window=100, ratio=0.5) == 199)


@pytest.mark.parametrize("level", [0.0, 1.0, -3.0])
def test_a_constant_metric_is_a_plateau(level):
    assert fired("variance", [level] * 25, window=5) == [9, 19]


def test_scale_and_offset_do_not_matter():
    values = progress(1000, noise=0.01, stops=300)[0].astype(np.float32)
    expected = fired("variance", values, window=50)
    assert expected != []
    for scale, offset in ((2.0**-60, 0.0), (2.0**60, 0.0), (2.0**20, 2.0**26)):
        assert fired("variance", scale * values + offset, window=50) == expected


def test_a_small_change_shows_on_a_large_offset():
    # Float32 has steps of 1/16 there, and windows of 100 gain 10.
    noise = np.random.default_rng(0).normal(size=1000)
    falling = 1e6 + noise - 0.1 * np.arange(1000)
    assert fired("variance", falling, window=100, ratio=0.5) == []
    assert fired("variance", 1e6 + noise, window=100, ratio=0.5) == [199, 399, 599, 799, 999]
