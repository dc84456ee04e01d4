"""Training steps a second on the CPU: studies of ours, PyTorch, and a plain Flax loop.

All do the same work in float32 from the same initial weights: gather a batch from data in memory,
loss, gradient, update. Each has processes of its own (`worker.py`), which run in turn, round after
round, so that a slow spell hits all of them.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lrdecay.training.data import digits, fashion_mnist
from lrdecay.training.models import cnn

jax.config.update("jax_platforms", "cpu")

CORES = os.cpu_count() or 1
NETS: dict[str, dict[str, Any]] = {
    "digits": {"size": "small", "features": (16, 32), "hidden": 64, "batch": 64, "steps": 1000},
    "fashion_mnist": {
        "size": "medium",
        "features": (32, 64),
        "hidden": 256,
        "batch": 128,
        "steps": 60,
    },
}
OURS, EAGER, PAIR, FLAX = (
    "lrdecay, a run a core",
    "PyTorch eager",
    "PyTorch eager, a process a core",
    "Flax, Python loop",
)
COMPILED, COMPILED_PAIR = "PyTorch compiled", "PyTorch compiled, a process a core"
# The worker's variant, and whether there is a process a core. Ours has a run a core in one process.
VARIANTS = {
    OURS: ("lrdecay", False),
    EAGER: ("eager", False),
    COMPILED: ("compile", False),
    PAIR: ("eager", True),
    COMPILED_PAIR: ("compile", True),
    FLAX: ("flax", False),
}


class Team:
    """The processes of a variant, which run a round at the same time."""

    def __init__(self, variant: str, a_core_each: bool, net: dict[str, Any], data: Path) -> None:
        command = [sys.executable, str(Path(__file__).with_name("worker.py"))]
        command += [variant, json.dumps(net), str(data)]
        environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
        if variant in ("lrdecay", "matmul"):
            environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        cores = [["--core", str(i)] for i in range(CORES)] if a_core_each else [[]]
        self.workers = [
            subprocess.Popen(
                command + core,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for core in cores
        ]

    def answers(self) -> list[Any]:
        """What each worker has to say, once all have."""
        return [json.loads(worker.stdout.readline()) for worker in self.workers]  # pyrefly: ignore

    def round(self) -> tuple[list[Any], float]:
        """The answers to a round, and the seconds until the last came."""
        start = time.perf_counter()
        for worker in self.workers:
            print(file=worker.stdin, flush=True)
        return self.answers(), time.perf_counter() - start

    def close(self) -> None:
        for worker in self.workers:
            worker.communicate()


def prepare(name: str, path: Path) -> str:
    """Writes the data and the initial weights; says what data they are."""
    net = NETS[name]
    n = net["steps"] * net["batch"]
    source = digits() if name == "digits" else fashion_mnist()
    try:
        train = source.load().train
        images, labels = train.images[np.arange(n) % len(train.labels)], np.resize(train.labels, n)
        what = f"{n} images of {name}"
    except FileNotFoundError:
        rng = np.random.default_rng(0)
        images = rng.normal(size=(n, 28, 28, 1)).astype(np.float32)
        labels, what = rng.integers(0, 10, n).astype(np.int32), f"{n} random images"
    # The weights of the run with seed 0.
    params, _ = cnn(10, net["size"]).init(jax.random.fold_in(jax.random.key(0), 0), images[:1])
    flat = {f"{layer}/{k}": np.asarray(v) for layer, p in params.items() for k, v in p.items()}
    arrays: dict[str, Any] = {"images": images, "labels": labels, **flat}
    np.savez(path, **arrays)
    return what


def flop(name: str) -> float:
    """Multiplications and additions of a step's layers, the first one without input gradient."""
    net, side = NETS[name], {"digits": 8, "fashion_mnist": 28}[name]
    first, second = net["features"]
    forward = [
        side**2 * 9 * first,
        (side // 2) ** 2 * 9 * first * second,
        (side // 4) ** 2 * second * net["hidden"],
        net["hidden"] * 10,
    ]
    return 2.0 * net["batch"] * (2 * forward[0] + 3 * sum(forward[1:]))


def environment() -> dict[str, str]:
    packages = ("lrdecay", "jax", "jaxlib", "flax", "optax", "torch")
    path = Path("/proc/cpuinfo")
    info = path.read_text() if path.exists() else ""
    names = (x.split(": ")[1] for x in info.splitlines() if x.startswith("model name"))
    # The width of its vectors decides what a processor is good for.
    widest = next((x for x in ("avx512f", "avx2") if x in info.split()), "")
    cpu = f"{next(names, platform.machine())} {widest}".strip()
    git = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    commit = subprocess.run(git, cwd=Path(__file__).parent, capture_output=True, text=True)
    return {
        **{package: importlib.metadata.version(package) for package in packages},
        "python": platform.python_version(),
        "device": f"{cpu}, {CORES} cores",
        "commit": commit.stdout.strip() or "unknown",
    }


def spread(values: np.ndarray) -> str:
    low, middle, high = np.percentile(values, (25, 50, 75))
    digits = 0 if middle >= 100 else 2
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def table(speeds: dict[str, np.ndarray], losses: dict[str, float], per_step: float) -> str:
    """The result in Markdown: medians over rounds, with the quartiles."""
    head = ("", "n", "steps/s", "lrdecay's ratio to it", "GFLOP/s", "first loss")
    rows: list[tuple[str, ...]] = [head]
    for name, speed in speeds.items():
        ratio = spread(speeds[OURS] / speed)
        rate = f"{np.median(speed) * per_step / 1e9:.0f}"
        rows.append((name, str(len(speed)), spread(speed), ratio, rate, f"{losses[name]:.3f}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    padded = ([cell.ljust(w) for cell, w in zip(row, widths, strict=True)] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in padded)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("net", choices=NETS)
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds (default: 7)")
    parser.add_argument("--out", type=Path, help="where to write every number, as JSON")
    arguments = parser.parse_args()
    name = arguments.net
    net = NETS[name]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data.npz")
        what = prepare(name, data)
        teams = {key: Team(*variant, net, data) for key, variant in VARIANTS.items()}
        matmul = Team("matmul", True, net, data)
        losses = {key: team.answers()[0] for key, team in teams.items()}
        matmul.answers()
    names = list(teams)
    speeds: dict[str, list[float]] = {key: [] for key in names}
    products: list[dict[str, float]] = []
    # Each round begins with another variant, and ends with the matrix products.
    for i in range(arguments.rounds):
        for key in names[i % len(names) :] + names[: i % len(names)]:
            answers, seconds = teams[key].round()
            runs = CORES if key == OURS else len(answers)
            speeds[key].append(runs * net["steps"] / seconds)
        answers, _ = matmul.round()
        products.append({shape: sum(a[shape] for a in answers) for shape in answers[0]})
    for team in (*teams.values(), matmul):
        team.close()
    medians = {shape: float(np.median([p[shape] for p in products])) for shape in products[0]}
    shape, roofline = max(medians.items(), key=lambda item: item[1])
    arrays = {key: np.array(speed) for key, speed in speeds.items()}
    print(table(arrays, losses, flop(name)))
    share = float(np.median(arrays[OURS])) * flop(name) / 1e9 / roofline
    print(
        f"Best matrix product, {shape}: {roofline:.0f} GFLOP/s, of which ours reaches {share:.0%}"
    )
    facts: dict[str, Any] = {"data": what, **net, "flop_per_step": flop(name), **environment()}
    print(", ".join(f"{k} {v}" for k, v in facts.items()))
    if arguments.out is not None:
        facts |= {"steps_per_second": speeds, "first_loss": losses, "matmul_gflops": products}
        arguments.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
