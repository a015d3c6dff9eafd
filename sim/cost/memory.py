"""Area and energy of SRAM and DRAM: published figures with their sources, scaled where nothing is published.

SRAM energy, per bit of a 64-bit access: published points, straight lines in log energy over log capacity between
them, and on beyond the ends. Narrow words are taken to lie packed in 64-bit lines, so that a bit costs the same.
SRAM area: a macro's fixed part and a part per bit, through two published macros. Each port beyond the first makes a
cell a quarter larger both ways: 1.56 times the area of two-port cells on sky130 (slopes of the two families of
macros below), and wires of 1.25 times the length in the energy. Banks are macros of their own; the wires between
them are not counted.

Nodes: figures are moved to the cell library's voltage with its square. sky130hd's energy is that of two macros, as
characterized for their Liberty files, and goes on beyond them as nangate45's does; asap7's area is nangate45's times
the ratio of the bit cells, which is too much for macros of a few KiB (:mod:`sim.studies.memory_checks`).

DRAM energy, per bit, device and interface: see :data:`DRAM`.

:mod:`sim.studies.memory_checks` holds the models against points that they were not made from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from asq_sw.errors import InputError, nearest
from hw.nodes import DEFAULT_NODE, NODES

HOROWITZ = "Horowitz, ISSCC 2014, figure 1.1.9 (45 nm, 0.9 V)"
JOUPPI = "Jouppi et al., ISCA 2021 (TPUv4i), table 2 (7 nm)"
EIE = "Han et al., ISCA 2016 (EIE), table II (TSMC 45 nm)"
SRAM22 = "SRAM22 macros for SKY130, LEF sizes (github.com/rahulk29/sram22_sky130_macros)"
SRAM22_ENERGY = "SRAM22 macros for SKY130, Liberty files of 2024 (Liberate MX; tt, 25 C, 1.8 V)"
_CELL = "bit cells 0.299 um2 (TSMC 45 nm) and 0.027 um2 (Chang et al., ISSCC 2017: 7 nm)"


@dataclass(frozen=True)
class SramNode:
    """SRAM at one node.

    Attributes
    ----------
    kib : tuple of float
        Capacities of the energy points.
    pj_per_64_bits : tuple of float
        Energy of a 64-bit access at each, at ``point_volts``.
    point_volts, volts : float
        Of the points, and of the node's cell library.
    macro_um2, bit_um2 : float
        Area of a macro: fixed, and per bit.
    energy_source, area_source : str
    """

    kib: tuple[float, ...]
    pj_per_64_bits: tuple[float, ...]
    point_volts: float
    volts: float
    macro_um2: float
    bit_um2: float
    energy_source: str
    area_source: str


def _line(kib: tuple[float, float], um2: tuple[float, float]) -> tuple[float, float]:
    """(fixed, per bit) through two macros."""
    per_bit = (um2[1] - um2[0]) / (8192 * (kib[1] - kib[0]))
    return um2[0] - 8192 * kib[0] * per_bit, per_bit


def _on(points: tuple[float, ...], factor: float = 1.0) -> tuple[float, ...]:
    return tuple(factor * value for value in points)


# EIE's PtrRead (32 KiB) and SpmatRead (128 KiB) memories.
_AREA_45 = _line((32, 128), (121_849.0, 469_412.0))
# sram22_512x32m4w8 and sram22_2048x32m8w8, one port.
_AREA_130 = _line((2, 8), (443.28 * 448.72, 674.48 * 781.92))
_CELL_RATIO = 0.027 / 0.299
_KIB, _PJ_45 = (8.0, 32.0, 1024.0), (10.0, 20.0, 100.0)
# sram22_512x32m4w8 and sram22_2048x32m8w8, rail vdd, both edges of the clock: a write of 32 bits in the first (its read
# is given as 2.3 pJ, less than its idle clock would lead to expect, and is left out), the mean of write and read in
# the second.
_PJ_130 = (2 * (6.95683 + 0.706646), (9.31999 + 0.728734) + (14.3245 + 0.71669))

SRAM = {
    "nangate45": SramNode(_KIB, _PJ_45, 0.9, NODES["nangate45"].supply_v, *_AREA_45, HOROWITZ, f"{EIE}: 32 and 128 KiB"),
    "sky130hd": SramNode(
        (2.0, *_KIB), (_PJ_130[0], *_on(_PJ_45, _PJ_130[1] / _PJ_45[0])), 1.8, NODES["sky130hd"].supply_v, *_AREA_130,
        f"{SRAM22_ENERGY}: 2 and 8 KiB; from there in the proportions of {HOROWITZ}", f"{SRAM22}: 2 and 8 KiB",
    ),
    "asap7": SramNode(
        _KIB, (7.5, 8.5, 14.0), 0.7, NODES["asap7"].supply_v, _AREA_45[0] * _CELL_RATIO, _AREA_45[1] * _CELL_RATIO,
        f"{JOUPPI}, its voltage taken as the library's", f"{EIE}, scaled by {_CELL}",
    ),
}  # fmt: skip

# Kind -> (pJ per bit, source). LPDDR4 is also the plain bandwidth model's: its default bandwidth is such a channel's.
DRAM: Mapping[str, tuple[float, str]] = {
    "bandwidth": (14.0, "as lpddr4-3200, whose bandwidth is the default"),
    "lpddr4-3200": (14.0, "Ha, PhD thesis, Stanford 2018: a 32 Gb LPDDR4 die at 3.2 Gb/s, simulated"),
    "ddr4-2400": (1300.0 / 64, f"{JOUPPI}: 1300 pJ per 64 bits of DDR3 and DDR4"),
    "hbm2": (350.0 / 64, f"{JOUPPI}: 250 to 450 pJ per 64 bits, the middle taken"),
}


def _node(name: str) -> SramNode:
    if name not in SRAM:
        raise InputError(f"node is {name!r}, expected one of {', '.join(SRAM)}{nearest(name, SRAM)}")
    return SRAM[name]


def sram_pj_per_bit(
    kib: float, node: str = DEFAULT_NODE, ports: int = 1, volts: float | None = None
) -> float:
    """Energy of reading or writing one bit of a macro, pJ.

    Parameters
    ----------
    kib : float
        Capacity of the macro, above 0.
    node : str
        Cell library.
    ports : int
        At least 1.
    volts : float, optional
        By default the library's.

    Raises
    ------
    InputError
        For an unknown node.
    """
    figures = _node(node)
    x, y = np.log(figures.kib), np.log(figures.pj_per_64_bits)
    at = np.log(kib)
    i = int(np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2))
    published = float(np.exp(y[i] + (at - x[i]) * (y[i + 1] - y[i]) / (x[i + 1] - x[i]))) / 64
    voltage = figures.volts if volts is None else volts
    return published * (voltage / figures.point_volts) ** 2 * (1 + 0.25 * (ports - 1))


def sram_um2(kib: float, node: str = DEFAULT_NODE, ports: int = 1) -> float:
    """Area of one macro, um2; as :func:`sram_pj_per_bit`."""
    figures = _node(node)
    return figures.macro_um2 + 8192 * kib * figures.bit_um2 * (1 + 0.25 * (ports - 1)) ** 2


def dram_pj_per_bit(kind: str) -> float:
    """Energy of moving one bit, pJ.

    Raises
    ------
    InputError
        For an unknown kind.
    """
    if kind not in DRAM:
        raise InputError(f"dram is {kind!r}, expected one of {', '.join(DRAM)}{nearest(kind, DRAM)}")
    return DRAM[kind][0]
