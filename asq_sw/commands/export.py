"""``asq export``."""

from __future__ import annotations

from pathlib import Path

import click

from asq_sw.errors import InputError


@click.command(
    "export",
    epilog="Example: asq export runs/post4 -o post4.npz",
    help="Write the trained network of RUN_DIR: .npz is the integer network (codes, tables, fixed-point multipliers), "
    ".onnx the graph with the quantized weights as float32.",
)
@click.argument("run", type=click.Path(file_okay=False), metavar="RUN_DIR")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False), help="FILE.npz or FILE.onnx.")
def command(run: str, output: str) -> None:
    from asq_sw.train import integer_network, load_run

    suffix = Path(output).suffix
    if suffix == ".npz":
        network = integer_network(run)
        network.save(output)
        widest = max(network.bounds, key=network.bounds.__getitem__)
        bits = (2 * network.bounds[widest] + 1).bit_length()
        click.echo(f"{output}: {len(network.bounds)} layers, widest sums in {widest}: {bits} bits")
    elif suffix == ".onnx":
        from asq_sw.interop.onnx import write_onnx

        _, trained, _ = load_run(run)
        arrays = trained.parameters | trained.buffers
        for name, pair in trained.quantizers.items():
            if pair.weight is not None:
                arrays = arrays | {
                    f"{name}.weight": pair.weight.forward(trained.parameters[f"{name}.weight"])
                }
        write_onnx(trained.graph, arrays, output)
        click.echo(f"{output}: {len(arrays)} arrays, activations in full precision")
    else:
        raise InputError(f"{output}: has the suffix {suffix!r}, expected .npz or .onnx")
