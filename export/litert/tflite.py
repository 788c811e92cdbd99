"""Writes a denoiser as a .tflite file for phones, browsers and small devices."""

import os
import tempfile
from pathlib import Path

import flatbuffers
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from export.litert.tflite_graphs import MAIN, write_graphs


def write_tflite(
    model, path: str | os.PathLike, precision: str = "float32", side: int | None = None
) -> None:
    """Converts `model` to TFLite; `export.litert.tflite_graphs` says which signatures the file has.

    Only TFLite's built-in operations are allowed, so that the file runs on
    every interpreter; the converter refuses a model that needs others.

    Args:
        model: a built Keras model under the float32 policy (a model built under
            mixed precision does not convert); for "int8" a settled
            `export.litert.int8_network.Int8Network`.
        path: file to write.
        precision: "float32"; "float16", weights of half the size, computed with in float32;
            "dynamic", weights of 8 bits and activations rounded as they come; "int8",
            weights and most activations of 8 bits with fixed ranges.
        side: height and width of the only images the file takes, margins included;
            `None` for any size.
    """
    with tempfile.TemporaryDirectory(prefix="gradnet_tflite_") as folder:
        signatures = write_graphs(model, folder, side)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=signatures)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        content = converter.convert()
    Path(path).write_bytes(content if len(signatures) == 1 else first_signature(content, MAIN))


def first_signature(content: bytes, name: str) -> bytes:
    """Returns a .tflite file in which the graph of a signature comes first.

    The converter sorts signatures by name, and what runs a file without naming
    one takes the first graph.

    Args:
        content: the file; its graphs call no other graphs.
        name: the signature.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    key = name.encode()
    first = next(s.subgraphIndex for s in model.signatureDefs if s.signatureKey == key)
    order = sorted(range(len(model.subgraphs)), key=lambda index: index != first)
    model.subgraphs = [model.subgraphs[index] for index in order]
    for signature in model.signatureDefs:
        signature.subgraphIndex = order.index(signature.subgraphIndex)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def list_operations(path: str | os.PathLike) -> list[str]:
    """Returns the names of the operations in a .tflite file, each once, sorted."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Without the delegate, which would show as one operation in place of many.
    interpreter = Interpreter(
        model_path=str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    return sorted({operation["op_name"] for operation in interpreter._get_ops_details()})
