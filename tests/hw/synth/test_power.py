"""Energy per cycle: by hand on two cells, and by its parts."""

import circuits
import numpy as np
import pytest

from hw.synth.activity.program import compile_netlist
from hw.synth.activity.toggles import Activity, simulate
from hw.synth.power import estimate, leakage_nw
from hw.synth.timing import analyze


def small(mini):
    """y = not (a nand q), q registers a; nets: 2 clk, 3 a, 4 n, 5 y, 6 q."""
    return circuits.netlist(
        mini,
        {"clk": ("input", [2]), "a": ("input", [3]), "y": ("output", [5])},
        {
            "n": ("NAND", {"A": 3, "B": 6, "Y": 4}),
            "i": ("INV", {"A": 4, "Y": 5}),
            "f": ("DFF", {"D": 3, "CK": 2, "Q": 6}),
        },
    )


def test_every_part_by_hand(mini):
    design = small(mini)
    by_name = {i.name: i for i in design.instances}
    a, n, y, q = (by_name[c].pins[p] for c, p in (("n", "A"), ("n", "Y"), ("i", "Y"), ("f", "Q")))
    toggles = np.zeros(design.nets)
    toggles[[a, n, y, q]] = 0.4, 0.3, 0.2, 0.1
    samples = np.zeros((4, design.nets), dtype=np.uint8)
    samples[:3, n] = 1  # INV.A is 1 in three of four states
    activity = Activity(1, 1, toggles, np.array([0.1]), samples, {})
    power = estimate(design, analyze(design, "none"), activity, 2.0, "none")
    # V = 1: half C per transition. a: NAND.A 2 + D 1; n: INV.A (2 + 1) / 2; q: NAND.B 3; y: nothing.
    assert power.switching_fj == pytest.approx(0.5 * (0.4 * 3 + 0.3 * 1.5 + 0.1 * 3))
    # NAND 4 per output transition and 1.5 per transition of A, INV 1, D 0.3, Q 7.
    assert power.internal_fj == pytest.approx(0.3 * 4 + 0.4 * 1.5 + 0.2 * 1 + 0.4 * 0.3 + 0.1 * 7)
    # Clock pin: 1 fF twice. Inside: 3 + 5 without a change, 0 + 9 with one.
    assert power.clock_fj == pytest.approx(1.0 + 0.9 * 8 + 0.1 * 9)
    # pW: NAND 20 and DFF 60 by default, INV 12 in three states and 8 in one; times 2 ns.
    assert power.leakage_nw == pytest.approx(0.020 + 0.060 + 0.011)
    assert power.leakage_fj == pytest.approx(0.091 * 2e-3)
    assert power.total_fj == pytest.approx(
        power.switching_fj + power.internal_fj + power.clock_fj + power.leakage_fj
    )
    assert power.activity == pytest.approx((0.4 + 0.3 + 0.2 + 0.1) / 4)
    assert leakage_nw(design) == pytest.approx(0.090)


def test_internal_energy_goes_to_the_input_that_switches(tmp_path):
    import minilib

    from hw.synth.libraries import liberty

    power = 'internal_power () { related_pin : "A B";\n        rise_power (scalar) { values ("0.005"); }  fall_power (scalar) { values ("0.003"); } }'
    assert power in minilib.NAND
    apart = "".join(
        f'internal_power () {{ related_pin : "{pin}"; rise_power (scalar) {{ values ("{e}"); }} '
        f'fall_power (scalar) {{ values ("{e}"); }} }}'
        for pin, e in (("A", 0.010), ("B", 0.002))
    )
    (tmp_path / "l.lib").write_text(minilib.text().replace(power, apart))
    library = liberty.read([tmp_path / "l.lib"])
    design = circuits.netlist(
        library,
        {"a": ("input", [2]), "b": ("input", [3]), "y": ("output", [4])},
        {"n": ("NAND", {"A": 2, "B": 3, "Y": 4})},
    )
    nand = design.instances[0]
    toggles = np.zeros(design.nets)
    toggles[[nand.pins["A"], nand.pins["B"], nand.pins["Y"]]] = 0.3, 0.1, 0.2
    activity = Activity(1, 1, toggles, np.zeros(0), np.zeros((0, design.nets), dtype=np.uint8), {})
    found = estimate(design, analyze(design, "none"), activity, 1.0, "none").internal_fj
    assert found == pytest.approx(0.2 * (0.3 * 10 + 0.1 * 2) / 0.4 + 0.3 * 1.5)


def test_a_still_unit_only_leaks_and_ticks(mini):
    design = small(mini)
    still = simulate(compile_netlist(design), {"a": np.zeros((5, 64), dtype=int)})
    power = estimate(design, analyze(design), still, 1.0)
    assert power.switching_fj == power.internal_fj == 0
    assert power.clock_fj > 0
    assert power.leakage_nw == pytest.approx(0.020 + 0.060 + 0.012)  # NAND gives 1, so INV.A is 1
