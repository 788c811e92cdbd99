"""A camera, from light to an image file, after S. Guo et al.: CBDNet, CVPR 2019, equation 3.

```
light = f⁻¹(clean);   y = JPEG(f(demosaic(mosaic(light) + n(light))))
```

n is Gaussian with variance `shot · light + (read / 255)²`. Noise is added
to the mosaic, as in a sensor, so that demosaicking makes it correlated and f
makes it stronger in the dark. CBDNet's released code scales the noise with the
light itself, against its paper and against counting photons. White balance and
color correction are left out, as there.
"""

import numpy as np

from gradnet_tf.degradations.bayer import demosaic, mosaic
from gradnet_tf.degradations.draws import Draws
from gradnet_tf.degradations.eight_bits import jpeg
from gradnet_tf.degradations.response import Response
from gradnet_tf.degradations.sensor import add_signal_dependent_noise


def camera(
    clean: np.ndarray,
    draws: Draws,
    response: Response,
    shot: float,
    read: float,
    pattern: int | None,
    quality: int,
) -> np.ndarray:
    """Takes a photograph of an image.

    Args:
        clean: float32 (H, W, 3) or (H, W, 1), nominal range [0, 1]; clipped to it.
        draws: the image's random numbers.
        response: f.
        shot: variance of a full signal's shot noise, in linear light on the [0, 1] scale.
        read: standard deviation of the read noise in linear light, on the 0-255 scale.
        pattern: index into `bayer.PATTERNS`, `None` for a sensor that sees every
            colour everywhere; of no meaning in grey.
        quality: JPEG quality, 1-100; 0 for no JPEG (and no rounding).

    Returns:
        float32 image of the same shape in [0, 1].
    """
    light = response.to_light(clean)
    if pattern is None or light.shape[-1] == 1 or min(light.shape[:2]) < 3:
        light = add_signal_dependent_noise(light, draws, shot, read)
    else:
        raw = add_signal_dependent_noise(mosaic(light, pattern), draws, shot, read)
        light = demosaic(raw, pattern)
    image = response.to_image(light)
    return jpeg(image, quality) if quality else image
