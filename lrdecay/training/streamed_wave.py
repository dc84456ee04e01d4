"""A wave that is trained on a stream: the host hands the devices some mini-batches at a time."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array

from lrdecay.training.arms import Schedules, pick
from lrdecay.training.data import Split
from lrdecay.training.engine import (
    Score,
    Steps,
    TrainState,
    dropout_keys,
    evaluate,
    train_steps,
    validate,
)
from lrdecay.training.hosts import fetch
from lrdecay.training.models import Model
from lrdecay.training.placement import BATCH, RUNS, Placement, over_runs, share
from lrdecay.training.rewriting import fast_convolutions
from lrdecay.training.streaming import Chunk, StreamedDataset
from lrdecay.training.wave import (
    AbstractWave,
    Final,
    OptimizerOf,
    Part,
    Program,
    UnderWay,
    compiled,
    finite,
    standing_still,
    started,
)

# Bounds of a chunk: more steps than these save no time, and more bytes on a device may not fit.
_MOST_STEPS = 32
_MOST_BYTES = 2**26

# Where the axes of a chunk of each run, [runs, steps, batch, ...], go.
_CHUNK = PartitionSpec(RUNS, None, BATCH)


class HeldOut(NamedTuple):
    """The splits that are on the devices."""

    validation: Split
    test: Split


def chunk_steps(steps_per_epoch: int, step_bytes: int) -> int:
    """Steps in a chunk: as many as the bounds allow that divide the epoch, for all to be alike."""
    most = max(1, min(_MOST_STEPS, _MOST_BYTES // step_bytes))
    return max(n for n in range(1, most + 1) if steps_per_epoch % n == 0)


@dataclasses.dataclass(frozen=True)
class StreamedWave(AbstractWave):
    """A wave whose training split is a stream. Runs of the same seed read it once.

    Of several processes, each reads what the runs on its own devices need.

    Attributes:
      chunk: (runs under way, their chunks, (schedules, epoch, the chunk's first step)) -> (runs
        under way, steps), which uses up the runs given.
      validate: (runs under way, shared) -> (runs under way, validation scores), likewise.
      score: ((runs under way, their chunks), nothing) -> scores of these chunks.
      test: (runs under way, shared) -> scores of the test split.
      data: the data set.
      batch_size: examples in a mini-batch.
      steps: mini-batches in a chunk.
    """

    chunk: Program
    validate: Program
    score: Program
    test: Program
    data: StreamedDataset
    batch_size: int
    steps: int

    def train_epoch(
        self, under_way: UnderWay, epoch: int, done: int = 0
    ) -> Generator[Part, None, None]:
        """Chunk by chunk, of which the next is on the devices before a part is given."""
        assert self.begins_at(done)
        with contextlib.closing(self._chunks(under_way, epoch, done)) as chunks:
            chunk, last = next(chunks, None), None
            while chunk is not None:
                common = (self.shared[0], np.int32(epoch), np.int32(done))
                under_way, steps = self.chunk.call(under_way, chunk, common)
                jax.block_until_ready(last)  # else all that is read piles up on the devices
                chunk, last, score = next(chunks, None), steps, None
                if chunk is None:
                    under_way, score = self.validate.call(under_way, self.shared)
                yield Part(under_way, steps, score)
                done += self.steps

    def begins_at(self, step: int) -> bool:
        """A chunk is a part."""
        return step % self.steps == 0

    def final_scores(self, under_way: UnderWay) -> Final:
        """One pass over the mini-batches of epoch 0, and the test split."""
        scores: list[Score] = []
        with contextlib.closing(self._chunks(under_way, epoch=0)) as chunks:
            for chunk in chunks:
                score = self.score.call((under_way, chunk), ())
                jax.block_until_ready(scores[-1:])
                scores.append(score)
        train = jax.tree.map(
            lambda *x: np.mean(x, axis=0, dtype=np.float64).astype(np.float32), *fetch(scores)
        )
        return Final(train, fetch(self.test.call(under_way, self.shared)))

    def _chunks(
        self, under_way: UnderWay, epoch: int, first: int = 0
    ) -> Generator[Chunk, None, None]:
        """The chunks of an epoch from a step of it on, [runs, steps, ...] each."""
        runs, sharding = self.placement.at_once, NamedSharding(self.mesh, _CHUNK)
        assert isinstance(under_way.run.seed, Array)
        seeds = {
            row: int(seed)
            for shard in under_way.run.seed.addressable_shards
            for row, seed in zip(range(runs)[shard.index[0]], np.asarray(shard.data), strict=True)
        }
        size = (self.batch_size, self.steps)
        with contextlib.ExitStack() as stack:
            streams = {
                seed: stack.enter_context(
                    contextlib.closing(self.data.chunks(seed, epoch, *size, first))
                )
                for seed in dict.fromkeys(seeds.values())
            }
            for chunks in zip(*streams.values(), strict=True):
                of = dict(zip(streams, chunks, strict=True))
                yield _on_devices({row: of[seed] for row, seed in seeds.items()}, runs, sharding)


def _on_devices(chunks: Mapping[int, Chunk], runs: int, sharding: NamedSharding) -> Chunk:
    """The chunks of all runs as one.

    Args:
      chunks: those that this process's devices need, by the index of the run.
      runs: how many there are, of all processes.
      sharding: says what a device needs.
    """

    def array(*arrays: np.ndarray) -> Array:
        of = dict(zip(chunks, arrays, strict=True))

        def part(index: Any) -> np.ndarray:
            return np.stack([of[row][index[1:]] for row in range(runs)[index[0]]])

        return jax.make_array_from_callback((runs, *arrays[0].shape), sharding, part)

    return jax.tree.map(array, *chunks.values())


def make_streamed_wave(
    model: Model,
    optimizer: OptimizerOf,
    schedules: Schedules,
    data: StreamedDataset,
    batch_size: int,
    placement: Placement,
) -> StreamedWave:
    """`make_wave` for a streamed data set.

    On the same mini-batches the numbers are those of `make_wave`, but for the training score, which
    leaves out what does not fill a last mini-batch.
    """
    # The training loop is no place for XLA's own convolutions on a CPU.
    model = model._replace(apply=fast_convolutions(model.apply))
    held = HeldOut(data.validation, data.test)
    fields, under_way = started(model, optimizer, schedules, held, batch_size, placement)
    _, mesh, shared, _ = fields
    image_shape = data.validation.images.shape[1:]
    step_bytes = 4 * batch_size * math.prod(image_shape) * placement.lanes // placement.sharing
    steps_per_epoch = data.train.size // batch_size
    steps = chunk_steps(steps_per_epoch, step_bytes)

    def spread(x: Any) -> Any:
        return share(x, mesh)

    def train(own: tuple[UnderWay, Chunk], common: Any) -> tuple[UnderWay, Steps]:
        ((run, state, moving), chunk), (schedules, epoch, first) = own, common
        made = optimizer(pick(schedules, jnp.asarray(run.arm)))

        # Traced once for both of its uses.
        @functools.partial(jax.jit, inline=True)
        def move(state: TrainState) -> tuple[TrainState, Steps]:
            keys = dropout_keys(jax.random.key(run.seed), epoch, steps_per_epoch)
            keys = lax.dynamic_slice_in_dim(keys, first, steps)
            return train_steps(model, made, state, chunk, keys, spread)

        def stand_still(state: TrainState) -> tuple[TrainState, Steps]:
            return state, standing_still(state, jax.eval_shape(move, state)[1])

        state, record = lax.cond(moving, move, stand_still, state)
        return UnderWay(run, state, moving), record

    def end(own: UnderWay, shared: tuple[Schedules, HeldOut]) -> tuple[UnderWay, Score]:
        run, state, moving = own
        told, score = validate(model, state, shared[1].validation, spread)
        state = lax.cond(moving, lambda: told, lambda: state)
        return UnderWay(run, state, finite(state.params)), score

    def score(own: tuple[UnderWay, Chunk], _: tuple[()]) -> Score:
        under_way, chunk = own
        images, labels = chunk.images.reshape(-1, *image_shape), chunk.labels.reshape(-1)
        return evaluate(model, under_way.state, Split(images, labels), spread)

    def test(own: UnderWay, shared: tuple[Schedules, HeldOut]) -> Score:
        return evaluate(model, own.state, shared[1].test, spread)

    def placed(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        return over_runs(function, placement, mesh)

    def example(shape: tuple[int, ...], dtype: Any) -> Any:
        shape = (placement.at_once, steps, batch_size, *shape)
        return jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, _CHUNK))

    chunk = Chunk(example(image_shape, np.float32), example((), np.int32))
    index = jax.device_put(jnp.int32(0), NamedSharding(mesh, PartitionSpec()))
    return StreamedWave(
        *fields,
        chunk=compiled(
            # The state is used up and the chunk is not, so that they are two arguments.
            lambda under_way, chunk, common: placed(train)((under_way, chunk), common),
            *(under_way, chunk, (shared[0], index, index)),
            donate_argnums=0,
        ),
        validate=compiled(placed(end), under_way, shared, donate_argnums=0),
        score=compiled(placed(score), (under_way, chunk), ()),
        test=compiled(placed(test), under_way, shared),
        data=data,
        batch_size=batch_size,
        steps=steps,
    )
