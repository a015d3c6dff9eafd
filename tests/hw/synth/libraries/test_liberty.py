"""The Liberty reader: a hand-written library's figures, errors, round trips, and the tables that we carry."""

import gzip

import minilib
import numpy as np
import places
import pytest

from asq_sw.errors import InputError
from hw import nodes
from hw.nodes import NODES
from hw.synth.libraries import boolean, liberty
from hw.synth.libraries import library as libraries

SHARED = places.SHARED / "liberty"


def read(tmp_path, text, name="a.lib", **kwargs):
    path = tmp_path / name
    path.write_text(text)
    return liberty.read([path], **kwargs)


def test_units_are_converted(mini):
    inv = mini.cells["INV"]
    assert inv.area == 1.0
    assert inv.leakage == pytest.approx(0.010)  # 10 pW in nW
    assert inv.leakage_states == pytest.approx((0.008, 0.012))
    pin = inv.inputs["A"]
    assert (pin.capacitance, pin.rise, pin.fall) == pytest.approx((2.0, 2.0, 1.0))  # pF -> fF
    arc = inv.outputs["Y"].arcs[0]
    assert (arc.related, arc.sense) == ("A", "-")
    assert arc.rise.x == pytest.approx([0.010, 0.030])  # ps -> ns
    assert arc.rise.y == pytest.approx([1.0, 3.0])
    # Bilinear in the middle, linear beyond the ends.
    assert arc.rise.at(0.020, 2.0) == pytest.approx(0.035)
    assert arc.rise.at(0.040, 5.0) == pytest.approx(0.030 + 0.005 + 0.040)


def test_states_and_edges_are_reduced(mini):
    # V^2 * pF = pJ = 1000 fJ. The output's energy is the mean of rise and fall.
    assert mini.cells["INV"].outputs["Y"].energy["A"].at(0) == pytest.approx(1.0)
    nand = mini.cells["NAND"]
    by_input = {arc.related: arc for arc in nand.outputs["Y"].arcs}
    assert by_input["A"].rise.at(0) == pytest.approx(0.015)  # the worst of 15 and 12
    assert by_input["A"].fall.at(0) == pytest.approx(0.028)  # the worst of 25 and 28
    assert nand.outputs["Y"].energy["A"].at(0) == nand.outputs["Y"].energy["B"].at(0) == pytest.approx(4.0)
    # (2 + 4) / 2 applies in half of the states, those with B = 0.
    assert nand.inputs["A"].energy.at(0) == pytest.approx(1.5)
    assert nand.inputs["B"].energy is None


def test_flipflop(mini):
    cell = mini.cells["DFF"]
    ff = cell.flipflop
    assert (ff.clock, ff.rising, ff.next_state, ff.state, ff.inverse) == ("CK", True, "D", "IQ", "IQN")
    assert [t.at(0) for t in ff.setup["D"]] == pytest.approx([0.007, 0.009])
    energies = {kind: table.at(0) for kind, table in ff.energy.items()}
    assert energies == pytest.approx(
        {"capture_same": 3.0, "return_same": 5.0, "capture_new": 0.0, "return_new": 9.0}
    )
    assert cell.inputs["D"].energy.at(0) == pytest.approx(0.3)  # with the clock high, after the edge
    assert cell.outputs["Q"].energy["CK"].at(0) == pytest.approx(7.0)


def test_cells_that_cannot_be_used_are_counted(mini):
    assert set(mini.cells) == {"INV", "BUF", "NAND", "XOR", "DFF"}
    assert mini.left_out == {"latch or clock gate": 1, "scan or several flip-flops": 1}


def test_cells_of_many_inputs_are_left_out(tmp_path):
    """Their states would take hours."""
    pins = "".join(f"pin (A{n}) {{ direction : input; }}" for n in range(40))
    wide = f'cell (AND40) {{ {pins} pin (Y) {{ direction : output; function : "A0 & A39"; }} }}'
    found = read(tmp_path, minilib.text(minilib.INV + minilib.DFF + wide))
    assert set(found.cells) == {"INV", "DFF"}
    assert found.left_out == {"more than 12 inputs": 1}


def test_leave_out(tmp_path):
    found = read(tmp_path, minilib.text(), leave_out=["N*"])
    assert "NAND" not in found.cells
    assert found.left_out["named in --leave-out"] == 1


def test_falling_edge_and_reset(tmp_path):
    cell = minilib.DFF.replace('clocked_on : "CK";', 'clocked_on : "!CK"; clear : "!RN";').replace(
        "pin (Q)", "pin (RN) { direction : input; capacitance : 0.001; }\n    pin (Q)"
    )
    ff = read(tmp_path, minilib.text(minilib.INV + cell)).cells["DFF"].flipflop
    assert not ff.rising
    assert ff.clear == "!RN"
    # Now the falling edge captures.
    assert ff.energy["capture_same"].at(0) == pytest.approx(5.0)
    assert ff.energy["return_same"].at(0) == pytest.approx(3.0)


def test_ground_rail_is_not_counted(tmp_path):
    power = 'rise_power (scalar) { values ("0.003"); }'
    cell = minilib.INV.replace(
        "area : 1.0;", "area : 1.0; pg_pin (VDD) { pg_type : primary_power; }"
    ).replace(
        'internal_power () {\n        related_pin : "A";',
        f'internal_power () {{ related_pg_pin : VSS; related_pin : "A"; {power} }}\n'
        '      internal_power () { related_pg_pin : VDD; related_pin : "A";',
    )
    found = read(tmp_path, minilib.text(cell + minilib.DFF))
    assert found.cells["INV"].outputs["Y"].energy["A"].at(0) == pytest.approx(1.0)


def test_transposed_tables(tmp_path):
    head = minilib.HEAD.replace(
        "variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;",
        "variable_1 : total_output_net_capacitance; variable_2 : input_net_transition;",
    )
    cell = minilib.INV.replace(
        'index_1 ("10, 30"); index_2 ("0.001, 0.003");', 'index_1 ("0.001, 0.003"); index_2 ("10, 30");'
    )
    arc = read(tmp_path, minilib.text(cell + minilib.DFF, head)).cells["INV"].outputs["Y"].arcs[0]
    assert arc.rise.at(0.010, 3.0) == pytest.approx(0.030)
    assert arc.rise.at(0.030, 1.0) == pytest.approx(0.040)


def test_gzip_and_wire_load(tmp_path):
    wire = """
  wire_load ("w") { capacitance : 0.0005; slope : 3; fanout_length (1, 2); fanout_length (3, 6); }
  default_wire_load : "w";
"""
    path = tmp_path / "mini.lib.gz"
    path.write_bytes(gzip.compress(minilib.text(head=minilib.HEAD + wire).encode()))
    model = liberty.read([path]).wire_load
    assert [model.load(n) for n in (0, 1, 2, 3, 5)] == pytest.approx([0, 1.0, 2.0, 3.0, 6.0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (minilib.text()[:2000], "ends at line .* before its library does, is it truncated"),
        (minilib.text()[:3000], "ends at line .* before its library does, is it truncated"),
        (
            minilib.text().replace("pin (A) {", "pin (A {"),
            r"is not Liberty at line 16: '\{', expected a value",
        ),
        ("module top; endmodule", "has no library group"),
        ("", "has no library group"),
        (minilib.text(minilib.INV + minilib.NAND), "has no flip-flop"),
        (minilib.text(minilib.SCAN + minilib.INV), "has no flip-flop"),
        (minilib.text(minilib.DFF), "has no combinational cell"),
        (minilib.text().replace('"1ps"', '"1 fortnight"'), "time_unit is '1 fortnight'"),
        (minilib.text().replace('time_unit : "1ps";', ""), "time_unit is ''"),
        (minilib.text().replace("(1, pf)", "(0, pf)"), "capacitive_load_unit is '0pf'"),
        (minilib.text().replace('"1pW"', '"1 hp"'), "leakage_power_unit is '1 hp'"),
        (minilib.text().replace("nom_voltage : 1.0;", ""), "has no nom_voltage"),
        (
            minilib.text().replace("nom_voltage : 1.0;", "nom_voltage : x;"),
            "nom_voltage is 'x', expected a number",
        ),
        (
            minilib.text().replace("area : 2.0;", "area : 2.0; area : 3.0;"),
            "cell NAND: area is '2.0' and '3.0'",
        ),
        (minilib.text().replace("area : 2.0;", "area : nan;"), "cell NAND: 'nan' is no finite number"),
        (minilib.text().replace("cell (NAND)", "cell ()"), "a cell group has no name"),
        (minilib.text().replace('"!(A & B)"', f'"{"(" * 9999}A"'), "cell NAND cannot be read"),
        (minilib.text().replace("table_lookup", "polynomial"), "delay_model is 'polynomial'"),
        (
            minilib.text().replace('values ("20, 40", "30, 50")', 'values ("20, 40", "30")'),
            "3 values for indices of 2 by 2",
        ),
        (minilib.text().replace('"!(A & B)"', '"!(A & "'), "cell NAND|Boolean function"),
        (minilib.text().replace("area : 2.0", "area : big"), "cell NAND cannot be read"),
    ],
)
def test_bad_libraries_get_one_clear_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, text)
    assert "a.lib" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_files(tmp_path):
    (tmp_path / "1.lib").write_text(minilib.text(minilib.INV))
    (tmp_path / "2.lib").write_text(minilib.text(minilib.DFF))
    (tmp_path / "3.lib").write_text(
        minilib.text(minilib.NAND).replace("nom_voltage : 1.0", "nom_voltage : 0.9")
    )
    paths = [tmp_path / f"{n}.lib" for n in (1, 2, 3)]
    assert set(liberty.read(paths[:2]).cells) == {"INV", "DFF"}
    with pytest.raises(InputError, match=r"3\.lib: nom_voltage is 0\.9, expected 1 as in 1\.lib"):
        liberty.read(paths)
    with pytest.raises(InputError, match="INV is defined a second time"):
        liberty.read([paths[0], paths[1], paths[0]])
    with pytest.raises(InputError, match=r"absent\.lib: cannot be read"):
        liberty.read([tmp_path / "absent.lib"])


def same_tables(a: libraries.Library, b: libraries.Library) -> bool:
    return libraries.to_json(a) == libraries.to_json(b)


def test_saved_table_is_the_same(mini, tmp_path, monkeypatch):
    libraries.save(mini, tmp_path / "x.json.gz")
    monkeypatch.setattr(nodes, "LIBRARIES", tmp_path)
    (tmp_path / "x.json.gz").rename(tmp_path / "nangate45.json.gz")
    libraries.load.cache_clear()
    try:
        assert same_tables(libraries.load("nangate45"), mini)
    finally:
        libraries.load.cache_clear()
    libraries.save(mini, tmp_path / "y.json.gz")
    assert (tmp_path / "y.json.gz").read_bytes() == (tmp_path / "nangate45.json.gz").read_bytes()


@pytest.mark.parametrize("node", ["mini", *NODES])
def test_written_back_liberty_reads_the_same(mini, node, tmp_path):
    """What Yosys gets is what the table holds: all but energies and leakage by state, which it does not need."""
    ours = mini if node == "mini" else libraries.load(node)
    again = read(tmp_path, libraries.to_liberty(ours))
    assert set(again.cells) == set(ours.cells)
    for name, cell in ours.cells.items():
        other = again.cells[name]
        assert other.area == pytest.approx(cell.area, rel=1e-7)
        assert {n: (p.capacitance, p.rise, p.fall) for n, p in other.inputs.items()} == {
            n: (p.capacitance, p.rise, p.fall) for n, p in cell.inputs.items()
        }
        for pin, output in cell.outputs.items():
            assert other.outputs[pin].function == output.function
            for one, two in zip(output.arcs, other.outputs[pin].arcs, strict=True):
                assert (one.related, one.sense) == (two.related, two.sense)
                for key in ("rise", "fall", "rise_slew", "fall_slew"):
                    assert np.array_equal(getattr(one, key).z, getattr(two, key).z)
        if cell.flipflop:
            keys = ("clock", "rising", "next_state", "clear", "preset", "state", "inverse")
            assert all(getattr(cell.flipflop, k) == getattr(other.flipflop, k) for k in keys)
            assert {p: [t.z.tolist() for t in pair] for p, pair in cell.flipflop.setup.items()} == {
                p: [t.z.tolist() for t in pair] for p, pair in other.flipflop.setup.items()
            }


@pytest.mark.parametrize("node", list(NODES))
def test_carried_tables_are_whole(node):
    found = libraries.load(node)
    assert found.sources
    assert all(len(digest) == 16 for digest in found.sources.values())
    gates = {}
    for cell in found.cells.values():
        assert cell.area > 0
        for output in cell.outputs.values():
            assert output.arcs, f"{cell.name} has no delay"
            if cell.flipflop is None:
                names = list(cell.inputs)
                if len(cell.outputs) == 1 and len(names) <= 3:
                    gates.setdefault(
                        (len(names), boolean.truth_table(boolean.parse(output.function), names)), cell
                    )
                # asap7's full adder also has arcs from its carry to its sum.
                related = {arc.related for arc in output.arcs} - set(cell.outputs)
                assert related == set(boolean.variables(boolean.parse(output.function)))
    assert (1, 0b01) in gates, "an inverter"
    assert (2, 0b0111) in gates, "a NAND"
    assert (2, 0b0001) in gates, "a NOR"
    assert any(cell.flipflop and cell.flipflop.rising for cell in found.cells.values())


def test_unknown_node():
    with pytest.raises(InputError, match="node is 'tsmc5', expected one of nangate45, sky130hd, asap7"):
        libraries.load("tsmc5")


ORIGINALS = {
    "nangate45": (["nangate45_typ"], []),
    "sky130hd": (["sky130hd_tt"], ["*lpflow*", "*probe*", "*macro*", "*dly*", "*_12", "*_16"]),
    "asap7": (
        [
            "asap7_AO_RVT_TT_nldm_211120",
            "asap7_INVBUF_RVT_TT_nldm_220122",
            "asap7_OA_RVT_TT_nldm_211120",
            "asap7_SEQ_RVT_TT_nldm_220123",
            "asap7_SIMPLE_RVT_TT_nldm_211120",
        ],
        ["*x1p*", "*xp*", "SDF*", "ICG*"],
    ),
}
"""The files of each carried table, and the cells that were left out of it by name."""


@pytest.mark.skipif(not SHARED.is_dir(), reason="the original libraries are not here")
@pytest.mark.parametrize("node", list(NODES))
def test_carried_table_is_what_the_reader_makes_of_the_originals(node, tmp_path):
    files, leave_out = ORIGINALS[node]
    again = liberty.read([SHARED / f"{name}.lib.gz" for name in files], node, leave_out)
    assert again.digest == libraries.load(node).digest
    libraries.save(again, tmp_path / "again.json.gz")
    carried = NODES[node].library
    # The text, as compressed bytes are zlib's own.
    assert gzip.decompress((tmp_path / "again.json.gz").read_bytes()) == gzip.decompress(carried.read_bytes())
