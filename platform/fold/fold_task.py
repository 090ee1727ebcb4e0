"""One fold to train: what decides its result, and where the result lies.

It is made and read where nothing is trained, so it loads no engine;
`calsweep.platform.fold.fold_run` does the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calsweep.datasets.fold import Fold
from calsweep.platform.plain import content_hash, to_plain


@dataclass(frozen=True, kw_only=True)
class FoldTask:
    """All that a process needs to train one fold.

    Attributes
    ----------
    settings
        The configuration as plain data (`calsweep.platform.settings.Settings`).
    fold
        Which stretches train, validate and test.
    seed
        Of weights and sample order.
    dataset_hash, plan_hash, code
        Dataset, fold plan and version of the code that the sweep was begun with.
    folder
        Folder of the sweep's trained folds, reached from every node.
    cache
        Folder on each node for decoded frames.
    history
        Of a member of a population, what it went through before it had these settings: seeds and
        values over generations, as plain data.
    """

    settings: Mapping[str, Any]
    fold: Fold
    seed: int
    dataset_hash: str
    plan_hash: str
    code: str
    folder: Path
    cache: Path
    history: tuple[Any, ...] = ()

    @property
    def key(self) -> str:
        """Content hash of all that decides the result: not where data and result lie."""
        view = {**self.settings["datasets"], "address": self.dataset_hash}
        settings = {**self.settings, "datasets": view}
        what = [settings, to_plain(self.fold), self.seed, self.plan_hash, self.code]
        return content_hash([*what, *self.history])[:32]

    @property
    def place(self) -> Path:
        """Folder of this fold's result."""
        return self.folder / self.key


def fold_seed(seed: int, fold: int, /) -> int:
    """Give the seed of one fold, the same for every configuration of a sweep.

    Examples
    --------
    >>> fold_seed(0, 0) == fold_seed(0, 0) != fold_seed(0, 1)
    True
    """
    return int(np.random.SeedSequence([seed, fold]).generate_state(1)[0] >> 1)
