import pytest

from calsweep.dashboards.parallel_coordinates import NothingToDraw, parallel_coordinates
from calsweep.dashboards.style import BLUE
from tests.dashboards.searched import searched


def test_best_tenth_is_set_off_and_values_stand_between_0_and_1(sweep):
    trials = searched(sweep, n_trials=20).finished
    others, best = parallel_coordinates(trials).data
    assert best.line.color == BLUE
    assert best.text[0] == "trial 19: 0.880"
    assert best.text[4] == "trial 20: 0.900"
    assert best.x[:4] == (0, 1, 2, None)
    assert best.y[4:7] == (1.0, 0.0, 1.0)
    assert others.y[:3] == (0.0, 1.0, 0.0)
    assert len(others.y) == 18 * 4


def test_settings_stand_at_their_axes_with_what_was_tried(sweep):
    drawn = parallel_coordinates(searched(sweep, n_trials=20).finished)
    assert drawn.layout.xaxis.ticktext == ("learning rate", "hidden", "validation<br>AUC")
    assert [a.text for a in drawn.layout.annotations][:4] == [
        "0.0001",
        "0.000271",
        "0.000737",
        "0.002",
    ]


def test_axis_of_few_values_names_them_and_no_other(sweep):
    drawn = parallel_coordinates(searched(sweep, n_trials=20).finished)
    named = [(a.y, a.text) for a in drawn.layout.annotations if a.x == 1]
    assert named == [(0.0, "8"), (1 / 7, "16"), (3 / 7, "32"), (1.0, "64")]


def test_one_configuration_has_nothing_to_differ_in(sweep):
    with pytest.raises(NothingToDraw, match="Two finished configurations"):
        parallel_coordinates(sweep.trials[:2])
