"""What triggers measure, against SciPy and float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from lrdecay.triggers import trend

SEEDS = st.integers(0, 2**32 - 1)


@settings(deadline=None)
@given(
    seed=SEEDS, offset=st.sampled_from([0.0, 1e3, -1e6]), scale=st.sampled_from([1e-3, 1.0, 1e25])
)
def test_the_line_is_that_of_least_squares(seed, offset, scale):
    values = (scale * (np.random.default_rng(seed).normal(size=10) + offset)).astype(np.float32)
    level, change, error = trend.line(jnp.asarray(values))
    exact = values.astype(np.float64)
    fit = scipy.stats.linregress(np.arange(10), exact)
    np.testing.assert_allclose(level, np.mean(exact), rtol=1e-6)
    size = np.max(np.abs(exact - np.mean(exact)))
    np.testing.assert_allclose([change, error], [9 * fit.slope, 9 * fit.stderr], atol=2e-6 * size)


@settings(deadline=None)
@given(seed=SEEDS, scale=st.sampled_from([1e-3, 1.0, 1e25]))
def test_the_error_of_a_mean_is_that_of_scipy(seed, scale):
    values = (scale * np.random.default_rng(seed).normal(size=10)).astype(np.float32)
    mean, error = trend.mean_and_error(jnp.asarray(values))
    exact = values.astype(np.float64)
    np.testing.assert_allclose(mean, np.mean(exact), atol=1e-6 * scale)
    np.testing.assert_allclose(error, scipy.stats.sem(exact), rtol=1e-5)


def noises(values):
    def step(noise, value):
        noise = trend.hear(noise, value)
        return noise, noise.deviation

    return np.asarray(jax.lax.scan(step, trend.no_noise(), jnp.asarray(values, jnp.float32))[1])


def test_noise_is_a_mean_of_differences_and_later_an_exponential_one():
    values = np.random.default_rng(0).normal(size=100).astype(np.float32)
    sizes = np.abs(np.diff(values.astype(np.float64))) * np.sqrt(np.pi) / 2
    expected = [0.0, *(np.mean(sizes[:n]) for n in range(1, 21))]
    for size in sizes[20:]:
        expected.append(0.95 * expected[-1] + 0.05 * size)
    np.testing.assert_allclose(noises(values), expected, rtol=1e-5)


@pytest.mark.parametrize("slope", [0.0, 0.1, -0.3])
def test_noise_is_the_standard_deviation_around_a_trend(slope):
    time = np.arange(20_000)
    values = 3.0 * np.random.default_rng(0).normal(size=time.size) + slope * time
    np.testing.assert_allclose(np.mean(noises(values)[1000:]), 3.0, rtol=0.02)


def test_points_keep_the_last_ten_in_order():
    points = trend.no_points()
    for n in range(1, 14):
        points = trend.push(points, jnp.float32(n))
        assert points.count == min(n, 10)
        there = np.arange(max(n - 9, 1), n + 1)
        np.testing.assert_array_equal(points.values[10 - len(there) :], there)


def test_distances_and_ratios_stay_finite():
    huge = jnp.float32(np.finfo(np.float32).max)
    assert trend.distance(huge, -huge) == huge
    assert trend.distance(-huge, huge) == -huge
    assert trend.ratio(jnp.float32(0.0), jnp.float32(0.0)) == 0.0
    assert -huge <= trend.ratio(jnp.float32(-1.0), jnp.float32(0.0)) < -1e37
    assert trend.ratio(jnp.float32(6.0), jnp.float32(0.0)) == huge
    assert trend.ratio(jnp.float32(6.0), jnp.float32(3.0)) == 2.0
