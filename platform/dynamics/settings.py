"""The typed settings of a population of models of dynamics (LFADS, RADICaL)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from calsweep.datasets.dataset import Dataset, open_dataset
from calsweep.datasets.mask import Mask, UnitMask
from calsweep.datasets.sub_frame import in_sub_frame_bins
from calsweep.datasets.trial_view import TrialView, UnequalTrials, view_trials
from calsweep.platform.dynamics.lfads_learner import LfadsTraining
from calsweep.platform.object_storage.storage import locate
from calsweep.platform.places import cache_folder, check_name, default_home, open_cache
from calsweep.platform.plain import content_hash, to_plain
from calsweep.platform.record import dynamics_folder
from calsweep.platform.resources import Resources
from calsweep.search_spaces.population import Population
from calsweep.search_spaces.space import Space
from calsweep.trainables.lfads.model import Lfads
from calsweep.trainables.lfads.observation import Poisson


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Which trials of a dataset a model of dynamics sees, and how.

    Attributes
    ----------
    address
        Of the dataset.
    beside
        Addresses of further ones, whose recordings are modelled together with its own: neurons
        differ from one day to the next, and a dataset has the same in all its recordings.
    recordings
        Names of those to model together; by default all.
    condition
        Label that says of which condition a trial is.
    measures
        Behaviors, as latent states or kinematics, to compare rates with.
    bins_per_frame
        Above 1, frames are divided, and each neuron lies in the bin in which it was scanned.
    valid_share
        Share of trials that validates.
    unequal
        What becomes of trials of unequal length.
    mask
        Which neurons are seen, as R drops them: all others are left out.
    """

    address: str
    beside: tuple[str, ...] = ()
    recordings: tuple[str, ...] = ()
    condition: str = ""
    measures: tuple[str, ...] = ()
    bins_per_frame: int = 1
    valid_share: float = 0.2
    unequal: UnequalTrials = UnequalTrials.REFUSE
    mask: Mask = field(default_factory=UnitMask)

    def __post_init__(self) -> None:
        if self.bins_per_frame < 1:
            raise ValueError(f"`bins_per_frame >= 1` must hold, but got {self.bins_per_frame=}.")

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where its datasets lie."""
        return (self.address, *self.beside)

    def with_addresses(self, addresses: Sequence[str], /) -> Trials:
        """Give the same trials of datasets that lie elsewhere."""
        address, *beside = addresses
        return dataclasses.replace(self, address=address, beside=tuple(beside))

    def sources(self, datasets: Sequence[Dataset], /) -> dict[str, Dataset]:
        """Give the recordings that are modelled together, each with its dataset.

        Raises
        ------
        ValueError
            If one is not there, or two datasets have one of the same name.
        """
        found: dict[str, Dataset] = {}
        for dataset in datasets:
            for name in dataset.spans:
                if name in found:
                    raise ValueError(
                        "recordings that are modelled together must differ in their names, but "
                        f"two of the datasets have {name!r}: ingest one under another name."
                    )
                found[name] = dataset
        for name in self.recordings:
            if name not in found:
                raise ValueError(f"there is no recording {name!r}. There are: {', '.join(found)}.")
        return {name: found[name] for name in self.recordings or found}

    def views(self, datasets: Sequence[Dataset], /, *, seed: int) -> tuple[TrialView, ...]:
        """Lay the trials of each recording side by side.

        Parameters
        ----------
        datasets
            Opened from `addresses`.
        seed
            Of the trials that validate.

        Raises
        ------
        ValueError
            If a dataset has not what is named, trials do not suit, or phases are missing where
            frames are to be divided.
        """
        return tuple(
            self._view(dataset, name, seed=seed) for name, dataset in self.sources(datasets).items()
        )

    def with_measures(self, names: Sequence[str], /) -> Trials:
        """Give the same trials with other measures; each stands once."""
        return dataclasses.replace(self, measures=tuple(dict.fromkeys(names)))

    def _view(self, dataset: Dataset, name: str, *, seed: int) -> TrialView:
        seen_N = self.mask.seen(dataset.manifest)
        view = view_trials(
            dataset,
            recording=name,
            condition=self.condition,
            measures=self.measures,
            valid_share=self.valid_share,
            seed=seed,
            unequal=self.unequal,
            seen_N=seen_N,
        )
        if self.bins_per_frame == 1:
            return view
        phases = next(entry.phases for entry in dataset.manifest.recordings if entry.name == name)
        if not phases:
            raise ValueError(
                f"frames of {name} cannot be divided: the dataset does not say when in a frame "
                "each unit is sampled. Take datasets.bins_per_frame=1, or ingest with phases."
            )
        return in_sub_frame_bins(
            view, phase_N=np.array(phases)[seen_N], bins_per_frame=self.bins_per_frame
        )


@dataclass(frozen=True, kw_only=True)
class DynamicsSettings:
    """A population of models of dynamics, and what it leaves.

    Attributes
    ----------
    trainables
        The model.
    datasets
        What it sees. For Poisson, events are cast to counts.
    search_spaces
        What the population varies.
    training
        How members are trained.
    population
        Its size, generations and exploits.
    n_samples
        Posterior samples of a trial that rates are the mean of.
    keep_samples
        Whether what each sample gives is left too, in a file of its own that is `n_samples` times
        as large.
    seed
        Of trials that validate, of the search and of members.
    resources
        What one member takes.
    name, home, tracking_uri, overrides
        As of `calsweep.platform.settings.SweepSettings`.
    """

    trainables: Lfads
    datasets: Trials
    search_spaces: Space
    training: LfadsTraining = field(default_factory=LfadsTraining)
    population: Population = field(
        default_factory=lambda: Population(
            size=20, generation=50, generations=150, patience=25, min_improvement=0.0
        )
    )
    n_samples: int = 50
    keep_samples: bool = False
    seed: int = 0
    resources: Resources = field(default_factory=Resources)
    name: str = ""
    home: Path = field(default_factory=default_home)
    tracking_uri: str = ""
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.n_samples < 1:
            raise ValueError(f"`n_samples >= 1` must hold, but got {self.n_samples=}.")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"`0 <= seed < 2**31` must hold, but got {self.seed=}.")
        check_name(self.name)

    @property
    def intent(self) -> dict[str, Any]:
        """What would be done, wherever and under whatever name, as plain data."""
        plain = to_plain(self)
        return {key: plain[key] for key in plain if key not in _ELSEWHERE}

    @property
    def run_name(self) -> str:
        """As given, or from what would be done."""
        kind = type(self.trainables.observation).__name__.lower()
        return self.name or f"lfads-{kind}-{content_hash(self.intent)[:8]}"

    @property
    def folder(self) -> Path:
        """Where the population and what it leaves lie."""
        return dynamics_folder(self.home) / self.run_name

    def file_of(self, recording: str, /) -> Path:
        """Give where what is inferred of a recording lies: in the folder, whatever its name."""
        return self.folder / f"{quote(recording, safe='')}.parquet"

    def samples_of(self, recording: str, /) -> Path:
        """Give where what single posterior samples of a recording give lies."""
        return self.folder / f"{quote(recording, safe='')}.samples.parquet"

    def views(self, datasets: Sequence[Dataset], /) -> tuple[TrialView, ...]:
        """Give the trials as the model sees them.

        Raises
        ------
        ValueError
            As `Trials.views`, or if there are negative events where counts are wanted.
        """
        views = self.datasets.views(datasets, seed=self.seed)
        if isinstance(self.trainables.observation, Poisson):
            return tuple(view.counts() for view in views)
        return views

    def with_addresses(self, *addresses: str) -> DynamicsSettings:
        """Give the same settings for datasets that lie elsewhere."""
        return dataclasses.replace(self, datasets=self.datasets.with_addresses(addresses))


def datasets_of(settings: DynamicsSettings, /) -> tuple[Dataset, ...]:
    """Open the datasets that a population is asked to model."""
    cache = open_cache(cache_folder(settings.home))
    return tuple(
        open_dataset(locate(address), cache=cache) for address in settings.datasets.addresses
    )


_ELSEWHERE = {"name", "home", "resources", "tracking_uri", "overrides"}
