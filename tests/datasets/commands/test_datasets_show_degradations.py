"""The sheet of one crop under several degradations: what is on it, and what is refused."""

import re

import numpy as np
import pytest

from datasets.__main__ import main
from datasets.commands.noisy_photo import EXAMPLES, contact_sheet, panels, show_degradations
from gradnet_tf.degradations.compose import parse_degradation
from gradnet_tf.degradations.noise_models import STAGES
from gradnet_tf.degradations.sampling import evaluation_noise
from gradnet_tf.images.image_files import read_image, to_uint8
from gradnet_tf.utils.errors import UserError


def test_the_clean_crop_comes_first_and_each_text_has_its_psnr():
    clean = np.full((64, 64, 3), 0.5, np.float32)
    found = panels(clean, ["gaussian(25)", "gaussian(0)"], seed=1, name="cat.png")
    assert [text.split("\n")[-1] for text, _ in found] == ["clean", "gaussian(25)", "gaussian(0)"]
    np.testing.assert_array_equal(found[0][1], clean)
    expected = clean + evaluation_noise(clean.shape, 1, "cat.png") * np.float32(25 / 255)
    np.testing.assert_allclose(found[1][1], expected, atol=1e-6)
    psnr = float(re.search(r"(\S+) dB", found[1][0])[1])
    assert abs(psnr - 20.17) < 0.15
    # The score comes first, because the sheet cuts a long text at its end.
    assert found[2][0].startswith("no change")


def test_every_stage_is_among_the_examples():
    shown = {type(s) for spec in EXAMPLES for s in parse_degradation(spec).chains[0].stages}
    assert shown == set(STAGES.values())


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_lie_side_by_side_enlarged(channels):
    crops = [np.random.default_rng(k).random((20, 30, channels), np.float32) for k in range(7)]
    sheet = contact_sheet([(f"number {k}", crop) for k, crop in enumerate(crops)], zoom=2)
    width = 30 * 2 + 8
    assert sheet.shape[1] == 5 * width and sheet.dtype == np.uint8
    height = sheet.shape[0] // 2
    for k, crop in enumerate(crops):
        top, left = k // 5 * height + 4, k % 5 * width + 4
        tile = sheet[top : top + 40 : 2, left : left + 60 : 2]
        np.testing.assert_array_equal(tile, np.broadcast_to(to_uint8(crop), (20, 30, 3)))


def test_the_command_writes_the_file(tmp_path, capsys):
    output = tmp_path / "sheet.png"
    arguments = [f"--output={output}", "--crop=24", "--zoom=1", "camera", "gaussian(5)+round"]
    assert main(["degradations", *arguments]) == 0
    assert "3 pictures" in capsys.readouterr().out
    assert read_image(output).shape[1] == 3 * (24 + 8)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"index": 99}, "`index` must be from 0 to 1. Received: index=99"),
        ({"crop": 0}, "`crop` must be from 1"),
        ({"zoom": 99}, "`zoom` must be from 1 to 16"),
        ({"specs": ["film"]}, "unknown stage 'film'"),
    ],
)
def test_mistakes_are_named(tmp_path, more, words):
    with pytest.raises(UserError, match=words):
        show_degradations(str(tmp_path / "sheet.png"), **more)
    assert not (tmp_path / "sheet.png").exists()
