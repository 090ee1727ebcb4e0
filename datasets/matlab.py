"""Numbers in MATLAB's files, of version 5 to 7 and 7.3.

Version 5 is read here rather than by `scipy.io.loadmat`, which a flipped bit in a file can make end
the whole process (scipy 1.17.1: an unknown code of a type is looked up outside its table).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.hdf5 import DAMAGED, numbers, open_hdf5

# Codes are those of MathWorks' "MAT-File Format" (R2019b), tables 1-1 and 1-3.
_HEADER_BYTES = 128
_MATRIX, _COMPRESSED = 14, 15
_TYPES = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_CLASSES = {
    6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8",
}  # fmt: skip
_COMPLEX = 0x0800
_PEEK_BYTES = 1024  # holds what stands before the numbers


@dataclass(frozen=True, kw_only=True)
class _Variable:
    """What stands before the numbers of a variable."""

    name: str
    shape: tuple[int, ...]
    class_code: int
    is_complex: bool
    start: int


def read_variables(file: Path, /, *, names: tuple[str, ...]) -> dict[str, NDArray[np.generic]]:
    """Read arrays of numbers from a ``.mat`` file, shaped as MATLAB shows them.

    Raises
    ------
    ValueError
        If it is no such file or not whole, or a variable is missing or holds no real numbers.
    """
    with file.open("rb") as opened:
        header = opened.read(_HEADER_BYTES)
    if header.startswith((b"\x89HDF", b"MATLAB 7.3")):
        return _read_hdf5(file, names=names)
    if not header.startswith(b"MATLAB 5.0") or header[126:128] not in (b"IM", b"MI"):
        raise ValueError(
            "this is no .mat file of version 5 or later. In MATLAB, save it with `-v7` or `-v7.3`."
        )
    found, shapes = _read_5(file.read_bytes(), names=names)
    missing = [name for name in names if name not in found]
    if missing:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"
        raise ValueError(f"there is no variable `{missing[0]}`. Variables: {listed}.")
    return found


def _read_hdf5(file: Path, *, names: tuple[str, ...]) -> dict[str, NDArray[np.generic]]:
    with open_hdf5(file) as opened:
        for name in names:
            if _matlab_class(opened.get(name)) == "char":
                raise ValueError(f"`{name}` must hold numbers, but holds text.")
        # MATLAB counts the first index fastest, HDF5 the last.
        return {name: numbers(opened, name, what="a variable").T for name in names}


def _matlab_class(item: Any) -> str:
    try:
        kind = b"" if item is None else item.attrs.get("MATLAB_class", b"")
    except DAMAGED as error:
        raise ValueError(f"this is no whole HDF5 file: {error}.") from error
    return kind.decode(errors="replace") if isinstance(kind, bytes) else str(kind)


def _read_5(
    data: bytes, *, names: tuple[str, ...]
) -> tuple[dict[str, NDArray[np.generic]], dict[str, tuple[int, ...]]]:
    order = "<" if data[126:128] == b"IM" else ">"
    found: dict[str, NDArray[np.generic]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for code, body in _elements(memoryview(data), order=order):
        variable = _variable(_matrix(code, body, order=order, is_peek=True), order=order)
        if variable is None:
            continue  # functions and objects have no shape
        shapes[variable.name] = variable.shape
        if variable.name in names:
            whole = _matrix(code, body, order=order, is_peek=False)
            found[variable.name] = _numbers(variable, whole, order=order)
    return found, shapes


def _elements(data: memoryview, *, order: str) -> Iterator[tuple[int, memoryview]]:
    at = _HEADER_BYTES
    while at < len(data):
        code, n_bytes = _unpack(f"{order}II", data, at)
        at += 8
        if at + n_bytes > len(data) or code not in (_MATRIX, _COMPRESSED):
            raise _damaged(f"no variable stands at byte {at - 8}, or the file ends within it")
        yield code, data[at : at + n_bytes]
        at += n_bytes


def _matrix(code: int, body: memoryview, *, order: str, is_peek: bool) -> memoryview:
    """Give what a variable consists of, or its beginning."""
    if code == _MATRIX:
        return body
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(body, _PEEK_BYTES if is_peek else 0)
    except zlib.error as error:
        raise _damaged(str(error)) from error
    inner_code, n_bytes = _unpack(f"{order}II", memoryview(inflated), 0)
    if inner_code != _MATRIX or not (is_peek or (inflater.eof and len(inflated) == 8 + n_bytes)):
        raise _damaged("a compressed variable is not whole")
    return memoryview(inflated)[8:]


def _variable(matrix: memoryview, *, order: str) -> _Variable | None:
    _, flags, at = _part(matrix, 0, order=order)
    (word,) = _unpack(f"{order}I", flags, 0)
    code = word & 0xFF
    if not 1 <= code <= 15:
        return None
    dims_code, dims, at = _part(matrix, at, order=order)
    _, name, at = _part(matrix, at, order=order)
    if dims_code != 5 or len(dims) % 4:
        raise _damaged("a variable has no shape")
    shape = struct.unpack(f"{order}{len(dims) // 4}i", dims)
    if any(length < 0 for length in shape):
        raise _damaged(f"a variable has the shape {shape}")
    return _Variable(
        name=bytes(name).decode("ascii", errors="replace"),
        shape=shape,
        class_code=code,
        is_complex=bool(word & _COMPLEX),
        start=at,
    )


def _numbers(variable: _Variable, matrix: memoryview, *, order: str) -> NDArray[np.generic]:
    if variable.class_code not in _CLASSES or variable.is_complex:
        raise ValueError(
            f"`{variable.name}` must hold real numbers, but is text, a cell, a structure, sparse "
            "or complex. Save it as a full numeric array."
        )
    code, data, _ = _part(matrix, variable.start, order=order)
    kind = np.dtype(order + _TYPES.get(code, "V1"))
    n = int(np.prod(variable.shape, dtype=object))
    if code not in _TYPES or len(data) != n * kind.itemsize:
        raise _damaged(f"`{variable.name}` has {len(data)} bytes of numbers for {variable.shape}")
    # MATLAB writes whole numbers in the smallest type that holds them, whatever the class.
    values = np.frombuffer(data, dtype=kind).astype(_CLASSES[variable.class_code])
    return values.reshape(variable.shape, order="F")


def _part(matrix: memoryview, at: int, *, order: str) -> tuple[int, memoryview, int]:
    """Give type, content and end of a part of a variable."""
    (word,) = _unpack(f"{order}I", matrix, at)
    if word >> 16:  # up to four bytes stand in the tag itself
        code, n_bytes, start, end = word & 0xFFFF, word >> 16, at + 4, at + 8
    else:
        code, (n_bytes,) = word, _unpack(f"{order}I", matrix, at + 4)
        start = at + 8
        end = start + n_bytes + -n_bytes % 8
    if start + n_bytes > len(matrix):
        raise _damaged("the file ends within a variable")
    return code, matrix[start : start + n_bytes], end


def _unpack(form: str, data: memoryview, at: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(form, data, at)
    except struct.error as error:
        raise _damaged("the file ends within a variable") from error


def _damaged(reason: str) -> ValueError:
    return ValueError(f"this is no whole .mat file: {reason}.")
