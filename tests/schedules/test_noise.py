import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

import lrdecay

STEPS = np.arange(4000)


def noise(**arguments):
    return np.asarray(lrdecay.noisy(0.5, **arguments)(STEPS)) / 0.5 - 1


def test_the_noise_of_a_step_depends_on_the_seed_and_the_step_alone():
    schedule = lrdecay.noisy(lrdecay.linear(1.0, 0.1, 50), 0.3, seed=7)
    together = schedule(STEPS)
    for t in (0, 1, 17, 3999):
        np.testing.assert_allclose(schedule(t), together[t], rtol=1e-6)
        np.testing.assert_allclose(jax.jit(schedule)(jnp.int32(t)), together[t], rtol=1e-6)
    assert not np.any(noise(seed=7) == noise(seed=8))
    assert len(np.unique(noise(seed=7))) > 3990


def test_the_noise_is_a_normal_one_that_is_drawn_anew_beyond_the_limit():
    expected = scipy.stats.truncnorm(-0.4 / 0.25, 0.4 / 0.25, scale=0.25)
    assert scipy.stats.kstest(noise(std=0.25, limit=0.4), expected.cdf).pvalue > 0.01


def test_a_deviation_far_above_the_limit_is_uniform_noise():
    found = noise(std=1000.0, limit=0.4)
    assert scipy.stats.kstest(found, scipy.stats.uniform(-0.4, 0.8).cdf).pvalue > 0.01


def test_the_rate_is_never_negative_and_its_gradients_are_finite():
    rates = lrdecay.noisy(0.5, 1e3, 1.0)(STEPS)
    assert np.all(np.asarray(rates) >= 0)
    gradients = jax.jacrev(lambda std, limit: lrdecay.noisy(std, std, limit)(STEPS), (0, 1))(
        0.5, 0.6
    )
    assert all(np.all(np.isfinite(g)) for g in gradients)
