"""Denoises image files into a folder: the work of `gradnet denoise`."""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from gradnet_tf.errors import EXIT_OK, EXIT_SOME_FAILED, EXIT_USAGE, UserError
from gradnet_tf.inference.image_files import (
    IMAGE_SUFFIXES,
    list_images,
    read_image,
    read_metadata,
    write_image,
)


@dataclasses.dataclass(frozen=True)
class Job:
    """One file to denoise and where the result goes."""

    source: Path
    target: Path


def plan_jobs(inputs: Sequence[str], output: str) -> list[Job]:
    """Lists what is to be done, without reading a pixel.

    A folder stands for the images in it; results are named like their input.

    Raises:
        UserError: a missing input, a folder without images, an output that is no
            folder, a result that would overwrite an input or another result.
    """
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output={output}: expected a folder. Received: a file.")
    sources = list(_sources(inputs))
    taken = {source.resolve() for source in sources}
    jobs: dict[Path, Job] = {}
    for source in sources:
        job = Job(source, folder / source.name)
        place = job.target.resolve()
        if place in taken:
            raise UserError(
                f"--output={output}: {job.target} is one of the inputs, and inputs are never "
                "overwritten. Give another folder."
            )
        if place in jobs and jobs[place].source.resolve() != source.resolve():
            raise UserError(
                f"{source}: would be written to {job.target}, as would {jobs[place].source}.\n"
                "Denoise folders with equal file names one by one, each to its own --output."
            )
        jobs.setdefault(place, job)
    return list(jobs.values())


def _sources(inputs: Sequence[str]) -> Iterable[Path]:
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            found = list_images(path)
            if not found:
                raise UserError(f"{path}: no images in this folder ({', '.join(IMAGE_SUFFIXES)}).")
            yield from found
        elif path.exists():
            yield path
        else:
            raise UserError(f"{path}: no such file or folder.")


def denoise_files(jobs: Sequence[Job], load: Callable[[], Callable], strength: float) -> int:
    """Denoises file by file; a failure costs one line and does not stop the rest.

    Standard output gets a line per result and a summary, standard error a line
    per failure.

    Args:
        jobs: from `plan_jobs`.
        load: returns the denoiser (a function of a uint8 image and a strength);
            called once, when the first image has been read.
        strength: see `Denoiser.__call__`.

    Returns:
        0 when all were written, 2 when no input was a readable image, else 1.
    """
    denoiser = None
    readable = failed = 0
    megapixels = seconds = 0.0
    for job in jobs:
        try:
            image = _read(job)
        except (UserError, OSError) as error:
            failed += 1
            _report(job, error)
            continue
        readable += 1
        if denoiser is None:
            _make_folder(job.target.parent)
            denoiser = load()
        start = time.perf_counter()
        try:
            write_image(job.target, denoiser(image, strength), read_metadata(job.source))
        except (UserError, OSError, MemoryError) as error:
            failed += 1
            _report(job, error)
            continue
        spent, size = time.perf_counter() - start, image.shape[0] * image.shape[1] / 1e6
        megapixels, seconds = megapixels + size, seconds + spent
        print(f"{job.source} -> {job.target}  {size / spent:.3g} megapixels/s", flush=True)
    written = len(jobs) - failed
    rate = f", {megapixels:.3g} megapixels in {seconds:.1f} s" if written else ""
    print(f"{written} written, {failed} failed{rate}")
    if not readable:
        return EXIT_USAGE
    return EXIT_SOME_FAILED if failed else EXIT_OK


def _make_folder(folder: Path) -> None:
    """Makes the output folder before the model loads, which takes seconds."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--output={folder}: cannot be made: {error.strerror}. Give a folder that can."
        ) from error


def _read(job: Job):
    if job.source.suffix.lower() not in IMAGE_SUFFIXES:
        expected = " ".join(IMAGE_SUFFIXES)
        raise UserError(f"unknown suffix {job.source.suffix!r}; expected one of {expected}")
    return read_image(job.source, channels=None)


def _report(job: Job, error: Exception) -> None:
    reason = " ".join(str(error).split()) or type(error).__name__
    name = str(job.source)
    print(
        f"failed: {reason if name in reason else f'{name}: {reason}'}", file=sys.stderr, flush=True
    )
