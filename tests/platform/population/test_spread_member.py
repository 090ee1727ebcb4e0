"""Members that two processes train together: to rounding what one process comes to."""

from dataclasses import replace

import pytest

from calsweep.datasets.fold import animal_folds
from calsweep.platform.fold.fold_task import FoldTask
from calsweep.platform.fold.training import Training
from calsweep.platform.plain import to_plain
from calsweep.platform.population.decoder_learner import DecoderLearners
from calsweep.platform.population.evolution import Evolution
from calsweep.platform.population.member import read_member
from calsweep.platform.provenance import code_version
from calsweep.platform.resources import Resources
from calsweep.platform.settings import Settings
from calsweep.search_spaces.population import Population
from calsweep.search_spaces.space import Space
from calsweep.trainables.recurrent import Cell, Recurrent

RATE = "training.learning_rate"


@pytest.fixture
def evolution(mice, tmp_path):
    plan = animal_folds(mice.manifest, target="run")
    settings = Settings(
        trainables=Recurrent(cell=Cell.GRU, n_hidden=4),
        datasets=mice.view(length=5),
        training=Training(batch_size=256, epoch_fraction=0.5),
    )
    task = FoldTask(
        settings=to_plain(settings),
        fold=plan.folds[0],
        seed=0,
        dataset_hash=mice.manifest.content_hash,
        plan_hash=plan.content_hash,
        code=code_version(),
        folder=tmp_path / "folds",
        cache=tmp_path / "cache",
    )
    return Evolution(
        learners=DecoderLearners(tasks=(task,), searched={RATE: (1e-3, 1e-2)}),
        space=Space(training={"learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}}),
        population=Population(size=2, generations=2, generation=2),
        seed=0,
        folder=tmp_path / "one",
        say=lambda _: None,
    )


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_two_processes_a_member_come_to_what_one_does(evolution, tmp_path):
    alone = evolution.run()
    two = Resources(num_workers=2, checkpoint_s=0.0)
    spread = replace(evolution, folder=tmp_path / "two", resources=two).run()
    for generation in (1, 2):
        ours, theirs = (one.generation(generation) for one in (spread, alone))
        for member in (1, 2):
            assert ours[member].parent == theirs[member].parent
            assert ours[member].values == theirs[member].values
            assert ours[member].score == pytest.approx(theirs[member].score, rel=1e-4)
            assert ours[member].attempt == 1
    # What they leave is read by one process, as the population's end does.
    state = read_member(spread.place(generation=2, member=1))["state"]
    evolution.learners.build(seed=0).load_state(state)
