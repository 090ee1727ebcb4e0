"""A search space: dotted names to ranges, refused when it makes no sense."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from calsweep.platform.config import compose_settings, unheard, variants
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
        ({"low": 0}, "must have .* `low` and `high` .*, but got low"),
        (
            {"low": 0, "high": 1, "choices": [0]},
            "must have `choices` alone, or .* got low, high, c",
        ),
        ({"low": 0, "high": 1, "steps": 3}, "`log` or `step` at most, but got low, high, steps"),
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

    @pytest.mark.parametrize(
        ("arms", "message"),
        [
            (
                {"one": {"training": {"epochs": 2}}, "two": {"training": {"epochs": 2}}},
                "one and two",
            ),
            ({"a.b": {}, "c": {"training": {"epochs": 2}}}, "but got 'a.b'"),
        ],
    )
    def test_arms_that_cannot_be_told_apart_are_refused(self, arms, message):
        with pytest.raises(ValueError, match=message):
            Space(arms=arms)


class TestArmsOnTheCommandLine:
    ARMS = (
        "search_spaces=empty",
        "search_spaces.arms.plain={}",
        "search_spaces.arms.lstm={trainables: {_target_: calsweep.trainables.recurrent.Recurrent,"
        " cell: lstm, n_hidden: 4}, training: {epochs: 9}}",
        "datasets.address=m1",
    )

    def trained(self, *overrides):
        settings = compose_settings([*self.ARMS, *overrides])
        return {arm: settings.configuration({"arm": arm}) for arm in settings.search_spaces.arms}

    def test_setting_reaches_the_arms_that_do_not_set_it_themselves(self):
        found = self.trained("training.epochs=3", "training.batch_size=64")
        assert [s.training.epochs for s in found.values()] == [3, 9]
        assert [s.training.batch_size for s in found.values()] == [64, 64]

    def test_override_of_an_arm_reaches_into_it(self):
        found = self.trained(
            "search_spaces.arms.lstm.training.epochs=1",
            "search_spaces.arms.lstm.trainables.n_hidden=2",
        )
        assert [s.training.epochs for s in found.values()] == [30, 1]
        assert found["lstm"].trainables.n_hidden == 2

    def test_override_of_a_star_reaches_into_every_arm(self):
        found = self.trained("search_spaces.arms.*.training.epochs=2")
        assert [s.training.epochs for s in found.values()] == [2, 2]

    def test_override_may_change_an_arm_that_names_a_variant(self):
        settings = compose_settings(
            ["+experiment=footsteps", "datasets.address=m1",
             "search_spaces.arms.LSTM.trainables.n_hidden=8"]
        )  # fmt: skip
        assert settings.configuration({"arm": "LSTM"}).trainables.n_hidden == 8

    def test_arm_may_be_left_out(self):
        assert list(self.trained("search_spaces.arms.other={training: {epochs: 1}}")) == [
            "plain",
            "lstm",
            "other",
        ]
        settings = compose_settings(
            ["+experiment=widefield_controls", "datasets.address=m1", "~search_spaces.arms.Raw"]
        )
        assert list(settings.search_spaces.arms) == ["GRU", "Random"]

    def test_unknown_arm_is_refused_with_the_nearest(self):
        with pytest.raises(ValueError, match=r"arms\.lst` is not an arm\. Did you mean `lstm`"):
            self.trained("search_spaces.arms.lst.training.epochs=1")

    def test_override_that_an_arm_does_not_hear_is_told(self):
        overrides = [*self.ARMS, "training.epochs=3", "training.batch_size=64"]
        assert list(unheard(overrides, compose_settings(overrides))) == [
            "`training.epochs` is set by the arm lstm itself: to change it there, "
            "search_spaces.arms.lstm.training.epochs=3"
        ]

    def test_override_that_reaches_an_arm_by_reference_is_not_told(self):
        overrides = ["+experiment=widefield_cnn_rnn", "datasets.address=m1"]
        reached = [*overrides, "trainables.cnn.width=0.25", "first_training.epochs=1"]
        assert list(unheard(reached, compose_settings(reached))) == []
        unreached = [*overrides, "datasets.window.length=5"]
        assert list(unheard(unreached, compose_settings(unreached))) == [
            "`datasets.window.length` is set by the arm CNN itself: to change it there, "
            "search_spaces.arms.CNN.datasets.window.length=5"
        ]

    def test_override_of_what_is_varied_is_told(self):
        overrides = ["+experiment=widefield_rnns", "datasets.address=m1", "trainables.cell=gru"]
        assert list(unheard(overrides, compose_settings(overrides))) == [
            "`trainables.cell` is varied by the search, which does not hear of gru: to keep it at "
            "that, add search_spaces.trainables.cell.choices=[gru]"
        ]
        kept = compose_settings([*overrides, "search_spaces.trainables.cell.choices=[gru]"])
        assert {row["trainables.cell"] for row in kept.search_spaces.grid()} == {"gru"}

    def test_override_of_a_range_is_told_and_what_it_is_told_works(self):
        overrides = [
            "search_spaces=regularization", "datasets.address=m1", "training.learning_rate=0.003",
        ]  # fmt: skip
        assert list(unheard(overrides, compose_settings(overrides))) == [
            "`training.learning_rate` is varied by the search, which does not hear of 0.003: to "
            "keep it at that, add ~search_spaces.training.learning_rate"
        ]
        kept = compose_settings([*overrides, "~search_spaces.training.learning_rate"])
        assert "training.learning_rate" not in kept.search_spaces.axes
        assert kept.start.training.learning_rate == 0.003
