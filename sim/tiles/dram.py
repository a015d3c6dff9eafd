"""DRAM timing: plain bandwidth, or pages and banks with a data sheet's figures.

A transfer is a run of consecutive bytes. In the page model it touches one page (row) after another; consecutive
pages lie in different banks, so that the next page is opened while this one is read. Each bank takes one page
at a time: precharge, activate, read. Refresh stops everything for tRFC every tREFI.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from asq_sw.errors import InputError
from sim.accelerator import Accelerator


@dataclass(frozen=True)
class DramTiming:
    """One channel of DRAM.

    Attributes
    ----------
    gb_per_s : float
        Peak bandwidth, 1e9 bytes a second.
    page_bytes : int
        Bytes of an open page over the channel's width.
    banks : int
    t_rcd, t_rp, t_cl, t_ras, t_rrd, t_rfc, t_refi : float
        Nanoseconds: activate to read, precharge, read to data, activate to precharge, activate to activate,
        refresh, refresh interval.
    source : str
    """

    gb_per_s: float
    page_bytes: int
    banks: int
    t_rcd: float
    t_rp: float
    t_cl: float
    t_ras: float
    t_rrd: float
    t_rfc: float
    t_refi: float
    source: str

    def scaled(self, cycles_per_ns: float) -> NDArray[np.float64]:
        """Timing in accelerator cycles, as :func:`transfer` takes it; float64 (10,)."""
        times = [self.t_rcd, self.t_rp, self.t_cl, self.t_ras, self.t_rrd, self.t_rfc, self.t_refi]
        return np.array(
            [self.gb_per_s / cycles_per_ns, self.page_bytes, self.banks, *(t * cycles_per_ns for t in times)]
        )


# Typical speed grades; 8 Gb devices. Values in ns from the standards' timing tables.
PRESETS = {
    "ddr4-2400": DramTiming(19.2, 8192, 16, 14.16, 14.16, 14.16, 32.0, 4.9, 350.0, 7800.0, "JESD79-4, DDR4-2400R, x8, 64-bit channel, 8 Gb"),
    "lpddr4-3200": DramTiming(12.8, 4096, 8, 18.0, 18.0, 17.5, 42.0, 10.0, 280.0, 3904.0, "JESD209-4, LPDDR4-3200, two x16 channels, 8 Gb"),
    "hbm2": DramTiming(32.0, 2048, 16, 14.0, 14.0, 14.0, 33.0, 4.0, 260.0, 3900.0, "JESD235B, HBM2 2 Gb/s, one 128-bit channel of eight, 8 Gb"),
}  # fmt: skip


PLAIN, PLAIN_IS = "bandwidth", "lpddr4-3200"
"""The model of bandwidth alone, and the preset whose bandwidth is its default."""


def preset(name: str) -> DramTiming:
    """A preset by name.

    Raises
    ------
    InputError
        For an unknown name.
    """
    if name not in PRESETS:
        raise InputError(f"dram is {name!r}, expected {PLAIN} or one of {', '.join(PRESETS)}")
    return PRESETS[name]


def new_state(banks: int) -> NDArray[np.float64]:
    """State of a channel: bus free, last activate, next refresh, page counter, then each bank's ready time."""
    return np.zeros(4 + banks)


class Channel(NamedTuple):
    """A channel of DRAM as a machine sees it, for compiled kernels; times in the machine's cycles.

    Attributes
    ----------
    sharers : int
        Arrays that ask for as much at the same time in the page model; 0 for plain bandwidth.
    bytes_per_cycle, latency : float
        Of the plain model: bandwidth, and cycles from asking to the first byte.
    timing : float64 (10,)
        :meth:`DramTiming.scaled`; unused in the plain model.
    state : float64
        :func:`new_state`; moves on with every transfer.
    """

    sharers: Any
    bytes_per_cycle: Any
    latency: Any
    timing: Any
    state: Any


def channel(machine: Accelerator) -> Channel:
    """A machine's channel before the first transfer.

    Raises
    ------
    InputError
        For an unknown preset.
    """
    plain = machine.dram == PLAIN
    timing = preset(PLAIN_IS if plain else machine.dram)
    cycles_per_ns = machine.clock_mhz * 1e-3
    return Channel(
        0 if plain else machine.dram_sharers,
        machine.dram_bytes_per_cycle,
        machine.dram_latency_ns * cycles_per_ns,
        timing.scaled(cycles_per_ns),
        new_state(timing.banks),
    )


@njit(cache=True, nogil=True)
def transfer(timing, state, start, size):
    """End (cycles) of a transfer of ``size`` bytes asked for at ``start``; moves ``state`` on. About 5 ns a page.

    ``timing``: :meth:`DramTiming.scaled`.
    """
    rate, page, banks = timing[0], timing[1], int(timing[2])
    rcd, rp, cl, ras, rrd, rfc, refi = (
        timing[3],
        timing[4],
        timing[5],
        timing[6],
        timing[7],
        timing[8],
        timing[9],
    )
    bus = max(state[0], start)
    left = size
    while left > 0:
        piece = min(left, page)
        left -= piece
        bank = 4 + int(state[3]) % banks
        state[3] += 1
        # Asked for ahead of need: a page is opened as soon as its bank and the command bus allow.
        activate = max(max(start, state[bank]), state[1] + rrd)
        if state[2] == 0:
            state[2] = refi
        while activate >= state[2]:  # refreshes that are due by then
            activate = max(activate, state[2] + rfc)
            state[2] += refi
        state[1] = activate
        begin = max(bus, activate + rcd + cl)
        bus = begin + piece / rate
        state[bank] = max(activate + ras, bus - cl) + rp
    state[0] = bus
    return bus


@njit(cache=True, inline="always")
def served(channel, start, bits):
    """End (cycles) of a transfer of ``bits`` that all sharers ask for at ``start``; moves the channel on."""
    if bits <= 0:
        return start
    if channel.sharers:
        # The bus serves one after the other; all wait for the last, since they go on alike.
        end = start
        for _ in range(channel.sharers):
            end = transfer(channel.timing, channel.state, start, bits / 8)
        return end
    begin = max(channel.state[0], start + channel.latency)
    channel.state[0] = begin + bits / (8 * channel.bytes_per_cycle)
    return channel.state[0]
