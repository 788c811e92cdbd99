"""Writes a denoiser as a .tflite file for phones, browsers and small devices."""

import os
import tempfile
from pathlib import Path

import tensorflow as tf

from export.saved_model import write_for_conversion


def write_tflite_float32(model, path: str | os.PathLike) -> None:
    """Converts `model` to float32 TFLite with a batch of one and any height and width.

    Only TFLite's built-in operations are allowed, so that the file runs on
    every interpreter; the converter refuses a model that needs others.

    Args:
        model: a built Keras model under the float32 policy (a model built under
            mixed precision does not convert).
        path: file to write.
    """
    with tempfile.TemporaryDirectory(prefix="gradnet_tflite_") as folder:
        write_for_conversion(model, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=["serving_default"]
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        Path(path).write_bytes(converter.convert())


def list_operations(path: str | os.PathLike) -> list[str]:
    """Returns the names of the operations in a .tflite file, each once, sorted."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Without the delegate, which would show as one operation in place of many.
    interpreter = Interpreter(
        model_path=str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    return sorted({operation["op_name"] for operation in interpreter._get_ops_details()})
