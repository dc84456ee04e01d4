"""One variant of the benchmark in a process of its own: trains for a round at each line it reads.

Settings of threads, devices and cores are a process's own, and none may run while another is timed.
"""

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RATE, MOMENTUM = 0.05, 0.9

# What a round comes to, such as the mean loss.
Round = Callable[[], Any]


def lrdecay_study(net: dict[str, Any], data: dict[str, np.ndarray]) -> Round:
    """The study's own programs: a plateau schedule, one run on each of the virtual devices."""
    import jax

    jax.config.update("jax_num_cpu_devices", os.cpu_count())
    import lrdecay
    from lrdecay.training.arms import stack
    from lrdecay.training.data import Dataset, Split
    from lrdecay.training.models import cnn
    from lrdecay.training.optimizers import momentum
    from lrdecay.training.placement import Placement
    from lrdecay.training.wave import Run, make_wave

    train = Split(data["images"], data["labels"])
    # An epoch always ends with a validation: here, of one example.
    one = jax.tree.map(lambda x: x[:1], train)
    when = lrdecay.plateau(patience=2, window=len(train.labels) // net["batch"])
    schedule = jax.tree_util.Partial(
        lambda rate: lrdecay.loss_aware(rate, when=when, how=lrdecay.multiply(0.1)), RATE
    )
    runs = os.cpu_count() or 1
    wave = make_wave(
        cnn(10, net["size"]),
        lambda schedule: momentum(schedule, MOMENTUM),
        stack([schedule]),
        Dataset(train, one, one),
        net["batch"],
        Placement(runs, 1, 1),
    )
    seeds = np.arange(runs, dtype=np.int32)
    under_way = wave.start.call(wave.own(Run(np.zeros_like(seeds), seeds)), wave.shared)
    index = 0

    def train_round() -> float:
        nonlocal under_way, index
        under_way, steps, _ = jax.block_until_ready(
            wave.epoch.call(under_way, (wave.shared, np.int32(index)))
        )
        index += 1
        return float(steps.loss[0].mean())

    return train_round


def flax(net: dict[str, Any], data: dict[str, np.ndarray]) -> Round:
    """A Python loop over one donated jitted step, with Linen's own layers."""
    import jax
    import jax.numpy as jnp
    import optax
    from flax import linen

    class PlainCNN(linen.Module):
        """The CNN as a Flax user writes it."""

        @linen.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            for features in net["features"]:
                x = linen.relu(linen.Conv(features, (3, 3))(x))
                x = linen.avg_pool(x, (2, 2), strides=(2, 2))
            x = linen.relu(linen.Dense(net["hidden"])(x.reshape(len(x), -1)))
            return linen.Dense(10)(x)

    model, optimizer = PlainCNN(), optax.sgd(RATE, MOMENTUM)
    images, labels = jnp.asarray(data["images"]), jnp.asarray(data["labels"])
    params = {"params": given(data, jnp.asarray)}
    opt_state = optimizer.init(params)

    def step(params: Any, opt_state: Any, rows: jax.Array) -> tuple[Any, Any, jax.Array]:
        def loss_of(params: Any) -> jax.Array:
            logits: Any = model.apply(params, images[rows])
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels[rows]).mean()

        loss, grads = jax.value_and_grad(loss_of)(params)
        updates, opt_state = optimizer.update(grads, opt_state)
        return optax.apply_updates(params, updates), opt_state, loss

    program = jax.jit(step, donate_argnums=(0, 1))

    def train_round() -> float:
        nonlocal params, opt_state
        losses = []
        for rows in batches(net, data):
            params, opt_state, loss = program(params, opt_state, rows)
            losses.append(loss)
        return float(np.mean(jax.block_until_ready(losses)))

    return train_round


def pytorch(
    net: dict[str, Any], data: dict[str, np.ndarray], threads: int, compiled: bool
) -> Round:
    """Channels last, fused SGD; the forward pass and the loss compiled, if asked for."""
    torch: Any = importlib.import_module("torch")  # a peer, which the package does not need
    nn = torch.nn
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    (first, second), (height, width) = net["features"], data["images"].shape[1:3]
    convolutions = nn.Conv2d(1, first, 3, padding=1), nn.Conv2d(first, second, 3, padding=1)
    flat = (height // 4) * (width // 4) * second
    dense = nn.Linear(flat, net["hidden"]), nn.Linear(net["hidden"], 10)
    with torch.no_grad():
        layers = given(data, torch.tensor).values()
        for layer, weights in zip((*convolutions, *dense), layers, strict=True):
            # Flax has the axes (height, width, in, out), PyTorch (out, in, height, width).
            layer.weight.copy_(weights["kernel"].movedim((-1, -2), (0, 1)))
            layer.bias.copy_(weights["bias"])
    blocks = [nn.Sequential(c, nn.ReLU(), nn.AvgPool2d(2)) for c in convolutions]
    body = nn.Sequential(*blocks).to(memory_format=torch.channels_last)
    head = nn.Sequential(dense[0], nn.ReLU(), dense[1])
    parameters = [*body.parameters(), *head.parameters()]
    optimizer = torch.optim.SGD(parameters, RATE, MOMENTUM, fused=True)
    images = torch.from_numpy(data["images"].transpose(0, 3, 1, 2))
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(data["labels"].astype(np.int64))

    def loss_of(x: Any, y: Any) -> Any:
        # Flattened as in Flax: with the channels last in memory, without a copy.
        logits = head(body(x).permute(0, 2, 3, 1).flatten(1))
        return nn.functional.cross_entropy(logits, y)

    if compiled:
        loss_of = torch.compile(loss_of)

    def train_round() -> float:
        losses = []
        for rows in map(torch.from_numpy, batches(net, data)):
            optimizer.zero_grad()
            loss = loss_of(images[rows], labels[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())

    return train_round


def matmul(net: dict[str, Any], data: dict[str, np.ndarray]) -> Round:
    """GFLOP/s of one core in float32: the layers' products, and large ones."""
    import jax
    import jax.numpy as jnp

    batch, (height, width) = net["batch"], data["images"].shape[1:3]
    first, second = net["features"]
    pixels, flat = batch * (height // 2) * (width // 2), (height // 4) * (width // 4) * second
    shapes = [
        (batch * height * width, 9, first),
        (pixels, 9 * first, second),
        (9 * first, pixels, second),
        (pixels, 9 * second, first),
        (batch, flat, net["hidden"]),
        (1024, 1024, 1024),
        (2048, 2048, 2048),
    ]
    product = jax.jit(jnp.matmul)

    def speed(m: int, k: int, n: int) -> float:
        a, b = jnp.ones((m, k)), jnp.ones((k, n))
        flop = 2 * m * k * n
        count = max(1, min(1000, int(5e9 / flop)))
        product(a, b).block_until_ready()
        start = time.perf_counter()
        jax.block_until_ready([product(a, b) for _ in range(count)])
        return count * flop / (time.perf_counter() - start) / 1e9

    return lambda: {" x ".join(map(str, shape)): speed(*shape) for shape in shapes}


def given(data: dict[str, np.ndarray], convert: Callable[[np.ndarray], Any]) -> dict[str, Any]:
    """The initial weights, in the order of the layers."""
    names = ("Conv_0", "Conv_1", "Dense_0", "Dense_1")
    return {n: {p: convert(data[f"{n}/{p}"]) for p in ("kernel", "bias")} for n in names}


def batches(net: dict[str, Any], data: dict[str, np.ndarray]) -> np.ndarray:
    """The batches of a round in a new order, i32[steps, batch]."""
    order = RNG.permutation(len(data["labels"])).astype(np.int32)
    return order.reshape(-1, net["batch"])


RNG = np.random.default_rng(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("variant")
    parser.add_argument("net", type=json.loads)
    parser.add_argument("data", type=Path)
    parser.add_argument("--core", type=int, help="the one core to run on")
    arguments = parser.parse_args()
    if arguments.core is not None:
        os.sched_setaffinity(0, {arguments.core})
    threads = len(os.sched_getaffinity(0))
    data = dict(np.load(arguments.data))
    make = {
        "lrdecay": lrdecay_study,
        "flax": flax,
        "matmul": matmul,
        "eager": lambda net, data: pytorch(net, data, threads, compiled=False),
        "compile": lambda net, data: pytorch(net, data, threads, compiled=True),
    }[arguments.variant]
    run = make(arguments.net, data)
    # The first line of output says that it is compiled and warm.
    print(json.dumps(run()), flush=True)
    while sys.stdin.readline():
        print(json.dumps(run()), flush=True)


if __name__ == "__main__":
    main()
