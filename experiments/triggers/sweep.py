"""Alternatives to the defaults, at the same rate of false alarms.

  python -m experiments.triggers.sweep

Calibrates each alternative as the benchmark does, prints its false alarms and delays, and writes
sweep.json beside this file.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import lrdecay
from experiments.triggers import report
from experiments.triggers.benchmark import CALIBRATION_SEED, SCORING_SEED
from experiments.triggers.families import Family
from experiments.triggers.histories import CHANGES, PROGRESS, SCENARIOS, Histories
from experiments.triggers.scoring import Result, calibrate, delay, fires, share

REPLICATES = 600

ALTERNATIVES = [
    *(
        Family(lrdecay.slope, "window", 2, 150, (("rtol", rtol), ("z", z)))
        for rtol in (0.002, 0.005, 0.01)
        for z in (1.0, 2.0, 3.0)
    ),
    *(
        Family(lrdecay.variance, "window", 5, 400, (("ratio", r),))
        for r in (0.0, 0.05, 0.1, 0.2, 0.3)
    ),
    *(Family(lrdecay.convergence, "rtol", 0.3, 1e-4, (("window", w),)) for w in (20, 30, 50)),
    *(Family(lrdecay.cusum, "threshold", 2, 100, (("slack", s),)) for s in (0.003, 0.01, 0.03)),
    *(Family(lrdecay.page_hinkley, "threshold", 2, 300, (("slack", s),)) for s in (0.1, 0.2, 0.3)),
    *(Family(lrdecay.decline, "z", 0.5, 20, (("patience", p),)) for p in (1, 3, 10)),
]


def score(family: Family, calibration: Histories, scoring: dict[str, Histories]) -> dict[str, Any]:
    """What is known of an alternative, calibrated."""
    named = {"family": family.name, "parameter": family.parameter}
    setting = calibrate(family, calibration)
    if setting is None:
        return named
    found = {
        name: fires(family, np.array([setting]), scoring[name], scenario.mode)
        for name, scenario in SCENARIOS.items()
    }
    at = {name: type(f)(f.early[0], f.first[0]) for name, f in found.items()}
    result = Result(
        setting=setting.item(),
        false_alarms={name: share(at[name].early) for name in PROGRESS},
        delays={name: delay(at[name], np.asarray(scoring[name].change)) for name in CHANGES},
    )
    return named | {"calibrated": result}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two alternatives, few replicates")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent, help="folder to write to"
    )
    arguments = parser.parse_args()
    replicates, families = (40, ALTERNATIVES[:2]) if arguments.quick else (REPLICATES, ALTERNATIVES)
    start = time.perf_counter()
    calibration = SCENARIOS["progress"].replicates(CALIBRATION_SEED, replicates)
    scoring = {n: s.replicates(SCORING_SEED, replicates) for n, s in SCENARIOS.items()}
    results = [score(family, calibration, scoring) for family in families]
    seconds = time.perf_counter() - start
    arguments.out.mkdir(parents=True, exist_ok=True)
    report.write(arguments.out / "sweep.json", replicates, seconds, results)
    console = Console(width=250)
    report.show(console, results)
    console.print(f"{replicates} replicates, {seconds:.0f} s; written to {arguments.out}")


if __name__ == "__main__":
    main()
