"""The SavedModel as an artefact: written beside its place, judged by the C++ loader, then moved."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from export import card, checks, measure
from export.job import Job, Row, measurements, quality_of, row_of, write_card
from export.saved_model import INPUT, OUTPUT, write_saved_model
from gradnet_tf.inference.load import load_denoiser
from gradnet_tf.quiet import quiet_native_logs


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
            quality = quality_of(job, load_denoiser(str(folder)))
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
    measured = measurements(size, differences, quality, latency)
    file, place = "saved_model/1", job.output / "saved_model.json"
    write_card(job, place, file, sha256, "saved_model", inputs, outputs, measured)
    return row_of(file, measured)


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
