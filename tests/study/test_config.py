"""Reading a configuration, and overriding it: against a deep copy changed by hand."""

import copy
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrdecay.study.config import ConfigError, override, read

KEYS = st.from_regex(r"[a-z_]{1,4}", fullmatch=True)
VALUES = st.recursive(
    st.integers(-(2**31), 2**31)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.text(st.characters(min_codepoint=32, max_codepoint=126)),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
SECTIONS = st.recursive(
    st.dictionaries(KEYS, VALUES, max_size=3),
    lambda inner: st.dictionaries(KEYS, inner | VALUES, max_size=3),
    max_leaves=8,
)


def problems_of(call, *arguments):
    with pytest.raises(ConfigError) as error:
        call(*arguments)
    assert str(error.value) == "\n".join(error.value.problems)
    assert not any("\n" in problem for problem in error.value.problems)
    return error.value.problems


def test_a_study_is_named_after_its_file(tmp_path):
    path = tmp_path / "my.study.toml"
    path.write_text("epochs = 3\n[data]\nname = 'digits'\n")
    assert read(path) == {"name": "my.study", "epochs": 3, "data": {"name": "digits"}}
    path.write_text("name = 'own'")
    assert read(path) == {"name": "own"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"name = '\xff'", "cannot be read: not a text file"),
        (b"epochs 3", r"not TOML: Expected '=' .* \(at line 1, column 8\)"),
        (b"epochs = 1\nepochs = 2\n", r"not TOML: .* \(at line 2, column 11\)"),
        (b"[arms.a]\n[arms.a]", r"not TOML: Cannot declare .*'arms', 'a'.* \(at line 2, .*\)"),
        (b"[arms]\na = {}\n[arms.a]", r"not TOML: .* \(at line 3, .*\)"),
    ],
    ids=["missing", "binary", "broken", "key twice", "arm twice", "arm twice, inline"],
)
def test_a_bad_file_is_named_with_the_place_of_the_mistake(tmp_path, content, problem):
    path = tmp_path / "study.toml"
    if content is not None:
        path.write_bytes(content)
    (found,) = problems_of(read, path)
    assert re.fullmatch(f"{re.escape(str(path))}: {problem}", found)


def test_a_directory_is_no_file(tmp_path):
    assert problems_of(read, tmp_path) == (f"{tmp_path}: cannot be read: Is a directory",)


@given(SECTIONS, st.lists(KEYS, min_size=1, max_size=4), VALUES)
def test_an_override_sets_one_value_and_leaves_the_rest(raw, path, value):
    before, expected = copy.deepcopy(raw), copy.deepcopy(raw)
    *above, last = path
    section = expected
    for i, key in enumerate(above):
        section = section.setdefault(key, {})
        if not isinstance(section, dict):
            blocked = ".".join(above[: i + 1])
            problem = f"{'.'.join(path)}: {blocked} must be a section, got {section!r}"
            assert problems_of(override, raw, [f"{'.'.join(path)}={json.dumps(value)}"]) == (
                problem,
            )
            return
    section[last] = value
    found = override(raw, [f"{'.'.join(path)}={json.dumps(value)}"])
    assert found == expected
    assert list(found) == list(expected)
    assert raw == before


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 1e-3),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ("'a b'", "a b"),
        ('{name = "step", factor = 0.5}', {"name": "step", "factor": 0.5}),
        ("digits", "digits"),
        ("package.module:Name", "package.module:Name"),
        ("/data/my-set", "/data/my-set"),
        ("True", "True"),
    ],
)
def test_a_value_is_toml_or_a_bare_word(text, value):
    found = override({}, [f"a.b={text}"])["a"]["b"]
    assert (found, type(found)) == (value, type(value))


def test_later_overrides_win():
    assert override({"a": 1}, ["a=2", "a=3", "b.c=4", "b.d=5"]) == {"a": 3, "b": {"c": 4, "d": 5}}


def test_a_key_in_quotes_may_have_any_mark():
    raw = {"arms": {"rate = 0.1": {"value": 0.1}, "b": {}}}
    found = override(raw, ['arms."rate = 0.1".value=0.2', 'arms."c.d" = {e = 1}'])
    assert found["arms"] == {"rate = 0.1": {"value": 0.2}, "b": {}, "c.d": {"e": 1}}


def test_every_bad_override_is_told():
    no_path = ["epochs", "=3", "a..b=3", "a b=3"]
    settings = [*no_path, "seeds=", "data.name='x", "epochs.x=1", "batch_size=8"]
    assert problems_of(override, {"epochs": 2}, settings) == (
        *(
            "an override must be key.path=value, keys with a space or another mark in double "
            f"quotes, got {setting!r}"
            for setting in no_path
        ),
        "seeds must be a TOML value or a bare word, got ''",
        'data.name must be a TOML value or a bare word, got "\'x"',
        "epochs.x: epochs must be a section, got 2",
    )
