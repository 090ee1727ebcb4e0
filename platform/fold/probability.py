"""Probabilities of classes as columns of a table: one column of class 1, or one a class."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

NAME = "probability"
_SIDE = "side"

# W windows, C classes


def columns(n_classes: int, /) -> tuple[str, ...]:
    """Name the columns.

    Examples
    --------
    >>> columns(2), columns(3)
    (('probability',), ('probability_0', 'probability_1', 'probability_2'))
    """
    return (NAME,) if n_classes == 2 else tuple(f"{NAME}_{c}" for c in range(n_classes))


def to_columns(probability_WC: NDArray[np.float32], /) -> dict[str, NDArray[np.float32]]:
    """Give the columns of a table.

    Examples
    --------
    >>> to_columns(np.array([[0.25, 0.75]]))
    {'probability': array([0.75])}
    """
    n_classes = probability_WC.shape[1]
    shown = probability_WC[:, 1:] if n_classes == 2 else probability_WC
    return dict(zip(columns(n_classes), shown.T, strict=True))


def side_column(of_class: int, /) -> str:
    """Name the column of a class's probability by a head of its own.

    Examples
    --------
    >>> side_column(2)
    'side_2'
    """
    return f"{_SIDE}_{of_class}"


def side_columns(names: Iterable[str], /) -> dict[int, str]:
    """Give those of a table's columns that `side_column` names, by class.

    Examples
    --------
    >>> side_columns(["frame", "side_2", "probability_0", "side_1"])
    {1: 'side_1', 2: 'side_2'}
    """
    found = {int(n.removeprefix(f"{_SIDE}_")): n for n in names if n.startswith(f"{_SIDE}_")}
    return dict(sorted(found.items()))


def in_order(names: Iterable[str], /) -> tuple[str, ...]:
    """Give those of a table's columns that hold probabilities, by class.

    Examples
    --------
    >>> in_order(["frame", "probability_1", "probability_0"])
    ('probability_0', 'probability_1')
    """
    found = [name for name in names if name == NAME or name.startswith(f"{NAME}_")]
    return tuple(sorted(found, key=lambda name: (len(name), name)))


def from_columns(columns_CW: list[NDArray[np.float64]], /) -> NDArray[np.float64]:
    """Give the probability of each class from a table's columns, as `in_order` names them.

    Examples
    --------
    >>> from_columns([np.array([0.75])]).tolist()
    [[0.25, 0.75]]
    """
    if len(columns_CW) == 1:
        return np.stack([1 - columns_CW[0], columns_CW[0]], axis=1)
    return np.stack(columns_CW, axis=1)
