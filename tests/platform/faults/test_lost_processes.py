"""Processes of a running sweep are killed: workers, trials, drivers. Nothing is lost or doubled."""

import random
import time

import pytest

from tests.platform import swept
from tests.platform.swept import TRIAL, WORKER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    "n_drivers", [2, pytest.param(10, marks=pytest.mark.nightly)], ids=lambda n: f"{n}-drivers"
)
def test_workers_trials_and_drivers_killed(mice, undisturbed, tmp_path, n_drivers):
    """Each at a moment of its own; the last driver lives on and makes up for each by itself."""
    moments = random.Random(n_drivers)
    sweep = swept.Sweep(mice.folder, tmp_path)
    last = {}
    for n_done in sorted(moments.sample(range(swept.N_FOLDS // 2), n_drivers)):
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
    titles = moments.sample([WORKER] * 3 + [TRIAL], 4)
    with sweep.running() as driver:
        for title in titles:
            before = sweep.wait_for(min(len(sweep.folds) + 6, 70), driver)
            assert before.items() >= last.items()
            sweep.kill(title)
        assert "Honest figure: test AUC" in driver.ended()
    sweep.check(like=undisturbed, before=before)
