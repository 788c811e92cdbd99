"""The SavedModel as an artefact: written beside its place, judged by the C++ loader, then moved."""

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from export import card
from export.job import Job, Row, measurements, quality_of, row_of, write_card
from export.savedmodel.limits import limits_for
from export.savedmodel.saved_model import (
    INPUT,
    INPUT_BYTES,
    OUTPUT,
    OUTPUT_BYTES,
    SIGMA,
    write_saved_model,
)
from export.savedmodel.warmup import write_warmup
from export.verify import checks, measure
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.utils.quiet import quiet_native_logs


def export_saved_model(job: Job) -> Row:
    """Writes OUTPUT/saved_model/VERSION and its card OUTPUT/saved_model.json.

    Raises:
        CheckFailed, LoaderError: it is not what Keras computes; what was at the
            place before stays.
    """
    denoiser = job.denoiser

    def check(folder):
        return checks.check_saved_model(
            folder, denoiser.runner.run, denoiser.channels, denoiser.needs_sigma
        )

    return write_and_judge(job, "saved_model", denoiser.model, check)


def write_and_judge(job: Job, format: str, model, check: Callable[[Path], dict]) -> Row:
    """Writes OUTPUT/FORMAT/VERSION and its card OUTPUT/FORMAT.json.

    Args:
        job: what it is made from.
        format: value of `--formats`, and the folder's name.
        model: the network to write.
        check: maps the folder to its differences by size, or raises `CheckFailed`.

    Raises:
        CheckFailed, LoaderError: see `check`; what was at the place before stays.
    """
    file = f"{format}/{job.version}"
    denoiser, limits = job.denoiser, limits_for(job.denoiser.model, job.max_pixels)
    with _folder_in_place(job.output / file) as folder:
        with quiet_native_logs():
            write_saved_model(model, folder, limits)
            write_warmup(folder, denoiser.channels, denoiser.needs_sigma)
        differences = check(folder)
        with quiet_native_logs():
            quality = quality_of(job, load_denoiser(str(folder)))
        latency = measure.saved_model_latency(folder, denoiser.channels, denoiser.needs_sigma)
        sha256 = card.sha256_of_folder(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    inputs, outputs = _tensors(denoiser.channels, denoiser.needs_sigma)
    measured = measurements(size, differences, quality, latency)
    measured["limits"] = dataclasses.asdict(limits)
    write_card(job, job.output / f"{format}.json", file, sha256, format, inputs, outputs, measured)
    return row_of(file, measured)


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
