"""The records that are written as JSON and are no class elsewhere, for :mod:`reports.studies.schemas`."""

from __future__ import annotations

from typing import Any, NotRequired

# pydantic reads it on Python 3.11 too; typing's it does only from 3.12 on.
from typing_extensions import TypedDict

from sim.results import LayerResult
from sim.studies.sparsity import Zeros


class Provenance(TypedDict):
    command: str
    versions: dict[str, str]
    inputs: dict[str, str]
    seed: NotRequired[int]


class Total(TypedDict):
    """Sums over a network's layers, and what follows from them."""

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
    latency_s: float
    images_per_s: float
    tops: float
    tops_per_w: float
    meets_clock: NotRequired[bool]
    clock_mhz_reached: NotRequired[float]


class Simulation(TypedDict):
    network: str
    config: dict[str, Any]
    layers: list[LayerResult]
    total: Total
    energy_sources: dict[str, str]
    provenance: Provenance


class ScaleSimLayer(TypedDict):
    name: str
    kind: str
    m: int
    n: int
    k: int
    macs: int
    folds: int
    compute_cycles: int
    stall_cycles: int | None
    total_cycles: int
    utilization: float
    mapping_efficiency: float
    compute_utilization: float
    sram_reads: dict[str, int]
    sram_writes: dict[str, int]
    dram_read_bytes: int | None
    dram_write_bytes: int | None
    energy_pj: dict[str, float]


class ScaleSimTotal(TypedDict):
    macs: int
    folds: int
    compute_cycles: int
    stall_cycles: int | None
    total_cycles: int
    dram_read_bytes: int | None
    dram_write_bytes: int | None
    utilization: float


class Conventions(TypedDict):
    conventions: str


class ScaleSim(TypedDict):
    network: str
    config: dict[str, Any]
    layers: list[ScaleSimLayer]
    total: ScaleSimTotal
    provenance: Provenance


class SweepRow(TypedDict):
    """A row of the table; the columns of axes that were not given are absent."""

    point: int
    grid: NotRequired[str]
    wbits: NotRequired[int]
    abits: NotRequired[int]
    dataflow: NotRequired[str]
    rows: NotRequired[int]
    cols: NotRequired[int]
    ifmap_kib: NotRequired[float]
    filter_kib: NotRequired[float]
    ofmap_kib: NotRequired[float]
    dram_gb_per_s: NotRequired[float]
    clock_mhz: NotRequired[float]
    arrays: NotRequired[int]
    frac_bits: NotRequired[int | None]
    unit: NotRequired[str]
    node: NotRequired[str]
    dram: NotRequired[str]
    ifmap_banks: NotRequired[int]
    asq: NotRequired[str]
    total_cycles: int
    stall_cycles: int
    latency_s: float
    images_per_s: float
    utilization: float
    energy_uj: float
    mac_uj: float
    sram_uj: float
    dram_uj: float
    leakage_uj: float
    area_mm2: float
    dram_bytes: int
    meets_clock: bool
    clock_mhz_reached: NotRequired[float]
    sqnr_db: float
    top1_percent: NotRequired[float | None]
    tiled_cycles: NotRequired[int | None]
    tiled_latency_s: NotRequired[float | None]
    tiled_energy_uj: NotRequired[float | None]
    pareto: bool


class UnitRecord(TypedDict):
    """Which unit it is; the fields of the units that have them."""

    unit: str
    grid: NotRequired[str]
    wbits: NotRequired[int]
    abits: NotRequired[int]
    variant: NotRequired[str]
    frac_bits: NotRequired[int | None]
    rows: NotRequired[int]
    cols: NotRequired[int]
    dataflow: NotRequired[str]
    signed_activations: NotRequired[bool]
    tree: NotRequired[str]
    share: NotRequired[int]
    registers: NotRequired[bool]
    edge_registers: NotRequired[bool]
    carry_save: NotRequired[bool]
    stage: NotRequired[str]
    order: NotRequired[list[int]]
    enable: NotRequired[bool]
    reset: NotRequired[bool]
    terms: NotRequired[int]
    sum_bits: NotRequired[int]


class Written(TypedDict):
    provenance: Provenance


class Parts(Written):
    parts_um2: NotRequired[dict[str, float]]


class Evaluation(TypedDict):
    run: str
    part: str
    images: int
    arithmetic: str
    accuracy: float
    loss: NotRequired[float]
    accumulator_bits: NotRequired[int]
    provenance: Provenance


class Port(TypedDict):
    name: str
    direction: str
    width: int
    field_bits: NotRequired[int]
    signed: NotRequired[bool]
    order: NotRequired[str]


class Contract(TypedDict):
    module: str
    made_by: str
    grid: str
    wbits: int
    frac_bits: int | None
    abits: int
    signed_activations: bool
    variant: str
    rows: int
    cols: int
    options: dict[str, Any]
    terms: int
    sum_bits: int
    product_scale: float
    zero_code: int
    ports: list[Port]
    mode: NotRequired[int]
    stored: list[int | None]
    corrections: dict[str, list[int | None]]


class Sparsity(TypedDict):
    layers: dict[str, Zeros]
    images: NotRequired[int]
    rows: int
    cols: int
    provenance: Provenance


class Verdict(TypedDict):
    kind: str
    text: str


class ReportOptions(TypedDict):
    rows: int
    cols: int
    clock_mhz: float
    node: str


class Element(TypedDict):
    """A lone processing element."""

    grid: str
    wbits: int
    abits: int
    storage_bits: int
    frac_bits: int | None
    clock_ns: float
    cells: int
    area_um2: float
    area_sequential_um2: float
    area_per_mac_um2: float
    delay_ns: float
    slack_ns: float
    leakage_nw: float
    energy_per_mac_fj: float
    activity: float
    operands: str
    wires: str
    node: str
    variant: str


class NetworkTotal(TypedDict):
    """A network at one grid and width."""

    network: str
    grid: str
    wbits: int
    macs: int
    total_cycles: int
    stall_cycles: int
    utilization: float
    latency_s: float
    images_per_s: float
    tops: float
    tops_per_w: float
    clock_mhz: float
    fmax_mhz: float
    images_per_s_at_fmax: float
    dram_bytes: int
    mac_uj: float
    sram_uj: float
    dram_uj: float
    leakage_uj: float
    energy_uj: float


class NetworkLayer(TypedDict):
    """A layer of such a network."""

    network: str
    grid: str
    wbits: int
    name: str
    kind: str
    macs: int
    compute_us: float
    stall_us: float
    utilization: float
    mac_uj: float
    sram_uj: float
    dram_uj: float
    leakage_uj: float


class QuantizationError(TypedDict):
    """A grid and width on one distribution of weights."""

    grid: str
    bits: int
    storage_bits: int
    levels: int
    distribution: str
    alpha: float
    sqnr_db: float
    sqnr_with_table_db: float
    frac_bits: int | None


class TileRow(TypedDict):
    """A tile that the search measured."""

    node: str
    grid: str
    format: str
    wbits: int
    abits: int
    frac_bits: int | None
    variant: str
    rows: int
    cols: int
    tree: str
    share: int
    registers: bool
    edge_registers: bool
    carry_save: bool
    stage: str
    order: list[int]
    sum_bits: int
    clock_ns: float
    delay_ns: float
    slack_ns: float
    cells: int
    area_per_mac_um2: float
    logic_per_mac_um2: float
    area_by_kind_um2: dict[str, float]
    energy_held_per_mac_fj: float
    energy_per_mac_fj: float
    leakage_per_mac_nw: float
    activity: float
    sqnr_db: float
    operands: str
    recipe: str


class Trained(TypedDict):
    """A trained network; text as in the carried table but for two figures."""

    quantizer: str
    wbits: str
    abits: str
    rounded: str
    frac_bits: str
    weight_start: str
    teacher: str
    seed: str
    epochs: str
    test_accuracy: float
    train_accuracy: str
    seconds: float
    command: str


class Engine(TypedDict):
    """A network tile by tile, by way of taking ASQ's average."""

    network: str
    asq: str
    total_cycles: int
    closed_form_cycles: int
    images_per_s: float
    dram_bytes: int
    energy_uj: float
    asq_cycles: int
    asq_uj: float


class MemoryPoint(TypedDict):
    """A published figure that the memory models were not made from."""

    what: str
    unit: str
    model: float
    published_low: float
    published_high: float
    off: float
    source: str


class Summary(TypedDict):
    """The best tile of a grid and width, and what a network trained on it reaches."""

    grid: str
    wbits: int
    abits: int
    frac_bits: int | None
    node: str
    clock_ns: float
    delay_ns: float
    meets_clock: bool
    area_per_mac_um2: float
    energy_per_mac_fj: float
    accuracy: float | None
    seeds: int


class Machine(TypedDict):
    """A network on a whole machine made of such tiles."""

    network: str
    grid: str
    wbits: int
    abits: int
    frac_bits: int | None
    node: str
    clock_mhz: float
    meets_clock: bool
    energy_uj: float
    mac_uj: float
    sram_uj: float
    dram_uj: float
    leakage_uj: float
    memory_low_uj: float
    memory_high_uj: float
    images_per_s: float
    peak_tops: float
    tops: float
    tops_per_w: float
    mac_mm2: float
    sram_mm2: float
    area_mm2: float
    peak_tops_per_mm2: float
    tops_per_mm2: float


class Roofline(TypedDict):
    """A layer under the roof of its machine."""

    network: str
    name: str
    kind: str
    ops_per_byte: float
    tops: float
    roof_tops: float
    peak_tops: float
    dram_gb_per_s: float
    bound: str
    share: float
    meets_clock: bool


class MemoryRange(TypedDict):
    """Published memory figures over the models' at a node: the least and the most."""

    node: str
    sram_low: float
    sram_high: float
    dram_low: float
    dram_high: float


class Report(TypedDict):
    """Every list of rows is also a CSV file of its name."""

    provenance: Provenance
    options: ReportOptions
    verdicts: list[Verdict]
    units: list[Element]
    totals: list[NetworkTotal]
    layers: list[NetworkLayer]
    sqnr: list[QuantizationError]
    tiles: list[TileRow]
    tiles_trained: list[TileRow]
    tiles_fronts: list[TileRow]
    accuracy: list[Trained]
    accuracy_longer: list[Trained]
    accuracy_grids: list[Trained]
    energy_sources: dict[str, str]
    nodes: NotRequired[list[Element]]
    engine: NotRequired[list[Engine]]
    memory: NotRequired[list[MemoryPoint]]
    networks: NotRequired[list[str]]
    summary: NotRequired[list[Summary]]
    machines: NotRequired[list[Machine]]
    roofline: NotRequired[list[Roofline]]
    memory_ranges: NotRequired[list[MemoryRange]]
