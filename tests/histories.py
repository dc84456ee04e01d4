"""Runs triggers over histories, and makes histories of the kinds that there are in training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

import lrdecay
from lrdecay.triggers import Observation


def verdicts(trigger, values):
    """What a trigger says on each value, one a step."""

    def step(state, now):
        index, value = now
        finite = jnp.isfinite(value)
        heard = Observation(jnp.where(finite, value, 0.0), finite, (~finite).astype(jnp.int32))
        return trigger.update(state, index, dict.fromkeys(trigger.monitors, heard))

    values = jnp.asarray(values, jnp.float32)
    return jax.lax.scan(step, trigger.init(), (jnp.arange(len(values)), values))[1]


@functools.partial(jax.jit, static_argnames=("name", "mode"))
def _changes(name, values, mode, **numbers):
    words = {} if mode is None else {"mode": mode}
    return verdicts(getattr(lrdecay, name)(**words, **numbers), values).change


def changes(name, values, mode=None, **numbers):
    """The change that a trigger decides on at each value; compiled once for all numbers."""
    return np.asarray(_changes(name, jnp.asarray(values, jnp.float32), mode, **numbers))


def fired(name, values, mode=None, **numbers):
    """Indices of the values at which a trigger fires."""
    return np.flatnonzero(changes(name, values, mode, **numbers) > 0).tolist()


@functools.partial(jax.jit, static_argnames="name")
def _first_fires(name, histories, first, **numbers):
    def first_fire(values):
        fires = verdicts(getattr(lrdecay, name)(**numbers), values).change > 0
        counted = fires & (jnp.arange(fires.size) >= first)
        return jnp.where(jnp.any(counted), jnp.argmax(counted), fires.size) - first

    return jax.vmap(first_fire)(histories)


def first_fires(name, histories, first=0, **numbers):
    """In each history, the values after the first that it took to fire; all where it did not."""
    return np.asarray(_first_fires(name, jnp.asarray(histories, jnp.float32), first, **numbers))


def progress(n, noise, seeds=1, seed=0, exponent=0.5, stops=None):
    """Histories of steady power-law progress with noise, which may stop at some index.

    Args:
      n: number of values.
      noise: standard deviation of the noise; the metric starts at 1.
      seeds: number of histories.
      seed: of the generator.
      exponent: of the power law.
      stops: index from which the metric is flat.

    Returns:
      f64[seeds, n].
    """
    time = np.minimum(np.arange(n), n if stops is None else stops)
    values = np.random.default_rng(seed).normal(scale=noise, size=(seeds, n))
    return values + (1 + time / 20) ** -exponent


def at_most(a, b):
    """a <= b, in a reference; an example so close that rounding decides is thrown away."""
    assume(a == b or abs(a - b) > 1e-4 * max(abs(a), abs(b)))
    return a <= b


@st.composite
def histories(draw, n=120):
    """Values with a trend, noise, an offset, and perhaps spikes and a stop; exact in float32."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    stops = draw(st.sampled_from([n, n // 3]))
    values = draw(st.sampled_from([-0.1, 0.0, 0.02])) * np.minimum(np.arange(n), stops)
    values = values + draw(st.sampled_from([1.0, 0.1])) * generator.normal(size=n)
    values += draw(st.sampled_from([0.0, 20.0])) * (generator.random(n) < 0.03)
    values += draw(st.sampled_from([0.0, 5.0, -50.0]))
    return values.astype(np.float32)
