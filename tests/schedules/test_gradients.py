"""The gradient of every schedule in every continuous hyperparameter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from curves import CURVES, drawn, numbers, settings

import lrdecay

pytestmark = pytest.mark.usefixtures("compiled_quickly")


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
        jacobian = jax.jit(jax.jacfwd(lambda reals: curve.make(**rest, **reals)(steps)))
        found = jacobian(reals)
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
