"""RTLIL with one module per distinct component, however often it is placed.

Amaranth turns every submodule into a Verilog module of its own: a 32 x 32 array would be thousands of copies
with ports named after the nets outside. Components placed here are converted once, with their own ports,
and instantiated. In simulation they stay ordinary submodules.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal
from amaranth.lib import wiring

_ATTRIBUTES = re.compile(r"^ *attribute \\(?:generator|top|init) .*\n", re.MULTILINE)
_PORT = re.compile(r"^(  wire width \d+ (?:input|output) )(\d+) ", re.MULTILINE)
_CLOCK_PORT = re.compile(r"^  wire width 1 input \d+ +\\clk$", re.MULTILINE)
_RESET_PORT = re.compile(r"^  wire width 1 input \d+ +\\rst\n+", re.MULTILINE)


class Modules:
    """The modules made so far; passed to components as Amaranth's ``platform``.

    A component is known by its ``module_name``: equal names must mean equal modules.

    Attributes
    ----------
    text : dict of str
        RTLIL by module name, children before parents.
    """

    def __init__(self) -> None:
        self.text: dict[str, str] = {}

    def add(self, component: wiring.Component, name: str) -> None:
        """Convert a component to the module ``name``, after what it places.

        Registers get no initial value: those that need one have a reset. A reset that no register reads is
        no port.
        """
        text = rtlil.convert(component, name=name, platform=self, emit_src=False)
        text = _ATTRIBUTES.sub("", text)
        # Amaranth numbers ports from 0, which Yosys takes for "no order".
        text = _PORT.sub(lambda match: f"{match[1]}{int(match[2]) + 1} ", text)
        if not re.search(r"\\rst \[0\]", text):
            text = _RESET_PORT.sub("", text)
        inner = re.compile(rf"\\{re.escape(name)}(?:\.\w+)+")
        self.text[name] = inner.sub(lambda match: match[0].replace(".", "_"), text)

    def instance(self, component: Any, ports: Any) -> Instance:
        """An instance of the component's module, connected to the signals of ``ports``, its interface."""
        name = component.module_name
        if name not in self.text:
            self.add(component, name)
        connections: list[tuple[str, str, Any]] = [
            ("i" if member.flow == wiring.In else "o", "__".join(map(str, path)), value)
            for path, member, value in component.signature.flatten(ports)
        ]
        own = self.text[name].partition(f"module \\{name}\n")[2].partition("\nend\n")[0]
        if _CLOCK_PORT.search(own):
            connections.append(("i", "clk", ClockSignal()))
        if _RESET_PORT.search(own):
            connections.append(("i", "rst", ResetSignal()))
        return Instance(name, *connections)


class Copies:
    """Copies of one component: each built for simulation, one built and instantiated for RTLIL.

    Parameters
    ----------
    build : callable
        Gives a new component with a ``module_name``.
    names : list of str
        Name of each copy as a submodule.
    """

    def __init__(self, build: Callable[[], Any], names: list[str]):
        self.names = names
        self._build = build

    @cached_property
    def first(self) -> Any:
        """The first copy, which stands for the others' interface."""
        return self._build()

    @cached_property
    def components(self) -> list[Any]:
        """All copies."""
        return [self.first, *(self._build() for _ in self.names[1:])]

    def place(self, m: Module, platform: object) -> list[Any]:
        """Make the copies submodules of ``m``; gives the interface of each."""
        if not isinstance(platform, Modules):
            for name, component in zip(self.names, self.components, strict=True):
                m.submodules[name] = component
            return self.components
        interfaces = [self.first.signature.create(path=(name,)) for name in self.names]
        for name, ports in zip(self.names, interfaces, strict=True):
            m.submodules[name] = platform.instance(self.first, ports)
        return interfaces
