"""Numbers in pickles of others, read as data: nothing that stands in them is imported or called.

A pickle is a program, and `pickle.load` runs it: whoever wrote the file then does what they like.
Here its instructions are followed by an interpreter that knows lists, dictionaries, numbers, text
and the few words by which NumPy writes arrays of numbers, and builds those itself. Whatever else is
asked for becomes an inert `Unknown`.
"""

from __future__ import annotations

import io
import pickletools
import re
import struct
import tokenize
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DAMAGED_NPY = (EOFError, OSError, SyntaxError, TypeError, ValueError, tokenize.TokenError)
"""What NumPy raises where a ``.npy`` file is damaged: its header is read as Python is."""


@dataclass(eq=False, kw_only=True)
class Unknown:
    """What a pickle asks to have built of something that is not known here; it stays unbuilt."""

    name: str
    arguments: Any = ()
    state: Any = None


def read_object_array(file: Path, /) -> list[dict[str, object]]:
    """Read the dictionaries of a ``.npy`` file with Python objects, as far as they hold plain data.

    Parameters
    ----------
    file
        Written by ``np.save`` of a dictionary, or of an array of dictionaries.

    Returns
    -------
    items
        Names to numbers, text, lists, arrays of numbers, or `Unknown`.

    Raises
    ------
    ValueError
        If it is no such file, or not whole.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder, "ops.npy"), {"fs": 30.0, "where": Path("raw")})
    ...     (ops,) = read_object_array(Path(folder, "ops.npy"))
    >>> ops["fs"], type(ops["where"]).__name__
    (30.0, 'Unknown')
    """
    with file.open("rb") as opened:
        try:
            version = np.lib.format.read_magic(opened)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else _refuse
            _, _, dtype = header(opened)
        except DAMAGED_NPY as error:
            raise ValueError(f"this is no whole .npy file: {error}.") from error
        data = opened.read()
    if not dtype.hasobject:
        raise ValueError(f"it must hold dictionaries, but holds numbers ({dtype}).")
    items = plain(read_pickle(data))
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError("it must hold dictionaries, but holds something else.")
    return [{name: plain(value) for name, value in item.items()} for item in items]


def read_pickle(data: bytes, /) -> object:
    r"""Follow the instructions of a pickle, and build nothing but plain data.

    Raises
    ------
    ValueError
        If it is not whole, or has instructions that plain data have no use for.

    Examples
    --------
    >>> import pickle
    >>> read_pickle(pickle.dumps({"a": [1, 2.5, "b"]}))
    {'a': [1, 2.5, 'b']}
    >>> read_pickle(b"cos\nsystem\n(S'echo run'\ntR.")
    Unknown(name='os.system', arguments=('echo run',), state=None)
    """
    try:
        return _Machine().run(data)
    except _DAMAGED as error:
        raise ValueError(f"this is no whole pickle of plain data: {error}.") from error


_DAMAGED = (
    *(ValueError, IndexError, KeyError, TypeError),
    *(AttributeError, OverflowError, struct.error),
)
_MARK = object()
_LITERALS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)
_NEW: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """The stack and the memory that a pickle's instructions work on."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> object:
        for instruction, argument, _ in pickletools.genops(data):
            name = instruction.name
            if name in _LITERALS:
                self.stack.append(argument)
            elif name in _NEW:
                self.stack.append(_NEW[name]())
            elif name in _TUPLES:
                self.stack.append(tuple(self._take(_TUPLES[name])))
            elif name not in ("PROTO", "FRAME", "STOP"):
                self._follow(name, argument)
        (result,) = self.stack
        return result

    def _follow(self, name: str, argument: Any) -> None:
        step: Callable[[Any], None] | None = getattr(self, f"_{name.lower()}", None)
        if step is None:
            raise ValueError(f"plain data have no use for the instruction {name}")
        step(argument)

    def _take(self, n: int) -> list[Any]:
        if len(self.stack) < n:
            raise IndexError("nothing is left on the stack")
        taken = self.stack[len(self.stack) - n :]
        del self.stack[len(self.stack) - n :]
        return taken

    def _to_mark(self) -> list[Any]:
        taken = []
        while self.stack[-1] is not _MARK:
            taken.append(self.stack.pop())
        self.stack.pop()
        return taken[::-1]

    def _memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _put(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    _binput = _long_binput = _put

    def _get(self, place: int) -> None:
        self.stack.append(self.memo[place])

    _binget = _long_binget = _get

    def _tuple(self, _: None) -> None:
        self.stack.append(tuple(self._to_mark()))

    def _list(self, _: None) -> None:
        self.stack.append(self._to_mark())

    _frozenset = _list

    def _dict(self, _: None) -> None:
        items = self._to_mark()
        self.stack.append({})
        self._set_items(items)

    def _append(self, _: None) -> None:
        self._extend(self._take(1))

    def _appends(self, _: None) -> None:
        self._extend(self._to_mark())

    _additems = _appends

    def _extend(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def _setitem(self, _: None) -> None:
        self._set_items(self._take(2))

    def _setitems(self, _: None) -> None:
        self._set_items(self._to_mark())

    def _set_items(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], dict):
            pairs = zip(items[::2], items[1::2], strict=True)
            self.stack[-1].update({key: value for key, value in pairs if isinstance(key, str)})

    def _pop(self, _: None) -> None:
        self._take(1)

    def _pop_mark(self, _: None) -> None:
        self._to_mark()

    def _global(self, argument: str) -> None:
        self.stack.append(Unknown(name=argument.replace(" ", ".")))

    def _stack_global(self, _: None) -> None:
        module, name = self._take(2)
        self.stack.append(Unknown(name=f"{module}.{name}"))

    def _reduce(self, _: None) -> None:
        what, arguments = self._take(2)
        # One of its own for each: the word for what is built stands in the memory too.
        self.stack.append(Unknown(name=what.name, arguments=arguments))

    _newobj = _reduce

    def _build(self, _: None) -> None:
        (state,) = self._take(1)
        if isinstance(self.stack[-1], Unknown):
            self.stack[-1].state = state


_NUMBER_TYPE = re.compile(r"b1|[iu][1248]|f[248]")


def plain(value: object, /) -> object:
    """Build what NumPy wrote, if it is numbers or a list; give anything else as it is."""
    if not isinstance(value, Unknown):
        return value
    module, _, word = value.name.rpartition(".")
    if module not in ("numpy.core.multiarray", "numpy._core.multiarray") and (
        module not in ("numpy.core.numeric", "numpy._core.numeric")
    ):
        return value
    try:
        if word == "_reconstruct":
            _, shape, dtype, is_fortran, data = value.state
            if isinstance(data, list):
                return data
            return _array(data, dtype, shape=shape, order="F" if is_fortran else "C")
        if word == "_frombuffer":
            data, dtype, shape, order = value.arguments
            return _array(data, dtype, shape=shape, order=order)
        if word == "scalar":
            dtype, data = value.arguments
            return _array(data, dtype, shape=(), order="C").item()
    except (AttributeError, TypeError, ValueError):
        return value
    return value


def _array(data: Any, dtype: Any, /, *, shape: Any, order: Any) -> NDArray[np.generic]:
    (code, *_), (_, byte_order, *_) = dtype.arguments, dtype.state
    if dtype.name != "numpy.dtype" or not _NUMBER_TYPE.fullmatch(code):
        raise ValueError("only arrays of numbers are built.")
    if not isinstance(data, bytes | bytearray) or byte_order not in ("<", ">", "|", "="):
        raise ValueError("an array's numbers must stand in its bytes.")
    flat: NDArray[np.generic] = np.frombuffer(data, dtype=np.dtype(byte_order + code))
    return flat.reshape(tuple(int(n) for n in shape), order="F" if order == "F" else "C")


def _refuse(_: io.BufferedReader) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    raise ValueError("its version is not known")
