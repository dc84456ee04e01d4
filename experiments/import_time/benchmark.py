"""What does it cost to import lrdecay, beside Optax alone?

python experiments/import_time/benchmark.py
"""

import argparse
import os
import subprocess
import sys
import time

import numpy as np

ALONE = "import optax"
WITH_US = """
import optax
import lrdecay
schedule = lrdecay.loss_aware(0.1, when=lrdecay.plateau(), how=lrdecay.multiply(0.1))
lrdecay.with_learning_rate(optax.adam, schedule)
"""


def seconds(code: str) -> float:
    """The time of a fresh interpreter, from its start to its end."""
    # As after an installation: the first run keeps the bytecode for the others.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=30, help="number of pairs")
    arguments = parser.parse_args()
    for code in (ALONE, WITH_US):
        seconds(code)
    times = np.empty((arguments.pairs, 2))
    for i, row in enumerate(times):
        # Each of the two goes first in every other pair.
        for k in (0, 1) if i % 2 else (1, 0):
            row[k] = seconds((ALONE, WITH_US)[k])
    ratios = times[:, 1] / times[:, 0]
    low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    alone, with_us = np.median(times, axis=0)
    print(f"import optax       {1e3 * alone:.0f} ms")
    print(f"and use lrdecay    {1e3 * with_us:.0f} ms")
    print(f"ratio, pair by pair: {median:.3f} [{low:.3f}, {high:.3f}], n = {arguments.pairs}")


if __name__ == "__main__":
    main()
