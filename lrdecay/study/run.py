"""Running a plan: every arm with every seed, saved run by run, so that it can stop and resume."""

import dataclasses
import functools
import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lrdecay.study.folder import Folder, write_atomically
from lrdecay.study.history import History
from lrdecay.study.plan import Arm, Plan
from lrdecay.training.data import Dataset
from lrdecay.training.engine import evaluate, init, train_epoch
from lrdecay.training.models import Model

PACKAGES = ("lrdecay", "jax", "jaxlib", "optax", "flax", "numpy")

# Called with the names of the run and the steps it has just done.
OnProgress = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True)
class Timing:
    """Where the time went.

    Attributes:
      compile_seconds: tracing and compiling.
      train_seconds: everything else from the first compilation to the last run's end.
      steps: training steps that were run; those of runs found on disk do not count.
    """

    compile_seconds: float
    train_seconds: float
    steps: int


def versions() -> dict[str, str]:
    """Versions of what decides the numbers, and the device."""
    device = jax.devices()[0]
    return {
        **{package: version(package) for package in PACKAGES},
        "python": platform.python_version(),
        "device": f"{device.platform}: {device.device_kind}",
    }


def identity(plan: Plan) -> dict[str, Any]:
    """What makes a study the study it is: runs are only ever put together within one."""
    return {"config": plan.resolved, "versions": versions()}


def _compiled(function: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, float]:
    """A function compiled for such arguments, and the seconds that this took."""
    start = time.perf_counter()
    program = jax.jit(function, **options).lower(*arguments).compile()
    return program, time.perf_counter() - start


def _run_file(folder: Folder, arm: int, seed: int) -> Path:
    return folder.runs / f"{arm}-{seed}.npz"


def run(
    plan: Plan, data: Dataset, folder: Folder, on_progress: OnProgress
) -> tuple[History, Timing]:
    """Runs what is missing of a plan, one run after the other, and gathers the record.

    Seed k gives every arm the same initial weights and the same batches. A finished run is on disk
    before the next begins: stopped at any moment, the same call goes on from there.

    Args:
      plan: the plan.
      data: the plan's data set, loaded.
      folder: the study's folder, opened.
      on_progress: told of every epoch that is done, and of all epochs of a run found on disk.
    """
    start = time.perf_counter()
    seeds, batch_size = plan.config.seed_list, plan.config.batch_size
    data = jax.device_put(data)
    example = data.train.images[:batch_size]
    key = jax.random.key(0)
    initialise, compile_seconds = _compiled(plan.model.init, key, example)
    model = plan.model._replace(init=initialise)
    score, steps = None, 0
    for i, arm in enumerate(plan.arms):
        missing = [seed for seed in seeds if not _run_file(folder, i, seed).exists()]
        for seed in set(seeds) - set(missing):
            on_progress(arm.name, seed, plan.run.steps)
        if not missing:
            continue
        state = init(model, arm.optimizer, key, example)
        epoch, seconds = _compiled(
            functools.partial(train_epoch, model, arm.optimizer, batch_size),
            *(state, key, jnp.int32(0), data.train, data.validation),
            donate_argnums=0,
        )
        compile_seconds += seconds
        if score is None:
            # Scores need no optimizer state, and so are one program for all arms.
            bare = state._replace(opt_state=())
            score = {}
            for name in ("train", "test"):
                score[name], seconds = _compiled(
                    functools.partial(evaluate, model), bare, getattr(data, name)
                )
                compile_seconds += seconds
        for seed in missing:
            record = _run_one(plan, data, arm, seed, model, epoch, score, on_progress)
            write_atomically(
                _run_file(folder, i, seed),
                lambda p, record=record: np.savez_compressed(p, **record),
            )
            steps += plan.run.steps
    history = _gather(plan, folder)
    total = time.perf_counter() - start
    return history, Timing(compile_seconds, total - compile_seconds, steps)


def _run_one(
    plan: Plan,
    data: Dataset,
    arm: Arm,
    seed: int,
    model: Model,
    epoch: Any,
    score: dict[str, Any],
    on_progress: OnProgress,
) -> dict[str, Any]:
    """One arm with one seed: what `History` holds, without its first two axes."""
    key = jax.random.key(seed)
    state = init(model, arm.optimizer, key, data.train.images[: plan.config.batch_size])
    steps, scores = [], []
    for index in range(plan.config.epochs):
        state, record, validation = epoch(state, key, jnp.int32(index), data.train, data.validation)
        steps.append(jax.device_get(record))
        scores.append(jax.device_get(validation))
        on_progress(arm.name, seed, plan.run.steps_per_epoch)
    bare = state._replace(opt_state=())
    record = {name: np.concatenate(column) for name, column in _columns(steps).items()}
    record |= {f"val_{name}": np.stack(column) for name, column in _columns(scores).items()}
    for name in ("train", "test"):
        final = score[name](bare, getattr(data, name))
        record |= {f"{name}_{k}": np.asarray(v) for k, v in final._asdict().items()}
    return record


def _columns(rows: Sequence[Any]) -> dict[str, tuple[np.ndarray, ...]]:
    """A list of named tuples as a dict of columns."""
    return dict(zip(rows[0]._fields, zip(*rows, strict=True), strict=True))


def _gather(plan: Plan, folder: Folder) -> History:
    """Puts the runs on disk together, as the study's record and its log."""

    def run_at(arm: int, seed: int) -> dict[str, np.ndarray]:
        with np.load(_run_file(folder, arm, seed)) as arrays:
            return dict(arrays)

    seeds = plan.config.seed_list
    runs = [[run_at(i, seed) for seed in seeds] for i in range(len(plan.arms))]
    history = History(
        **{
            f.name: np.stack([np.stack([run[f.name] for run in arm]) for arm in runs])
            for f in dataclasses.fields(History)
        }
    )
    write_atomically(
        folder.history, lambda p: np.savez_compressed(p, **dataclasses.asdict(history))
    )
    lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in _log(plan, history))
    write_atomically(folder.metrics, lambda p: p.write_text(lines, encoding="utf-8"))
    return history


def _log(plan: Plan, history: History) -> Iterator[dict[str, Any]]:
    """One row an epoch of every run."""

    def number(x: np.floating) -> float | None:
        return float(x) if np.isfinite(x) else None  # JSON has no NaN

    for i, arm in enumerate(plan.arms):
        for j, seed in enumerate(plan.config.seed_list):
            for epoch in range(plan.config.epochs):
                last = (epoch + 1) * plan.run.steps_per_epoch
                steps = slice(last - plan.run.steps_per_epoch, last)
                yield {
                    "arm": arm.name,
                    "seed": seed,
                    "epoch": epoch + 1,
                    "step": last,
                    "loss": number(history.loss[i, j, steps].mean()),
                    "grad_norm": number(history.grad_norm[i, j, steps].mean()),
                    "learning_rate": number(history.learning_rate[i, j, last - 1]),
                    "fires": int(history.fires[i, j, last - 1]),
                    "val_loss": number(history.val_loss[i, j, epoch]),
                    "val_accuracy": number(history.val_accuracy[i, j, epoch]),
                }
