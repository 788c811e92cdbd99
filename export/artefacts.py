"""Writes each artefact beside its place, has it judged, and only then puts it there."""

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from export import card, checks, measure
from export.saved_model import INPUT, OUTPUT, write_saved_model
from export.tflite import list_operations, write_tflite_float32
from gradnet_tf.files import atomic_path, sha256_of
from gradnet_tf.inference.denoiser import Denoiser
from gradnet_tf.inference.load import load_denoiser
from gradnet_tf.inference.runner_tflite import TFLiteRunner
from gradnet_tf.quiet import quiet_native_logs


@dataclasses.dataclass(frozen=True)
class Job:
    """What every artefact of one export needs.

    Attributes:
        denoiser: the Keras denoiser, float32.
        name: of the weights or the preset; artefacts are called by it.
        output: folder for the artefacts.
        quality: maps a denoiser to the mean PSNR in dB on the chosen images.
        psnr_keras: `quality(denoiser)`, measured once.
        dataset: name of those images' set.
        sigma: their noise level, on the 0-255 scale.
    """

    denoiser: Denoiser
    name: str
    output: Path
    quality: Callable[[Denoiser], float]
    psnr_keras: float
    dataset: str
    sigma: float


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table at the end."""

    file: str
    bytes: int
    max_difference: float
    psnr: float
    drop_db: float
    latency_ms: dict[str, float]


def export_saved_model(job: Job) -> Row:
    """Writes OUTPUT/saved_model/1 and its card OUTPUT/saved_model.json.

    Raises:
        CheckFailed, LoaderError: it is not what Keras computes; what was at the
            place before stays.
    """
    target = job.output / "saved_model" / "1"
    channels = job.denoiser.channels
    with _folder_in_place(target) as folder:
        with quiet_native_logs():
            write_saved_model(job.denoiser.model, folder)
        differences = checks.check_saved_model(folder, job.denoiser.denoise, channels)
        with quiet_native_logs():
            quality = _quality(job, load_denoiser(str(folder)))
        latency = measure.saved_model_latency(folder, channels)
        sha256 = card.sha256_of_folder(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    dtypes = {"serving_default": "float32", "uint8": "uint8"}
    inputs, outputs = (
        {
            signature: {tensor: {"dtype": dtype, "shape": [None, None, None, channels]}}
            for signature, dtype in dtypes.items()
        }
        for tensor in (INPUT, OUTPUT)
    )
    measured = _measured(size, differences, quality, latency)
    file, place = "saved_model/1", job.output / "saved_model.json"
    _write_card(job, place, file, sha256, "saved_model", inputs, outputs, measured)
    return _row(file, measured)


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
            quality = _quality(job, load_denoiser(str(path)))
            latency = measure.tflite_latency(path, channels)
            operations = list_operations(path)
        sha256, size = sha256_of(path), path.stat().st_size
    tensor = {"dtype": "float32", "shape": [1, None, None, channels]}
    inputs, outputs = ({"serving_default": {name: tensor}} for name in (INPUT, OUTPUT))
    measured = {**_measured(size, differences, quality, latency), "operations": operations}
    place = job.output / f"{job.name}_float32.json"
    _write_card(job, place, file, sha256, "tflite_float32", inputs, outputs, measured)
    return _row(file, measured)


#: What each value of `--formats` does.
EXPORTERS: dict[str, Callable[[Job], Row]] = {
    "saved_model": export_saved_model,
    "tflite_float32": export_tflite_float32,
}


@contextlib.contextmanager
def _folder_in_place(target: Path) -> Iterator[Path]:
    """Yields a new folder beside `target`, which takes its place when the block succeeds.

    A folder cannot be exchanged in one step: the old one is moved aside first,
    and moved back if the new one does not arrive.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # TF Serving looks at folders with a number for a name only, so it ignores these.
    scratch = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
    new, old = scratch / "new", scratch / "old"
    try:
        yield new
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


def _quality(job: Job, denoiser: Denoiser) -> dict:
    psnr = job.quality(denoiser)
    return {
        "dataset": job.dataset,
        "sigma": job.sigma,
        "psnr_keras": job.psnr_keras,
        "psnr": psnr,
        "drop_db": job.psnr_keras - psnr,
    }


def _measured(size: int, differences: dict, quality: dict, latency: dict) -> dict:
    return {
        "bytes": size,
        "max_difference": differences,
        "quality": quality,
        "latency_size": list(measure.LATENCY_SIZE),
        "latency_ms": latency,
    }


def _write_card(job, path, file, sha256, format, inputs, outputs, measured) -> None:
    card.write_card(
        path,
        file=file,
        sha256=sha256,
        format=format,
        denoiser=job.denoiser,
        name=job.name,
        inputs=inputs,
        outputs=outputs,
        measured=measured,
    )


def _row(file: str, measured: dict) -> Row:
    quality = measured["quality"]
    difference = max(measured["max_difference"].values())
    scores = (quality["psnr"], quality["drop_db"])
    return Row(file, measured["bytes"], difference, *scores, measured["latency_ms"])
