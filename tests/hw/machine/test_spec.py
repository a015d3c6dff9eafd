"""The machine's configuration: what is refused, what follows from it, and its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from asq_sw.errors import InputError
from hw.machine.dataflows import DATAFLOWS, dataflow
from hw.machine.spec import MachineSpec
from sim.accelerator import FIELD_ORDER, Accelerator


def test_toml_is_read_back(tmp_path: Path) -> None:
    spec = MachineSpec(
        rows=8, cols=4, dataflow="os", grid="int", wbits=8, abits=8, signed=True, ifmap_banks=4
    )
    (tmp_path / "m.toml").write_text(spec.to_toml())
    assert MachineSpec.from_toml(tmp_path / "m.toml") == spec
    assert MachineSpec.from_toml(tmp_path / "m.toml", rows=3).rows == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dataflow": "rs"}, "dataflow is 'rs', expected 'ws', 'os' or 'is'"),
        ({"unit": "cube"}, "unit is 'cube', expected 'pe' or 'tile'"),
        ({"unit": "tile", "dataflow": "is"}, "unit is 'tile' with dataflow 'is', expected 'ws'"),
        ({"rows": 0}, "rows is 0, expected greater than or equal to 1"),
        ({"wbits": 1}, "2 to 8"),
        ({"dram": "hbm2"}, "dram is not a field, expected one of arrays, rows"),
    ],
)
def test_what_no_machine_can_be_is_refused(fields: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MachineSpec(**fields)


def test_signed_activations_are_rtls_alone() -> None:
    """int 8 x 8, two products: up to 2 * 255 * 127, 17 bits with the sign; signed 2 * 128 * 127, 16 bits. In whole bytes."""
    unsigned, signed = (MachineSpec(grid="int", wbits=8, abits=8, signed=s) for s in (False, True))
    assert (unsigned.psum_bits(2), signed.psum_bits(2)) == (24, 16)
    assert signed.activation.min == -128
    with pytest.raises(InputError, match="signed is True, expected false"):
        Accelerator(signed=True)


def test_the_simulators_machine_is_one(tmp_path: Path) -> None:
    machine = Accelerator(rows=5, asq="producer", dram="hbm2")
    assert isinstance(machine, MachineSpec)
    values = machine.model_dump()
    assert tuple(values) == FIELD_ORDER
    assert set(FIELD_ORDER) == set(Accelerator.model_fields) - {"signed"}
    (tmp_path / "m.toml").write_text(machine.to_toml())
    assert Accelerator.from_toml(tmp_path / "m.toml") == machine


def test_dataflows_by_name() -> None:
    assert [dataflow(name).stationary for name in DATAFLOWS] == ["filter", "ofmap", "ifmap"]
    assert len({record.code for record in DATAFLOWS.values()}) == len(DATAFLOWS)
    with pytest.raises(InputError, match="dataflow is 'rs', expected one of ws, os, is"):
        dataflow("rs")
