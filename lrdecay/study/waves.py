"""The waves of a study: runs from the disk, in step over the devices, and back to the disk."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import numpy as np

from lrdecay.study.folder import Folder
from lrdecay.study.plan import Plan
from lrdecay.study.saved import leaves, load_record, load_state, restored, save
from lrdecay.training.arms import stack
from lrdecay.training.data import Dataset
from lrdecay.training.engine import Score
from lrdecay.training.hosts import agreed, fetch, is_first, wait
from lrdecay.training.placement import Placement
from lrdecay.training.streamed_wave import make_streamed_wave
from lrdecay.training.streaming import StreamedDataset
from lrdecay.training.wave import AbstractWave, Run, Wave, make_wave

# A wave that takes longer is saved on its way as often.
SNAPSHOT_SECONDS = 30.0

# An arm's index and a seed.
Pair = tuple[int, int]


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


def _named(split: str, score: Score) -> dict[str, Any]:
    return {f"{split}_{name}": x for name, x in score._asdict().items()}


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What has come in one after the other, [runs, some] each and not all in every part, as one."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {
        name: np.concatenate([part[name] for part in parts if name in part], axis=1)
        for name in names
    }


def train(
    plan: Plan,
    wave: AbstractWave,
    arms: Sequence[int],
    pairs: Sequence[Pair],
    begin: int,
    end: int,
    folder: Folder,
    told: Callable[[Pair, int], None],
) -> None:
    """Trains a wave of runs, from their files, if they have begun, to their files.

    Args:
      plan: the plan.
      wave: the programs.
      arms: the arms that the programs are for.
      pairs: the runs, at most as many as a wave has.
      begin: the steps that are done of each.
      end: the steps to be done, which end an epoch.
      folder: the study's folder.
      told: called with the run and the steps that it has just done.
    """
    per_epoch = plan.run.steps_per_epoch
    # The first stands in for what there is too little of.
    filled = [*pairs, *[pairs[0]] * (wave.placement.at_once - len(pairs))]
    arm, seed = np.array([(arms.index(a), seed) for a, seed in filled], np.int32).T
    under_way = wave.start.call(wave.own(Run(arm, seed)), wave.shared)
    parts: list[dict[str, np.ndarray]] = []
    if begin:
        files = [folder.run(*pair) for pair in filled]
        records = [load_record(file) for file in files]
        parts = [{name: np.stack([r[name] for r in records]) for name in records[0]}]
        state = map(np.stack, zip(*map(load_state, files), strict=True))
        under_way = wave.own(restored(list(state), like=under_way))

    def write(state: Sequence[np.ndarray], scores: dict[str, Any]) -> None:
        columns = _joined(parts) | scores
        for row, pair in enumerate(pairs if is_first() else ()):
            record = {name: x[row, ...] for name, x in columns.items()}
            save(folder.run(*pair), record, [x[row, ...] for x in state])

    done, recent, saved = begin, [], time.monotonic()
    for epoch in range(begin // per_epoch, end // per_epoch):
        with contextlib.closing(wave.train_epoch(under_way, epoch, done % per_epoch)) as given:
            for under_way, steps, score in given:
                recent.append(steps)
                done += steps.loss.shape[1]
                due = done < end and agreed(time.monotonic() - saved > SNAPSHOT_SECONDS)
                if due or score is not None:
                    parts += [steps._asdict() for steps in fetch(recent)]
                    recent.clear()
                if score is not None:
                    scores = _named("val", fetch(score))
                    parts.append({name: x[:, None] for name, x in scores.items()})
                for pair in pairs:
                    told(pair, steps.loss.shape[1])
                if due:
                    write(leaves(under_way), {})
                    saved = time.monotonic()
    if end == plan.run.steps:
        final = wave.final_scores(under_way)
        write([], _named("train", final.train) | _named("test", final.test))
    else:
        write(leaves(under_way), {})
    wait("the runs are on disk")
