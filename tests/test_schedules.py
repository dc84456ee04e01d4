"""Schedules against closed forms in float64, at every boundary and its neighbours."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrdecay

END = 2**31 - 1
# name: (schedule, closed form of t in float64, steps where something changes)
CURVES = {
    "constant": (lrdecay.constant(0.1), lambda t: 0.1 + 0.0 * t, [0]),
    "linear down": (
        lrdecay.linear(0.1, 0.01, 30),
        lambda t: 0.1 + (0.01 - 0.1) * np.minimum(t / 30, 1),
        [30],
    ),
    "linear up": (
        lrdecay.linear(0.0, 0.5, 7),
        lambda t: 0.5 * np.minimum(t / 7, 1),
        [7],
    ),
    "cosine": (
        lrdecay.cosine(0.1, 1000, 0.001),
        lambda t: 0.001 + 0.099 * (1 + np.cos(np.pi * np.minimum(t / 1000, 1))) / 2,
        [1000],
    ),
    "exponential": (
        lrdecay.exponential(0.1, 10, 0.5, end_value=1e-6),
        lambda t: np.maximum(0.1 * 0.5 ** (t / 10), 1e-6),
        [10, 166, 167],
    ),
    "step": (
        lrdecay.step(0.1, 25, 0.1),
        lambda t: np.maximum(0.1 * 0.1 ** np.floor(t / 25), 0),
        [25, 50, 75],
    ),
    "warmup": (
        lrdecay.warmup(lrdecay.cosine(0.1, 40), 10, init_value=0.02),
        lambda t: np.where(
            t < 10,
            0.02 + 0.08 * t / 10,
            0.05 * (1 + np.cos(np.pi * np.clip((t - 10) / 40, 0, 1))),
        ),
        [10, 50],
    ),
    "join": (
        lrdecay.join([0.3, lrdecay.linear(0.2, 0.1, 5), 0.05], [3, 10]),
        lambda t: np.where(
            t < 3, 0.3, np.where(t < 10, 0.2 - 0.1 * np.clip((t - 3) / 5, 0, 1), 0.05)
        ),
        [3, 8, 10],
    ),
}
every_curve = pytest.mark.parametrize("name", CURVES)


def steps_of_interest(boundaries):
    near = [b + d for b in boundaries for d in (-1, 0, 1)]
    far = [10 * boundaries[-1], END - 1, END]
    return np.unique([t for t in [0, 1, 2, *near, *far] if t >= 0])


@every_curve
def test_equals_its_closed_form(name):
    schedule, closed_form, boundaries = CURVES[name]
    for t in steps_of_interest(boundaries):
        rate = schedule(jnp.int32(t))
        assert rate.dtype == jnp.float32
        # Where the curve ends at 0, the closed form itself cancels: hence the absolute 1e-16.
        np.testing.assert_allclose(rate, closed_form(np.float64(t)), rtol=2e-6, atol=1e-16)


@every_curve
def test_takes_python_numbers_and_arrays_of_steps(name):
    schedule, _, boundaries = CURVES[name]
    steps = steps_of_interest(boundaries)
    together = schedule(jnp.asarray(steps, jnp.int32))
    assert together.shape == steps.shape
    np.testing.assert_allclose(together, [schedule(int(t)) for t in steps], rtol=1e-6)


@every_curve
def test_float64_under_x64(name):
    schedule, closed_form, boundaries = CURVES[name]
    with jax.enable_x64(True):
        for t in steps_of_interest(boundaries):
            rate = schedule(jnp.int32(t))
            assert rate.dtype == jnp.float64
            np.testing.assert_allclose(rate, closed_form(np.float64(t)), rtol=1e-12, atol=1e-17)


def test_ends_are_exact_and_held():
    for make in (lrdecay.linear, lambda a, b, n: lrdecay.cosine(a, n, b)):
        schedule = make(0.3, 0.007, 1000)
        assert schedule(0) == np.float32(0.3)
        for t in (1000, 1001, 10_000, END):
            assert schedule(t) == np.float32(0.007)


def test_a_phase_of_no_steps_is_skipped():
    assert lrdecay.linear(0.3, 0.1, 0)(0) == np.float32(0.1)
    assert lrdecay.cosine(0.3, 0, 0.1)(0) == np.float32(0.1)
    assert lrdecay.warmup(0.3, 0)(0) == np.float32(0.3)
    assert lrdecay.join([0.3, 0.2, 0.1], [5, 5])(5) == np.float32(0.1)


def test_the_tail_of_a_long_cosine_keeps_its_relative_accuracy():
    n = 100_000_000
    schedule = lrdecay.cosine(1.0, n)
    for left in (1, 2, 3, 100, 12345):
        expected = np.sin(np.pi / 2 * left / n) ** 2
        np.testing.assert_allclose(schedule(n - left), expected, rtol=1e-6)


def test_steps_past_the_integers_of_float32_are_told_apart():
    n = 2**25
    schedule = lrdecay.step(1.0, n + 1, 0.5)
    assert schedule(n) == 1.0
    assert schedule(n + 1) == 0.5


@jax.numpy_dtype_promotion("standard")  # which Optax's own schedules need
def test_optax_schedules_and_numbers_are_accepted():
    joined = lrdecay.join([optax.linear_schedule(0.0, 1.0, 4), 0.5], [4])
    np.testing.assert_allclose([joined(t) for t in range(6)], [0, 0.25, 0.5, 0.75, 0.5, 0.5])
    warm = lrdecay.warmup(optax.cosine_decay_schedule(1.0, 10), 2)
    np.testing.assert_allclose([warm(t) for t in range(3)], [0, 0.5, 1])


@pytest.mark.parametrize("t", [0, 3, 9, 10, 11, 60])
def test_gradients_are_finite_and_right(t):
    def rate(peak, end, rate):
        exponential = lrdecay.exponential(peak, 5, rate)
        return lrdecay.warmup(lrdecay.join([lrdecay.cosine(peak, 20, end), exponential], [20]), 10)(
            t
        )

    at = (0.3, 0.1, 0.5)
    gradients = jax.grad(rate, (0, 1, 2))(*at)
    for i, gradient in enumerate(gradients):
        h = 1e-3
        up, down = list(at), list(at)
        up[i] += h
        down[i] -= h
        np.testing.assert_allclose(gradient, (rate(*up) - rate(*down)) / (2 * h), atol=2e-3)


def test_a_schedule_that_is_off_does_not_poison_the_gradient():
    def inverse(scale):
        return lambda t: (
            scale / (t.astype(float) - 5.0)
        )  # infinite at its step 5, which comes after its end

    def rate(scale):
        return lrdecay.join([inverse(scale), lambda t: scale * jnp.ones_like(t, float)], [3])(8)

    np.testing.assert_allclose(jax.grad(rate)(2.0), 1.0)


def test_structural_mistakes_are_named():
    with pytest.raises(ValueError, match="boundaries must be one fewer than schedules"):
        lrdecay.join([0.1, 0.2], [1, 2])
    with pytest.raises(ValueError, match=r"boundaries must not fall, got \[5, 2\]"):
        lrdecay.join([0.1, 0.2, 0.3], [5, 2])
    aware = lrdecay.loss_aware(0.1, when=lrdecay.plateau(), how=lrdecay.multiply())
    with pytest.raises(TypeError, match="put the warmup inside"):
        lrdecay.warmup(aware, 10)
