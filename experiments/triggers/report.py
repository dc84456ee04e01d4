"""The tables and the record of the benchmark."""

import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from rich import box
from rich.console import Console
from rich.table import Table

from experiments.triggers.histories import CHANGES, HORIZON, LENGTH, PROGRESS
from experiments.triggers.scoring import ALARM_SHARE, Delay

PACKAGES = ("lrdecay", "jax", "jaxlib", "numpy", "scipy")


def environment() -> dict[str, str]:
    """What produced the numbers."""
    here = Path(__file__).parent
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True
    )
    device = jax.devices()[0]
    return {
        **{package: version(package) for package in PACKAGES},
        "python": platform.python_version(),
        "commit": git.stdout.strip() or "unknown",
        "device": f"{device.platform}: {device.device_kind}",
    }


def _plain(x: Any) -> Any:
    """Named tuples as dicts, all through."""
    if hasattr(x, "_asdict"):
        return _plain(x._asdict())
    if isinstance(x, dict):
        return {k: _plain(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [_plain(v) for v in x]
    return x


def write(path: Path, replicates: int, seconds: float, results: list[dict], **more: Any) -> None:
    record = {
        "environment": environment(),
        "seconds": round(seconds, 1),
        "replicates": replicates,
        "observations": LENGTH,
        "alarm_share": ALARM_SHARE,
        "horizon": HORIZON,
        "families": _plain(results),
        **more,
    }
    path.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _delay(x: Delay | None) -> str:
    if x is None:
        return "-"
    p90 = f">{HORIZON}" if x.p90 >= HORIZON else f"{x.p90:.0f}"
    missed = f" {100 * x.missed.value:.0f}%" if x.missed.value >= 0.005 else ""
    return f"{x.mean:.0f}±{(x.high - x.low) / 2:.0f} ({p90}){missed}"


def _table(title: str, columns: list[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("trigger", no_wrap=True)
    table.add_column("set to")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def show(console: Console, results: list[dict]) -> None:
    """Prints the false alarms and the delays of every family, calibrated and by default."""
    quiet = f"each set to at most {100 * ALARM_SHARE:g} % false alarms on progress"
    for kind, words in (("calibrated", quiet), ("default", "at the library's defaults")):
        alarms = _table(
            f"False alarms, {words}: share of runs of {LENGTH} observations, in %", list(PROGRESS)
        )
        delays = _table(
            f"Delays, {words}: mean ± half of the 95 % interval (nine in ten within) share missed "
            f"after {HORIZON}; -: too many fires before the change",
            list(CHANGES),
        )
        for r in results:
            result = r.get(kind)
            if result is None:
                continue
            head = (r["family"], f"{r['parameter']}={result.setting:.3g}")
            alarms.add_row(*head, *(f"{100 * result.false_alarms[k].value:.0f}" for k in PROGRESS))
            delays.add_row(*head, *(_delay(result.delays[k]) for k in CHANGES))
        console.print(alarms, delays)
    for r in results:
        if "calibrated" not in r:
            console.print(f"{r['family']}: no {r['parameter']} looked at is quiet enough")
