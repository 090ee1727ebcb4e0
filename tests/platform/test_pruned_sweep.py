"""A sweep whose space has clear losers trains a third fewer folds, and finds the same winner."""

import pytest

from calsweep.platform.command import main
from calsweep.platform.leaderboard import best_trial, leaderboard
from calsweep.platform.record import BASELINE, TrialState
from calsweep.platform.record_reader import read_sweep

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
# With all but the first, nothing is learnt. Those that train beside the first have no rival yet.
RATES = "[5e-3,1e-6,2e-6,3e-6,4e-6,5e-6,6e-6,7e-6,8e-6,9e-6,1e-7]"
N_FOLDS = 12 * 20


def sweep(mice, home, name, *more):
    arguments = [
        "sweep", f"home={home}", f"name={name}", f"datasets.address={mice.folder}",
        "datasets.window.length=11", "training.epochs=1", "training.batch_size=64",
        "baseline_training.epochs=1", "tuner=grid", "~search_spaces",
        f"+search_spaces.training.learning_rate.choices={RATES}", *more,
    ]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    return read_sweep(home, name)


@pytest.fixture(scope="module")
def sweeps(mice, tmp_path_factory, local_ray):
    home = tmp_path_factory.mktemp("home")
    whole = sweep(mice, home, "whole")
    return whole, sweep(mice, home, "pruned", "pruning.method=wilcoxon")


def winner(swept):
    """The best of those that were searched."""
    return next(row.trial for row in leaderboard(swept) if not row.trial.is_baseline)


def n_trained(swept):
    return sum(1 for _ in (swept.folder / "folds").glob("[!.]*"))


def test_a_third_of_the_folds_is_saved_and_the_winner_is_the_same(sweeps):
    whole, pruned = sweeps
    assert n_trained(whole) == N_FOLDS
    assert n_trained(pruned) <= N_FOLDS * 2 / 3
    assert winner(pruned).values == winner(whole).values == {"training.learning_rate": 5e-3}
    assert best_trial(pruned).name == best_trial(whole).name


def test_record_says_what_was_pruned_after_how_many_folds_against_whom(sweeps):
    _, pruned = sweeps
    assert pruned.is_over
    states = {trial.name: trial.state for trial in pruned.trials}
    assert states[BASELINE] is states["trial 1"] is TrialState.DONE
    ended = [trial for trial in pruned.trials if trial.state is TrialState.PRUNED]
    assert len(ended) >= 5  # all that could be compared with the first
    for trial in ended:
        assert len(trial.folds) == trial.pruned.n_folds >= 5
        assert trial.pruned.against == "trial 1"
        assert trial.pruned.p < 0.05
        assert trial.pruned.mean_difference < 0


def test_what_is_not_pruned_comes_to_the_same(sweeps):
    whole, pruned = sweeps
    kept = {trial.name for trial in pruned.finished}
    assert [[fold.test for fold in trial.folds] for trial in pruned.finished] == [
        [fold.test for fold in trial.folds] for trial in whole.trials if trial.name in kept
    ]


def test_leaderboard_and_report_say_so(sweeps, capsys):
    _, pruned = sweeps
    for command in ("leaderboard", "report"):
        with pytest.raises(SystemExit):
            main([command, "pruned", "--home", str(pruned.folder.parent.parent)])
    out = " ".join(capsys.readouterr().out.split())
    assert "trial 7 was pruned after" in out
    assert "below trial 1 on them (p = 0.0" in out
    page = (pruned.folder / "report.html").read_text()
    assert "pruned after" in page
    assert "below trial 1 on them" in page
