"""What keeps LFADS from learning noise, as numbers that may change while it trains."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Regularization:
    """Dropouts, and factors of penalties.

    Attributes
    ----------
    dropout
        Of encoders' inputs and last states, of the controller's inputs, and of generator states.
    coordinated_dropout
        Share of values that is not seen, and alone learnt from; 0 for none.
    l2_generator, l2_controller, l2_initial_encoder
        Of weights from state to state.
    kl_initial, kl_inputs
        Of divergences from the priors.
    """

    dropout: float = 0.0
    coordinated_dropout: float = 0.0
    l2_generator: float = 0.0
    l2_controller: float = 0.0
    l2_initial_encoder: float = 0.0
    kl_initial: float = 0.0
    kl_inputs: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.dropout < 1 and 0 <= self.coordinated_dropout < 1):
            raise ValueError(f"dropouts must be at least 0 and below 1, but got {self!r}.")
        others = [f.name for f in fields(self) if f.name.startswith(("l2_", "kl_"))]
        for name in others:
            if not getattr(self, name) >= 0:
                raise ValueError(f"`{name} >= 0` must hold, but got {getattr(self, name)}.")
