"""Messages between the workers of a run; a single process is a team of one.

The loop calls the same members in the same order on every worker, so that no worker waits for a
message that is never sent. Only the chief uses the run's folder. An engine without a `team` is a
single process.
"""

from collections.abc import Sequence

import numpy as np


class Team:
    """A team of one: shared values are returned unchanged.

    Attributes:
        index: index of this worker, from 0.
        size: number of workers.
    """

    index = 0
    size = 1

    @property
    def chief(self) -> bool:
        """Whether this worker writes log, checkpoints and best weights."""
        return self.index == 0

    def sums(self, values: Sequence[float]) -> list[float]:
        """Returns the sums of each value over the workers; also a barrier."""
        return [float(value) for value in values]

    def share(self, value):
        """Returns the chief's JSON value."""
        return value

    def share_arrays(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Returns the chief's arrays; shapes and dtypes must be equal on every worker."""
        return arrays

    def share_state(self, engine, state):
        """Gives every worker the chief's weights, optimizer state and progress.

        Args:
            engine: its model and optimizer are changed in place.
            state: the chief's progress, or `None`; ignored on other workers.

        Returns:
            The chief's `state`.
        """
        if self.size == 1:
            return state
        groups = {"weights": engine.model.get_weights(), **engine.state()}
        arrays = iter(self.share_arrays([array for group in groups.values() for array in group]))
        if not self.chief:
            groups = {name: [next(arrays) for _ in group] for name, group in groups.items()}
            engine.model.set_weights(groups.pop("weights"))
            engine.set_state(groups)
        return self.share(state)

    def agree(self, elapsed: float, stop: bool) -> tuple[float, bool]:
        """Returns the chief's clock, and whether any worker got a stop signal.

        Under a time budget the learning rate depends on the clock, and signals reach workers at
        different times; all workers must agree on both.
        """
        elapsed, stops = self.sums([elapsed if self.chief else 0.0, float(stop)])
        return elapsed, stops > 0
