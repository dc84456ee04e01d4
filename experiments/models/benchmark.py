"""Training steps a second of a user's own CNNs: a Python loop of jitted steps, and loops in XLA.

The models are written with the plain layers of Flax. Every way does the same work from the same
weights; they run in turn, round after round, so that a slow spell hits all of them.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from lrdecay.training.models import Model, from_linen, from_nnx
from lrdecay.training.rewriting import fast_convolutions

jax.config.update("jax_platforms", "cpu")

LOOP, PLAIN, FAST = "Python loop", "scan, as it is", "scan, rewritten"

# Side of the images, channels of the two blocks, width of the dense layer, images in a batch.
SIZES = {"Fashion-MNIST": (28, (32, 64), 256, 128), "digits": (8, (16, 32), 64, 64)}


class Linen(nn.Module):
    features: tuple[int, ...]
    hidden: int
    depthwise: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        for features in self.features:
            if self.depthwise and x.shape[-1] > 1:
                x = nn.Conv(x.shape[-1], (3, 3), feature_group_count=x.shape[-1])(x)
                x = nn.Conv(features, (1, 1), use_bias=False)(x)
            else:
                x = nn.Conv(features, (3, 3), use_bias=False)(x)
            x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
            x = nn.max_pool(nn.relu(x), (2, 2), (2, 2))
        x = nn.relu(nn.Dense(self.hidden)(x.reshape(len(x), -1)))
        return nn.Dense(10)(nn.Dropout(0.5, deterministic=not train)(x))


class Nnx(nnx.Module):
    def __init__(self, side: int, features: tuple[int, int], hidden: int, *, rngs: nnx.Rngs):
        first, second = features
        self.conv1 = nnx.Conv(1, first, (3, 3), use_bias=False, rngs=rngs)
        self.norm1 = nnx.BatchNorm(first, momentum=0.9, rngs=rngs)
        self.conv2 = nnx.Conv(first, second, (3, 3), use_bias=False, rngs=rngs)
        self.norm2 = nnx.BatchNorm(second, momentum=0.9, rngs=rngs)
        self.dense1 = nnx.Linear(second * (side // 4) ** 2, hidden, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.dense2 = nnx.Linear(hidden, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.max_pool(nnx.relu(self.norm1(self.conv1(x))), (2, 2), (2, 2))
        x = nnx.max_pool(nnx.relu(self.norm2(self.conv2(x))), (2, 2), (2, 2))
        x = nnx.relu(self.dense1(x.reshape(len(x), -1)))
        return self.dense2(self.dropout(x))


def training_step(model: Model, optimizer: optax.GradientTransformation) -> Callable[..., Any]:
    def step(state: Any, batch: Any) -> tuple[Any, jax.Array]:
        params, model_state, opt_state = state
        images, labels, key = batch

        def loss_of(params: Any) -> tuple[jax.Array, Any]:
            logits, after = model.apply(params, model_state, images, train=True, key=key)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), after

        (loss, model_state), gradients = jax.value_and_grad(loss_of, has_aux=True)(params)
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return (optax.apply_updates(params, updates), model_state, opt_state), loss

    return step


def ways(model: Model, batches: Any) -> dict[str, Callable[[], Any]]:
    """What trains for all batches, once a call, and returns the last loss; compiled on demand."""
    optimizer = optax.sgd(0.05, momentum=0.9)
    rewritten = model._replace(apply=fast_convolutions(model.apply))

    def start() -> Any:
        params, model_state = model.init(jax.random.key(0), batches[0][0])
        return params, model_state, optimizer.init(params)

    def loop() -> Any:
        state, loss = start(), jnp.nan
        for batch in apart:
            state, loss = one(state, *batch)
        return loss

    def scan(program: Any) -> Callable[[], Any]:
        return lambda: program(start(), batches)[1][-1]

    one = jax.jit(
        lambda state, *batch: training_step(model, optimizer)(state, batch), donate_argnums=0
    )
    apart = [jax.tree.map(lambda x, i=i: x[i], batches) for i in range(len(batches[1]))]
    programs = {
        name: jax.jit(
            lambda state, batches, m=m: jax.lax.scan(training_step(m, optimizer), state, batches),
            donate_argnums=0,
        )
        for name, m in ((PLAIN, model), (FAST, rewritten))
    }
    return {LOOP: loop, **{name: scan(program) for name, program in programs.items()}}


def measure(run: Callable[[], Any]) -> tuple[float, float]:
    """Seconds, and the last loss."""
    start = time.perf_counter()
    loss = float(run())
    return time.perf_counter() - start, loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="steps of a round; digits: 10 times")
    rounds, scale = parser.parse_args().rounds, parser.parse_args().steps
    print("| data | model | way | steps/s | ratio to the loop | last loss |")
    print("| --- | --- | --- | --- | --- | --- |")
    for data, (side, features, hidden, batch) in SIZES.items():
        steps = scale if side == 28 else 10 * scale
        rng = np.random.default_rng(0)
        batches = (
            jnp.asarray(rng.normal(size=(steps, batch, side, side, 1)), jnp.float32),
            jnp.asarray(rng.integers(10, size=(steps, batch)), jnp.int32),
            jax.random.split(jax.random.key(1), steps),
        )
        models = {
            "Linen": from_linen(Linen(features, hidden)),
            "NNX": from_nnx(lambda rngs, s=(side, features, hidden): Nnx(*s, rngs=rngs)),
            "Linen, depthwise": from_linen(Linen(features, hidden, depthwise=True)),
        }
        for name, model in models.items():
            runs = ways(model, batches)
            slow = runs.pop(PLAIN)
            losses = {way: measure(run)[1] for way, run in runs.items()}  # compiles
            seconds = [{way: measure(run)[0] for way, run in runs.items()} for _ in range(rounds)]
            # Once, compilation included: it is that slow.
            once, losses[PLAIN] = measure(slow)
            for way in (LOOP, PLAIN, FAST):
                took = [s.get(way, once) for s in seconds]
                rate = steps / statistics.median(took)
                ratios = [s[LOOP] / t for s, t in zip(seconds, took, strict=True)]
                low, ratio, high = min(ratios), statistics.median(ratios), max(ratios)
                print(
                    f"| {data} | {name} | {way} | {rate:.1f} | {ratio:.2f} [{low:.2f}, {high:.2f}] "
                    f"| {losses[way]:.4f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
