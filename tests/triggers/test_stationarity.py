"""Stationarity against its rule, against SASA's own statistic, and on SGD over a quadratic."""

import numpy as np
import scipy.stats
from histories import at_most, fired, first_fires
from hypothesis import given, settings
from hypothesis import strategies as st


def reference(values, window, z, cooldown):
    heard, resting, fires = [], 0, []
    for i, value in enumerate(np.asarray(values, np.float64)):
        if resting:
            resting -= 1
            continue
        heard.append(value)
        if len(heard) > 10 * window and (len(heard) - 1) % window == 0:
            changes = np.diff(np.square(heard[::window])[-11:])
            if at_most(abs(np.mean(changes)), z * scipy.stats.sem(changes)):
                fires.append(i)
                heard, resting = [], cooldown
    return fires


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    drift=st.sampled_from([-0.02, 0.0, 0.1]),
    window=st.sampled_from([1, 4]),
    z=st.sampled_from([0.2, 1.0, 2.0]),
    cooldown=st.integers(0, 3),
)
def test_equals_the_rule_written_down(seed, drift, **arguments):
    noise = np.random.default_rng(seed).normal(size=120)
    values = np.abs(5 + drift * np.arange(120) + noise).astype(np.float32)
    assert fired("stationarity", values, **arguments) == reference(values, **arguments)


def descent(rate, steps, runs=1, start=1.0, momentum=0.0):
    """All x and updates d of SGD over |x - 3|^2 / 2 in 50 dimensions, with unit gradient noise."""
    generator = np.random.default_rng(0)
    x, d = np.full((runs, 50), 3.0 + start), np.zeros((runs, 50))
    xs, ds = [], []
    for _ in range(steps):
        d = momentum * d + x - 3.0 + generator.normal(size=x.shape)
        xs.append(x)
        ds.append(d)
        x = x - rate * d
    return np.stack(xs, axis=1), np.stack(ds, axis=1)


def test_the_norm_alone_gives_the_statistic_of_sasa_with_momentum_too():
    for momentum in (0.0, 0.9):
        x, d = (a[0] for a in descent(0.02, 1001, momentum=momentum))
        statistic = np.sum(x * d, axis=1) - 0.01 * np.sum(d * d, axis=1)
        squares = np.sum(x * x, axis=1)
        np.testing.assert_allclose(
            np.mean(statistic[:1000]), (squares[0] - squares[1000]) / (2 * 0.02 * 1000)
        )


def test_fires_in_stationarity_and_not_on_the_way():
    # The time constant is 1 / rate = 1000 steps: 1000 steps on the way, or from 8000 on at rest.
    x, _ = descent(1e-3, 12000, runs=16)
    norms = np.linalg.norm(x, axis=2)
    assert np.all(first_fires("stationarity", norms) >= 2000)
    assert np.all(first_fires("stationarity", norms[:, 8000:]) < 2000)


def test_a_norm_that_does_not_move_is_stationary():
    assert fired("stationarity", np.full(300, 7.0), window=10) == [100, 201]
