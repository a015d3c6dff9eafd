"""The carried tables' one reader, and the nodes' records against the libraries that they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asq_sw.errors import InputError
from hw import carried
from hw.nodes import DEFAULT_NODE, NODES, node
from hw.synth.libraries.library import load


@pytest.mark.parametrize("name", list(NODES))
def test_a_node_says_what_its_library_says(name: str) -> None:
    library = load(name)
    assert (library.node, library.voltage) == (name, NODES[name].supply_v)


def test_an_unknown_node_is_refused_by_name() -> None:
    assert node(DEFAULT_NODE).name == DEFAULT_NODE
    with pytest.raises(InputError, match="node is 'tsmc5', expected one of nangate45, sky130hd, asap7"):
        node("tsmc5")


def test_a_table_is_written_as_it_is_read_and_absent_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "tiles.json"
    assert carried.read(path, "rows") == {"rows": {}}
    carried.write(path, {"rows": {"b": {"x": 1}, "a": {}}})
    assert carried.read(path, "rows") == {"rows": {"a": {}, "b": {"x": 1}}}
    first = path.read_bytes()
    carried.write(path, carried.read(path, "rows"))
    assert path.read_bytes() == first


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"rows": []}', '{"rows": {"a": 1}}'])
def test_a_damaged_table_is_refused_by_file_and_field(text: str, tmp_path: Path) -> None:
    path = tmp_path / "tiles.json"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(str(path)) + ": (has no 'rows'|cannot be read as JSON)"):
        carried.read(path, "rows")


def test_every_carried_row_is_of_a_node_or_names_its_own_library() -> None:
    for rows in (carried.tiles(), carried.tiles(trained=True), carried.fronts()):
        assert rows
        for key, row in rows.items():
            assert key.startswith(f"{row['node']} ")
            if row["node"] in NODES and rows is not carried.fronts():
                assert row["clock_ns"] == NODES[row["node"]].clock_ns
