"""Decays against what they say on the tin."""

import jax.numpy as jnp
import numpy as np
import pytest

import lrdecay


def factors(decay, n):
    return [float(decay(jnp.int32(k), jnp.int32(0))) for k in range(n)]


@pytest.mark.parametrize("factor", [0.1, 0.5, 0.999, 1.0])
def test_multiply_is_a_power(factor):
    expected = [np.float64(np.float32(factor)) ** k for k in range(30)]
    np.testing.assert_allclose(factors(lrdecay.multiply(factor), 30), expected, rtol=2e-6)


def test_rungs_take_a_base_at_the_first_rung_down_the_ladder():
    decay = lrdecay.rungs([0.1, 0.01, 0.001])
    rates = 0.1 * np.array(factors(decay, 5))
    np.testing.assert_allclose(rates, [0.1, 0.01, 0.001, 0.001, 0.001], rtol=1e-6)


def test_only_the_ratios_of_rungs_matter():
    np.testing.assert_allclose(
        factors(lrdecay.rungs([0.1, 0.02, 0.001]), 4),
        factors(lrdecay.rungs(np.array([1.0, 0.2, 0.01])), 4),
        rtol=1e-6,
    )


def test_a_ladder_without_rungs_is_refused():
    with pytest.raises(ValueError, match="values must have at least one rung"):
        lrdecay.rungs([])
    with pytest.raises(ValueError, match=r"values\[1\] must be a number above 0, got 0"):
        lrdecay.rungs([0.1, 0])
