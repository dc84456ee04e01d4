"""`lrdecay list`: everything registered, its examples, and the table in the README."""

import re
from pathlib import Path

import pytest

from lrdecay.cli import main
from lrdecay.cli.list import EXAMPLES, entries, markdown, shape
from lrdecay.registry import FACTORIES, factory

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture(scope="module")
def tables():
    return {kind: markdown(kind) for kind in FACTORIES}


def test_everything_registered_is_shown_with_its_arguments(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    for names in FACTORIES.values():
        for name in names:
            assert re.search(rf"^ {name} ", text, re.MULTILINE)
    assert "patience=10, rtol=0.0001" in text
    assert "size=small" in text
    assert EXAMPLES["cosine"] in text


def test_one_kind_is_shown_alone(capsys):
    assert main(["list", "decay"]) == 0
    text = capsys.readouterr().out
    assert re.search("^ rungs ", text, re.MULTILINE)
    assert not re.search("^ (plateau|cosine|adam) ", text, re.MULTILINE)
    assert main(["list", "decay", "--markdown"]) == 0
    assert capsys.readouterr().out == markdown("decay") + "\n"


def test_what_a_study_fills_in_is_no_argument():
    for kind, given in (("model", "classes"), ("optimizer", "schedule")):
        assert not [e for e in entries(kind) if given in "".join(e.arguments)]


@pytest.mark.parametrize("kind", FACTORIES)
def test_markdown_has_a_row_a_name_that_says_what_it_is_for(tables, kind):
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in tables[kind].splitlines()]
    assert {len(row) for row in rows} == {4 if kind == "schedule" else 3}
    assert [row[0].strip(" `") for row in rows[2:]] == list(FACTORIES[kind])
    for row in rows[2:]:
        assert re.fullmatch(r" \S.*[.:] ", row[-1])


@pytest.mark.parametrize("name", FACTORIES["schedule"])
def test_each_schedule_has_an_example_of_itself(name):
    assert EXAMPLES[name].partition(":")[0] == name
    blocks = shape(EXAMPLES[name])
    assert re.fullmatch("[▁▂▃▄▅▆▇█]{16}", blocks)
    flat = len(set(blocks)) == 1
    # A preview observes nothing, so that presets stay on their base.
    assert flat == (name == "constant" or factory("schedule", name).__module__ == "lrdecay.presets")


def test_the_table_of_schedules_in_the_readme_is_that_of_the_registry(tables):
    text = README.read_text(encoding="utf-8")
    (block,) = re.findall(
        r"<!-- lrdecay list schedule --markdown -->\n(.*?)\n<!-- end -->", text, re.DOTALL
    )
    assert block == tables["schedule"]
