"""Which trigger is quickest at the same rate of false alarms?

  python -m experiments.triggers.benchmark

Prints the tables, and writes results.json, delays.svg and curves.svg beside this file. Calibration
and scoring are on separate replicates.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from experiments.triggers import figures, report
from experiments.triggers.families import FAMILIES, Family
from experiments.triggers.histories import CHANGES, PROGRESS, SCENARIOS, Histories
from experiments.triggers.record import CURVES
from experiments.triggers.scoring import (
    LENGTH,
    Fires,
    alarm_shares,
    calibrate,
    delay,
    fires,
    share,
)

REPLICATES = 1000
CALIBRATION_SEED, SCORING_SEED = 0, 1


def score(family: Family, calibration: Histories, scoring: dict[str, Histories]) -> dict[str, Any]:
    """Everything that is known of a family: its operating curve, and one setting in full."""
    setting = calibrate(family, calibration)
    changes = {name: np.asarray(scoring[name].change) for name in CHANGES}
    # The setting comes last, so that it rides along in the sweep.
    settings = family.settings if setting is None else np.append(family.settings, setting)
    found = {
        name: fires(family, settings, scoring[name], scenario.mode)
        for name, scenario in SCENARIOS.items()
    }

    def at(name: str, k: int) -> Fires:
        return Fires(found[name].early[k], found[name].first[k])

    swept = range(len(family.settings))
    delays = {n: [delay(at(n, k), changes[n]) for k in swept] for n in CHANGES}
    calibrated = setting is not None
    return {
        "family": family.name,
        "parameter": family.parameter,
        "setting": setting.item() if calibrated else None,
        "false_alarms": {n: share(at(n, -1).early) for n in PROGRESS} if calibrated else {},
        "delays": {n: delay(at(n, -1), changes[n]) for n in CHANGES} if calibrated else {},
        "curve": {
            "settings": family.settings.tolist(),
            "false_alarms": found["progress"].early[: len(family.settings)].mean(-1).tolist(),
            "delay": {n: [None if d is None else d.mean for d in ds] for n, ds in delays.items()},
        },
    }


def on_curves(
    curves: dict[str, np.ndarray], settings: dict[Family, Any]
) -> dict[str, dict[str, list[int]]]:
    """The observation at which each family first fires on each recorded curve; LENGTH for never."""
    first = {}
    for kind, mode in (("loss", "min"), ("val_accuracy", "max")):
        values = curves[kind]
        # A value that is not finite is no observation: it fills the rest up.
        padded = np.full((len(values), LENGTH), np.nan, np.float32)
        padded[:, : values.shape[1]] = values
        histories = Histories(padded, np.zeros(len(values), np.int32))
        first[kind] = {
            family.name: fires(family, np.array([setting]), histories, mode).first[0].tolist()
            for family, setting in settings.items()
        }
    return first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few replicates, to try it out")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    arguments = parser.parse_args()
    replicates = 40 if arguments.quick else REPLICATES
    start = time.perf_counter()
    calibration = SCENARIOS["progress"].replicates(CALIBRATION_SEED, replicates)
    scoring = {n: s.replicates(SCORING_SEED, replicates) for n, s in SCENARIOS.items()}
    results = [score(family, calibration, scoring) for family in FAMILIES]
    settings = {
        family: result["setting"]
        for family, result in zip(FAMILIES, results, strict=True)
        if result["setting"] is not None
    }
    with np.load(CURVES) as arrays:
        curves = dict(arrays)
    first = on_curves(curves, settings)
    arguments.out.mkdir(parents=True, exist_ok=True)
    seconds = time.perf_counter() - start
    report.write(arguments.out / "results.json", replicates, seconds, results, first)
    figures.save(figures.operating_curves(results), arguments.out / "delays.svg")
    figures.save(figures.first_fires(curves, list(settings), first), arguments.out / "curves.svg")
    console = Console(width=250)
    report.show(console, results)
    console.print(f"{replicates} replicates, {seconds:.0f} s; written to {arguments.out}")


if __name__ == "__main__":
    main()
