"""What submissions to the benchmarks share: denoising image by image, and going on after a stop.

OUTPUT/submission.json records what the files beside it are made from. A run that finds another
model or other noisy files there starts anew; one that finds its own goes on, or has nothing to do.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from datasets.sets.image_set import ImageSet
from gradnet_tf.degradations.noise_level import estimate_and_tell
from gradnet_tf.images.channels import adapt_channels
from gradnet_tf.utils.console import Pace, ProgressLine, note
from gradnet_tf.utils.errors import Interrupted, NotFiniteError
from gradnet_tf.utils.files import write_json

RECORD = "submission.json"


@dataclasses.dataclass(frozen=True)
class Submission:
    """One submission in the making.

    Attributes:
        denoiser: a `gradnet_tf.denoiser.Denoiser`, or what works like one.
        image_set: the benchmark's noisy images.
        output: folder of the result; exists.
        precision: what the model runs in.
        about: what is recorded and not compared: command, versions.
    """

    denoiser: object
    image_set: ImageSet
    output: Path
    precision: str = "float32"
    about: dict = dataclasses.field(default_factory=dict)

    def identity(self) -> dict:
        """Returns what decides the result: the model's source, names, sizes and times of files."""
        files = {}
        for path in dict.fromkeys(self.image_set.paths):
            facts = path.stat()
            files[path.name] = [facts.st_size, facts.st_mtime_ns]
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
            record = json.loads((self.output / RECORD).read_text("utf-8"))
            same = record["identity"] == json.loads(json.dumps(self.identity(), default=str))
            _ = record["done"], record["seconds"], record["complete"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            same = False
        if same:
            return record
        note(
            f"{self.output} has a submission of another model or of other noisy files; it is "
            "made anew."
        )
        return None

    def write(self, done: int, seconds: float, complete: bool) -> None:
        """Writes the record."""
        fields = {"identity": self.identity(), "done": done, "seconds": seconds}
        write_json(self.output / RECORD, {**fields, "complete": complete, **self.about})


def denoise_one(denoiser, noisy: np.ndarray, name: str, sigma: float | None = None) -> np.ndarray:
    """Denoises one image, adapting channels and estimating the noise level where needed.

    Args:
        denoiser: as in `Submission`.
        noisy: float32 [H, W, 3], nominal range [0, 1].
        name: for messages.
        sigma: noise level, 0-255 scale; estimated and printed where it is needed and not given.

    Returns:
        float32 [H, W, 3], clipped to [0, 1].

    Raises:
        NotFiniteError: when the output has a NaN.
    """
    if sigma is None and getattr(denoiser, "needs_sigma", False):
        sigma = estimate_and_tell(noisy, name)
    output = adapt_channels(
        lambda images: np.asarray(denoiser.denoise(images, sigma)), noisy[None], denoiser.channels
    )[0]
    if not np.isfinite(output).all():
        raise NotFiniteError(
            f"{name}: the output of {denoiser.name} is not a number everywhere.\n"
            "A submission needs a sound model; try evaluate.py with it first."
        )
    return np.clip(output, 0, 1).astype(np.float32, copy=False)


def denoise_all(
    submission: Submission, todo: Sequence[int], load: Callable[[int], np.ndarray]
) -> Iterator[tuple[int, np.ndarray, float]]:
    """Denoises images and shows progress.

    Args:
        submission: what is made.
        todo: numbers of the images, in order.
        load: returns a noisy image, float32 [H, W, 3].

    Yields:
        An image's number, it denoised as float32 [H, W, 3], and the model's seconds.
    """
    names, total = submission.image_set.names, len(submission.image_set)
    line, pace = ProgressLine(), Pace()
    pace.mark(0)
    for count, index in enumerate(todo, start=1):
        noisy = load(index)
        if count == 1:
            # The first call compiles, which is no time of the method.
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
    """Builds what ends a run on Ctrl-C: it says how to go on."""
    return Interrupted(
        f"interrupted: {done} of {total} images are denoised.\nThe same command goes on from there."
    )
