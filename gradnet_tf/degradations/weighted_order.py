"""The order of a training set's images where its parts have weights (NumPy only)."""

from collections.abc import Sequence

import numpy as np

# Streams of random numbers, apart from those of `gradnet_tf.degradations.sampling`.
_BLOCK, _GROUP = 2, 3


class WeightedOrder:
    """Which image example n shows: exactly `weight` of every `sum(weights)` from each group.

    Within a group every image comes once before any comes again, in a new order each time.
    All of it follows from (seed, n).
    """

    def __init__(self, groups: Sequence[tuple[Sequence[int], int]], seed: int):
        """Args:
        groups: for each group the numbers of its images, at least one, and its
            weight, a whole number of 1 or more.
        seed: the run's seed.
        """
        self._images = [list(images) for images, _ in groups]
        self._weights = [weight for _, weight in groups]
        self._seed = seed
        # Of each slot of a block: its group, and its number among the group's slots.
        self._slots = [
            (group, rank) for group, weight in enumerate(self._weights) for rank in range(weight)
        ]
        self._orders: list[tuple[int, np.ndarray] | None] = [None] * len(groups)

    def image(self, n: int) -> int:
        """Returns the number of the image of example `n` (from 0)."""
        block, place = divmod(n, len(self._slots))
        slots = np.random.default_rng((self._seed, _BLOCK, block)).permutation(len(self._slots))
        group, rank = self._slots[slots[place]]
        images = self._images[group]
        epoch, position = divmod(block * self._weights[group] + rank, len(images))
        cached = self._orders[group]
        if cached is None or cached[0] != epoch:
            generator = np.random.default_rng((self._seed, _GROUP, group, epoch))
            # One assignment, so that threads see either the old or the new pair.
            self._orders[group] = cached = (epoch, generator.permutation(len(images)))
        return images[cached[1][position]]
