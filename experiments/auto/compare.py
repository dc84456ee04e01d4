"""Schedules against each other at an equal tuning budget.

Every schedule may try the same peaks with the same tuning seeds, keeps the one with the best mean
validation accuracy after the last epoch, and is then run with that peak on fresh seeds. The first
arm, cosine, is the reference of the paired differences. The validation accuracy is also given after
one and two thirds of the epochs, for a run that is stopped early, and the test accuracy of a run of
a third of the epochs, with the peaks that were tuned for the whole: there cosine and step are told
the new end.

    python -m experiments.auto.compare digits
    python -m experiments.auto.compare fashion_mnist
"""

import argparse
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from lrdecay.cli.backend import use_every_core
from lrdecay.study.folder import Folder
from lrdecay.study.history import History
from lrdecay.study.plan import Plan, plan
from lrdecay.study.report import table
from lrdecay.study.run import identity, run
from lrdecay.study.statistics import as_json, mean_interval, paired_interval, summarise

Section = dict[str, Any]
HERE = Path(__file__).parent
CONFIGS = HERE.parent.parent / "configs"

PEAKS = (0.01, 0.03, 0.1, 0.3)
# What each schedule is made of, but for its peak: its usual or default form, nothing else tuned.
SCHEDULES: dict[str, Callable[[float], Section]] = {
    "cosine": lambda peak: {"name": "cosine", "init_value": peak, "decay_fraction": 1.0},
    "constant": lambda peak: {"name": "constant", "value": peak},
    "step": lambda peak: {"name": "step", "init_value": peak, "decay_fraction": 0.334},
    # ReduceLROnPlateau of PyTorch with all its defaults, which counts one observation more.
    "plateau_torch": lambda peak: {
        "name": "loss_aware",
        "base": peak,
        "when": {"name": "plateau", "monitor": "val_loss", "patience": 11},
        "how": {"name": "multiply", "factor": 0.1},
    },
    "auto": lambda peak: {"name": "auto", "peak": peak},
}
# For each data set: seeds to tune on, and fresh ones to report on.
SEEDS = {
    "digits": (range(100, 105), range(20, 40)),
    "fashion_mnist": (range(100, 101), range(10, 13)),
}


def study(
    config: Section, arms: dict[str, Section], seeds: range, out: Path
) -> tuple[Plan, History]:
    """Runs a study of these arms and seeds, or what is missing of it."""
    made = plan({**config, "name": out.name, "arms": arms, "seeds": list(seeds)})
    folder = Folder(out)
    folder.check(identity(made), overwrite=False)
    folder.open(identity(made), overwrite=False)
    done, total = 0, len(arms) * len(seeds) * made.run.steps

    def on_progress(arm: str, seed: int, steps: int) -> None:
        nonlocal done
        done += steps
        print(
            f"\r{out.name}: {100 * done / total:3.0f} %  {arm}, seed {seed}   ", end="", flush=True
        )

    placement = made.place(jax.device_count(), jax.default_backend())
    history, _ = run(made, made.load(), folder, placement, on_progress)
    print()
    return made, history


def stopped_early(val_accuracy: np.ndarray, arms: list[str]) -> list[dict[str, Any]]:
    """The validation accuracy after each third of the epochs, and what it is above the first arm's.

    Args:
      val_accuracy: f[arms, seeds, epochs].
      arms: the arms' names.
    """
    epochs = val_accuracy.shape[-1]
    return [
        {
            "name": name,
            "epoch": epoch,
            "val_accuracy": mean_interval(accuracy[:, epoch - 1])._asdict(),
            "difference": paired_interval(
                accuracy[:, epoch - 1], val_accuracy[0, :, epoch - 1]
            )._asdict(),
        }
        for name, accuracy in zip(arms, val_accuracy, strict=True)
        for epoch in (epochs // 3, 2 * epochs // 3, epochs)
    ]


def main() -> None:
    """Tunes, compares, prints the table and writes it beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", choices=SEEDS)
    parser.add_argument("--out", type=Path, default=Path("runs/auto"))
    arguments = parser.parse_args()
    use_every_core({"arms": SCHEDULES})
    config = tomllib.loads((CONFIGS / f"{arguments.data}.toml").read_text(encoding="utf-8"))
    tuning, fresh = SEEDS[arguments.data]

    candidates = {
        f"{name} {peak}": make(peak) for name, make in SCHEDULES.items() for peak in PEAKS
    }
    _, tried = study(config, candidates, tuning, arguments.out / f"{arguments.data}-tuning")
    score = tried.val_accuracy[..., -1].mean(axis=1).reshape(len(SCHEDULES), len(PEAKS))
    best = {name: PEAKS[int(np.nanargmax(row))] for name, row in zip(SCHEDULES, score, strict=True)}

    arms = {f"{name} {best[name]}": make(best[name]) for name, make in SCHEDULES.items()}
    made, history = study(config, arms, fresh, arguments.out / f"{arguments.data}-fresh")
    summaries = summarise(
        history, list(arms), made.config.target_accuracy, made.run.steps_per_epoch
    )
    short = {**config, "epochs": config["epochs"] // 3}
    short_plan, short_history = study(short, arms, fresh, arguments.out / f"{arguments.data}-short")
    short_summaries = summarise(
        short_history,
        list(arms),
        short_plan.config.target_accuracy,
        short_plan.run.steps_per_epoch,
    )
    early = stopped_early(history.val_accuracy, list(arms))
    console = Console(width=120)
    console.print(table(summaries))
    for row in early:
        level, difference = row["val_accuracy"], row["difference"]
        console.print(
            f"{row['name']:20} after epoch {row['epoch']:2}: {100 * level['mean']:.2f} %, "
            f"{100 * difference['mean']:+.2f} ± {50 * (difference['high'] - difference['low']):.2f}"
        )
    console.print(table(short_summaries))
    result = {
        "tuning": {
            "seeds": list(tuning),
            "peaks": PEAKS,
            "val_accuracy": {n: row.tolist() for n, row in zip(SCHEDULES, score, strict=True)},
        },
        "arms": [as_json(summary) for summary in summaries],
        "stopped_early": early,
        "third_of_the_epochs": [as_json(summary) for summary in short_summaries],
        **identity(made),
    }
    path = HERE / f"{arguments.data}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
