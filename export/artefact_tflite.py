"""TFLite files as artefacts: each written beside its place, judged, then moved."""

from export import checks, measure
from export.job import Job, Row, measurements, quality_of, row_of, write_card
from export.saved_model import INPUT, OUTPUT
from export.tflite import list_operations, write_tflite_float32
from gradnet_tf.files import atomic_path, sha256_of
from gradnet_tf.inference.load import load_denoiser
from gradnet_tf.inference.runner_tflite import TFLiteRunner
from gradnet_tf.quiet import quiet_native_logs


def export_tflite_float32(job: Job) -> Row:
    """Writes OUTPUT/NAME_float32.tflite and its card.

    Raises:
        CheckFailed: it is not what Keras computes; what was at the place before stays.
    """
    file = f"{job.name}_float32.tflite"
    channels = job.denoiser.channels
    with atomic_path(job.output / file) as path:
        with quiet_native_logs():
            write_tflite_float32(job.denoiser.model, path)
            runner = TFLiteRunner(path)
        # Outside of the quiet block, so that a failure shows its figures and nothing else.
        differences = checks.check_runner(file, runner.run, job.denoiser.denoise, channels)
        with quiet_native_logs():
            quality = quality_of(job, load_denoiser(str(path)))
            latency = measure.tflite_latency(path, channels)
            operations = list_operations(path)
        sha256, size = sha256_of(path), path.stat().st_size
    tensor = {"dtype": "float32", "shape": [1, None, None, channels]}
    inputs, outputs = ({"serving_default": {name: tensor}} for name in (INPUT, OUTPUT))
    measured = {**measurements(size, differences, quality, latency), "operations": operations}
    place = job.output / f"{job.name}_float32.json"
    write_card(job, place, file, sha256, "tflite_float32", inputs, outputs, measured)
    return row_of(file, measured)
