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
        return jax.jit(jax.vmap(self.draw))(jax.random.split(jax.random.key(seed), n))


def gaussian(key: jax.Array) -> jax.Array:
    return jax.random.normal(key, (LENGTH,))


def student(key: jax.Array, degrees: int) -> jax.Array:
    """Heavy tails: as wide as the Gaussian in the middle half, as the variance may be infinite."""
    upper_quartile = {2: 0.8165, 3: 0.7649}[degrees]
    return jax.random.t(key, degrees, (LENGTH,)) * (0.6745 / upper_quartile)


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


def _after(s: _Setting) -> jax.Array:
    """Observations since the change; 0 before."""
    return jnp.maximum(T - s.change.astype(jnp.float32), 0.0)


def progress(key: jax.Array, noise: Noise = gaussian, wider: float = 1.0) -> Histories:
    s = _setting(key)
    return Histories(_progress(s) + wider * s.sigma * noise(s.noise_key), jnp.int32(LENGTH))


def plateau(key: jax.Array, noise: Noise = gaussian) -> Histories:
    s = _setting(key)
    mean = _progress(s, jnp.minimum(T, s.change.astype(jnp.float32)))
    return Histories(mean + s.sigma * noise(s.noise_key), s.change)


def decline(key: jax.Array) -> Histories:
    """After the change the loss rises slowly, as a validation loss does in overfitting."""
    s = _setting(key)
    mean = _progress(s, jnp.minimum(T, s.change.astype(jnp.float32))) + 1e-4 * _after(s)
    return Histories(mean + s.sigma * gaussian(s.noise_key), s.change)


def divergence(key: jax.Array) -> Histories:
    """After the change the loss doubles every 35 observations."""
    s = _setting(key)
    mean = _progress(s, jnp.minimum(T, s.change.astype(jnp.float32))) * jnp.exp(_after(s) / 50)
    return Histories(mean + s.sigma * gaussian(s.noise_key), s.change)


def burst(key: jax.Array) -> Histories:
    """After the change the noise is four times as wide; progress goes on."""
    s = _setting(key)
    sigma = s.sigma * jnp.where(T < s.change, 1.0, 4.0)
    return Histories(_progress(s) + sigma * gaussian(s.noise_key), s.change)


def spike(key: jax.Array) -> Histories:
    """The loss jumps and comes back within some 30 observations: nothing to act on."""
    s = _setting(key)
    jump = jnp.where(T < s.change, 0.0, jnp.exp(-_after(s) / 10))
    return Histories(_progress(s) + jump + s.sigma * gaussian(s.noise_key), jnp.int32(LENGTH))


def with_nans(draw: Callable[[jax.Array], Histories], key: jax.Array) -> Histories:
    """One value in twenty is NaN."""
    mask_key, key = jax.random.split(key)
    missing = jax.random.bernoulli(mask_key, 0.05, (LENGTH,))
    history = draw(key)
    return history._replace(values=jnp.where(missing, jnp.nan, history.values))


def accuracy(key: jax.Array, stalls: bool) -> Histories:
    """The share of 500 examples that are right: quantised in steps of 0.002, the noise binomial."""
    s = _setting(key)
    last = s.change.astype(jnp.float32) if stalls else jnp.inf
    right = 0.95 - 0.5 * (jnp.minimum(T, last) + 1) ** -s.power
    count = jax.random.binomial(s.noise_key, 500.0, right)
    return Histories(count / 500, s.change if stalls else jnp.int32(LENGTH))


def noise_floor(key: jax.Array) -> Histories:
    """SGD at a constant rate on a noisy quadratic of 16 equal directions.

    Each has the loss h x^2 / 2 and takes steps x <- x - rate (h x + sqrt(C) eps), so that
    m = E x^2 obeys m <- (1 - rate h)^2 m + rate^2 C and settles at rate C / (h (2 - rate h)). From
    the moment that m < 3/2 rate C / (2 h - 3/2 rate h^2), a step at half of the rate gains more
    than one at the full rate: that is the change point.
    """
    keys = jax.random.split(key, 4)
    relaxation = 10 ** jax.random.uniform(keys[0], (), minval=1.3, maxval=2.0)
    h, rate, dimensions = 1.0, 1 / relaxation, 16
    start = 10 ** jax.random.uniform(keys[1], (), minval=1.0, maxval=3.0)
    floor = rate / (h * (2 - rate * h))
    best = 1.5 * rate / (2 * h - 1.5 * rate * h**2)
    sigma = jax.random.uniform(keys[2], (), minval=0.1, maxval=1.0) * floor * dimensions / 2
    shocks = jax.random.normal(keys[3], (LENGTH, dimensions + 1))

    def step(x: jax.Array, shock: jax.Array) -> tuple[jax.Array, jax.Array]:
        return x - rate * (h * x + shock[:-1]), h * jnp.sum(x**2) / 2 + sigma * shock[-1]

    _, loss = jax.lax.scan(step, jnp.full(dimensions, jnp.sqrt(start * floor)), shocks)
    second_moment = floor + (start - 1) * floor * (1 - rate * h) ** (2 * T)
    return Histories(loss, jnp.argmax(second_moment < best).astype(jnp.int32))


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
