"""The configuration file of a study: TOML, and overrides on the command line."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_BARE = re.compile(r"[\w.:/-]+")
# A path with a quoted key, such as arms."0.1".value, may have any mark in the quotes.
_SETTING = re.compile(r"""((?:"[^"]*"|[^"=])+)=(.*)""", re.DOTALL)


class ConfigError(Exception):
    """Mistakes in what the user gave, one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def read(path: Path) -> dict[str, Any]:
    """Reads a TOML file; the study is named after the file unless it says otherwise.

    Raises:
      ConfigError: no such file, or not TOML.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise ConfigError([f"{path}: cannot be read: {reason}"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: not TOML: {error}"]) from error
    return {"name": path.stem, **raw}


def override(raw: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """The configuration with `key.path=value` settings applied, each value read as TOML.

    A bare word that is no TOML value is a string: `data.name=digits`. The path is a TOML key, in
    which a name with a dot or a space is quoted: `arms."0.1".value=0.2`.

    Raises:
      ConfigError: a setting without `=`, whose path is no TOML key, or runs through something that
        is no section.
    """
    problems = []
    for setting in settings:
        parts = _SETTING.fullmatch(setting)
        keys = _keys(parts[1]) if parts else []
        if not parts or not keys:
            problems.append(
                "an override must be key.path=value, keys with a space or another mark in double "
                f"quotes, got {setting!r}"
            )
            continue
        path, text = parts.groups()
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            if not _BARE.fullmatch(text):
                problems.append(f"{path} must be a TOML value or a bare word, got {text!r}")
                continue
            value = text
        try:
            raw = _replaced(raw, keys, value)
        except TypeError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError(problems)
    return raw


def _keys(path: str) -> list[str]:
    """The parts of a TOML key with dots; none where it is no TOML key."""
    keys: list[str] = []
    try:
        section: Any = tomllib.loads(f"{path} = 0")
    except tomllib.TOMLDecodeError:
        return keys
    while isinstance(section, dict):
        [(key, section)] = section.items()
        keys.append(key)
    return keys


def _replaced(
    section: Any, path: Sequence[str], value: Any, above: tuple[str, ...] = ()
) -> dict[str, Any]:
    if not isinstance(section, dict):
        raise TypeError(
            f"{'.'.join((*above, *path))}: {'.'.join(above)} must be a section, got {section!r}"
        )
    key, *rest = path
    new = _replaced(section.get(key, {}), rest, value, (*above, key)) if rest else value
    return {**section, key: new}
