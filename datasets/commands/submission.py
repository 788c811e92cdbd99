"""Resumable submissions to the benchmarks of SIDD and DND.

OUTPUT/submission.json records what the files beside it were made from. A run with another model or
other noisy files starts over; otherwise it resumes.

SIDD accepts SubmitSrgb.mat and, in the later competition, SubmitSrgb.csv. The MATLAB file has
`DenoisedBlocksSrgb` (uint8, with the axes of the noisy array: scene, block, row, column, color),
`TimeMPSrgb` (seconds per megapixel of 1024×1024) and the structure `OptionalData` with the fields
of the benchmark's demo. The CSV file has the columns ID (from 0, scene by scene) and BLOCK (base64
of the block's bytes, row by row), with a line per block.

DND accepts OUTPUT/bundled/0001.mat …, one file per photograph with `Idenoised` (a cell array of
1×20 boxes), `israw` (false) and `eval_version` ("1.0"), like the benchmark's own
bundle_submissions_srgb, which bundles one file per box, OUTPUT/0001_01.mat … with
`Idenoised_crop`. Boxes are single precision in [0, 1] and not rounded. A run resumes from the files
of the boxes.
"""

import base64
import dataclasses
import json
import shlex
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from datasets.sets.catalog import find_dataset
from datasets.sets.image_set import ImageSet
from gradnet_tf.analysis.noise_analysis import estimate_and_tell
from gradnet_tf.images.channels import adapt_channels
from gradnet_tf.images.image_files import to_float, to_uint8
from gradnet_tf.models.presets import PRECISIONS
from gradnet_tf.utils.console import Pace, ProgressLine, note
from gradnet_tf.utils.containers import read_json
from gradnet_tf.utils.errors import Interrupted, NotFiniteError, NotFiniteOutputError, UserError
from gradnet_tf.utils.files import atomic_path, require_free_space, require_writable, write_json
from gradnet_tf.utils.matlab_arrays import read_array, require_scipy
from gradnet_tf.utils.ownership import Inputs, is_json_with, require_replaceable

RECORD = "submission.json"


@dataclasses.dataclass(frozen=True)
class Submission:
    """One submission.

    Attributes:
        denoiser: a `gradnet_tf.denoiser.Denoiser` or compatible.
        image_set: the noisy images of the benchmark.
        output: the existing folder of the result.
        precision: precision of the model.
        about: recorded but not compared: command, versions.
    """

    denoiser: object
    image_set: ImageSet
    output: Path
    precision: str = "float32"
    about: dict = dataclasses.field(default_factory=dict)

    def identity(self) -> dict:
        """Returns everything that determines the result, with the sizes and times of files."""
        files = {}
        for path in dict.fromkeys(self.image_set.paths):
            stat = path.stat()
            files[path.name] = [stat.st_size, stat.st_mtime_ns]
        source = dict(getattr(self.denoiser, "source", None) or {})
        return {
            "dataset": self.image_set.name,
            "split": self.image_set.split,
            "images": len(self.image_set),
            "model": self.denoiser.name,
            "precision": self.precision,
            "source": source | {"path": str(source.get("path"))},
            "files": files,
        }

    def found(self) -> dict | None:
        """Returns the record of an earlier run for the same result, or None."""
        try:
            record = read_json(self.output / RECORD)
            same = record["identity"] == json.loads(json.dumps(self.identity(), default=str))
            _ = record["done"], record["seconds"], record["complete"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            same = False
        if same:
            return record
        note(
            f"{self.output} has a submission of another model or of other noisy files; starting "
            "over."
        )
        return None

    def write(self, done: int, seconds: float, complete: bool) -> None:
        """Writes the record."""
        fields = {"identity": self.identity(), "done": done, "seconds": seconds}
        write_json(self.output / RECORD, {**fields, "complete": complete, **self.about})


def denoise_one(denoiser, noisy: np.ndarray, name: str, sigma: float | None = None) -> np.ndarray:
    """Denoises float32 [H, W, 3] of nominal range [0, 1]; returns the same, clipped.

    Adapts the channels, and estimates and prints `sigma` (0-255 scale) if the model needs it.

    Raises:
        NotFiniteError: if the output has a NaN.
    """
    if sigma is None and getattr(denoiser, "needs_sigma", False):
        sigma = estimate_and_tell(noisy, name)
    try:
        output = adapt_channels(
            lambda images: np.asarray(denoiser.denoise(images, sigma)),
            noisy[None],
            denoiser.channels,
        )[0]
    except NotFiniteOutputError:
        output = np.float32(np.nan)
    if not np.isfinite(output).all():
        raise NotFiniteError(
            f"{name}: the output of {denoiser.name} contains NaN.\n"
            "A submission needs a working model; try it with evaluate.py first."
        )
    return np.clip(output, 0, 1).astype(np.float32, copy=False)


def denoise_all(
    submission: Submission, todo: Sequence[int], load: Callable[[int], np.ndarray]
) -> Iterator[tuple[int, np.ndarray, float]]:
    """Denoises the images `todo`, which `load` returns as float32 [H, W, 3]; shows progress.

    Yields:
        The index, the denoised image as float32 [H, W, 3], and the model's time in seconds.
    """
    names, total = submission.image_set.names, len(submission.image_set)
    line, pace = ProgressLine(), Pace()
    pace.mark(0)
    for count, index in enumerate(todo, start=1):
        noisy = load(index)
        if count == 1:
            # Excludes the compilation from the method's time.
            denoise_one(submission.denoiser, noisy, names[index], sigma=25.0)
        begun = time.perf_counter()
        denoised = denoise_one(submission.denoiser, noisy, names[index])
        yield index, denoised, time.perf_counter() - begun
        line.show(
            f"{submission.image_set.name} | image {total - len(todo) + count}/{total} | "
            f"{names[index]} | {pace.left(count, len(todo))} left",
            force=count == len(todo),
        )
    line.end()


def interrupted(done: int, total: int) -> Interrupted:
    """Returns the error for Ctrl-C."""
    return Interrupted(
        f"interrupted: {done} of {total} images are denoised.\nRun the same command to resume."
    )


OPTIONAL_FIELDS = ("MethodName", "Authors", "PaperTitle", "Venue", "MachineSpecs")
MAT_FILE, CSV_FILE = "SubmitSrgb.mat", "SubmitSrgb.csv"
# Denoised blocks until all are done, as an array that a later run can open.
PARTIAL_FILE = "blocks.partial.npy"
_BLOCKS_BETWEEN_RECORDS = 16
_MEGAPIXEL = 1024 * 1024


def submit_sidd(submission: Submission, optional_data: dict[str, str]) -> list[Path]:
    """Denoises the missing images, writes both files and returns them; raises `make_submission`'s.

    Args:
        submission: of a `datasets.sets.sidd.SiddBlocks`.
        optional_data: texts for some of `OPTIONAL_FIELDS`; the name of the method defaults to the
            model's.
    """
    image_set = submission.image_set
    files = [submission.output / name for name in (MAT_FILE, CSV_FILE)]
    writer = require_scipy(files[0])
    record = submission.found()
    if record and record["complete"] and all(path.is_file() for path in files):
        if _rewrite_texts(files[0], optional_data):
            print(f"{submission.output} is complete; {MAT_FILE} has the new texts.")
        else:
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
            # Rounded half to even; truncation would cost 0.14 dB at 39 dB.
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


def _rewrite_texts(path: Path, optional_data: dict[str, str]) -> bool:
    """Puts other texts into a finished file; returns whether there were any."""
    given = {name: text for name, text in optional_data.items() if text}
    if not given:
        return False
    from scipy import io

    contents = io.loadmat(path, simplify_cells=True)
    old = {name: str(text) for name, text in contents["OptionalData"].items()}
    if {**old, **given} == old:
        return False
    new = {name: contents[name] for name in ("DenoisedBlocksSrgb", "TimeMPSrgb")}
    with atomic_path(path) as temporary:
        io.savemat(temporary, {**new, "OptionalData": {**old, **given}}, oned_as="row")
    return True


def _open_blocks(submission: Submission, record: dict | None) -> tuple[np.memmap, int]:
    """Opens or creates the array of denoised blocks; returns it and the number of finished ones."""
    path, shape = submission.output / PARTIAL_FILE, submission.image_set.shape
    if record and path.is_file():
        try:
            blocks = np.lib.format.open_memmap(path, "r+")
            if blocks.shape == shape and blocks.dtype == np.uint8:
                return blocks, min(int(record["done"]), len(submission.image_set))
        except (ValueError, OSError):
            pass  # Truncated: start over.
    size = int(np.prod(shape))
    # The array, the MATLAB file of the same size, and base64 with four bytes for three.
    require_free_space(submission.output, 2 * size + size * 4 // 3, "the submission")
    # Not even a run that is killed now leaves a record of blocks that are no longer there.
    submission.write(0, 0.0, complete=False)
    return np.lib.format.open_memmap(path, "w+", np.uint8, shape), 0


def _write_csv(path: Path, blocks: np.ndarray) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", encoding="ascii") as file:
        file.write("ID,BLOCK\n")
        for number in range(blocks.shape[0] * blocks.shape[1]):
            block = np.ascontiguousarray(blocks[divmod(number, blocks.shape[1])])
            file.write(f"{number},{base64.b64encode(block.tobytes()).decode('ascii')}\n")


FOLDER = "bundled"
EVAL_VERSION = "1.0"


def submit_dnd(submission: Submission) -> list[Path]:
    """Denoises the missing boxes of a `DndBoxes` and returns the bundled files to submit.

    Raises as `make_submission` does.
    """
    image_set, output = submission.image_set, submission.output
    images = defaultdict(list)
    for name in image_set.names:
        images[name.split("_")[0]].append(output / f"{name}.mat")
    crops = [path for paths in images.values() for path in paths]
    bundles = [output / FOLDER / f"{image}.mat" for image in images]
    writer = require_scipy(output / FOLDER)
    record = submission.found()
    if record and record["complete"] and all(path.is_file() for path in (*crops, *bundles)):
        print(f"{output} is complete: nothing to do.")
        return bundles
    seconds = record["seconds"] if record else 0.0
    if record is None:
        for path in (*crops, *bundles):
            path.unlink(missing_ok=True)
    submission.write(0, seconds, complete=False)
    # Existing files are complete, because they are renamed when finished.
    todo = [index for index, path in enumerate(crops) if not path.is_file()]
    done = len(crops) - len(todo)
    try:
        for index, image, more in denoise_all(submission, todo, image_set.noisy_float):
            with atomic_path(crops[index]) as temporary:
                writer.savemat(temporary, {"Idenoised_crop": image})
            done, seconds = done + 1, seconds + more
    except KeyboardInterrupt:
        raise interrupted(done, len(crops)) from None
    finally:
        submission.write(done, seconds, complete=False)
    for bundle, paths in zip(bundles, images.values(), strict=True):
        cells = np.empty(len(paths), dtype=object)
        for place, path in enumerate(paths):
            cells[place] = read_array(path, "Idenoised_crop")
        contents = {"Idenoised": cells, "israw": False, "eval_version": EVAL_VERSION}
        with atomic_path(bundle) as temporary:
            writer.savemat(temporary, contents, oned_as="row")
    submission.write(done, seconds, complete=True)
    return bundles


_SPLITS = {"sidd": "benchmark", "dnd": "test"}


def _require_own_folder(output: Path, benchmark: str, image_set) -> None:
    """Raises if files would be replaced or removed in a folder without a submission's record."""
    names = [MAT_FILE, CSV_FILE]
    if benchmark == "dnd":
        images = sorted({name.split("_")[0] for name in image_set.names})
        names = [f"{name}.mat" for name in image_set.names]
        names += [f"{FOLDER}/{image}.mat" for image in images]
    is_own = is_json_with(output / RECORD, "identity", "done", "seconds", "complete")
    inputs = Inputs(image_set.paths)
    for name in (RECORD, *names):
        require_replaceable(output / name, f"--output={output}", lambda _: is_own, inputs)


def make_submission(options, command: Sequence[str]) -> None:
    """Finds the noisy images, loads the model, denoises and prints where the files are.

    Args:
        options: `SubmitOptions` of `python -m datasets submit`.
        command: the command line, for the record.

    Raises:
        UserError: if images or model are not found or damaged, SciPy is missing, the precision is
            unknown, or the output cannot be written.
        Interrupted: on Ctrl-C; finished images are kept.
        NotFiniteError: if the model returns NaN.
    """
    precision, output = options.precision, Path(options.output)
    if precision not in PRECISIONS:
        raise UserError(
            f"`precision` must be one of {', '.join(PRECISIONS)}. Received: precision={precision}"
        )
    require_scipy(output)
    image_set = find_dataset(options.benchmark, options.data_dir, _SPLITS[options.benchmark])

    from gradnet_tf.denoiser import load_denoiser
    from gradnet_tf.utils.versions import installed_versions

    denoiser = load_denoiser(options.model, precision)
    _require_own_folder(output, options.benchmark, image_set)
    about = {"command": [shlex.quote(part) for part in command], "versions": installed_versions()}
    require_writable(output, f"--output={output}")
    try:
        submission = Submission(denoiser, image_set, output, precision, about)
        if options.benchmark == "sidd":
            files = submit_sidd(submission, vars(options))
            print(f"Submit one of: {', '.join(map(str, files))}")
        else:
            files = submit_dnd(submission)
            print(f"Submit the content of {files[0].parent}: {len(files)} files")
    except OSError as error:
        raise UserError(
            f"--output={output} cannot be written: {error.strerror or error}.\n"
            "Finished images are kept when the command is run again."
        ) from error
