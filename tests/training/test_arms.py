"""Schedules chosen by an index against the same schedules alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from optax.schedules import StatefulSchedule, WrappedSchedule

import lrdecay
from lrdecay.training.arms import pick, stack


@jax.tree_util.register_pytree_node_class
class Made:
    """A factory with its numbers, as a pytree of these."""

    def __init__(self, make, *numbers):
        self.make, self.numbers = make, numbers

    def __call__(self):
        return self.make(*self.numbers)

    def tree_flatten(self):
        return self.numbers, self.make

    @classmethod
    def tree_unflatten(cls, make, numbers):
        return cls(make, *numbers)


def falling(base, patience, factor):
    when = lrdecay.plateau(patience=patience)
    return lrdecay.loss_aware(base, when=when, how=lrdecay.multiply(factor))


def stepping(values):
    when = lrdecay.plateau(patience=2, monitor="accuracy", mode="max")
    return lrdecay.loss_aware(1.0, when=when, how=lrdecay.rungs(values))


MAKERS = (
    Made(lrdecay.cosine, 0.1, 20),
    Made(falling, 0.2, 3, 0.5),
    Made(lrdecay.constant, 0.3),
    Made(lrdecay.cosine, 0.4, 10),
    Made(stepping, [0.3, 0.2]),
    Made(stepping, [0.3, 0.2, 0.1]),
    Made(falling, 0.5, 2, 0.1),
)


def rates(schedule, values):
    """The rates as the values come in, from a compiled loop."""
    if not isinstance(schedule, StatefulSchedule):
        schedule = WrappedSchedule(schedule)

    def step(state, value):
        metrics = {"value": value, "accuracy": -value}
        return schedule.update(state, **metrics), schedule(state, **metrics)

    return jax.lax.scan(step, schedule.init(), values)[1]


@pytest.fixture(scope="module")
def values():
    return jnp.asarray(np.random.default_rng(0).normal(size=40), jnp.float32)


@pytest.fixture(scope="module")
def alone(values):
    """The rates of each schedule by itself."""
    return jax.jit(lambda: [rates(maker(), values) for maker in MAKERS])()


def test_each_schedule_is_what_it_is_alone(values, alone):
    stacked = stack(MAKERS)
    # Two cosines, two plateaus and, as their lists differ in length, two structures of rungs.
    assert len(stacked.makers) == 5
    chosen = jax.jit(lambda index: rates(pick(stacked, index), values))
    for i, expected in enumerate(alone):
        np.testing.assert_allclose(chosen(i), expected, rtol=1e-6)
    assert chosen._cache_size() == 1


def test_vectorised_over_schedules_they_are_the_same(values, alone):
    stacked = stack(MAKERS)
    chosen = jax.jit(jax.vmap(lambda index: rates(pick(stacked, index), values)))
    together = chosen(jnp.arange(len(MAKERS)))
    np.testing.assert_allclose(together, np.stack(alone), rtol=1e-6)


def test_schedules_of_one_structure_have_no_switch(values):
    def program(makers):
        stacked = stack(makers)
        return str(jax.make_jaxpr(lambda i: rates(pick(stacked, i), values))(0))

    assert "cond[" in program(MAKERS)
    assert "cond[" not in program([MAKERS[0], MAKERS[3]])


def test_only_the_chosen_schedule_moves():
    schedule = pick(stack(MAKERS), jnp.int32(1))
    before = schedule.init()
    after = functools.reduce(lambda s, x: schedule.update(s, value=x), [1.0, 2.0], before)
    moved = [
        any(not np.array_equal(x, y) for x, y in zip(*map(jax.tree.leaves, pair), strict=True))
        for pair in zip(before, after, strict=True)
    ]
    assert moved == [False, True, False, False, False]
