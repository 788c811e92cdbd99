"""Runs a Keras model on the current Keras backend."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras import ops

from gradnet_tf.models.presets import model_from_weights
from gradnet_tf.runtimes.keras_file import rebuild
from gradnet_tf.tiling.tiler import TiledNetwork, TiledRunner, info_of
from gradnet_tf.utils.containers import count_numbers
from gradnet_tf.utils.errors import UserError

#: The process that imported Keras' backend.
_PROCESS = os.getpid()


class KerasRunner(TiledRunner):
    """A Keras denoiser as a function from arrays to arrays, clipped to [0, 1].

    On the TensorFlow backend it is one `tf.function` whose signature leaves batch, height and
    width open, so that it is traced once for pictures of any size. On other backends the model is
    called directly. Two more functions exist for tiles: one takes the attention vectors, the
    other computes them.

    Args:
        model: maps float32 (N, H, W, C), and `sigma` (N,) if it has `needs_sigma`, to the same
            shape. Its `channels` attribute is used if there is one, otherwise its input shape.
    """

    runtime = "keras"

    def __init__(self, model):
        require_own_process()
        self.model = model
        self.channels = getattr(model, "channels", None) or model.input_shape[-1]
        self.needs_sigma = bool(getattr(model, "needs_sigma", False))
        self.parameters = model.count_params()
        self._has_naive = getattr(model, "naive_denoiser", None) is not None
        self._denoise = self._compiled(self._call)
        self._estimate = self._compiled(self._call_naive)
        widths = tuple(getattr(model, "attention_widths", ()))
        self._denoise_given = self._compiled(self._call_given, widths)
        self._vectors = self._compiled(self._call_vectors)
        try:
            info = info_of(model)
        except TypeError as error:
            info = str(error)
        self._tiled = TiledNetwork(
            info,
            functools.partial(_guarded, self._denoise),
            functools.partial(_guarded, self._denoise_given),
            functools.partial(_guarded, self._vectors),
        )
        self.averages_picture = self._tiled.averages_picture

    def run(self, images: np.ndarray, sigma: np.ndarray | None = None) -> np.ndarray:
        """Returns the denoised images, float32, shaped like `images`."""
        return _to_numpy(self._denoise, images, sigma)

    def naive(self, images: np.ndarray, sigma: np.ndarray | None = None) -> np.ndarray | None:
        """Returns ψ(y) of a GradNet, `None` for any other model."""
        return _to_numpy(self._estimate, images, sigma) if self._has_naive else None

    @property
    def num_traces(self) -> int | None:
        """How often the denoising function was traced; `None` on other backends."""
        return _traces(self._denoise)

    @property
    def num_tile_traces(self) -> tuple[int | None, int | None]:
        """The same for the two functions of tiles: with given vectors, and for vectors."""
        return _traces(self._denoise_given), _traces(self._vectors)

    def _call(self, images, *sigma):
        return self._clipped(self.model, images, *sigma)

    def _call_given(self, images, *more):
        count = len(self.model.attention_widths)
        given = {"attention": list(more[len(more) - count :])}
        if self.needs_sigma:
            given["sigma"] = more[0]
        return _bounded(self.model(images, training=False, **given))

    def _call_vectors(self, images, *sigma):
        more = {"sigma": sigma[0]} if sigma else {}
        outputs = self.model(images, training=False, return_intermediates=True, **more)
        return [ops.cast(vector, "float32") for vector in outputs["attention"]]

    def _call_naive(self, images, *sigma):
        # Running only the naive denoiser gives the same as "naive" in `return_intermediates`.
        naive = self.model.naive_denoiser
        taken = sigma if getattr(naive, "needs_sigma", False) else ()
        return self._clipped(naive, images, *taken)

    def _clipped(self, model, images, *sigma):
        more = {"sigma": sigma[0]} if sigma else {}
        return _bounded(model(images, training=False, **more))

    def _compiled(self, function, widths: Sequence[int] = ()):
        if keras.backend.backend() != "tensorflow":
            return lambda *inputs: function(*map(ops.convert_to_tensor, inputs))
        import tensorflow as tf

        # A model may take more channels than the image has; see `models.GivenEstimate`.
        channels = getattr(self.model, "input_channels", self.channels)
        signature = [tf.TensorSpec([None, None, None, channels], tf.float32, name="images")]
        if self.needs_sigma:
            signature.append(tf.TensorSpec([None], tf.float32, name="sigma"))
        signature += [tf.TensorSpec([None, 1, 1, width], tf.float32) for width in widths]
        # TensorFlow counts traces per code object, which several denoisers in one process share.
        # Partials are counted separately, which avoids false warnings about retracing.
        # AutoGraph takes a fifth of the tracing time, and the networks have no Python conditions
        # on tensors that would need it.
        return tf.function(functools.partial(function), input_signature=signature, autograph=False)


def runner_for(model):
    """Returns the runner of a Keras model, which also computes the model's other inputs."""
    from gradnet_tf.runtimes.classical_runtime import GivenEstimateRunner

    runner = KerasRunner(model)
    naive = getattr(model, "naive_denoiser", None)
    return GivenEstimateRunner(runner) if getattr(naive, "made_outside", False) else runner


def runner_from_weights(
    preset: str, channels: int, precision: str, path: Path, naive_model: dict | None = None
):
    """Returns the runner of `gradnet_tf.models.presets.model_from_weights`; see there.

    Args:
        preset: name of the architecture.
        channels: 3 or 1.
        precision: dtype policy.
        path: the weights.
        naive_model: architecture of the naive denoiser, if it is not the preset's own.

    Raises:
        UserError: the file is not of that preset.
    """
    require_own_process()
    naive = None
    try:
        count = count_numbers(path)
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UserError(
            f"{path}: damaged, or no weights of Keras': {reason}.\nCopy or download it again."
        ) from error
    if naive_model is not None:
        naive = rebuild(naive_model, precision, f"`naive_model` of {path}", count)
    try:
        model = model_from_weights(preset, channels, precision, path, naive)
    except (TypeError, ValueError) as error:
        if isinstance(error, UserError) or naive is None:
            raise
        # A network of a run's config.json; the presets' own fit.
        reason = str(error).splitlines()[0][:200]
        raise UserError(f"`naive_model` of {path}: does not fit the preset: {reason}") from error
    return runner_for(model)


def _bounded(images):
    """Clips to [0, 1]; infinities become NaN, so that they are detected and not clipped."""
    return ops.where(ops.isfinite(images), ops.clip(images, 0.0, 1.0), float("nan"))


def _to_numpy(function, images, sigma):
    return _guarded(function, *((images,) if sigma is None else (images, sigma)))


def _guarded(function, images, *more):
    """Calls `function`; returns NumPy arrays, raises `MemoryError` if the backend lacks memory."""
    require_own_process()
    try:
        outputs = function(images, *more)
        if isinstance(outputs, list):
            return [np.asarray(ops.convert_to_numpy(output), np.float32) for output in outputs]
        return np.asarray(ops.convert_to_numpy(outputs), np.float32)
    except Exception as error:
        if _out_of_memory(error):
            raise MemoryError(f"not enough memory for images of shape {images.shape}") from error
        raise


def require_own_process() -> None:
    """Raises `UserError` in a forked process, where the backend would hang."""
    if os.getpid() != _PROCESS:
        raise UserError(
            "a Keras denoiser does not work in a forked process, which lacks the backend's "
            "threads.\nStart processes with multiprocessing's method spawn or forkserver, "
            'or use runtime="litert".'
        )


def _out_of_memory(error: Exception) -> bool:
    kind = type(error).__name__
    if kind in ("XlaRuntimeError", "JaxRuntimeError"):  # used for all kinds of errors
        return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()
    return kind == "ResourceExhaustedError"


def _traces(function) -> int | None:
    count = getattr(function, "experimental_get_tracing_count", None)
    return None if count is None else count()
