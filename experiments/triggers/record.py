"""Puts the curves of a finished study into the small file that the benchmark shows triggers on.

lrdecay run experiments/triggers/curves.toml
python -m experiments.triggers.record runs/curves
"""

import argparse
from pathlib import Path

import numpy as np

from lrdecay.study.history import load

CURVES = Path(__file__).with_name("curves.npz")
BLOCK = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="a study's folder, with one seed")
    history = load(parser.parse_args().folder / "history.npz")
    steps = history.loss.shape[-1] // BLOCK * BLOCK
    np.savez_compressed(
        CURVES,
        rate=history.learning_rate[:, 0, 0],
        loss=history.loss[:, 0, :steps].reshape(len(history.loss), -1, BLOCK).mean(-1),
        val_accuracy=history.val_accuracy[:, 0],
    )


if __name__ == "__main__":
    main()
