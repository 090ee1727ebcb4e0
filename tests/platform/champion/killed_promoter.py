"""A promoter in a process of its own that is killed at a step."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[3]
KILLED_AT = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path
    from mlflow import MlflowClient
    from calsweep.platform.champion.candidate import best_candidate
    from calsweep.platform.champion.gate import Gate
    from calsweep.platform.champion.history import History
    from calsweep.platform.champion.promotion import promote
    from calsweep.platform.champion.registry import Registry
    from calsweep.platform.comparison import Method
    from calsweep.platform.record_reader import read_sweep

    home, sweep, name, owner, method, calls, ensemble = sys.argv[1:]
    kind = {"Registry": Registry, "History": History, "MlflowClient": MlflowClient}[owner]
    real, left = getattr(kind, method), [int(calls)]

    def killed(*args, **settings):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **settings)

    setattr(kind, method, killed)
    candidate = best_candidate(read_sweep(Path(home), sweep), ensemble=ensemble == "yes")
    promote(candidate, home=Path(home), name=name, gate=Gate(test=Method.SIGNED_RANK))
""")


def promote_and_be_killed(
    home, sweep, owner, method, calls=0, *, name, ensemble=False, deadline_s=200
):
    """Run a promotion in a process that is killed when a method is called once more."""
    asked = [home, sweep, name, owner, method, calls, "yes" if ensemble else "no"]
    run = subprocess.run(
        [sys.executable, "-c", KILLED_AT, *map(str, asked)],
        cwd=ROOT, capture_output=True, text=True, timeout=deadline_s, check=False,
    )  # fmt: skip
    assert run.returncode == -signal.SIGKILL, run.stdout + run.stderr
