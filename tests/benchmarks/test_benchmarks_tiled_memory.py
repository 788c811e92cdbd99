"""The benchmark of large photographs: its line, its picture, and that it measures a process."""

import cv2
import pytest

from benchmarks.measuring import in_own_process, write_photograph
from benchmarks.memory import tiled_memory
from gradnet_tf.images.noise_survey import survey_noise


def test_the_line_is_that_of_the_points_and_its_largest_deviation():
    sizes = [1, 4, 12, 24]
    start, slope, far = tiled_memory.straight_line(sizes, [2.5 + 3 * size for size in sizes])
    assert (start, slope) == pytest.approx((2.5, 3))
    assert far < 1e-9
    *_, far = tiled_memory.straight_line(sizes, [3, 12, 36, 144])
    assert far > 0.15


def test_the_picture_has_the_size_and_the_noise(tmp_path):
    write_photograph(str(tmp_path / "a.png"), 0.024)
    picture = cv2.imread(str(tmp_path / "a.png"))
    assert picture.shape == (127, 190, 3)
    assert 60 < picture.mean() < 160 and picture.std() > 15
    survey = survey_noise(picture[..., ::-1])
    # So `auto` takes the weights for cameras' noise, and only these.
    assert survey.is_strong_camera and survey.tone is None


@pytest.mark.slow
def test_a_separate_process_measures_itself(tmp_path):
    source, target = str(tmp_path / "a.png"), str(tmp_path / "b.png")
    in_own_process("benchmarks.measuring:write_photograph", source, 0.01)
    options = ("gradnet_tiny", "64", None, "keras")
    name = "benchmarks.memory.tiled_memory:measure"
    found = in_own_process(name, source, target, *options)
    assert found["seconds"] > 0 and 50e6 < found["peak"] < 20e9
    assert cv2.imread(target).shape == cv2.imread(source).shape
