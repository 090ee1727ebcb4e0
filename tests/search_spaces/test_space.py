"""A search space: dotted names to ranges, refused when it makes no sense."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from calsweep.platform.config import compose_settings, variants
from calsweep.search_spaces.space import Choice, Range, Space


def test_names_are_dotted_as_the_settings_lie():
    space = Space(
        datasets={"window": {"length": {"choices": [11, 31]}, "shift": {"low": -10, "high": 10}}},
        training={"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}},
    )
    assert space.axes == {
        "datasets.window.length": Choice(choices=(11, 31)),
        "datasets.window.shift": Range(low=-10, high=10),
        "training.learning_rate": Range(low=1e-4, high=1e-2, log=True),
    }
    assert space.distributions() == {
        "datasets.window.length": CategoricalDistribution((11, 31)),
        "datasets.window.shift": IntDistribution(-10, 10),
        "training.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    }


def test_grid_holds_every_combination():
    space = Space(
        trainables={"n_hidden": {"choices": [16, 32]}},
        datasets={"window": {"shift": {"low": -10, "high": 10, "step": 10}}},
    )
    assert space.grid() == [
        {"trainables.n_hidden": n, "datasets.window.shift": shift}
        for n in (16, 32)
        for shift in (-10, 0, 10)
    ]


def test_grid_of_a_continuous_range_is_refused_with_the_way_out():
    space = Space(training={"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}})
    with pytest.raises(ValueError, match=r"training\.learning_rate.*give `choices`, a `step`"):
        space.grid()


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ({"choices": []}, "at least one value"),
        ({"choices": [1, 1]}, "must differ"),
        ({"low": 2, "high": 1}, "`low < high` must hold"),
        ({"low": 0, "high": 1, "log": True}, "`low > 0` must hold"),
        ({"low": 0}, "high"),
        (3, "must give `choices` or `low` and `high`"),
    ],
)
def test_axis_that_makes_no_sense_is_refused_by_name(axis, message):
    with pytest.raises(ValueError, match=message) as caught:
        Space(training={"batch_size": axis})
    assert "training.batch_size" in str(caught.value)


def test_empty_space_is_refused():
    with pytest.raises(ValueError, match="at least one setting"):
        Space()


class TestArms:
    SPACE = Space(
        arms={
            "short": {"datasets": {"window": {"length": 11}}, "training": {"epochs": 2}},
            "plain": {},
        },
        training={"epochs": {"choices": [3, 5]}},
    )

    def test_each_arm_is_a_value_of_an_axis_that_varies_slowest(self):
        assert self.SPACE.grid() == [
            {"arm": "short", "training.epochs": 3},
            {"arm": "short", "training.epochs": 5},
            {"arm": "plain", "training.epochs": 3},
            {"arm": "plain", "training.epochs": 5},
        ]

    def test_values_beside_an_arm_have_the_last_word(self):
        values = {"training.epochs": 5, "arm": "short"}
        assert self.SPACE.settings(values) == {"datasets.window.length": 11, "training.epochs": 5}
        assert self.SPACE.settings({"arm": "plain"}) == {}

    def test_unknown_arm_is_refused(self):
        with pytest.raises(ValueError, match="must be one of short, plain, but got 'long'"):
            self.SPACE.settings({"arm": "long"})

    def test_arm_may_name_a_decoder(self):
        settings = compose_settings(
            [
                "search_spaces=empty",
                "+search_spaces.arms={line: {trainables: linear}, lstm: {trainables: lstm}}",
                "datasets.address=m1",
            ]
        )
        built = [settings.configuration({"arm": arm}).trainables for arm in ("line", "lstm")]
        assert [type(decoder).__name__ for decoder in built] == ["Linear", "Recurrent"]

    def test_arm_that_names_no_decoder_is_told_the_nearest(self):
        with pytest.raises(ValueError, match=r"`trainables=lst` is not known.*`lstm`"):
            compose_settings(
                [
                    "search_spaces=empty",
                    "+search_spaces.arms={a: {trainables: lst}}",
                    "datasets.address=m1",
                ]
            )


@pytest.mark.parametrize("name", [n for n in variants("search_spaces") if n != "empty"])
def test_every_space_varies_settings_that_are_there(name):
    settings = compose_settings([f"search_spaces={name}", "datasets.address=m1"])
    for setting, axis in settings.search_spaces.axes.items():
        for value in axis.ends():
            settings.configuration({setting: value})
