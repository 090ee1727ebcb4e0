from calsweep.dashboards.web import plates
from calsweep.dashboards.web.choice import Choice
from calsweep.dashboards.web.shelf import Reading
from tests.dashboards.searched import searched


def test_first_page_has_a_curve_along_each_setting_that_is_a_number(sweep):
    reading = Reading(sweep=searched(sweep, n_trials=20), version="")
    rate, hidden = "curve-training.learning_rate", "curve-trainables.hidden"
    assert list(plates.of_sweep(reading)) == [
        "history", "importance", rate, hidden, "parallel", "spread",
    ]  # fmt: skip
    drawn = plates.draw(reading, hidden, Choice())
    assert drawn.layout.xaxis.title.text == "hidden"
    assert drawn.layout.yaxis.title.text == "test AUC (0.5 is chance, 1 is perfect)"
