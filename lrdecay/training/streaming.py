"""Training data that does not fit in memory: mini-batches made ahead of time by a thread."""

import collections
import contextlib
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float32, Int32

from lrdecay.training.data import Split

T = TypeVar("T")

# Chunks that are ready, besides the one that is being trained on.
_AHEAD = 2


class Chunk(NamedTuple):
    """Mini-batches for several steps of a compiled loop.

    Attributes:
      images: as in `Split`, each mini-batch in its order.
      labels: from 0 to classes - 1.
    """

    images: Float32[np.ndarray, "steps batch height width channels"]
    labels: Int32[np.ndarray, "steps batch"]


class Stream(NamedTuple):
    """A training split that is read as it is trained on.

    Attributes:
      batches: (seed, epoch, batch_size) -> mini-batches, each a pair of images, f32[batch_size,
        height, width, channels], and labels, integers[batch_size]. The same arguments must give the
        same mini-batches in the same order. Those past `size // batch_size` are not asked for, so
        that an incomplete one at the end does no harm.
      size: number of examples in an epoch.
    """

    batches: Callable[[int, int, int], Iterable[tuple[Any, Any]]]
    size: int

    def chunks(
        self, seed: int, epoch: int, batch_size: int, steps: int, start: int = 0
    ) -> Generator[Chunk, None, None]:
        """The mini-batches of one epoch, several at a time.

        A thread makes the next two while one is used. It ends with the last chunk, with an error,
        or when the generator is closed.

        Args:
          seed: the run's seed.
          epoch: index of the epoch, from 0.
          batch_size: examples in a mini-batch.
          steps: mini-batches in a chunk; the last chunk has what is left.
          start: the mini-batch to begin with, to resume within an epoch: those before it are made
            and thrown away.

        Raises:
          TypeError, ValueError: a mini-batch has another type, shape or dtype than it should, or
            there are too few of them. Errors of `batches` itself come through as they are.
        """
        with contextlib.closing(self._chunks(seed, epoch, batch_size, steps, start)) as made:
            yield from prefetched(made, _AHEAD)

    def _chunks(
        self, seed: int, epoch: int, batch_size: int, steps: int, start: int
    ) -> Generator[Chunk, None, None]:
        total = self.size // batch_size
        batches = iter(self.batches(seed, epoch, batch_size))
        made = sum(1 for _ in itertools.islice(batches, start))
        shape = (batch_size, "height", "width", "channels")
        for first in range(start, total, steps):
            last = min(first + steps, total)
            chunk = []
            for batch in itertools.islice(batches, last - first):
                chunk.append(_checked(batch, shape))
                shape = chunk[-1][0].shape
            made += len(chunk)
            if made < last:
                raise ValueError(
                    f"the stream gave {made} mini-batches of {batch_size} in epoch {epoch}, not "
                    f"the {total} of its size of {self.size}"
                )
            yield Chunk(*map(np.stack, zip(*chunk, strict=True)))


class StreamedDataset(NamedTuple):
    """A data set of which the training split is streamed, and the others are in memory."""

    train: Stream
    validation: Split
    test: Split


def _checked(batch: Any, shape: tuple[Any, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A mini-batch as arrays; refuses one that is not of the shape, which may have words in it."""
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        got = type(batch).__name__
        raise TypeError(f"a mini-batch must be a pair of images and labels, got a {got}")
    images, labels = map(np.asarray, batch)
    if (
        images.dtype != np.float32
        or images.ndim != len(shape)
        or any(
            isinstance(n, int) and n != found for n, found in zip(shape, images.shape, strict=True)
        )
    ):
        raise ValueError(
            f"the images of a mini-batch must be float32[{', '.join(map(str, shape))}], "
            f"got {images.dtype}{list(images.shape)}"
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise ValueError(
            f"the labels of a mini-batch must be integers[{shape[0]}], "
            f"got {labels.dtype}{list(labels.shape)}"
        )
    return images, labels.astype(np.int32)


def prefetched(items: Iterable[T], ahead: int) -> Generator[T, None, None]:
    """The same items in the same order, up to `ahead` of them made in advance by one thread.

    An error comes out where its item would have. The thread has ended when the generator has.

    Args:
      items: what to iterate over, in the thread alone.
      ahead: items that are ready or being made while one is used, at least 1.
    """
    iterator, end = iter(items), object()
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch")
    try:
        waiting = collections.deque(worker.submit(next, iterator, end) for _ in range(ahead))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(worker.submit(next, iterator, end))
            yield item  # pyrefly: ignore
    finally:
        worker.shutdown(cancel_futures=True)


def from_grain(dataset: Any) -> Stream:
    """A stream of a `grain.MapDataset`, in a new random order in each epoch.

    For anything else of Grain, such as a `DataLoader`, or augmentation that depends on the epoch,
    write `batches` yourself: a loader is the iterable that it must return.

    Args:
      dataset: of single examples, each a pair of an image, f32[height, width, channels], and a
        label; neither shuffled, batched nor repeated.
    """

    def batches(seed: int, epoch: int, batch_size: int) -> Iterator[tuple[Any, Any]]:
        (state,) = np.random.SeedSequence((seed, epoch)).generate_state(1)
        return iter(dataset.shuffle(seed=int(state)).batch(batch_size).to_iter_dataset())

    return Stream(batches, len(dataset))
