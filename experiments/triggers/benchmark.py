"""Which trigger is quickest at the same rate of false alarms?

  python -m experiments.triggers.benchmark

Prints the tables, and writes results.json, delays.svg and curves.svg beside this file. Calibration
and scoring are on separate replicates.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.triggers import figures, report
from experiments.triggers.families import FAMILIES, Family
from experiments.triggers.histories import CHANGES, PROGRESS, SCENARIOS, Histories
from experiments.triggers.record import CURVES
from experiments.triggers.scoring import (
    LENGTH,
    Delay,
    Fires,
    Result,
    calibrate,
    delay,
    fires,
    share,
)

REPLICATES = 1000
CALIBRATION_SEED, SCORING_SEED = 0, 1


def score(family: Family, calibration: Histories, scoring: dict[str, Histories]) -> dict[str, Any]:
    """Everything that is known of a family: its operating curve, and two settings in full."""
    chosen = {"calibrated": calibrate(family, calibration), "default": family.default}
    chosen = {kind: setting for kind, setting in chosen.items() if setting is not None}
    swept = family.settings
    # The chosen settings come last, so that they ride along in the sweep.
    settings = np.append(swept, list(chosen.values())).astype(swept.dtype)
    found = {
        name: fires(family, settings, scoring[name], scenario.mode)
        for name, scenario in SCENARIOS.items()
    }

    def delay_at(name: str, k: int) -> Delay | None:
        at = Fires(found[name].early[k], found[name].first[k])
        return delay(at, np.asarray(scoring[name].change))

    def in_full(k: int) -> Result:
        return Result(
            setting=settings[k].item(),
            false_alarms={name: share(found[name].early[k]) for name in PROGRESS},
            delays={name: delay_at(name, k) for name in CHANGES},
        )

    curve = [[delay_at(name, k) for k in range(len(swept))] for name in CHANGES]
    return {
        "family": family.name,
        "parameter": family.parameter,
        **{kind: in_full(len(swept) + i) for i, kind in enumerate(chosen)},
        "curve": {
            "settings": swept.tolist(),
            "false_alarms": found["progress"].early[: len(swept)].mean(axis=-1).tolist(),
            "delay": {
                name: [None if d is None else d.mean for d in delays]
                for name, delays in zip(CHANGES, curve, strict=True)
            },
        },
    }


def on_curves(curves: dict[str, np.ndarray], calibrated: dict[Family, Any]) -> dict[str, Any]:
    """The observation at which each family first fires on each recorded curve; LENGTH for never.

    On losses the families are calibrated. Accuracies are few, one an epoch: there they have the
    library's defaults.
    """
    default = {family: family.default for family in calibrated if family.default is not None}
    first = {}
    for kind, mode, settings in (("loss", "min", calibrated), ("val_accuracy", "max", default)):
        values = curves[kind]
        # A value that is not finite is no observation: it fills the rest up.
        padded = np.full((len(values), LENGTH), np.nan, np.float32)
        padded[:, : values.shape[1]] = values
        histories = Histories(jnp.asarray(padded), jnp.zeros(len(values), jnp.int32))
        first[kind] = {
            family.name: fires(family, np.array([setting]), histories, mode).first[0].tolist()
            for family, setting in settings.items()
        }
    return first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two triggers and few replicates")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent, help="folder to write to"
    )
    arguments = parser.parse_args()
    replicates, families = (40, FAMILIES[:2]) if arguments.quick else (REPLICATES, FAMILIES)
    start = time.perf_counter()
    calibration = SCENARIOS["progress"].replicates(CALIBRATION_SEED, replicates)
    scoring = {n: s.replicates(SCORING_SEED, replicates) for n, s in SCENARIOS.items()}
    results = [score(family, calibration, scoring) for family in families]
    settings = {
        family: result["calibrated"].setting
        for family, result in zip(families, results, strict=True)
        if "calibrated" in result
    }
    with np.load(CURVES) as arrays:
        curves = dict(arrays)
    first = on_curves(curves, settings)
    arguments.out.mkdir(parents=True, exist_ok=True)
    seconds = time.perf_counter() - start
    report.write(
        arguments.out / "results.json",
        replicates,
        seconds,
        results,
        first_fires_on_recorded_curves=first,
    )
    figures.save(figures.operating_curves(results), arguments.out / "delays.svg")
    figures.save(figures.first_fires(curves, first), arguments.out / "curves.svg")
    console = Console(width=250)
    report.show(console, results)
    console.print(f"{replicates} replicates, {seconds:.0f} s; written to {arguments.out}")


if __name__ == "__main__":
    main()
