"""MLflow is fed beside the sweep: it gets all, holds nothing up, and ends when the sweep does."""

import threading
import time

import pytest

from calsweep.platform.tracking import run_writer, tracking_thread
from calsweep.platform.tracking.tracking import Tracker
from calsweep.platform.tracking.tracking_thread import TrackingThread
from tests.platform.written_sweep import NOWHERE, runs_of


def test_thread_writes_all_before_it_closes(writer, uri):
    writer.begin()
    thread = TrackingThread(uri, home=writer.home, sweep=writer.name)
    writer.fold(0)
    writer.fold(1)
    writer.end()
    assert thread.close() == ""
    assert len(runs_of(uri, writer.name)) == 3


def test_run_of_a_trial_that_did_not_end_is_closed_with_the_sweep(writer, uri):
    writer.begin()
    writer.fold(0)
    thread = TrackingThread(uri, home=writer.home, sweep=writer.name, is_running=True)
    assert thread.close() == ""
    assert thread.fed.n_closed == 1
    statuses = dict(runs_of(uri, writer.name)["status"])
    assert statuses == {"trial 0": "KILLED", "trial 0/key0": "FINISHED"}


def test_outage_is_told_within_the_deadline_and_without_password(writer):
    writer.done()
    thread = TrackingThread(NOWHERE, home=writer.home, sweep=writer.name)
    begun = time.monotonic()
    error = thread.close(deadline_s=3)
    assert time.monotonic() - begun < 5
    assert error
    assert "secret" not in error


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("raised", [KeyError(), ValueError("\n"), SystemExit()])
def test_error_without_text_is_told(writer, uri, monkeypatch, raised):
    def fail(*_, **__):
        raise raised

    writer.begin()
    monkeypatch.setattr(tracking_thread, "Tracker", fail)
    monkeypatch.setattr(tracking_thread, "SYNC_EVERY_S", 0.05)
    error = TrackingThread(uri, home=writer.home, sweep=writer.name).close(deadline_s=0.5)
    wanted = {KeyError: "KeyError", ValueError: "ValueError", SystemExit: "its writer ended"}
    assert error.startswith(wanted[type(raised)])


def test_left_by_an_error_it_ends_with_the_fold_it_writes(writer, uri, monkeypatch, either_way):
    monkeypatch.setattr(tracking_thread, "SYNC_EVERY_S", 0.05)
    has_put_one, may_go_on = threading.Event(), threading.Event()
    write = getattr(run_writer, either_way)

    def write_and_wait(*given, **named):
        written = write(*given, **named)
        has_put_one.set()
        may_go_on.wait(30)
        return written

    monkeypatch.setattr(run_writer, either_way, write_and_wait)
    sweep = writer.done()
    thread = TrackingThread(uri, home=writer.home, sweep=writer.name)
    with pytest.raises(KeyboardInterrupt), thread:
        assert has_put_one.wait(30)
        threading.Timer(0.2, may_go_on.set).start()
        raise KeyboardInterrupt
    assert thread.stop(deadline_s=0)  # it has ended
    runs = runs_of(uri, writer.name)
    assert dict(runs["status"]) == {"trial 0": "KILLED", "trial 0/key0": "FINISHED"}
    monkeypatch.setattr(run_writer, either_way, write)
    assert Tracker(uri, home=writer.home, sweep=writer.name).sync(sweep) == 1
    assert list(runs_of(uri, writer.name).index) == ["trial 0", "trial 0/key0", "trial 0/key1"]


def test_one_that_does_not_end_is_told(writer, monkeypatch):
    may_go_on = threading.Event()
    monkeypatch.setattr(tracking_thread, "Tracker", lambda *_, **__: may_go_on.wait(30))
    monkeypatch.setattr(tracking_thread, "SYNC_EVERY_S", 0.05)
    writer.done()
    thread = TrackingThread(NOWHERE, home=writer.home, sweep=writer.name)
    time.sleep(0.3)
    assert not thread.stop(deadline_s=0.1)
    may_go_on.set()
    assert thread.stop(deadline_s=10)
