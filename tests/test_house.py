"""Where things live (docs/house.md): directions of imports, no circle, every file in a package, tests mirror the tree."""

from __future__ import annotations

from pathlib import Path

import places
import pytest
from imports import Import, circles, imports, modules

LOWER = {"asq_sw": (), "hw": ("asq_sw",), "sim": ("hw", "asq_sw"), "reports": ("sim", "hw", "asq_sw")}
"""Package -> those that it may import beside itself."""
COMMANDS = "asq_sw.commands."
"""Reaches up, but not when it is loaded: ``asq --help`` waits for nothing."""
APART = ("helpers", "data", "benchmarks", "fuzz", "examples")
"""Folders of tests that mirror no package."""


def wrong_way(found: list[Import]) -> list[str]:
    """Imports against :data:`LOWER`, as ``by:line -> of``."""
    return [
        f"{i.by}:{i.line} -> {i.of}"
        for i in found
        if (top := i.by.split(".")[0]) != (other := i.of.split(".")[0])
        and other not in LOWER[top]
        and not (i.lazy and i.by.startswith(COMMANDS))
    ]


@pytest.fixture(scope="module")
def found() -> list[Import]:
    return imports(modules(places.ROOT, LOWER))


def test_imports_point_one_way(found: list[Import]) -> None:
    assert {i.by.split(".")[0] for i in found} == set(LOWER)
    assert wrong_way(found) == []


def test_no_module_imports_itself_by_way_of_others(found: list[Import]) -> None:
    assert circles((i.by, i.of) for i in found) == []


def test_sections_of_the_report_do_not_import_one_another(found: list[Import]) -> None:
    sections = "reports.sections."
    mine = [i for i in found if i.by.startswith(sections)]
    assert mine
    assert [i for i in mine if i.of.startswith(sections)] == []


def test_every_module_lies_in_a_package() -> None:
    outside = {
        str(folder.relative_to(places.ROOT))
        for package in LOWER
        for path in (places.ROOT / package).rglob("*.py")
        for folder in path.parents
        if places.ROOT in folder.parents and not (folder / "__init__.py").is_file()
    }
    assert outside == set()


def test_tests_mirror_the_tree() -> None:
    tests = places.ROOT / "tests"
    folders = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")} - {Path()}
    mirrored = [folder for folder in folders if folder.parts[0] not in APART]
    assert mirrored
    assert [f for f in mirrored if not (places.ROOT / f / "__init__.py").is_file()] == []


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    """A house with every fault, and with every import that is none."""
    sources = {
        "asq_sw/__init__.py": "if TYPE_CHECKING:\n    from asq_sw.formats import x\n"
        "def __getattr__(name):\n    from asq_sw.formats import x\n    return x\n",
        "asq_sw/commands/__init__.py": "",
        "asq_sw/commands/run.py": "import sim\nif TYPE_CHECKING:\n    from sim.run import A\n"
        "def command():\n    from sim.run import simulate\n",
        "asq_sw/formats.py": "import asq_sw\nif TYPE_CHECKING:\n    from asq_sw.files import File\n",
        "asq_sw/files.py": "def __getattr__(name):\n    import asq_sw.formats\n",
        "asq_sw/graph.py": "from . import formats\ndef later():\n    from hw import costs\n",
        "hw/__init__.py": "",
        "hw/costs.py": "class A:\n    def f(self):\n        from hw import search\n",
        "hw/search.py": "import numpy\nfrom hw.space import x\n",
        "hw/space.py": "try:\n    from hw.costs import TABLE\nexcept ImportError:\n    pass\n",
        "sim/__init__.py": "from sim.run import simulate\n",
        "sim/run.py": "import reports.page as page, hw.costs\n",
        "reports/__init__.py": "",
        "reports/page.py": "import sim.run\n",
    }
    for name, text in sources.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = imports(modules(tmp_path, LOWER))
    assert wrong_way(found) == [
        "asq_sw.commands.run:1 -> sim",
        "asq_sw.graph:3 -> hw.costs",
        "sim.run:1 -> reports.page",
    ]
    assert circles((i.by, i.of) for i in found) == [
        ["asq_sw.files", "asq_sw.formats"],
        ["hw.costs", "hw.search", "hw.space"],
        ["reports.page", "sim.run"],
    ]
    assert ("asq_sw.graph", "asq_sw.formats") in {(i.by, i.of) for i in found}
