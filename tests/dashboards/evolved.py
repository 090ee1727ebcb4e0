"""The lineage of a small population, as one writes it: three members over three generations."""

import math

from calsweep.platform.population.lineage import Life, Lineage

RATE, SMOOTHING = "training.learning_rate", "training.label_smoothing"
# generation, member, parent, learning rate, loss
LIVES = (
    (1, 1, None, 1e-4, 0.9), (1, 2, None, 1e-2, 0.5), (1, 3, None, 1e-3, 0.7),
    (2, 1, 2, 8e-3, 0.4), (2, 2, 2, 1e-2, 0.45), (2, 3, 3, 1e-3, math.nan),
    (3, 1, 1, 8e-3, 0.35), (3, 2, 1, 7e-3, 0.3), (3, 3, 2, 1.1e-2, 0.4),
)  # fmt: skip


def write_lineage(folder, lives=LIVES):
    made = Lineage(folder)
    for generation, member, parent, rate, loss in lives:
        made.add(
            Life(
                generation=generation, member=member, parent=parent, score=loss, attempt=1,
                values={RATE: rate, SMOOTHING: 0.1}, seconds=1.0, train_seconds=1.0,
                error="" if math.isfinite(loss) else "its loss was not finite",
            )
        )  # fmt: skip
    return Lineage(folder)
