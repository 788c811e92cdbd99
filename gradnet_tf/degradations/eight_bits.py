"""The effect of an 8-bit file on an image: clipping, rounding, JPEG."""

import cv2
import numpy as np

from gradnet_tf.images.image_files import to_float, to_uint8


def round_to_8_bits(image: np.ndarray) -> np.ndarray:
    """Clips to [0, 1] and rounds to 256 levels (halves to even); float32, same shape."""
    return to_float(to_uint8(image))


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Compresses an image as JPEG and decodes it; also clips and rounds it.

    Args:
        image: float32 (H, W, 3) in RGB order or (H, W, 1), nominal range [0, 1].
        quality: of libjpeg, 1 (worst) to 100; with 4:2:0 chroma subsampling, as in most files.

    Returns:
        float32 image of the same shape, of 256 levels in [0, 1].
    """
    pixels = to_uint8(image)
    color = pixels.shape[-1] == 3
    pixels = pixels[..., ::-1] if color else pixels  # OpenCV's order is BGR
    _, content = cv2.imencode(
        ".jpg", np.ascontiguousarray(pixels), [cv2.IMWRITE_JPEG_QUALITY, int(quality)]
    )
    back = cv2.imdecode(content, cv2.IMREAD_COLOR if color else cv2.IMREAD_GRAYSCALE)
    back = back[..., ::-1] if color else back[..., np.newaxis]
    return to_float(np.ascontiguousarray(back))
