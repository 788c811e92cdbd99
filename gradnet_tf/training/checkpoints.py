"""Atomic checkpoints, and the best weights of a run.

RUN/checkpoints/step-00000500/ has model.weights.h5, the engine's state (optimizer-NN.npz, and
ema-NN.npz with averaged weights) and manifest.json (step, elapsed seconds, best score, sha256 of
each file). It is written under a temporary name and renamed; the previous one is kept until then.
RUN/best/ has the weights with the best validation score; its manifest names the file and is
replaced last.

Only folders and files with these names and contents are ever removed.
"""

import os
import re
import shutil
from pathlib import Path

import numpy as np

from gradnet_tf.utils.console import warn
from gradnet_tf.utils.containers import read_json
from gradnet_tf.utils.errors import Interrupted, UserError
from gradnet_tf.utils.files import atomic_path, sha256_of, write_json

WEIGHTS = "model.weights.h5"
_PART_BYTES = 15 * 2**20
_KEEP = 2
_MOST_MANIFEST = 2**20
_FOLDER = re.compile(r"step-\d{8,}")
_FILE = re.compile(r"model\.weights\.h5|[a-z_]+-\d{2,}\.npz|manifest\.json")
_BEST = re.compile(r"step-\d{8,}\.weights\.h5")


def _parts(arrays: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Groups the arrays into parts of bounded size, in order."""
    parts, size = [{}], 0
    for index, array in enumerate(arrays):
        if size and size + array.nbytes > _PART_BYTES:
            parts.append({})
            size = 0
        parts[-1][f"{index:05d}"] = array
        size += array.nbytes
    return parts


def _read_manifest(folder: Path) -> dict | None:
    """Returns the manifest of a folder if all files match their sha256, else `None`.

    Raises:
        Interrupted: a file cannot be read, which does not mean that it is damaged.
    """
    try:
        manifest = read_json(folder / "manifest.json", _MOST_MANIFEST)
        intact = all(sha256_of(folder / name) == sha for name, sha in manifest["files"].items())
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
    except OSError as error:
        raise Interrupted(
            f"checkpoint {folder} cannot be read: {error.strerror or error}.\n"
            "Nothing is changed; once it can be read, the same command resumes."
        ) from error
    return manifest if intact else None


def _is_checkpoint(folder: Path) -> bool:
    """Returns whether a folder has only files of a checkpoint, which may be damaged."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    return all(_FILE.fullmatch(path.name) and path.is_file() for path in folder.iterdir())


def _require_checkpoint(folder: Path) -> None:
    if os.path.lexists(folder) and not _is_checkpoint(folder):
        raise UserError(
            f"{folder} is not a checkpoint of this project or has other files; it is not "
            "replaced.\nMove it, then run the same command again."
        )


class CheckpointStore:
    """The checkpoints and the best weights below one folder."""

    def __init__(self, workdir: str | os.PathLike):
        self.folder = Path(workdir) / "checkpoints"
        self.best_folder = Path(workdir) / "best"

    def _folders(self) -> list[Path]:
        found = sorted(self.folder.glob("step-*"))
        return [path for path in found if _FOLDER.fullmatch(path.name) and _is_checkpoint(path)]

    def save(self, model, state: dict[str, list[np.ndarray]], progress: dict) -> Path:
        """Writes a checkpoint and removes all except the last two.

        Args:
            model: Keras model whose weights are saved.
            state: the engine's arrays by name.
            progress: JSON values; `step` names the folder.

        Raises:
            UserError: the checkpoint's name is taken by something else.
        """
        final = self.folder / f"step-{progress['step']:08d}"
        _require_checkpoint(final)
        partial = self.folder / f".partial-{final.name}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            model.save_weights(partial / WEIGHTS)
            names = [WEIGHTS]
            for name, arrays in state.items():
                for index, part in enumerate(_parts(arrays)):
                    names.append(f"{name}-{index:02d}.npz")
                    np.savez(partial / names[-1], **part)
            hashes = {name: sha256_of(partial / name) for name in names}
            write_json(partial / "manifest.json", {**progress, "files": hashes})
            for name in names:
                with open(partial / name, "rb") as file:
                    os.fsync(file.fileno())
            _require_checkpoint(final)
            if final.exists():
                shutil.rmtree(final)
            os.replace(partial, final)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        for old in self._folders()[:-_KEEP]:
            shutil.rmtree(old, ignore_errors=True)
        return final

    def restore(self, model, set_state) -> dict | None:
        """Loads the newest intact checkpoint.

        A damaged one is reported and removed, and the previous one is used.

        Args:
            model: receives the weights.
            set_state: receives the engine's arrays by name.

        Returns:
            The `progress` that it was saved with, or `None` if there is no checkpoint.

        Raises:
            Interrupted: a checkpoint cannot be read.
        """
        for folder in reversed(self._folders()):
            manifest = _read_manifest(folder)
            if manifest is None:
                warn(f"checkpoint {folder} is damaged; removed")
                shutil.rmtree(folder, ignore_errors=True)
                continue
            model.load_weights(folder / WEIGHTS)
            state: dict[str, list[np.ndarray]] = {}
            for name in sorted(name for name in manifest["files"] if name.endswith(".npz")):
                with np.load(folder / name, allow_pickle=False) as part:
                    arrays = state.setdefault(name.rsplit("-", 1)[0], [])
                    arrays += [part[key] for key in sorted(part.files)]
            set_state(state)
            return manifest
        return None

    def can_restore(self) -> bool:
        """Whether there is an intact checkpoint."""
        return any(_read_manifest(folder) is not None for folder in self._folders())

    def last_path(self) -> Path | None:
        """Returns the newest checkpoint's folder, if there is one."""
        folders = self._folders()
        return folders[-1] if folders else None

    def save_best(self, model, step: int, psnr: float) -> None:
        """Saves the model's current weights as the best ones."""
        name = f"step-{step:08d}.weights.h5"
        with atomic_path(self.best_folder / name) as temporary:
            model.save_weights(temporary)
        manifest = {
            "file": name,
            "sha256": sha256_of(self.best_folder / name),
            "step": step,
            "psnr": psnr,
        }
        write_json(self.best_folder / "manifest.json", manifest)
        for old in self.best_folder.glob("step-*.weights.h5"):
            if old.name != name and _BEST.fullmatch(old.name):
                old.unlink(missing_ok=True)
