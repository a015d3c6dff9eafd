"""The networks that a report is of, loaded and checked before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asq_sw.errors import InputError
from sim.workload import Workload, load

SUFFIXES = (".onnx", ".csv")


def networks(given: Sequence[str]) -> dict[str, Workload]:
    """Each network by its name, in order; ``given`` as :func:`sim.workload.load` takes them.

    Raises
    ------
    InputError
        For an unknown network, a folder, one without products, or two of one name.
    """
    found: dict[str, Workload] = {}
    for text in given:
        if Path(text).is_dir():
            raise InputError(
                f"{text}: is a folder, expected a network (a built-in name, an .onnx file or a topology .csv): the "
                "report does not measure the accuracy of a trained folder yet, asq eval does"
            )
        workload = load(text)
        if not workload.mac_layers:
            raise InputError(f"{text}: has no layer with products, expected at least one")
        if workload.name in found:
            raise InputError(f"{text}: network {workload.name} is given twice, expected each name once")
        found[workload.name] = workload
    return found


def files(given: Sequence[str]) -> tuple[str, ...]:
    """Those that are files."""
    return tuple(text for text in given if Path(text).suffix.lower() in SUFFIXES)
