"""SIDD's submissions: SubmitSrgb.mat and, for the competition that followed it, SubmitSrgb.csv.

The MATLAB file has `DenoisedBlocksSrgb` (uint8, the axes of the noisy array: scene, block, row,
column, colour), `TimeMPSrgb` (seconds per megapixel of 1024×1024) and the structure `OptionalData`
with the fields of the benchmark's demonstration. The CSV file has the columns ID (from 0, scene by
scene) and BLOCK (base64 of the block's bytes, row by row), a line for each block.
"""

import base64
from pathlib import Path

import numpy as np

from datasets.commands.submission import Submission, denoise_all, interrupted
from gradnet_tf.images.image_files import to_float, to_uint8
from gradnet_tf.utils.files import atomic_path, require_free_space
from gradnet_tf.utils.matlab_version import require_scipy

OPTIONAL_FIELDS = ("MethodName", "Authors", "PaperTitle", "Venue", "MachineSpecs")
MAT_FILE, CSV_FILE = "SubmitSrgb.mat", "SubmitSrgb.csv"
# Denoised blocks, until all are there: a plain array that a later run opens again.
PARTIAL_FILE = "blocks.partial.npy"
_BLOCKS_BETWEEN_RECORDS = 16
_MEGAPIXEL = 1024 * 1024


def submit(submission: Submission, optional_data: dict[str, str]) -> list[Path]:
    """Denoises what is missing and writes both files.

    Args:
        submission: of a `datasets.sets.sidd.SiddBlocks`.
        optional_data: texts for some of `OPTIONAL_FIELDS`; the method's name
            is the model's unless given.

    Returns:
        The files.

    Raises:
        Interrupted: on Ctrl-C; what is done is kept.
        NotFiniteError: when the model gives a NaN.
        UserError: for damaged noisy files, or without SciPy.
        OSError: when the folder cannot be written.
    """
    image_set = submission.image_set
    files = [submission.output / name for name in (MAT_FILE, CSV_FILE)]
    writer = require_scipy(files[0])
    record = submission.found()
    if record and record["complete"] and all(path.is_file() for path in files):
        print(f"{submission.output} is complete: nothing to do.")
        return files
    blocks, done = _open_blocks(submission, record)
    seconds = record["seconds"] if done else 0.0

    def keep_record(complete: bool = False) -> None:
        blocks.flush()
        submission.write(done, seconds, complete)

    try:
        todo = range(done, len(image_set))
        for index, image, more in denoise_all(
            submission, todo, lambda index: to_float(image_set.noisy(index))
        ):
            # Halves go to even; cutting off the fraction instead costs 0.14 dB at 39 dB.
            blocks[divmod(index, image_set.shape[1])] = to_uint8(image)
            done, seconds = index + 1, seconds + more
            if done % _BLOCKS_BETWEEN_RECORDS == 0:
                keep_record()
    except KeyboardInterrupt:
        raise interrupted(done, len(image_set)) from None
    finally:
        keep_record()
    pixels = blocks.size // blocks.shape[-1]
    contents = {
        "DenoisedBlocksSrgb": blocks,
        "TimeMPSrgb": seconds * _MEGAPIXEL / pixels,
        "OptionalData": {name: optional_data.get(name) or "" for name in OPTIONAL_FIELDS},
    }
    contents["OptionalData"]["MethodName"] = (
        optional_data.get("MethodName") or submission.denoiser.name
    )
    with atomic_path(files[0]) as temporary:
        writer.savemat(temporary, contents, oned_as="row")
    _write_csv(files[1], blocks)
    keep_record(complete=True)
    (submission.output / PARTIAL_FILE).unlink()
    return files


def _open_blocks(submission: Submission, record: dict | None) -> tuple[np.memmap, int]:
    """Opens the array of denoised blocks, or makes it; returns it and how many are done."""
    path, shape = submission.output / PARTIAL_FILE, submission.image_set.shape
    if record and path.is_file():
        try:
            blocks = np.lib.format.open_memmap(path, "r+")
            if blocks.shape == shape and blocks.dtype == np.uint8:
                return blocks, min(int(record["done"]), len(submission.image_set))
        except (ValueError, OSError):
            pass  # Cut off: it is made anew.
    size = int(np.prod(shape))
    # The array, the MATLAB file of its size, and base64's four bytes for three.
    require_free_space(submission.output, 2 * size + size * 4 // 3, "the submission")
    return np.lib.format.open_memmap(path, "w+", np.uint8, shape), 0


def _write_csv(path: Path, blocks: np.ndarray) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", encoding="ascii") as file:
        file.write("ID,BLOCK\n")
        for number in range(blocks.shape[0] * blocks.shape[1]):
            block = np.ascontiguousarray(blocks[divmod(number, blocks.shape[1])])
            file.write(f"{number},{base64.b64encode(block.tobytes()).decode('ascii')}\n")
