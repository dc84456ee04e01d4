"""Training steps a second of the Fashion-MNIST CNN: ours, PyTorch, and a plain Flax loop.

All three do the same work from the same initial weights: gather a batch from data in memory, loss,
gradient, update. They run in turn, round after round, so that a slow spell hits all of them.
"""

import argparse
import functools
import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen

import lrdecay
from lrdecay.training.data import Split, fashion_mnist
from lrdecay.training.engine import init, train_epoch
from lrdecay.training.models import cnn
from lrdecay.training.optimizers import momentum

jax.config.update("jax_platforms", "cpu")

BATCH = 128
RATE = 0.05
MOMENTUM = 0.9
KEY = jax.random.key(0)
OURS, TORCH, FLAX = "lrdecay, compiled epoch", "PyTorch eager", "Flax, Python loop"


class Variant(NamedTuple):
    run: Callable[[], float]  # trains for a round, waits for the result, returns the mean loss
    compile_seconds: float


def compiled(function: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    program = jax.jit(function, **options).lower(*arguments).compile()
    return program, time.perf_counter() - start


def ours(data: Split) -> Variant:
    steps = len(data.labels) // BATCH
    model = cnn(10, "medium")
    when = lrdecay.plateau(patience=2, window=steps)
    schedule = lrdecay.loss_aware(RATE, when=when, how=lrdecay.multiply(0.1))
    optimizer = momentum(schedule, MOMENTUM)
    state = init(model, optimizer, KEY, data.images[:1])
    train = jax.device_put(data)
    # An epoch always ends with a validation: here, of one example.
    validation = jax.tree.map(lambda x: x[:1], train)
    epoch, seconds = compiled(
        functools.partial(train_epoch, model, optimizer, BATCH),
        *(state, KEY, jnp.int32(0), train, validation),
        donate_argnums=0,
    )
    index = 0

    def run() -> float:
        nonlocal state, index
        state, record, _ = jax.block_until_ready(
            epoch(state, KEY, jnp.int32(index), train, validation)
        )
        index += 1
        return float(record.loss.mean())

    return Variant(run, seconds)


class PlainCNN(linen.Module):
    """The medium CNN as a Flax user writes it."""

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for features in (32, 64):
            x = linen.relu(linen.Conv(features, (3, 3))(x))
            x = linen.avg_pool(x, (2, 2), strides=(2, 2))
        x = linen.relu(linen.Dense(256)(x.reshape(len(x), -1)))
        return linen.Dense(10)(x)


def flax_loop(data: Split, params: Any) -> Variant:
    model, optimizer = PlainCNN(), optax.sgd(RATE, MOMENTUM)
    params = jax.tree.map(jnp.copy, params)
    opt_state = optimizer.init(params)
    images, labels = jax.device_put(data)
    batches = shuffles(len(data.labels))

    def step(
        params: Any, opt_state: Any, images: jax.Array, labels: jax.Array, rows: jax.Array
    ) -> tuple[Any, Any, jax.Array]:
        def loss_of(params: Any) -> jax.Array:
            logits: Any = model.apply({"params": params}, images[rows])
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels[rows]).mean()

        loss, grads = jax.value_and_grad(loss_of)(params)
        updates, opt_state = optimizer.update(grads, opt_state)
        return optax.apply_updates(params, updates), opt_state, loss

    program, seconds = compiled(
        step, params, opt_state, images, labels, jnp.arange(BATCH), donate_argnums=(0, 1)
    )

    def run() -> float:
        nonlocal params, opt_state
        losses = []
        for rows in batches():
            params, opt_state, loss = program(params, opt_state, images, labels, rows)
            losses.append(loss)
        jax.block_until_ready((params, losses))
        return float(np.mean(losses))

    return Variant(run, seconds)


def pytorch(data: Split, params: Any) -> Variant:
    try:
        torch: Any = importlib.import_module("torch")  # a peer, which the package does not need
    except ImportError:
        raise SystemExit("PyTorch is not installed: pip install --group peers") from None
    torch.set_num_threads(os.cpu_count() or 1)
    nn = torch.nn
    convolutions = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)
    dense = nn.Linear(7 * 7 * 64, 256), nn.Linear(256, 10)
    with torch.no_grad():
        for layer, given in zip((*convolutions, *dense), params.values(), strict=True):
            # Flax has the axes (height, width, in, out), PyTorch (out, in, height, width).
            kernel = np.moveaxis(np.asarray(given["kernel"]), (-1, -2), (0, 1))
            layer.weight.copy_(torch.tensor(kernel))
            layer.bias.copy_(torch.tensor(np.asarray(given["bias"])))
    blocks = [nn.Sequential(c, nn.ReLU(), nn.AvgPool2d(2)) for c in convolutions]
    body = nn.Sequential(*blocks).to(memory_format=torch.channels_last)
    head = nn.Sequential(dense[0], nn.ReLU(), dense[1])
    optimizer = torch.optim.SGD(
        [*body.parameters(), *head.parameters()], RATE, MOMENTUM, fused=True
    )
    images = torch.from_numpy(data.images.transpose(0, 3, 1, 2))
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(data.labels.astype(np.int64))
    batches = shuffles(len(data.labels))

    def run() -> float:
        losses = []
        for rows in map(torch.from_numpy, batches()):
            optimizer.zero_grad()
            # Flattened as in Flax: with the channels last in memory, without a copy.
            features = body(images[rows]).permute(0, 2, 3, 1).flatten(1)
            loss = nn.functional.cross_entropy(head(features), labels[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())

    return Variant(run, 0.0)


def shuffles(n: int) -> Callable[[], np.ndarray]:
    """Makes the batches of each round anew, i32[steps, batch]."""
    rng = np.random.default_rng(0)
    return lambda: rng.permutation(n).astype(np.int32).reshape(-1, BATCH)


def load(steps: int) -> tuple[Split, str]:
    n = steps * BATCH
    try:
        return fashion_mnist(n).load().train, f"Fashion-MNIST, {n} images"
    except FileNotFoundError:
        rng = np.random.default_rng(0)
        images = rng.normal(size=(n, 28, 28, 1)).astype(np.float32)
        return Split(images, rng.integers(0, 10, n).astype(np.int32)), f"{n} random images"


def environment() -> dict[str, str]:
    packages = ("lrdecay", "jax", "jaxlib", "flax", "optax", "torch")
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    cpu = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")
    git = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    commit = subprocess.run(git, cwd=Path(__file__).parent, capture_output=True, text=True)
    return {
        **{package: importlib.metadata.version(package) for package in packages},
        "python": platform.python_version(),
        "device": f"{cpu or platform.machine()}, {os.cpu_count()} cores",
        "commit": commit.stdout.strip() or "unknown",
    }


def spread(values: np.ndarray) -> str:
    low, middle, high = np.percentile(values, (25, 50, 75))
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def table(speeds: dict[str, np.ndarray], variants: dict[str, Variant], losses: Any) -> str:
    """The result in Markdown: medians over rounds, with the quartiles."""
    rows: list[tuple[str, ...]] = [("", "n", "steps/s", "ratio to Flax", "compile s", "last loss")]
    for name, speed in speeds.items():
        ratio = spread(speed / speeds[FLAX])
        seconds = f"{variants[name].compile_seconds:.1f}"
        rows.append((name, str(len(speed)), spread(speed), ratio, seconds, f"{losses[name]:.3f}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    padded = ([cell.ljust(w) for cell, w in zip(row, widths, strict=True)] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in padded)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (default: 5)")
    parser.add_argument(
        "--steps", type=int, default=200, help="in a round, up to 429 (default: 200)"
    )
    parser.add_argument("--out", type=Path, help="where to write every number, as JSON")
    arguments = parser.parse_args()
    data, what = load(arguments.steps)
    params, _ = cnn(10, "medium").init(jax.random.fold_in(KEY, 0), jnp.asarray(data.images[:1]))
    variants = {OURS: ours(data), TORCH: pytorch(data, params), FLAX: flax_loop(data, params)}
    names = list(variants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    losses = {}
    # The first round warms up and does not count; each round begins with another variant.
    for i in range(arguments.rounds + 1):
        for name in names[i % 3 :] + names[: i % 3]:
            start = time.perf_counter()
            losses[name] = variants[name].run()
            seconds[name].append(time.perf_counter() - start)
    speeds = {name: arguments.steps / np.array(times[1:]) for name, times in seconds.items()}
    facts: dict[str, Any] = {"data": what, "batch": BATCH, "steps": arguments.steps}
    facts |= environment()
    print(table(speeds, variants, losses))
    print(", ".join(f"{k} {v}" for k, v in facts.items()))
    if arguments.out is not None:
        facts["steps_per_second"] = {name: speed.tolist() for name, speed in speeds.items()}
        facts["compile_seconds"] = {name: variants[name].compile_seconds for name in names}
        arguments.out.write_text(json.dumps(facts | {"last_loss": losses}, indent=1) + "\n")


if __name__ == "__main__":
    main()
