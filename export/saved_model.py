"""Writes a denoiser as SavedModel for TF Serving and other TensorFlow runtimes."""

import os
from pathlib import Path

import keras
import tensorflow as tf
from keras import ops

INPUT, OUTPUT = "images", "denoised"


def write_saved_model(model, folder: str | os.PathLike) -> None:
    """Writes `model` with a float and a uint8 signature.

    `serving_default` maps float32 (N, H, W, C), nominal range [0, 1], to the
    denoised images clipped to [0, 1]; `uint8` maps 8-bit images to 8-bit
    images. The input is called "images", the output "denoised".

    `keras.export.ExportArchive` is used because a `tf.Module` around a Keras 3
    model saves to a folder that loads in Python and fails in the C++ loader.

    Args:
        model: a built Keras model with `channels`, float32 variables and policy.
        folder: made by this call.
    """

    def serving_default(images):
        return {OUTPUT: denoise_clipped(model, images)}

    def from_uint8(images):
        denoised = denoise_clipped(model, ops.cast(images, "float32") / 255.0)
        return {OUTPUT: ops.cast(ops.round(denoised * 255.0), "uint8")}

    _write(
        model,
        folder,
        {
            "serving_default": (serving_default, tf.float32, None),
            "uint8": (from_uint8, tf.uint8, None),
        },
    )


def write_for_conversion(model, folder: str | os.PathLike) -> None:
    """Writes the float signature alone, for a batch of one: what the TFLite converter reads."""

    def serving_default(images):
        return {OUTPUT: denoise_clipped(model, images)}

    _write(model, folder, {"serving_default": (serving_default, tf.float32, 1)})


def denoise_clipped(model, images):
    """The function that every artefact holds: the model's output, clipped to [0, 1]."""
    return ops.clip(model(images, training=False), 0.0, 1.0)


def _write(model, folder, endpoints):
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, (function, dtype, batch) in endpoints.items():
        spec = tf.TensorSpec([batch, None, None, model.channels], dtype, name=INPUT)
        archive.add_endpoint(name, function, input_signature=[spec])
    archive.write_out(str(Path(folder)), verbose=False)
