"""What one fold's training takes of a cluster."""

from __future__ import annotations

from dataclasses import dataclass

from calsweep.search_spaces.population import Program


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one fold's training takes.

    Attributes
    ----------
    num_workers
        Processes that train one fold together; above 1, each has its own device.
    cpus, gpus
        Of each of these processes.
    retries
        How often a fold is begun again after its process died.
    deadline_s
        Seconds after which a fold that has not come back is given up.
    checkpoint_s
        Seconds of training after which a fold keeps where it stands, to go on there if its process
        dies.
    nodes_within_s
        Seconds to wait for nodes where none has what a fold takes: an autoscaler's take minutes.
    folds
        How the folds of a trial train: each alone, in as many processes as fit, or all of them
        stacked as one program in one process.
    """

    num_workers: int = 1
    cpus: int = 1
    gpus: float = 0.0
    retries: int = 2
    deadline_s: float = 6 * 3600.0
    checkpoint_s: float = 30.0
    nodes_within_s: float = 0.0
    folds: Program = Program.AUTO

    def __post_init__(self) -> None:
        if self.num_workers < 1 or self.cpus < 1:
            raise ValueError(
                f"at least one worker and one CPU are needed, "
                f"but got {self.num_workers=}, {self.cpus=}."
            )
        if self.num_workers > 1 and self.folds is Program.STACKED:
            raise ValueError(
                "folds that are stacked train in one process, but got "
                f"{self.num_workers=}: take num_workers=1, or folds=auto."
            )
        not_negative = (self.gpus, self.retries, self.checkpoint_s, self.nodes_within_s)
        if min(not_negative) < 0 or self.deadline_s <= 0:
            raise ValueError(
                "`gpus >= 0`, `retries >= 0`, `checkpoint_s >= 0`, `nodes_within_s >= 0` and "
                f"`deadline_s > 0` must hold, but got {self.gpus=}, {self.retries=}, "
                f"{self.checkpoint_s=}, {self.nodes_within_s=}, {self.deadline_s=}."
            )

    @property
    def n_devices(self) -> float:
        """Devices that one fold takes; a share of one counts as such, a process without one as 1.

        Examples
        --------
        >>> Resources(num_workers=4, gpus=1).n_devices, Resources(gpus=0.25).n_devices
        (4.0, 0.25)
        """
        return float(self.num_workers * (self.gpus or 1.0))
