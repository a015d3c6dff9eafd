"""The search for a datapath with a library from Liberty files, and with bad input."""

from __future__ import annotations

import json
from pathlib import Path

import minilib
import pytest

from asq_sw.errors import InputError
from hw import carried
from hw.studies.search import main


def test_a_library_from_files_is_searched_under_a_name_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mini.lib").write_text(minilib.text(), encoding="utf-8")
    output = tmp_path / "tiles.json"
    name = "post2a2f0_tile_16x16_one_hot_shift_edge"
    arguments = ["--liberty", str(tmp_path / "mini.lib"), "--name", "mini", "--tile", name, "-o", str(output)]
    main.main([*arguments, "--clock-ns", "500"], standalone_mode=False)
    ((key_, row),) = json.loads(output.read_text())["rows"].items()
    assert key_.startswith(f"mini {name} ")
    assert (row["node"], row["clock_ns"]) == ("mini", 500)
    assert set(row) == set(next(iter(carried.tiles().values())))  # what the carried rows say of a tile
    kinds = row["area_by_kind_um2"]
    assert sum(kinds.values()) == pytest.approx(row["area_per_mac_um2"], rel=1e-3)
    assert kinds["full adders"] == 0  # it has none
    assert min(kinds["other gates"], kinds["inverters and buffers"], kinds["registers"]) > 0
    before = output.stat().st_mtime_ns
    main.main([*arguments, "--clock-ns", "500"], standalone_mode=False)
    assert output.stat().st_mtime_ns == before, "measured again"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tile", "int4"], "no such tile"),
        (["--clock-ns", "3"], "--liberty"),
        (["--node", "asap7", "--liberty", __file__], "expected one of them"),
        ([], "has no 'rows'"),
    ],
)
def test_bad_input_to_the_search(arguments: list[str], message: str, tmp_path: Path) -> None:
    output = tmp_path / "tiles.json"
    if not arguments:
        output.write_text("[]")
    with pytest.raises(InputError, match=message):
        main.main([*arguments, "-o", str(output)], standalone_mode=False)
    assert output.exists() == (not arguments)
