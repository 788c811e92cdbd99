"""SavedModels in float32 and bfloat16: written, verified with the C++ loader, moved into place.

Each contains warm-up requests, which TF Serving runs before a version becomes available, because
the first request of a signature is slow.

In bfloat16 the layers are several times faster on CPUs with AMX, with a small rounding error; the
image, the sum, variables, inputs and outputs stay float32.
"""

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from export.savedmodel.limits import limits_for
from export.savedmodel.saved_model import write_saved_model
from export.verify import checks, measure
from export.verify.artifact import (
    Job,
    claim_place,
    measurements,
    places,
    quality_of,
    sha256_of_folder,
    write_card,
)
from export.verify.checks import encode_png, probe_image, probe_sigma
from export.verify.cpp_loader import run_saved_model
from export.verify.formats import INPUT, INPUT_BYTES, OUTPUT, OUTPUT_BYTES
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.runtimes import SIGMA
from gradnet_tf.runtimes.keras_file import describe, rebuild
from gradnet_tf.runtimes.keras_runtime import KerasRunner
from gradnet_tf.utils.files import without_wildcards
from gradnet_tf.utils.framework_start import quiet_native_logs

#: Where TF Serving looks for them, relative to the folder of the version.
PLACE = "assets.extra/tf_serving_warmup_requests"
#: Height and width of the pictures, large enough for every code path of a convolution.
SIZE = (128, 128)


def write_warmup(folder: str | os.PathLike, channels: int, needs_sigma: bool = False) -> Path:
    """Adds a request for each signature to the SavedModel in `folder`.

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


def export_saved_model(job: Job) -> dict:
    """Writes OUTPUT/saved_model/VERSION and its card OUTPUT/saved_model.json.

    Raises:
        CheckFailed, LoaderError: it differs from Keras; an earlier folder is kept.
    """
    denoiser = job.denoiser

    def check(folder):
        return checks.check_saved_model(
            folder, denoiser.runner.run, denoiser.channels, denoiser.needs_sigma
        )

    return _write_and_verify(job, "saved_model", denoiser.model, check)


def _write_and_verify(job: Job, format: str, model, check: Callable[[Path], dict]) -> dict:
    """Writes OUTPUT/FORMAT/VERSION and its card OUTPUT/FORMAT.json.

    `check` maps the folder to its differences by size, or raises `CheckFailed` or `LoaderError`.
    """
    file, card = places(job.name, format, job.config.version)
    denoiser, limits = job.denoiser, limits_for(job.denoiser.model, job.config.max_pixels)

    sha256 = ""

    def claim():
        claim_place(job.output, file, card, sha256)

    with _folder_in_place(job.output / file, claim) as folder:
        with quiet_native_logs():
            write_saved_model(model, folder, limits)
            write_warmup(folder, denoiser.channels, denoiser.needs_sigma)
        differences = check(folder)
        with quiet_native_logs():
            quality = quality_of(job, load_denoiser(str(folder)))
        latency = measure.saved_model_latency(folder, denoiser.channels, denoiser.needs_sigma)
        sha256 = sha256_of_folder(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    inputs, outputs = _tensors(denoiser.channels, denoiser.needs_sigma)
    measured = measurements(size, differences, quality, latency)
    measured["limits"] = dataclasses.asdict(limits)
    return write_card(job, job.output / card, file, sha256, format, inputs, outputs, measured)


def _tensors(channels: int, needs_sigma: bool) -> tuple[dict, dict]:
    """Returns the card's inputs and outputs: {signature: {name: {"dtype", "shape"}}}."""
    more = {SIGMA: {"dtype": "float32", "shape": [None]}} if needs_sigma else {}
    inputs, outputs = {}, {}
    for signature, dtype in (("serving_default", "float32"), ("uint8", "uint8")):
        images = {"dtype": dtype, "shape": [None, None, None, channels]}
        inputs[signature], outputs[signature] = {INPUT: images, **more}, {OUTPUT: images}
    files = {"dtype": "string", "shape": [None]}
    inputs["encoded"], outputs["encoded"] = {INPUT_BYTES: files, **more}, {OUTPUT_BYTES: files}
    return inputs, outputs


@contextlib.contextmanager
def _folder_in_place(
    target: Path, before_replacing: Callable[[], None] | None = None
) -> Iterator[Path]:
    """Yields a new folder beside `target`, which it replaces if the block succeeds.

    The path is one that TensorFlow can write to, see `without_wildcards`.

    Folders cannot be exchanged atomically: the old one is moved aside first, and moved back if the
    new one cannot be moved. If `before_replacing` raises, `target` stays as it is.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # TF Serving ignores folders whose name is not a number.
    scratch = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
    new, old = scratch / "new", scratch / "old"
    try:
        with without_wildcards(scratch) as plain:
            yield plain / new.name
        if before_replacing:
            before_replacing()
        if target.exists():
            os.replace(target, old)
        try:
            os.replace(new, target)
        except OSError:
            if old.exists():
                os.replace(old, target)
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


_PRECISION = "mixed_bfloat16"
#: Least agreement with Keras in float32, as PSNR in dB. Measured: 53 to 61 for networks that
#: compute a residual; 45 for FFDNet, whose last layer computes the image itself in bfloat16.
LEAST_AGREEMENT = 50.0
#: Largest difference from Keras in bfloat16. Measured: none for floats; 8-bit input differs in
#: the last bit of float32, which occasionally changes the rounding to bfloat16.
BFLOAT16_TOLERANCE = 2 / 255


def export_saved_model_bfloat16(job: Job) -> dict:
    """Writes OUTPUT/saved_model_bfloat16/VERSION and its card OUTPUT/saved_model_bfloat16.json.

    Raises:
        CheckFailed, LoaderError: it differs from Keras; an earlier folder is kept.
    """
    denoiser = job.denoiser
    model = in_bfloat16(denoiser.model)
    own = KerasRunner(model)

    def check(folder):
        channels, needs_sigma = denoiser.channels, denoiser.needs_sigma
        checks.check_saved_model(folder, own.run, channels, needs_sigma, BFLOAT16_TOLERANCE)
        return check_agreement(folder, denoiser.runner.run, channels, needs_sigma)

    return _write_and_verify(job, "saved_model_bfloat16", model, check)


def in_bfloat16(model):
    """Returns a copy of a model whose layers compute in bfloat16."""
    copy = rebuild(describe(model), _PRECISION, model.name)
    copy.set_weights(model.get_weights())
    return copy


def check_agreement(folder, expected, channels: int, needs_sigma: bool) -> dict[str, float]:
    """Returns the largest difference of the float signature from Keras in float32, by size.

    Raises:
        CheckFailed: less agreement than `LEAST_AGREEMENT` over all images.
    """
    more = checks.probe_sigma(needs_sigma, 1)
    images = [checks.probe_image(*size, channels) for size in checks.SIZES]
    result = run_saved_model(folder, [{INPUT: image, **more} for image in images])
    differences, errors = {}, []
    for image, outputs in zip(images, result.outputs, strict=True):
        error = np.abs(outputs[OUTPUT] - expected(image, *more.values()))
        differences[f"{image.shape[1]}x{image.shape[2]}"] = float(error.max())
        errors.append(np.square(error).ravel())
    agreement = -10 * np.log10(max(np.mean(np.concatenate(errors)), 1e-20))
    if not agreement >= LEAST_AGREEMENT:
        raise checks.CheckFailed(
            f"serving_default: agrees with Keras in float32 to {agreement:.1f} dB "
            f"(at least {LEAST_AGREEMENT:g} dB expected)"
        )
    return differences
