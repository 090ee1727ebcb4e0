"""A population of small learners: going on, dying, ending, and what its record says."""

import json
import math
from dataclasses import replace

import pytest

from calsweep.platform.budget import STOP_FILE
from calsweep.platform.population.evolution import Evolution
from calsweep.platform.population.lineage import Lineage
from calsweep.platform.population.member import OtherFormat, read_member
from calsweep.platform.population.replay import differing, replay_member
from calsweep.platform.population.state_file import write_state
from calsweep.platform.resources import Resources
from calsweep.search_spaces.population import Exploit, NoMemberLeft, Population, Program
from calsweep.search_spaces.space import Space
from tests.platform.toy_learner import RATE, Counting, Lonely, Toys

SPACE = Space(
    training={
        "learning_rate": {"low": 0.01, "high": 0.1, "log": True, "mutation": {"bounds": "soft"}}
    }
)
POPULATION = Population(size=4, generations=4, generation=2)

pytestmark = pytest.mark.usefixtures("local_ray")


@pytest.fixture
def evolution(tmp_path):
    return Evolution(
        learners=Toys(), space=SPACE, population=POPULATION, seed=0, folder=tmp_path,
        say=lambda _: None,
    )  # fmt: skip


def rows(lineage, *, population=POPULATION):
    """What has to be the same however often a sweep was interrupted."""
    return [
        (number, life.member, life.parent, dict(life.values), str(life.score), life.error)
        for number in range(1, lineage.n_generations + 1)
        for life in lineage.generation(number).values()
    ]


@pytest.fixture
def stacked(evolution):
    population = replace(POPULATION, program=Program.STACKED)
    return replace(evolution, population=population, folder=evolution.folder / "stacked")


def test_every_member_comes_through_every_generation(evolution):
    lineage = evolution.run()
    assert [(g, m) for g, m, *_ in rows(lineage)] == [
        (g, m) for g in (1, 2, 3, 4) for m in (1, 2, 3, 4)
    ]
    assert lineage.end == "4 generations are done"
    assert all(life.attempt == 1 for g in (1, 2, 3, 4) for life in lineage.generation(g).values())


def test_donor_is_better_and_its_values_are_moved(evolution):
    lineage = evolution.run()
    n_taken = 0
    for number in (2, 3, 4):
        before = lineage.generation(number - 1)
        for life in lineage.generation(number).values():
            if life.parent == life.member:
                assert life.values == before[life.member].values
                continue
            n_taken += 1
            assert before[life.parent].score < before[life.member].score
            donated = before[life.parent].values[RATE]
            assert 0.8 * donated <= life.values[RATE] <= 1.2 * donated
            assert life.values[RATE] != donated
    assert n_taken >= 3


def test_lineage_is_lines_of_json(evolution, tmp_path):
    lineage = evolution.run()
    lines = [json.loads(line) for line in (tmp_path / "lineage.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["life"] * 16 + ["end"]
    first = next(line for line in lines if (line["generation"], line["member"]) == (2, 3))
    life = lineage.generation(2)[3]
    assert first["parent"] == life.parent
    assert first["values"] == life.values
    assert first["score"] == life.score
    assert rows(Lineage(tmp_path)) == rows(lineage)


def test_only_states_of_the_last_generation_are_kept(evolution, tmp_path):
    evolution.run()
    names = sorted(path.name for path in (tmp_path / "members").iterdir())
    assert names == ["0004-001", "0004-002", "0004-003", "0004-004"]


@pytest.mark.parametrize("program", [Program.ALONE, Program.STACKED])
def test_population_that_goes_on_ends_as_one_that_was_left_alone(evolution, tmp_path, program):
    alone = evolution.run()
    evolution = replace(evolution, population=replace(POPULATION, program=program))
    for n_lines in (0, 1, 3, 4, 6, 11):
        folder = tmp_path / f"after {n_lines}"
        (folder / "members").mkdir(parents=True)
        stopped = replace(evolution, folder=folder, on_wait=Break(folder, n_lines))
        with pytest.raises(KeyboardInterrupt):
            stopped.run()
        assert len((folder / "lineage.jsonl").read_text().splitlines()) < 16
        again = replace(evolution, folder=folder).run()
        assert rows(again) == rows(alone)
        for member in (1, 2, 3, 4):
            states = [
                read_member(one.place(generation=4, member=member))["state"]
                for one in (again, alone)
            ]
            assert differing(*states) == []


class Break:
    """Raises as Ctrl-C does, once a record has so many lines."""

    def __init__(self, folder, n_lines):
        self.path = folder / "lineage.jsonl"
        self.n_lines = n_lines

    def __call__(self):
        n = len(self.path.read_text().splitlines()) if self.path.exists() else 0
        if n >= self.n_lines:
            self.path.touch()
            raise KeyboardInterrupt


def test_population_that_is_over_trains_nothing(evolution, tmp_path):
    first = evolution.run()
    text = (tmp_path / "lineage.jsonl").read_text()
    assert rows(evolution.run()) == rows(first)
    assert (tmp_path / "lineage.jsonl").read_text() == text


def test_line_that_a_kill_cut_short_is_trained_again(evolution, tmp_path):
    alone = rows(evolution.run())
    path = tmp_path / "lineage.jsonl"
    path.write_text("\n".join(path.read_text().splitlines()[:15]) + '\n{"event": "life", "gen')
    assert rows(evolution.run()) == alone


def test_state_that_is_lost_is_trained_again(evolution, tmp_path):
    alone = rows(evolution.run())
    path = tmp_path / "lineage.jsonl"
    lines = path.read_text().splitlines()
    kept = [line for line in lines if json.loads(line).get("generation", 9) <= 3]
    folder = tmp_path / "again"
    stopped = replace(evolution, folder=folder, on_wait=Break(folder, 6))
    (folder / "members").mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    assert len(kept) == 12
    for place in (folder / "members").glob("0002-*"):
        place.unlink()
    assert rows(replace(evolution, folder=folder).run()) == alone


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("diverges", "its loss was not finite"),
        ("raises", "RuntimeError: no memory of this kind"),
        ("is always killed", "died"),
    ],
)
def test_member_that_dies_for_good_is_replaced_and_told(evolution, tmp_path, how, error):
    said = []
    toys = Toys(dies=2, at_epoch=4, how=how)
    once = Resources(retries=0)
    lineage = replace(evolution, learners=toys, say=said.append, resources=once).run()
    dead = lineage.generation(2)[2]
    assert math.isnan(dead.score)
    assert error in dead.error
    heir = lineage.generation(3)[2]
    assert heir.parent != 2
    assert heir.values[RATE] != lineage.generation(2)[heir.parent].values[RATE]
    assert math.isfinite(heir.score)
    assert lineage.n_died == 1
    assert any(line.startswith("Member 2 died in generation 2 and is replaced") for line in said)
    assert len(rows(lineage)) == 16


@pytest.mark.parametrize("program", [Program.ALONE, Program.STACKED])
def test_process_that_is_killed_once_is_no_death(evolution, tmp_path, program):
    alone = rows(evolution.run())
    folder = tmp_path / "killed"
    folder.mkdir()
    toys = Toys(dies=3, at_epoch=4, how="is killed once", folder=folder)
    population = replace(POPULATION, program=program)
    lineage = replace(evolution, learners=toys, folder=folder, population=population).run()
    assert rows(lineage) == alone
    assert lineage.generation(2)[3].attempt == 2


def test_generation_goes_on_where_a_killed_process_kept_it(evolution, tmp_path):
    """A generation of six epochs, kept after each; the process is killed in the fourth."""
    long = replace(POPULATION, generation=6, generations=2)
    alone = replace(evolution, population=long).run()
    for program in (Program.ALONE, Program.STACKED):
        folder = tmp_path / program.value
        folder.mkdir()
        toys = Counting(dies=3, at_epoch=10, how="is killed once", folder=folder)
        lineage = replace(
            evolution,
            learners=toys,
            folder=folder,
            population=replace(long, program=program),
            resources=Resources(checkpoint_s=0.0),
        ).run()
        assert rows(lineage) == rows(alone)
        assert lineage.generation(2)[3].attempt == 2
        # Epochs 7 to 9 were kept: those of the killed process are not trained again.
        trained = (folder / "epochs").read_text().split()
        assert trained == [str(epoch) for epoch in range(1, 13)]
        assert sorted(path.name for path in (folder / "members").iterdir()) == [
            "0002-001", "0002-002", "0002-003", "0002-004"
        ]  # fmt: skip


def test_more_deaths_than_may_be_replaced_end_the_sweep_and_leave_it_to_go_on(evolution, tmp_path):
    toys = Toys(dies=2, at_epoch=4, how="raises")
    few = replace(POPULATION, replacements=0)
    with pytest.raises(NoMemberLeft, match="1 members .* 0 may be replaced .*no memory of this"):
        replace(evolution, learners=toys, population=few).run()
    # What made it die has passed: the sweep goes on as if nothing had been.
    mended = replace(evolution, population=few).run()
    other = replace(evolution, population=few, folder=tmp_path / "other")
    other.folder.mkdir()
    assert rows(mended) == rows(other.run())


def test_stacked_population_comes_to_the_same(evolution, stacked):
    assert rows(stacked.run()) == rows(evolution.run())


def test_member_of_a_stack_that_diverges_is_replaced_and_the_others_go_on(stacked):
    lineage = replace(stacked, learners=Toys(dies=2, at_epoch=4, how="diverges")).run()
    assert lineage.n_died == 1
    assert lineage.generation(2)[2].error == "its loss was not finite"
    assert lineage.generation(3)[2].parent != 2


def test_members_of_a_stack_that_do_not_carry_their_values_fail_loudly(stacked):
    few = replace(stacked.population, replacements=0)
    with pytest.raises(NoMemberLeft, match=r"`training\.learning_rate` was set to .*, but after"):
        replace(stacked, learners=Toys(how="deaf"), population=few).run()


def test_stack_of_what_cannot_be_stacked_is_refused_with_why(stacked):
    with pytest.raises(ValueError, match="`population.program=stacked` cannot be: they are alone"):
        replace(stacked, learners=Lonely()).run()
    assert not stacked.folder.exists()


@pytest.mark.parametrize("program", [Program.AUTO, Program.STACKED])
def test_members_of_several_processes_are_refused_where_they_cannot_be(evolution, program):
    several = Resources(num_workers=2)
    with pytest.raises(ValueError, match="one process each, but got resources.num_workers=2"):
        replace(evolution, resources=several, population=replace(POPULATION, program=program)).run()


def test_member_that_does_not_carry_its_values_fails_loudly(evolution):
    with pytest.raises(NoMemberLeft, match=r"`training\.learning_rate` was set to .*, but after"):
        replace(evolution, learners=Toys(how="deaf"), population=replace(POPULATION, size=2,
                replacements=0)).run()  # fmt: skip


def test_population_is_stopped_by_hand_with_the_generation_under_way(evolution, tmp_path):
    (tmp_path / STOP_FILE).touch()
    lineage = evolution.run()
    assert lineage.n_generations == 1
    assert lineage.end == "stopped by hand"
    assert not (tmp_path / STOP_FILE).exists()
    assert evolution.run().n_generations == 1  # it was, and stays, over


def test_population_ends_after_its_hours(evolution):
    short = replace(POPULATION, hours=1e-9)
    lineage = replace(evolution, population=short).run()
    assert lineage.end == "1e-09 hours are over"
    assert lineage.n_generations == 1


def test_population_ends_after_its_device_hours(evolution):
    """Each of four members trains for at least 0.02 s in a generation."""
    short = replace(POPULATION, generations=50, device_hours=0.05 / 3600)
    lineage = replace(evolution, learners=Toys(how="slow"), population=short).run()
    assert lineage.n_generations == 1
    assert lineage.end == "1.38889e-05 device-hours are over"


def test_population_ends_without_a_better_loss(evolution):
    patient = replace(POPULATION, generations=50, patience=2, min_improvement=0.9)
    lineage = replace(evolution, population=patient).run()
    assert lineage.end == "no better loss in 2 generations"
    assert lineage.n_generations < 50


def test_progress_tells_generation_best_loss_and_time_left(evolution):
    said = []
    lineage = replace(evolution, say=said.append).run()
    best = min(lineage.generation(2).values(), key=lambda life: life.score)
    assert f"generation 2/4 · best loss {best.score:.4g} (member {best.member}) · " in said[1]
    assert "gone · at most about" in said[1]
    assert said[-1] == "The population is over: 4 generations are done."


@pytest.mark.parametrize("exploit", Exploit)
def test_member_replayed_along_its_lineage_has_the_same_bits(evolution, exploit, tmp_path):
    population = replace(POPULATION, exploit=exploit)
    lineage = replace(evolution, population=population).run()
    for member in (1, 2, 3, 4):
        done = replay_member(Toys(), tmp_path, member=member, seed=0, n=2, cpus=1)
        assert [life.generation for life in done.lives] == [1, 2, 3, 4]
        assert done.lives == lineage.ancestry(member, generation=4)
        assert done.is_same
    other = replay_member(Toys(), tmp_path, member=1, seed=0, n=3, cpus=1)
    assert not other.is_same
    assert "at" in other.differing


def test_unknown_member_has_no_ancestry(evolution):
    with pytest.raises(LookupError, match="Generation 4 has no member 9. There are: 1, 2, 3, 4"):
        evolution.run().ancestry(9, generation=4)


def test_state_of_another_version_is_refused_with_both(tmp_path):
    write_state(tmp_path / "member", {"format": 7, "score": 0.5, "state": {}})
    with pytest.raises(OtherFormat, match="format 7, but 1 is read here"):
        read_member(tmp_path / "member")
