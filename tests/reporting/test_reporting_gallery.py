"""The figure of a paper: every method's crop, its pixels as they are, and the frame."""

import numpy as np
import pytest
from evaluation_case import Fake, Images, blur, photographs

from gradnet_tf.evaluation.evaluate_set import EvaluateConfig
from gradnet_tf.images.image_files import read_image
from gradnet_tf.reporting.figures import FRAME, Box, Panel
from gradnet_tf.reporting.gallery import gallery_figure
from gradnet_tf.reporting.result_folder import evaluate_into


def panels(count, height=50, width=80, channels=3):
    random = np.random.default_rng(count)
    images = random.integers(0, 200, (count, height, width, channels), np.uint8)
    return [Panel(f"k{i}", f"title {i}", image, "30.00 dB") for i, image in enumerate(images)]


@pytest.mark.parametrize(("count", "rows"), [(2, 1), (3, 1), (4, 2), (7, 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_panels_crop_is_shown_pixel_by_pixel(count, rows, channels):
    shown = panels(count, channels=channels)
    box = Box(7, 11, 16, 16)
    figure = gallery_figure(shown, box, cell=64)
    columns = -(-count // rows)
    # Crops are counted from the right, where the grid ends.
    for number, panel in enumerate(shown):
        row, column = divmod(number, columns)
        left = figure.shape[1] - 10 - (columns - column) * 64 - (columns - column - 1) * 10
        top = 10 + row * (64 + 26 + 24 + 10)
        crop = figure[top : top + 64 : 4, left : left + 64 : 4]
        np.testing.assert_array_equal(crop, np.broadcast_to(box.cut(panel.image), (16, 16, 3)))


def test_the_whole_clean_image_has_the_frame_around_the_crop():
    figure = gallery_figure(panels(2, 64, 64), Box(16, 32, 16, 16), cell=64)
    framed = (figure == FRAME).all(axis=-1)
    rows, columns = np.nonzero(framed)
    scale = (64 + 26 + 24 - 24) / 64
    # The frame is two pixels thick.
    assert abs(rows.min() - 10 - 16 * scale) <= 3 and abs(rows.max() - 10 - 32 * scale) <= 3
    assert abs(columns.min() - 10 - 32 * scale) <= 3 and abs(columns.max() - 10 - 48 * scale) <= 3


def test_a_title_stands_above_and_moves_nothing_else():
    shown, box = panels(4), Box(7, 11, 16, 16)
    plain, titled = gallery_figure(shown, box), gallery_figure(shown, box, "a.png, σ = 25")
    height = len(titled) - len(plain)
    assert height == 30 and (titled[10 : 10 + height] < 128).any()
    np.testing.assert_array_equal(titled[10 + height :], plain[10:])


def test_the_title_names_picture_set_and_noise(tmp_path, monkeypatch):
    titles = []

    def draw(panels, box, title):
        titles.append(title)
        return gallery_figure(panels, box, title)

    monkeypatch.setattr("gradnet_tf.reporting.result_folder.gallery_figure", draw)
    denoisers = {"weak": Fake(), "strong": Fake(blur)}
    evaluate_into(tmp_path, denoisers, Images(photographs(1)), EvaluateConfig(sigma=15))
    assert titles == ["a.png of made (test), σ = 15"]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 200), (200, 3)])
def test_any_size_can_be_drawn(height, width):
    box = Box(0, 0, min(height, 96), min(width, 96))
    assert gallery_figure(panels(3, height, width), box).dtype == np.uint8


def test_a_comparison_writes_and_links_a_figure_of_each_picture(tmp_path):
    denoisers = {"weak": Fake(lambda image: blur(image, 0.5)), "strong": Fake(blur)}
    evaluate_into(tmp_path / "out", denoisers, Images(photographs(2)), EvaluateConfig())
    page = (tmp_path / "out/report.html").read_text()
    for name in ("a", "b"):
        figure = read_image(tmp_path / f"out/gallery/{name}.png", 3)
        assert figure.shape[1] > 4 * 40
        assert f'href="gallery/{name}.png"' in page
