"""What others read from the folder of a run: its best weights."""

import json
import os
from pathlib import Path

from gradnet_tf.files import sha256_of


def best_weights(workdir: str | os.PathLike) -> Path | None:
    """Returns the file with a run's best weights, or `None` where the run has none yet.

    Raises:
        ValueError: when the file is missing or its sha256 differs.
    """
    folder = Path(workdir) / "best"
    if not (folder / "manifest.json").exists():
        return None
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    path = folder / manifest["file"]
    if not path.exists() or sha256_of(path) != manifest["sha256"]:
        raise ValueError(f"{path} is missing or damaged (its sha256 differs from manifest.json)")
    return path
