"""The house: which module may know which, read off the imports in the source."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import lrdecay

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "lrdecay"

# From the top down: a module may import from the rows above its own, and from its own row.
ROWS = (
    "arguments",
    "schedules",
    "triggers",
    "decays",
    "packing",
    "loss_aware_schedule",
    "presets",
    "compat",
    "signals",
    "optimizer_state",
    "transform",
    "checkpoint",
    "replaying",
    "registry",
    "logs",
    "figures",
    "training",
    "study",
    "benchmark",
    "cli",
)
LIBRARY = ROWS[: ROWS.index("registry")]
LIBRARY_MAY_IMPORT = {"jax", "jaxlib", "numpy", "optax", "jaxtyping", *sys.stdlib_module_names}
MUST_NOT_KNOW = {
    "arguments": {"optax"},
    "triggers": {"optax"},
    "decays": {"optax", "lrdecay.triggers"},
    "packing": {"optax", "lrdecay.triggers", "lrdecay.decays"},
    "registry": {"jax", "numpy", "optax"},
    "training": {"argparse", "pydantic", "rich", "tomllib"},
    "study": {"argparse"},
}

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py"
}

every_module = pytest.mark.parametrize("name", MODULES)


def row(module):
    """The row of a module of ours, by its dotted name."""
    name = module.split(".")[1]
    assert name in ROWS, f"{module} needs a row in the table of this test"
    return ROWS.index(name)


def imports(path):
    """The dotted names of all modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it leads"
            if node.module != "lrdecay":
                found.add(node.module)
                continue
            # A name of the package itself comes from its home; all may know the version.
            homes = {lrdecay._HOME.get(alias.name, alias.name) for alias in node.names}
            found |= {f"lrdecay.{home}" for home in homes - {"__version__"}}
    return found


def test_the_files_were_found():
    assert {"lrdecay.registry", "lrdecay.training.engine", "lrdecay.decays"} <= set(MODULES)


@every_module
def test_a_module_has_a_row_and_imports_from_no_row_below(name):
    own = row(name)
    ours = {module for module in imports(MODULES[name]) if module.startswith("lrdecay.")}
    assert [module for module in ours if row(module) > own] == []


@every_module
def test_a_module_does_not_know_what_it_must_not(name):
    forbidden = MUST_NOT_KNOW.get(ROWS[row(name)], set())
    found = imports(MODULES[name])
    assert {m for m in found if m in forbidden or m.split(".")[0] in forbidden} == set()


@pytest.mark.parametrize("name", [m for m in MODULES if m.split(".")[1] in LIBRARY])
def test_the_library_stands_on_jax_and_optax_alone(name):
    top = {module.split(".")[0] for module in imports(MODULES[name])}
    assert top - {"lrdecay"} <= LIBRARY_MAY_IMPORT


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.name)
def test_no_module_has_more_than_400_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def python(code):
    """What a fresh interpreter prints."""
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return run.stdout.strip()


HEAVY = "sorted({'jax', 'numpy', 'optax', 'flax', 'rich', 'matplotlib'} & set(sys.modules))"


@pytest.mark.parametrize(
    "code",
    [
        "import lrdecay; dir(lrdecay); lrdecay.__all__; lrdecay.__version__",
        "import lrdecay.cli; lrdecay.cli.main(['run', 'no_such_file.toml'])",
    ],
    ids=["import", "missing file"],
)
def test_what_needs_no_jax_does_not_import_it(code):
    assert python(f"import sys; {code}; print({HEAVY})") == "[]"


def test_a_name_is_loaded_on_first_use():
    code = "import sys, lrdecay; lrdecay.plateau; print('jax' in sys.modules)"
    assert python(code) == "True"


def test_a_trigger_and_its_optimizer_load_no_other_trigger_and_no_schedule():
    code = """
import sys, lrdecay, optax
schedule = lrdecay.loss_aware(0.1, when=lrdecay.plateau(), how=lrdecay.multiply(0.1))
lrdecay.with_learning_rate(optax.adam, schedule)
parts = ("lrdecay.triggers.", "lrdecay.schedules.")
print(*sorted(m for m in sys.modules if m.startswith(parts)))
"""
    expected = "schedules.base schedules.clock triggers.plateau triggers.protocol"
    assert python(code).replace("lrdecay.", "") == expected


def exports_for_type_checkers():
    """The home of each name, as type checkers see it."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (checking,) = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    return {
        alias.asname: node.module.removeprefix("lrdecay.")
        for node in checking.body
        for alias in node.names
    }


def test_type_checkers_see_the_exports_that_python_finds():
    assert exports_for_type_checkers() == lrdecay._HOME
    assert list(lrdecay._HOME) == sorted(lrdecay._HOME)


@pytest.mark.parametrize("name", lrdecay.__all__)
def test_an_export_is_the_one_of_its_module(name):
    home = importlib.import_module(f"lrdecay.{lrdecay._HOME[name]}")
    assert getattr(lrdecay, name) is getattr(home, name)
    assert name in dir(lrdecay)


def test_an_unknown_export_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'lrdecay' has no attribute 'platau'"):
        _ = lrdecay.platau
