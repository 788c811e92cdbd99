"""The file of a noisy photograph: the evaluation's noise, eight bits, clear refusals."""

import numpy as np
import pytest

from datasets.__main__ import main
from datasets.commands import noisy_photo
from gradnet_tf.degradations.sampling import evaluation_noise
from gradnet_tf.images.image_files import read_image
from gradnet_tf.utils.errors import UserError


def test_zero_sigma_keeps_every_value():
    clean = np.arange(256, dtype=np.uint8).reshape(8, 32, 1).repeat(3, axis=2)
    np.testing.assert_array_equal(noisy_photo.noisy_uint8(clean, 0, seed=0, name="a"), clean)


def test_the_noise_is_the_evaluation_noise_rounded_and_clipped():
    clean = np.full((16, 24, 3), 250, np.uint8)
    noise = evaluation_noise(clean.shape, 3, "b.png").astype(np.float64)
    expected = np.clip(np.rint(250 + 25 * noise), 0, 255)
    noisy = noisy_photo.noisy_uint8(clean, 25, seed=3, name="b.png")
    assert noisy.dtype == np.uint8
    assert (noisy == 255).any()
    # float32 and float64 may round a tie differently.
    assert np.abs(noisy - expected).max() <= 1


def test_the_command_writes_a_held_out_sample(tmp_path, capsys):
    path = tmp_path / "noisy.png"
    assert main(["noisy_photo", f"--output={path}", "--sigma=25"]) == 0
    image = read_image(path, channels=3)
    assert image.ndim == 3
    assert image.std() > 0
    assert "sigma=25" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "words"),
    [("--sigma=-3", "`sigma` must be in"), ("--index=9999", "`index` must be from 0")],
)
def test_bad_values_are_refused_and_nothing_is_written(tmp_path, capsys, option, words):
    path = tmp_path / "noisy.png"
    assert main(["noisy_photo", f"--output={path}", option]) == UserError.exit_code
    assert words in capsys.readouterr().err
    assert not path.exists()


@pytest.mark.parametrize("name", ["holiday.png", "holiday.jpg"])
@pytest.mark.parametrize("command", ["noisy_photo", "degradations"])
def test_somebodys_picture_is_not_replaced(tmp_path, capsys, command, name):
    path, link = tmp_path / name, tmp_path / f"link{name[-4:]}"
    path.write_bytes(b"my holiday")
    link.symlink_to(path)
    for output in (path, link):
        assert main([command, f"--output={output}"]) == UserError.exit_code
        error = capsys.readouterr().err
        assert str(output) in error and "move it away" in error and error.count("\n") == 2
    assert path.read_bytes() == b"my holiday"
    assert {each.name for each in tmp_path.iterdir()} == {name, link.name}


@pytest.mark.parametrize("command", ["noisy_photo", "degradations"])
def test_its_own_picture_is_replaced_until_somebody_works_on_it(tmp_path, capsys, command):
    path = tmp_path / "noisy.png"
    for seed in (0, 1):
        assert main([command, f"--output={path}", f"--seed={seed}"]) == 0
    path.write_bytes(path.read_bytes() + b"retouched")
    assert main([command, f"--output={path}"]) == UserError.exit_code
    assert path.read_bytes().endswith(b"retouched")


def test_the_image_itself_is_not_overwritten(tmp_path, capsys):
    path = tmp_path / "a.png"
    assert main(["noisy_photo", f"--output={path}"]) == 0
    given = ["--dataset=folder", f"--data_dir={tmp_path}", f"--output={path}"]
    assert main(["noisy_photo", *given]) == UserError.exit_code
    assert "is one of the inputs" in capsys.readouterr().err
