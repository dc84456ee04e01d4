"""The time of compiled calls, what they cost, and what the device can do at best."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, jaxpr_as_fun, jaxprs_in_params

_SLOW = 0.2  # seconds of a call that is long enough to measure a roofline by
_REPEATS = 5
_MATRICES = tuple(2**k for k in range(8, 14))
_VECTORS = tuple(2**k for k in range(23, 28))  # from 32 MiB on, beyond the caches


@dataclasses.dataclass(frozen=True)
class Spread:
    """A quantity measured several times.

    Attributes:
      n: how many times.
      minimum: the smallest value.
      low: the first quartile.
      median: the median.
      high: the third quartile.
    """

    n: int
    minimum: float
    low: float
    median: float
    high: float


def spread(values: np.ndarray) -> Spread:
    """The quartiles of some values, f[n]."""
    return Spread(len(values), *np.percentile(values, (0, 25, 50, 75)).tolist())


def in_turn(calls: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, np.ndarray]:
    """Times calls in turn, round after round, so that a slow spell of the machine hits all.

    Each round begins with another call. One more round, the first, warms up and does not count.

    Args:
      calls: by name; what one returns is waited for.
      repeats: rounds, at least 1.

    Returns:
      Seconds by name, f64[repeats]. Those of one round belong together.
    """
    names = list(calls)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for i in range(repeats + 1):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            jax.block_until_ready(calls[name]())
            seconds[name].append(time.perf_counter() - start)
    return {name: np.array(times[1:]) for name, times in seconds.items()}


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a function costs by XLA's count; None where the backend does not count.

    Attributes:
      flops: operations on floating-point numbers, of the function as it is written.
      bytes_accessed: bytes that the compiled program reads and writes.
    """

    flops: float | None
    bytes_accessed: float | None


def cost(function: Callable[..., Any], *arguments: Any) -> Cost:
    """Counts one call of a function.

    Operations are counted before compilation, as XLA does not know what is inside of a vendor's
    library; bytes after it, as fusion saves most of them.

    Args:
      function: any function that `jax.jit` takes; of its loops, those of a fixed length.
      *arguments: its arguments, or `jax.ShapeDtypeStruct` for them.
    """

    def flops(lowered: jax.stages.Lowered) -> float | None:
        return _count(lowered, "flops")

    def bytes_accessed(lowered: jax.stages.Lowered) -> float | None:
        return _count(lowered.compile(), "bytes accessed")

    jaxpr = jax.make_jaxpr(function)(*arguments)
    return Cost(_with_loops(jaxpr, flops), _with_loops(jaxpr, bytes_accessed))


def _count(stage: jax.stages.Lowered | jax.stages.Compiled, name: str) -> float | None:
    analysis = stage.cost_analysis()
    found = analysis.get(name) if isinstance(analysis, dict) else None
    return None if found is None else float(found)


def _with_loops(
    jaxpr: ClosedJaxpr, count: Callable[[jax.stages.Lowered], float | None]
) -> float | None:
    """A count in which the body of a scan counts as often as it runs; XLA's counts it once."""

    def once(jaxpr: ClosedJaxpr) -> float | None:
        inputs = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in jaxpr.in_avals]
        return count(jax.jit(jaxpr_as_fun(jaxpr)).lower(*inputs))

    def more(jaxpr: Jaxpr) -> float:
        """What XLA's count leaves out."""
        total = 0.0
        for eqn in jaxpr.eqns:
            if eqn.primitive.name == "scan":
                body, length = eqn.params["jaxpr"], eqn.params["length"]
                total += (length - 1) * (once(body) or 0.0) + length * more(body.jaxpr)
            else:
                total += sum(map(more, jaxprs_in_params(eqn.params)))
        return total

    found = once(jaxpr)
    return None if found is None else found + more(jaxpr.jaxpr)


@dataclasses.dataclass(frozen=True)
class Rooflines:
    """What the first device reaches at best (Williams, Waterman & Patterson 2009).

    Attributes:
      flops_per_second: of a product of square float32 matrices, in JAX's default precision.
      bytes_per_second: read and written, of arrays too large for a cache.
    """

    flops_per_second: float
    bytes_per_second: float


def _again(function: Callable[..., jax.Array], x: jax.Array, *others: jax.Array) -> float:
    """Median seconds of a call on its own last result, whose memory it takes over."""
    program = jax.jit(function, donate_argnums=0).lower(x, *others).compile()

    def call() -> jax.Array:
        nonlocal x
        x = program(x, *others)
        return x

    return spread(in_turn({"call": call}, _REPEATS)["call"]).median


def _best(sizes: tuple[int, ...], measure: Callable[[int], tuple[float, float]]) -> float:
    """The highest speed of growing sizes, up to the first that takes long."""
    best = 0.0
    for size in sizes:
        amount, seconds = measure(size)
        best = max(best, amount / seconds)
        if seconds > _SLOW:
            break
    return best


def rooflines() -> Rooflines:
    """Measures the first device: matrix products, x <- -x (copy) and x <- x + 3 y (triad)."""

    def product(n: int) -> tuple[float, float]:
        ones = jnp.ones((n, n), jnp.float32)
        return 2.0 * n**3, _again(jnp.matmul, ones, ones / jnp.float32(n))

    def copy(n: int) -> tuple[float, float]:
        return 2.0 * 4 * n, _again(jnp.negative, jnp.ones(n, jnp.float32))

    def triad(n: int) -> tuple[float, float]:
        x, y = jnp.ones(n, jnp.float32), jnp.zeros(n, jnp.float32)
        return 3.0 * 4 * n, _again(lambda x, y: x + jnp.float32(3) * y, x, y)

    fastest = functools.partial(_best, _VECTORS)
    return Rooflines(_best(_MATRICES, product), max(fastest(copy), fastest(triad)))
