"""A recording of the dataset that a sweep was trained on, as figures need it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.manifest import Manifest
from calsweep.platform.record import SweepRecord

if TYPE_CHECKING:
    from calsweep.datasets.dataset import Dataset

    Spread = tuple[NDArray[np.float64], NDArray[np.floating]]

# T frames, N units


@dataclass(frozen=True, kw_only=True, eq=False)
class Recorded:
    """One recording of an open dataset.

    Attributes
    ----------
    activity_TN, label_T
        Activity of the units, and classes of the sweep's target.
    mean_N, sd_N
        Of each unit over the recording.
    manifest
        Of the dataset.
    """

    activity_TN: NDArray[np.float32]
    label_T: NDArray[Any]
    mean_N: NDArray[np.float64]
    sd_N: NDArray[np.floating]
    manifest: Manifest

    @property
    def units(self) -> tuple[str, ...]:
        """Names of the units."""
        return self.manifest.units


def dataset_of(sweep: SweepRecord, /) -> Dataset:
    """Open the dataset that a sweep was trained on.

    Raises
    ------
    LookupError, OSError, ValueError
        If it is gone, cannot be read, or is another by now.
    """
    from calsweep.datasets.dataset import open_dataset
    from calsweep.platform.object_storage.storage import locate
    from calsweep.platform.places import cache_folder, open_cache

    home = sweep.folder.parent.parent
    address = str(sweep.dataset["address"])
    dataset = open_dataset(locate(address), cache=open_cache(cache_folder(home)))
    check_same(sweep, dataset.manifest.content_hash)
    return dataset


def check_same(sweep: SweepRecord, content_hash: str, /) -> None:
    """Check that what lies at a sweep's address is what it was trained on.

    Raises
    ------
    ValueError
        If not.
    """
    address, wanted = str(sweep.dataset["address"]), str(sweep.dataset["content_hash"])
    if content_hash != wanted:
        raise ValueError(
            f"The dataset at {address} is another than the sweep was trained on (hash "
            f"{content_hash[:12]}, not {wanted[:12]}), so nothing of it is shown."
        )


def recorded_of(
    dataset: Dataset,
    recording: str,
    /,
    *,
    target: str,
    keep: Callable[[Callable[[], Spread]], Spread] = lambda compute: compute(),
) -> Recorded:
    """Give a recording of an open dataset.

    Parameters
    ----------
    dataset, recording
        The dataset, and the recording's name.
    target
        Behavior that was decoded.
    keep
        Keeps mean and SD of units, which take a pass over the recording.

    Raises
    ------
    ValueError
        If the dataset holds images alone, or no such recording.
    """
    if not dataset.manifest.units:
        raise ValueError(
            "The dataset holds images and no traces, so there is no activity to draw: its frames "
            "are fetched for training alone."
        )
    if recording not in dataset.spans:
        raise ValueError(f"The dataset holds no recording {recording!r}.")
    span = dataset.spans[recording]
    activity_TN = dataset.activity_TN[span]
    mean_N, sd_N = keep(
        lambda: (activity_TN.mean(axis=0, dtype=np.float64), activity_TN.std(axis=0))
    )
    return Recorded(
        activity_TN=activity_TN,
        label_T=dataset.behavior[target][span],
        mean_N=mean_N,
        sd_N=sd_N,
        manifest=dataset.manifest,
    )
