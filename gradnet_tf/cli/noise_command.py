"""`gradnet noise`: says what noise photographs have, and what removes it."""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gradnet_tf.cli.file_stages import FAILURES
from gradnet_tf.images import MAX_MEGAPIXELS
from gradnet_tf.utils.errors import EXIT_OK, EXIT_SOME_FAILED, UserError
from gradnet_tf.utils.files import require_writable
from gradnet_tf.utils.options import make_config, option


@dataclasses.dataclass(frozen=True)
class NoiseOptions:
    """Options of `gradnet noise`.

    Attributes:
        photos: the photographs, or folders of them.
        json: print one line of JSON per photograph instead of text.
        output: draw a page per photograph; of several, the photograph's name is added.
        max_megapixels: refuse larger pictures.
    """

    photos: tuple[str, ...] = option(positional=True, metavar="PHOTO")
    json: bool = False
    output: str | None = option(None, metavar="SHEET.png")
    max_megapixels: float = option(MAX_MEGAPIXELS, least=1e-6, most=1e6)


def noise(arguments: argparse.Namespace) -> int:
    """Runs the command and returns its exit code.

    Args:
        arguments: parsed with the options of `NoiseOptions`.

    Raises:
        UserError: a wrong argument, before any work begins.
    """
    from gradnet_tf.analysis.noise_analysis import analyse_noise
    from gradnet_tf.analysis.noise_verdict import judge_noise
    from gradnet_tf.cli.denoise_plan import photos_in
    from gradnet_tf.images.photo_files import read_photo

    options = make_config(NoiseOptions, arguments)
    photos, failed = [], 0
    for given in options.photos:
        found, unreadable = photos_in(given) if os.path.isdir(given) else ([given], 0)
        photos += found
        failed += unreadable
    pages = _page_paths(options.output, photos)
    if options.output:
        folder = os.path.dirname(options.output) or "."
        require_writable(folder, f"--output={options.output}")
    for path, page in zip(photos, pages, strict=True):
        try:
            photo = read_photo(path, options.max_megapixels)
            pixels = photo.visible(photo.pixels)
            analysis = analyse_noise(pixels)
            verdict = judge_noise(analysis)
            if page is not None:
                _draw(page, path, pixels, analysis, verdict)
        except FAILURES as error:
            reason = str(error).strip() or type(error).__name__
            reason = reason if path in reason else f"{path}: {reason}"
            print(f"error: {reason}", file=sys.stderr)
            failed += 1
            continue
        if options.json:
            found = {"file": path, **analysis.to_json(), **dataclasses.asdict(verdict)}
            # In ASCII, because the terminal's escapes of strange letters are not JSON's.
            print(json.dumps(found).replace("\x7f", "\\u007f"))
        else:
            print(f"{path}: {verdict.text}")
            print("".join(f"  {line}\n" for line in verdict.lines), end="")
    return EXIT_SOME_FAILED if failed else EXIT_OK


def _draw(page: Path, path: str, image, analysis, verdict) -> None:
    from gradnet_tf.reporting.noise_sheet import draw_noise, save_noise_page
    from gradnet_tf.utils.files import atomic_path

    _require_own(page)
    figure = draw_noise(Path(path).name, image, analysis, verdict)
    with atomic_path(page, lambda: _require_own(page)) as temporary:
        save_noise_page(figure, temporary)


def _page_paths(output: str | None, photos: Sequence[str]) -> list[Path | None]:
    """Returns the page of each photograph: `output`, with the names of several added."""
    if output is None:
        return [None] * len(photos)
    if not output.lower().endswith(".png") or os.path.isdir(output):
        raise UserError(f"--output must be a file name that ends in .png. Received: {output}")
    base = Path(output)
    if len(photos) == 1:
        pages = [base]
    else:
        pages = [base.with_name(f"{base.stem}_{Path(photo).stem}{base.suffix}") for photo in photos]
    for page in pages:
        _require_own(page)
        if pages.count(page) > 1:
            raise UserError(
                f"--output={output}: two photographs would be drawn into {page}.\n"
                "Give photographs whose names differ, or draw them one by one."
            )
    return list(pages)


def _require_own(page: Path) -> None:
    """Raises if a file would be replaced that this command did not write."""
    from gradnet_tf.reporting.noise_sheet import MADE_BY
    from gradnet_tf.utils.ownership import is_drawn_by, require_replaceable

    require_replaceable(page, f"--output={page}", lambda path: is_drawn_by(path, MADE_BY))
