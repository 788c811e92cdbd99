"""Exponential moving averages of the weights (EMA), on every engine."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np


def make_averages(model: keras.Model, decay: float) -> list[keras.Variable]:
    """Returns a variable for the average of each trainable weight; none for a decay of 0.

    Must be called where the model was built (inside a strategy's scope).
    """
    if not decay:
        return []
    return [
        keras.Variable(variable, trainable=False, dtype=variable.dtype, name=f"average_{index}")
        for index, variable in enumerate(model.trainable_variables)
    ]


@contextlib.contextmanager
def averages_in_place(model: keras.Model, averages: list[keras.Variable]) -> Iterator[None]:
    """Context in which the model has the averaged weights, if there are any."""
    variables = model.trainable_variables if averages else []
    kept = values_of(variables)
    try:
        assign(variables, values_of(averages))
        yield
    finally:
        assign(variables, kept)


def values_of(variables: list[keras.Variable]) -> list[np.ndarray]:
    """Copies the variables' values to NumPy."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign(variables: list[keras.Variable], arrays: list[np.ndarray]) -> None:
    """Restores the result of `values_of`.

    Raises:
        ValueError: for a different number of arrays.
    """
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
