"""How schedules are compared with a peer's, at many random settings."""

import jax
import jax.numpy as jnp
import numpy as np
from curves import numbers

SETTINGS = 25


def uniform(rng, low, high):
    """A number that float32 holds, so that float32 has no error in it."""
    return float(np.float32(rng.uniform(low, high)))


def steps(rng, low=1, high=40):
    """A length in steps."""
    return int(rng.integers(low, high))


def compare(make, settings, atol=1e-8, rtol=1e-11):
    """Equal to what the peer gave, in float64, and to the precision of float32 in that.

    Args:
      make: arguments -> schedule.
      settings: pairs of arguments, which differ in numbers alone, and the peer's rates.
      atol: allowed in float32 where the rate is near 0.
      rtol: allowed in float64, where a peer may go on from the rate before.
    """
    longest = max(len(rates) for _, rates in settings)
    words = {k: v for k, v in settings[0][0].items() if k not in numbers(settings[0][0])}
    compiled = jax.jit(lambda traced, count: make(**words, **traced)(count))
    for x64 in (True, False):
        with jax.enable_x64(x64):
            for arguments, expected in settings:
                found = compiled(numbers(arguments), jnp.arange(longest))[: len(expected)]
                exact = {"rtol": rtol, "atol": 1e-15} if x64 else {"rtol": 3e-6, "atol": atol}
                np.testing.assert_allclose(found, expected, **exact, err_msg=str(arguments))


def compare_with(make, rate_of, draw, n=160, atol=1e-8):
    """Equal to a peer's formula.

    Args:
      make: arguments -> schedule.
      rate_of: (t, **arguments) -> the peer's rate at step t, in plain Python.
      draw: a random generator -> arguments.
      n: number of steps.
      atol: allowed in float32 where the rate is near 0.
    """
    rng = np.random.default_rng(0)
    groups = {}
    for _ in range(SETTINGS):
        arguments = draw(rng)
        rates = np.array([rate_of(t, **arguments) for t in range(n)])
        words = {k: v for k, v in arguments.items() if k not in numbers(arguments)}
        groups.setdefault(str((sorted(arguments), words)), []).append((arguments, rates))
    for settings in groups.values():
        compare(make, settings, atol)
