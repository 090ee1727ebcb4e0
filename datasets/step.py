"""What is done to a recording on its way into a dataset."""

from __future__ import annotations

from typing import Protocol

from calsweep.datasets.recording import Recording


class Step(Protocol):
    """A frozen dataclass of options, with what it does."""

    def apply(self, recording: Recording, /) -> Recording:
        """Give the recording after this step; a sentence in its `steps` says what was done."""
        ...
