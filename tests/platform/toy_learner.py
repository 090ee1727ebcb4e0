"""A learner of two numbers, whose training can be followed by hand, and ways in which it fails."""

import math
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from calsweep.platform.population.member import member_seed

RATE = "training.learning_rate"


class Toy:
    """Two numbers that are drawn to zero, with noise that seed and epoch decide."""

    def __init__(self, seed):
        self.seed = seed
        self.rate = math.nan
        self.n_done = 0
        self.at = torch.from_numpy(np.random.default_rng(seed).normal(size=2))

    def train(self, n, /):
        for _ in range(n):
            self.n_done += 1
            noise = np.random.default_rng([self.seed, self.n_done]).normal(size=2)
            self.at = (1 - self.rate) * self.at + 0.1 * self.rate * torch.from_numpy(noise)

    def validate(self):
        return float((self.at**2).sum())

    def change(self, values, /):
        self.rate = values[RATE]

    def values(self):
        return {RATE: self.rate}

    def state(self):
        return {"at": self.at, "n_done": self.n_done, "rate": self.rate}

    def load_state(self, state, /):
        self.at, self.n_done, self.rate = state["at"], state["n_done"], state["rate"]


class Deaf(Toy):
    """Does not hear of values once it has some, as an optimizer that is loaded afterwards."""

    def change(self, values, /):
        if self.n_done == 0:
            super().change(values)


class Slow(Toy):
    """Takes ten milliseconds for an epoch."""

    def train(self, n, /):
        time.sleep(0.01 * n)
        super().train(n)


class ToyStack:
    """Several, in one call."""

    def __init__(self, toys):
        self.learners = toys

    def train(self, n, /):
        for toy in self.learners:
            toy.train(n)

    def validate(self):
        return [toy.validate() for toy in self.learners]


@dataclass(frozen=True)
class Toys:
    """Builds them. Member `dies` dies in epoch `at_epoch` in the way that `how` says."""

    dies: int = 0
    at_epoch: int = 2
    how: str = ""
    seed: int = 0
    folder: Path = Path()

    def build(self, *, seed):
        if self.how == "deaf":
            return Deaf(seed)
        if self.how == "slow":
            return Slow(seed)
        toy = Toy(seed)
        if seed == member_seed(self.seed, self.dies):
            toy.train = lambda n: self._train(toy, n)
        return toy

    @property
    def why_alone(self):
        return ""

    def stack(self, seeds, /):
        return ToyStack([self.build(seed=seed) for seed in seeds])

    def _train(self, toy, n):
        if toy.n_done + n < self.at_epoch or toy.n_done >= self.at_epoch:
            return Toy.train(toy, n)
        if self.how == "diverges":
            toy.at = toy.at * math.nan
        elif self.how == "raises":
            raise RuntimeError("no memory of this kind")
        elif self.how == "is killed once" and not (self.folder / "killed").exists():
            (self.folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.how == "is always killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return Toy.train(toy, n)


class Counting(Toys):
    """Notes each epoch that member `dies` has trained."""

    def _train(self, toy, n):
        super()._train(toy, n)
        with (self.folder / "epochs").open("a") as file:
            file.write(f"{toy.n_done}\n")


class Lonely(Toys):
    @property
    def why_alone(self):
        return "they are alone"
