"""Optax itself, at many random settings, and what it cannot do."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from peers import SETTINGS, compare, steps, uniform

from lrdecay.compat import optax as compat


def transition(r):
    return {"transition_steps": steps(r), "transition_begin": steps(r, 0, 10)}


def values(r, *names):
    return {name: uniform(r, 0.1, 1) for name in names}


def scales(r):
    boundaries = map(int, r.choice(np.arange(1, 60), 3, replace=False))
    return {boundary: uniform(r, 0, 1.5) for boundary in boundaries}


def one_cycle(r):
    factors = {"div_factor": uniform(r, 1, 40), "final_div_factor": uniform(r, 1, 1e4)}
    return {"transition_steps": steps(r, 10, 80)} | values(r, "peak_value") | factors


CASES = {
    "linear_schedule": lambda r: transition(r) | values(r, "init_value", "end_value"),
    "polynomial_schedule": lambda r: (
        transition(r) | values(r, "init_value", "end_value") | {"power": uniform(r, 0.3, 3)}
    ),
    "exponential_decay": lambda r: (
        transition(r)
        | values(r, "init_value")
        | {"decay_rate": uniform(r, 0.2, 0.9), "end_value": uniform(r, 0, 0.05)}
    ),
    "cosine_decay_schedule": lambda r: (
        values(r, "init_value", "alpha") | {"decay_steps": steps(r), "exponent": uniform(r, 0.3, 3)}
    ),
    "warmup_constant_schedule": lambda r: (
        values(r, "init_value", "peak_value") | {"warmup_steps": steps(r)}
    ),
    "warmup_cosine_decay_schedule": lambda r: (
        values(r, "init_value", "peak_value", "end_value")
        | {"warmup_steps": steps(r, 1, 20), "decay_steps": steps(r, 20, 60)}
    ),
    "warmup_exponential_decay_schedule": lambda r: (
        transition(r)
        | values(r, "init_value", "peak_value")
        | {"warmup_steps": steps(r), "decay_rate": uniform(r, 0.2, 0.9), "staircase": True}
    ),
}
FIXED = {  # arguments that become boundaries, and are no numbers to trace here
    "linear_onecycle_schedule": lambda r: (
        one_cycle(r) | {"pct_start": uniform(r, 0.1, 0.4), "pct_final": uniform(r, 0.5, 0.9)}
    ),
    "cosine_onecycle_schedule": lambda r: one_cycle(r) | {"pct_start": uniform(r, 0.1, 0.4)},
    "piecewise_constant_schedule": lambda r: (
        values(r, "init_value") | {"boundaries_and_scales": scales(r)}
    ),
    "piecewise_interpolate_schedule": lambda r: (
        values(r, "init_value")
        | {
            "boundaries_and_scales": scales(r),
            "interpolate_type": str(r.choice(["linear", "cosine"])),
        }
    ),
    "sgdr_schedule": lambda r: {
        "cosine_kwargs": [CASES["warmup_cosine_decay_schedule"](r) for _ in range(3)]
    },
}


def by_optax(name, arguments, n=160):
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        return np.asarray(jax.vmap(getattr(optax, name)(**arguments))(jnp.arange(float(n))))


@pytest.mark.parametrize("name", CASES)
def test_equals_optax_with_every_number_traced(name):
    rng = np.random.default_rng(0)
    drawn = [CASES[name](rng) for _ in range(SETTINGS)]
    compare(getattr(compat, name), [(a, by_optax(name, a)) for a in drawn])


@pytest.mark.parametrize("name", FIXED)
def test_equals_optax(name):
    rng = np.random.default_rng(0)
    for _ in range(5):
        arguments = FIXED[name](rng)
        expected = by_optax(name, arguments)
        with jax.enable_x64(True):
            schedule = getattr(compat, name)(**arguments)
            np.testing.assert_allclose(schedule(jnp.arange(160)), expected, rtol=1e-11, atol=1e-15)


def test_a_warmup_of_no_steps_is_over_at_once():
    assert optax.warmup_constant_schedule(0.0, 0.1, 0)(100) == 0.0  # the fault of Optax
    assert compat.warmup_constant_schedule(0.0, 0.1, 0)(0) == np.float32(0.1)


def test_the_lengths_of_a_one_cycle_may_be_traced():
    def rate(total, share):
        return compat.cosine_onecycle_schedule(total, 0.1, share)(30)

    totals, shares = jnp.asarray([100, 60, 40]), jnp.asarray([0.3, 0.5, 0.75])
    np.testing.assert_allclose(jax.vmap(rate)(totals, shares), 0.1, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: compat.warmup_cosine_decay_schedule(0.0, 0.1, 9, 5),
            "warmup_steps must be at most the 5 of decay_steps, got 9",
        ),
        (
            lambda: compat.linear_onecycle_schedule(9, 0.1, 0.9, 0.8),
            "pct_final must be at least the 0.9 of pct_start, got 0.8",
        ),
        (
            lambda: compat.piecewise_constant_schedule(0.1, {5: -1.0}),
            r"boundaries_and_scales\[5\] must be a number of at least 0, got -1.0",
        ),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
