"""The scores that an evaluation has so far, in a file, so that a killed one is resumed."""

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradnet_tf import weights
from gradnet_tf.utils.containers import read_json
from gradnet_tf.utils.files import sha256_of
from gradnet_tf.utils.versions import installed_versions

#: Name of the folder of records in a folder of results that is not finished.
JOURNAL = ".scores"
#: Largest record that is read; one has about a kilobyte.
_MOST_RECORD = 2**20


@dataclasses.dataclass(frozen=True)
class Scored:
    """What an evaluation keeps of an image.

    Attributes:
        row: its scores, see `gradnet_tf.evaluation.scores.score_example`.
        real_noise: whether its noise is real.
        channels: of the noisy image.
    """

    row: dict[str, Any]
    real_noise: bool
    channels: int


def settings_key(denoiser: Any, config: Any) -> str | None:
    """Returns a hash of everything but the image that determines a score.

    Args:
        denoiser: with `name` and `source`.
        config: an `EvaluateConfig`.

    Returns:
        The hash; `None` if the weights are not known by their sha256, so that scores cannot be
        used again.
    """
    source = getattr(denoiser, "source", None) or {}
    if not source.get("sha256") and source.get("kind") != "classical":
        return None
    settings = {k: v for k, v in dataclasses.asdict(config).items() if k != "max_images"}
    # Shipped weights may pass a picture on to others, for gray pictures or real noise.
    shipped = {card["name"]: card["sha256"] for card in weights.list_weights()}
    made = [settings, denoiser.name, dict(source), getattr(denoiser, "runtime", None)]
    return _hash(json.dumps([*made, shipped, installed_versions()], sort_keys=True, default=str))


class ScoreJournal:
    """Records of the images that were scored; those of an earlier evaluation are used again.

    A record is used only if the settings, the weights, the versions, the image's pixels and the
    pictures that the earlier evaluation wrote of it are the same.

    Args:
        folder: where the results of the model go, with the pictures in `images`.
        key: see `settings_key`; `None` uses and keeps no records.
        earlier: folders of results that were not finished.

    Attributes:
        reused: number of images whose records were used again.
    """

    def __init__(self, folder: Path, key: str | None, earlier: Sequence[Path] = ()):
        self._folder, self._key, self._earlier = folder, key, earlier
        self.reused = 0

    def find(self, image_set: Any, index: int) -> Scored | None:
        """Returns the record of an image and takes over its pictures; `None` without one."""
        if self._key is None or not self._earlier:
            return None
        name = self._name(image_set, index)
        for folder in self._earlier:
            # A damaged or foreign record is none.
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                record = read_json(folder / JOURNAL / name, _MOST_RECORD)
                files = {folder / "images" / each: digest for each, digest in record["files"]}
                if any(sha256_of(path) != digest for path, digest in files.items()):
                    continue
                scored = Scored(record["row"], record["real_noise"], record["channels"])
                (self._folder / "images").mkdir(parents=True, exist_ok=True)
                for path in files:
                    shutil.copyfile(path, self._folder / "images" / path.name)
                self._write(name, record)
                self.reused += 1
                return scored
        return None

    def add(self, image_set: Any, index: int, scored: Scored, files: Sequence[Path]) -> None:
        """Keeps the record of an image; `files` are the pictures that were written of it."""
        # The next run has to compute what is not finite, because JSON has no such numbers.
        finite = all(np.isfinite(v) for v in scored.row.values() if isinstance(v, float))
        if self._key is not None and finite:
            record = dataclasses.asdict(scored)
            record["files"] = [(path.name, sha256_of(path)) for path in files]
            self._write(self._name(image_set, index), record)

    def _write(self, name: str, record: dict[str, Any]) -> None:
        (self._folder / JOURNAL).mkdir(parents=True, exist_ok=True)
        (self._folder / JOURNAL / name).write_text(json.dumps(record), "utf-8")

    def _name(self, image_set: Any, index: int) -> str:
        """Returns the name of an image's record, which depends on all that its scores depend on."""
        parts = [f"{self._key} {image_set.name} {image_set.split} {image_set.names[index]}"]
        sources = [image_set.noisy]
        if getattr(image_set, "has_clean", True):
            sources += [getattr(image_set, "clean", None) or image_set.load]
        for read in sources:
            if (image := read(index)) is not None:
                pixels = hashlib.sha256(np.ascontiguousarray(image)).hexdigest()
                parts.append(f"{image.dtype} {image.shape} {pixels}")
        return f"{_hash(' '.join(parts))}.json"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
