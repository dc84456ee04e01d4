"""Many numbers in two arrays: each array of a state costs time in every step."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Packed(NamedTuple):
    """The leaves of a pytree, in its order.

    Attributes:
      floats: its float32 scalars, f32[n].
      ints: its int32 scalars, i32[m].
      others: its other leaves, as they are.
    """

    floats: jax.Array
    ints: jax.Array
    others: tuple[Any, ...]


@jax.jit
def vector(numbers: Sequence[jax.Array]) -> jax.Array:
    """Scalars of one dtype, at least one, as an array [n]."""
    # By selects, which XLA fuses with what computes the numbers; of those that it is to
    # concatenate, each is a kernel on a CPU.
    index = jnp.arange(len(numbers))
    filled = jnp.broadcast_to(numbers[0], index.shape)
    for i, number in enumerate(numbers[1:], start=1):
        filled = jnp.where(index == i, number, filled)
    return filled


def _part(leaf: Any) -> int:
    """Which field of `Packed` a leaf goes to."""
    if leaf.shape != ():
        return 2
    return {jnp.dtype(jnp.float32): 0, jnp.dtype(jnp.int32): 1}.get(leaf.dtype, 2)


def _form(tree: Any) -> Any:
    return jax.tree.map(lambda x: f"{x.dtype}{list(x.shape)}", tree)


def pack(tree: Any, like: Any) -> Packed:
    """A pytree of arrays in as few arrays as there can be, each in a buffer of its own.

    Args:
      tree: the pytree.
      like: the form that it must have, as by `jax.eval_shape`.

    Raises:
      TypeError: it has another; else it could not be told apart again.
    """
    if _form(tree) != _form(like):
        raise TypeError(f"a state must keep its form, got {_form(tree)} after {_form(like)}")
    parts: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
    for leaf in jax.tree.leaves(tree):
        parts[_part(leaf)].append(leaf)
    floats, ints, others = parts
    return Packed(
        vector(floats) if floats else jnp.zeros(0, jnp.float32),
        vector(ints) if ints else jnp.zeros(0, jnp.int32),
        tuple(others),
    )


def unpack(packed: Packed, like: Any, *, first: bool = False) -> Any:
    """The pytree that was packed.

    Args:
      packed: what `pack` returned; also with leading axes, as outside of `jax.vmap`.
      like: the pytree's form, as by `jax.eval_shape`.
      first: whether that is but the first part of what was packed.

    Raises:
      ValueError: what was packed has another form.
    """
    leaves, treedef = jax.tree.flatten(like)
    wanted = [_part(leaf) for leaf in leaves]
    found = (
        jnp.unstack(packed.floats, axis=-1),
        jnp.unstack(packed.ints, axis=-1),
        packed.others,
    )
    counts = [wanted.count(part) for part in range(3)]
    if not first and counts != [len(part) for part in found]:
        raise ValueError(
            f"the state is of another schedule: it must have {counts[0]} floats, {counts[1]} ints "
            f"and {counts[2]} other arrays, got {', '.join(str(len(part)) for part in found)}"
        )
    rest = [iter(part) for part in found]
    return jax.tree.unflatten(treedef, [next(rest[part]) for part in wanted])
