"""The stall against its rule in float64, and on SGD at a constant rate over a quadratic."""

import numpy as np
import scipy.stats
from histories import at_most, changes, fired, first_fires, histories, progress
from hypothesis import given, settings
from hypothesis import strategies as st


def reference(values, window, ratio, mode):
    """Phase after phase of ten blocks, each fitted by SciPy in one go."""
    values = np.asarray(values, np.float64) * (1 if mode == "min" else -1)
    begin, block, fires = 0, window, []
    while begin + 10 * block <= len(values):
        means = values[begin : begin + 10 * block].reshape(10, block).mean(axis=1)
        fit = scipy.stats.linregress(np.arange(10), means)
        begin += 10 * block
        if at_most(-9 * fit.slope, ratio * np.sqrt(block) * 9 * fit.stderr):
            fires.append(begin - 1)
        block *= 2
    return fires


@settings(max_examples=100, deadline=None)
@given(
    values=histories(n=700),
    window=st.sampled_from([1, 3, 8]),
    ratio=st.sampled_from([0.0, 0.8, 3.0]),
    mode=st.sampled_from(["min", "max"]),
)
def test_equals_the_rule_written_down(values, **arguments):
    assert fired("stall", values, **arguments) == reference(values, **arguments)


def test_looks_after_10_and_30_and_70_blocks_whatever_the_metric_does():
    assert fired("stall", np.ones(630), window=2) == [19, 59, 139, 299, 619]
    falling = np.concatenate([np.arange(60.0, 0.0, -1.0), np.zeros(570)])
    assert fired("stall", falling, window=2) == [139, 299, 619]


def test_the_noise_is_that_of_one_observation_at_every_length_of_block():
    # A gain of half of the ratio fires, one of twice the ratio does not, in units of the noise,
    # which comes from 8 degrees of freedom.
    generator = np.random.default_rng(0)
    for window in (16, 64, 256):
        n = 10 * window
        noise = 0.1 * generator.normal(size=(64, n))
        slope = 4.0 * 0.1 * np.arange(n) / (0.9 * n)
        for share, low, high in ((0.5, 0.9, 1.0), (2.0, 0.0, 0.1)):
            values = 5.0 + noise - share * slope
            fires = first_fires("stall", values, window=window, ratio=4.0) < n
            assert low <= np.mean(fires) <= high


def test_steady_progress_does_not_fire_and_its_end_does():
    falling = progress(1120, noise=2e-3, seeds=32, exponent=0.3)
    assert np.all(first_fires("stall", falling) == 1120)
    stopped = progress(2400, noise=2e-3, seeds=32, exponent=0.3, stops=1120)
    assert np.all(first_fires("stall", stopped) == 2399)


def test_fires_where_sgd_has_come_to_its_noise_and_not_before():
    # Loss of SGD on |x|^2 / 2 in 50 dimensions from far off; its time constant is 1 / (2 rate).
    generator = np.random.default_rng(0)
    for rate, first in ((0.1, 159), (0.003, 1119)):
        x, losses = np.full((16, 50), 3.0), []
        for _ in range(1120):
            losses.append(0.5 * np.sum(x**2, axis=1))
            x = x - rate * (x + 0.3 * generator.normal(size=x.shape))
        assert np.mean(first_fires("stall", np.stack(losses, axis=1)) == first) > 0.8


def test_a_level_however_large_does_not_matter():
    # Whole numbers, whose sums of 32 are exact in float32 on the offset as well.
    values = np.round(8 * progress(1000, noise=0.1, seeds=1, seed=3)[0] * 8)
    expected = changes("stall", values)
    assert np.sum(expected) > 0
    np.testing.assert_array_equal(changes("stall", values + 2.0**16, window=16), expected)
