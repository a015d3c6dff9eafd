"""What a simulation gives back: a record of each layer, their sums, and the JSON of both."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from asq_sw.provenance import provenance
from sim import views
from sim.accelerator import Accelerator
from sim.cost.energy import PARTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


@dataclass(frozen=True)
class LayerResult:
    """Figures of one layer; the fields are the JSON's.

    ``utilization`` is useful MACs over processing elements times all cycles; ``mapping_efficiency`` is the
    share of processing elements that hold an operand, over the folds. SRAM accesses count values, not bytes.
    """

    name: str
    kind: str
    m: int
    n: int
    k: int
    groups: int
    macs: int
    folds: int
    compute_cycles: int
    stall_cycles: int
    total_cycles: int
    utilization: float
    mapping_efficiency: float
    sram_reads: dict[str, int]
    sram_writes: dict[str, int]
    dram_read_bytes: int
    dram_write_bytes: int
    energy_pj: dict[str, float]
    start_cycle: int = 0
    asq: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SimulationResult:
    """A network's figures: configuration, layers and totals.

    Attributes
    ----------
    network : str
    accelerator : Accelerator
    batch : int
        Images at once.
    layers : tuple of LayerResult
    energy_sources : dict
        Part of the energy -> where its figure comes from.
    clock_mhz_reached : float
        The fastest clock that the netlist of the machine's MACs reaches, MHz (:attr:`hw.costs.UnitCost.reached_mhz`).
        The figures are at the machine's own clock, reached or not.
    inputs : tuple of str
        Files that the network came from.
    fidelity : int
    without_zeros : tuple of str
        Where shares of zeros were given: the layers with products that have none.
    """

    network: str
    accelerator: Accelerator
    batch: int
    layers: tuple[LayerResult, ...]
    energy_sources: dict[str, str]
    clock_mhz_reached: float
    inputs: tuple[str, ...] = ()
    fidelity: int = 1
    without_zeros: tuple[str, ...] = ()

    @property
    def meets_clock(self) -> bool:
        """Whether the machine's clock is one that its MACs' netlist reaches."""
        return self.accelerator.clock_mhz <= self.clock_mhz_reached

    @property
    def total(self) -> dict[str, Any]:
        """Sums over layers, and what follows from them.

        ``tops`` counts two operations a MAC. ``tops_per_w`` counts all parts of the energy.
        """
        layers = self.layers
        cycles = sum(layer.total_cycles for layer in layers)
        macs = sum(layer.macs for layer in layers)
        latency = cycles / (1e6 * self.accelerator.clock_mhz)
        energy = {part: sum(layer.energy_pj[part] for layer in layers) for part in PARTS}
        folds = sum(layer.folds for layer in layers)
        return {
            "macs": macs,
            "folds": folds,
            "compute_cycles": sum(layer.compute_cycles for layer in layers),
            "stall_cycles": sum(layer.stall_cycles for layer in layers),
            "total_cycles": cycles,
            "utilization": macs / (self.accelerator.pes * cycles),
            "mapping_efficiency": sum(layer.mapping_efficiency * layer.folds for layer in layers) / folds,
            "sram_reads": {
                key: sum(layer.sram_reads[key] for layer in layers) for key in ("ifmap", "filter", "psum")
            },
            "sram_writes": {"ofmap": sum(layer.sram_writes["ofmap"] for layer in layers)},
            "dram_read_bytes": sum(layer.dram_read_bytes for layer in layers),
            "dram_write_bytes": sum(layer.dram_write_bytes for layer in layers),
            "energy_pj": energy,
            "latency_s": latency,
            "images_per_s": self.batch / latency,
            "tops": 2 * macs / latency / 1e12,
            "tops_per_w": 2 * macs / sum(energy.values()),  # operations per pJ = 1e12 operations per J
            "meets_clock": self.meets_clock,
            "clock_mhz_reached": self.clock_mhz_reached,
        }

    def to_json(self) -> dict[str, Any]:
        """JSON-ready record with provenance."""
        return {
            "network": self.network,
            "config": {**self.accelerator.model_dump(), "batch": self.batch, "fidelity": self.fidelity},
            "layers": [asdict(layer) for layer in self.layers],
            "total": self.total,
            "energy_sources": self.energy_sources,
            "provenance": provenance(self.inputs),
        }

    def rows(self) -> list[dict[str, Any]]:
        """A record of each layer; nested figures have their names joined by a dot (``energy_pj.mac``)."""
        return [views.flat(asdict(layer)) for layer in self.layers]

    def to_pandas(self) -> DataFrame:
        """:meth:`rows` as a table of pandas.

        Raises
        ------
        InputError
            Without pandas.
        """
        return views.frame(self.rows())

    def plot(self) -> Figure:
        """Cycles and energy by layer, as a figure of matplotlib."""
        return views.layer_figure(self.rows(), PARTS, self.network)

    def _repr_html_(self) -> str:
        """For notebooks: the layers as a table, below it what they come to."""
        a, t = self.accelerator, self.total
        columns = (
            "name", "kind", "m", "n", "k", "macs", "total_cycles", "stall_cycles", "utilization",
            "dram_read_bytes", "dram_write_bytes",
        )  # fmt: skip
        missed = (
            ""
            if self.meets_clock
            else f", which the netlist misses: it reaches {self.clock_mhz_reached:.0f} MHz"
        )
        return views.html_table(
            [{name: row[name] for name in columns} for row in self.rows()],
            f"{self.network} on {a.rows}x{a.cols} {a.dataflow}, {a.grid} {a.wbits}/{a.abits}, batch {self.batch}: "
            f"{t['images_per_s']:.1f} images/s, {sum(t['energy_pj'].values()) / 1e6 / self.batch:.1f} uJ an image "
            f"at {a.clock_mhz:g} MHz{missed}",
        )
