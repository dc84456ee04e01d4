"""From a section of a configuration, a name and keyword arguments, to the object it describes.

The factory's signature is the schema: its annotations say which keys there are, of which type and
range, and which are sections themselves. Every problem is collected, none is raised.
"""

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from lrdecay.arguments import Number, alternatives, number
from lrdecay.decays import Decay
from lrdecay.registry import did_you_mean, factory
from lrdecay.schedules import Schedule
from lrdecay.triggers import Trigger

_KINDS = ((Schedule, "schedule"), (Trigger, "trigger"), (Decay, "decay"))


@dataclasses.dataclass(frozen=True)
class RunLength:
    """The length of a run, to turn epochs and fractions of the run into steps."""

    steps_per_epoch: int
    epochs: int

    @property
    def steps(self) -> int:
        """Steps in the whole run."""
        return self.steps_per_epoch * self.epochs

    def units(self, name: str) -> dict[str, int]:
        """The keys by which a duration called `name` may be given, and the steps in one of each.

        `decay_steps` may be given as `decay_epochs` or `decay_fraction`.
        """
        stem = name.removesuffix("steps").removesuffix("_")
        epochs, fraction = (f"{stem}_{unit}".strip("_") for unit in ("epochs", "fraction"))
        return {epochs: self.steps_per_epoch, fraction: self.steps}


def _kind(annotation: Any) -> str | None:
    """The kind of section that an argument is, None for a plain value."""
    members = alternatives(annotation)
    return next((kind for mark, kind in _KINDS if mark in members), None)


def _in_steps(value: Any, steps: int) -> Any:
    """A duration, or a list of them, from another unit to steps; anything else as it is."""
    if isinstance(value, list):
        return [_in_steps(v, steps) for v in value]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return round(value * steps) if is_number and value == value else value


def _plain(annotation: Any, value: Any, where: str, problems: list[str]) -> Any:
    """A value that is no section, checked against its annotation."""
    mark = number(annotation)
    if mark is not None:
        if value is None and type(None) in alternatives(annotation):
            return None
        try:
            mark.check(where, value)
        except (TypeError, ValueError) as error:
            problems.append(str(error))
        return value
    adapter = TypeAdapter(annotation, config=ConfigDict(strict=True, arbitrary_types_allowed=True))
    try:
        # TOML has lists alone where Python has tuples.
        return adapter.validate_python(value, strict=not isinstance(value, list))
    except ValidationError as error:
        said = (e["msg"].removeprefix("Input should be ") for e in error.errors())
        problems.append(f"{where} must be {', or '.join(said)}, got {value!r}")
        return value


def arguments(
    make: Callable[..., Any],
    section: Mapping[str, Any],
    where: str,
    problems: list[str],
    run: RunLength | None = None,
    given: Sequence[str] = (),
) -> dict[str, Any]:
    """The keyword arguments that a section gives to a factory.

    Args:
      make: the factory, whose signature is the schema.
      section: the keys of the section, without its name.
      where: the section's path, for messages.
      problems: list to which every problem is added, as a line that names the field, the value and
        what is allowed.
      run: the length of the run, where durations may be given in epochs or fractions.
      given: parameters that the study itself fills in.
    """
    parameters = {
        name: p
        for name, p in inspect.signature(make).parameters.items()
        if name not in given and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    }
    prefix = f"{where}." if where else ""
    units: dict[str, tuple[str, int]] = {}
    for name, p in parameters.items():
        mark = number(p.annotation)
        if run is not None and mark is not None and mark.duration:
            units |= {key: (name, steps) for key, steps in run.units(name).items()}

    found: dict[str, Any] = {}
    for key, value in section.items():
        name, steps = units.get(key, (key, None))
        if name not in parameters:
            known = [*parameters, *units]
            problems.append(f"{prefix}{key}: unknown key; {did_you_mean(key, known)}")
        elif name in found:
            problems.append(f"{prefix}{key}: {name} is given twice, in two units")
        elif steps is None:
            found[name] = _value(parameters[name].annotation, value, prefix + key, problems, run)
        else:
            mark = Number(low=0, many=isinstance(value, list))
            found[name] = _in_steps(
                _plain(typing.Annotated[Any, mark], value, prefix + key, problems), steps
            )
    for name, p in parameters.items():
        if p.default is p.empty and name not in found:
            others = [key for key, (of, _) in units.items() if of == name]
            problems.append(f"{prefix}{name}: missing" + "".join(f" (or {key})" for key in others))
    return found


def _value(
    annotation: Any, value: Any, where: str, problems: list[str], run: RunLength | None
) -> Any:
    kind = _kind(annotation)
    items = typing.get_args(annotation)
    if kind is None and len(items) == 1 and _kind(items[0]) is not None and isinstance(value, list):
        return [_value(items[0], v, f"{where}[{i}]", problems, run) for i, v in enumerate(value)]
    if kind is None or (number(annotation) is not None and not isinstance(value, dict)):
        return _plain(annotation, value, where, problems)
    return build(kind, value, where, problems, run)


def build(
    kind: str,
    section: Any,
    where: str,
    problems: list[str],
    run: RunLength | None = None,
    given: Mapping[str, Any] | None = None,
) -> Any:
    """The object that a section describes; None where there are problems with it.

    Args:
      kind: what it is, a key of `lrdecay.registry.FACTORIES`.
      section: `{name = ..., <arguments>}`.
      where: the section's path, for messages.
      problems: list to which every problem is added.
      run: the length of the run, where durations may be given in epochs or fractions.
      given: arguments that the study itself fills in.
    """
    if not isinstance(section, dict) or not isinstance(section.get("name"), str):
        example = "{name = ..., <arguments>}"
        problems.append(f"{where} must be a section {example} of a {kind}, got {section!r}")
        return None
    try:
        make = factory(kind, section["name"])
    except LookupError as error:
        problems.append(f"{where}.name: {error}")
        return None
    before = len(problems)
    given = given or {}
    rest = {key: value for key, value in section.items() if key != "name"}
    found = arguments(make, rest, where, problems, run, tuple(given))
    if len(problems) > before:
        return None
    try:
        return make(**given, **found)
    except (TypeError, ValueError, OSError) as error:
        problems.append(f"{where}: {error}")
        return None


def with_defaults(kind: str, section: Any) -> Any:
    """A valid section with every default of its factory written out."""
    if not isinstance(section, dict):
        return section
    full = {"name": section["name"]}
    for name, p in inspect.signature(factory(kind, section["name"])).parameters.items():
        if name in section:
            nested = _kind(p.annotation)
            full[name] = with_defaults(nested, section[name]) if nested else section[name]
        elif p.default is not p.empty:
            full[name] = p.default
    return section | full
