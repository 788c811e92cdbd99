"""The moving averages of batch normalisation, which a step changes while it computes the loss."""

_NAMES = ("moving_mean", "moving_variance")


def moving_statistics(model) -> list:
    """Returns the variables of a Keras model that batch normalisation updates by itself."""
    return [variable for variable in model.non_trainable_variables if variable.name in _NAMES]
