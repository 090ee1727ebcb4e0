import pytest

from calsweep.dashboards.setting_importance import (
    NothingToWeigh,
    importance_bars,
    setting_importances,
)
from tests.dashboards.searched import searched


def test_setting_that_decides_weighs_most(sweep):
    found = setting_importances(searched(sweep, n_trials=40))
    assert list(found) == ["training.learning_rate", "trainables.hidden"]
    assert found["training.learning_rate"] > 0.8
    assert sum(found.values()) == pytest.approx(1.0)
    assert importance_bars(found).data[0].y == ("learning rate", "hidden")


def test_few_configurations_are_not_weighed(sweep):
    with pytest.raises(NothingToWeigh, match="10 finished configurations .* there are 9 and 2"):
        setting_importances(searched(sweep, n_trials=9))
