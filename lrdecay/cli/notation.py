"""What the command line calls a schedule, a trigger or a decay: `NAME:key=value,key=value`."""

import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lrdecay.registry import FACTORIES, did_you_mean, factory
from lrdecay.study.config import ConfigError, override

_OF_A_MODULE = re.compile(r"[\w.]+:[A-Za-z_]\w*(?=:|$)")
_SETTING = re.compile(r"[A-Za-z_][\w.]*=")


def shipped() -> dict[str, Path]:
    """The configurations that come with the package, by name."""
    package = Path(__file__).parent.parent
    # Inside of the package in a wheel, beside it in a checkout.
    folder = next(p for p in (package / "configs", package.parent / "configs") if p.is_dir())
    return {file.stem: file for file in sorted(folder.glob("*.toml"))}


def config_file(path: Path) -> Path:
    """The file at a path, or the one that ships if the path is but a name, and not a file's.

    Raises:
      ConfigError: no file has that name.
    """
    if len(path.parts) != 1 or (path.exists() and not path.is_dir()):
        return path
    files = shipped()
    name = path.name.removesuffix(".toml")
    if name in files:
        return files[name]
    if path.exists():
        return path
    raise ConfigError([f"{path}: no such file, nor one that ships; {did_you_mean(name, files)}"])


def section(kind: str, text: str) -> dict[str, Any]:
    """The section of a configuration that a text stands for.

    `plateau:patience=10,mode=max` is `{name = "plateau", patience = 10, mode = "max"}`. Values are
    read as TOML, or as a bare word. One value without its key is that of the first argument:
    `multiply:0.1`, `rungs:[0.1, 0.01]`.

    Args:
      kind: a key of `lrdecay.registry.FACTORIES`.
      text: the notation; the name may also be "module:attribute".

    Raises:
      ConfigError: no such name, or something after it that is no value.
    """
    name, _, rest = text.partition(":")
    if name not in FACTORIES[kind] and (path := _OF_A_MODULE.match(text)):
        name, rest = path[0], text[path.end() + 1 :]
    settings = _split(rest)
    if settings and not _SETTING.match(settings[0]):
        try:
            first = next(iter(inspect.signature(factory(kind, name)).parameters), None)
        except LookupError as error:
            raise ConfigError([str(error)]) from error
        if first is None:
            raise ConfigError([f"{name} takes no arguments, got {settings[0]}"])
        settings = [f"{first}={settings[0]}", *settings[1:]]
    return override({"name": name}, settings)


def _split(text: str) -> Sequence[str]:
    """The parts between commas that are not inside of brackets or quotes."""
    parts = [""]
    for piece in text.split(","):
        parts[-1] += piece
        whole = all(parts[-1].count(a) == parts[-1].count(b) for a, b in ("[]", "{}"))
        if whole and parts[-1].count('"') % 2 == 0:
            parts.append("")
        else:
            parts[-1] += ","
    return [part.strip() for part in parts if part.strip()]


def check_figure(path: Path | None, option: str = "--out") -> None:
    """Refuses a figure's file before any work is done.

    Raises:
      ConfigError: neither .png nor .svg, or in no folder.
    """
    if path is None:
        return
    if path.suffix.lower() not in (".png", ".svg"):
        raise ConfigError([f"{option} must be a .png or .svg file, got {path}"])
    if not path.parent.is_dir():
        raise ConfigError([f"{option} must be in a folder that is there, got {path}"])
