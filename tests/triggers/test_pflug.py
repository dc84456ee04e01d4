"""Pflug's test against its rule, and on SGD over a quadratic, where both of its sides show."""

import numpy as np
from histories import fired, first_fires
from hypothesis import given, settings
from hypothesis import strategies as st


def reference(values, burn_in, cooldown):
    total, count, resting, fires = 0.0, 0, 0, []
    for i, value in enumerate(np.asarray(values, np.float64)):
        if resting:
            resting -= 1
            continue
        total, count = total + value, count + 1
        if count > burn_in and total < 0:
            fires.append(i)
            total, count, resting = 0.0, 0, cooldown
    return fires


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    drift=st.sampled_from([-0.3, 0.0, 0.3]),
    burn_in=st.sampled_from([0, 5, 20]),
    cooldown=st.integers(0, 3),
)
def test_equals_the_rule_written_down(seed, drift, **arguments):
    values = np.random.default_rng(seed).normal(drift, size=120).astype(np.float32)
    assert fired("pflug", values, **arguments) == reference(values, **arguments)


def alignments(rate, steps, runs=32, curvature=1.0, start=100.0):
    """<g_t, g_(t-1)> of SGD over curvature x^2 / 2 in 10 dimensions, with unit gradient noise."""
    generator = np.random.default_rng(0)
    x, last, seen = np.full((runs, 10), start), np.zeros((runs, 10)), []
    for _ in range(steps):
        gradient = curvature * x + generator.normal(size=x.shape)
        seen.append(np.sum(gradient * last, axis=1))
        x, last = x - rate * gradient, gradient
    return np.stack(seen, axis=1)


def test_fires_at_a_large_rate_once_the_minimum_is_reached():
    # The way there takes some 20 steps at this rate, and outweighs the noise for a long time.
    seen = alignments(rate=1.0, steps=4000, start=3.0)
    assert np.all(first_fires("pflug", seen, burn_in=20) < 4000)


def test_does_not_fire_on_the_way():
    seen = alignments(rate=1e-3, steps=2000)  # 2 of the 7 time constants to the noise
    assert np.all(first_fires("pflug", seen) == 2000)


def test_a_small_rate_around_the_minimum_is_a_coin_tossed():
    # What Pesme et al. (2020) found: it fires soon after its burn-in, with or without a reason.
    seen = alignments(rate=1e-3, steps=3000, start=0.02)
    assert np.mean(first_fires("pflug", seen, burn_in=100) < 300) > 0.3
