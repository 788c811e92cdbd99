"""docs/free_photos.md, made from the manifest of the photographs."""

import re

from datasets.sets.catalog import get_facts
from datasets.sets.free_photos import (
    FOLDER,
    MANIFEST,
    VALIDATION_IMAGES,
    find_root,
    is_permissive,
    read_manifest,
)
from gradnet_tf.utils.errors import UserError

_NEEDED = ("width", "height", "original_width", "original_height", "original_sha256")
_DIGITS = 16

#: The part of a file's name before the two underscores → where the photographs were collected.
COLLECTIONS = {
    "budgie": "Budgie",
    "cid22": "CID22",
    "elementary": "elementary",
    "fedora": "Fedora",
    "gb82": "gb82",
    "lomiri": "Lomiri",
    "opensuse": "openSUSE",
    "pop_os": "Pop!_OS",
    "ubuntu_mate": "Ubuntu MATE",
}

_INTRODUCTION = """\
# Free photographs

The sets `free_photos` ({all} photographs) and `free_photos_cc_by` ({permissive} of them, under
CC0 or CC-BY) are wallpapers of free desktops, the set gb82 and the references of CID22. This page
credits every photographer whose name is known, states each licence, and says where the originals
are. `python -m datasets free_photos_page --data_dir=DATA > docs/free_photos.md` makes it.

## Which weights were trained on what

The card of each set of weights names its training set.

| set | trained on | terms |
| --- | --- | --- |
| `free_photos_cc_by` | the {permissive} under CC0 or CC-BY | CC-BY asks for the attribution below |
| `free_photos` | {training}, all but the 16 for validation | also CC-BY-SA, for {share_alike} |

The default weights are trained on `free_photos_cc_by`: no photograph under CC-BY-SA has a
part in what the network learns. Whether CC-BY-SA extends to weights is unsettled; weights
trained on `free_photos` say so in their card. Both sets choose checkpoints by the score on the
same 16 photographs of CID22 under CC-BY-SA, marked *validation* below: they decide which
checkpoint is kept, and no gradient is taken of them.

## Attribution

The photographs under CC-BY that `free_photos_cc_by` is trained on. They were scaled down and
saved again as JPEG, and crops of them were turned, mirrored, recoloured and made noisy; their
authors endorse none of it.

{attribution}

The licences' texts:

- [CC0 1.0](https://creativecommons.org/publicdomain/zero/1.0/)
- [CC-BY 2.0](https://creativecommons.org/licenses/by/2.0/)
- [CC-BY 4.0](https://creativecommons.org/licenses/by/4.0/)
- [CC-BY-SA 2.0](https://creativecommons.org/licenses/by-sa/2.0/)
- [CC-BY-SA 3.0](https://creativecommons.org/licenses/by-sa/3.0/)
- [CC-BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/)

## Getting the originals

The photographs are not part of this repository. The column *source* says where each is:

- `OWNER/REPOSITORY PATH` is a file of https://github.com/OWNER/REPOSITORY; `RELEASE:PATH` names
  the release of the wallpapers first.
- `OWNER/REPOSITORY blob HASH` is a file by its content, whatever its path:
  `git cat-file blob HASH > FILE` in a clone with its whole history.
- `Debian PACKAGE FILE` is a file of that source package: `apt-get source PACKAGE`.

The last column has the first {digits} digits of the original's sha256. Scale each original to the
size in the table with a Lanczos filter (most are larger), save it as JPEG of quality 95 without
chroma subsampling under the name in the table in free_photos/train, and write
free_photos/manifest.tsv: tab-separated columns, the first line names them (`file`, `licence`,
`author`, `source` are needed), then a line for each photograph.
"""


def make_page(rows: list[dict[str, str]]) -> str:
    """Makes the page, in Markdown.

    Args:
        rows: lines of the manifest, see `datasets.sets.free_photos.read_manifest`.

    Raises:
        UserError: when the manifest lacks a column, or has a photograph of an unknown collection.
    """
    for row in rows:
        if not all(row.get(name) for name in _NEEDED) or _collection(row) not in COLLECTIONS:
            raise UserError(
                f"the manifest's line of {row['file']} cannot be put on the page.\nExpected a name "
                f"that begins with one of {', '.join(COLLECTIONS)} and two underscores, and the "
                f"columns {', '.join(_NEEDED)}."
            )
    training = [row for row in rows if row["file"] not in VALIDATION_IMAGES]
    permissive = [row for row in training if is_permissive(row["licence"])]
    text = _INTRODUCTION.format(
        all=len(rows),
        permissive=len(permissive),
        training=len(training),
        share_alike=len(training) - len(permissive),
        attribution=_attribution(permissive),
        digits=_DIGITS,
    )
    for key, title in COLLECTIONS.items():
        own = [row for row in rows if _collection(row) == key]
        if own:
            lines = "\n".join(_line(row) for row in sorted(own, key=lambda row: row["file"]))
            text += f"\n## {title} ({len(own)})\n\n{_HEAD}\n{lines}\n"
    return text


_HEAD = (
    "| file in train | size | licence | author | source | size and sha256 of the original |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


def _collection(row: dict[str, str]) -> str:
    return row["file"].partition("__")[0]


def _author(row: dict[str, str]) -> str:
    author = (row["author"] or "").replace("_", " ")
    if re.search(r"\.(jpg|png)$", author):
        return "as in the file's name"
    return author or "not stated"


def _attribution(rows: list[dict[str, str]]) -> str:
    credits = [
        f"- {_author(row)}: `{row['file'].partition('__')[2]}`, "
        f"{COLLECTIONS[_collection(row)]}, {row['licence']}"
        for row in rows
        if row["licence"].startswith("CC-BY")
    ]
    return "\n".join(sorted(credits)) or "(none)"


def _line(row: dict[str, str]) -> str:
    use = ", *validation*" if row["file"] in VALIDATION_IMAGES else ""
    cells = (
        f"`{row['file']}`",
        f"{row['width']}×{row['height']}",
        row["licence"] + use,
        _author(row),
        f"`{row['source']}`",
        f"{row['original_width']}×{row['original_height']}, `{row['original_sha256'][:_DIGITS]}`",
    )
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def print_page(data_dir: str) -> None:
    """Prints the page.

    Args:
        data_dir: folder that holds the photographs, or its parent.

    Raises:
        UserError: when the photographs or their manifest are not found.
    """
    root = find_root(get_facts(FOLDER), data_dir)
    print(make_page(read_manifest(root / MANIFEST)), end="")
