import os
import signal
import subprocess
import sys

import pytest

from calsweep.platform.interruption import Interruption, end_process
from calsweep.platform.progress import Progress
from calsweep.platform.record_writer import Record


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


def test_search_asks_at_every_step_and_at_its_end(tmp_path):
    from calsweep.platform.search import RecordKeeper

    record = Record(tmp_path)
    with Interruption() as interruption:
        keeper = RecordKeeper(record, Progress(n_trials=1, n_folds=1), interruption)
        keeper.on_step_begin(iteration=0, trials=[])
        with pytest.raises(KeyboardInterrupt):
            press()
        with pytest.raises(KeyboardInterrupt):
            keeper.on_step_begin(iteration=1, trials=[])


# Each orthogonal matrix is made by torch's own code, which gives the interpreter away meanwhile.
AMID_TORCH = """
import threading, time, torch
from calsweep.platform.interruption import AMID_A_CALL, end_process
def work():
    while True:
        torch.nn.init.orthogonal_(torch.empty(256, 256))
threading.Thread(target=work, name=AMID_A_CALL + "work", daemon=True).start()
time.sleep(0.3)
print("said")
end_process(130)
"""


@pytest.mark.parametrize("_", range(3))
def test_process_ends_with_its_code_amid_a_call_of_torch(_):
    ended = subprocess.run(
        [sys.executable, "-c", AMID_TORCH], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "said\n", "")


@pytest.mark.parametrize("code", [0, 2])
def test_process_without_such_a_thread_ends_as_ever(code):
    with pytest.raises(SystemExit) as ended:
        end_process(code)
    assert ended.value.code == code
