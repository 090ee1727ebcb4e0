"""The dataset of a sweep as a page reaches it: within a moment, or with the reason why not yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from calsweep.dashboards.recorded import Recorded, check_same, dataset_of, recorded_of
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
    check_same(reading.sweep, found.content_hash)
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
    return recorded_of(
        _dataset(reading),
        recording,
        target=str(reading.sweep.dataset["target"]),
        keep=lambda compute: reading.keep(("units", recording), compute),
    )


def _dataset(reading: Reading) -> Dataset:
    sweep = reading.sweep
    asked: Asked[Dataset] = reading.hold(
        ("dataset", str(sweep.dataset["address"]), str(sweep.dataset["content_hash"])),
        lambda: Asked(
            lambda: dataset_of(sweep), deadline_s=OPENED_WITHIN_S, fresh_s=OPENED_AGAIN_S
        ),
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
