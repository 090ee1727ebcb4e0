"""The dataset of a sweep as a page reaches it: within a moment, or with the reason why not yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from calsweep.dashboards.web.asked import Asked
from calsweep.dashboards.web.shelf import Reading
from calsweep.datasets.manifest import Manifest
from calsweep.platform.record import SweepRecord

if TYPE_CHECKING:
    from calsweep.datasets.dataset import Dataset

OPENED_WITHIN_S = 0.7
OPENED_AGAIN_S = 30.0
LISTED_WITHIN_S = 0.4

_Told = TypeVar("_Told")


class NotOpenYet(LookupError):
    """A dataset is being opened."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What lies at the address of a sweep's dataset now.

    Attributes
    ----------
    manifest
        Of what is there, whatever it is.
    content_hash
        Its own, which takes a while to compute.
    """

    manifest: Manifest
    content_hash: str


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


def listing(reading: Reading, /) -> Listing:
    """Give what lies at the address.

    Raises
    ------
    NotOpenYet
        If it has not answered yet.
    OSError, ValueError, LookupError
        If it is gone, refused, or damaged.
    """
    sweep = reading.sweep
    asked: Asked[Listing] = reading.hold(
        ("listing", str(sweep.dataset["address"])),
        lambda: Asked(lambda: _list(sweep), deadline_s=LISTED_WITHIN_S),
    )
    return _answer(asked, "The dataset's address is being asked.")


def manifest_of(reading: Reading, /) -> Manifest:
    """Give the manifest of the dataset that the sweep was trained on.

    Raises
    ------
    NotOpenYet, OSError, ValueError, LookupError
        As `listing`, and if it is another dataset by now.
    """
    found = listing(reading)
    _check_hash(reading.sweep, found.content_hash)
    return found.manifest


def recorded(reading: Reading, recording: str, /) -> Recorded:
    """Give a recording of the dataset, which is opened for it.

    Raises
    ------
    LookupError
        If the dataset is gone, or not open yet.
    OSError, ValueError
        If it cannot be read, is another by now, or holds images alone.
    """
    dataset = _dataset(reading)
    if not dataset.manifest.units:
        raise ValueError(
            "The dataset holds images and no traces, so there is no activity to draw: its frames "
            "are fetched for training alone."
        )
    if recording not in dataset.spans:
        raise ValueError(f"The dataset holds no recording {recording!r}.")
    span = dataset.spans[recording]
    activity_TN = dataset.activity_TN[span]
    mean_N, sd_N = reading.keep(
        ("units", recording),
        lambda: (activity_TN.mean(axis=0, dtype=np.float64), activity_TN.std(axis=0)),
    )
    return Recorded(
        activity_TN=activity_TN,
        label_T=dataset.behavior[str(reading.sweep.dataset["target"])][span],
        mean_N=mean_N,
        sd_N=sd_N,
        manifest=dataset.manifest,
    )


def _dataset(reading: Reading) -> Dataset:
    sweep = reading.sweep
    asked: Asked[Dataset] = reading.hold(
        ("dataset", str(sweep.dataset["address"]), str(sweep.dataset["content_hash"])),
        lambda: Asked(lambda: _open(sweep), deadline_s=OPENED_WITHIN_S, fresh_s=OPENED_AGAIN_S),
    )
    return _answer(asked, "The dataset is being opened: its shards are verified and decoded.")


def _answer(asked: Asked[_Told], waiting: str) -> _Told:
    answer = asked.look()
    if answer.error is not None:
        raise answer.error
    if answer.told is None:
        raise NotOpenYet(waiting)
    return answer.told


def _list(sweep: SweepRecord) -> Listing:
    from calsweep.datasets.dataset import read_manifest
    from calsweep.platform.object_storage.storage import locate

    manifest = read_manifest(locate(str(sweep.dataset["address"])))
    return Listing(manifest=manifest, content_hash=manifest.content_hash)


def _open(sweep: SweepRecord) -> Dataset:
    from calsweep.datasets.dataset import open_dataset
    from calsweep.platform.object_storage.storage import locate
    from calsweep.platform.places import cache_folder, open_cache

    home = sweep.folder.parent.parent
    address = str(sweep.dataset["address"])
    dataset = open_dataset(locate(address), cache=open_cache(cache_folder(home)))
    _check_hash(sweep, dataset.manifest.content_hash)
    return dataset


def _check_hash(sweep: SweepRecord, content_hash: str) -> None:
    address, wanted = str(sweep.dataset["address"]), str(sweep.dataset["content_hash"])
    if content_hash != wanted:
        raise ValueError(
            f"The dataset at {address} is another than the sweep was trained on (hash "
            f"{content_hash[:12]}, not {wanted[:12]}), so nothing of it is shown."
        )
