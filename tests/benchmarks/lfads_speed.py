"""Speed and memory of a training step of LFADS, beside the layout of the published module.

Run with ``python -m tests.benchmarks.lfads_speed``; two threads, or with ``--threads 1`` one, whose
times are of the process and so hardly hang on what else the machine does. A step is forward, loss,
backward, clipping and Adam, of 128 trials of 90 bins of 278 neurons with the sizes of R, dropout
0.3 and coordinated dropout 0.3. The published layout is written here anew from its description:
cells stepped bin by bin, each with a product of its inputs, states put together and split again in
every bin, divergences by ``torch.distributions``. The two take turns; least and median times are
printed with the rate of a product of 2048 x 2048 matrices, because a shared machine gives more at
one minute than at the next. Peaks of memory are of processes of their own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence
from torch.nn import functional

from calsweep.trainables.lfads.model import Lfads
from calsweep.trainables.lfads.observation import Observation, Poisson, ZeroInflatedGamma
from calsweep.trainables.lfads.regularization import Regularization

N_TRIALS, N_BINS, N_NEURONS = 128, 90, 278
DROPOUT, COORDINATED = 0.3, 0.3
OBSERVATIONS: dict[str, Observation] = {"poisson": Poisson(), "gamma": ZeroInflatedGamma()}

Step = Callable[[], Tensor]


class PlainCell(nn.GRUCell):
    """A clipped GRU cell whose reset gate multiplies the state."""

    def forward(self, x: Tensor, h: Tensor) -> Tensor:  # type: ignore[override]
        """Give the next state."""
        n = self.hidden_size
        x_z, x_r, x_n = (x @ self.weight_ih.T + self.bias_ih).chunk(3, dim=1)
        h_z, h_r = (h @ self.weight_hh[: 2 * n].T).chunk(2, dim=1)
        z, r = torch.sigmoid(x_z + h_z), torch.sigmoid(x_r + h_r)
        candidate = torch.tanh(x_n + (r * h) @ self.weight_hh[2 * n :].T)
        return torch.clamp(z * h + (1 - z) * candidate, -5.0, 5.0)


class PlainEncoder(nn.Module):
    """Two cells over the bins, one in each direction."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.ModuleList(PlainCell(N_NEURONS, 64) for _ in range(2))
        self.first = nn.Parameter(torch.zeros(2, 1, 64))

    def forward(self, x_BTN: Tensor) -> tuple[Tensor, Tensor]:
        """Give the states of each bin, and the last of both."""
        states = []
        for cell, first, x in zip(self.cells, self.first, (x_BTN, x_BTN.flip(1)), strict=True):
            h, of_direction = first.expand(len(x), -1), []
            for x_BN in x.transpose(0, 1):
                h = cell(x_BN, h)
                of_direction.append(h)
            states.append(torch.stack(of_direction, dim=1))
        last = torch.cat([states[0][:, -1], states[1][:, -1]], dim=1)
        return torch.cat([states[0], states[1].flip(1)], dim=2), last


class PlainLfads(nn.Module):
    """LFADS as its published module lays it out."""

    def __init__(self, n_parameters: int) -> None:
        super().__init__()
        self.initial_encoder, self.input_encoder = PlainEncoder(), PlainEncoder()
        self.posterior, self.initial = nn.Linear(128, 128), nn.Linear(64, 100)
        self.controller, self.generator = PlainCell(128 + 100, 64), PlainCell(2, 100)
        self.controller_first = nn.Parameter(torch.zeros(1, 64))
        self.inferred, self.factors = nn.Linear(64, 4), nn.Linear(100, 100, bias=False)
        self.readout = nn.Linear(100, n_parameters * N_NEURONS)
        self.prior_mean = nn.Parameter(torch.zeros(64))
        self.log_tau = nn.Parameter(torch.full((2,), 10.0).log())
        self.log_noise = nn.Parameter(torch.full((2,), 0.1).log())
        self.scale = nn.Parameter(torch.ones(2, N_NEURONS))
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x_BTN: Tensor) -> tuple[Tensor, ...]:
        """Give parameters of the output, and posteriors."""
        x_BTN = self.dropout(x_BTN)
        _, last = self.initial_encoder(x_BTN)
        mean, log_variance = self.posterior(self.dropout(last)).chunk(2, dim=1)
        spread = torch.sqrt(log_variance.exp() + 1e-4)
        encoded, _ = self.input_encoder(x_BTN)
        onward, back = encoded.chunk(2, dim=2)
        onward = functional.pad(onward, (0, 0, 1, 0))[:, :N_BINS]
        back = functional.pad(back, (0, 0, 0, 1))[:, 1:]
        hidden = self.begin(Independent(Normal(mean, spread), 1).rsample())
        states = []
        for x in torch.cat([onward, back], dim=2).transpose(0, 1):
            hidden = self.decode(x, hidden)
            states.append(hidden)
        *_, means, spreads, _, factors = self.split(torch.stack(states, dim=1))
        return self.readout(factors), mean, spread, means, spreads

    def split(self, hidden: Tensor) -> tuple[Tensor, ...]:
        """Take apart what is carried from bin to bin."""
        return torch.split(hidden, [100, 64, 2, 2, 2, 100], dim=-1)

    def begin(self, initial: Tensor) -> Tensor:
        """Give what the first bin sees."""
        state = self.initial(initial)
        factors = self.weigh(self.dropout(state))
        n = len(state)
        parts = [state, self.controller_first.tile(n, 1), torch.zeros(n, 6), factors]
        return torch.cat(parts, dim=1)

    def weigh(self, state: Tensor) -> Tensor:
        """Give factors by weights of length 1."""
        return functional.linear(state, functional.normalize(self.factors.weight, dim=1))

    def decode(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Take a step of controller and generator."""
        state, control, *_, factors = self.split(hidden)
        control = self.controller(self.dropout(torch.cat([x, factors], dim=1)), control)
        mean, log_variance = self.inferred(control).chunk(2, dim=1)
        spread = torch.sqrt(log_variance.exp())
        inferred = Independent(Normal(mean, spread), 1).rsample()
        state = self.generator(inferred, state)
        factors = self.weigh(self.dropout(state))
        return torch.cat([state, control, mean, spread, inferred, factors], dim=1)

    def kl(self, mean: Tensor, spread: Tensor, means: Tensor, spreads: Tensor) -> Tensor:
        """Give the divergences from both priors; that of inputs from a sample."""
        prior = Independent(Normal(self.prior_mean, self.prior_mean.new_tensor(0.1**0.5)), 1)
        of_initial = kl_divergence(Independent(Normal(mean, spread), 1), prior).mean()
        posterior = Independent(Normal(means, spreads), 2)
        sample = posterior.rsample()
        decay = torch.exp(-1 / self.log_tau.exp())
        foretold = torch.roll(sample, 1, dims=1) * decay
        left = torch.ones_like(foretold) * (self.log_noise / 2).exp()
        foretold[:, 0] = 0.0
        left[:, 0] = ((self.log_noise - torch.log(1 - decay**2)) / 2).exp()
        log_prior = Independent(Normal(foretold, left), 2).log_prob(sample)
        return of_initial + (posterior.log_prob(sample) - log_prior).mean()

    def l2(self) -> Tensor:
        """Give the penalty of weights from state to state."""
        cells = [self.generator, self.controller, *self.initial_encoder.cells]
        total = sum(0.5 * torch.norm(cell.weight_hh, 2) ** 2 for cell in cells)
        return torch.as_tensor(total) / sum(cell.weight_hh.numel() for cell in cells)

    def nll(self, outputs: Tensor, x_BTN: Tensor) -> Tensor:
        """Give the negative log-likelihood of each value."""
        if outputs.shape[-1] == N_NEURONS:
            return functional.poisson_nll_loss(outputs, x_BTN, full=True, reduction="none")
        shares = torch.sigmoid(outputs).clamp_min(1e-5)
        a, b, q = torch.stack(shares.chunk(3, dim=-1), dim=-1).unbind(-1)
        gamma = torch.distributions.Gamma(a * self.scale[0], b * self.scale[1])
        above = torch.where(x_BTN == 0, torch.ones_like(x_BTN), x_BTN - 0.1)
        nll = -gamma.log_prob(above.clamp_min(1e-3))
        return torch.where(x_BTN == 0, -torch.log(1 - q), nll - torch.log(q))


def plain_step(activity_BTN: Tensor, observation: Observation) -> Step:
    """Make the step of the published layout."""
    module = PlainLfads(observation.n_parameters).train()

    def loss() -> Tensor:
        is_missing = activity_BTN.isnan()
        x_BTN = torch.nan_to_num(activity_BTN, nan=0.0)
        seen = torch.bernoulli(torch.full_like(x_BTN, 1 - COORDINATED))
        outputs, *posteriors = module(x_BTN * seen / (1 - COORDINATED))
        nll = module.nll(outputs, x_BTN)
        nll = torch.where(is_missing, 0.0, nll) / (1 - is_missing.float().mean())
        nll = nll * (1 - seen) + (nll * seen).detach()
        return nll.mean() + 1e-5 * module.kl(*posteriors) + 1e-3 * module.l2()

    return step_of(module, loss)


def our_step(activity_BTN: Tensor, observation: Observation) -> Step:
    """Make the step of calsweep."""
    module = Lfads(observation=observation).build([N_NEURONS]).train()
    module.regularization = Regularization(
        dropout=DROPOUT,
        coordinated_dropout=COORDINATED,
        kl_initial=1e-5,
        kl_inputs=1e-5,
        l2_generator=1e-3,
        l2_controller=1e-3,
        l2_initial_encoder=1e-3,
    )
    draws = torch.Generator().manual_seed(0)
    activity_TBN = activity_BTN.transpose(0, 1).contiguous()
    return step_of(module, lambda: module.loss(activity_TBN, draws=draws).total)


def step_of(module: nn.Module, loss_of: Callable[[], Tensor]) -> Step:
    """Make a step."""
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, betas=(0.9, 0.99), eps=1e-8)

    def step() -> Tensor:
        loss = 1e4 * loss_of()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 300.0)
        optimizer.step()
        return loss.detach()

    return step


STEPS = {"published": plain_step, "calsweep": our_step}


def activity_of(name: str) -> Tensor:
    """Draw events: counts, or sparse ones of which a third of the values was sampled."""
    generator = torch.Generator().manual_seed(0)
    shape = (N_TRIALS, N_BINS, N_NEURONS)
    counts = torch.poisson(torch.full(shape, 0.05), generator=generator)
    if name == "poisson":
        return counts
    events = counts * (0.15 + torch.rand(shape, generator=generator))
    phase = torch.arange(N_BINS)[:, None] % 3 == torch.arange(N_NEURONS) % 3
    return torch.where(phase, events, torch.nan)


def milliseconds(step: Callable[[], Tensor]) -> float:
    """Give the time of one step: on one thread that of the process, which others do not slow."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    begun = clock()
    loss = step()
    assert loss.isfinite().all(), loss
    return 1000 * (clock() - begun)


def product_rate() -> float:
    """Give the rate of a product of matrices in GFLOP/s, the best of a few."""
    a, b = torch.randn(2, 2048, 2048)
    return 2 * 2048**3 / 1e6 / min(milliseconds(lambda: a @ b) for _ in range(5))


def peak_mb(kind: str, name: str, *, n_threads: int) -> float:
    """Give the peak of memory of a process that takes some steps, in MB."""
    command = [sys.executable, __file__, "--peak-of", kind, "--observation", name]
    command += ["--threads", str(n_threads)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def own_peak_mb() -> float:
    """Give the peak of this process; the one that the system counts has that of its parent too."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Print the time of a step of each, ratios, and peaks of memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--observation", choices=list(OBSERVATIONS), default="poisson")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peak-of", choices=list(STEPS), help="only take steps, print the peak")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    name, observation = asked.observation, OBSERVATIONS[asked.observation]
    activity_BTN = activity_of(name)
    if asked.peak_of:
        step = STEPS[asked.peak_of](activity_BTN, observation)
        for _ in range(3):
            step()
        print(own_peak_mb())
        return
    steps = {kind: make(activity_BTN, observation) for kind, make in STEPS.items()}
    for step in steps.values():  # warm up
        step()
    times: dict[str, list[float]] = {kind: [] for kind in steps}
    rates = [product_rate()]
    for _ in range(asked.rounds):
        for kind, step in steps.items():
            times[kind].append(milliseconds(step))
        rates.append(product_rate())
    print(f"product of 2048 x 2048: {min(rates):.0f}-{max(rates):.0f} GFLOP/s; ", end="")
    print(f"load of the machine {os.getloadavg()[0]:.1f}")
    for kind, of_kind in times.items():
        peak = peak_mb(kind, name, n_threads=asked.threads)
        print(
            f"{kind:>9} {name:>7} {min(of_kind):6.0f} ms a step at best, "
            f"{statistics.median(of_kind):.0f} median, {max(of_kind):.0f} at worst; {peak:.0f} MB"
        )
    for what, of in (("best", min), ("median", statistics.median)):
        ratio = of(times["published"]) / of(times["calsweep"])
        print(f"{what}: {ratio:.2f} times as fast as the published layout")


if __name__ == "__main__":
    main()
