"""Names of the files and folders that an evaluation writes."""

import os
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path, PurePosixPath

#: Suffixes of the files in images/: STEM_noisy.png and so on.
IMAGE_KINDS = ("noisy", "naive", "denoised", "panel")
#: Other panels of a comparison, and its folder of figures; no model's folder has such a name.
_TAKEN = ("noisy", "naive", "clean", "gallery")


def file_stems(names: Sequence[str]) -> list[str]:
    """Returns a file stem for each image name, no two of them alike.

    Names that differ only in the suffix keep it; those that would still be equal get a number.
    """
    flat = [name.replace("/", "_").replace("\\", "_") for name in names]
    plain = [PurePosixPath(name).stem for name in flat]
    count = Counter(plain)
    stems: dict[str, None] = {}
    for name, stem in zip(flat, plain, strict=True):
        base = name if count[stem] > 1 else stem
        number, found = 1, base
        while found in stems:
            number += 1
            found = f"{base}-{number}"
        stems[found] = None
    return list(stems)


def model_folders(specs: Sequence[str], names: Sequence[str]) -> list[str]:
    """Returns a folder for each model: the name given as `--model`, or for a path the denoiser's.

    Equal names are distinguished by the suffixes of the files, else by a prefix of the folders in
    which the paths differ, else by a number. So are names of what an evaluation writes itself.
    """
    bases, paths = [], []
    for spec, name in zip(specs, names, strict=True):
        plain = spec != "default" and os.sep not in spec and not os.path.exists(spec)
        bases.append(spec if plain else name)
        paths.append(Path(spec).resolve() if os.path.exists(spec) else None)
    distinct = list(bases)
    for base in set(bases):
        same = [index for index, other in enumerate(bases) if other == base]
        if len(same) > 1:
            found = _distinguish(base, [paths[index] for index in same])
            for index, name in zip(same, found, strict=True):
                distinct[index] = name
    folders: list[str] = []
    for name in distinct:
        base = name.replace("/", "_").lstrip(".") or "model"
        number = 1
        while (folder := base if number == 1 else f"{base}-{number}") in (*folders, *_TAKEN):
            number += 1
        folders.append(folder)
    return folders


def _distinguish(base: str, paths: Sequence[Path | None]) -> list[str]:
    files = [path.name if path and path.is_file() else base for path in paths]
    if len(set(files)) == len(files):
        return files
    parents = [path.parent.parts[::-1] if path else () for path in paths]
    found = [base] * len(paths)
    # From the innermost folder outwards, skipping folders that are equal in all.
    for column in zip_longest(*parents, fillvalue=""):
        if len(set(column)) > 1:
            pairs = zip(column, found, strict=True)
            found = [f"{part}_{name}" if part else name for part, name in pairs]
        if len(set(found)) == len(found):
            break
    return found
