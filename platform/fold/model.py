"""A trained fold's model: weights and typed settings in plain files, used on new recordings.

    model.safetensors   weights, and the scaling fitted on the training part
    model.json          decoder, view and the units, rate and behavior it was trained on

Nothing is pickled: loading builds calsweep's own types and fills in numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from calsweep.datasets.split import FrameArray, Scaling
from calsweep.datasets.view import View
from calsweep.datasets.window import window_starts
from calsweep.platform.errors import first_line
from calsweep.platform.fold.inference import predict
from calsweep.platform.fold.probability import to_columns
from calsweep.platform.fold.weights import without_weights
from calsweep.platform.plain import from_plain, to_plain
from calsweep.trainables.decoder import Decoder, Problem

FORMAT = 2


class UnitsDiffer(ValueError):
    """Activity has other units than a model was trained on."""

    def __init__(self, missing: tuple[str, ...], n_units: int, n_there: int) -> None:
        super().__init__(missing, n_units, n_there)
        self.missing = missing
        self.n_units = n_units
        self.n_there = n_there

    def __str__(self) -> str:
        some = ", ".join(self.missing[:5])
        return (
            f"The model needs {self.n_units} units by name, but of these {len(self.missing)} are "
            f"missing among the {self.n_there} of the dataset: {some}. Ingest the recordings with "
            "the same unit names as those it was trained on."
        )


class TrainedModel(Protocol):
    """What is used on recordings: the model of one fold, or several as one.

    The attributes are those of `FoldModel`.
    """

    @property
    def view(self) -> View:
        """How activity is presented to it."""
        ...

    @property
    def units(self) -> tuple[str, ...]:
        """Names of the units, in its order; none if it sees images."""
        ...

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Height and width of the images it sees."""
        ...

    @property
    def rate_hz(self) -> float:
        """Frames per second of what it was trained on."""
        ...

    @property
    def n_classes(self) -> int:
        """Classes that it tells apart."""
        ...

    def columns(self, units: tuple[str, ...], /) -> list[int]:
        """Give the places of the model's units among those of a recording."""
        ...

    def probabilities(
        self, frames: FrameArray, /, *, trial_T: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Give the probability of each class at each frame of one recording."""
        ...


@dataclass(frozen=True, kw_only=True)
class FoldModel:
    """A decoder with its weights and everything needed to use it on another recording.

    Attributes
    ----------
    decoder
        The typed configuration that built it.
    view
        How activity is presented to it: transforms and window.
    units
        Names of the units, in its order; none if it sees images.
    image_shape
        Height and width of the images it sees; ``None`` if it sees units.
    rate_hz
        Frames per second of what it was trained on.
    scaling
        Fitted on its training part.
    state
        Weights by name.
    n_classes
        Classes that it tells apart.
    """

    decoder: Decoder
    view: View
    units: tuple[str, ...]
    rate_hz: float
    scaling: Scaling
    state: Mapping[str, torch.Tensor]
    n_classes: int = 2
    image_shape: tuple[int, int] | None = None

    def save(self, folder: Path, /) -> None:
        """Write the model into a new folder."""
        folder.mkdir(parents=True)
        tensors = {f"weight.{name}": value.contiguous() for name, value in self.state.items()}
        tensors["scaling.offset"] = torch.from_numpy(self.scaling.offset_N.copy())
        tensors["scaling.scale"] = torch.from_numpy(self.scaling.scale_N.copy())
        save_file(tensors, folder / "model.safetensors")
        described = {
            "format": FORMAT,
            "decoder": to_plain(self.decoder),
            "view": to_plain(self.view),
            "units": list(self.units),
            "rate_hz": self.rate_hz,
            "n_classes": self.n_classes,
            "image_shape": self.image_shape,
        }
        (folder / "model.json").write_text(json.dumps(described, indent=1))

    @classmethod
    def load(cls, folder: Path, /) -> FoldModel:
        """Read a model.

        Raises
        ------
        ValueError
            If the folder holds no model, a damaged one, or one of another format.
        """
        described, tensors = _read(folder)
        if described.get("format") != FORMAT:
            got = described.get("format")
            raise ValueError(f"{folder} holds a model of format {got}, but {FORMAT} is read here.")
        try:
            scaling = Scaling(
                offset_N=tensors.pop("scaling.offset").numpy(),
                scale_N=tensors.pop("scaling.scale").numpy(),
            )
            model = cls(
                decoder=from_plain(described["decoder"]),
                view=from_plain(described["view"]),
                units=tuple(described["units"]),
                rate_hz=described["rate_hz"],
                n_classes=described["n_classes"],
                image_shape=_pair(described["image_shape"]),
                scaling=scaling,
                state={name.removeprefix("weight."): value for name, value in tensors.items()},
            )
            model.module()
        except KeyError as error:
            raise _damaged(folder, f"it has no {error}") from error
        except (ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise _damaged(folder, first_line(error)) from error
        return model

    def probabilities(
        self, frames: FrameArray, /, *, trial_T: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Give the probability of each class at each frame of one recording.

        Parameters
        ----------
        frames
            As recorded: of shape ``(time, unit)``, units in the model's order, or images, of shape
            ``(time, height, width)``, after the steps that need the recording alone
            (`calsweep.datasets.view.prepare_images`).
        trial_T
            Shape ``(time,)``; windows do not cross a change.

        Returns
        -------
        probability_TC
            Shape ``(time, class)``, at the frame that a window decodes; NaN where no whole window
            is.
        """
        starts_W = window_starts(trial_T, window=self.view.window)
        probability_TC = np.full((len(frames), self.n_classes), np.nan, dtype=np.float32)
        if self.image_shape is None:
            frames = self.view.transforms.apply(frames[:])
        if len(starts_W):
            probability_TC[starts_W + self.view.window.target_offset] = predict(
                self.module(),
                frames=frames,
                starts_W=starts_W,
                scaling=self.scaling,
                window_length=self.view.window.length,
                probability=self.decoder.probability,
            )
        return probability_TC

    def module(self) -> nn.Module:
        """Build the decoder's module with the trained weights."""
        problem = Problem(
            frame_shape=self.image_shape or (len(self.units),),
            window_length=self.view.window.length,
            class_shares=(1 / self.n_classes,) * self.n_classes,
        )
        module = without_weights(self.decoder).build(problem)
        module.load_state_dict(dict(self.state))
        return module

    def columns(self, units: tuple[str, ...], /) -> list[int]:
        """Give the places of the model's units among those of a recording.

        Raises
        ------
        UnitsDiffer
            If some are missing.
        """
        place = {unit: i for i, unit in enumerate(units)}
        missing = tuple(unit for unit in self.units if unit not in place)
        if missing:
            raise UnitsDiffer(missing, len(self.units), len(units))
        return [place[unit] for unit in self.units]


class FrameModel:
    """A model as MLflow calls it: a table of frames in, a probability for each out."""

    def __init__(self, model: TrainedModel, /) -> None:
        self.model = model

    def predict(
        self,
        model_input: pd.DataFrame,
        params: Mapping[str, Any] | None = None,  # noqa: ARG002 - MLflow's signature
    ) -> pd.DataFrame:
        """Give the probability of the behavior, or of each of its classes, for each row.

        Parameters
        ----------
        model_input
            One row a frame, in order of time, one column a unit; ``recording`` and ``trial`` tell
            frames apart that do not follow each other.
        params
            Not used.

        Returns
        -------
        probability
            One column of this name, or with more than two classes ``probability_0`` and so on; one
            row a frame; NaN where no whole window is.
        """
        if self.model.image_shape:
            raise ValueError(
                "this model reads images, which a table of frames does not hold: use it on a "
                "dataset with `calsweep predict`."
            )
        rows = model_input.reset_index(drop=True)
        probability_TC = np.full((len(rows), self.model.n_classes), np.nan, dtype=np.float32)
        recordings = rows.get("recording", pd.Series("", index=rows.index)).fillna("")
        for _, part in rows.groupby(recordings, sort=False):
            trials = part.get("trial", pd.Series(0, index=part.index)).fillna(0)
            trial_T = pd.factorize(trials)[0]  # any numbers or names tell trials apart
            probability_TC[part.index] = self.model.probabilities(
                part[list(self.model.units)].to_numpy(np.float32),
                trial_T=trial_T.astype(np.int32),
            )
        return pd.DataFrame(to_columns(probability_TC), index=model_input.index)


def _load_pyfunc(path: str) -> FrameModel:
    """Load a model for MLflow, which calls this by name."""
    return FrameModel(FoldModel.load(Path(path)))


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        described = json.loads((folder / "model.json").read_text())
        tensors = load_file(folder / "model.safetensors")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(f"{folder} holds no model of calsweep.") from error
    except (ValueError, SafetensorError) as error:
        raise _damaged(folder, first_line(error)) from error
    if not isinstance(described, dict):
        raise _damaged(folder, "model.json is no table")
    return described, tensors


def _pair(plain: list[int] | None) -> tuple[int, int] | None:
    return None if plain is None else (plain[0], plain[1])


def _damaged(folder: Path, what: str) -> ValueError:
    return ValueError(
        f"the model in {folder} is damaged: {what.rstrip('.')}. Promote it anew from its sweep, or "
        "copy the folder again."
    )
