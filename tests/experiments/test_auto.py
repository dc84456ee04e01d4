"""The yardstick against closed forms, and its simulation against its expectation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import lrdecay
from experiments.auto.quadratic import DIMENSIONS, STEPS, best, expected, problem, simulate


def example(spread=0.0, peak=1.0):
    return problem(spread, jnp.float32(0.01), jnp.float32(peak), jnp.float32(0.5), jnp.float32(0.1))


def test_the_best_schedule_follows_the_one_over_t_law():
    p = example()
    m0, c = float(p.start[0]), float(p.variance[0])
    steps = np.arange(1, STEPS + 1)
    closed = DIMENSIONS / 2 / (1 / m0 + steps / c)
    np.testing.assert_allclose(expected(p, best(p)), closed, rtol=1e-3)


def test_no_other_rate_does_better_than_the_best_at_any_step():
    p = example(peak=0.3)
    best_loss = np.asarray(expected(p, best(p)))
    rng = np.random.default_rng(0)
    for _ in range(20):
        other = np.asarray(best(p)) * rng.uniform(0.3, 1.0, STEPS).astype(np.float32)
        assert np.all(np.asarray(expected(p, jnp.asarray(other))) >= best_loss * (1 - 1e-5))


def test_the_mean_over_runs_is_the_expected_loss():
    p = example(spread=1.0)
    schedule = lrdecay.loss_aware(
        lrdecay.cosine(0.5, STEPS), when=lrdecay.plateau(), how=lrdecay.multiply(1.0)
    )
    keys = jax.random.split(jax.random.key(0), 64)
    runs = jax.jit(jax.vmap(functools.partial(simulate, p, schedule)))(keys)
    exact = expected(p, runs.rate[0])
    for steps in (100, 1000, 4000):
        loss = np.asarray(runs.loss[:, steps])
        error = loss.std(ddof=1) / np.sqrt(loss.size)
        assert abs(loss.mean() - exact[steps]) < 4 * error
