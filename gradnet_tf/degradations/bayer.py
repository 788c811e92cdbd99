"""A sensor's color filters: one color per pixel, and the interpolation of the other two.

The interpolation is the linear one of H. S. Malvar, L. He, R. Cutler: High-quality
linear interpolation for demosaicing of Bayer-patterned color images, ICASSP
2004. It keeps measured values, and is exact for constant and linearly changing colors.
"""

import cv2
import numpy as np

# Row and column of the red pixel in each block of 2×2; blue lies diagonally across.
PATTERNS = ((0, 0), (0, 1), (1, 0), (1, 1))

# Malvar's filters, in eighths. Green at red and blue:
_GREEN = np.array(
    [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]],
    np.float32,
)
# Red (blue) at green with red (blue) to the left and right; transposed for above and below:
_ROW = np.array(
    [
        [0, 0, 0.5, 0, 0],
        [0, -1, 0, -1, 0],
        [-1, 4, 5, 4, -1],
        [0, -1, 0, -1, 0],
        [0, 0, 0.5, 0, 0],
    ],
    np.float32,
)
# Red at blue and blue at red:
_ACROSS = np.array(
    [
        [0, 0, -1.5, 0, 0],
        [0, 2, 0, 2, 0],
        [-1.5, 0, 6, 0, -1.5],
        [0, 2, 0, 2, 0],
        [0, 0, -1.5, 0, 0],
    ],
    np.float32,
)


def mosaic(image: np.ndarray, pattern: int) -> np.ndarray:
    """Keeps one colour of each pixel.

    Args:
        image: float32 (H, W, 3), RGB.
        pattern: index into `PATTERNS`.

    Returns:
        float32 (H, W).
    """
    row, column = PATTERNS[pattern]
    raw = image[..., 1].copy()
    raw[row::2, column::2] = image[row::2, column::2, 0]
    raw[1 - row :: 2, 1 - column :: 2] = image[1 - row :: 2, 1 - column :: 2, 2]
    return raw


def demosaic(raw: np.ndarray, pattern: int) -> np.ndarray:
    """Interpolates the two colors that each pixel lacks; never clipped.

    Args:
        raw: float32 (H, W), H and W at least 3.
        pattern: index into `PATTERNS`.

    Returns:
        float32 (H, W, 3), RGB.
    """

    def apply(kernel):
        # Mirrored about the outermost pixels, which continues the pattern.
        return cv2.filter2D(raw, -1, kernel / 8, borderType=cv2.BORDER_REFLECT_101)

    green, beside, across = apply(_GREEN), apply(_ROW), apply(_ACROSS)
    above = apply(np.ascontiguousarray(_ROW.T))
    image = np.repeat(raw[..., np.newaxis], 3, axis=-1)
    row, column = PATTERNS[pattern]
    for own, other, (r, c) in ((0, 2, (row, column)), (2, 0, (1 - row, 1 - column))):
        here = np.s_[r::2, c::2]
        image[..., 1][here], image[..., other][here] = green[here], across[here]
        in_row, in_column = np.s_[r::2, 1 - c :: 2], np.s_[1 - r :: 2, c::2]
        image[..., own][in_row], image[..., own][in_column] = beside[in_row], above[in_column]
    return image
