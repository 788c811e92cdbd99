"""Writes a denoiser as SavedModel for TF Serving and other TensorFlow runtimes."""

import os
from pathlib import Path

import keras
import tensorflow as tf
from keras import ops

from export.savedmodel.encoded import denoise_encoded
from export.savedmodel.limits import Limits, checked_images, checked_sigma, limits_for
from export.verify.formats import INPUT, INPUT_BYTES, OUTPUT, OUTPUT_BYTES
from gradnet_tf.runtimes import SIGMA


def write_saved_model(model, folder: str | os.PathLike, limits: Limits | None = None) -> None:
    """Writes `model` with three signatures.

    - `serving_default`: "images" float32 (N, H, W, C), nominal range [0, 1], to
      "denoised", the denoised images clipped to [0, 1];
    - `uint8`: the same names for 8-bit images;
    - `encoded`: "image_bytes" string (N,), PNG or JPEG files that may differ in size, to
      "denoised_bytes" string (N,), PNG files; see `export.savedmodel.encoded.denoise_encoded`.

    For models with `needs_sigma`, each has a further input "sigma" float32 (N,), the noise level of
    each image on the 0-255 scale. The graph rejects requests beyond `limits`.

    `keras.export.ExportArchive` is used because a `tf.Module` around a Keras 3 model can be loaded
    in Python but not by the C++ loader.

    Args:
        model: a built Keras model with `channels` and float32 variables.
        folder: created by this call.
        limits: by default those of `limits_for`.
    """
    limits = limits or limits_for(model)

    def serving_default(images, *sigma):
        images = checked_images(images, limits)
        return {OUTPUT: denoise_clipped(model, images, *_checked(sigma, tf.shape(images)[0]))}

    def from_uint8(images, *sigma):
        images = ops.cast(checked_images(images, limits), "float32") / 255.0
        denoised = denoise_clipped(model, images, *_checked(sigma, tf.shape(images)[0]))
        return {OUTPUT: ops.cast(ops.round(denoised * 255.0), "uint8")}

    def encoded(image_bytes, *sigma):
        sigma = _checked(sigma, tf.size(image_bytes))

        def denoise(images, *level):
            return denoise_clipped(model, images, *level)

        return {OUTPUT_BYTES: denoise_encoded(denoise, image_bytes, model.channels, limits, *sigma)}

    shape = [None, None, None, model.channels]
    endpoints = {
        "serving_default": (serving_default, tf.TensorSpec(shape, tf.float32, name=INPUT)),
        "uint8": (from_uint8, tf.TensorSpec(shape, tf.uint8, name=INPUT)),
        "encoded": (encoded, tf.TensorSpec([None], tf.string, name=INPUT_BYTES)),
    }
    needs_sigma = getattr(model, "needs_sigma", False)
    more = [tf.TensorSpec([None], tf.float32, name=SIGMA)] if needs_sigma else []
    # Variables are saved with the functions that use them. `track(model)` would also trace the
    # model by itself, which fails for networks that need sigma.
    archive = keras.export.ExportArchive()
    for name, (function, spec) in endpoints.items():
        archive.add_endpoint(name, function, input_signature=[spec, *more])
    archive.write_out(str(Path(folder)), verbose=False)


def denoise_clipped(model, images, sigma=None):
    """The function of every artifact: the model's output, clipped to [0, 1]."""
    more = {} if sigma is None else {"sigma": sigma}
    return ops.clip(model(images, training=False, **more), 0.0, 1.0)


def _checked(sigma: tuple, count) -> tuple:
    return tuple(checked_sigma(level, count) for level in sigma)
