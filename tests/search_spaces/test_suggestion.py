"""Where values come from: the same seed, the same values; known trials are kept."""

import pytest

from calsweep.search_spaces.space import Space
from calsweep.search_spaces.suggestion import Tuner, suggestions

SPACE = Space(
    trainables={"n_hidden": {"choices": [8, 16, 32]}},
    training={"learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}},
)


def drawn(tuner, *, seed=0, n=15, known=None, value=lambda values: values["trainables.n_hidden"]):
    source = suggestions(SPACE, tuner=tuner, seed=seed, known=known)
    rows = []
    for number in range(1, n + 1):
        rows.append(dict(source.suggest(number)))
        source.tell(number, value(rows[-1]))
    return rows


@pytest.mark.parametrize("tuner", [Tuner.OPTUNA, Tuner.RANDOM])
def test_same_seed_draws_the_same(tuner):
    assert drawn(tuner) == drawn(tuner)
    assert drawn(tuner) != drawn(tuner, seed=1)


def test_random_search_does_not_learn_and_optuna_does():
    def lower(values):
        return -values["trainables.n_hidden"]

    assert drawn(Tuner.RANDOM) == drawn(Tuner.RANDOM, value=lower)
    assert drawn(Tuner.OPTUNA) != drawn(Tuner.OPTUNA, value=lower)


def test_failed_trials_are_told_too():
    assert len(drawn(Tuner.OPTUNA, value=lambda _: None)) == 15


def test_known_trials_keep_their_values():
    known = {2: {"trainables.n_hidden": 8, "training.learning_rate": 0.00123}}
    rows = drawn(Tuner.OPTUNA, known=known)
    assert rows[1] == known[2]
    assert rows[0] == drawn(Tuner.OPTUNA)[0]


def test_known_trials_that_would_be_drawn_anyway_change_nothing():
    rows = drawn(Tuner.OPTUNA)
    assert drawn(Tuner.OPTUNA, known={i + 1: row for i, row in enumerate(rows[:12])}) == rows
