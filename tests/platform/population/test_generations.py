"""How far a population is, as `calsweep status` shows it, from figures written out."""

import json
import math
from dataclasses import replace

import pytest

from calsweep.platform.population.generations import read_generations
from calsweep.platform.population.lineage import Life, Lineage

SETTINGS = {"population": {"generations": 5}}


@pytest.fixture
def folder(tmp_path):
    """Two generations of two members, of 10 s and 30 s; one of the second died."""
    folder = tmp_path / "dynamics" / "small"
    folder.mkdir(parents=True)
    (folder / "sweep.json").write_text(json.dumps({"settings": SETTINGS}))
    lineage = Lineage(folder)
    for generation, member, score, seconds in (
        (1, 1, 0.75, 8.0),
        (1, 2, 0.5, 10.0),
        (2, 1, 0.25, 30.0),
        (2, 2, math.nan, 20.0),
    ):
        lineage.add(
            Life(
                generation=generation, member=member, parent=member if generation > 1 else None,
                values={"training.learning_rate": 0.01}, score=score, attempt=1, seconds=seconds,
                train_seconds=seconds, error="" if math.isfinite(score) else "lost",
            )
        )  # fmt: skip
    return folder


def test_what_is_left_is_at_the_rate_of_the_generations_before(folder):
    generations = read_generations(folder, SETTINGS)
    assert (generations.n_done, generations.n_planned) == (2, 5)
    assert generations.best_loss == 0.25
    assert generations.left_s == 3 * 20.0
    assert generations.line == "generation 2/5 · best loss 0.25 · at most about 1:00 left"


def test_of_one_that_was_ended_nothing_is_left(folder):
    Lineage(folder).finish("stopped by hand")
    generations = read_generations(folder, SETTINGS)
    assert generations.left_s is None
    assert generations.end == "stopped by hand"


def test_population_that_died_out_has_no_best_loss(folder):
    lineage = Lineage(folder)
    dead = lineage.generation(2)[2]
    for member in (1, 2):
        lineage.add(replace(dead, generation=3, member=member))
    generations = read_generations(folder, SETTINGS)
    assert (generations.n_done, generations.best_loss) == (3, None)
    assert Lineage(folder).best_losses()[1:] == (0.25, math.inf)


def test_of_one_that_begins_nothing_is_known(tmp_path):
    generations = read_generations(tmp_path, SETTINGS)
    assert (generations.n_done, generations.best_loss, generations.left_s) == (0, None, None)
    assert generations.line == "generation 0/5"


def test_status_shows_one_and_all(folder, tmp_path, calsweep):
    code, out, err = calsweep("status", "small", "--home", tmp_path)
    assert code == 0, err
    rows = dict(line.split("  ", 1) for line in out.splitlines())
    rows = {name.strip(): value.strip() for name, value in rows.items()}
    assert rows["generation"] == "2 of at most 5"
    assert rows["best loss"] == "0.25"
    assert "folds" not in rows
    assert rows["state"] == "interrupted: `calsweep resume small` goes on"
    code, out, err = calsweep("status", "--home", tmp_path)
    assert code == 0, err
    assert [cell.strip() for cell in out.splitlines()[3].split("│")[1:-1]] == [
        "small", "interrupted", "-", "-", "-", "2/5", "0.25", "-", ""
    ]  # fmt: skip
    (folder / "best.json").write_text("{}")
    _, out, _ = calsweep("status", "small", "--home", tmp_path)
    assert "state       over" in out
