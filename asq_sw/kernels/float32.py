"""The two innermost loops of convolution, as LLVM vector code inside numba functions.

Numba compiles loops over arrays, but it cannot be told to hold a block of sums in vector registers, which is
what makes a convolution run near the machine's peak. So these two are written as LLVM instructions on
vectors of :data:`LANES` float32. LLVM lowers them to whatever the processor has (AVX-512: one register a
vector; AVX2: two; NEON: four).

Both read feature maps in blocks of :data:`LANES` channels, pixel after pixel, so that every address in the
unrolled body is a constant away from one pointer.

Numba's cache does not see a change here: the files that use these functions must change with it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
"""Channels in a block, float32 values in a vector."""
_CHANNELS = 4
"""Channels of a block that the body of a convolution's innermost loop holds."""

_I64 = ir.IntType(64)
_I32 = ir.IntType(32)
_I1 = ir.IntType(1)
_F32 = ir.FloatType()
_VECTOR = ir.VectorType(_F32, LANES)


def _address(builder: Any, base: Any, elements: Any) -> Any:
    """Pointer of ``base + 4 * elements`` as an integer."""
    return builder.add(base, builder.mul(elements, _I64(4)))


def _load(builder: Any, base: Any, offset: int, kind: Any) -> Any:
    """Value of type ``kind`` at ``offset`` float32 values (a constant) after the address ``base``."""
    pointer = builder.inttoptr(base, _F32.as_pointer())
    pointer = builder.gep(pointer, [_I64(offset)])
    if kind is not _F32:
        pointer = builder.bitcast(pointer, kind.as_pointer())
    return builder.load(pointer, align=4)


def _splat(builder: Any, scalar: Any) -> Any:
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), scalar, _I32(0))
    return builder.shuffle_vector(
        one, ir.Constant(_VECTOR, ir.Undefined), ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
    )


def _fma(builder: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    return cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")


def _loop(builder: Any, count: Any, name: str) -> tuple[Any, Any, Any]:
    """Open ``for i in range(count)``, count >= 1; returns (body block, exit block, the phi of i)."""
    before = builder.block
    body = builder.append_basic_block(f"{name}.body")
    leave = builder.append_basic_block(f"{name}.exit")
    builder.branch(body)
    builder.position_at_end(body)
    index = builder.phi(_I64, f"{name}.i")
    index.add_incoming(_I64(0), before)
    return body, leave, index


def _end_loop(builder: Any, loop: tuple[Any, Any, Any], count: Any) -> None:
    body, leave, index = loop
    following = builder.add(index, _I64(1))
    index.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, count), body, leave)
    builder.position_at_end(leave)


@intrinsic
def copy(typingctx, source, target):
    """Copy :data:`LANES` float32 values from one address to another, int64."""
    signature = types.void(types.int64, types.int64)

    def codegen(context, builder, signature, args):
        value = _load(builder, args[0], 0, _VECTOR)
        builder.store(value, builder.inttoptr(args[1], _VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return signature, codegen


def make_convolve(pixels: int, vectors: int) -> Any:
    """A function that makes ``pixels`` x ``vectors * LANES`` outputs, with all their sums in registers.

    ``f(x, offsets, terms, weights, out, pixel, count, lanes)``, all int64, the first five addresses where they
    are arrays: outputs ``p``, ``sum over t < terms and c < LANES of x[offsets[t] + p * LANES + c] *
    weights[(t * LANES + c) * vectors * LANES + lane]`` are stored at ``out[p * pixel + lane]`` for
    ``p < count`` and ``lane < lanes``. Inputs are read for all ``pixels``, so memory behind them must exist.

    One multiply-add a vector and term; per term and channel, ``vectors + pixels`` loads.
    """

    @intrinsic
    def convolve(typingctx, x, offsets, terms, weights, out, pixel, count, lanes):
        signature = types.void(*[types.int64] * 8)

        def codegen(context, builder, signature, args):
            x, offsets, terms, weights, out, pixel, count, lanes = args
            fma = _fma(builder)
            sums = [
                [cgutils.alloca_once(builder, _VECTOR) for _ in range(vectors)] for _ in range(pixels)
            ]  # promoted to registers
            for row in sums:
                for one in row:
                    builder.store(ir.Constant(_VECTOR, None), one)
            loop = _loop(builder, terms, "term")
            offset_at = builder.inttoptr(
                builder.add(offsets, builder.mul(loop[2], _I64(8))), _I64.as_pointer()
            )
            source = _address(builder, x, builder.load(offset_at))
            weight = _address(builder, weights, builder.mul(loop[2], _I64(LANES * vectors * LANES)))
            # A loop, not all channels in a row: LLVM would hoist their loads until it runs out of registers.
            inner = _loop(builder, _I64(LANES // _CHANNELS), "channel")
            source = _address(builder, source, builder.mul(inner[2], _I64(_CHANNELS)))
            weight = _address(builder, weight, builder.mul(inner[2], _I64(_CHANNELS * vectors * LANES)))
            for c in range(_CHANNELS):
                w = [_load(builder, weight, (c * vectors + v) * LANES, _VECTOR) for v in range(vectors)]
                for p in range(pixels):
                    value = _splat(builder, _load(builder, source, p * LANES + c, _F32))
                    for v in range(vectors):
                        builder.store(builder.call(fma, [value, w[v], builder.load(sums[p][v])]), sums[p][v])
            _end_loop(builder, inner, _I64(LANES // _CHANNELS))
            _end_loop(builder, loop, terms)

            whole = builder.icmp_signed(">=", lanes, _I64(vectors * LANES))
            step = ir.Constant(ir.VectorType(_I64, LANES), list(range(LANES)))
            kind = ir.FunctionType(
                ir.VoidType(), [_VECTOR, _VECTOR.as_pointer(), _I32, ir.VectorType(_I1, LANES)]
            )
            masked = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.v{LANES}f32.p0")
            for p in range(pixels):
                with builder.if_then(builder.icmp_signed("<", _I64(p), count)):
                    base = _address(builder, out, builder.mul(pixel, _I64(p)))
                    for v in range(vectors):
                        place = builder.inttoptr(builder.add(base, _I64(v * LANES * 4)), _VECTOR.as_pointer())
                        with builder.if_else(whole) as (fast, tail):
                            with fast:
                                builder.store(builder.load(sums[p][v]), place, align=4)
                            with tail:
                                left = builder.sub(lanes, _I64(v * LANES))
                                one = builder.insert_element(
                                    ir.Constant(ir.VectorType(_I64, LANES), ir.Undefined), left, _I32(0)
                                )
                                limit = builder.shuffle_vector(
                                    one,
                                    ir.Constant(ir.VectorType(_I64, LANES), ir.Undefined),
                                    ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES),
                                )
                                mask = builder.icmp_signed("<", step, limit)
                                builder.call(masked, [builder.load(sums[p][v]), place, _I32(4), mask])
            return context.get_dummy_value()

        return signature, codegen

    return convolve


def make_correlate(channels: int, vectors: int) -> Any:
    """A function that adds one image's rows to ``channels`` x ``vectors * LANES`` weight gradients.

    ``f(x, x_row, dy, dy_pixel, dy_row, rows, columns, dw, dw_channel)``, all int64, ``x``, ``dy`` and ``dw``
    addresses: ``dw[c * dw_channel + lane] += sum over rows r and columns p of x[r * x_row + p * LANES + c] * dy[r * dy_row + p * dy_pixel + lane]``. Whole vectors of ``dy`` and ``dw`` are read.
    """

    @intrinsic
    def correlate(typingctx, x, x_row, dy, dy_pixel, dy_row, rows, columns, dw, dw_channel):
        signature = types.void(*[types.int64] * 9)

        def codegen(context, builder, signature, args):
            x, x_row, dy, dy_pixel, dy_row, rows, columns, dw, dw_channel = args
            fma = _fma(builder)
            sums, places = [], []
            for c in range(channels):
                base = _address(builder, dw, builder.mul(dw_channel, _I64(c)))
                for v in range(vectors):
                    sums.append(cgutils.alloca_once(builder, _VECTOR))
                    places.append(
                        builder.inttoptr(builder.add(base, _I64(v * LANES * 4)), _VECTOR.as_pointer())
                    )
                    builder.store(builder.load(places[-1], align=4), sums[-1])
            outer = _loop(builder, rows, "row")
            x_base = _address(builder, x, builder.mul(outer[2], x_row))
            dy_base = _address(builder, dy, builder.mul(outer[2], dy_row))
            inner = _loop(builder, columns, "column")
            source = builder.add(x_base, builder.mul(inner[2], _I64(4 * LANES)))
            grad = _address(builder, dy_base, builder.mul(inner[2], dy_pixel))
            g = [_load(builder, grad, v * LANES, _VECTOR) for v in range(vectors)]
            for c in range(channels):
                value = _splat(builder, _load(builder, source, c, _F32))
                for v in range(vectors):
                    held = sums[c * vectors + v]
                    builder.store(builder.call(fma, [value, g[v], builder.load(held)]), held)
            _end_loop(builder, inner, columns)
            _end_loop(builder, outer, rows)
            for held, place in zip(sums, places, strict=True):
                builder.store(builder.load(held), place, align=4)
            return context.get_dummy_value()

        return signature, codegen

    return correlate
