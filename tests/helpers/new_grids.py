"""Grids that no file knows, one of each kind: a record is all that is added, and everything else must take it.

Run by ``tests/test_new_grids.py`` in a process of its own, since the records are read when modules are imported.
Prints one JSON object.
"""

from __future__ import annotations

import json
from types import MappingProxyType

import asq_sw.formats as formats

LEVELS = (-0.9, -0.45, -0.2, -0.05, 0.0, 0.15, 0.4, 1.0)
NEW = (
    formats.Grid("gaps", "powers", widths=(3,), base=2, exponents={3: (0, 2, 6)}),
    formats.Grid("sevenths", "whole", widths=(3,), magnitudes=(0, 1, 3, 7)),
    formats.Grid("skew", "table", widths=(3,), encodings=("index",), levels=LEVELS, frac_bits=5),
)
formats.GRID_RECORDS = MappingProxyType(dict(formats.GRID_RECORDS) | {grid.name: grid for grid in NEW})
formats.GRIDS = tuple(formats.GRID_RECORDS)

# ruff: noqa: E402
import numpy as np
from rtl_runs import amaranth_mismatches, multiplier_run

from asq_sw.data import load
from asq_sw.graph.models import build
from asq_sw.integer.export import export
from asq_sw.quantizers.methods import choices, quantizers
from asq_sw.sqnr import sqnr
from asq_sw.train import Recipe, Trainer, evaluate
from hw.units.spec import VARIANTS, UnitSpec
from hw.units.tile import TileSpec
from hw.units.variants import names
from sim.accelerator import Accelerator
from sim.exact.array import ExactArray, run_gemm

DATA = load("digits")


def described(name: str) -> dict[str, object]:
    """What the parts of the product make of a grid."""
    weight = formats.WeightFormat(name, 3)
    recipe = Recipe(
        model="small_cnn", input_shape=(1, 8, 8), quantizer=f"asq-{name}", wbits=3, abits=4, epochs=4, rate=0.1,
        crop=1, flip=False, rounded=True,
    )  # fmt: skip
    trainer = Trainer(recipe, DATA)
    trainer.run()
    batches = recipe.batches(DATA.test, training=False)
    x, _ = next(batches.in_order())
    integer = export(trainer.network, trainer.network.peaks(x), batches.pixels())
    classes = integer.classify(DATA.test.images)
    rng = np.random.default_rng(0)
    a, w = rng.integers(0, 16, (5, 4)), rng.choice(weight.codes, (4, 4))
    products = weight.product_table(4)[a[:, :, None], w[None]]
    graph = build("small_cnn")
    plain = quantizers(graph, choices(graph, name, 3, 4))
    return {
        "levels": weight.levels.tolist(),
        "integers": [weight.integer(int(code)) for code in weight.codes],
        "definition": weight.definition,
        "sqnr_db": sqnr(weight).db,
        "accuracy": evaluate(trainer.network, batches)[0],
        "integer_accuracy": float(100 * np.mean(classes == DATA.test.labels)),
        "plain": type(plain["conv2"].activation).__name__,
        "mismatches": {
            v: len(amaranth_mismatches(multiplier_run(UnitSpec("multiplier", weight, 3, True, v))))
            for v in VARIANTS[name]
        },
        "tiles": {v: TileSpec(weight, rows=4, cols=2, variant=v).name for v in names(name)},
        "machine": Accelerator(grid=name, wbits=3).weight.name,
        "exact": bool((run_gemm(ExactArray(weight, 4, 4, 4), a, w).values == products.sum(axis=1)).all()),
    }


if __name__ == "__main__":
    print(json.dumps({grid.name: described(grid.name) for grid in NEW}))
