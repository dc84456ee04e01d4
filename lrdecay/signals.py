"""What triggers may watch without being told: numbers that every update brings along."""

from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
import optax

GRAD_NORM = "grad_norm"
PARAM_NORM = "param_norm"
GRAD_ALIGNMENT = "grad_alignment"
SIGNALS = (GRAD_NORM, PARAM_NORM, GRAD_ALIGNMENT)


def signals(
    names: Collection[str], grads: optax.Updates, params: optax.Params | None, last_grads: Any
) -> dict[str, jax.Array]:
    """The signals among these names, f32[] each.

    Args:
      names: metrics that triggers watch: "grad_norm" is the global norm of the gradient,
        "param_norm" that of the parameters before the update, and "grad_alignment" the inner
        product of the gradient with that of the step before (0 in the first step). In a chain,
        the gradient is what the links before have made of it.
      grads: gradients.
      params: parameters.
      last_grads: gradients of the step before, where "grad_alignment" is watched.

    Raises:
      ValueError: "param_norm" is watched and there are no parameters.
    """
    found = {}
    if GRAD_NORM in names:
        found[GRAD_NORM] = optax.tree.norm(grads)
    if PARAM_NORM in names:
        if params is None:
            raise ValueError(
                "a trigger watches 'param_norm': pass the parameters as "
                "tx.update(grads, state, params), got None"
            )
        found[PARAM_NORM] = optax.tree.norm(params)
    if GRAD_ALIGNMENT in names:
        found[GRAD_ALIGNMENT] = jnp.asarray(optax.tree.vdot(last_grads, grads))
    return found
