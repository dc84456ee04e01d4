"""Synthetic histories with a known right answer: where a trigger should fire, and where never.

Progress is a power law, y = a + b (t + 1)^-c with b = 1, under noise that never stops. A history
either goes on like this to the end, so that any fire is a false alarm, or something happens to it
at a known change point.
"""

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

# Long enough for a false alarm to show, and what is left after the change for a slow detection.
LENGTH = 1000
CHANGE = (300, 400)
HORIZON = LENGTH - CHANGE[1]

Noise = Callable[[jax.Array], jax.Array]


class Histories(NamedTuple):
    """Replicates of one scenario.

    Attributes:
      values: what is observed, f32[replicates, LENGTH]; NaN for a value that is not finite.
      change: the index from which on firing is right, i32[replicates]; LENGTH where never.
    """

    values: jax.Array
    change: jax.Array


class Scenario(NamedTuple):
    """A kind of history.

    Attributes:
      title: what happens, in a few words.
      draw: (key) -> one history: values f32[LENGTH] and change i32[].
      mode: whether lower or higher values are better.
    """

    title: str
    draw: Callable[[jax.Array], Histories]
    mode: Literal["min", "max"] = "min"

    def replicates(self, seed: int, n: int) -> Histories:
        """Independent histories, the same for the same seed."""
        # Not compiled as a whole: the random numbers, which take long to compile, are then shared.
        return jax.vmap(self.draw)(jax.random.split(jax.random.key(seed), n))


def gaussian(key: jax.Array) -> jax.Array:
    return jax.random.normal(key, (LENGTH,))


def student(key: jax.Array, degrees: int) -> jax.Array:
    """Heavy tails: as wide as the Gaussian in the middle half, as the variance may be infinite."""
    normal = jax.random.normal(key, (degrees + 1, LENGTH))
    t = normal[0] / jnp.sqrt(jnp.mean(normal[1:] ** 2, axis=0))
    upper_quartile = {2: 0.8165, 3: 0.7649}[degrees]
    return t * (0.6745 / upper_quartile)


def autocorrelated(key: jax.Array, correlation: float) -> jax.Array:
    """AR(1) noise with unit variance throughout."""
    shocks = gaussian(key)

    def step(last: jax.Array, shock: jax.Array) -> tuple[jax.Array, jax.Array]:
        new = correlation * last + jnp.sqrt(1 - correlation**2) * shock
        return new, new

    return jnp.append(shocks[:1], jax.lax.scan(step, shocks[0], shocks[1:])[1])


T = jnp.arange(LENGTH, dtype=jnp.float32)


class _Setting(NamedTuple):
    """What differs from one replicate to the next."""

    level: jax.Array
    power: jax.Array
    sigma: jax.Array
    change: jax.Array
    noise_key: jax.Array

    @property
    def after(self) -> jax.Array:
        """Observations since the change; negative before."""
        return T - self.change.astype(jnp.float32)


def _setting(key: jax.Array) -> _Setting:
    keys = jax.random.split(key, 5)
    return _Setting(
        level=jax.random.uniform(keys[0], (), minval=0.1, maxval=0.5),
        power=jax.random.uniform(keys[1], (), minval=0.3, maxval=0.7),
        sigma=10 ** jax.random.uniform(keys[2], (), minval=-3.0, maxval=-1.7),
        change=jax.random.randint(keys[3], (), *CHANGE),
        noise_key=keys[4],
    )


def _progress(s: _Setting, t: jax.Array = T) -> jax.Array:
    return s.level + (t + 1) ** -s.power


def _stopped(s: _Setting) -> jax.Array:
    """Progress up to the change, and none from there."""
    return _progress(s, jnp.minimum(T, T - s.after))


def progress(key: jax.Array, noise: Noise = gaussian, wider: float = 1.0) -> Histories:
    s = _setting(key)
    return Histories(_progress(s) + wider * s.sigma * noise(s.noise_key), jnp.int32(LENGTH))


def plateau(key: jax.Array, noise: Noise = gaussian) -> Histories:
    s = _setting(key)
    return Histories(_stopped(s) + s.sigma * noise(s.noise_key), s.change)


def decline(key: jax.Array) -> Histories:
    """After the change the loss rises slowly, as a validation loss does in overfitting."""
    s = _setting(key)
    mean = _stopped(s) + 1e-4 * jnp.maximum(s.after, 0.0)
    return Histories(mean + s.sigma * gaussian(s.noise_key), s.change)


def divergence(key: jax.Array) -> Histories:
    """After the change the loss doubles every 35 observations."""
    s = _setting(key)
    mean = _stopped(s) * jnp.exp(jnp.maximum(s.after, 0.0) / 50)
    return Histories(mean + s.sigma * gaussian(s.noise_key), s.change)


def burst(key: jax.Array) -> Histories:
    """After the change the noise is four times as wide; progress goes on."""
    s = _setting(key)
    sigma = s.sigma * jnp.where(s.after < 0, 1.0, 4.0)
    return Histories(_progress(s) + sigma * gaussian(s.noise_key), s.change)


def spike(key: jax.Array) -> Histories:
    """The loss jumps and comes back within some 30 observations: nothing to act on."""
    s = _setting(key)
    jump = jnp.where(s.after < 0, 0.0, jnp.exp(-s.after / 10))
    return Histories(_progress(s) + jump + s.sigma * gaussian(s.noise_key), jnp.int32(LENGTH))


def with_nans(draw: Callable[[jax.Array], Histories], key: jax.Array) -> Histories:
    """One value in twenty is NaN."""
    mask_key, key = jax.random.split(key)
    missing = jax.random.bernoulli(mask_key, 0.05, (LENGTH,))
    history = draw(key)
    return history._replace(values=jnp.where(missing, jnp.nan, history.values))


def accuracy(key: jax.Array, stalls: bool) -> Histories:
    """The share of 500 examples that are right: whole numbers of them, binomial but for that."""
    s = _setting(key)
    right = 0.95 - 0.5 * ((_stopped(s) if stalls else _progress(s)) - s.level)
    noise = jnp.sqrt(500 * right * (1 - right)) * gaussian(s.noise_key)
    return Histories(
        jnp.round(500 * right + noise) / 500, s.change if stalls else jnp.int32(LENGTH)
    )


def half_pays(rate: jax.Array, start: jax.Array) -> jax.Array:
    """The step of SGD on a noisy quadratic from which half of its rate gains more, i32[].

    With the loss h x^2 / 2 and steps x <- x - rate (h x + sqrt(C) eps), m = E x^2 obeys
    m <- (1 - rate h)^2 m + rate^2 C, and settles at the floor rate C / (h (2 - rate h)). A step at
    half of the rate leaves a smaller m from the moment that m < 3 rate C / (4 h - 3 rate h^2).

    Args:
      rate: the rate, for h = C = 1.
      start: m of step 0, in units of the floor.
    """
    floor = rate / (2 - rate)
    m = floor + (start - 1) * floor * (1 - rate) ** (2 * T)
    return jnp.argmax(m < 3 * rate / (4 - 3 * rate)).astype(jnp.int32)


def noise_floor(key: jax.Array) -> Histories:
    """SGD at a constant rate on a noisy quadratic of 16 equal directions, with h = C = 1."""
    keys = jax.random.split(key, 4)
    rate = 10 ** jax.random.uniform(keys[0], (), minval=-2.0, maxval=-1.3)
    start = 10 ** jax.random.uniform(keys[1], (), minval=1.0, maxval=3.0)
    dimensions = 16
    floor = rate / (2 - rate)
    sigma = jax.random.uniform(keys[2], (), minval=0.1, maxval=1.0) * floor * dimensions / 2
    shocks = jax.random.normal(keys[3], (LENGTH, dimensions + 1))

    def step(x: jax.Array, shock: jax.Array) -> tuple[jax.Array, jax.Array]:
        return x - rate * (x + shock[:-1]), jnp.sum(x**2) / 2 + sigma * shock[-1]

    _, loss = jax.lax.scan(step, jnp.full(dimensions, jnp.sqrt(start * floor)), shocks)
    return Histories(loss, half_pays(rate, start))


_t3 = functools.partial(student, degrees=3)
_t2 = functools.partial(student, degrees=2)
_ar1 = functools.partial(autocorrelated, correlation=0.7)

# Any fire is a false alarm.
PROGRESS = {
    "progress": Scenario("progress, Gaussian noise", progress),
    "progress-wide": Scenario(
        "progress, noise 3 times as wide", functools.partial(progress, wider=3.0)
    ),
    "progress-t3": Scenario("progress, Student t3 noise", functools.partial(progress, noise=_t3)),
    "progress-t2": Scenario("progress, Student t2 noise", functools.partial(progress, noise=_t2)),
    "progress-ar1": Scenario("progress, AR(1) noise, 0.7", functools.partial(progress, noise=_ar1)),
    "progress-nan": Scenario("progress, 5 % NaN", functools.partial(with_nans, progress)),
    "progress-accuracy": Scenario(
        "accuracy in steps of 0.002, rising", functools.partial(accuracy, stalls=False), "max"
    ),
    "spike": Scenario("progress, one spike", spike),
}

# Something happens at a known moment.
CHANGES = {
    "plateau": Scenario("plateau, Gaussian noise", plateau),
    "plateau-t3": Scenario("plateau, Student t3 noise", functools.partial(plateau, noise=_t3)),
    "plateau-t2": Scenario("plateau, Student t2 noise", functools.partial(plateau, noise=_t2)),
    "plateau-ar1": Scenario("plateau, AR(1) noise, 0.7", functools.partial(plateau, noise=_ar1)),
    "plateau-nan": Scenario("plateau, 5 % NaN", functools.partial(with_nans, plateau)),
    "plateau-accuracy": Scenario(
        "accuracy in steps of 0.002, stalls", functools.partial(accuracy, stalls=True), "max"
    ),
    "noise-floor": Scenario("SGD reaches its noise floor", noise_floor),
    "decline": Scenario("slow rise", decline),
    "burst": Scenario("noise 4 times as wide", burst),
    "divergence": Scenario("divergence", divergence),
}

SCENARIOS = PROGRESS | CHANGES
