"""A curve says what became of the other settings that were searched with it."""

import dataclasses
import itertools
import statistics

import pytest

from calsweep.dashboards.curve import (
    Others,
    is_worth_drawing,
    lines_along,
    maps_worth_drawing,
    numeric_settings,
    setting_curve,
    setting_map,
)
from calsweep.dashboards.style import reading

LENGTH, SHIFT, RATE = "datasets.window.length", "datasets.window.shift", "training.learning_rate"


def searched(sweep, *values, gains=None):
    """Give a sweep of the same folds under other settings, better or worse by a gain."""
    gains = gains or [0.0] * len(values)

    def better(score, gain):
        return dataclasses.replace(score, auc=score.auc - 0.1 + gain)

    trials = [
        dataclasses.replace(
            sweep.trials[1],
            number=number,
            name=f"trial {number}",
            values=tried,
            folds=tuple(
                dataclasses.replace(
                    fold, test=better(fold.test, gain), validation=better(fold.validation, gain)
                )
                for fold in sweep.trials[1].folds
            ),
        )
        for number, (tried, gain) in enumerate(zip(values, gains, strict=True), start=1)
    ]
    return dataclasses.replace(sweep, trials=(sweep.trials[0], *trials))


def grid(**axes):
    names = {"length": LENGTH, "shift": SHIFT, "cell": "trainables.cell"}
    rows = itertools.product(*axes.values())
    return [dict(zip((names[a] for a in axes), row, strict=True)) for row in rows]


def trace(drawn, name):
    return next(trace for trace in drawn.data if trace.name == name)


def test_only_setting_has_a_line_of_every_animal_in_frames_and_seconds(sweep):
    lengths = (31, 11, 21)
    made = searched(sweep, *grid(length=lengths), gains=[0.02, 0.0, 0.01])
    assert lines_along(made, LENGTH)[0] is Others.ALONE
    drawn = setting_curve(made, LENGTH)
    mean = trace(drawn, "mean")
    assert list(mean.x) == [11, 21, 31]
    folds = [fold.test.auc for fold in made.trials[2].folds]
    assert mean.y[0] == pytest.approx(statistics.fmean(folds))
    assert mean.error_y.array[0] == pytest.approx(statistics.stdev(folds))
    animal = trace(drawn, "m3")
    of_m3 = [fold.test.auc for fold in made.trials[2].folds if fold.test_group == 2]
    assert animal.y[0] == pytest.approx(statistics.fmean(of_m3))
    assert len([t for t in drawn.data if t.name in made.dataset["subjects"]]) == 5
    assert drawn.layout.xaxis.ticktext == ("11<br>1.10 s", "21<br>2.10 s", "31<br>3.10 s")
    assert drawn.layout.xaxis.title.text == "window length (frames, seconds below)"
    assert "the linear baseline (dashed) keeps its own setting" in reading(drawn)


def test_shift_may_be_negative(sweep):
    made = searched(sweep, *grid(shift=(-20, 0, 20)))
    axis = setting_curve(made, SHIFT).layout.xaxis
    assert axis.ticktext[0] == "-20<br>-2.00 s"
    assert axis.type == "linear"


def test_few_others_have_a_line_each(sweep):
    made = searched(sweep, *grid(length=(11, 21), cell=("gru", "lstm")))
    others, lines = lines_along(made, LENGTH)
    assert others is Others.EACH
    assert [line.name for line in lines] == ["cell=gru", "cell=lstm"]
    drawn = setting_curve(made, LENGTH)
    assert [t.name for t in drawn.data] == ["cell=gru, mean", "cell=lstm, mean"]
    key = drawn.layout.annotations[-1].text
    assert "cell=gru" in key
    assert "cell=lstm" in key


def test_many_others_are_chosen_by_validation_and_it_says_so(sweep):
    gains = [0.01 * ((i * 5) % 8) for i in range(16)]
    made = searched(sweep, *grid(length=(11, 21), shift=tuple(range(0, 80, 10))), gains=gains)
    others, (line,) = lines_along(made, LENGTH)
    assert others is Others.BEST
    best = [
        max((t for t in made.trials if t.values.get(LENGTH) == length), key=validation).number
        for length in (11, 21)
    ]
    assert [trial.number for trial in line.trials] == best
    assert "the configuration is drawn that is best by validation" in reading(
        setting_curve(made, LENGTH)
    )


def validation(trial):
    return trial.mean_validation_auc()


def test_values_never_tried_twice_are_dots(sweep):
    values = [{RATE: rate, "trainables.n_hidden": n} for n, rate in enumerate((1e-3, 1e-4, 3e-3))]
    made = searched(sweep, *values)
    drawn = setting_curve(made, RATE)
    assert trace(drawn, "mean").mode == "markers"
    assert list(trace(drawn, "mean").x) == [1e-4, 1e-3, 3e-3]
    assert drawn.layout.xaxis.type == "log"
    assert "dots are not joined" in reading(drawn)
    assert is_worth_drawing(made, RATE)
    assert not is_worth_drawing(searched(sweep, *values[:2]), RATE)


def test_only_numbers_of_which_there_are_several_have_a_curve(sweep):
    made = searched(
        sweep,
        {LENGTH: 11, "trainables.cell": "gru", "trainables.bidirectional": True, SHIFT: 0},
        {LENGTH: 21, "trainables.cell": "lstm", "trainables.bidirectional": False, SHIFT: 0},
    )
    assert numeric_settings(made) == (LENGTH,)
    with pytest.raises(ValueError, match=r"'datasets.window.shift' has 1 in 'tiny'. There are: da"):
        setting_curve(made, SHIFT)


def test_frames_held_out_have_no_animals_to_draw(writer):
    written = writer(grouped=False)
    written.begin()
    written.trial(0)
    written.trial(1)
    made = searched(written.read(), *grid(length=(11, 21)))
    assert [t.name for t in setting_curve(made, LENGTH).data] == ["mean"]


def test_map_has_a_cell_for_each_pair_of_values(sweep):
    made = searched(
        sweep, *grid(length=(11, 21), shift=(-10, 0, 10))[:-1], gains=[0, 0.01, 0.02, 0.03, 0.04]
    )
    assert maps_worth_drawing(made) == ((LENGTH, SHIFT),)
    drawn = setting_map(made, (LENGTH, SHIFT))
    means = [statistics.fmean(fold.test.auc for fold in t.folds) for t in made.trials[1:]]
    assert [list(row) for row in drawn.data[0].z] == [
        [means[0], means[3]],
        [means[1], means[4]],
        [means[2], None],
    ]
    assert drawn.layout.xaxis.ticktext == ("11<br>1.10 s", "21<br>2.10 s")
    assert "an empty cell was not tried" in reading(drawn)


def test_settings_that_were_drawn_at_random_have_no_map(sweep):
    values = [{RATE: 1e-3 * i, LENGTH: 10 + i} for i in range(1, 6)]
    assert maps_worth_drawing(searched(sweep, *values)) == ()
