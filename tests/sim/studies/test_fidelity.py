"""The comparison of fidelities: the exact array's cycles against the closed form, and the table."""

from __future__ import annotations

from click.testing import CliRunner

from sim import Accelerator, simulate
from sim.studies.fidelity import compare, exact_cycles, main
from sim.workload import Layer, Workload, load


def test_weight_stationary_array_takes_the_closed_forms_cycles() -> None:
    machine = Accelerator(rows=8, cols=16)
    closed = simulate("small_cnn", machine).total
    assert exact_cycles(load("small_cnn"), machine) == closed["compute_cycles"]


def test_output_stationary_array_drains_for_as_many_cycles_as_it_has_rows() -> None:
    machine = Accelerator(rows=8, cols=16, dataflow="os")
    closed = simulate("small_cnn", machine).total
    assert exact_cycles(load("small_cnn"), machine) == closed["compute_cycles"] + 8 * closed["folds"]


def test_groups_are_counted_though_one_is_run() -> None:
    layer = Layer("d", "depthwise", 6, 6, 5, 5, (3, 3), padding=(1, 1, 1, 1), groups=5)
    machine = Accelerator(rows=4, cols=4)
    assert exact_cycles(Workload("w", (layer,)), machine) == 5 * 3 * (4 + 36 + 4 + 4 - 2)


def test_comparison_and_its_table() -> None:
    r = compare("small_cnn", Accelerator())
    assert r.closed_array == r.exact <= r.closed <= r.tiled <= r.whole
    assert r.worst[0] >= r.tiled / r.closed - 1  # the worst layer is at least as bad as all together
    result = CliRunner().invoke(main, ["--network", "small_cnn"])
    assert result.exit_code == 0
    assert f"| small_cnn | {r.exact:,} | +0.0% |" in result.output
    assert result.output.count("| small_cnn |") == 2
