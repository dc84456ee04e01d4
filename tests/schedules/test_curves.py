"""Every schedule against its closed form, its gradients, and the laws that all have in common."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from curves import CURVES, END, drawn, numbers, steps_of_interest

import lrdecay
import lrdecay.schedules

SETTINGS = 8
every_curve = pytest.mark.parametrize("name", CURVES)


def rates_of(curve, arguments):
    """(steps, numbers) -> rates, all numbers traced, for arguments that differ in numbers alone."""
    rest = {k: v for k, v in arguments.items() if k not in numbers(arguments)}
    return jax.jit(lambda steps, traced: curve.make(**rest, **traced)(steps))


def settings(curve):
    for seed in range(SETTINGS):
        arguments = drawn(curve, seed)
        yield arguments, steps_of_interest(curve, arguments, seed)


def test_every_public_schedule_has_a_curve():
    made = {curve.make for curve in CURVES.values()}
    composed = {"join", "product", "repeat", "rescale"}  # wrapped in a lambda there
    other = {"as_schedule", "untuned_warmup_steps", "noisy"}  # have tests of their own
    for name in lrdecay.schedules.__all__:
        thing = getattr(lrdecay.schedules, name)
        if inspect.isfunction(thing) and name not in composed | other:
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
    steps = steps_of_interest(curve, arguments)[:12]
    schedule = curve.make(**arguments)
    one_by_one = [schedule(int(t)) for t in steps]
    assert all(rate.shape == () and rate.dtype == jnp.float32 for rate in one_by_one)
    np.testing.assert_allclose(one_by_one, schedule(jnp.asarray(steps, jnp.int32)), rtol=1e-6)


@every_curve
def test_before_step_0_it_is_as_in_step_0(name):
    schedule = CURVES[name].make(**drawn(CURVES[name], 1))
    assert schedule(-1) == schedule(0) == schedule(-END)


def continuous(arguments):
    return {k: v for k, v in numbers(arguments).items() if jnp.issubdtype(v.dtype, jnp.floating)}


every_continuous_curve = pytest.mark.parametrize(
    "name", [name for name, curve in CURVES.items() if continuous(drawn(curve, 0))]
)


@every_continuous_curve
def test_gradients_are_finite_everywhere_also_inside_joins(name):
    curve = CURVES[name]

    @jax.jit
    def gradients(steps, reals, others):
        def rate(reals, t):
            schedule = curve.make(**words, **others, **reals)
            inner = lrdecay.join([0.1, schedule, schedule], [5, 20])
            return schedule(t) + lrdecay.warmup(inner, 3, shape="1-sqrt")(t)

        return jax.vmap(jax.grad(rate), (None, 0))(reals, steps)

    words = {k: v for k, v in drawn(curve, 0).items() if k not in numbers(drawn(curve, 0))}
    for arguments, steps in settings(curve):
        reals = continuous(arguments)
        others = {k: v for k, v in numbers(arguments).items() if k not in reals}
        found = gradients(jnp.asarray(steps, jnp.int32), reals, others)
        for parameter, gradient in found.items():
            assert np.all(np.isfinite(gradient)), (parameter, arguments, steps)


@every_continuous_curve
def test_gradients_are_those_of_the_closed_form(name):
    curve = CURVES[name]
    with jax.enable_x64(True):
        arguments = drawn(curve, 1)
        rest = {k: v for k, v in arguments.items() if k not in continuous(arguments)}
        steps = np.arange(0, 2 * max([1, *curve.boundaries(**arguments)]), 3)
        if "length_factor" in arguments:
            rest |= {"length_factor": arguments.pop("length_factor")}  # where cycles begin jumps
        reals = continuous(arguments)
        found = jax.jacfwd(lambda reals: curve.make(**rest, **reals)(jnp.asarray(steps)))(reals)
        for parameter in reals:
            for i in np.ndindex(np.shape(arguments[parameter])):

                def moved(h, parameter=parameter, i=i):
                    value = np.array(arguments[parameter], np.float64)
                    value[i] *= 1 + h
                    value = value.tolist()
                    return curve.closed_form(
                        steps.astype(np.float64), **{**arguments, **rest, parameter: value}
                    )

                h = 1e-5
                value = np.asarray(arguments[parameter])[i]
                expected = (moved(h) - moved(-h)) / (2 * h * value)
                got = found[parameter][(slice(None), *i)]
                np.testing.assert_allclose(
                    got, expected, rtol=1e-6, atol=1e-6, err_msg=f"{parameter} {arguments}"
                )
