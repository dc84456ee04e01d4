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
      settings: pairs of arguments and the peer's rates.
      atol: allowed in float32 where the rate is near 0.
      rtol: allowed in float64, where a peer may go on from the rate before.
    """
    longest = max(len(rates) for _, rates in settings)
    groups = {}  # of settings that differ in numbers alone
    for arguments, expected in settings:
        traced = numbers(arguments)
        words = {k: v for k, v in arguments.items() if k not in traced}
        key = str((words, sorted((k, v.shape) for k, v in traced.items())))
        groups.setdefault(key, (words, []))[1].append((arguments, expected))

    @jax.jit
    def rates(batches):
        """One program for all groups, of each a batch of numbers."""

        def of_group(words, batch, counts):
            return jax.vmap(lambda x, count: make(**words, **x)(count))(batch, counts)

        return [of_group(words, *x) for (words, _), x in zip(groups.values(), batches, strict=True)]

    for x64 in (True, False):
        with jax.enable_x64(x64):
            batches = [
                (
                    jax.tree.map(lambda *x: jnp.stack(x), *(numbers(a) for a, _ in group)),
                    jnp.tile(jnp.arange(longest), (len(group), 1)),
                )
                for _, group in groups.values()
            ]
            exact = {"rtol": rtol, "atol": 1e-15} if x64 else {"rtol": 3e-6, "atol": atol}
            for (_, group), batch in zip(groups.values(), rates(batches), strict=True):
                for (arguments, expected), found in zip(group, np.asarray(batch), strict=True):
                    np.testing.assert_allclose(
                        found[: len(expected)], expected, **exact, err_msg=str(arguments)
                    )


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
    drawn = [draw(rng) for _ in range(SETTINGS)]
    compare(make, [(x, np.array([rate_of(t, **x) for t in range(n)])) for x in drawn], atol)
