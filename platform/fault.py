"""What is not as it has to be, and where."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Part(Enum):
    """Where a sweep's results lie."""

    RECORD = "record"
    MLFLOW = "MLflow"
    ARTIFACTS = "artifacts"
    REGISTRY = "registry"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is missing, twice, running, of another value or damaged.

    Attributes
    ----------
    part
        Where.
    what
        Names the thing and says what is wrong with it.
    """

    part: Part
    what: str

    def __str__(self) -> str:
        return f"{self.part.value}: {self.what}"
