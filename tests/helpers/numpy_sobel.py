"""The Sobel responses by their definition, in NumPy."""

import numpy as np


def numpy_sobel(image):
    """Sobel responses of one H×W channel by the definition, in float64."""
    padded = np.pad(image.astype("float64"), 1, mode="symmetric")
    x = np.zeros(image.shape)
    y = np.zeros(image.shape)
    for row, across in ((0, 1.0), (1, 2.0), (2, 1.0)):
        for column, along in ((0, -1.0), (2, 1.0)):
            rows = slice(row, row + image.shape[0])
            columns = slice(column, column + image.shape[1])
            x += across * along * padded[rows, columns]
            rows = slice(column, column + image.shape[0])
            columns = slice(row, row + image.shape[1])
            y += across * along * padded[rows, columns]
    return x, y
