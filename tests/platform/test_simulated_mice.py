"""What the whole way must find in mice whose behavior is known: and nothing in permuted labels."""

import statistics

import pytest

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import open_dataset
from calsweep.datasets.fold import animal_folds
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.simulation import Simulation
from calsweep.datasets.store import FolderStore
from calsweep.datasets.view import Labels, split_fold
from calsweep.platform.config import compose_settings
from calsweep.platform.fold.fold_task import fold_seed
from calsweep.platform.fold.loop import train_fold

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    write_dataset(Simulation(seed=3).recordings(), folder=folder / "mice")
    return folder


def mean_test_auc(place, *, decoder=None, labels=Labels.OBSERVED, every=1):
    """Train on every so-manieth of the 20 folds, as a sweep does it."""
    settings = compose_settings(
        [
            f"datasets.address={place / 'mice'}",
            f"datasets.labels={labels.value}",
            "training.epochs=4",
            "training.learning_rate=3e-3",
        ]
    )
    chosen = settings.linear if decoder == "linear" else settings.start
    dataset = open_dataset(FolderStore(place / "mice"), cache=Cache(place / "cache"))
    plan = animal_folds(dataset.manifest, target="run")
    return statistics.fmean(
        train_fold(
            chosen.trainables,
            data=split_fold(
                dataset,
                chosen.datasets,
                fold,
                seed=fold_seed(0, fold.index),
                cache=Cache(place / "cache"),
            ),
            training=chosen.training,
            seed=fold_seed(0, fold.index),
        ).test.auc
        for fold in plan.folds[::every]
    )


def test_gru_decodes_mice_never_seen_and_beats_the_linear_baseline(place):
    gru = mean_test_auc(place, every=4)  # each mouse tests once
    linear = mean_test_auc(place, decoder="linear", every=4)
    assert gru > 0.93
    assert linear > 0.8  # it is given its best, too
    assert gru > linear


def test_permuted_labels_decode_nothing(place):
    assert 0.45 < mean_test_auc(place, labels=Labels.PERMUTED) < 0.55
