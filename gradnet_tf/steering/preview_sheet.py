"""`gradnet denoise --preview`: a sheet per photograph with several strengths side by side."""

import collections
import dataclasses
import io
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gradnet_tf.denoiser import Strength, finished
from gradnet_tf.images.photo_files import orientation_of, read_photo, upright
from gradnet_tf.steering.texture import Steering, texture_weight
from gradnet_tf.tiling.tiler import to_unit
from gradnet_tf.utils.console import NAME_ESCAPES
from gradnet_tf.utils.errors import EXIT_OK, EXIT_SOME_FAILED, UserError
from gradnet_tf.utils.files import write_file
from gradnet_tf.utils.ownership import is_recorded, record, require_replaceable

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
#: Side of the crop in pixels, and width of a sheet. A wider sheet would be reduced in small
#: windows, which hides noise.
SIDE, WIDTH = 320, 1000
_GAP, _CAPTION = 8, 28


def choose_crop(pixels: np.ndarray, side: int = SIDE) -> tuple[slice, slice]:
    """Returns the part of a picture that shows best what denoising does.

    Smooth areas show what noise is left, textures what was lost: the part is chosen in which the
    texture's share is nearest to a half.

    Args:
        pixels: denoised, (H, W, 1 or 3).
        side: largest height and width of the part.
    """
    weight = texture_weight(pixels)
    height, width = weight.shape
    tall, wide = min(side, height), min(side, width)
    best, place = -1.0, (0, 0)
    for top in {*range(0, height - tall + 1, max(1, side // 2)), height - tall}:
        for left in {*range(0, width - wide + 1, max(1, side // 2)), width - wide}:
            share = float(weight[top : top + tall : 4, left : left + wide : 4].mean())
            # The order of a set must not decide between equal parts.
            if (share * (1 - share), -top, -left) > (best, -place[0], -place[1]):
                best, place = share * (1 - share), (top, left)
    return slice(place[0], place[0] + tall), slice(place[1], place[1] + wide)


def shown_rgb(pixels: np.ndarray) -> np.ndarray:
    """Returns 8-bit RGB (H, W, 3) of a picture (H, W, 1 or 3) of any dtype."""
    eight = np.rint(np.clip(to_unit(pixels), 0.0, 1.0) * 255).astype(np.uint8)
    return np.repeat(eight, 3, axis=-1) if eight.shape[-1] == 1 else eight


def draw_sheet(
    noisy: np.ndarray,
    denoised: np.ndarray,
    title: str,
    side: int = SIDE,
    steering: Steering | None = None,
) -> bytes:
    """Returns the sheet as PNG: the original and each of `STRENGTHS`, pixel by pixel.

    Args:
        noisy: (H, W, 1 or 3).
        denoised: the same at full strength.
        title: the first words of the line above.
        side: see `choose_crop`.
        steering: what is done to the result of each strength.
    """
    rows, columns = part = choose_crop(denoised, side)
    if steering is None:  # Only this needs what is around the part.
        noisy, denoised, part = noisy[part], denoised[part], (slice(None), slice(None))
    parts = [(f"strength {strength:g}", strength) for strength in STRENGTHS]
    tall, wide = rows.stop - rows.start, columns.stop - columns.start
    # The captions need some width, also below a tiny picture.
    step = max(wide, 120) + _GAP
    across = min(1 + len(parts), max(1, (WIDTH - _GAP) // step))
    down = -(-(1 + len(parts)) // across)
    size = (_GAP + step * across, _CAPTION * (1 + down) + down * (tall + _GAP))
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    place = f"{wide} x {tall} pixels from ({columns.start}, {rows.start}), at 100%"
    draw.text((_GAP, 5), f"{title}: {place}", "black", font)
    for number, (caption, strength) in enumerate([("original", 0.0), *parts]):
        left = _GAP + number % across * step
        top = _CAPTION + number // across * (_CAPTION + tall + _GAP)
        shown = noisy
        if strength:
            shown = finished(Strength(strength).blend(noisy, to_unit(denoised)), noisy, Strength())
            shown = steering(noisy, shown) if steering else shown
        sheet.paste(Image.fromarray(shown_rgb(shown[part])), (left, top + _CAPTION))
        draw.text((left, top + 5), caption, "black", font)
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    return stream.getvalue()


def write_previews(
    jobs: Iterable[Any],
    load: Callable[..., Any],
    overwrite: bool,
    max_megapixels: float,
    steering: Steering | None = None,
) -> int:
    """Writes TARGET_preview.png for each job of a plan; a failure does not stop the rest.

    Photographs whose names differ in the suffix alone have it in the names of their sheets.

    Args:
        jobs: each with `source` and `target`.
        load: returns a function from a photograph's pixels to those at full strength.
        overwrite: replace earlier sheets instead of skipping them.
        max_megapixels: larger photographs are refused.
        steering: what is done to the result of each strength.

    Returns:
        The exit code: 0, or 1 if a file failed.
    """
    denoise, failed, jobs = None, 0, list(jobs)
    stems = collections.Counter(Path(job.target).with_suffix("") for job in jobs)
    for job in jobs:
        target = Path(job.target)
        named = target.stem if stems[target.with_suffix("")] == 1 else target.name
        target = target.with_name(f"{named}_preview.png")
        try:
            if target.exists() and not overwrite:
                print(f"{target} exists (use --overwrite to replace it)".translate(NAME_ESCAPES))
                continue
            require_replaceable(target, "--output", is_recorded)
            photo = read_photo(job.source, max_megapixels)
            denoise = denoise or load()
            tag = orientation_of(photo.encoded)
            pair = (upright(each, tag) for each in (photo.pixels, photo.denoised(denoise)))
            turned = steering
            if steering is not None and steering.mask is not None:
                turned = dataclasses.replace(steering, mask=upright(steering.mask, tag))
            sheet = draw_sheet(*pair, job.source.name, steering=turned)
            write_file(target, sheet)
            record(target)
        except (OSError, UserError, MemoryError) as error:
            failed += 1
            reason = " ".join(str(error).split()) or type(error).__name__
            print(f"failed: {job.source}: {reason}".translate(NAME_ESCAPES), file=sys.stderr)
            continue
        line = f"{job.source} -> {target}  {', '.join(getattr(denoise, 'used', ()))}".rstrip()
        print(line.translate(NAME_ESCAPES), flush=True)
    return EXIT_SOME_FAILED if failed else EXIT_OK
