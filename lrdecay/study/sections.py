"""From a section of a configuration, a name and keyword arguments, to the object it describes.

The factory's signature is the schema: its annotations say which keys there are, of which type and
range, and which are sections themselves. Every problem is collected, none is raised. A valid
section is a `Call`: the factory and its arguments, whose numbers may be exchanged for traced ones.
"""

import dataclasses
import inspect
import typing
from collections.abc import Callable, Container, Mapping, Sequence
from inspect import Parameter
from typing import Annotated, Any

import jax
import optax
from optax.schedules import StatefulSchedule
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import to_json

from lrdecay.arguments import INT32_MAX, Number, alternatives, number
from lrdecay.decays import Decay
from lrdecay.registry import FACTORIES, did_you_mean, factory
from lrdecay.schedules import Schedule
from lrdecay.training.data import Source
from lrdecay.training.model_factory import model_factory
from lrdecay.training.models import Model
from lrdecay.triggers import Trigger

# The arguments that are sections themselves, by annotation.
_KINDS = ((Schedule, "schedule"), (Trigger, "trigger"), (Decay, "decay"))

# What a factory of each kind returns.
_RETURNS = {
    "schedule": (Callable, StatefulSchedule),
    "trigger": (Trigger,),
    "decay": (Callable,),
    "optimizer": (optax.GradientTransformation,),
    "model": (Model,),
    "data": (Source,),
}

_SECTION = "a section {name = ..., <arguments>}"

# pydantic's words for what TOML calls otherwise.
_IN_TOML = {
    "an object": "a section",
    "a valid array": "a list",
    "a valid boolean": "true or false",
}


@jax.tree_util.register_pytree_node_class
@dataclasses.dataclass(frozen=True)
class Call:
    """A factory and its arguments, to be called for the object that a section describes.

    It is a pytree of the arguments that its factory takes traced, those marked as a `Number`, with
    whole numbers as int and all others as float: calls of the same structure differ in these alone.

    Attributes:
      make: the factory.
      numbers: numbers, lists of them, and the calls of sections within.
      others: all other arguments.
    """

    make: Callable[..., Any]
    numbers: Mapping[str, Any]
    others: Mapping[str, Any]

    def __call__(self, **given: Any) -> Any:
        """The object, with the arguments that the study itself fills in."""
        return self.make(**given, **self.others, **{k: _made(v) for k, v in self.numbers.items()})

    def tree_flatten(self) -> tuple[tuple[Any, ...], Any]:
        """The numbers, and what they are the numbers of."""
        return (dict(self.numbers),), (self.make, dict(self.others))

    @classmethod
    def tree_unflatten(cls, aux: Any, children: tuple[Any, ...]) -> "Call":
        """The call with other numbers."""
        return cls(aux[0], children[0], aux[1])


def _made(value: Any) -> Any:
    if isinstance(value, list):
        return [_made(v) for v in value]
    return value() if isinstance(value, Call) else value


@dataclasses.dataclass(frozen=True)
class RunLength:
    """The length of a run, to turn epochs and fractions of the run into steps."""

    steps_per_epoch: int
    epochs: int

    @property
    def steps(self) -> int:
        """Steps in the whole run."""
        return self.steps_per_epoch * self.epochs

    def steps_in(self, key: str) -> int:
        """Steps in the unit of a duration: one epoch, or the whole run for a fraction."""
        return self.steps_per_epoch if key.endswith("epochs") else self.steps


def _parameters(make: Callable[..., Any], given: Container[str] = ()) -> dict[str, Parameter]:
    """The parameters of a factory that a section may set: by keyword, and not `given`."""
    parameters = inspect.signature(make, eval_str=True).parameters.values()
    return {
        p.name: p.replace(annotation=Any) if p.annotation is p.empty else p
        for p in parameters
        if p.name not in given and p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
    }


def _factory(kind: str, name: str) -> Callable[..., Any]:
    """The factory that a section names: for a model also a Flax module as it is."""
    make = factory(kind, name)
    return model_factory(make) if kind == "model" else make


def _spellings(name: str, annotation: Any) -> tuple[str, ...]:
    """The keys for a parameter: its name and, for a duration, those in epochs and as a fraction.

    `decay_steps` may be given as `decay_epochs` or `decay_fraction`.
    """
    mark = number(annotation)
    if mark is None or not mark.duration:
        return (name,)
    stem = name.removesuffix("steps").removesuffix("_")
    return (name, *(f"{stem}_{unit}".strip("_") for unit in ("epochs", "fraction")))


def _kind(annotation: Any) -> str | None:
    """The kind of section that an argument is, None for a plain value."""
    members = alternatives(annotation)
    return next((kind for mark, kind in _KINDS if mark in members), None)


def _items(annotation: Any) -> Any:
    """The annotation of each item where an argument is a list of sections, None otherwise."""
    items = typing.get_args(annotation)
    return items[0] if len(items) == 1 and _kind(items[0]) is not None else None


def _plain(annotation: Any, value: Any, where: str, problems: list[str]) -> Any:
    """A value that is no section, checked against its annotation; None where it fails."""
    mark = number(annotation)
    if mark is not None:
        try:
            mark.check(where, value)
        except (TypeError, ValueError) as error:
            problems.append(str(error))
            return None
        return value
    options = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
    try:
        # As JSON: strict, and yet a list does for a tuple.
        json = to_json(value, inf_nan_mode="constants")
        return TypeAdapter(annotation, config=options).validate_json(json, strict=True)
    except ValidationError as error:
        # Of the members of a union, the one that fits best fails farthest inside.
        depth = max(len(e["loc"]) for e in error.errors())
        errors = [e for e in error.errors() if len(e["loc"]) == depth]
        place = where + "".join(f"[{i}]" for i in errors[0]["loc"] if isinstance(i, int))
        said = dict.fromkeys(e["msg"].removeprefix("Input should be ") for e in errors)
        allowed = ", or ".join(_IN_TOML.get(words, words) for words in said)
        problems.append(f"{place} must be {allowed}, got {errors[0]['input']!r}")
        return None


def _duration(annotation: Any, value: Any, steps: int, where: str, problems: list[str]) -> Any:
    """A duration, or a list of them, from a unit of `steps` to whole steps; None where it fails."""
    many = isinstance(value, list)
    amount = _plain(Annotated[Any, Number(low=0, many=many)], value, where, problems)
    if amount is None:
        return None

    def whole(x: int | float) -> int:
        return round(min(x * steps, INT32_MAX + 1))  # a float may overflow

    in_steps = [whole(x) for x in amount] if many else whole(amount)
    return _plain(annotation, in_steps, f"{where} in steps", problems)


def arguments(
    make: Callable[..., Any],
    section: Mapping[str, Any],
    where: str,
    problems: list[str],
    run: RunLength | None = None,
    given: Container[str] = (),
    read: Sequence[str] = (),
) -> dict[str, Any]:
    """The keyword arguments that a section gives to a factory, None in place of a bad one.

    What a section describes is there as a `Call`.

    Args:
      make: the factory, whose signature is the schema.
      section: the keys of the section, without those read.
      where: the section's path, for messages.
      problems: list to which every problem is added, as a line that names the field, the value and
        what is allowed.
      run: the length of the run, where durations may be given in epochs or fractions.
      given: parameters that the study itself fills in.
      read: other keys of the section, which have been read, for messages.
    """
    parameters = _parameters(make, given)
    keys = {
        name: (name,) if run is None else _spellings(name, p.annotation)
        for name, p in parameters.items()
    }
    name_of = {key: name for name, spellings in keys.items() for key in spellings}
    prefix = f"{where}." if where else ""
    found: dict[str, Any] = {}
    for key, value in section.items():
        name = name_of.get(key)
        if name is None:
            known = dict.fromkeys((*read, *name_of))
            problems.append(f"{prefix}{key}: unknown key; {did_you_mean(key, known)}")
        elif name in found:
            problems.append(f"{prefix}{key}: only one of {', '.join(keys[name])} may be given")
        elif run is None or key == name:
            found[name] = _value(parameters[name].annotation, value, prefix + key, problems, run)
        else:
            steps = run.steps_in(key)
            found[name] = _duration(
                parameters[name].annotation, value, steps, prefix + key, problems
            )
    problems += [
        f"{prefix}{' or '.join(keys[name])} is missing"
        for name, p in parameters.items()
        if p.default is p.empty and name not in found
    ]
    return found


def _value(
    annotation: Any, value: Any, where: str, problems: list[str], run: RunLength | None
) -> Any:
    """A value checked against its annotation, resolved if it is a section; None where it fails."""
    items, kind, mark = _items(annotation), _kind(annotation), number(annotation)
    if items is not None:
        if isinstance(value, list):
            return [_value(items, v, f"{where}[{i}]", problems, run) for i, v in enumerate(value)]
        problems.append(f"{where} must be a list, got {value!r}")
    elif kind is None or (mark is not None and isinstance(value, int | float)):
        return _plain(annotation, value, where, problems)
    elif mark is None or isinstance(value, dict):
        return resolve(kind, value, where, problems, run)
    else:
        problems.append(f"{where} must be {mark.allowed}, or {_SECTION}, got {value!r}")
    return None


def _number(mark: Number, value: Any) -> Any:
    """A number as what it stands for, so that 1 and 0.5 are of the same structure."""
    if isinstance(value, list):
        return [_number(mark, v) for v in value]
    return float(value) if mark.kind is float and isinstance(value, int) else value


def resolve(
    kind: str,
    section: Any,
    where: str,
    problems: list[str],
    run: RunLength | None = None,
    given: Mapping[str, Any] | None = None,
) -> Call | None:
    """The call that makes what a section describes; None where there are problems with it.

    It is made once, as not every mistake shows in a signature.

    Args:
      kind: what it is, a key of `lrdecay.registry.FACTORIES`.
      section: `{name = ..., <arguments>}`.
      where: the section's path, for messages.
      problems: list to which every problem is added.
      run: the length of the run, where durations may be given in epochs or fractions.
      given: arguments that the study itself fills in, to be given again when it is called.
    """
    if not isinstance(section, dict) or not isinstance(section.get("name"), str):
        names = ", ".join(FACTORIES[kind])
        problems.append(f"{where} must be {_SECTION}, got {section!r}; names: {names}")
        return None
    name = section["name"]
    try:
        make = _factory(kind, name)
        parameters = _parameters(make)
    except (LookupError, NameError, ValueError) as error:
        problems.append(f"{where}.name: {error}")
        return None
    before = len(problems)
    given = given or {}
    rest = {key: value for key, value in section.items() if key != "name"}
    found = arguments(make, rest, where, problems, run, given, read=("name",))
    if len(problems) > before:
        return None
    numbers, others = {}, {}
    for key, value in found.items():
        mark = number(parameters[key].annotation)
        if isinstance(value, Call) or _items(parameters[key].annotation) is not None:
            numbers[key] = value
        elif mark is not None and not isinstance(value, str | None):
            numbers[key] = _number(mark, value)
        else:
            others[key] = value
    call = Call(make, numbers, others)
    try:
        made = call(**given)
    except (TypeError, ValueError, OSError) as error:
        problems.append(f"{where}: {' '.join(str(error).split())}")
        return None
    if not isinstance(made, _RETURNS[kind]):
        expected = " or ".join(t.__name__ for t in _RETURNS[kind])
        got = type(made).__name__
        problems.append(f"{where}.name: {name!r} must return a {expected}, got a {got}")
        return None
    return call


def build(
    kind: str, section: Any, where: str, problems: list[str], run: RunLength | None = None
) -> Any:
    """The object that a section describes; None where there are problems with it."""
    call = resolve(kind, section, where, problems, run)
    return None if call is None else call()


def with_defaults(kind: str, section: Any, given: Container[str] = ()) -> Any:
    """A valid section with every default of its factory, in the order of its signature."""
    if not isinstance(section, dict):
        return section
    full = {"name": section["name"]}
    for name, p in _parameters(_factory(kind, section["name"]), given).items():
        key = next((k for k in _spellings(name, p.annotation) if k in section), name)
        if key in section:
            full[key] = _filled(p.annotation, section[key])
        elif p.default is not p.empty:
            full[key] = p.default
    return full


def _filled(annotation: Any, value: Any) -> Any:
    items, kind = _items(annotation), _kind(annotation)
    if items is not None:
        return [_filled(items, v) for v in value]
    return value if kind is None else with_defaults(kind, value)
