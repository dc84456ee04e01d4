"""Real image data, split by a fixed seed into training, validation and test."""

import dataclasses
import gzip
import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Generic, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float32, Int32, Shaped, UInt8

from lrdecay.arguments import Number, checked

if TYPE_CHECKING:
    from lrdecay.training.streaming import StreamedDataset

# The split is part of a data set: the same for every seed of every study.
_SPLIT_SEED = 0

_SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")

# The number of examples of each file; images and labels by turns, as `load` reads them.
_FASHION_MNIST = {
    "train-images-idx3-ubyte": 60_000,
    "train-labels-idx1-ubyte": 60_000,
    "t10k-images-idx3-ubyte": 10_000,
    "t10k-labels-idx1-ubyte": 10_000,
}


class DataError(ValueError):
    """Data cannot be read, or are not what they should be."""


class Split(NamedTuple):
    """Examples: images, and the labels from 0 to classes - 1.

    The images are scaled so that the pixels of the training split have mean 0 and variance 1.
    """

    images: Float32[np.ndarray, "n height width channels"]
    labels: Int32[np.ndarray, " n"]

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(self.labels)


class Dataset(NamedTuple):
    """A data set in memory."""

    train: Split
    validation: Split
    test: Split


D = TypeVar("D", bound="Dataset | StreamedDataset", covariant=True)


@dataclasses.dataclass(frozen=True)
class Source(Generic[D]):
    """A data set that has been found, and not been read.

    Attributes:
      load: reads it, or opens it if the training split is to be streamed.
      train_size: number of training examples.
      classes: number of classes.
    """

    load: Callable[[], D]
    train_size: int
    classes: int


Raw = tuple[Shaped[np.ndarray, "_ height width"], Shaped[np.ndarray, " _"]]


def _scaled(train: Raw, validation: Raw, test: Raw) -> Dataset:
    """The splits with one channel, all scaled by the mean and deviation of the training pixels."""
    mean, deviation = (np.float32(f(train[0], dtype=np.float64)) for f in (np.mean, np.std))

    def split(images: np.ndarray, labels: np.ndarray) -> Split:
        scaled = (images.astype(np.float32) - mean) / deviation
        return Split(scaled[..., None], labels.astype(np.int32))

    return Dataset(split(*train), split(*validation), split(*test))


def digits() -> Source[Dataset]:
    """Handwritten digits that come with lrdecay: 1797 images of 8x8 pixels, 10 classes.

    Split into 1197 for training, 300 for validation and 300 for test, each class in proportion.
    Source: Alpaydin & Kaynak 1998, UCI optical recognition of handwritten digits, test set; under
    the licence CC BY 4.0.
    """

    def load() -> Dataset:
        # A file of ours, as importing scikit-learn, which has them too, takes longer than JAX does.
        with np.load(Path(__file__).with_name("digits.npz")) as arrays:
            train, validation, test = (
                (arrays[f"{split}_images"], arrays[f"{split}_labels"]) for split in Dataset._fields
            )
        return _scaled(train, validation, test)

    return Source(load, train_size=1197, classes=10)


def read_idx(path: Path) -> UInt8[np.ndarray, "*shape"]:
    """Reads an array of bytes from an idx file, compressed if its name ends in .gz.

    Format: the magic number (two zero bytes, 8 for unsigned bytes, the number of dimensions), each
    dimension as a big-endian 32-bit integer, and the values in row-major order. Source: LeCun,
    Cortes & Burges, the MNIST database.

    Raises:
      ValueError: the file is damaged or of another format.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise ValueError(f"{path} is not an idx file of unsigned bytes")
    header = 4 + 4 * content[3]
    if len(content) < header:
        raise ValueError(f"{path} is damaged: it ends within its header")
    shape = np.frombuffer(content[4:header], ">u4").astype(np.int64)
    if len(content) - header != np.prod(shape):
        raise ValueError(
            f"{path} is damaged: {len(content) - header} values, not the "
            f"{' x '.join(map(str, shape))} of its header"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _find(folder: Path, names: Sequence[str]) -> list[Path] | None:
    """The files of these names in a folder, compressed or not; None if any is missing."""
    found = [
        next((f for f in (folder / name, folder / f"{name}.gz") if f.is_file()), None)
        for name in names
    ]
    files = [file for file in found if file is not None]
    return files if len(files) == len(names) else None


@checked
def fashion_mnist(
    train_size: Annotated[int, Number(int, low=1, high=55_000)] = 55_000,
) -> Source[Dataset]:
    """Fashion-MNIST: images of 28x28 pixels of clothes, 10 classes (Xiao, Rasul & Vollgraf 2017).

    Of the 60 000 training images, 5000 are for validation and up to 55 000 for training. The test
    split is the set's own, of 10 000. The four idx files are looked for in `$LRDECAY_DATA`,
    in its folder `fashion-mnist`, and where the Debian package puts them.

    Args:
      train_size: number of training examples, 1 to 55 000; a smaller number takes the first of a
        larger one.

    Raises:
      FileNotFoundError: no folder has all four files.
      TypeError, ValueError: `train_size` is no integer, or out of range.
    """
    given = os.environ.get("LRDECAY_DATA")
    own = [Path(given), Path(given, "fashion-mnist")] if given else []
    folders = [*own, _SYSTEM_FOLDER]
    files = next((f for folder in folders if (f := _find(folder, list(_FASHION_MNIST)))), None)
    if files is None:
        raise FileNotFoundError(
            f"no folder of {', '.join(map(str, folders))} has the four files of Fashion-MNIST: "
            "`apt install dataset-fashion-mnist` (Debian, Ubuntu), or download the four idx files "
            "from github.com/zalandoresearch/fashion-mnist and set LRDECAY_DATA to their folder"
        )

    def load() -> Dataset:
        arrays = [read_idx(file) for file in files]
        for file, array, n in zip(files, arrays, _FASHION_MNIST.values(), strict=True):
            ndim = 3 if "idx3" in file.name else 1
            if array.ndim != ndim or len(array) != n:
                raise ValueError(f"{file} has shape {array.shape}, not {n} examples")
        images, labels, test_images, test_labels = arrays
        order = np.random.default_rng(_SPLIT_SEED).permutation(len(labels))
        train, validation = order[:train_size], order[-5_000:]
        return _scaled(
            (images[train], labels[train]),
            (images[validation], labels[validation]),
            (test_images, test_labels),
        )

    return Source(load, train_size, classes=10)
