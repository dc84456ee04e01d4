"""Real image data, split by a fixed seed into training, validation and test."""

import gzip
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from lrdecay.arguments import Number, checked

# The split is part of a data set: the same for every seed of every study.
_SPLIT_SEED = 0

_FASHION_MNIST_FOLDERS = (Path("/usr/share/datasets/fashion-mnist"),)


class Split(NamedTuple):
    """Images, scaled by the mean and deviation of the training pixels, and their labels."""

    images: Float[np.ndarray, "n height width channels"]
    labels: Int[np.ndarray, " n"]


class Dataset(NamedTuple):
    """A data set in memory."""

    train: Split
    validation: Split
    test: Split


class Source(NamedTuple):
    """A data set that has been found, and not been read.

    Attributes:
      load: reads it.
      train_size: number of training examples.
      classes: number of classes.
    """

    load: Callable[[], Dataset]
    train_size: int
    classes: int


def _scaled(train: tuple, validation: tuple, test: tuple) -> Dataset:
    """The splits as float32 images with one channel, scaled alike by the training pixels."""
    mean, deviation = np.mean(train[0], dtype=np.float64), np.std(train[0], dtype=np.float64)

    def split(images: np.ndarray, labels: np.ndarray) -> Split:
        scaled = (images.astype(np.float32) - np.float32(mean)) / np.float32(deviation)
        return Split(scaled[..., None], labels.astype(np.int32))

    return Dataset(split(*train), split(*validation), split(*test))


def digits() -> Source:
    """The handwritten digits that come with scikit-learn: 1797 images of 8x8 pixels, 10 classes.

    Split into 1197 for training, 300 for validation and 300 for test, each class in proportion.
    Source: Alpaydin & Kaynak 1998, UCI optical recognition of handwritten digits, test set.

    Raises:
      FileNotFoundError: scikit-learn is not installed.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise FileNotFoundError(
            "the digits come with scikit-learn, which is not installed: "
            'pip install "lrdecay[study]"'
        )

    def load() -> Dataset:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        images, labels = load_digits().images, load_digits().target

        def split(rows: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
            parts = train_test_split(
                rows, test_size=n, stratify=labels[rows], random_state=_SPLIT_SEED
            )
            return parts[0], parts[1]

        rest, test = split(np.arange(len(labels)), 300)
        train, validation = split(rest, 300)
        return _scaled(*((images[rows], labels[rows]) for rows in (train, validation, test)))

    return Source(load, train_size=1197, classes=10)


def _find(folders: list[Path], name: str) -> Path | None:
    """An idx file in one of the folders, compressed or not."""
    files = (folder / (name + ending) for folder in folders for ending in ("", ".gz"))
    return next((file for file in files if file.is_file()), None)


def read_idx(path: Path) -> np.ndarray:
    """Reads an array of bytes from an idx file, compressed if its name ends in .gz.

    Format: two zero bytes, the type (8 for unsigned bytes), the number of dimensions, each
    dimension as a big-endian 32-bit integer, and the values in row-major order.

    Raises:
      ValueError: the file is damaged or of another format.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is no idx file of unsigned bytes")
    header = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:header], ">u4").astype(int)
    if len(shape) != content[3] or len(content) != header + np.prod(shape):
        raise ValueError(f"{path} is damaged: {len(content)} bytes do not match its header")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


@checked
def fashion_mnist(
    train_size: Annotated[int, Number(int, low=1, high=55_000)] = 55_000,
) -> Source:
    """Fashion-MNIST: images of 28x28 pixels of clothes, 10 classes (Xiao, Rasul & Vollgraf 2017).

    Of the 60 000 training images, 5000 are for validation and up to 55 000 for training. The test
    split is the set's own, of 10 000.

    Args:
      train_size: number of training examples, 1 to 55 000; a smaller number takes the first of a
        larger one.

    Raises:
      FileNotFoundError: the files are in none of the places looked at.
    """
    given = [Path(p) for p in [os.environ.get("LRDECAY_DATA")] if p]
    folders = [*given, *(p / "fashion-mnist" for p in given), *_FASHION_MNIST_FOLDERS]
    names = [
        f"{s}-{kind}-ubyte" for s in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
    ]
    files = [_find(folders, name) for name in names]
    if missing := [name for name, file in zip(names, files, strict=True) if file is None]:
        raise FileNotFoundError(
            f"Fashion-MNIST: no {missing[0]}[.gz] in {', '.join(map(str, folders))}; install the "
            "Debian package dataset-fashion-mnist, or put the four idx files of "
            "github.com/zalandoresearch/fashion-mnist into a folder and set LRDECAY_DATA to it"
        )

    def load() -> Dataset:
        images, labels, test_images, test_labels = (read_idx(f) for f in files if f is not None)
        order = np.random.default_rng(_SPLIT_SEED).permutation(len(labels))
        train, validation = order[:train_size], order[55_000:]
        return _scaled(
            (images[train], labels[train]),
            (images[validation], labels[validation]),
            (test_images, test_labels),
        )

    return Source(load, train_size, classes=10)
