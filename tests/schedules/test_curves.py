"""Every schedule against its closed form, and the laws that all have in common."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from curves import CURVES, END, drawn, numbers, settings, steps_of_interest

import lrdecay

every_curve = pytest.mark.parametrize("name", CURVES)


def rates_of(curve, arguments):
    """(steps, numbers) -> rates, all numbers traced, for arguments that differ in numbers alone."""
    rest = {k: v for k, v in arguments.items() if k not in numbers(arguments)}
    return jax.jit(lambda steps, traced: curve.make(**rest, **traced)(steps))


def test_every_public_schedule_has_a_curve():
    made = {curve.make for curve in CURVES.values()}
    composed = {"join", "product", "repeat", "rescale"}  # wrapped in a lambda there
    other = {"untuned_warmup_steps", "noisy"}  # have tests of their own
    for name in set(lrdecay.__all__) - composed - other:
        thing = getattr(lrdecay, name)
        if thing.__module__.startswith("lrdecay.schedules."):
            assert thing in made, name


@every_curve
def test_equals_its_closed_form(name):
    curve = CURVES[name]
    rates = rates_of(curve, drawn(curve, 0))
    for arguments, steps in settings(curve):
        got = rates(jnp.asarray(steps, jnp.int32), numbers(arguments))
        assert got.dtype == jnp.float32
        expected = curve.closed_form(steps.astype(np.float64), **arguments)
        # Where a curve ends at 0, the closed form itself cancels: hence the absolute 1e-16.
        np.testing.assert_allclose(
            got, expected, rtol=curve.rtol, atol=1e-16, err_msg=f"{arguments}"
        )
        assert np.all(np.isfinite(got))
        assert np.all(np.asarray(got) >= 0)


@every_curve
def test_float64_under_x64(name):
    curve = CURVES[name]
    with jax.enable_x64(True):
        rates = rates_of(curve, drawn(curve, 0))
        for arguments, steps in settings(curve):
            got = rates(jnp.asarray(steps, jnp.int32), numbers(arguments))
            assert got.dtype == jnp.float64
            expected = curve.closed_form(steps.astype(np.float64), **arguments)
            np.testing.assert_allclose(
                got, expected, rtol=1e-12, atol=1e-16, err_msg=f"{arguments}"
            )


@every_curve
def test_takes_python_numbers_and_steps_one_by_one(name):
    curve = CURVES[name]
    arguments = drawn(curve, 1)
    steps = steps_of_interest(curve, arguments)[:6]
    schedule = curve.make(**arguments)
    one_by_one = [schedule(int(t)) for t in steps]
    assert all(rate.shape == () and rate.dtype == jnp.float32 for rate in one_by_one)
    np.testing.assert_allclose(one_by_one, schedule(jnp.asarray(steps, jnp.int32)), rtol=1e-6)


@every_curve
def test_before_step_0_it_is_as_in_step_0(name):
    schedule = CURVES[name].make(**drawn(CURVES[name], 1))
    assert schedule(-1) == schedule(0) == schedule(-END)
