"""Products of bytes in LLVM vector code: rows of unsigned bytes by signed weights, summed in int32.

What the processor has decides, when the code is compiled, how it is done (:func:`kind`): matrix tiles (Intel
AMX, 16 x 64 by 64 x 16 bytes an instruction) or dot products of four bytes a lane (AVX-512 VNNI). Both are
exact, so both give the same bits; without either, callers take another way.

Numba's cache does not see a change here: the files that use these functions must change with it.

Sources: Intel 64 and IA-32 Architectures Software Developer's Manual, TDPBUSD and VPDPBUSD; Linux,
Documentation/arch/x86/xstate.rst (ARCH_REQ_XCOMP_PERM), for the permission that a process needs for tiles.
"""

from __future__ import annotations

import ctypes
import sys
from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

LANES = 16
"""Columns of weights in a block."""
_TILE_ROWS, _TILE_BYTES = 16, 64

_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_BYTES = _I8.as_pointer()
_VECTOR = ir.VectorType(_I32, LANES)
_SYS_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA = 158, 0x1023, 18


@lru_cache(maxsize=1)
def kind() -> str | None:
    """``"amx"``, ``"vnni"`` or None: of the features that numba compiles for (NUMBA_CPU_FEATURES narrows them)."""
    features = set(cpu_target.target_context.codegen()._get_host_cpu_features().split(","))
    if {"+amx-tile", "+amx-int8"} <= features and sys.platform == "linux":
        request = ctypes.CDLL(None).syscall
        if request(_SYS_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA) == 0:
            return "amx"
        return None
    return "vnni" if {"+avx512f", "+avx512vnni"} <= features else None


ROWS, DEPTH = (_TILE_ROWS, _TILE_BYTES) if kind() == "amx" else (8, 32)
"""Rows of bytes that are multiplied at once, and bytes of a row that one step multiplies."""


def tile_configuration() -> Any:
    """What LDTILECFG reads: palette 1, every tile 16 rows of 64 bytes; uint8 (64,)."""
    held = np.zeros(64, np.uint8)
    held[0] = 1
    held[16:32].view(np.uint16)[:] = _TILE_BYTES
    held[48:56] = _TILE_ROWS
    return held


def _call(builder: Any, name: str, kinds: list[Any], values: list[Any]) -> None:
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), kinds), name)
    builder.call(function, values)


@intrinsic
def configure(typingctx, address):
    """Set this thread's tiles up from :func:`tile_configuration` (nothing without tiles)."""

    def codegen(context, builder, signature, args):
        if kind() == "amx":
            _call(builder, "llvm.x86.ldtilecfg", [_BYTES], [builder.inttoptr(args[0], _BYTES)])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def release(typingctx):
    """Give this thread's tiles back."""

    def codegen(context, builder, signature, args):
        if kind() == "amx":
            _call(builder, "llvm.x86.tilerelease", [], [])
        return context.get_dummy_value()

    return types.void(), codegen


def _counted(builder: Any, count: Any, name: str) -> tuple[Any, Any, Any]:
    """Open ``for i in range(count)``, count >= 1: (body, exit, i)."""
    before = builder.block
    body, leave = builder.append_basic_block(f"{name}.body"), builder.append_basic_block(f"{name}.exit")
    builder.branch(body)
    builder.position_at_end(body)
    index = builder.phi(_I64)
    index.add_incoming(_I64(0), before)
    return body, leave, index


def _close(builder: Any, loop: tuple[Any, Any, Any], count: Any) -> None:
    body, leave, index = loop
    following = builder.add(index, _I64(1))
    index.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, count), body, leave)
    builder.position_at_end(leave)


def _offset(builder: Any, offsets: Any, index: Any) -> Any:
    """``offsets[index]``, int64."""
    return builder.load(
        builder.inttoptr(builder.add(offsets, builder.mul(index, _I64(8))), _I64.as_pointer())
    )


def _amx(builder: Any, args: Any, blocks: int) -> None:
    first, second, stride, offsets, terms, weights, out, out_2, out_stride = args

    def load(tile: int, base: Any, step: Any) -> None:
        pointer = builder.inttoptr(base, _BYTES)
        _call(builder, "llvm.x86.tileloadd64", [_I8, _BYTES, _I64], [_I8(tile), pointer, step])

    for tile in range(2 * blocks):
        _call(builder, "llvm.x86.tilezero", [_I8], [_I8(tile)])
    loop = _counted(builder, terms, "term")
    at = _offset(builder, offsets, loop[2])
    load(4, builder.add(first, at), stride)
    load(5, builder.add(second, at), stride)
    weight = builder.add(weights, builder.mul(loop[2], _I64(blocks * DEPTH * LANES)))
    for block in range(blocks):
        load(6 + block, builder.add(weight, _I64(block * DEPTH * LANES)), _I64(4 * LANES))
    for row in range(2):
        for block in range(blocks):
            tiles = [_I8(row * blocks + block), _I8(4 + row), _I8(6 + block)]
            _call(builder, "llvm.x86.tdpbusd", [_I8] * 3, tiles)
    _close(builder, loop, terms)
    for row, base in enumerate((out, out_2)):
        for block in range(blocks):
            pointer = builder.inttoptr(builder.add(base, _I64(block * LANES * 4)), _BYTES)
            values = [_I8(row * blocks + block), pointer, out_stride]
            _call(builder, "llvm.x86.tilestored64", [_I8, _BYTES, _I64], values)


def _vnni(builder: Any, args: Any, blocks: int) -> None:
    first, second, stride, offsets, terms, weights, out, out_2, out_stride = args
    pairs = [(first, out), (second, out_2)]
    # Sixteen sums are on their way at once, which covers an instruction's latency: all rows of one block
    # together, or half the rows of two.
    for group in [pairs] if blocks == 1 else [pairs[:1], pairs[1:]]:
        _dots(builder, group, stride, offsets, terms, weights, out_stride, blocks)


def _dots(
    builder: Any, group: Any, stride: Any, offsets: Any, terms: Any, weights: Any, out_stride: Any, blocks: int
) -> None:  # fmt: skip
    """All terms of ``group``, (first row's address, first sum's address) each of :data:`ROWS` rows."""
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    dot = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpbusd.512")
    spread = ir.Constant(_VECTOR, [0] * LANES)
    rows = [(base, goal, row) for base, goal in group for row in range(ROWS)]
    sums = [[cgutils.alloca_once(builder, _VECTOR) for _ in range(blocks)] for _ in rows]  # become registers
    for held in sums:
        for one in held:
            builder.store(ir.Constant(_VECTOR, None), one)
    loop = _counted(builder, terms, "term")
    at = _offset(builder, offsets, loop[2])
    weight = builder.add(weights, builder.mul(loop[2], _I64(blocks * DEPTH * LANES)))
    inner = _counted(builder, _I64(DEPTH // 4), "four")
    at = builder.add(at, builder.mul(inner[2], _I64(4)))
    line = builder.add(weight, builder.mul(inner[2], _I64(4 * LANES)))
    w = [
        builder.load(
            builder.inttoptr(builder.add(line, _I64(block * DEPTH * LANES)), _VECTOR.as_pointer()), align=4
        )
        for block in range(blocks)
    ]
    for held, (base, _, row) in zip(sums, rows, strict=True):
        place = builder.add(builder.add(base, at), builder.mul(stride, _I64(row)))
        four = builder.load(builder.inttoptr(place, _I32.as_pointer()), align=1)
        one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), four, _I32(0))
        value = builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), spread)
        for block in range(blocks):
            builder.store(builder.call(dot, [builder.load(held[block]), value, w[block]]), held[block])
    _close(builder, inner, _I64(DEPTH // 4))
    _close(builder, loop, terms)
    for held, (_, goal, row) in zip(sums, rows, strict=True):
        line = builder.add(goal, builder.mul(out_stride, _I64(row)))
        for block in range(blocks):
            pointer = builder.inttoptr(builder.add(line, _I64(block * LANES * 4)), _VECTOR.as_pointer())
            builder.store(builder.load(held[block]), pointer, align=4)


def make_products(blocks: int) -> Any:
    """A function that makes 2 x :data:`ROWS` x ``blocks * LANES`` sums; ``blocks`` is 1 or 2.

    ``f(first, second, stride, offsets, terms, weights, out, out_2, out_stride)``, int64, all but the strides and
    ``terms`` addresses: for both ``first`` and ``second``, row r and lane l, the sum over t < terms and
    i < :data:`DEPTH` of ``first[r * stride + offsets[t] + i]`` (unsigned bytes) times
    ``weights[((t * blocks + l // 16) * DEPTH // 4 + i // 4) * 64 + l % 16 * 4 + i % 4]`` (signed bytes) is stored at
    ``out[r * out_stride + 4 * l]`` (int32). Strides are in bytes.

    Cost: 2 ``blocks`` tile products a term (16 cycles each), or ``4 DEPTH blocks`` dot products.
    """

    @intrinsic
    def products(typingctx, first, second, stride, offsets, terms, weights, out, out_2, out_stride):
        def codegen(context, builder, signature, args):
            how = kind()
            if how is None:
                raise NotImplementedError("this processor has no byte products")
            (_amx if how == "amx" else _vnni)(builder, args, blocks)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 9), codegen

    return products
