"""The signatures of a .tflite file.

A network with attention averages over the whole picture, so a tile by itself
gets another answer. Its files therefore give and take the attention's vectors:

- `serving_default`: `images` (1, H, W, C) → `denoised`, with the averages over `images`;
- `attention`: `images` → `attention_0`, `attention_1`, …, each (1, 1, 1, ·);
- `tile`: `images` and the vectors → `denoised`.

A file of one size has `serving_default` (with the vectors as inputs, as `tile`
above) and `attention` (for crops of 80×80). All of them share one copy of the
weights. A network without attention has `serving_default` alone.
"""

import os

import keras
import tensorflow as tf
from keras import ops

from gradnet_tf.tiling.tiler import CROP_SIDE

INPUT, OUTPUT = "images", "denoised"
MAIN = "serving_default"


def attention_name(index: int) -> str:
    """Returns the name of an attention vector as input and output."""
    return f"attention_{index}"


def write_graphs(model, folder: str | os.PathLike, side: int | None = None) -> list[str]:
    """Writes a SavedModel with the signatures of a .tflite file and returns their names.

    Args:
        model: with `channels`, `attention_widths`, and the call arguments of
            `gradnet_tf.models.GradNet`.
        folder: made by this call.
        side: height and width of the images; `None` for any.
    """
    widths = tuple(model.attention_widths)
    names = [attention_name(index) for index in range(len(widths))]

    def whole(images):
        return {OUTPUT: ops.clip(model(images, training=False), 0.0, 1.0)}

    def tile(images, *vectors):
        denoised = model(images, training=False, attention=list(vectors))
        return {OUTPUT: ops.clip(denoised, 0.0, 1.0)}

    def attention(images):
        vectors = model(images, training=False, return_intermediates=True)["attention"]
        return dict(zip(names, vectors, strict=True))

    def picture(size):
        return tf.TensorSpec([1, size, size, model.channels], tf.float32, name=INPUT)

    given = [
        tf.TensorSpec([1, 1, 1, width], tf.float32, name=name)
        for name, width in zip(names, widths, strict=True)
    ]
    endpoints = {MAIN: (whole, [picture(side)])}
    if widths:
        if side is None:
            endpoints["tile"] = (tile, [picture(None), *given])
        else:
            endpoints[MAIN] = (tile, [picture(side), *given])
        endpoints["attention"] = (attention, [picture(None if side is None else CROP_SIDE)])
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, (function, signature) in endpoints.items():
        archive.add_endpoint(name, function, input_signature=signature)
    archive.write_out(str(folder), verbose=False)
    return list(endpoints)
