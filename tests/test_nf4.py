"""nf4 (Dettmers et al., "QLoRA", 2023, appendix E) from its formula to training, integers, simulation and the report."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import norm

from asq_sw.cli import cli
from asq_sw.formats import WeightFormat
from asq_sw.integer.network import IntegerNetwork
from asq_sw.quantizers import GridWeights
from asq_sw.train import load_run
from reports.palette import GRIDS
from reports.trained import TILE_GRIDS, trained_with

TRAIN = "train small_cnn --data digits --quantizer asq-nf4 --wbits 4 --abits 4 --epochs 8 --rate 0.1 --rounded --no-augment"


def asq(line: str) -> str:
    done = CliRunner().invoke(cli, line.split(), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nf4") / "run"
    asq(f"{TRAIN} -o {folder}")
    return folder


def paper_levels() -> np.ndarray:
    """Quantiles of a Gaussian, eight above zero and seven below, from 0.9677083 to a half; the authors' released code."""
    above, below = (norm.ppf(np.linspace(0.9677083, 0.5, n)[:-1]) for n in (9, 8))
    values = np.concatenate([-below, [0.0], above[::-1]])
    return values / values.max()


def test_levels_are_the_papers_quantiles() -> None:
    # The paper prints the levels as its float32 code made them.
    np.testing.assert_allclose(WeightFormat("nf4").levels, np.sort(paper_levels()), atol=2e-6)


def test_integers_follow_the_trained_network(run: Path, tmp_path: Path) -> None:
    plain = json.loads(asq(f"eval {run} --data digits --json -"))
    whole = json.loads(asq(f"eval {run} --data digits --integer --json -"))
    assert plain["accuracy"] > 85
    assert whole["accuracy"] == pytest.approx(plain["accuracy"], abs=0.6)  # two images of 360
    asq(f"export {run} -o {tmp_path / 'n.npz'}")
    assert (
        json.loads(asq(f"eval {tmp_path / 'n.npz'} --data digits --json -"))["accuracy"] == whole["accuracy"]
    )


def test_a_layers_sums_are_activations_times_whole_levels(run: Path, tmp_path: Path) -> None:
    """conv2 by its definition: a * round(level * 2**7), with the paper's levels and the codes of the file."""
    asq(f"export {run} -o {tmp_path / 'n.npz'}")
    integer = IntegerNetwork.load(tmp_path / "n.npz")
    with np.load(tmp_path / "n.npz") as file:
        codes = file["conv2.codes"].astype(int)
    whole = np.rint(np.sort(paper_levels()) * 128).astype(int)[codes]
    activations = np.random.default_rng(0).integers(0, 16, (2, 5, 4, codes.shape[1]))
    layer = integer.layers["conv2"]
    padded = np.zeros((2, layer.window.height + 2, layer.window.width + 2, layer.window.channels), int)
    padded[:, 1:6, 1:5] = activations
    sums = layer.accumulate(padded[:, 1:-1, 1:-1].astype(np.int16))
    stride = layer.window.stride[0]
    for y, x in np.ndindex(*sums.shape[1:3]):
        window = padded[:, y * stride : y * stride + 3, x * stride : x * stride + 3]
        np.testing.assert_array_equal(sums[:, y, x], np.einsum("nyxc,ocyx->no", window, whole))


def test_the_trained_weights_take_the_levels(run: Path) -> None:
    _, network, _ = load_run(run)
    pair = network.quantizers["conv2"]
    assert isinstance(pair.weight, GridWeights)
    assert pair.rounded
    w = network.parameters["conv2.weight"]
    encoded = pair.weight.encode(w)
    assert len(encoded.alpha) == len(w)
    assert len(set(encoded.codes.ravel().tolist())) > 10
    levels = np.sort(paper_levels())[encoded.codes] * encoded.alpha.reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(levels, pair.weight.forward(w), rtol=1e-4, atol=1e-6)


def test_simulated_and_swept(tmp_path: Path) -> None:
    found: dict[str, Any] = {}
    for grid in ("nf4", "post"):
        asq(f"simulate resnet20 --grid {grid} --json {tmp_path / grid}")
        found[grid] = json.loads((tmp_path / grid).read_text())["total"]
    assert found["nf4"]["total_cycles"] == found["post"]["total_cycles"]  # widths are the same
    assert (
        found["nf4"]["energy_pj"]["mac"] > found["post"]["energy_pj"]["mac"]
    )  # a multiplier in each element
    asq(f"sweep resnet20 --grid nf4 --wbits 3,4 --rows 8,16 -o {tmp_path / 's.csv'}")
    rows = list(csv.DictReader((tmp_path / "s.csv").open()))
    assert [(r["grid"], r["wbits"], r["rows"]) for r in rows] == [("nf4", "4", "8"), ("nf4", "4", "16")]


def test_the_report_knows_it() -> None:
    assert TILE_GRIDS["asq-nf4"] == "nf4"
    assert GRIDS["nf4"].colour not in [style.colour for grid, style in GRIDS.items() if grid != "nf4"]
    row = {
        "quantizer": "asq-nf4",
        "wbits": "4",
        "abits": "4",
        "seed": "0",
        "test_accuracy": 87.5,
        "teacher": "0.0",
    }
    tile = {"grid": "nf4", "wbits": 4, "abits": 4, "frac_bits": 7}
    assert trained_with([row | {"rounded": "False", "frac_bits": ""}], tile) is None
    assert trained_with([row | {"rounded": "True", "frac_bits": "7"}], tile) == 87.5
