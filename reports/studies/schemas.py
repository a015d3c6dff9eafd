"""JSON schemas of every output, and a page of their fields: ``python -m reports.studies.schemas -o docs``.

A schema is made from the class that is written where there is one (:class:`sim.results.LayerResult`,
:class:`hw.synth.measure.Measurement`, ...); the others are in :mod:`reports.studies.records`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter

from asq_sw.console import run
from asq_sw.files import write_text
from asq_sw.interop.scalesim import ScaleSimConfig
from hw.synth.fpga import FpgaCost
from hw.synth.measure import Measurement
from reports.studies.records import (
    Contract,
    Conventions,
    Evaluation,
    Parts,
    Report,
    ScaleSim,
    Simulation,
    Sparsity,
    SweepRow,
    UnitRecord,
    Written,
)
from sim.accelerator import Accelerator
from sim.studies.machine_keys import keys as machine_keys

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]


MEANINGS = {
    "abits": "bits of an activation",
    "accumulator_bits": "bits of the widest accumulator that any layer needs",
    "accuracy": "share of the images that the network names right, percent",
    "accuracy_grids": "weight grids at 4 bits from one base, three seeds",
    "accuracy_longer": "some networks trained for more epochs",
    "activity": "transitions per net and cycle",
    "alpha": "scale of the grid with the least squared error, in standard deviations of the weights",
    "area_by_kind_um2": "cell area per MAC by kind of cell, um^2",
    "area_mm2": "area of array and scratchpads, mm^2",
    "area_per_mac_um2": "cell area per MAC, um^2",
    "area_sequential_um2": "cell area of the registers, um^2",
    "area_um2": "cell area, um^2",
    "arithmetic": "float32 or integer",
    "arrays": "equal arrays on one DRAM",
    "asq": "fidelity 2 with ASQ: cycles, dram_bytes, macs and energy_pj of its adaptive step; in the report off, two-pass or producer",
    "asq_cycles": "clock cycles of ASQ's adaptive step",
    "asq_uj": "energy of ASQ's adaptive step, uJ an image",
    "batch": "images at once",
    "bits": "bits of a weight",
    "bound": "what limits the layer: array or DRAM",
    "brams": "block memories",
    "carry_save": "accumulators of two words, so that no carry runs",
    "cells": "cells of the netlist",
    "cells_by_type": "cells of each type of the library",
    "clock_mhz": "clock, MHz",
    "clock_mhz_reached": "the fastest clock that the netlist of the machine's MACs reaches, MHz",
    "clock_ns": "clock period to meet, ns",
    "closed_form_cycles": "clock cycles of the closed form (fidelity 1)",
    "cols": "columns of the array or tile",
    "command": "the command that made it",
    "compute_cycles": "clock cycles in which the array loads, streams, fills or drains",
    "compute_us": "time in which the array works, us an image",
    "compute_utilization": "SCALE-Sim's: useful MACs over processing elements times cycles without stalls, percent",
    "config": "the machine",
    "conventions": "whose way of counting",
    "corrections": "accumulator -> by weight code, the constant that makes its sum exact; null for a code that w cannot take",
    "critical_path": "cells of the slowest path, in order",
    "curve": "area um^2 and delay ns of the recipes that no other beats in both, fastest first",
    "dataflow": "which operand stays in the array: weights (ws), outputs (os) or inputs (is)",
    "delay_ns": "minimum clock period; of a unit without registers the longest path, ns",
    "device": "FPGA, package and speed grade",
    "direction": "input or output",
    "distribution": "of the weights",
    "dram": "DRAM: bandwidth or a preset",
    "dram_bytes": "bytes read from and written to DRAM",
    "dram_gb_per_s": "DRAM bandwidth, 1e9 bytes a second",
    "dram_high": "highest published figure of DRAM over the model's",
    "dram_low": "lowest published figure of DRAM over the model's",
    "dram_read_bytes": "bytes read from DRAM; null where SCALE-Sim's buffers were not replayed",
    "dram_uj": "energy of DRAM, uJ",
    "dram_write_bytes": "bytes written to DRAM; null where SCALE-Sim's buffers were not replayed",
    "dsps": "multiplier blocks",
    "edge_registers": "registers behind the tile's edge",
    "enable": "a clock enable",
    "energy_fj": "energy per MAC (of a unit that makes none, per cycle) by cause, fJ",
    "energy_held_per_mac_fj": "energy per MAC with weights held, fJ",
    "energy_per_cycle_fj": "energy of the whole unit per cycle, fJ",
    "energy_per_mac_fj": "energy per MAC, fJ; of a tile with both operands streaming",
    "energy_pj": "energy by part (mac, sram, dram, leakage), pJ; empty with SCALE-Sim's conventions",
    "energy_sources": "part of the energy -> where its figure comes from",
    "energy_uj": "energy of an inference, all parts, uJ",
    "engine": "fidelity 2 of each network, with and without ASQ",
    "epochs": "passes over the training images",
    "ffs": "flip-flops",
    "fidelity": "1: closed form; 2: tile by tile",
    "field_bits": "bits of one of a packed port's fields",
    "filter_bandwidth": "words a cycle from DRAM",
    "filter_kb": "filter scratchpad, KiB",
    "filter_kib": "filter scratchpad, KiB",
    "filter_offset": "first address of filters",
    "fmax_mhz": "clock that is reached, MHz",
    "folds": "parts into which a layer's product is cut to fit the array",
    "format": "weight format: grid, bits, and F where it has one",
    "fpga": "device family",
    "frac_bits": "F, fractional bits of the grid's rounded table; null for a grid without",
    "gateable": "MACs with a zero of either operand",
    "glitch_fj": "part of the energy that is due to glitches, fJ",
    "glitches": "delays that glitches were counted with: library, unit or none",
    "grid": "weight grid",
    "groups": "products of that shape that the layer is: groups of a convolution",
    "ifmap_bandwidth": "words a cycle from DRAM",
    "ifmap_banks": "banks of the ifmap scratchpad",
    "ifmap_kb": "ifmap scratchpad, KiB",
    "ifmap_kib": "ifmap scratchpad, KiB",
    "ifmap_offset": "first address of the ifmap",
    "images": "how many images",
    "images_per_s": "inferences a second",
    "images_per_s_at_fmax": "inferences a second at the clock that the netlist reaches",
    "inputs": "file that the result depends on -> first 16 digits of its SHA-256",
    "k": "products of an output",
    "kind": "kind of layer; of a verdict win, lose or mixed",
    "latency_s": "time of a batch, s",
    "layers": "figures of each layer",
    "leakage_nw": "leakage, nW",
    "leakage_per_mac_nw": "leakage per MAC, nW",
    "leakage_uj": "energy of leakage, uJ",
    "levels": "values of the grid",
    "library": "cell library: its files, sources and operating point",
    "logic_per_mac_um2": "cell area per MAC without registers, um^2",
    "loss": "mean cross-entropy, nats an image",
    "luts": "look-up tables",
    "luts_per_mac": "look-up tables per MAC; null for a unit that makes none",
    "m": "rows of the matrix product: output pixels of the batch",
    "mac_mm2": "area of the MACs, mm^2",
    "mac_uj": "energy of multiply-accumulates, uJ",
    "machines": "each network on a machine of each grid, width and node",
    "macs": "multiply-accumulates",
    "made_by": "the command that made the Verilog",
    "mapping_efficiency": "share of the processing elements that hold an operand, over the folds, 0 to 1 (SCALE-Sim: percent)",
    "meets_clock": "whether the netlist of the machine's MACs reaches the clock",
    "memory": "memory models against published points",
    "memory_high_uj": "energy_uj with the highest published figures of memory",
    "memory_low_uj": "energy_uj with the lowest published figures of memory",
    "memory_ranges": "how far published memory figures lie apart",
    "mode": "grid -> value of the port mode",
    "model": "what the model says, in unit",
    "module": "name of the Verilog module",
    "n": "columns of the matrix product: filters of a group",
    "name": "name",
    "network": "name of the network",
    "networks": "the networks of the page",
    "node": "technology node: the cell library",
    "nodes": "elements on the nodes that are not the report's own",
    "off": "model over the nearest published figure, less 1",
    "ofmap_bandwidth": "words a cycle to DRAM",
    "ofmap_kb": "ofmap scratchpad, KiB",
    "ofmap_kib": "ofmap scratchpad, KiB",
    "ofmap_offset": "first address of the ofmap",
    "operands": "what the unit worked on while its energy was measured",
    "ops_per_byte": "operations per byte of DRAM traffic",
    "options": "what was asked for",
    "order": "stored code of each magnitude field; of a port how its fields are packed",
    "pareto": "whether no other point is at least as good in every objective and better in one",
    "part": "train or test images",
    "parts_um2": "cell area of each part, cut apart, um^2",
    "peak_tops": "1e12 operations a second with every MAC in use",
    "peak_tops_per_mm2": "peak_tops over area_mm2",
    "point": "number of the combination",
    "ports": "ports of the module",
    "product_scale": "an integer product times this is activation times level, up to the rounding of the table",
    "provenance": "where the result came from; no time of day, so that equal runs give equal bytes",
    "published_high": "highest published figure, in unit",
    "published_low": "lowest published figure, in unit",
    "quantizer": "training method",
    "recipe": "synthesis recipe that was best",
    "registers": "weights in registers",
    "reset": "a synchronous reset",
    "roof_tops": "the most that bandwidth and peak allow, 1e12 operations a second",
    "roofline": "each layer under the roof of its machine",
    "rounded": "trained with the products of the rounded table",
    "rows": "rows of the array or tile",
    "rtlil_hash": "name of the design: first 16 digits of its RTLIL's SHA-256",
    "run": "what was evaluated",
    "run_name": "the configuration's name for its run",
    "seconds": "time of training, s",
    "seed": "of what is drawn at random",
    "seeds": "trained networks that the accuracy is the mean of",
    "share": "columns of a tile that share an edge's lines; in the roofline the layer's tops over roof_tops",
    "signed": "two's complement, else unsigned",
    "signed_activations": "two's complement activations, else unsigned",
    "slack_ns": "clock period less delay, ns",
    "source": "where the figure is published",
    "sqnr": "quantization error of each grid and width",
    "sqnr_db": "signal to quantization noise on Gaussian weights (report: on the row's distribution), dB",
    "sqnr_with_table_db": "the same with the table rounded to frac_bits, dB",
    "sram_high": "highest published figure of SRAM over the model's",
    "sram_low": "lowest published figure of SRAM over the model's",
    "sram_mm2": "area of the scratchpads, mm^2",
    "sram_reads": "values read from each scratchpad",
    "sram_uj": "energy of the scratchpads, uJ",
    "sram_writes": "values written to each scratchpad",
    "stage": "a register in every column of a tile: none, products or tree",
    "stall_cycles": "clock cycles of waiting for DRAM; null where SCALE-Sim's buffers were not replayed",
    "stall_us": "time of waiting for DRAM, us an image",
    "start_cycle": "clock cycle in which the layer begins; fidelity 2",
    "storage_bits": "bits of a weight as stored",
    "stored": "what to apply to w, by weight code; null for a code that the variant cannot take",
    "sum_bits": "bits of a sum",
    "summary": "the best tile of each grid and width, with accuracy",
    "sweep": "the measurement at each clock period",
    "teacher": "weight of the pretrained network's outputs in the loss",
    "terms": "products that a sum holds",
    "test_accuracy": "top-1 accuracy on the test images, percent",
    "text": "the sentence",
    "tiled_cycles": "clock cycles at fidelity 2; null where it was not run",
    "tiled_energy_uj": "energy at fidelity 2, uJ; null where it was not run",
    "tiled_latency_s": "time of a batch at fidelity 2, s; null where it was not run",
    "tiles": "tiles at their node's default clock",
    "tiles_fronts": "tiles at several clocks",
    "tiles_trained": "tiles with a trained layer's operands",
    "tool_versions": "package -> version",
    "top1_percent": "accuracy of ResNet-20 trained on the format, percent; null where it was not trained",
    "tops": "1e12 operations a second, two a MAC",
    "tops_per_mm2": "tops over area_mm2",
    "tops_per_w": "1e12 operations a second and watt, all parts of the energy counted",
    "total": "sums over the layers",
    "total_cycles": "clock cycles",
    "totals": "each network at each grid and width",
    "train_accuracy": "top-1 accuracy on the training images, percent",
    "tree": "how a tile's column adds",
    "unit": "multiplier, pe, array or tile; of a published figure its unit",
    "units": "lone processing elements",
    "user_bandwidth": "buffers wait for DRAM (USER), else the bandwidth needed is reported (CALC)",
    "utilization": "useful MACs over processing elements times all cycles, 0 to 1",
    "variant": "way to make the product",
    "vectors": "input vectors of a weight-stationary array",
    "verdicts": "POST against int and POT, a sentence each",
    "versions": "package -> version",
    "wbits": "bits of a weight",
    "weight_rows": "rows of weights over all folds",
    "weight_start": "how the weights' scales begin",
    "what": "the memory",
    "width": "bits of the port",
    "wires": "wire model",
    "zero_activation": "MACs with a zero activation",
    "zero_code": "weight code of zero",
    "zero_vectors": "input vectors that are all zero",
    "zero_weight": "MACs with a zero weight",
    "zero_weight_rows": "rows of weights that are all zero",
}
"""Field of an output -> what it is, with its unit: the same in every output that has it."""


@dataclass(frozen=True)
class Output:
    """A kind of file.

    Attributes
    ----------
    title, command : str
        What it is, and a command that writes it.
    schema : dict
        JSON Schema, draft 2020-12. A reader should take no offence at further fields.
    """

    title: str
    command: str
    schema: Schema


def outputs() -> dict[str, Output]:
    """Name -> output.

    Raises
    ------
    KeyError
        For a field that :data:`MEANINGS` lacks.
    """
    simulation = _schema(Simulation)
    simulation["properties"]["config"] = _machine()
    scale_sim = _schema(ScaleSim)
    scale_sim["properties"]["config"] = _merged(_schema(ScaleSimConfig), _schema(Conventions))
    measurement = _merged(_schema(UnitRecord), _without(_schema(Measurement), "unit"))
    one = _merged(measurement, _schema(Parts))
    several = _schema(Written)
    several["properties"] = {"sweep": {"type": "array", "items": measurement}, **several["properties"]}
    several["required"] = ["sweep", *several["required"]]
    fpga = _merged(_schema(UnitRecord), _without(_schema(FpgaCost), "unit"), _schema(Written))
    found = {
        "simulate": ("A simulation", "asq simulate resnet18 --json FILE", simulation),
        "scalesim": (
            "A simulation by SCALE-Sim's conventions",
            "asq simulate examples/topology.csv --scalesim-cfg examples/scale.cfg --json FILE",
            scale_sim,
        ),
        "sweep": ("A row of a sweep's table", "asq sweep resnet18 --rows 8,16 -o FILE", _schema(SweepRow)),
        "synth": ("A synthesized unit", "asq synth pe --json FILE", one),
        "synth_sweep": (
            "A unit at several clocks",
            "asq synth pe --sweep 1,2 --json FILE",
            several,
        ),
        "fpga": ("A unit on an FPGA", "asq synth pe --fpga ice40 --json FILE", fpga),
        "eval": ("An accuracy", "asq eval RUN --data digits --json FILE", _schema(Evaluation)),
        "contract": (
            "What one must know of a tile besides its Verilog",
            "asq verilog tile -o tile.v --corrections FILE",
            _schema(Contract),
        ),
        "sparsity": (
            "Zero operands of a network",
            "python -m sim.studies.sparsity run.npz --data digits -o FILE",
            _schema(Sparsity),
        ),
        "report": ("The report's data, report.json", "asq report -o report", _schema(Report)),
    }  # fmt: skip
    return {
        name: Output(title, command, {"$schema": DIALECT, "title": title, **_described(schema)})
        for name, (title, command, schema) in found.items()
    }


def _schema(kind: Any) -> Schema:
    """Of what is written, with every class where it is used."""
    schema = TypeAdapter(kind).json_schema(mode="serialization")
    definitions = schema.pop("$defs", {})

    def inlined(node: Any) -> Any:
        if isinstance(node, list):
            return [inlined(one) for one in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return inlined(definitions[node["$ref"].rsplit("/", 1)[-1]])
        # pydantic's titles are the fields' names again; a property of that name is no string.
        made = {k: inlined(v) for k, v in node.items() if k != "title" or not isinstance(v, str)}
        if "properties" in made:  # what has a default in the class is written all the same
            defaults = [k for k, v in made["properties"].items() if "default" in v]
            made["required"] = [*made.get("required", ()), *defaults]
        return made

    found: Schema = inlined(schema)
    return found


def _without(schema: Schema, name: str) -> Schema:
    properties = {key: value for key, value in schema["properties"].items() if key != name}
    return {
        **schema,
        "properties": properties,
        "required": [key for key in schema["required"] if key != name],
    }


def _merged(*schemas: Schema) -> Schema:
    """One object with the fields of several."""
    return {
        "type": "object",
        "properties": {name: value for schema in schemas for name, value in schema["properties"].items()},
        "required": [name for schema in schemas for name in schema.get("required", ())],
    }


def _machine() -> Schema:
    """The machine as a simulation writes it: all keys of the machine file, batch and fidelity."""
    fields = _schema_of_input(Accelerator)
    properties = {
        key.name: fields[key.name] | {"description": key.meaning + (f" [{key.unit}]" if key.unit else "")}
        for key in machine_keys()
    }
    more = {"batch": {"type": "integer", "minimum": 1}, "fidelity": {"enum": [1, 2]}}
    return {"type": "object", "properties": properties | more, "required": [*properties, *more]}


def _schema_of_input(model: Any) -> dict[str, Schema]:
    """Field -> schema of what the model takes: it writes the same, but pydantic does not know."""
    properties: dict[str, Schema] = TypeAdapter(model).json_schema(mode="validation")["properties"]
    return {name: {k: v for k, v in one.items() if k != "title"} for name, one in properties.items()}


def _described(node: Any) -> Any:
    """The schema with a description at every field of every object in it."""
    if isinstance(node, list):
        return [_described(one) for one in node]
    if not isinstance(node, dict):
        return node
    found = {
        key: _described(value) for key, value in node.items() if key not in ("properties", "description")
    }
    if "description" in node and "properties" not in node:
        found["description"] = node["description"]
    if "properties" in node:
        found["properties"] = {
            name: {"description": MEANINGS[name]} | _described(one)
            if "description" not in one or "properties" in one
            else _described(one)
            for name, one in node["properties"].items()
        }
    return found


def _fields(schema: Schema, before: str = "") -> Iterator[tuple[str, str, str]]:
    """(path, type, meaning) of every field, depth first."""
    required = schema.get("required", ())
    for name, one in schema.get("properties", {}).items():
        path = f"{before}{name}"
        yield path, _type(one) + ("" if name in required else ", or absent"), one["description"]
        inner, ending = one, "."
        if one.get("type") == "array":
            inner, ending = one.get("items", {}), "[]."
        elif isinstance(one.get("additionalProperties"), dict):
            inner, ending = one["additionalProperties"], ".*."
        yield from _fields(inner, path + ending)


def _type(schema: Schema) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " or ".join(str(value) for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"array of {_type(schema['items'])}" if "items" in schema else "array"
    inner = schema.get("additionalProperties")
    if kind == "object" and isinstance(inner, dict):
        return f"object of {_type(inner)}"
    return str(kind)


def page(found: dict[str, Output]) -> str:
    """The page of all outputs' fields, as Markdown."""
    lines = [
        "# What is written as JSON", "",
        "Made by `python -m reports.studies.schemas -o docs`, with a JSON Schema (draft 2020-12) of each in `docs/schemas`. "
        "The tests hold real outputs against them. Later versions may add fields; the names here stay. In a path, `[]` "
        "stands for every element of an array and `*` for every key.", "",
    ]  # fmt: skip
    for name, output in found.items():
        lines += [
            f"## {output.title}", "",
            f"`{output.command}`: schema [{name}.schema.json](schemas/{name}.schema.json).", "",
            "| field | type | what it is |", "|---|---|---|",
        ]  # fmt: skip
        lines += [f"| `{path}` | {kind} | {meaning} |" for path, kind, meaning in _fields(output.schema)]
        lines.append("")
    return "\n".join(lines)


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder of the pages.")
def main(output: Path) -> None:
    """Write the JSON schemas of every output to schemas/, and their fields as a page, schemas.md.

    Example: python -m reports.studies.schemas -o docs
    """
    found = outputs()
    for name, one in found.items():
        write_text(output / "schemas" / f"{name}.schema.json", json.dumps(one.schema, indent=1) + "\n")
    write_text(output / "schemas.md", page(found))


if __name__ == "__main__":
    run(main, "python -m reports.studies.schemas")
