"""What a tile with enable and reset must do, in words: lists of terms instead of hardware."""

from __future__ import annotations

import numpy as np

from hw.units.tile import TileSpec

CYCLES = 40


def inputs_of(spec: TileSpec) -> dict[str, np.ndarray]:
    """Random inputs in time, (CYCLES, ...) by port, that begin with a reset; ``w`` as weight codes."""
    rng = np.random.default_rng(1)
    codes = 1 << spec.weight.storage_bits
    found = {
        "a": rng.integers(spec.activation.min, spec.activation.max + 1, (CYCLES, spec.rows)),
        "w": rng.integers(0, codes, (CYCLES, spec.rows, spec.cols)),
        "clear": rng.random(CYCLES) < 0.1,
        "en": rng.random(CYCLES) < 0.6,
        "rst": rng.random(CYCLES) < 0.1,
    }
    found["en"][:2], found["rst"][:2], found["rst"][5:9], found["en"][5:9] = True, True, [0, 1, 0, 1], False
    if spec.registers:
        found["load"] = rng.random(CYCLES) < 0.3
        found["load"][0] = True
    if spec.products.modes:
        found["mode"] = np.full(CYCLES, spec.products.mode)
    return {name: values.astype(np.int64) for name, values in found.items()}


def expected(spec: TileSpec, given: dict[str, np.ndarray]) -> np.ndarray:
    """The sum of terms (products less corrections) in the accumulators, (CYCLES, cols), before each clock edge.

    Of a tile with one accumulator a column.
    """
    width, products = spec.sum_bits, spec.products
    activations, weights = given["a"][0] * 0, given["w"][0] * 0
    sums, waiting, waiting_clear = [0] * spec.cols, [0] * spec.cols, False
    seen = []
    for t in range(CYCLES):
        seen.append(list(sums))
        a = activations if spec.edge_registers else given["a"][t]
        w = weights if spec.registers else given["w"][t]
        terms = [
            sum(
                products.share(int(a[r]), int(w[r, c]))[0] - products.correction(int(w[r, c]))[0]
                for r in range(spec.rows)
            )
            for c in range(spec.cols)
        ]
        if given["rst"][t]:
            sums, waiting, waiting_clear = [0] * spec.cols, [0] * spec.cols, False
        elif given["en"][t]:
            clear, added = bool(given["clear"][t]), terms
            if spec.stage != "none":
                clear, added, waiting_clear, waiting = waiting_clear, waiting, clear, terms
            sums = [((0 if clear else s) + x) % (1 << width) for s, x in zip(sums, added, strict=True)]
        if given["en"][t]:
            activations = given["a"][t]
            if spec.registers and given["load"][t]:
                weights = given["w"][t]
    return np.array(seen)
