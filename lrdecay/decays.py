"""Decays: *how* the rate changes, as pure functions of a trigger's fires.

A decay is `factor(fires, since)`: `fires` is i32[], how often the trigger has fired, and `since` is
i32[], the steps since it last did (0 in the first step that feels it). With no fires it is 1.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from lrdecay.arguments import Factor, Number, checked

Decay = Callable[[jax.Array, jax.Array], jax.Array]
Rungs = Annotated[
    Sequence[ArrayLike] | jax.Array | np.ndarray, Number(low=0, open_low=True, many=True)
]


@checked
def multiply(factor: Factor = 0.1) -> Decay:
    """Each fire multiplies the rate by `factor`, in (0, 1]."""

    def decay(fires: jax.Array, since: jax.Array) -> jax.Array:
        del since
        return jnp.asarray(factor, jnp.float32) ** fires.astype(jnp.float32)

    return decay


@checked
def rungs(values: Rungs) -> Decay:
    """Each fire takes the rate one rung down a ladder, to stay on the last.

    With a base of 0.1, `rungs([0.1, 0.01, 0.001])` is the classic 0.1, then 0.01, then 0.001. Only
    the ratios to the first rung matter: `[1, 0.1, 0.01]` is the same ladder.

    Args:
      values: the rates at 0, 1, 2, ... fires, each above 0, f32[n] with n >= 1.

    Raises:
      ValueError: no rungs, or one that is not above 0.
    """
    if len(values) < 1:
        raise ValueError("values must have at least one rung, got none")

    def decay(fires: jax.Array, since: jax.Array) -> jax.Array:
        del since
        ladder = jnp.stack([jnp.asarray(v, jnp.float32) for v in values])
        return ladder[jnp.minimum(fires, len(values) - 1)] / ladder[0]

    return decay
