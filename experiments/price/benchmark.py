"""The price of a loss-aware rate in a Python loop of steps: ours, Optax's ways, and PyTorch's.

All train the small digits CNN by Adam from the same initial weights on the same batches, one call a
step, and take turns, round after round.
"""

import argparse
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import lrdecay
from lrdecay.benchmark.timing import in_turn, spread
from lrdecay.study.run import versions
from lrdecay.training.data import Split, digits
from lrdecay.training.models import Model, cnn

BATCH = 16
RATE = 1e-3
CONSTANT = "optax.adam(constant)"
TORCH, TORCH_LOSS, TORCH_PLATEAU, TORCH_ALONE = (
    "torch: no schedule",
    "torch: loss.item()",
    "torch: ReduceLROnPlateau.step(loss.item())",
    "torch: ReduceLROnPlateau.step(float) by itself",
)


def optimizers() -> dict[str, optax.GradientTransformationExtraArgs]:
    plateau = lrdecay.reduce_on_plateau(RATE)
    made = {
        CONSTANT: optax.adam(RATE),
        "optax.inject_hyperparams(adam)": optax.inject_hyperparams(optax.adam)(learning_rate=RATE),
        "optax.chain(adam, reduce_on_plateau)": optax.chain(
            optax.adam(RATE), optax.contrib.reduce_on_plateau()
        ),
        "lrdecay.reduce_on_plateau": lrdecay.with_learning_rate(optax.adam, plateau),
    }
    return {name: optax.with_extra_args_support(optimizer) for name, optimizer in made.items()}


def jitted(
    model: Model,
    optimizer: optax.GradientTransformationExtraArgs,
    params: Any,
    batches: list[tuple[jax.Array, jax.Array]],
) -> Callable[[], Any]:
    """A round of steps as users of Optax write them."""

    @jax.jit
    def step(params: Any, opt_state: Any, images: jax.Array, labels: jax.Array) -> Any:
        def loss_of(params: Any) -> jax.Array:
            logits, _ = model.apply(params, {}, images, train=True)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        loss, grads = jax.value_and_grad(loss_of)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params, value=loss)
        return optax.apply_updates(params, updates), opt_state, loss

    opt_state, loss = optimizer.init(params), jnp.float32(0)

    def call() -> Any:
        nonlocal params, opt_state, loss
        for images, labels in batches:
            params, opt_state, loss = step(params, opt_state, images, labels)
        return params, opt_state, loss

    return call


def pytorch(params: Any, data: Split, steps: int) -> dict[str, Callable[[], Any]]:
    try:
        torch: Any = importlib.import_module("torch")  # a peer, which the package does not need
    except ImportError:
        raise SystemExit("PyTorch is not installed: pip install --group peers") from None
    torch.set_num_threads(1)
    nn = torch.nn
    images = torch.from_numpy(data.images.transpose(0, 3, 1, 2)).split(BATCH)[:steps]
    labels = torch.from_numpy(data.labels.astype(np.int64)).split(BATCH)[:steps]

    def variant(reads: bool, cuts: bool) -> Callable[[], Any]:
        layers = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        dense = nn.Linear(2 * 2 * 32, 64), nn.Linear(64, 10)
        with torch.no_grad():
            for layer, given in zip((*layers, *dense), params.values(), strict=True):
                kernel = np.moveaxis(np.asarray(given["kernel"]), (-1, -2), (0, 1))
                layer.weight.copy_(torch.tensor(kernel))
                layer.bias.copy_(torch.tensor(np.asarray(given["bias"])))
        blocks = [part for layer in layers for part in (layer, nn.ReLU(), nn.AvgPool2d(2))]
        model = nn.Sequential(*blocks, nn.Flatten(), dense[0], nn.ReLU(), dense[1])
        optimizer = torch.optim.Adam(model.parameters(), RATE, fused=True)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)

        def call() -> None:
            for x, y in zip(images, labels, strict=True):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                if reads:
                    value = loss.item()
                    if cuts:
                        scheduler.step(value)

        return call

    def alone() -> Callable[[], Any]:
        optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], RATE)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)

        def call() -> None:
            for _ in range(steps):
                scheduler.step(0.5)

        return call

    return {
        TORCH_ALONE: alone(),
        TORCH: variant(reads=False, cuts=False),
        TORCH_LOSS: variant(reads=True, cuts=False),
        TORCH_PLATEAU: variant(reads=True, cuts=True),
    }


def table(seconds: dict[str, np.ndarray], steps: int) -> str:
    """Medians over rounds with the quartiles, in Markdown."""
    lines = ["| a loop of steps | µs a step | against no schedule, % |", "| --- | --- | --- |"]
    for name, times in seconds.items():
        reference = seconds[TORCH if name.startswith("torch") else CONSTANT]
        each, more = spread(1e6 * times / steps), spread(100 * (times / reference - 1))
        against = f"{more.median:+.2f} [{more.low:+.2f}, {more.high:+.2f}]"
        lines.append(
            f"| `{name}` | {each.median:.1f} [{each.low:.1f}, {each.high:.1f}] "
            f"| {'' if name == TORCH_ALONE else against} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100, help="timed rounds (default: 100)")
    parser.add_argument("--out", type=Path, help="where to write every number, as JSON")
    arguments = parser.parse_args()
    data = digits().load().train
    steps = len(data.labels) // BATCH
    batches = [
        (jnp.asarray(data.images[i : i + BATCH]), jnp.asarray(data.labels[i : i + BATCH]))
        for i in range(0, steps * BATCH, BATCH)
    ]
    model = cnn(10)
    params, _ = model.init(jax.random.key(0), batches[0][0])
    calls = {
        name: jitted(model, optimizer, params, batches) for name, optimizer in optimizers().items()
    }
    seconds = in_turn(calls | pytorch(params, data, steps), arguments.rounds)
    print(table(seconds, steps))
    if arguments.out is not None:
        rounds = {name: times.tolist() for name, times in seconds.items()}
        facts = {"environment": versions(), "steps": steps, "seconds": rounds}
        arguments.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
