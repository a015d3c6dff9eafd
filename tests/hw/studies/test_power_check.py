"""Our energies against OpenSTA's: the differences have the stated causes, and beyond them none is left."""

import shutil

import places
import pytest

from hw.studies import power_check
from hw.studies.power_check import ORIGINALS, RULES, UNITS, check, only_cells, report, without_ground
from hw.synth.libraries import boolean, liberty

SHARED = places.SHARED / "liberty"


@pytest.fixture(autouse=True)
def folder_of_the_originals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ORIGINALS, str(SHARED))


both = pytest.mark.skipif(
    shutil.which("sta") is None or not SHARED.is_dir(),
    reason="OpenSTA or the original libraries are not here",
)

LIBERTY = """library (l) { default_wire_load : "x";
  cell (A) { area : 1; pg_pin (VDD) { pg_type : primary_power; } pg_pin (VSS) { pg_type : primary_ground; }
    pin (Y) { internal_power () { related_pg_pin : VDD; rise_power (s) { values ("1"); } }
      internal_power () { related_pg_pin : "VSS"; rise_power (s) { values ("2"); } } } }
  cell ("B") { area : 2; pin (Y) { internal_power () { rise_power (s) { values ("3"); } } } }
}
"""


def test_cells_are_cut_out_whole():
    text, found = only_cells(LIBERTY, {"B", "C"})
    assert found == {"B"}
    assert "cell (A)" not in text
    assert "area : 2" in text
    assert "wire_load" not in text
    assert text.count("{") == text.count("}") == 5


def test_ground_is_cut_out_and_no_more():
    text = without_ground(LIBERTY)
    assert '"2"' not in text
    assert '"1"' in text
    assert '"3"' in text
    assert text.count("{") == text.count("}") == LIBERTY.count("{") - 2


def test_propagation_by_hand():
    pins = {"A": (0.4, 0.2), "B": (0.3, 0.6)}
    assert power_check._propagate(boolean.parse("!(A & B)"), pins) == pytest.approx(
        (0.4 * 0.6 + 0.3 * 0.2, 0.88)
    )
    assert power_check._propagate(boolean.parse("A | B"), pins) == pytest.approx(
        (0.4 * 0.4 + 0.3 * 0.8, 0.68)
    )
    toggles, duty = power_check._propagate(boolean.parse("A ^ B"), pins)
    assert (toggles, duty) == pytest.approx((0.4 * 0.08 + 0.3 * 0.48, 0.56))


@pytest.mark.parametrize(
    ("function", "pin", "implied"),
    [
        ("!(A & B)", "A", "B"),
        ("A | B", "B", "!A"),
        ("A", "A", "1"),
        ("(A & B) & C", "A", None),
        ("A ^ B", "A", None),
    ],
)
def test_implied_condition(function, pin, implied):
    found = power_check._implied(boolean.parse(function), pin)
    assert found == (None if implied is None else boolean.parse(implied))


def held(found):
    """What holds of every netlist: all that OpenSTA says is rebuilt, all that is left of it is ours."""
    assert found.rebuilt == pytest.approx(1, abs=0.02)
    assert found.agreement == pytest.approx(1, abs=0.02)
    theirs, larger, ours = found.switching
    assert larger == pytest.approx(theirs, rel=1e-3)
    assert ours == pytest.approx(theirs, rel=0.05)
    if found.node != "asap7":  # it has no leakage of a cell as a whole, OpenSTA overcounts its states
        assert found.default_leakage_fj == pytest.approx(found.reported["leakage"], rel=2e-3)
    assert abs(found.late_internal - found.steps["independent"]) < 0.01 * found.ours.total_fj


@both
def test_an_element_at_nangate45():
    found = check(UNITS[0], "nangate45")
    held(found)
    # The rules matter: without taking them back the two would not meet.
    assert found.reported["internal"] > 1.3 * found.ours_internal
    assert found.steps["both edges"] == pytest.approx(found.steps["propagated"] / 2)
    assert found.steps["every group"] < 0.9 * found.steps["both edges"]
    assert found.steps["independent"] > 1.1 * found.steps["every group"]
    page = report([found])
    assert f"{found.reported['internal']:.1f}" in page
    assert all(text in page for text in RULES.values())


@both
@pytest.mark.slow
@pytest.mark.parametrize("node", ["nangate45", "sky130hd", "asap7"])
@pytest.mark.parametrize("spec", UNITS, ids=lambda spec: spec.name)
def test_ten_netlists(node, spec):
    held(check(spec, node))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the original libraries are not here")
def test_ground_is_the_supplys_charge_at_asap7(tmp_path):
    """Over a rise and a fall the ground's tables say what the supply's do, so adding both counts twice."""
    texts = power_check._texts("asap7")
    cut, _ = only_cells(texts["asap7_SEQ_RVT_TT_nldm_220123.lib"], {"DFFHQNx1_ASAP7_75t_R"})
    (tmp_path / "l.lib").write_text(cut)
    reader = liberty._Reader(tmp_path / "l.lib", ())
    (cell,) = reader.group.get_groups("cell")
    # Both edges of the clock in every state and both edges of the output: two cycles still, two with a change.
    pins = [pin for pin in cell.get_groups("pin") if liberty._text(pin.args[0]) in ("CLK", "QN")]
    sums = {
        rail: sum(
            rise.at(0.02) + fall.at(0.02) for pin in pins for _, _, rise, fall in reader.powers(pin, {rail})
        )
        for rail in ("VDD", "VSS")
    }
    assert sums["VSS"] == pytest.approx(sums["VDD"], rel=0.02)
    assert sums["VDD"] > 0
