"""Zeros counted against a loop over every product."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asq_sw.cli import main
from asq_sw.errors import InputError
from asq_sw.graph import models
from asq_sw.window import Window
from hw.costs import ZERO_SHARES, energy_by_zeros, unit_cost
from sim import Accelerator, simulate
from sim.cost.energy import mac_pj_with_zeros
from sim.studies.sparsity import count, read_shares
from sim.workload import Workload, from_graph, load


def by_hand(w: Window, a: np.ndarray, zero: np.ndarray, rows: int, cols: int) -> tuple[int, ...]:
    channels, filters = w.channels // w.groups, w.out_channels // w.groups
    kh, kw = w.kernel
    macs = activation = weight = either = vectors = empty = weight_rows = empty_rows = 0
    for n, i, j, g in np.ndindex(len(a), *w.output, w.groups):
        window = []
        for c, ky, kx in np.ndindex(channels, kh, kw):
            y = i * w.stride[0] + ky * w.dilation[0] - w.padding[0]
            x = j * w.stride[1] + kx * w.dilation[1] - w.padding[1]
            inside = 0 <= y < w.height and 0 <= x < w.width
            window.append(int(a[n, y, x, g * channels + c]) if inside else 0)
        for start in range(0, len(window), rows):
            vectors += 1
            empty += not any(window[start : start + rows])
        for f in range(filters):
            for value, nothing in zip(window, zero[g * filters + f].ravel(), strict=True):
                macs += 1
                activation += value == 0
                weight += bool(nothing)
                either += value == 0 or bool(nothing)
    for g in range(w.groups):
        for start in range(0, filters, cols):
            block = zero[g * filters + start : g * filters + min(start + cols, filters)].reshape(
                -1, channels * kh * kw
            )
            weight_rows += block.shape[1]
            empty_rows += int(block.all(axis=0).sum())
    return macs, activation, weight, either, vectors, empty, weight_rows, empty_rows


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_counts_are_those_of_a_loop(data: st.DataObject) -> None:
    def number(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    groups = number(1, 2)
    w = Window(
        groups * number(1, 4), number(3, 6), number(3, 6), groups * number(1, 5), (number(1, 3), number(1, 3)),
        (number(1, 2), number(1, 2)), (number(0, 2), number(0, 2), number(0, 2), number(0, 2)), (1, 1), groups,
    )  # fmt: skip
    rng = np.random.default_rng(number(0, 99))
    a = rng.integers(0, 4, (2, w.height, w.width, w.channels)) * (
        rng.random((2, w.height, w.width, w.channels)) < 0.5
    )
    zero = rng.random(w.weight_shape) < 0.5
    rows, cols = number(1, 6), number(1, 4)
    z = count(w, a, zero, rows, cols)
    found = (
        z.macs, z.zero_activation, z.zero_weight, z.gateable, z.vectors, z.zero_vectors, z.weight_rows,
        z.zero_weight_rows,
    )  # fmt: skip
    assert found == by_hand(w, a, zero, rows, cols)
    assert z.macs == w.macs * 2


def test_shapes_that_do_not_fit_are_named() -> None:
    w = Window(3, 4, 4, 2, (3, 3))
    with pytest.raises(InputError, match="activations are"):
        count(w, np.zeros((1, 4, 4, 2), np.int64), np.zeros((2, 3, 3, 3), bool), 4, 4)
    with pytest.raises(InputError, match="weights have shape"):
        count(w, np.zeros((1, 4, 4, 3), np.int64), np.zeros((2, 3, 3), bool), 4, 4)


def test_zeros_cost_less_and_gated_ones_least(tmp_path: Path) -> None:
    path = tmp_path / "zeros.json"
    workload = load("resnet20")
    counts = zeros_of(workload, ("layer1.0.conv1", "layer1.0.conv2"), images=10, share=0.8)
    path.write_text(json.dumps({"layers": counts}))
    shares = read_shares(path, workload)
    assert shares == {"layer1.0.conv1": 0.8, "layer1.0.conv2": 0.8}
    machine = Accelerator()
    plain, zeros, gated = (
        simulate("resnet20", machine, zeros=z, gated=g)
        for z, g in ((None, False), (shares, False), (shares, True))
    )
    for a, b, c in zip(plain.layers, zeros.layers, gated.layers, strict=True):
        if a.name in shares:
            assert a.energy_pj["mac"] > b.energy_pj["mac"] > c.energy_pj["mac"] > 0
        else:
            assert a.energy_pj["mac"] == b.energy_pj["mac"] == c.energy_pj["mac"]
    curve = energy_by_zeros(machine.weight, 4)
    assert list(curve) == sorted(curve, reverse=True)
    # The unit's default operands have 54% zeros: its figure lies on the curve.
    cost = unit_cost(machine.weight, 4)
    assert np.interp(0.54, ZERO_SHARES, curve) == pytest.approx(cost.energy_per_mac_fj, rel=0.02)
    np.testing.assert_allclose(
        mac_pj_with_zeros(machine, cost, 1.0, True), mac_pj_with_zeros(machine, cost, 1.0, False)
    )


@pytest.mark.parametrize(
    "text", ["", "{}", '{"layers": {"a": 1}}', '{"layers": {"a": {"zero_activation": 3, "macs": 2}}}']
)
def test_other_files_are_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "zeros.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"zeros\.json"):
        read_shares(path, load("resnet20"))
    with pytest.raises(InputError, match="cannot be read"):
        read_shares(tmp_path / "missing.json", load("resnet20"))


def zeros_of(workload: Workload, names: Iterable[str], images: int, share: float = 0.5) -> dict[str, Any]:
    """As ``python -m sim.studies.sparsity -o`` writes the layers."""
    macs = {layer.name: images * layer.macs for layer in workload.layers}
    return {name: {"zero_activation": share * macs[name], "macs": macs[name]} for name in names}


def test_zeros_of_another_input_size_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of resnet20 at 64 x 64 instead of 32 x 32: four times the products in convolutions, as many in the last layer."""
    path = tmp_path / "zeros.json"
    here, there = load("resnet20"), from_graph(models.build("resnet20", (3, 64, 64)))
    names = [layer.name for layer in here.mac_layers][1:]
    path.write_text(json.dumps({"layers": zeros_of(there, names, 16)}))
    with pytest.raises(InputError, match=r"layer linear has .* another input size"):
        read_shares(path, here)  # 64 images, as the convolutions say, or 16
    path.write_text(json.dumps({"layers": zeros_of(there, names, 16), "images": 16}))
    with pytest.raises(InputError, match=r"layer layer1\.0\.conv1 has .*\(16 images\).* another input size"):
        read_shares(path, here)
    assert set(read_shares(path, there)) == set(names)
    with pytest.raises(SystemExit) as stop:
        main(["simulate", "resnet20", "--zeros", str(path)])
    assert stop.value.code == 2
    assert "another input size" in capsys.readouterr().err
    path.write_text(json.dumps({"layers": zeros_of(here, names, 16), "images": 16}))
    with pytest.raises(SystemExit) as stop:
        main(["simulate", "resnet20", "--zeros", str(path)])
    assert stop.value.code == 0
    assert "has no zeros of conv1" in capsys.readouterr().err


def test_zeros_of_layers_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="zeros are given for layer conv9, expected layers of resnet20"):
        simulate("resnet20", zeros={"conv9": 0.5})
    path = tmp_path / "zeros.json"
    path.write_text(json.dumps({"layers": zeros_of(load("resnet18"), ["fc"], 1)}))
    with pytest.raises(InputError, match=r"zeros\.json: layer fc is not one of resnet20's"):
        read_shares(path, load("resnet20"))
