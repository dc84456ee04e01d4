"""Which trigger and decay come nearest to the best schedule, without knowing the horizon?

  python -m experiments.auto.benchmark

Noisy quadratics with random curvature, noise and peak rate. A candidate is given the peak and sees
the noisy loss of each step. Its excess loss is compared with the best that is known for each of
four horizons, of schedules that may know the horizon and the problem; the candidate does not.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import lrdecay
from experiments.auto.quadratic import STEPS, Problem, best, expected, problem, simulate
from experiments.triggers.report import environment
from experiments.triggers.stall import stall

HORIZONS = np.array([512, 1024, 2048, 4096])
CONDITIONS, SEEDS = 48, 4
SHAPES = {
    "linear": lambda x: 1 - x,
    "cosine": lambda x: jnp.cos(jnp.pi / 2 * x) ** 2,
    "1-sqrt": lambda x: 1 - jnp.sqrt(x),
}


def conditions(key: jax.Array, n: int) -> Problem:
    """Random problems, the leaves with a leading axis of n."""

    def draw(key: jax.Array) -> Problem:
        keys = jax.random.split(key, 5)

        def log_uniform(i: int, low: float, high: float) -> jax.Array:
            return low * (high / low) ** jax.random.uniform(keys[i])

        return problem(
            spread=jax.random.uniform(keys[0], (), maxval=1.5),
            variance=log_uniform(1, 1e-4, 0.3),
            peak=log_uniform(2, 0.03, 1.0),
            offset=jax.random.uniform(keys[3], (), maxval=2.0),
            sigma=log_uniform(4, 0.005, 0.5),
        )

    return jax.vmap(draw)(jax.random.split(key, n))


def shaped(p: Problem, shape: Any, horizon: int) -> jax.Array:
    """The loss at a horizon of a schedule that falls to 0 there, at the best peak allowed."""
    x = jnp.arange(horizon, dtype=jnp.float32) / horizon
    peaks = p.peak * 2.0 ** -jnp.arange(8.0)
    return jnp.min(jax.vmap(lambda peak: expected(p, peak * shape(x))[-1])(peaks))


def reference(p: Problem) -> jax.Array:
    """The best loss known for each horizon, f32[len(HORIZONS)]."""
    greedy = expected(p, best(p))[HORIZONS - 1]
    known = [[shaped(p, shape, n) for n in HORIZONS.tolist()] for shape in SHAPES.values()]
    return jnp.minimum(greedy, jnp.min(jnp.asarray(known), axis=0))


def losses(p: Problem, schedule: Any, key: jax.Array) -> jax.Array:
    """A run's loss at each horizon: the mean of the last 5 % of the steps."""
    loss = simulate(p, schedule, key).loss
    return jnp.stack([jnp.mean(loss[n - n // 20 : n]) for n in HORIZONS.tolist()])


def candidates() -> dict[str, tuple[Any, Any]]:
    """When and how, by name."""
    found = {}
    for w in (8, 16, 32):
        for z in (2.5, 3.0, 3.5):
            for factor in (0.5, 0.35):
                found[f"stall w{w} z{z}, x{factor}"] = (stall(w, z), lrdecay.multiply(factor))
    for w in (8, 16):
        found[f"stall w{w} z3, x0.7"] = (stall(w, 3.0), lrdecay.multiply(0.7))
        found[f"stall w{w} z2, x0.5"] = (stall(w, 2.0), lrdecay.multiply(0.5))
    half = lrdecay.multiply(0.5)
    for w in (10, 20, 40):
        found[f"slope w{w} rtol0 z0, x0.5"] = (__import__("lrdecay.triggers.slope",fromlist=["slope"]).slope(w, rtol=0.0, z=0.0), half)
    for w in (10, 20, 40):
        found[f"plateau p3 w{w}, x0.5"] = (lrdecay.plateau(3, window=w), half)
    found["plateau default x0.1"] = (lrdecay.plateau(), lrdecay.multiply())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    n = 4 if arguments.quick else CONDITIONS
    start = time.perf_counter()
    key = jax.random.key(arguments.seed)
    p = conditions(key, n)
    bound = np.asarray(jax.jit(jax.vmap(reference))(p))
    table = Table(box=box.SIMPLE_HEAD)
    for c in ("schedule", *map(str, HORIZONS), "all", "p90", "worst"): table.add_column(c)

    def row(name, loss):
        r = loss / bound
        g = np.exp(np.log(r).mean(0))
        table.add_row(name, *(f"{x:.2f}" for x in g), f"{np.exp(np.log(r).mean()):.2f}", f"{np.quantile(r,.9):.2f}", f"{r.max():.1f}")

    T = jnp.arange(STEPS) / STEPS
    for name, shape in {"constant": jnp.ones_like, **SHAPES}.items():
        l = jax.jit(jax.vmap(lambda q: expected(q, q.peak * shape(T))[HORIZONS - 1]))(p)
        row(name + f" to {STEPS}", np.asarray(l))
    keys = jax.random.split(key, SEEDS)
    for name, (when, how) in candidates().items():
        def run(q, k):
            return losses(q, lrdecay.loss_aware(q.peak, when=when, how=how), k)
        l = jax.jit(jax.vmap(jax.vmap(run, (None, 0)), (0, None)))(p, keys)
        row(name, np.asarray(l).mean(1))
    Console(width=160).print(table, f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
