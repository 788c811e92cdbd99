"""Writes a denoiser as a verified .tflite file with its card.

Attention averages over the whole picture, so the result of a tile alone would differ. The files of
networks with attention therefore have inputs and outputs for the attention vectors:

- `serving_default`: `images` (1, H, W, C) → `denoised`, with the averages over `images`;
- `attention`: `images` → `attention_0`, `attention_1`, …, each (1, 1, 1, ·);
- `tile`: `images` and the vectors → `denoised`.

Networks that are told the noise level have it as a further input of all three: `sigma`, (1,), on
the 0-255 scale.

A file of fixed size has `serving_default` (with the vectors as inputs, like `tile` above) and
`attention` (for crops of 80×80). All signatures share one copy of the weights. Files of networks
without attention have only `serving_default`.
"""

import os
import tempfile
from pathlib import Path

import flatbuffers
import keras
import numpy as np
import tensorflow as tf
from keras import ops
from tensorflow.lite.python import schema_py_generated as schema

from export.verify import checks, measure
from export.verify.artifact import (
    Job,
    claim_place,
    measurements,
    places,
    quality_of,
    write_card,
)
from export.verify.formats import INPUT, OUTPUT, TFLiteFormat
from gradnet_tf.denoiser import Denoiser
from gradnet_tf.runtimes import SIGMA
from gradnet_tf.runtimes.litert_runtime import TFLiteRunner
from gradnet_tf.tiling.tiler import CROP_SIDE, info_of
from gradnet_tf.utils.files import atomic_path, sha256_of
from gradnet_tf.utils.framework_start import quiet_native_logs

MAIN = "serving_default"
#: Of TFLite's CONV_2D with a float input and a kernel of 8 bits with a step per output channel.
_FIRST_VERSION_WITH_CHANNEL_STEPS = 5


def _write_graphs(model, folder: str | os.PathLike, side: int | None = None) -> list[str]:
    """Writes a SavedModel with the signatures of a .tflite file and returns their names."""
    widths = tuple(model.attention_widths)
    names = [f"attention_{index}" for index in range(len(widths))]
    levels = [tf.TensorSpec([1], tf.float32, name=SIGMA)] if model.needs_sigma else []

    def run(images, more, **kwargs):
        level = dict(zip((SIGMA,), more[: len(levels)], strict=False))
        return model(images, training=False, **level, **kwargs)

    def whole(images, *level):
        return {OUTPUT: ops.clip(run(images, level), 0.0, 1.0)}

    def tile(images, *more):
        denoised = run(images, more, attention=list(more[len(levels) :]))
        return {OUTPUT: ops.clip(denoised, 0.0, 1.0)}

    def attention(images, *level):
        vectors = run(images, level, return_intermediates=True)["attention"]
        return dict(zip(names, vectors, strict=True))

    def picture(size):
        shape = [1, size, size, model.channels]
        return [tf.TensorSpec(shape, tf.float32, name=INPUT), *levels]

    given = [
        tf.TensorSpec([1, 1, 1, width], tf.float32, name=name)
        for name, width in zip(names, widths, strict=True)
    ]
    endpoints = {MAIN: (whole, picture(side))}
    if widths:
        if side is None:
            endpoints["tile"] = (tile, [*picture(None), *given])
        else:
            endpoints[MAIN] = (tile, [*picture(side), *given])
        endpoints["attention"] = (attention, picture(None if side is None else CROP_SIDE))
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, (function, signature) in endpoints.items():
        archive.add_endpoint(name, function, input_signature=signature)
    archive.write_out(str(folder), verbose=False)
    return list(endpoints)


def write_tflite(
    model, path: str | os.PathLike, precision: str = "float32", side: int | None = None
) -> None:
    """Converts `model` to a TFLite file with the signatures described above.

    Only TFLite's built-in operations are allowed, so that the file runs on every interpreter.

    Args:
        model: a built Keras model with the float32 policy (mixed precision does not convert); for
            "int8" a settled `export.litert.int8_network.Int8Network`.
        path: file to write.
        precision: "float32"; "float16", weights of half the size with float32 arithmetic;
            "dynamic", 8-bit weights with activations rounded dynamically; "int8", weights and most
            activations of 8 bits with fixed ranges.
        side: fixed height and width of the images including margins; `None` for any size.
    """
    with tempfile.TemporaryDirectory(prefix="gradnet_tflite_") as folder:
        signatures = _write_graphs(model, folder, side)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=signatures)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        content = converter.convert()
    parsed = schema.ModelT.InitFromPackedBuf(content, 0)
    if precision == "int8":
        _store_in_8_bits(parsed, model.dynamic_kernels())
    _place_first(parsed, MAIN)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(parsed.Pack(builder), b"TFL3")
    Path(path).write_bytes(bytes(builder.Output()))


def _place_first(model: schema.ModelT, name: str) -> None:
    """Moves the graph of a signature to the first place.

    The converter sorts signatures by name, and runtimes without signatures use the first graph.
    """
    key = name.encode()
    first = next(s.subgraphIndex for s in model.signatureDefs if s.signatureKey == key)
    order = sorted(range(len(model.subgraphs)), key=lambda index: index != first)
    model.subgraphs = [model.subgraphs[index] for index in order]
    for signature in model.signatureDefs:
        signature.subgraphIndex = order.index(signature.subgraphIndex)


def _store_in_8_bits(model: schema.ModelT, kernels: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Stores float kernels of convolutions in 8 bits; the interpreter then rounds their inputs.

    Args:
        model: content of a .tflite file.
        kernels: float32 (h, w, in, out) with the step of each output channel. Those of the file may
            differ by a factor per output channel: the converter multiplies kernels by what their
            result is multiplied by.

    Raises:
        RuntimeError: a kernel is not in the file.
    """
    steps = {}
    for kernel, step in kernels:
        rows = np.ascontiguousarray(kernel.transpose(3, 0, 1, 2)).reshape(len(step), -1)
        found = {}
        for index, buffer in enumerate(model.buffers):
            if buffer.data is None or len(buffer.data) != rows.nbytes:
                continue
            values = np.frombuffer(bytes(buffer.data), np.float32).reshape(rows.shape)
            tops = np.abs(rows).max(axis=1)
            factors = np.divide(np.abs(values).max(axis=1), tops, where=tops > 0, out=tops * 0 + 1)
            if np.allclose(values, rows * factors[:, None], rtol=1e-4, atol=1e-9):
                found[index] = (factors * step).astype(np.float32)
                levels = np.rint(values / found[index][:, None]).astype(np.int8)
                buffer.data = levels.view(np.uint8).ravel()
        if not found:
            raise RuntimeError(f"the file has no kernel of {rows.shape[1]}×{len(step)} as given")
        steps |= found
    for graph in model.subgraphs:
        for operation in graph.operators:
            code = model.operatorCodes[operation.opcodeIndex]
            if code.builtinCode != schema.BuiltinOperator.CONV_2D:
                continue
            kernel = graph.tensors[operation.inputs[1]]
            if kernel.buffer in steps:
                code.version = max(code.version, _FIRST_VERSION_WITH_CHANNEL_STEPS)
                kernel.type = schema.TensorType.INT8
                kernel.quantization = schema.QuantizationParametersT()
                kernel.quantization.scale = steps[kernel.buffer]
                kernel.quantization.zeroPoint = np.zeros(len(steps[kernel.buffer]), np.int64)


def list_operations(path: str | os.PathLike) -> list[str]:
    """Returns the sorted names of the operations in a .tflite file."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Without the delegate, which would be listed as one operation.
    interpreter = Interpreter(
        model_path=str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    return sorted({operation["op_name"] for operation in interpreter._get_ops_details()})


def export_tflite(job: Job, format: TFLiteFormat) -> dict:
    """Writes OUTPUT/NAME_PRECISION[_tileN].tflite and its card.

    Raises:
        CheckFailed: it differs from Keras, or loses more decibels than allowed; an earlier file
            is kept.
        UserError: the network does not support the format.
    """
    file, card = places(job.name, format.name, job.config.version)
    stem = Path(file).stem
    facts = tile_facts(job.denoiser.model, format)

    sha256 = ""

    def claim():
        claim_place(job.output, file, card, sha256)

    with atomic_path(job.output / file, claim) as path:
        with quiet_native_logs():
            model = job.int8_network() if format.precision == "int8" else job.lean_model()
            side = format.tile and format.tile + 2 * facts["halo"]
            write_tflite(model, path, format.precision, side)
            runner = TFLiteRunner(path, card=facts)
        # Outside of the quiet block, so that a failure shows only its figures.
        checked = checks.check_tflite(stem, runner, job.denoiser, format)
        with quiet_native_logs():
            quality = quality_of(job, Denoiser(runner, stem))
            latency = measure.tflite_latency(path)
            operations = list_operations(path)
            inputs, outputs = measure.tflite_signatures(path)
        sha256, size = sha256_of(path), path.stat().st_size
    size_of_latency = [side] * 2 if side else list(measure.LATENCY_SIZE)
    measured = {
        **measurements(size, checked, quality, latency),
        **facts,
        "latency_size": size_of_latency,
        "operations": operations,
    }
    path = job.output / card
    return write_card(job, path, file, sha256, format.name, inputs, outputs, measured)


def tile_facts(model, format: TFLiteFormat) -> dict:
    """Returns the card's `tile`, `halo`, `block` and `bytes_per_pixel`.

    The margin of a file of fixed size is rounded up to whole blocks, on which its windows begin.
    """
    facts = info_of(model)
    halo = facts.halo
    if format.tile:
        halo = -(-halo // facts.block) * facts.block
    return {
        "tile": format.tile,
        "halo": halo,
        "block": facts.block,
        "bytes_per_pixel": facts.bytes_per_pixel,
    }
