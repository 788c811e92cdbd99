"""What a statistical test is too coarse for: the blur of correlated noise, saturation."""

import numpy as np
import pytest

from gradnet_tf.degradations.camera import Response
from gradnet_tf.degradations.correlated import correlated_noise


class Impulse:
    """Stands in for `Draws`: one pixel in the middle is 1, so that the blur itself comes out."""

    def normal(self, shape):
        drawn = np.zeros(shape, np.float32)
        drawn[shape[0] // 2, shape[1] // 2] = 1
        return drawn


@pytest.mark.parametrize("length", [1.0, 1.5, 3.0])
def test_the_correlation_of_two_pixels_is_the_documented_one(length):
    side = 2 * int(np.ceil(4 * length)) + 21
    blur = correlated_noise((side, side, 1), Impulse(), length)[..., 0].astype(np.float64)
    # Noise blurred by this has the blur's own products with its shifted self as correlation.
    assert (blur**2).sum() == pytest.approx(1, abs=1e-3)
    for distance in range(int(4 * length) + 1):
        shifted = (blur[:, distance:] * blur[:, : side - distance]).sum()
        assert shifted == pytest.approx(np.exp(-(distance**2) / (4 * length**2)), abs=2e-3)


@pytest.mark.parametrize(("gamma", "contrast"), [(1.0, 0.0), (2.2, 0.0), (2.2, 0.5)])
def test_light_beyond_the_sensors_range_saturates(gamma, contrast):
    response = Response(gamma, contrast)
    light = np.float32([[[-0.5], [0.0], [1.0], [1.5], [7.0]]])
    expected = np.float32([[[0], [0], [1], [1], [1]]])
    np.testing.assert_allclose(response.to_image(light), expected, atol=1e-6)
    np.testing.assert_allclose(response.to_light(light), expected, atol=1e-6)
