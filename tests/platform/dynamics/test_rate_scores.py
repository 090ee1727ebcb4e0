"""Every score of R on trials whose rates are known, and the page that draws them."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from calsweep.dashboards.rates_report import render
from calsweep.datasets.recording import Recording
from calsweep.datasets.shard_writer import write_dataset
from calsweep.platform.config import compose_dynamics
from calsweep.platform.dynamics.rate_scores import INFERRED, SMOOTHED, Asked, score_rates

N_TRIALS, N_BINS, N_NEURONS = 24, 50, 12
BIN_S = 0.03
ASKED = Asked(onset="moves", subgroup="group", smooth_ms=40.0)


def trials():
    """Give rates of trials of two conditions and two groups, which step up at an onset."""
    rng = np.random.default_rng(0)
    onset_R = rng.integers(12, 30, N_TRIALS)
    moves_RT = np.arange(N_BINS) >= onset_R[:, None]
    condition_R, group_R = (rng.permutation(np.arange(N_TRIALS) % 2) for _ in range(2))
    by_condition, by_group, step = rng.uniform(0.2, 0.6, (3, N_NEURONS))
    rates_RTN = 0.05 + (
        moves_RT[:, :, None] * 2 * step
        + (condition_R[:, None, None] * by_condition)
        + (group_R[:, None, None] * by_group)
    )
    return rates_RTN, moves_RT, condition_R, group_R, onset_R


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """A population that inferred the true rates."""
    return inferred(tmp_path_factory.mktemp("home"))


def inferred(home, *more, n_missing=0, beyond=0.0):
    """Leave the true rates as if a population had; the first trial may be shorter than the others.

    Beyond its end stand some numbers, as a model gives them there too.
    """
    rates_RTN, moves_RT, condition_R, group_R, _ = trials()
    events_RTN = np.random.default_rng(1).poisson(rates_RTN).astype(np.float32)
    is_there_RT = np.ones(moves_RT.shape, dtype=bool)
    is_there_RT[0, N_BINS - n_missing :] = False

    def of_trials(values_R):
        return np.repeat(values_R, N_BINS)

    recording = Recording(
        subject="m1",
        name="m1_1",
        activity_TN=events_RTN[is_there_RT],
        behavior={
            "condition": of_trials(condition_R)[is_there_RT.ravel()],
            "group": of_trials(group_R)[is_there_RT.ravel()],
            "moves": moves_RT[is_there_RT].astype(np.int64),
            "paw": rates_RTN.sum(axis=2)[is_there_RT],
        },
        behavior_unit={},
        rate_hz=1 / BIN_S,
        units=tuple(f"n{n}" for n in range(N_NEURONS)),
        trial_T=of_trials(np.arange(N_TRIALS, dtype=np.int32))[is_there_RT.ravel()],
    )
    write_dataset([recording], folder=home / "dataset")
    settings = compose_dynamics(
        [
            f"datasets.address={home / 'dataset'}", f"home={home}", "name=known",
            "trainables=lfads", "datasets.condition=condition", "datasets.measures=[paw]", *more,
        ]
    )  # fmt: skip
    rates_RTN[~is_there_RT] = beyond
    settings.folder.mkdir(parents=True)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(rates_RTN.ravel(), pa.float32()), N_NEURONS)
    trial = of_trials(np.arange(N_TRIALS, dtype=np.int32))
    table = pa.table({"trial": trial, "rates": lists})
    pq.write_table(table, settings.file_of("m1_1"), write_page_checksum=True)
    best = {"member": 1, "generation": 2, "loss": 0.5, "values": {}}
    (settings.folder / "best.json").write_text(json.dumps(best))
    return settings


def test_known_rates_are_better_by_every_score(settings):
    (score,) = score_rates(settings, ASKED)
    assert [(one.what, one.over, one.n) for one in score.better] == [
        ("tell the state", "folds of trials", 5),
        ("go with the mean of other trials", "neurons", N_NEURONS),
        ("keep trials with their subgroup", "trials", N_TRIALS),
        ("tell when movement begins", "trials", N_TRIALS),
    ]
    assert [one.test.p < 0.05 for one in score.better] == [True] * 4
    assert score.states[INFERRED].by_dimension[0] > 0.999 > score.states[SMOOTHED].by_dimension[0]
    *_, onset_R = trials()
    np.testing.assert_allclose(score.onset_s, onset_R * BIN_S)
    # A bin early or late: the classifier's border lies between the means of either side.
    assert np.abs(score.predicted_s[INFERRED] - score.onset_s).max() <= BIN_S + 1e-9
    assert set(score.paths) == {INFERRED, SMOOTHED}
    assert score.coherences[INFERRED].coherence_QD[1:5].min() > 0.99


def test_page_draws_and_tests_every_score(settings):
    page = render(settings, ASKED, score_rates(settings, ASKED))
    for drawn in (
        "states", "coherence", "means", "paths-inferred", "paths-smoothed", "ratios", "onsets",
    ):  # fmt: skip
        assert f'id="m1_1-{drawn}"' in page
    assert page.count("Paired t over") == 4
    assert "Do inferred rates tell when movement begins better than smoothed events?" in page
    assert "r of onsets" in page


def test_what_a_short_trial_is_filled_up_with_has_no_part(tmp_path):
    short = {"n_missing": 10}
    (one, other) = (
        score_rates(inferred(tmp_path / name, "datasets.unequal=pad", beyond=x, **short), ASKED)[0]
        for name, x in (("a", 0.0), ("b", 100.0))
    )
    for name in (INFERRED, SMOOTHED):
        assert np.array_equal(one.correlations[name], other.correlations[name])
        assert np.array_equal(one.states[name].r2_FD, other.states[name].r2_FD)
        assert np.array_equal(one.predicted_s[name], other.predicted_s[name])
    assert one.ratios[INFERRED].shape == one.paths[INFERRED].trial_BTD.shape[:2] == (24, 40)
    assert np.array_equal(one.paths[INFERRED].trial_BTD, other.paths[INFERRED].trial_BTD)


def test_rates_that_are_not_there_yet_say_how_they_come(settings):
    settings.file_of("m1_1").rename(settings.folder / "aside")
    with pytest.raises(FileNotFoundError, match="give the command that began known again"):
        score_rates(settings, ASKED)
    (settings.folder / "aside").rename(settings.file_of("m1_1"))
