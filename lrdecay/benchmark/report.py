"""What a benchmark has found: as a file, against an earlier one, and as a figure."""

import dataclasses
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from pydantic import TypeAdapter, ValidationError

from lrdecay.benchmark.study import Result
from lrdecay.benchmark.timing import Rooflines
from lrdecay.figures import STYLE, colour
from lrdecay.study.config import ConfigError
from lrdecay.study.folder import write_atomically


@dataclasses.dataclass(frozen=True)
class Report:
    """A benchmark of several studies on one machine.

    Attributes:
      environment: versions of what decides the numbers, and the device.
      devices: how many there are.
      rooflines: what one of them reaches.
      results: by study.
    """

    environment: dict[str, str]
    devices: int
    rooflines: Rooflines
    results: tuple[Result, ...]

    @property
    def device(self) -> str:
        """The devices in words."""
        return f"{self.devices} x {self.environment['device']}"

    def share_of_flops(self, result: Result) -> float | None:
        """A step's operations a second over those of the best matrix product."""
        if result.cost.flops is None:
            return None
        return result.cost.flops / result.step.median / self.rooflines.flops_per_second

    def share_of_bytes(self, result: Result) -> float | None:
        """A step's bytes a second over those of the best copy; above 1 where a cache serves."""
        if result.cost.bytes_accessed is None:
            return None
        return result.cost.bytes_accessed / result.step.median / self.rooflines.bytes_per_second


_JSON = TypeAdapter(Report)


def write(path: Path, report: Report) -> None:
    """Writes a report as JSON, atomically."""
    write_atomically(path, lambda p: p.write_bytes(_JSON.dump_json(report, indent=1) + b"\n"))


def read(path: Path) -> Report:
    """Reads what `write` has written.

    Raises:
      ConfigError: it cannot be read, or is something else.
    """
    try:
        return _JSON.validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except ValidationError as error:
        raise ConfigError([f"{path}: not the JSON of `lrdecay bench`"]) from error


def _measures(report: Report) -> dict[str, float]:
    """What is worth a comparison, by a name with its unit."""
    found = {
        "matrix product, FLOP/s": report.rooflines.flops_per_second,
        "copy, bytes/s": report.rooflines.bytes_per_second,
    }
    for result in report.results:
        compilation = result.compilation
        found |= {
            f"{result.name}: trace and lower, s": compilation.trace + compilation.lower,
            f"{result.name}: compile cold, s": compilation.cold,
            f"{result.name}: compile cached, s": compilation.cached,
            f"{result.name}: step, s": result.step.median,
        }
        for scale in result.scaling:
            where = f"{scale.runs} at once on {scale.devices}"
            found[f"{result.name}: {where}, examples/s"] = scale.examples_per_second
    return found


def compare(new: Report, old: Report) -> dict[str, tuple[float, float, float]]:
    """What both reports have, by name: (old, new, new over old)."""
    now, before = _measures(new), _measures(old)
    return {k: (before[k], now[k], now[k] / before[k]) for k in now if k in before}


def figure(report: Report) -> Figure:
    """How examples a second grow with runs, and what each schedule adds to a step."""
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(11, 4.6), layout="constrained")
        growth, price = drawn.subplots(1, 2)
        for i, result in enumerate(report.results):
            style = {"color": colour(i), "marker": "o", "linestyle": "none", "capsize": 3}
            for devices in {scale.devices: None for scale in result.scaling}:
                line = [s for s in result.scaling if s.devices == devices]
                words = f"{devices} device" + "s" * (devices > 1)
                growth.plot(
                    [s.runs for s in line],
                    [s.examples_per_second for s in line],
                    **{"color": colour(i), "marker": "o" if devices == 1 else "s"},
                    label=f"{result.name}, {words}",
                )
            names = [f"{result.name}: {name}" for name in result.schedules]
            percent = [
                tuple(100 * (x - 1) for x in (s.low, s.median, s.high))
                for s in result.schedules.values()
            ]
            if names:
                low, median, high = zip(*percent, strict=True)
                sides = [
                    [m - x for m, x in zip(median, low, strict=True)],
                    [x - m for m, x in zip(median, high, strict=True)],
                ]
                price.errorbar(median, names, xerr=sides, **style)
        growth.set_xscale("log", base=2)
        growth.set(xlabel="runs at once", ylim=(0, None))
        growth.xaxis.set_major_formatter("{x:g}")
        growth.set_title("Examples a second", loc="left")
        growth.legend(frameon=False)
        price.axvline(0, color="#888888", linewidth=1)
        price.invert_yaxis()
        price.set(xlabel="% of the first arm's step; median and quartiles")
        price.set_title("What a schedule adds", loc="left")
        drawn.suptitle(report.device)
    return drawn
