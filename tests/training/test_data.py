"""Data sets: the splits against the originals, and idx files written by hand."""

import gzip
import struct

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from lrdecay.training import data

SIZES = {"train": 60_000, "t10k": 10_000}

fashion_mnist_is_installed = pytest.mark.skipif(
    not data._SYSTEM_FOLDER.is_dir(), reason="Fashion-MNIST is not installed"
)


def idx(array, code=8):
    header = struct.pack(">HBB", 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_fashion_mnist(folder, compressed):
    """A set of the real size, with images of 2x2 pixels that spell the example's number."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, n in SIZES.items():
        number = np.arange(n)
        zero = np.zeros(n, int)
        images = np.stack([number % 256, number // 256, zero, zero], -1).reshape(n, 2, 2)
        arrays = {"images-idx3": images, "labels-idx1": number % 10}
        for kind, array in arrays.items():
            path = folder / f"{name}-{kind}-ubyte"
            if compressed:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(idx(array), 1))
            else:
                path.write_bytes(idx(array))


@pytest.fixture
def nothing_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "_SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.delenv("LRDECAY_DATA", raising=False)


@pytest.fixture
def small_set(nothing_installed, monkeypatch, tmp_path):
    write_fashion_mnist(tmp_path / "own", compressed=False)
    monkeypatch.setenv("LRDECAY_DATA", str(tmp_path / "own"))
    return tmp_path / "own"


def test_digits_has_what_it_says():
    source = data.digits()
    dataset = source.load()
    assert source.train_size == len(dataset.train.labels) == 1197
    assert [len(s.labels) for s in dataset] == [1197, 300, 300]
    for split in dataset:
        assert split.images.shape == (len(split.labels), 8, 8, 1)
        assert (split.images.dtype, split.labels.dtype) == (np.float32, np.int32)
    assert set(dataset.train.labels) == set(range(source.classes))
    assert abs(dataset.train.images.mean(dtype=float)) < 1e-5
    assert abs(dataset.train.images.std(dtype=float) - 1) < 1e-5


def test_digits_are_scikit_learn_s_in_a_stratified_split():
    pixels, labels = load_digits(return_X_y=True)
    rest, test = train_test_split(range(1797), test_size=300, stratify=labels, random_state=0)
    train, validation = train_test_split(rest, test_size=300, stratify=labels[rest], random_state=0)
    mean, deviation = pixels[train].mean(), pixels[train].std()
    for split, rows in zip(data.digits().load(), (train, validation, test), strict=True):
        scaled = (pixels[rows].reshape(-1, 8, 8, 1) - mean) / deviation
        np.testing.assert_allclose(split.images, scaled, rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(split.labels, labels[rows])


@pytest.mark.parametrize("train_size", [1000, 55_000])
def test_fashion_mnist_is_split_without_overlap(small_set, train_size):
    source = data.fashion_mnist(train_size)
    dataset = source.load()
    assert (source.train_size, source.classes) == (train_size, 10)
    assert [len(split.labels) for split in dataset] == [train_size, 5000, 10_000]

    # The third pixel was 0 and tells the mean; the deviation is that of the numbers found.
    zero = dataset.train.images[0, 1, 0, 0]
    low = np.concatenate([split.images[:, 0, 0, 0] for split in dataset]) - zero
    step = low.max() / 255

    def numbers(split):
        pixels = np.rint((split.images[..., 0] - zero) / step).astype(int)
        return pixels[:, 0, 0] + 256 * pixels[:, 0, 1]

    train, validation, test = (numbers(split) for split in dataset)
    assert len({*train, *validation}) == train_size + 5000
    assert not np.array_equal(train, np.sort(train))
    np.testing.assert_array_equal(test, np.arange(10_000))
    for split, number in zip(dataset, (train, validation, test), strict=True):
        np.testing.assert_array_equal(split.labels, number % 10)
    # The scaling is that of the training examples alone.
    raw = np.stack([train % 256, train // 256, 0 * train, 0 * train])
    np.testing.assert_allclose([zero, step], [-raw.mean() / raw.std(), 1 / raw.std()], rtol=1e-4)


def test_fewer_training_examples_are_the_first_of_more(small_set):
    few, all_of_them = data.fashion_mnist(1000).load(), data.fashion_mnist().load()
    np.testing.assert_array_equal(few.train.labels, all_of_them.train.labels[:1000])
    np.testing.assert_array_equal(few.validation.labels, all_of_them.validation.labels)


@pytest.mark.parametrize("place", [".", "fashion-mnist", "system"])
def test_compressed_files_are_found_in_every_place(nothing_installed, monkeypatch, tmp_path, place):
    write_fashion_mnist(tmp_path / place, compressed=True)
    if place != "system":
        monkeypatch.setenv("LRDECAY_DATA", str(tmp_path))
    np.testing.assert_array_equal(data.fashion_mnist(10).load().test.labels, np.arange(10_000) % 10)


def test_files_of_two_sets_are_not_mixed(small_set, tmp_path):
    write_fashion_mnist(tmp_path / "system", compressed=False)
    (small_set / "t10k-labels-idx1-ubyte").unlink()
    for file in small_set.iterdir():
        file.write_bytes(b"of the other set")
    data.fashion_mnist(10).load()


def test_a_missing_set_says_where_it_looked_and_what_to_do(small_set, tmp_path):
    (small_set / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError) as error:
        data.fashion_mnist()
    message = str(error.value)
    assert "\n" not in message
    places = [small_set, small_set / "fashion-mnist", tmp_path / "system"]
    ways = ["dataset-fashion-mnist", "github.com/zalandoresearch/fashion-mnist", "LRDECAY_DATA"]
    assert [x for x in (*map(str, places), *ways) if x not in message] == []


@pytest.mark.parametrize("train_size", [0, 55_001])
def test_train_size_out_of_range(train_size):
    with pytest.raises(ValueError, match=r"train_size must be an integer in \[1, 55000\]"):
        data.fashion_mnist(train_size)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (idx(np.zeros(7)), "not 10000 examples"),
        (idx(np.zeros((10_000, 1))), "not 10000 examples"),
        (idx(np.zeros(10_000))[:-1], "9999 values, not the 10000"),
        (idx(np.zeros(10_000)) + b"x", "10001 values, not the 10000"),
        (idx(np.zeros(10_000))[:6], "ends within its header"),
        (idx(np.zeros(10_000), code=13), "not an idx file of unsigned bytes"),
        (b"\1" + idx(np.zeros(10_000))[1:], "not an idx file of unsigned bytes"),
        (b"", "not an idx file of unsigned bytes"),
    ],
    ids=["few", "2-D", "short", "long", "header", "type", "magic", "empty"],
)
def test_damaged_files_are_named(small_set, content, words):
    file = small_set / "t10k-labels-idx1-ubyte"
    file.write_bytes(content)
    source = data.fashion_mnist()
    with pytest.raises(ValueError, match=words) as error:
        source.load()
    assert str(file) in str(error.value)


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-9], lambda b: b"xx" + b[2:], lambda b: b[:10] + b"\xff" * 9 + b[19:]],
    ids=["truncated", "not gzip", "corrupt"],
)
def test_damaged_compressed_files_are_named(tmp_path, damage):
    file = tmp_path / "labels.gz"
    file.write_bytes(damage(gzip.compress(idx(np.arange(100)))))
    with pytest.raises(ValueError, match=r"labels\.gz is damaged"):
        data.read_idx(file)


def test_idx_values_and_order(tmp_path):
    array = np.arange(24).reshape(2, 3, 4)
    (tmp_path / "images").write_bytes(idx(array))
    np.testing.assert_array_equal(data.read_idx(tmp_path / "images"), array)


@fashion_mnist_is_installed
def test_the_real_fashion_mnist(monkeypatch):
    monkeypatch.delenv("LRDECAY_DATA", raising=False)
    dataset = data.fashion_mnist().load()
    assert dataset.train.images.shape == (55_000, 28, 28, 1)
    # Known facts of the set: 6000 and 1000 of each class, and the first test labels.
    both = np.concatenate([dataset.train.labels, dataset.validation.labels])
    assert np.bincount(both).tolist() == [6000] * 10
    assert np.bincount(dataset.test.labels).tolist() == [1000] * 10
    assert dataset.test.labels[:8].tolist() == [9, 2, 1, 1, 6, 1, 4, 6]
    # The first test image, an ankle boot, has 784 pixels with the sum 33456 of 255 levels.
    low = dataset.test.images.min()
    step = (dataset.test.images.max() - low) / 255
    first = np.rint((dataset.test.images[0] - low) / step)
    assert (first.shape, first.sum()) == ((28, 28, 1), 33456)
    assert abs(dataset.train.images.mean(dtype=float)) < 1e-4
    assert abs(dataset.train.images.std(dtype=float) - 1) < 1e-4
