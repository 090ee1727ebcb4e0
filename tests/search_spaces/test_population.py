"""Who goes on from whom: a tournament, quantiles, members that died, and when it is over."""

import math
from collections import Counter

import pytest

from calsweep.search_spaces.mutation import Bounds, Mutation
from calsweep.search_spaces.population import (
    Exploit,
    Population,
    Result,
    first_generation,
    next_generation,
    why_over,
)
from calsweep.search_spaces.space import Space

RATE, DECAY = "training.learning_rate", "training.weight_decay"
SPACE = Space(
    training={
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "weight_decay": {"low": 1e-5, "high": 1e-1, "log": True},
    }
)


def results(*scores):
    return {
        member: Result(values={RATE: 1e-3 * member, DECAY: 0.01}, score=score)
        for member, score in enumerate(scores, start=1)
    }


def parents(population, scores, *, seed, generation=2):
    descents = next_generation(
        SPACE, population, results(*scores), generation=generation, seed=seed
    )
    return [one.parent for one in descents]


def test_first_generation_draws_values_that_the_seed_decides():
    population = Population(size=4)
    first = first_generation(SPACE, population, seed=0)
    assert [one.member for one in first] == [1, 2, 3, 4]
    assert {one.parent for one in first} == {None}
    assert len({one.values[name] for one in first for name in (RATE, DECAY)}) == 8
    assert first_generation(SPACE, population, seed=0) == first
    assert first_generation(SPACE, population, seed=1) != first
    # A member's values do not depend on how many there are beside it.
    assert first_generation(SPACE, Population(size=9), seed=0)[:4] == first


def test_tournament_lets_each_member_meet_one_other_at_random():
    scores = (0.4, 0.1, 0.3, 0.2)
    rounds = [parents(Population(size=4), scores, seed=seed) for seed in range(3000)]
    assert {row[1] for row in rounds} == {2}  # the best meets nobody better
    of_worst = Counter(row[0] for row in rounds)
    assert set(of_worst) == {2, 3, 4}  # the worst always loses
    assert all(count == pytest.approx(1000, rel=0.1) for count in of_worst.values())
    of_third = Counter(row[2] for row in rounds)  # loses to 2 and 4, not to 1
    assert of_third[3] == pytest.approx(1000, rel=0.1)
    assert set(of_third) == {2, 3, 4}


def test_who_wins_goes_on_with_its_values_and_who_loses_with_moved_ones():
    for one in next_generation(
        SPACE, Population(size=4), results(0.4, 0.1, 0.3, 0.2), generation=2, seed=5
    ):
        of_parent = 1e-3 * one.parent
        if one.parent == one.member:
            assert one.values == {RATE: of_parent, DECAY: 0.01}
        else:
            assert 0.8 * of_parent <= one.values[RATE] <= 1.2 * of_parent
            assert one.values[RATE] != of_parent
            assert one.values[DECAY] != 0.01


def test_equal_members_go_on_as_they_are():
    assert parents(Population(size=3), (0.5, 0.5, 0.5), seed=0) == [1, 2, 3]


def test_quantiles_take_over_from_the_best_alone():
    population = Population(size=8, exploit=Exploit.QUANTILE, quantile=0.25)
    scores = (0.8, 0.1, 0.7, 0.2, 0.6, 0.3, 0.5, 0.4)
    rounds = [parents(population, scores, seed=seed) for seed in range(400)]
    for row in rounds:
        assert row[0] in {2, 4}
        assert row[2] in {2, 4}
        assert [row[i] for i in (1, 3, 4, 5, 6, 7)] == [2, 4, 5, 6, 7, 8]
    assert Counter(row[0] for row in rounds)[2] == pytest.approx(200, rel=0.2)


@pytest.mark.parametrize("exploit", Exploit)
def test_member_that_died_takes_over_from_one_that_lives(exploit):
    population = Population(size=4, exploit=exploit)
    scores = (math.nan, 0.1, math.inf, 0.2)
    for seed in range(50):
        row = parents(population, scores, seed=seed)
        assert row[0] in {2, 4}
        assert row[2] in {2, 4}


def test_last_member_alive_is_the_donor_of_all():
    assert parents(Population(size=3), (math.nan, 0.3, math.nan), seed=0) == [2, 2, 2]


def test_population_of_dead_members_ends():
    with pytest.raises(LookupError, match="every member of the population died"):
        parents(Population(size=2), (math.nan, math.nan), seed=0)


def test_decisions_follow_from_seed_generation_and_scores_alone():
    population = Population(size=6)
    scores = (0.4, 0.1, 0.3, 0.2, 0.6, 0.5)
    once = next_generation(SPACE, population, results(*scores), generation=3, seed=7)
    backwards = dict(reversed(results(*scores).items()))
    assert next_generation(SPACE, population, backwards, generation=3, seed=7) == once
    other = next_generation(SPACE, population, results(*scores), generation=4, seed=7)
    assert other != once


def test_soft_value_may_leave_its_range_over_generations():
    space = Space(
        training={
            "weight_decay": {
                "low": 0.1, "high": 0.2, "mutation": {"factor": [0.2, 1.8], "bounds": "soft"},
            }
        }
    )  # fmt: skip
    assert space.mutable()[DECAY].mutation == Mutation(factor=(0.2, 1.8), bounds=Bounds.SOFT)
    found = [
        one.values[DECAY]
        for seed in range(100)
        for one in next_generation(
            space,
            Population(size=2),
            {
                1: Result(values={DECAY: 0.2}, score=0.5),
                2: Result(values={DECAY: 0.2}, score=0.1),
            },
            generation=2,
            seed=seed,
        )
    ]
    assert max(found) > 0.3


@pytest.mark.parametrize(
    ("best", "why"),
    [
        ([0.5, 0.4, 0.3], ""),
        ([0.5, 0.4, 0.4, 0.4], ""),
        ([0.5, 0.4, 0.4, 0.4, 0.4], "no better loss in 3 generations"),
        ([0.5, 0.4, 0.39995, 0.3999, 0.39985], "no better loss in 3 generations"),
        ([0.5, 0.4, 0.41, 0.39, 0.4, 0.4], ""),
        ([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3], "7 generations are done"),
        ([-1.0, -1.0, -1.0, -1.0], "no better loss in 3 generations"),
    ],
)
def test_search_ends_when_the_best_loss_no_longer_falls(best, why):
    assert why_over(Population(generations=7, patience=3, min_improvement=5e-4), best) == why


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 1}, "`size >= 2` must hold, since members take over from each other"),
        ({"generations": 1}, "the population could never exploit"),
        ({"exploit": Exploit.QUANTILE, "size": 3}, "the population could never exploit"),
        ({"quantile": 0.6}, "`0 < quantile <= 0.5` must hold"),
        ({"generation": 0}, "`generation >= 1` must hold"),
        ({"patience": -1}, "must not be negative"),
    ],
)
def test_population_that_could_not_work_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Population(**settings)
