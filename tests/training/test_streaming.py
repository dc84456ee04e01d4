"""Streams against plain iteration: order, chunks, errors, and no thread left behind."""

import itertools
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrdecay.training.data import DataError
from lrdecay.training.streaming import Stream, from_grain, prefetched


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("prefetch")]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    assert threads() == []
    yield
    assert threads() == []


def shuffled(size):
    """Images whose every pixel is the number of the example, in an order by seed and epoch."""

    def batches(seed, epoch, batch_size):
        order = np.random.default_rng((seed, epoch)).permutation(size)
        for first in range(0, size, batch_size):
            rows = order[first : first + batch_size]
            yield np.full((len(rows), 2, 3, 1), rows[:, None, None, None], np.float32), rows % 7

    return Stream(batches, size)


def fixed(*batches):
    """A stream of these mini-batches of two in each epoch."""
    return Stream(lambda seed, epoch, batch_size: batches, 2 * len(batches))


def steps_of(chunks):
    """The mini-batches of all chunks in a row."""
    return [pair for chunk in chunks for pair in zip(*chunk, strict=True)]


@given(
    size=st.integers(1, 40),
    batch_size=st.integers(1, 40),
    steps=st.integers(1, 9),
    seed=st.integers(0, 2**31 - 1),
    epoch=st.integers(0, 5),
)
def test_chunks_are_the_mini_batches_of_the_epoch_in_their_order(
    size, batch_size, steps, seed, epoch
):
    stream = shuffled(size)
    total = size // batch_size
    chunks = list(stream.chunks(seed, epoch, batch_size, steps))
    lengths = [len(chunk.labels) for chunk in chunks]
    assert sum(lengths) == total
    assert all(length == steps for length in lengths[:-1])
    assert all(
        (c.images.dtype, c.labels.dtype) == (np.dtype(np.float32), np.dtype(np.int32))
        for c in chunks
    )
    plain = itertools.islice(stream.batches(seed, epoch, batch_size), total)
    for (images, labels), (x, y) in zip(steps_of(chunks), plain, strict=True):
        np.testing.assert_array_equal(images, x)
        np.testing.assert_array_equal(labels, y)


@given(total=st.integers(1, 12), first=st.integers(0, 12), steps=st.integers(1, 5))
def test_an_epoch_may_begin_at_any_mini_batch(total, first, steps):
    stream = shuffled(3 * total)
    whole = steps_of(stream.chunks(1, 2, 3, 1))
    asked = []

    class Listening(list):
        def __iter__(self):
            for item in super().__iter__():
                asked.append(item)
                yield item

        def __getitem__(self, rows):
            return Listening(super().__getitem__(rows))

    sliced = Stream(lambda *of: Listening(stream.batches(*of)), stream.size)
    for source in (stream, sliced):
        rest = steps_of(source.chunks(1, 2, 3, steps, first=first))
        assert len(rest) == max(total - first, 0)
        for (images, labels), (x, y) in zip(rest, whole[first:], strict=True):
            np.testing.assert_array_equal(images, x)
            np.testing.assert_array_equal(labels, y)
    assert len(asked) == len(rest)  # where there are slices, none is read in vain


@given(st.lists(st.integers()), st.integers(1, 5))
def test_prefetching_changes_nothing(items, ahead):
    assert list(prefetched(items, ahead)) == items


def test_seed_and_epoch_decide_the_order():
    def order(seed, epoch):
        return [chunk.images.tolist() for chunk in shuffled(12).chunks(seed, epoch, 3, 2)]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(2, 0)
    assert order(1, 0) != order(1, 1)


def test_works_ahead_by_so_many_and_no_more():
    made = []

    def items():
        for i in range(10):
            made.append(i)
            yield i

    numbers = prefetched(items(), 3)
    assert made == []
    assert next(numbers) == 0
    for i in range(1, 7):
        assert next(numbers) == i
        assert i < len(made) <= i + 4
    numbers.close()
    assert len(made) <= 10


def test_makes_the_next_item_while_one_is_used():
    second = threading.Event()

    def items():
        yield 1
        second.set()
        yield 2

    numbers = prefetched(items(), 1)
    assert next(numbers) == 1
    assert second.wait(10)
    numbers.close()


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise OSError("disk gone")

    numbers = prefetched(items(), 5)
    assert [next(numbers), next(numbers)] == [1, 2]
    with pytest.raises(OSError, match="disk gone"):
        next(numbers)


def test_an_error_of_the_source_comes_out_of_the_chunks():
    def batches(seed, epoch, batch_size):
        yield np.zeros((2, 1, 1, 1), np.float32), np.zeros(2, int)
        raise OSError("disk gone")

    chunks = Stream(batches, 8).chunks(0, 0, 2, 1)
    assert len(next(chunks).labels) == 1
    with pytest.raises(DataError, match=r"^disk gone$"):
        next(chunks)


def test_a_mistake_in_the_source_is_no_error_of_the_data():
    stream = Stream(lambda seed, epoch, batch_size: iter([{}["image"]]), 8)
    with pytest.raises(KeyError, match="image"):
        next(stream.chunks(0, 0, 2, 1))


def test_closing_early_ends_the_thread_and_the_source():
    ended = threading.Event()

    def batches(seed, epoch, batch_size):
        try:
            for i in itertools.count():
                yield np.full((2, 1, 1, 1), i, np.float32), np.zeros(2, int)
        finally:
            ended.set()

    chunks = Stream(batches, 10**9).chunks(0, 0, 2, 3)
    next(chunks)
    assert len(threads()) == 1
    chunks.close()
    assert threads() == []
    assert ended.wait(10)


def test_a_consumer_that_fails_ends_the_thread():
    def train():
        for _ in shuffled(100).chunks(0, 0, 2, 3):
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        train()
    assert threads() == []


IMAGES, LABELS = np.zeros((2, 4, 4, 1), np.float32), np.zeros(2, int)


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (
            (np.zeros((2, 4, 4, 1)), LABELS),
            r"images .* float32\[2, .*\], got float64\[2, 4, 4, 1\]",
        ),
        ((IMAGES[0], LABELS), r"float32\[2, height, width, channels\], got float32\[4, 4, 1\]"),
        ((IMAGES[..., 0], LABELS), r"float32\[2, .*, channels\], got float32\[2, 4, 4\]"),
        ((IMAGES[:1], LABELS), r"float32\[2, height, .*\], got float32\[1, 4, 4, 1\]"),
        ((IMAGES, LABELS[:1]), r"labels .* integers\[2\], got int64\[1\]"),
        ((IMAGES, np.zeros(2, np.float32)), r"integers\[2\], got float32\[2\]"),
        ((IMAGES, np.zeros((2, 1), int)), r"integers\[2\], got int64\[2, 1\]"),
    ],
)
def test_refuses_a_first_mini_batch_of_another_form(batch, words):
    with pytest.raises(DataError, match=words):
        next(fixed(batch).chunks(0, 0, 2, 1))


@pytest.mark.parametrize("batch", [IMAGES, (IMAGES,), {"image": IMAGES, "label": LABELS}])
def test_refuses_what_is_no_pair(batch):
    with pytest.raises(DataError, match="must be a pair of images and labels, got a "):
        next(fixed(batch).chunks(0, 0, 2, 1))


def test_refuses_mini_batches_of_another_shape_than_the_first():
    other = np.zeros((2, 5, 4, 1), np.float32)
    words = r"float32\[2, 4, 4, 1\], got float32\[2, 5, 4, 1\]"
    with pytest.raises(DataError, match=words):
        list(fixed((IMAGES, LABELS), (other, LABELS)).chunks(0, 0, 2, 2))
    with pytest.raises(DataError, match=words):
        next(fixed((other, LABELS)).chunks(0, 0, 2, 2, image_shape=(4, 4, 1)))


def test_refuses_an_epoch_that_ends_early():
    stream = Stream(lambda seed, epoch, batch_size: [(IMAGES, LABELS)] * 3, 11)
    words = "^the stream gave 3 mini-batches of 2 in epoch 4, not the 5 of its size of 11$"
    with pytest.raises(DataError, match=words):
        list(stream.chunks(0, 4, 2, 2))


def test_grain_gives_every_example_once_in_an_order_by_seed_and_epoch():
    grain = pytest.importorskip("grain")
    examples = [(np.full((2, 2, 1), i, np.float32), i) for i in range(10)]
    stream = from_grain(grain.MapDataset.source(examples))
    assert stream.size == 10

    def order(seed, epoch):
        batches = steps_of(stream.chunks(seed, epoch, 2, 2))
        for images, labels in batches:
            np.testing.assert_array_equal(
                images, np.broadcast_to(labels[:, None, None, None], images.shape)
            )
        return [int(label) for _, labels in batches for label in labels]

    first = order(0, 0)
    rest = steps_of(stream.chunks(0, 0, 2, 2, first=3))
    assert [int(label) for _, labels in rest for label in labels] == first[6:]
    assert sorted(first) == list(range(10))
    assert order(0, 0) == first
    assert len({tuple(order(s, e)) for s in range(2) for e in range(2)}) == 4
    # An incomplete last mini-batch is left out.
    assert len(steps_of(stream.chunks(0, 0, 3, 2))) == 3
