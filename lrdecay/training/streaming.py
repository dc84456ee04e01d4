"""Training data that does not fit in memory: mini-batches made ahead of time by a thread."""

import collections
import contextlib
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float32, Int32

from lrdecay.training.data import DataError, Split

T = TypeVar("T")

# Chunks that are ready, besides the one that is being trained on.
_AHEAD = 2

# The form of an image where nothing is known of it.
_ANY_IMAGE = ("height", "width", "channels")


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
        that an incomplete one at the end does no harm. To begin within an epoch, the first are read
        and passed over, or left out by a slice where there are slices, as of a list.
      size: number of examples in an epoch.
    """

    batches: Callable[[int, int, int], Iterable[tuple[Any, Any]]]
    size: int

    def chunks(
        self,
        seed: int,
        epoch: int,
        batch_size: int,
        steps: int,
        image_shape: tuple[int | str, ...] = _ANY_IMAGE,
        first: int = 0,
    ) -> Generator[Chunk, None, None]:
        """The mini-batches of one epoch, several at a time.

        A thread makes the next two while one is used. It ends with the last chunk, with an error,
        or when the generator is closed.

        Args:
          seed: the run's seed.
          epoch: index of the epoch, from 0.
          batch_size: examples in a mini-batch.
          steps: mini-batches in a chunk; the last chunk has what is left.
          image_shape: height, width and channels; a word for what the first mini-batch decides.
          first: index of the mini-batch to begin with.

        Raises:
          DataError: a mini-batch has another type, shape or dtype than it should, there are too few
            of them, or `batches` raises an OSError, a TypeError or a ValueError. Its other errors
            come through as they are.
        """
        made = self._chunks(seed, epoch, batch_size, steps, image_shape, first)
        try:
            with contextlib.closing(made):
                yield from prefetched(made, _AHEAD)
        except (OSError, TypeError, ValueError) as error:
            raise DataError(" ".join(str(error).split())) from error

    def _chunks(
        self,
        seed: int,
        epoch: int,
        batch_size: int,
        steps: int,
        image_shape: tuple[int | str, ...],
        first: int,
    ) -> Generator[Chunk, None, None]:
        total, made = self.size // batch_size, first
        batches = _from(first, self.batches(seed, epoch, batch_size))
        shape = (batch_size, *image_shape)
        for begin in range(first, total, steps):
            last = min(begin + steps, total)
            chunk = []
            for batch in itertools.islice(batches, last - begin):
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
    """A data set of which the training split is streamed, and the others are in memory.

    The images of all splits have one shape.
    """

    train: Stream
    validation: Split
    test: Split

    def chunks(
        self, seed: int, epoch: int, batch_size: int, steps: int, first: int = 0
    ) -> Generator[Chunk, None, None]:
        """`Stream.chunks` of images of the shape of those in memory."""
        shape = self.validation.images.shape[1:]
        return self.train.chunks(seed, epoch, batch_size, steps, shape, first)


def _from(first: int, items: Any) -> Iterator[Any]:
    """The items from an index on."""
    if first and hasattr(items, "__getitem__"):
        return iter(items[first:])
    return itertools.islice(items, first, None)


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

    def batches(seed: int, epoch: int, batch_size: int) -> Iterable[tuple[Any, Any]]:
        (state,) = np.random.SeedSequence((seed, epoch)).generate_state(1)
        return dataset.shuffle(seed=int(state)).batch(batch_size)

    return Stream(batches, len(dataset))
