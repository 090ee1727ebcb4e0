"""What is known of simulated recordings and a decoder must not see, kept beside a dataset."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.recording import Recording
from calsweep.datasets.store import Store

TRUTH_FILE = "truth.npz"

_SIMULATOR = "simulator"


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """How simulated recordings came about.

    Attributes
    ----------
    simulator
        What made them, with its settings: a line of Python.
    recordings
        Name of a recording to name to values; the simulator says which. Axis letters stand in the
        names (``weight_N``).

    Examples
    --------
    >>> truth = Truth(simulator="Coin()", recordings={"m1_r1": {"weight_N": np.array([0.5, 1])}})
    >>> import tempfile
    >>> from calsweep.datasets.store import FolderStore
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     truth.write(Path(folder))
    ...     read_truth(FolderStore(Path(folder))).recordings["m1_r1"]["weight_N"].tolist()
    [0.5, 1.0]
    """

    simulator: str
    recordings: Mapping[str, Mapping[str, NDArray[np.generic]]]

    def write(self, folder: Path, /) -> None:
        """Write ``truth.npz`` into the folder of a dataset."""
        arrays = {
            f"{recording}/{name}": values
            for recording, values_of in self.recordings.items()
            for name, values in values_of.items()
        }
        with (folder / TRUTH_FILE).open("wb") as file:
            np.savez_compressed(
                file, allow_pickle=False, **{_SIMULATOR: np.array(self.simulator)}, **arrays
            )


class TruthNotFound(LookupError):
    """A dataset has no truth beside it."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address

    def __str__(self) -> str:
        return (
            f"No truth beside the dataset at {self.address}: there is no {TRUTH_FILE}. "
            "`calsweep simulate` makes datasets that have one."
        )


def read_truth(store: Store, /) -> Truth:
    """Read the truth beside a dataset.

    Raises
    ------
    TruthNotFound
        If there is none: the recordings are real, or were written without it.
    """
    try:
        data = io.BytesIO(store.read(TRUTH_FILE))
    except FileNotFoundError as error:
        raise TruthNotFound(store.address) from error
    recordings: dict[str, dict[str, NDArray[np.generic]]] = {}
    with np.load(data, allow_pickle=False) as arrays:
        for key in arrays.files:
            recording, _, name = key.rpartition("/")
            if recording:
                recordings.setdefault(recording, {})[name] = arrays[key]
        return Truth(simulator=str(arrays[_SIMULATOR]), recordings=recordings)


class Simulator(Protocol):
    """Makes recordings from a seed, and knows how: a frozen dataclass of its settings."""

    def recordings(self) -> Iterator[Recording]:
        """Give each recording in turn."""
        ...

    def truth(self) -> Truth:
        """Give what there is to know of them."""
        ...
