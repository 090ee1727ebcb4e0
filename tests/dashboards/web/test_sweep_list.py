from calsweep.dashboards.web.sweep_list import QUIET_S, Unreadable, listed
from calsweep.platform.ownership.standing import State
from calsweep.platform.record import sweeps_folder


def test_one_that_cannot_be_read_leaves_the_others(writer):
    written = writer()
    written.begin()
    broken = sweeps_folder(written.home) / "broken"
    broken.mkdir()
    (broken / "sweep.json").write_text('{"n_planned": 1}')
    found = {line.name: line for line in listed(written.home)}
    assert found["tiny"].standing.state is State.RUNNING
    assert found["broken"] == Unreadable(name="broken", reason="its record has no 'plan'")


def test_one_that_is_held_and_says_nothing_gives_no_sign_of_life(writer):
    written = writer()
    written.begin()
    (found,) = listed(written.home)
    (later,) = listed(written.home, now_s=found.latest_s + QUIET_S + 60)
    assert later.standing.state is State.SILENT


def test_folder_that_is_not_there_has_no_sweeps(tmp_path):
    assert list(listed(tmp_path / "none")) == []
