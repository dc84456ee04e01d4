"""Packed states: what goes in comes out, and how few arrays that takes."""

from typing import NamedTuple

import chex
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lrdecay
from lrdecay.packing import pack, unpack

PARAMS = {"w": jnp.ones((3, 2)), "b": jnp.ones(2)}


class Pair(NamedTuple):
    first: object
    second: object


def leaf(dtype, shape, seed):
    # Any bits: NaNs, infinities and subnormal numbers too.
    raw = np.random.default_rng(seed).integers(0, 256, (*shape, np.dtype(dtype).itemsize), np.uint8)
    return raw[..., 0] > 127 if dtype == "bool" else raw.view(dtype)[..., 0]


scalars = st.builds(leaf, st.sampled_from(["float32", "int32"]), st.just(()), st.integers(0, 99))
others = st.builds(
    leaf,
    st.sampled_from(["float32", "int32", "float16", "int8", "bool"]),
    st.sampled_from([(), (1,), (3,), (2, 2)]),
    st.integers(0, 99),
)
trees = st.recursive(
    st.one_of(scalars, others),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.sampled_from("abc"), inner),
        st.builds(Pair, inner, inner),
    ),
    max_leaves=12,
)


def assert_same_bits(found, expected):
    chex.assert_trees_all_equal_structs(found, expected)
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert x.dtype == y.dtype
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


@settings(max_examples=60, deadline=None)
@given(trees)
def test_what_was_packed_is_unpacked_bit_for_bit(tree):
    packed = pack(tree, tree)
    assert packed.floats.dtype == jnp.float32
    assert packed.ints.dtype == jnp.int32
    assert all(x.shape or x.dtype not in ("float32", "int32") for x in packed.others)
    assert_same_bits(unpack(packed, tree), tree)


@settings(max_examples=20, deadline=None)
@given(trees)
def test_it_is_unpacked_batched_outside_of_vmap_and_inside(tree):
    rows = [jax.tree.map(np.array, tree), jax.tree.map(np.zeros_like, tree)]
    stacked = jax.tree.map(lambda *x: np.stack(x), *rows)
    if not jax.tree.leaves(stacked):
        return
    packed = jax.vmap(lambda x: pack(x, tree))(stacked)
    assert_same_bits(unpack(packed, tree), stacked)
    assert_same_bits(jax.vmap(lambda x: unpack(x, tree))(packed), stacked)


@settings(max_examples=20, deadline=None)
@given(trees, trees)
def test_the_first_part_is_unpacked_by_itself(first, second):
    packed = pack(Pair(first, second), Pair(first, second))
    assert_same_bits(unpack(packed, first, first=True), first)


def test_another_form_is_refused():
    one, two = jnp.zeros(()), jnp.zeros((), jnp.int32)
    with pytest.raises(TypeError, match=r"must keep its form, got \['int32\[\]'\] after"):
        pack([two], [one])
    with pytest.raises(TypeError, match="must keep its form"):
        pack([one], [one, one])
    with pytest.raises(ValueError, match="it must have 2 floats, 0 ints and 0 other arrays, got 1"):
        unpack(pack([one], [one]), [one, one])


def test_a_trigger_that_changes_the_form_of_its_state_is_refused():
    when = lrdecay.Trigger(
        lambda: jnp.zeros((), jnp.int32),
        lambda state, step, observed: (
            state.astype(jnp.float32),
            lrdecay.plateau().update(lrdecay.plateau().init(), step, observed)[1],
        ),
        ("value",),
    )
    schedule = lrdecay.loss_aware(1.0, when=when, how=lrdecay.multiply(0.5))
    with pytest.raises(TypeError, match="a state must keep its form"):
        schedule.update(schedule.init(), value=1.0)


def cut(when):
    return lrdecay.loss_aware(0.1, when=when, how=lrdecay.multiply(0.5))


def test_the_state_of_another_trigger_is_refused_where_a_checkpoint_lets_it_through():
    saved = flax.serialization.to_bytes(cut(lrdecay.divergence()).init())
    schedule = cut(lrdecay.plateau())
    restored = flax.serialization.from_bytes(schedule.init(), saved)
    with pytest.raises(ValueError, match="the state is of another schedule"):
        schedule.update(restored, value=1.0)


def test_a_schedule_adds_few_arrays_to_the_state_of_an_optimizer():
    """Each is moved in and out of every call of a step."""

    def arrays(tx):
        return len(jax.tree.leaves(tx.init(PARAMS)))

    own = arrays(optax.scale_by_adam())
    plateau, double = lrdecay.plateau(), lrdecay.plateau() | lrdecay.decline()
    for when in (plateau, double):
        tx = optax.chain(optax.scale_by_adam(), lrdecay.scale_by_learning_rate(cut(when)))
        assert arrays(tx) == own + 5  # rate, factor by hand, floats, ints, inbox
    peer = optax.chain(optax.adam(0.1), optax.contrib.reduce_on_plateau())
    assert arrays(lrdecay.with_learning_rate(optax.adam, cut(plateau))) <= arrays(peer)


def test_states_of_a_sweep_are_read_as_one():
    def run(factor):
        schedule = lrdecay.loss_aware(
            1.0, when=lrdecay.plateau(patience=2), how=lrdecay.multiply(factor)
        )
        state = schedule.init()
        for _ in range(3):
            state = schedule.update(state, value=1.0)
        return schedule.update(state, value=None)

    factors = jnp.array([0.5, 0.25])
    memory = jax.vmap(run)(factors).memory
    np.testing.assert_array_equal(memory.fires, [1, 1])
    np.testing.assert_array_equal(memory.count, [4, 4])
    np.testing.assert_array_equal(memory.decision.factor, factors)
    np.testing.assert_array_equal(lrdecay.fires(jax.vmap(run)(factors)), [1, 1])
