"""Processes of a running sweep are killed: workers, trials, drivers. Nothing is lost or doubled."""

import random
import time

import pytest

from tests.platform import swept

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
WORKER, TRIAL = "ray::fold", "ray::ResourceTrainable"


@pytest.mark.parametrize(
    "n_drivers", [3, pytest.param(10, marks=pytest.mark.nightly)], ids=lambda n: f"{n}-drivers"
)
def test_workers_trials_and_drivers_killed(mice, undisturbed, tmp_path, n_drivers):
    """Each at a moment of its own, from before the first fold on to the last but a few."""
    moments = random.Random(n_drivers)
    sweep = swept.Sweep(mice.folder, tmp_path)
    last = {}
    for n_done in sorted(moments.sample(range(swept.N_FOLDS - 5), n_drivers)):
        with sweep.running() as driver:
            for title in moments.sample([WORKER, TRIAL, WORKER], moments.randint(0, 2)):
                before = sweep.folds
                if len(before) < n_done - 2:
                    sweep.wait_for(moments.randint(len(before), n_done - 2), driver)
                    sweep.kill(title)
            sweep.wait_for(n_done, driver)
            time.sleep(moments.uniform(0, 1))
            assert sweep.folds.items() >= last.items()
            driver.kill()
            last = sweep.folds
    said = sweep.run()
    assert "Honest figure: test AUC" in said
    sweep.check(like=undisturbed, before=last)


def test_workers_and_trials_killed_again_and_again(mice, undisturbed, tmp_path):
    """The driver lives on: it makes up for each by itself."""
    moments = random.Random(0)
    sweep = swept.Sweep(mice.folder, tmp_path)
    titles = moments.sample([WORKER] * 4 + [TRIAL] * 2, 6)
    with sweep.running() as driver:
        for title, n_done in zip(titles, sorted(moments.sample(range(70), 6)), strict=True):
            before = sweep.wait_for(n_done, driver)
            sweep.kill(title)
        driver.ended()
    sweep.check(like=undisturbed, before=before)
