import os
import signal

import pytest

from calsweep.platform.interruption import Interruption


def press():
    os.kill(os.getpid(), signal.SIGINT)


def test_what_was_swallowed_is_raised_again():
    with Interruption() as interruption:
        interruption.check()
        with pytest.raises(KeyboardInterrupt):
            press()
        with pytest.raises(KeyboardInterrupt):
            interruption.check()


def test_python_handles_it_as_before_afterwards():
    before = signal.getsignal(signal.SIGINT)
    with Interruption():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) is before


def test_search_asks_at_every_step_and_at_its_end():
    from calsweep.platform.search import RecordKeeper

    with Interruption() as interruption:
        keeper = RecordKeeper(None, None, interruption)
        keeper.on_step_begin(iteration=0, trials=[])
        with pytest.raises(KeyboardInterrupt):
            press()
        with pytest.raises(KeyboardInterrupt):
            keeper.on_step_begin(iteration=1, trials=[])
