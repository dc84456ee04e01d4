"""Whole numbers past those of float32, and places in cycles, against exact integers."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lrdecay
from lrdecay.schedules import clock

STEPS = st.integers(0, 2**31 - 1)
half_waves = jax.jit(clock.half_waves)
shares = jax.jit(clock.shares)


@settings(deadline=None)
@given(STEPS, STEPS)
def test_both_shares_have_the_relative_accuracy_of_float32(count, steps):
    left, done = shares(jnp.int32(count), jnp.int32(steps))
    if count >= steps:
        assert (left, done) == (0, 1)
    else:
        np.testing.assert_allclose(left, (steps - count) / steps, rtol=2e-7)
        np.testing.assert_allclose(done, count / steps, rtol=2e-7)


@settings(deadline=None)
@given(STEPS, st.integers(1, 2**31 - 1), st.integers(1, 1000))
def test_the_place_on_a_wave_is_exact(count, steps, waves):
    odd, offset = half_waves(jnp.int32(count), jnp.int32(steps), jnp.float32(waves))
    place = Fraction(count * waves, steps)
    nearest = round(place)
    if abs(place - nearest) == Fraction(1, 2):
        assert abs(offset) == 0.5
    else:
        assert bool(odd) == (nearest % 2 == 1)
        np.testing.assert_allclose(offset, float(place - nearest), rtol=3e-7, atol=1e-30)


@pytest.mark.parametrize("growth", [1.0, 2.0, 3.0])
def test_every_step_of_many_cycles_is_in_its_place(growth):
    steps = np.arange(20_000)
    places = jax.jit(clock.cycle)(jnp.asarray(steps), jnp.int32(10), growth)
    index, left, done = map(np.asarray, places)
    begin, length, i = 0, 10, 0
    for t in steps:
        if t == begin + length:
            begin, length, i = begin + length, int(length * growth), i + 1
        assert index[t] == i
        assert done[t] == np.float32(t - begin) / np.float32(length)
        assert left[t] == np.float32(begin + length - t) / np.float32(length)


def test_steps_past_the_integers_of_float32_are_told_apart():
    n = 2**25
    schedule = lrdecay.step(1.0, n + 1, 0.5)
    assert schedule(n) == 1.0
    assert schedule(n + 1) == 0.5


def test_a_clock_may_run_in_between_steps():
    np.testing.assert_allclose(lrdecay.linear(1.0, 0.0, 4)(2.5), 0.375)
    np.testing.assert_allclose(lrdecay.cosine(1.0, 4)(2.5), np.cos(np.pi * 2.5 / 8) ** 2, rtol=1e-6)
    assert lrdecay.step(1.0, 4, 0.5)(3.5) == 1.0
    assert lrdecay.join([0.3, 0.1], [2])(1.5) == np.float32(0.3)
