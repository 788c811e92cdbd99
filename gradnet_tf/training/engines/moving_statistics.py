"""The moving averages of batch normalization, which the forward pass of a step changes.

At that time it is not known whether the step is finite, so a skipped step has to restore them.
"""

_NAMES = ("moving_mean", "moving_variance")


def moving_statistics(model) -> list:
    """Returns the variables of a Keras model that batch normalisation updates by itself."""
    return [variable for variable in model.non_trainable_variables if variable.name in _NAMES]
