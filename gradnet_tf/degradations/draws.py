"""The random numbers of one degraded image, fixed by a key."""

import math

import numpy as np

# A stream separate from the noise, so that a range of levels draws the same noise as one level.
_PARAMETERS = 1


def box_muller(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draws N(0, 1) numbers by the Box-Muller transform of uniforms.

    Whole-array arithmetic makes it about twice as fast as NumPy's ziggurat. Uniforms have 24 bits,
    so the largest draw is 5.8.

    Args:
        generator: generates the uniforms.
        shape: shape of the result.

    Returns:
        float32 array of `shape`.
    """
    count = math.prod(shape)
    half = (count + 1) // 2
    uniform = generator.random((2, half), dtype=np.float32)
    # 1 − u is in (0, 1], where the logarithm is finite.
    radius = np.sqrt(np.float32(-2) * np.log(np.float32(1) - uniform[0]))
    angle = np.float32(2 * np.pi) * uniform[1]
    draws = np.empty((2, half), np.float32)
    np.multiply(radius, np.cos(angle), out=draws[0])
    np.multiply(radius, np.sin(angle), out=draws[1])
    return draws.reshape(-1)[:count].reshape(shape)


class Draws:
    """Random numbers for one image: parameters from one stream, noise from another.

    The first normal draws are those of `evaluation_noise`, or of the training
    crops with `fast`, under the same key: `gaussian(25)` is `--sigma=25`.
    """

    def __init__(self, key: tuple[int, int], fast: bool = False):
        """Args:
        key: two non-negative integers that determine all draws.
        fast: draw normal numbers by `box_muller`, as training does.
        """
        self._noise = np.random.default_rng(key)
        self._parameters = np.random.default_rng((*key, _PARAMETERS))
        self._fast = fast

    def uniform(self, low: float, high: float) -> float:
        """Draws a parameter between `low` and `high`."""
        return low + (high - low) * float(self._parameters.random())

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        """Draws N(0, 1), float32."""
        if self._fast:
            return box_muller(self._noise, shape)
        return self._noise.standard_normal(shape, dtype=np.float32)

    def poisson(self, mean: np.ndarray) -> np.ndarray:
        """Draws a Poisson number for each element of `mean` (0 or more), float32."""
        return self._noise.poisson(mean).astype(np.float32)
