"""Checks that the current Keras backend is installed and supported."""

from gradnet_tf.utils.errors import UserError, install_command

BACKENDS = ("tensorflow", "jax")


def backend_name() -> str:
    """Imports Keras and returns the name of its backend.

    Raises:
        UserError: the backend is not installed or not supported.
    """
    try:
        import keras

        name = keras.backend.backend()
    except ImportError as error:
        name = (error.name or "").split(".")[0]
        if name in BACKENDS:
            other = next(backend for backend in BACKENDS if backend != name)
            raise UserError(
                f"Keras' backend is {name}, which is not installed.\nInstall it "
                f"({install_command(name)}), or choose the other one with KERAS_BACKEND={other}."
            ) from error
        if name not in ("torch", "openvino"):
            raise
    except ValueError as error:
        # Keras raises "Unable to import backend : NAME" for unknown names.
        lead, _, name = str(error).rpartition(" : ")
        if "backend" not in lead:
            raise
    if name not in BACKENDS:
        raise UserError(
            f"the networks run on the Keras backends {' and '.join(BACKENDS)}.\n"
            f"Received: KERAS_BACKEND={name}"
        )
    return name
