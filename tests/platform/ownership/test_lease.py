"""One process at a time writes a record; one that was paused and woken writes nothing more."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from calsweep.platform.ownership.follow import follow
from calsweep.platform.ownership.lease import (
    Lease,
    LeaseHeld,
    LeaseLost,
    Owner,
    read_owner,
    wait_for_sign,
)
from calsweep.platform.ownership.process import Process, this_process
from calsweep.platform.record_reader import read_lines, record_events
from calsweep.platform.record_writer import Record

ROOT = Path(__file__).parent.parent.parent.parent
RENEW_S, LEASE_S = 0.1, 1.5
DESCRIPTION = {"settings": {}, "dataset": {}, "code_version": "1", "n_planned": 1}
# Writes lines until it may not, under a clock that jumps by `jump_s` after the first line.
DRIVER = f"""
import sys, time
from pathlib import Path
from calsweep.platform.ownership.lease import LeaseLost
from calsweep.platform.record_writer import Record

folder, jump_s = Path(sys.argv[1]), float(sys.argv[2])
true = time.time
with Record(folder, renew_s={RENEW_S}, lease_s={LEASE_S}) as record:
    record.begin({DESCRIPTION})
    for number in range(100_000):
        try:
            record.append({{"event": "line", "number": number}})
        except LeaseLost as lost:
            print(lost, flush=True)
            break
        time.time = lambda: true() + jump_s
        if number == 0:
            print("begun", flush=True)
"""


class Driver:
    """A process that takes a sweep's lease and writes line after line."""

    def __init__(self, folder, *, jump_s=0.0):
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(folder), str(jump_s)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout.readline() == "begun\n"

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "sweep"
    folder.mkdir()
    return folder


@pytest.fixture
def driver(folder, request):
    driver = Driver(folder, jump_s=getattr(request, "param", 0.0))
    yield driver
    driver.end()


def lease(folder):
    return Lease(folder, renew_s=RENEW_S, lease_s=LEASE_S)


def numbers(folder, token):
    return [
        line["number"]
        for line in read_lines(folder / "record.jsonl")
        if line["token"] == token and line["event"] == "line"
    ]


@pytest.mark.parametrize("attempt", range(3))
def test_driver_that_was_paused_and_woken_writes_nothing_after_the_next(folder, driver, attempt):
    time.sleep(0.05 * attempt)  # in the middle of whatever it does then
    os.kill(driver.process.pid, signal.SIGSTOP)
    with Record(folder, renew_s=RENEW_S, lease_s=LEASE_S) as record:
        record.begin(DESCRIPTION)
        assert record.token == 2
        record.append({"event": "line", "number": 7})
        before = len(numbers(folder, 1))
        os.kill(driver.process.pid, signal.SIGCONT)
        out, _ = driver.process.communicate(timeout=20)
        assert "was taken over by" in out
        assert f":{os.getpid()}: this process gave no sign of life for 1.5 s" in out
        record.append({"event": "line", "number": 8})
    assert numbers(folder, 2) == [7, 8]
    # At most the one line that it was writing when it was paused; and that one is not read.
    assert len(numbers(folder, 1)) <= before + 1
    read = [line for line in record_events(folder) if line["token"] == 1]
    assert len([line for line in read if line["event"] == "line"]) == before


def test_driver_that_woke_meanwhile_keeps_its_lease(folder, driver):
    before = read_owner(folder)
    give_up = time.monotonic() + 60
    while read_owner(folder) == before:  # it works on, however late beside much other work
        assert time.monotonic() < give_up
        time.sleep(RENEW_S / 4)
    with pytest.raises(LeaseHeld, match=f":{driver.process.pid} just now"):
        lease(folder).take(silent=before)


def test_driver_that_was_killed_is_followed_at_once(folder, driver):
    driver.process.kill()
    driver.process.wait()
    begun = time.monotonic()
    after = lease(folder)
    after.take()
    assert time.monotonic() - begun < LEASE_S
    assert after.token == 2
    after.release("done")


@pytest.mark.parametrize("driver", [3600.0, -3600.0], indirect=True)
def test_clock_that_is_moved_by_an_hour_neither_breaks_nor_steals(folder, driver, monkeypatch):
    there = time.time
    monkeypatch.setattr(time, "time", lambda: there() + 7200.0)
    with pytest.raises(LeaseHeld, match=f":{driver.process.pid} just now"):
        lease(folder).take()
    first = len(numbers(folder, 1))
    deadline = time.monotonic() + 20
    while len(numbers(folder, 1)) == first:
        assert time.monotonic() < deadline, "it writes no more"
        time.sleep(0.05)


def test_lease_of_a_machine_that_fell_silent_is_free_after_its_time(folder):
    elsewhere = Process(name="other:1", pid=1, born="1", place="elsewhere")
    held = Owner(token=41, process=elsewhere, beat=3)
    write_owner(folder, held)
    begun = time.monotonic()
    after = lease(folder)
    after.take()
    assert time.monotonic() - begun >= LEASE_S
    assert after.token == 42
    after.release("done")


def test_machine_whose_silence_was_looked_on_at_is_not_waited_for_once_more(folder):
    elsewhere = Process(name="other:1", pid=1, born="1", place="elsewhere")
    held = Owner(token=41, process=elsewhere, beat=3)
    write_owner(folder, held)
    seen = follow(folder, say=print, lease_s=0.0)
    after = Lease(folder, lease_s=3600.0)
    after.take(silent=seen)
    assert after.token == 42
    after.release("done")


def test_lease_that_was_let_go_is_free_and_says_how_it_ended(folder):
    first = lease(folder)
    first.take()
    first.release("interrupted")
    there = read_owner(folder)
    assert (there.token, there.is_held, there.ending) == (1, False, "interrupted")
    second = lease(folder)
    second.take()
    assert second.token == 2
    second.release("done")


def test_token_is_never_below_those_of_the_record(folder):
    (folder / "owner.json").write_text('{"token": 5')  # cut short by a lost machine
    with Record(folder) as record:
        record.begin(DESCRIPTION)
        for number in range(2):
            record.append({"event": "line", "number": number})
    (folder / "owner.json").unlink()
    with Record(folder) as record:
        record.begin(DESCRIPTION)
        assert record.token == 2


def test_lease_that_is_lost_is_told_with_who_has_it(folder):
    first = lease(folder)
    first.take()
    write_owner(folder, Owner(token=2, process=Process(name="b:7", pid=7, born="", place="b")))
    with pytest.raises(LeaseLost, match="taken over by b:7"), first.writing():
        pytest.fail("it must not write")
    with pytest.raises(LeaseLost):
        first.check()
    first.release("done")
    assert read_owner(folder).token == 2


def test_sweep_that_is_another_s_by_now_is_not_removed(folder):
    """A new sweep of which nothing is recorded leaves nothing, unless another went on with it."""
    with Record(folder) as record:
        record.begin(DESCRIPTION)
        write_owner(folder, Owner(token=2, process=Process(name="b:7", pid=7, born="", place="b")))
    assert (folder / "sweep.json").exists()
    assert read_owner(folder).token == 2


def test_lock_of_a_process_paused_amid_a_write_is_put_aside(folder):
    """The lock itself is held by a process that does nothing any more."""
    code = (
        "import fcntl, sys, time; file = open(sys.argv[1], 'a'); "
        "fcntl.flock(file, fcntl.LOCK_EX); print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(folder / "owner.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        after = lease(folder)
        after.take()
        assert after.token == 1
        after.release("done")
        process.kill()


def test_sign_of_life_is_seen(folder, driver, tmp_path):
    silent = tmp_path / "silent"
    silent.mkdir()
    write_owner(silent, Owner(token=1, process=Process(name="o:1", pid=1, born="1", place="o")))
    nobody = tmp_path / "nobody"
    nobody.mkdir()
    signs = wait_for_sign([folder, silent, nobody], wait_s=1.0)
    assert signs == {folder: True, silent: False}


def test_process_that_ended_is_gone_and_its_number_may_come_again():
    here = this_process()
    assert not here.is_gone
    assert Process(name="", pid=here.pid, born="1", place=here.place).is_gone
    assert not Process(name="", pid=here.pid, born="1", place="another machine").is_gone


def write_owner(folder, owner):
    plain = {**vars(owner), "process": vars(owner.process)}
    (folder / "owner.json").write_text(json.dumps(plain))
