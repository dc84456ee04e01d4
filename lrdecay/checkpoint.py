"""The rates' part of an optimizer's state as a flat dictionary with a version.

Whole states go through Orbax and flax.serialization as they are. This is for keeping the few
numbers of the schedules apart: beside the weights of a trainer that saves no optimizer state, or in
a JSON file.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lrdecay.optimizer_state import LearningRateState, deciders, loss_aware_states

VERSION = 1


def _place(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _leaves(opt_state: optax.OptState) -> dict[str, jax.Array]:
    """The leaves that belong to schedules, by their place in the state."""
    found = {}
    for path, node in deciders(opt_state).items():
        own = node
        if isinstance(node, LearningRateState):
            own = node._replace(inner=(), last_grads=())
        for rest, leaf in jax.tree_util.tree_leaves_with_path(own):
            found[_place((*path, *rest))] = leaf
    return found


def to_dict(opt_state: optax.OptState) -> dict[str, Any]:
    """What the schedules of a state have decided and remember, as Python numbers and lists.

    Args:
      opt_state: state of an optimizer with a rate from here, with concrete values: outside of jit.

    Returns:
      `{"version": 1, "state": {place: number or list}}`; its numbers may be infinite, which
      Python's `json` writes and reads.

    Raises:
      ValueError: the state holds no rate.
    """
    state = {place: jnp.asarray(leaf).tolist() for place, leaf in _leaves(opt_state).items()}
    return {"version": VERSION, "state": state}


def from_dict(opt_state: optax.OptState, saved: Mapping[str, Any]) -> optax.OptState:
    """A state whose schedules go on from what `to_dict` has saved.

    Args:
      opt_state: a state of the same optimizer, such as `tx.init(params)`; all else in it is kept.
      saved: what `to_dict` returned, also of schedules with other numbers, such as a smaller
        patience.

    Raises:
      ValueError: saved by a newer version, or by other schedules; the message names the places, or
        the trigger by its number where only that is another.
    """
    version = saved.get("version")
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise ValueError(f"version must be an integer in [1, {VERSION}], got {version!r}")
    numbers, leaves = saved["state"], _leaves(opt_state)
    if different := sorted(set(numbers) ^ set(leaves)):
        raise ValueError(
            "saved must come from schedules of the same form; these are not in both: "
            f"{', '.join(different)}"
        )
    news = {}
    for place, leaf in leaves.items():
        new = jnp.asarray(numbers[place], leaf.dtype)
        if new.shape != leaf.shape:
            raise ValueError(f"{place} must be of shape {leaf.shape}, got {new.shape}")
        news[place] = new

    def restored(path: tuple[Any, ...], leaf: Any) -> Any:
        return news.get(_place(path), leaf)

    state = jax.tree_util.tree_map_with_path(restored, opt_state)
    pairs = zip(loss_aware_states(opt_state), loss_aware_states(state), strict=True)
    for number, (asked, found) in enumerate(pairs, start=1):
        if jnp.any(asked.memory.form != found.memory.form):
            raise ValueError(
                f"saved must come from schedules of the same form; trigger {number} is another"
            )
    return state
