"""DND's submission: OUTPUT/bundled/0001.mat …, a file for each photograph.

Each has `Idenoised` (a cell array of 1×20 boxes), `israw` (false) and `eval_version` ("1.0"), as
the benchmark's own bundle_submissions_srgb makes them from a file per box, OUTPUT/0001_01.mat …
with `Idenoised_crop`. Boxes are single precision in [0, 1], as the noisy ones are: nothing is
rounded. The files of single boxes are what a later run goes on from.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np

from datasets.commands.submission import Submission, denoise_all, interrupted
from datasets.sets.matlab_arrays import read_array
from gradnet_tf.utils.files import atomic_path
from gradnet_tf.utils.matlab_version import require_scipy

FOLDER = "bundled"
EVAL_VERSION = "1.0"


def submit(submission: Submission) -> list[Path]:
    """Denoises the boxes that are missing and bundles all of them.

    Args:
        submission: of a `datasets.sets.dnd.DndBoxes`.

    Returns:
        The bundled files, which are what is handed in.

    Raises:
        Interrupted: on Ctrl-C; what is done is kept.
        NotFiniteError: when the model gives a NaN.
        UserError: for damaged noisy files, or without SciPy.
        OSError: when the folder cannot be written.
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
    # A file that is there is whole: it came by its name when it was finished.
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
