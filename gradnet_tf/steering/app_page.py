"""`gradnet app`: a page on this computer to drop a photograph, move sliders and save the result.

The network runs once for each photograph; strength, luma, chroma and detail only blend its result
with the photograph, so that the preview follows the sliders. The page is served to this computer
alone, and nothing leaves it.
"""

import dataclasses
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gradnet_tf.degradations.noise_level import estimate_sigma
from gradnet_tf.denoiser import Denoiser, Strength, finished
from gradnet_tf.images import MAX_MEGAPIXELS
from gradnet_tf.images.photo import Photo
from gradnet_tf.images.photo_files import encode_result, orientation_of, read_photo, upright
from gradnet_tf.steering.preview_sheet import choose_crop, shown_rgb
from gradnet_tf.steering.texture import Steering
from gradnet_tf.tiling.tiler import to_unit
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import write_file

#: Side of the crop at 100% and of the overview, in pixels.
CROP, OVERVIEW = 512, 320
HOST = "127.0.0.1"
#: Where Gradio keeps what it shows; by default a folder that all accounts share and can read.
_FOLDER = "GRADIO_TEMP_DIR"
_SUFFIXES = [".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".avif", ".bmp", ".ppm", ".pgm"]
#: Noise level up to which nobody misses a denoiser; share of it that counts as most.
_LITTLE, _STAYS = 3.0, 0.7
_TITLE = "GradNet: remove noise from a photograph"
_CSS = """
.gradio-container { max-width: 1200px !important; margin: 0 auto !important; }
#crop img { object-fit: none !important; }
#facts p { margin: 0.2em 0; }
footer { display: none !important; }
"""


def overview(photo: Photo, orientation: int) -> np.ndarray:
    """Returns a photograph at reduced size, uint8 RGB; a click on it moves the crop."""
    import cv2

    shown = np.ascontiguousarray(upright(photo.pixels, orientation))
    scale = OVERVIEW / max(shown.shape[:2])
    small = shown_rgb(shown)
    if scale >= 1:
        return small
    size = [max(1, round(side * scale)) for side in shown.shape[1::-1]]
    return cv2.resize(small, size, interpolation=cv2.INTER_AREA)


@dataclasses.dataclass
class Opened:
    """A photograph on the page and the network's result for it.

    Attributes:
        path: the file.
        photo: what was read from it.
        denoised: pixels at full strength, shaped like `photo.pixels`.
        orientation: EXIF's orientation, with which it is shown.
        center: the middle of the crop as shown, (row, column).
    """

    path: Path
    photo: Photo
    denoised: np.ndarray
    orientation: int
    center: tuple[int, int]

    def crop(self, wanted: Strength, detail: float) -> tuple[np.ndarray, np.ndarray]:
        """Returns the part around `center` before and after, uint8 RGB, pixel by pixel."""
        noisy = upright(self.photo.pixels, self.orientation)
        denoised = upright(self.denoised, self.orientation)
        part = tuple(
            slice(start, start + min(CROP, length))
            for middle, length in zip(self.center, noisy.shape[:2], strict=True)
            for start in [max(0, min(middle - CROP // 2, length - CROP))]
        )
        before = np.ascontiguousarray(noisy[part])
        after = _result(before, np.ascontiguousarray(denoised[part]), wanted, detail)
        return shown_rgb(before), shown_rgb(after)

    def save(self, folder: Path, wanted: Strength, detail: float) -> Path:
        """Writes the whole result with the photograph's metadata; returns its path."""
        pixels = _result(self.photo.pixels, self.denoised, wanted, detail)
        target = folder / f"{self.path.stem}_denoised{self.path.suffix}"
        # In its own format, whatever its name says.
        write_file(target, encode_result(self.photo, pixels)[0])
        return target


def _result(noisy: np.ndarray, denoised: np.ndarray, wanted: Strength, detail: float) -> np.ndarray:
    if wanted.is_nothing(noisy.shape[-1]):
        return noisy
    result = finished(wanted.blend(noisy, to_unit(denoised)), noisy, Strength())
    return Steering(detail)(noisy, result) if detail else result


def open_photo(
    path: str | os.PathLike,
    denoiser: Denoiser,
    on_tile: Callable[[int, int], None] | None = None,
    photo: Photo | None = None,
) -> tuple[Opened, str]:
    """Denoises a photograph; returns it and what to say about it, in Markdown.

    Args:
        path: the file.
        denoiser: what denoises.
        on_tile: see `Denoiser`.
        photo: what was read from the file; `None`: it is read here.

    Raises:
        UserError: it is not a readable photograph.
    """
    photo = photo or read_photo(path)
    pixels = photo.denoised(lambda array: denoiser(array, on_tile=on_tile))
    tag = orientation_of(photo.encoded)
    rows, columns = choose_crop(upright(pixels, tag), CROP)
    center = (rows.start + rows.stop) // 2, (columns.start + columns.stop) // 2
    before, after = (
        estimate_sigma(to_unit(photo.visible(part))) for part in (photo.pixels, pixels)
    )
    height, width = upright(pixels, tag).shape[:2]
    text = (
        f"**{Path(path).name}**, {width} × {height} pixels, {photo.array.dtype}\n\n"
        f"Noise: σ ≈ {before:.1f} before, {after:.1f} after, on the 0–255 scale\n\n"
        f"Model: `{', '.join(denoiser.used) or 'none: nothing to remove'}`"
    )
    if before > _LITTLE and after > _STAYS * before:
        text += (
            "\n\nMost of the estimated noise remains: fine texture, or noise that the model does "
            f"not remove, such as coarse grain. `gradnet noise {Path(path).name}` says more."
        )
    return Opened(Path(path), photo, pixels, tag, center), text


def build_page(denoiser: Denoiser, max_megapixels: float = MAX_MEGAPIXELS) -> Any:
    """Returns the page as Gradio's `Blocks`, not started yet; see `start`."""
    import gradio as gr

    hidden = gr.File(None, visible=False)

    def seen(path):
        """Shows a photograph at once; the network takes longer."""
        if path is None:
            return None, None, "Drop a photograph to begin.", None, None, hidden
        try:
            photo = read_photo(path, max_megapixels)
            small = overview(photo, orientation_of(photo.encoded))
        except (OSError, UserError, MemoryError) as error:
            raise gr.Error(str(error) or "there is not enough memory", duration=None) from error
        return photo, None, f"**{Path(path).name}** is being denoised.", small, None, hidden

    def opened(path, photo, *sliders, progress=gr.Progress()):  # noqa: B008  Gradio looks here
        if photo is None:
            return None, "Drop a photograph to begin.", None
        progress(0, desc="Denoising")
        try:
            found, text = open_photo(
                path, denoiser, lambda done, total: progress((done, total), desc="Denoising"), photo
            )
        except (OSError, UserError, MemoryError) as error:
            raise gr.Error(str(error) or "there is not enough memory", duration=None) from error
        return found, text, found.crop(*_wanted(sliders))

    def moved(photo, *sliders):
        return None if photo is None else photo.crop(*_wanted(sliders))

    def clicked(photo, event: gr.SelectData, *sliders):
        if photo is None:
            return None
        shown = upright(photo.photo.pixels, photo.orientation).shape[:2]
        scale = max(1.0, max(shown) / OVERVIEW)
        photo.center = int(event.index[1] * scale), int(event.index[0] * scale)
        return photo.crop(*_wanted(sliders))

    def saved(photo, *sliders):
        if photo is None:
            raise gr.Error("Drop a photograph first.")
        folder = Path(tempfile.mkdtemp(prefix="gradnet_app_", dir=os.environ.get(_FOLDER)))
        try:
            return gr.File(str(photo.save(folder, *_wanted(sliders))), visible=True)
        except (OSError, UserError, MemoryError) as error:
            raise gr.Error(str(error) or "there is not enough memory") from error

    with gr.Blocks(title=_TITLE, analytics_enabled=False) as page:
        gr.Markdown(f"## {_TITLE}")
        read, state = gr.State(), gr.State()
        with gr.Row():
            file = gr.File(
                label="Photograph",
                file_types=_SUFFIXES,
                height=120,
                elem_id="photograph",
                min_width=280,
            )
            with gr.Column(min_width=280):
                facts = gr.Markdown("Drop a photograph to begin.", elem_id="facts")
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                crop = gr.ImageSlider(
                    label="Before | after at 100%",
                    elem_id="crop",
                    height=CROP,
                    interactive=False,
                    format="png",
                    buttons=["fullscreen"],
                )
            with gr.Column(scale=1, min_width=280):
                strength = gr.Slider(0, 1, 1, step=0.05, label="Strength")
                luma = gr.Slider(0, 1, 1, step=0.05, label="Luma: brightness noise")
                chroma = gr.Slider(0, 1, 1, step=0.05, label="Chroma: color noise")
                detail = gr.Slider(0, 1, 0, step=0.05, label="Detail: texture put back")
                save = gr.Button("Save at full size", variant="primary", elem_id="save")
                result = gr.File(
                    label="Result, with all metadata",
                    interactive=False,
                    height=90,
                    visible=False,
                    elem_id="result",
                )
                small_picture = gr.Image(
                    label="Click to move the crop",
                    elem_id="overview",
                    interactive=False,
                    height=OVERVIEW,
                    format="png",
                    buttons=[],
                )
        sliders = [strength, luma, chroma, detail]
        first = [read, state, facts, small_picture, crop, result]
        file.change(seen, file, first, show_progress="hidden").success(
            opened,
            [file, read, *sliders],
            [state, facts, crop],
            show_progress_on=crop,
            trigger_mode="always_last",  # By default a second photograph meanwhile is ignored.
        )
        for slider in sliders:
            slider.input(
                moved, [state, *sliders], crop, show_progress="hidden", trigger_mode="always_last"
            )
        small_picture.select(clicked, [state, *sliders], crop, show_progress="hidden")
        save.click(saved, [state, *sliders], result)
    return page


def _wanted(sliders: tuple[float, ...]) -> tuple[Strength, float]:
    strength, luma, chroma, detail = sliders
    return Strength(strength, luma, chroma), detail


def start(
    denoiser: Denoiser,
    port: int | None,
    open_browser: bool,
    wait: bool = True,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Any:
    """Serves the page on this computer only; returns Gradio's `Blocks`.

    Args:
        denoiser: what denoises.
        port: `None`: the first free one from 7860.
        open_browser: open the page in the default browser.
        wait: return only when the server is stopped (Ctrl-C).
        max_megapixels: larger photographs are refused.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    # Gradio asks its own server whether it has started, which no proxy can answer.
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), HOST, "localhost"]))
    folder = None
    if _FOLDER not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="gradnet_app_")
        os.environ[_FOLDER] = folder.name
    import gradio as gr

    page = build_page(denoiser, max_megapixels)
    page.own_folder = folder  # Removed together with the page, at the latest at exit.
    # Fonts of the system: others would come from a server.
    fonts = ["system-ui", "sans-serif"]
    theme = gr.themes.Default(font=fonts, font_mono=["ui-monospace", "monospace"])
    page.launch(
        server_name=HOST,
        server_port=port,
        share=False,
        inbrowser=open_browser,
        quiet=True,
        prevent_thread_lock=True,
        theme=theme,
        css=_CSS,
        footer_links=[],
    )
    print(f"{page.local_url} (Ctrl-C to stop)", flush=True)
    if wait:
        page.block_thread()
    return page
