"""Requests that TF Serving runs before it calls a version ready, so that no user waits for them.

The first request of a signature costs more than the next: TensorFlow prepares
its graph then. TF Serving reads such requests from a file inside the version.
"""

import os
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from export.savedmodel.saved_model import INPUT, INPUT_BYTES
from export.verify.checks import encode_png, probe_image, probe_sigma

#: Where TF Serving looks, relative to the version's folder.
PLACE = "assets.extra/tf_serving_warmup_requests"
#: Height and width of the pictures: large enough that every path of a convolution is taken.
SIZE = (128, 128)


def write_warmup(folder: str | os.PathLike, channels: int, needs_sigma: bool = False) -> Path:
    """Writes a request for each signature of `export.savedmodel.saved_model` beside a SavedModel.

    Args:
        folder: holds saved_model.pb.
        channels: 3 or 1.
        needs_sigma: whether the signatures have the input "sigma".

    Returns:
        The file, a TFRecord of PredictionLog.
    """
    path = Path(folder) / PLACE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in warmup_requests(channels, needs_sigma).items():
            spec = model_pb2.ModelSpec(signature_name=signature)
            tensors = {name: tf.make_tensor_proto(value) for name, value in inputs.items()}
            request = predict_pb2.PredictRequest(model_spec=spec, inputs=tensors)
            predict_log = prediction_log_pb2.PredictLog(request=request)
            log = prediction_log_pb2.PredictionLog(predict_log=predict_log)
            writer.write(log.SerializeToString())
    return path


def warmup_requests(channels: int, needs_sigma: bool = False) -> dict[str, dict]:
    """Returns {signature: {input: value}}."""
    image = np.clip(probe_image(*SIZE, channels), 0, 1)
    levels = np.rint(image * 255).astype(np.uint8)
    inputs = {
        "serving_default": {INPUT: image},
        "uint8": {INPUT: levels},
        "encoded": {INPUT_BYTES: [encode_png(levels[0])]},
    }
    sigma = probe_sigma(needs_sigma, 1)
    return {signature: {**values, **sigma} for signature, values in inputs.items()}
