"""Running a plan: every arm with every seed, saved on the way, so that it can stop and resume."""

import dataclasses
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import jax
import numpy as np

from lrdecay.study.config import ConfigError
from lrdecay.study.folder import Folder, write_atomically
from lrdecay.study.halving import SuccessiveHalving
from lrdecay.study.history import History
from lrdecay.study.plan import Plan
from lrdecay.study.saved import load_record, save, steps_on
from lrdecay.study.waves import Pair, programs, train
from lrdecay.training.data import DataError, Dataset
from lrdecay.training.engine import Steps
from lrdecay.training.hosts import agreed, is_first, wait
from lrdecay.training.placement import Placement
from lrdecay.training.streaming import StreamedDataset
from lrdecay.training.wave import AbstractWave

PACKAGES = ("lrdecay", "jax", "jaxlib", "optax", "flax", "numpy")

# Called with the names of the run and the steps it has just done.
OnProgress = Callable[[str, int, int], None]

# Called with the epoch and the names of the arms that have been retired after it.
OnRetired = Callable[[int, Sequence[str]], None]


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


def run(
    plan: Plan,
    data: Dataset | StreamedDataset,
    folder: Folder,
    placement: Placement,
    on_progress: OnProgress,
    on_retired: OnRetired = lambda epoch, arms: None,
) -> tuple[History, Timing]:
    """Runs what is missing of a plan, wave by wave, and gathers the record.

    Seed k gives every arm the same initial weights and the same batches. With successive halving,
    all arms come to a rung, then those that are left to the next; without, the end is the one rung.
    The runs of a wave are on disk before the next begins, and a wave that takes long is saved on
    its way: stopped at any moment, the same call goes on from there. Of several processes, all
    compute, the first decides and writes, into a folder that all see.

    Args:
      plan: the plan.
      data: the plan's data set, loaded.
      folder: the study's folder, opened.
      placement: where the runs are computed.
      on_progress: told of the steps that are done, part by part, and of those found on disk; those
        that have to be done again count as less than none.
      on_retired: told of the arms that are retired, also when that was before.

    Raises:
      ConfigError: a streamed data set fails; the runs on disk stay.
    """
    start = time.perf_counter()
    compile_seconds, trained = 0.0, 0
    per_epoch, seeds = plan.run.steps_per_epoch, plan.config.seed_list

    def told(pair: Pair, steps: int) -> None:
        on_progress(plan.arms[pair[0]].name, pair[1], steps)

    arms = list(range(len(plan.arms)))
    pairs = [(arm, seed) for arm in arms for seed in seeds]
    found = agreed(np.array([steps_on(folder.run(*pair)) for pair in pairs], np.int32))
    done = dict(zip(pairs, found.tolist(), strict=True))
    for pair, steps in done.items():
        if steps:
            told(pair, steps)
    waves: dict[Sequence[int], AbstractWave] = {}
    for epochs, _ in plan.stages:
        end = epochs * per_epoch
        for group in plan.groups:
            runs = {
                pair: done[pair]
                for pair in pairs
                if pair[0] in group and pair[0] in arms and done[pair] < end
            }
            if runs and group not in waves:
                waves[group] = programs(plan, group, data, placement)
                compile_seconds += waves[group].seconds
            for pair, steps in runs.items():
                # Saved within an epoch by a wave whose parts are of another length.
                if not waves[group].begins_at(steps % per_epoch):
                    told(pair, -steps)
                    runs[pair] = 0
            for begin, wave in _in_waves(runs, placement.at_once):
                try:
                    train(plan, waves[group], group, wave, begin, end, folder, told)
                except DataError as error:
                    raise ConfigError([f"data: {error}"]) from error
                trained += len(wave) * (end - begin)
            done |= dict.fromkeys(runs, end)
            if epochs == plan.config.epochs:
                waves.pop(group, None)  # its data leave the devices
        if plan.halving is not None and epochs < plan.config.epochs:
            before, arms = arms, _retire(plan, folder, arms, plan.halving, epochs)
            if retired := [plan.arms[arm].name for arm in before if arm not in arms]:
                on_retired(epochs, retired)
    history = _gather(plan, folder)
    if is_first():
        _write(plan, folder, history)
    wait("every run has been read")
    total = time.perf_counter() - start
    return history, Timing(compile_seconds, total - compile_seconds, trained)


def _in_waves(runs: Mapping[Pair, int], at_once: int) -> Iterator[tuple[int, list[Pair]]]:
    """Runs that are equally far, at most so many at once: how far, and which."""
    for steps in sorted(set(runs.values())):
        alike = [pair for pair in runs if runs[pair] == steps]
        for i in range(0, len(alike), at_once):
            yield steps, alike[i : i + at_once]


def _retire(
    plan: Plan, folder: Folder, arms: Sequence[int], halving: SuccessiveHalving, epochs: int
) -> list[int]:
    """Retires some of the arms at a rung, whose states are deleted.

    Returns:
      The arms that go on.
    """

    def accuracy(pair: Pair) -> float:
        """The validation accuracy at the rung, the worst there is for a run that has diverged."""
        record = load_record(folder.run(*pair))
        finite = np.isfinite(record["val_loss"][epochs - 1])
        return float(record["val_accuracy"][epochs - 1]) if finite else 0.0

    seeds = plan.config.seed_list
    table = [[accuracy((arm, seed)) for seed in seeds] for arm in arms]
    kept = [arms[i] for i in halving.going_on(agreed(np.array(table, np.float32)).tolist())]
    for arm in arms if is_first() else ():
        for seed in seeds if arm not in kept else ():
            file = folder.run(arm, seed)
            save(file, load_record(file), [])
    return kept


def _gather(plan: Plan, folder: Folder) -> History:
    """Puts the runs on disk together."""
    lengths = dict.fromkeys(Steps._fields, plan.run.steps)
    lengths |= dict.fromkeys(("val_loss", "val_accuracy"), plan.config.epochs)

    def run_at(arm: int, seed: int) -> dict[str, np.ndarray]:
        record = load_record(folder.run(arm, seed))
        for name, length in lengths.items():
            after = -1 if name == "fires" else np.nan
            short = length - len(record[name])
            record[name] = np.pad(record[name], (0, short), constant_values=after)
        return record

    absent = np.float32(np.nan)
    seeds = plan.config.seed_list
    runs = [[run_at(i, seed) for seed in seeds] for i in range(len(plan.arms))]
    return History(
        **{
            f.name: np.stack([np.stack([run.get(f.name, absent) for run in arm]) for arm in runs])
            for f in dataclasses.fields(History)
        }
    )


def _write(plan: Plan, folder: Folder, history: History) -> None:
    """Writes the study's record and its log."""
    write_atomically(
        folder.history, lambda p: np.savez_compressed(p, **dataclasses.asdict(history))
    )
    lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in _log(plan, history))
    write_atomically(folder.metrics, lambda p: p.write_text(lines, encoding="utf-8"))


def _log(plan: Plan, history: History) -> Iterator[dict[str, Any]]:
    """One row an epoch of every run."""

    def number(x: np.floating) -> float | None:
        return float(x) if np.isfinite(x) else None  # JSON has no NaN

    epochs = history.epochs
    for i, arm in enumerate(plan.arms):
        for j, seed in enumerate(plan.config.seed_list):
            for epoch in range(epochs[i]):
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
