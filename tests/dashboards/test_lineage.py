"""Figures of a population: each loss, each take-over, and the values on the way to the best."""

import pytest

from calsweep.dashboards.lineage import (
    lineage_tree,
    loss_by_generation,
    searched_values,
    value_schedule,
)
from calsweep.dashboards.style import reading
from calsweep.platform.population.lineage import Life, Lineage
from tests.dashboards.evolved import RATE, SMOOTHING, write_lineage


@pytest.fixture
def lineage(tmp_path):
    return write_lineage(tmp_path)


def traces(drawn):
    return {trace.name: trace for trace in drawn.data}


def test_loss_of_every_member_and_of_the_ancestors_of_the_best(lineage):
    found = traces(loss_by_generation(lineage))
    assert list(found["member 1"].y) == [0.9, 0.4, 0.35]
    assert list(found["ancestors of the best"].x) == [1, 2, 3]
    assert list(found["ancestors of the best"].y) == [0.5, 0.4, 0.3]
    assert list(found["died"].x) == [2]
    assert list(found["died"].text) == ["member 3: its loss was not finite"]


def test_tree_has_a_line_from_each_parent_to_its_heir(lineage):
    found = traces(lineage_tree(lineage))
    assert list(found["took over"].x) == [1, 2, None, 2, 3, None, 2, 3, None]
    assert list(found["took over"].y) == [2, 1, None, 1, 2, None, 2, 3, None]
    assert list(found["went on"].y) == [2, 2, None, 3, 3, None, 1, 1, None]
    assert list(found["ancestors of the best"].y) == [2, 1, None, 1, 2, None]
    assert found["members"].text[3] == (
        "generation 2, member 1 from 2: loss 0.4; learning_rate 0.008, label_smoothing 0.1"
    )


def test_ancestors_of_any_member_are_set_off(lineage):
    found = traces(loss_by_generation(lineage, member=3))
    assert list(found["ancestors of member 3"].y) == [0.5, 0.45, 0.4]
    assert "ancestors of the best" not in found
    tree = lineage_tree(lineage, member=3)
    assert list(traces(tree)["ancestors of member 3"].y) == [2, 2, None, 2, 3, None]
    assert reading(tree).endswith("the thick line leads to member 3.")
    schedule = value_schedule(lineage, RATE, member=3)
    assert list(traces(schedule)["ancestors of member 3"].y) == [1e-2, 1e-2, 1.1e-2]
    assert [trace.name for trace in schedule.data[:3]] == ["member 1", "member 2", "member 3"]
    with pytest.raises(LookupError, match="Generation 3 has no member 9. There are: 1, 2, 3."):
        lineage_tree(lineage, member=9)


def test_schedule_is_what_the_best_weights_were_trained_with(lineage):
    drawn = value_schedule(lineage, RATE)
    assert list(traces(drawn)["ancestors of the best"].y) == [1e-2, 8e-3, 7e-3]
    assert list(traces(drawn)["member 3"].y) == [1e-3, 1e-3, 1.1e-2]
    assert drawn.layout.yaxis.type == "log"
    assert drawn.layout.xaxis.dtick == 1
    assert drawn.layout.yaxis.title.text == "learning rate"
    assert value_schedule(lineage, SMOOTHING).layout.yaxis.type == "linear"


def test_generation_under_way_is_left_out(lineage, tmp_path):
    lineage.add(
        Life(
            generation=4, member=2, parent=2, score=0.1, attempt=1,
            values={RATE: 0.1, SMOOTHING: 0.1}, seconds=1.0, train_seconds=1.0,
        )
    )  # fmt: skip
    found = traces(loss_by_generation(Lineage(tmp_path)))
    assert max(found["member 2"].x) == 3
    assert list(found["ancestors of the best"].y) == [0.5, 0.4, 0.3]


def test_values_that_were_searched_are_named(lineage, tmp_path):
    assert searched_values(lineage) == (RATE, SMOOTHING)
    assert searched_values(Lineage(tmp_path / "other")) == ()
