"""CUSUM against its closed form in float64, and on the histories that it is for."""

import numpy as np
import pytest
from histories import at_most, fired, first_fires, histories, progress
from hypothesis import given, settings
from hypothesis import strategies as st


def reference(values, slack, threshold, cooldown, mode):
    sign = 1 if mode == "min" else -1
    heard, resting, fires = [], 0, []
    for i, value in enumerate(np.asarray(values, np.float64)):
        if resting:
            resting -= 1
            continue
        heard.append(sign * value)
        noise, terms = 0.0, []
        for n, step in enumerate(np.diff(heard), start=1):
            noise += max(1 / n, 0.05) * (abs(step) * np.sqrt(np.pi) / 2 - noise)
            terms.append(min(step / noise, 4.0) + slack)
        # The sum from the moment on that makes it largest.
        total = max([sum(terms[k:]) for k in range(len(terms))], default=0.0)
        if not at_most(total, threshold):
            fires.append(i)
            heard, resting = [], cooldown
    return fires


@settings(max_examples=60, deadline=None)
@given(
    values=histories(),
    slack=st.sampled_from([0.05, 0.3, 1.0]),
    threshold=st.sampled_from([3.0, 6.0, 10.0]),
    cooldown=st.integers(0, 3),
    mode=st.sampled_from(["min", "max"]),
)
def test_equals_its_closed_form(values, **arguments):
    assert fired("cusum", values, **arguments) == reference(values, **arguments)


def test_fires_where_progress_stops_and_not_before():
    histories = progress(1000, noise=5e-4, seeds=32, stops=500)
    assert np.all(first_fires("cusum", histories, slack=0.05) >= 500)
    assert np.all(first_fires("cusum", histories, first=500, slack=0.05) <= 250)


def test_false_alarms_are_rare_in_steady_progress():
    # The progress is 0.14 times the noise at the end, against a slack of 0.05.
    steady = progress(1000, noise=5e-4, seeds=128)
    assert np.mean(first_fires("cusum", steady, slack=0.05) < 1000) < 0.05


def test_the_delay_is_threshold_by_slack_where_there_is_nothing_but_a_stop():
    assert fired("cusum", np.ones(300), slack=0.125, threshold=10.0) == [80, 161, 242]


def test_a_lower_slack_or_a_higher_threshold_fires_later():
    flat = np.random.default_rng(0).normal(size=(64, 2000))
    base = np.mean(first_fires("cusum", flat, slack=0.05, threshold=10.0))
    assert base < np.mean(first_fires("cusum", flat, slack=0.02, threshold=10.0))
    assert base < np.mean(first_fires("cusum", flat, slack=0.05, threshold=15.0))


@pytest.mark.parametrize("height", [1.0, 100.0])
def test_a_spike_and_the_recovery_after_it_do_not_fire(height):
    time = np.arange(150)
    falling = 1 - 1e-3 * time + 2e-3 * np.random.default_rng(0).normal(size=150)
    spike = height * (time >= 75) * 0.8 ** np.maximum(time - 75, 0)
    assert fired("cusum", falling + spike) == []


def test_offset_and_scale_do_not_matter():
    values = progress(1000, noise=0.01, stops=300)[0].astype(np.float32)
    expected = fired("cusum", values)
    assert expected != []
    for scale, offset in ((2.0**-60, 0.0), (2.0**60, 0.0), (1.0, -4.0)):
        assert fired("cusum", scale * values + offset) == expected
