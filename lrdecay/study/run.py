"""Running a plan: every arm with every seed, saved on the way, so that it can stop and resume."""

import contextlib
import dataclasses
import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, overload

import jax
import numpy as np

from lrdecay.study.config import ConfigError
from lrdecay.study.folder import Folder, write_atomically
from lrdecay.study.history import History
from lrdecay.study.plan import Plan
from lrdecay.study.snapshot import Pair, Snapshot, load, save
from lrdecay.training.arms import stack
from lrdecay.training.data import DataError, Dataset
from lrdecay.training.engine import Score
from lrdecay.training.hosts import agreed, fetch, is_first, wait
from lrdecay.training.placement import Placement
from lrdecay.training.streamed_wave import make_streamed_wave
from lrdecay.training.streaming import StreamedDataset
from lrdecay.training.wave import AbstractWave, Run, Wave, joined, make_wave

PACKAGES = ("lrdecay", "jax", "jaxlib", "optax", "flax", "numpy")

# A wave that takes longer is saved on its way as often.
SNAPSHOT_SECONDS = 30.0

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


def _run_file(folder: Folder, pair: Pair) -> Path:
    arm, seed = pair
    return folder.runs / f"{arm}-{seed}.npz"


def run(
    plan: Plan,
    data: Dataset | StreamedDataset,
    folder: Folder,
    placement: Placement,
    on_progress: OnProgress,
) -> tuple[History, Timing]:
    """Runs what is missing of a plan, wave by wave, and gathers the record.

    Seed k gives every arm the same initial weights and the same batches. The runs of a wave are on
    disk before the next begins, and a wave that takes long is saved on its way: stopped at any
    moment, the same call goes on from there. Of several processes, all compute and the first
    writes, into a folder that all see.

    Args:
      plan: the plan.
      data: the plan's data set, loaded.
      folder: the study's folder, opened.
      placement: where the runs are computed.
      on_progress: told of the steps that are done, part by part, and of those found on disk.

    Raises:
      ConfigError: a streamed data set fails; the runs on disk stay.
    """
    start = time.perf_counter()
    compile_seconds, steps = 0.0, 0

    def told(pair: Pair, steps: int) -> None:
        on_progress(plan.arms[pair[0]].name, pair[1], steps)

    for arms in plan.groups:
        pairs = [(arm, seed) for arm in arms for seed in plan.config.seed_list]
        missing = [pair for pair in pairs if not _run_file(folder, pair).exists()]
        for pair in set(pairs) - set(missing):
            told(pair, plan.run.steps)
        if not missing:
            continue
        wave = programs(plan, arms, data, placement)
        compile_seconds += wave.seconds
        while missing:
            try:
                done, trained = _train(plan, wave, arms, missing, folder, told)
            except DataError as error:
                raise ConfigError([f"data: {error}"]) from error
            missing = [pair for pair in missing if pair not in done]
            steps += trained
    history = _gather(plan, folder)
    if is_first():
        _write(plan, folder, history)
    wait("every run has been read")
    total = time.perf_counter() - start
    return history, Timing(compile_seconds, total - compile_seconds, steps)


@overload
def programs(plan: Plan, arms: Sequence[int], data: Dataset, placement: Placement) -> Wave: ...


@overload
def programs(
    plan: Plan, arms: Sequence[int], data: Dataset | StreamedDataset, placement: Placement
) -> AbstractWave: ...


def programs(
    plan: Plan, arms: Sequence[int], data: Dataset | StreamedDataset, placement: Placement
) -> AbstractWave:
    """The programs of arms that have model and optimizer in common."""
    of = plan.arms[arms[0]]
    model = of.model(classes=plan.source.classes)
    schedules = stack([plan.arms[arm].schedule for arm in arms])

    def optimizer(schedule: Any) -> Any:
        return of.optimizer(schedule=schedule)

    parts = (model, optimizer, schedules)
    placed = (plan.config.batch_size, placement)
    if isinstance(data, StreamedDataset):
        return make_streamed_wave(*parts, data, *placed)
    return make_wave(*parts, data, *placed)


def _train(
    plan: Plan,
    wave: AbstractWave,
    arms: Sequence[int],
    missing: Sequence[Pair],
    folder: Folder,
    told: Callable[[Pair, int], None],
) -> tuple[Sequence[Pair], int]:
    """One wave from its start, or its snapshot, to the files of its runs.

    Returns:
      The runs, and how many steps of them were computed.
    """

    def filled(pairs: Sequence[Pair]) -> list[Pair]:
        """As many as a wave has: the first stands in for what there is too little of."""
        return [*pairs, *[pairs[0]] * (wave.placement.at_once - len(pairs))]

    pairs, per_epoch = missing[: wave.placement.at_once], plan.run.steps_per_epoch
    arm, seed = np.array([(arms.index(a), seed) for a, seed in filled(pairs)], np.int32).T
    under_way = wave.start.call(wave.own(Run(arm, seed)), wave.shared)
    steps, recent = [], []
    empty: Any = np.zeros((2, wave.placement.at_once, 0), np.float32)
    scores = [Score(*empty)]
    snapshot = load(folder.snapshot, missing, like=under_way)
    if snapshot is not None and wave.begins_at(snapshot.steps.loss.shape[1] % per_epoch):
        pairs = snapshot.pairs[: wave.placement.at_once]
        snapshot = snapshot.of(filled(pairs))
        under_way = wave.own(snapshot.under_way)
        steps, scores = [snapshot.steps], [snapshot.scores]
    begun = done = sum(part.loss.shape[1] for part in steps)
    for pair in pairs if begun else ():
        told(pair, begun)
    saved = time.monotonic()
    for epoch in range(begun // per_epoch, plan.config.epochs):
        with contextlib.closing(wave.train_epoch(under_way, epoch, done % per_epoch)) as parts:
            for under_way, record, score in parts:
                recent.append(record)
                done += record.loss.shape[1]
                for pair in pairs:
                    told(pair, record.loss.shape[1])
                due = agreed(time.monotonic() - saved > SNAPSHOT_SECONDS)
                if due or score is not None:
                    steps += fetch(recent)
                    recent.clear()
                if score is not None:
                    scores.append(jax.tree.map(lambda x: x[:, None], fetch(score)))
                if due:
                    now = (fetch(under_way), joined(steps), joined(scores))
                    if is_first():
                        save(folder.snapshot, Snapshot(tuple(filled(pairs)), *now).of(pairs))
                    saved = time.monotonic()
    final = wave.final_scores(under_way)
    columns = joined(steps)._asdict()
    for prefix, score in (("val", joined(scores)), ("train", final.train), ("test", final.test)):
        columns |= {f"{prefix}_{name}": column for name, column in score._asdict().items()}
    for row, pair in enumerate(pairs if is_first() else ()):
        record = {name: column[row] for name, column in columns.items()}
        write_atomically(
            _run_file(folder, pair), lambda p, record=record: np.savez_compressed(p, **record)
        )
    if is_first():
        folder.snapshot.unlink(missing_ok=True)
    wait("the runs are on disk")
    return pairs, len(pairs) * (done - begun)


def _gather(plan: Plan, folder: Folder) -> History:
    """Puts the runs on disk together."""

    def run_at(arm: int, seed: int) -> dict[str, np.ndarray]:
        with np.load(_run_file(folder, (arm, seed))) as arrays:
            return dict(arrays)

    seeds = plan.config.seed_list
    runs = [[run_at(i, seed) for seed in seeds] for i in range(len(plan.arms))]
    return History(
        **{
            f.name: np.stack([np.stack([run[f.name] for run in arm]) for arm in runs])
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
