"""The models of several folds of one configuration as one: the mean of their probabilities.

ensemble.json       how many there are
members/00/         the first one's model (`calsweep.platform.fold.model`), and so on
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.split import FrameArray
from calsweep.datasets.view import View
from calsweep.platform.errors import first_line
from calsweep.platform.fold.model import FoldModel, FrameModel, TrainedModel

FORMAT = 1
_FILE = "ensemble.json"


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Models that were trained alike on different parts of one dataset.

    Attributes
    ----------
    members
        At least one; all see the same units in the same window.

    Raises
    ------
    ValueError
        If there is none, or one reads something else than the first.
    """

    members: tuple[FoldModel, ...]

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError("an ensemble needs at least one model, but got none.")
        for i, member in enumerate(self.members):
            if _reads(member) != _reads(self.members[0]):
                raise ValueError(
                    "models of an ensemble must read the same units at one rate, in the same "
                    f"window, and tell the same classes apart, but model {i} differs from the "
                    "first: take folds of one configuration."
                )

    @property
    def view(self) -> View:
        """How activity is presented to each."""
        return self.members[0].view

    @property
    def units(self) -> tuple[str, ...]:
        """Names of the units, in their order; none if they see images."""
        return self.members[0].units

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Height and width of the images they see; ``None`` if they see units."""
        return self.members[0].image_shape

    @property
    def rate_hz(self) -> float:
        """Frames per second of what they were trained on."""
        return self.members[0].rate_hz

    @property
    def n_classes(self) -> int:
        """Classes that they tell apart."""
        return self.members[0].n_classes

    def columns(self, units: tuple[str, ...], /) -> list[int]:
        """Give the places of the models' units among those of a recording.

        Raises
        ------
        UnitsDiffer
            If some are missing.
        """
        return self.members[0].columns(units)

    def probabilities(
        self, frames: FrameArray, /, *, trial_T: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Give the mean probability of each class at each frame of one recording.

        Parameters and result are those of `FoldModel.probabilities`.
        """
        total_TC = np.zeros((len(frames), self.n_classes), dtype=np.float64)
        for member in self.members:
            total_TC += member.probabilities(frames, trial_T=trial_T)
        return (total_TC / len(self.members)).astype(np.float32)

    def save(self, folder: Path, /) -> None:
        """Write the models into a new folder."""
        folder.mkdir(parents=True)
        for i, member in enumerate(self.members):
            member.save(_place(folder, i))
        described = {"format": FORMAT, "n_members": len(self.members)}
        (folder / _FILE).write_text(json.dumps(described))

    @classmethod
    def load(cls, folder: Path, /) -> Ensemble:
        """Read the models.

        Raises
        ------
        ValueError
            If the folder holds no ensemble, or one of its models is missing or damaged.
        """
        try:
            described = json.loads((folder / _FILE).read_text())
            known, n_members = described["format"] == FORMAT, int(described["n_members"])
        except FileNotFoundError as error:
            raise ValueError(f"{folder} holds no ensemble of calsweep.") from error
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"the ensemble in {folder} is damaged: {first_line(error)}. Promote it anew."
            ) from error
        if not known:
            got = described["format"]
            raise ValueError(
                f"{folder} holds an ensemble of format {got}, but {FORMAT} is read here."
            )
        return cls(members=tuple(FoldModel.load(_place(folder, i)) for i in range(n_members)))


def read_model(folder: Path, /) -> TrainedModel:
    """Read a model of one fold or an ensemble, whichever a folder holds.

    Raises
    ------
    ValueError
        If it holds neither, or what it holds is damaged.
    """
    return Ensemble.load(folder) if (folder / _FILE).exists() else FoldModel.load(folder)


def _load_pyfunc(path: str) -> FrameModel:
    """Load an ensemble for MLflow, which calls this by name."""
    return FrameModel(Ensemble.load(Path(path)))


def _place(folder: Path, i: int) -> Path:
    return folder / "members" / f"{i:02d}"


def _reads(model: FoldModel) -> tuple[object, ...]:
    view = model.view
    seen = (view.window, view.transforms, view.inputs, view.target)
    return (*seen, model.units, model.image_shape, model.rate_hz, model.n_classes)
