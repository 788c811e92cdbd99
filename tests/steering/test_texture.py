"""`--detail` and `--mask`: what is put back, and where."""

import cv2
import numpy as np
import pytest
from PIL import Image

from gradnet_tf.cli.main import main
from gradnet_tf.denoiser import Strength, finished
from gradnet_tf.images.image_files import read_image, write_image
from gradnet_tf.images.photo_files import read_photo
from gradnet_tf.steering.preview_sheet import SIDE, WIDTH, choose_crop, draw_sheet
from gradnet_tf.steering.texture import Steering, texture_weight
from gradnet_tf.tiling.tiler import to_unit


def scene():
    """Half flat, half a fine pattern, float32 (64, 96, 3), with the noise on it."""
    clean = np.full((64, 96, 3), 0.5, np.float32)
    y, x = np.mgrid[:64, 48:96]
    clean[:, 48:] += 0.12 * np.sign(np.sin(x) * np.sin(y))[..., None].astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 0.06, clean.shape).astype(np.float32)
    return clean, np.clip(clean + noise, 0, 1)


def test_the_weight_is_high_on_texture_and_low_on_flat_areas_and_edges():
    clean, _ = scene()
    weight = texture_weight(clean)
    assert weight.shape == (64, 96) and weight[:, :40].max() < 0.01 < 0.7 < weight[:, 56:].min()
    edge = np.full((64, 64, 1), 0.2, np.float32)
    edge[:, 32:] = 0.8
    assert texture_weight(edge).max() < 0.3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_detail_comes_back_on_texture_without_color(dtype):
    clean, noisy = scene()
    top = np.iinfo(dtype).max if dtype != np.float32 else 1
    before, after = ((part * top).astype(dtype) for part in (noisy, clean))
    result = Steering(detail=0.5)(before, after)
    assert result.dtype == dtype
    change = (result.astype(np.float64) - after) / top
    assert np.abs(change[:, :40]).max() < 0.01
    assert np.std(change[:, 56:]) > 0.008
    gray = change.mean(axis=-1, keepdims=True)
    np.testing.assert_allclose(change, np.broadcast_to(gray, change.shape), atol=1.1 / 255)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_a_mask_keeps_what_is_black_bit_for_bit_and_alpha(dtype):
    clean, noisy = scene()
    top = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    alpha = np.full((64, 96, 1), 0.3)
    before = (np.concatenate([noisy, alpha], -1) * top).astype(dtype)
    after = (np.concatenate([clean, alpha], -1) * top).astype(dtype)
    if dtype == np.float64:
        before = before + 1e-12  # which float32 does not have
    mask = np.zeros((64, 96), np.float32)
    mask[:, :30], mask[:, 30:40] = 1, 0.5
    result = Steering(mask=mask)(before, after)
    np.testing.assert_array_equal(result[:, 40:], before[:, 40:])
    np.testing.assert_array_equal(result[:, :30], after[:, :30])
    half = (before[:, 30:40].astype(float) + after[:, 30:40]) / 2
    assert np.abs(result[:, 30:40] - half).max() <= (0.5 if top > 1 else 1e-6)


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, noisy = scene()
    write_image(tmp_path / "a.png", np.rint(noisy * 255).astype(np.uint8))
    return tmp_path


def run(*arguments):
    return main(["denoise", "a.png", "--model=gradnet_tiny", *arguments])


def test_the_command(photo, capsys):
    mask = np.zeros((64, 96, 3), np.uint8)
    mask[:, 48:] = 255
    write_image(photo / "mask.png", mask)
    assert run("-o", "all") == run("-o", "half", "--mask=mask.png") == 0
    assert run("-o", "detail", "--detail=0.8") == 0
    noisy, all_, half, detail = (
        read_image(photo / f"{name}a.png").astype(int) for name in ("", "all/", "half/", "detail/")
    )
    np.testing.assert_array_equal(half[:, :48], noisy[:, :48])
    np.testing.assert_array_equal(half[:, 48:], all_[:, 48:])
    errors = [np.abs(part[:, 56:] - noisy[:, 56:]).mean() for part in (all_, detail)]
    assert errors[1] < 0.95 * errors[0]
    # An earlier result with other settings is reported, as for other options.
    assert run("-o", "all", "--mask=mask.png") == 0
    assert "skipped" in capsys.readouterr().out


def test_a_mask_of_another_size_or_none_is_refused(photo, capsys):
    write_image(photo / "small.png", np.zeros((10, 20, 3), np.uint8))
    assert run("-o", "out", "--mask=small.png") != 0
    assert "small.png has 20×10 pixels, expected the photograph's 96×64" in capsys.readouterr().err
    assert run("-o", "out", "--mask=nothing.png") == 2
    assert "--mask=nothing.png" in capsys.readouterr().err
    assert not (photo / "out" / "a.png").exists()


def test_a_mask_has_the_limit_of_the_photographs(photo, capsys, monkeypatch):
    write_image(photo / "mask.png", np.full((64, 96, 3), 255, np.uint8))
    monkeypatch.setattr(read_photo, "__defaults__", (0.001,))
    assert run("-o", "out", "--strength=0.5", "--mask=mask.png", "--max-megapixels=1") == 0
    assert (photo / "out" / "a.png").exists()
    assert run("-o", "none", "--mask=mask.png", "--max-megapixels=0.002") == 2
    assert "--mask=mask.png: mask.png has 96×64 pixels" in (said := capsys.readouterr().err)
    assert "expected at most 0.002 (see --max-megapixels)" in said


def test_a_preview_is_one_sheet_and_no_result(photo, capsys):
    assert run("-o", "out", "--preview") == 0
    (sheet,) = (photo / "out").glob("*.png")
    assert sheet.name == "a_preview.png"
    found = read_image(sheet)
    assert found.shape[0] > 64 and found.shape[1] > 5 * 96
    assert run("-o", "out", "--preview") == 0
    assert "use --overwrite" in capsys.readouterr().out
    assert run("-o", "out", "--preview", "--overwrite") == 0
    sheet.write_bytes(b"mine")
    assert run("-o", "out", "--preview", "--overwrite") == 1
    assert sheet.read_bytes() == b"mine"
    assert run("-o", "out", "--preview", "--dry-run") == 2


def test_the_crop_shows_flat_and_textured_parts():
    clean, noisy = scene()
    picture = np.full((900, 1200, 3), 0.5, np.float32)
    picture[400:464, 700:796] = clean
    rows, columns = choose_crop(picture)
    assert rows.stop - rows.start == columns.stop - columns.start == SIDE
    assert rows.start < 464 and rows.stop > 400 and columns.start < 796 and columns.stop > 700
    for shape in ((1, 1, 3), (5, 400, 1)):
        part = np.full(shape, 0.5, np.float32)
        assert draw_sheet(part, part, "a").startswith(b"\x89PNG")


def test_a_sheet_fits_into_small_windows_and_shows_every_pixel():
    noisy, denoised = np.zeros((400, 500, 3), np.uint8), np.full((400, 500, 3), 200, np.uint8)
    sheet = cv2.imdecode(np.frombuffer(draw_sheet(noisy, denoised, "a"), np.uint8), 1)
    assert sheet.shape[1] <= WIDTH and sheet.shape[0] > 2 * SIDE
    for level in (0, 50, 100, 150, 200):
        rows, columns = np.nonzero((sheet == level).all(axis=-1))
        # Letters have grays of their own, so that a part is found by its many pixels.
        assert SIDE**2 <= len(rows) < 1.01 * SIDE**2, level


def test_sheets_of_photographs_that_differ_in_their_suffix(photo, capsys):
    write_image(photo / "a.jpg", read_image(photo / "a.png"))
    assert run("a.jpg", "-o", "out", "--preview") == 0
    names = sorted(path.name for path in (photo / "out").glob("*.png"))
    assert names == ["a.jpg_preview.png", "a.png_preview.png"]
    # They are no photographs of the next run, which a folder with results in it may be given.
    capsys.readouterr()
    assert main(["denoise", "out", "-o", "more", "--strength=0"]) == 2
    assert "sheets of --preview: 2" in capsys.readouterr().err


def test_a_preview_names_what_is_left_out_and_what_fails(photo, capsys):
    (photo / "in").mkdir()
    (photo / "in" / "x.png").symlink_to("nowhere.png")
    (photo / "in" / "y.heic").write_bytes(b"?")
    assert main(["denoise", "in", "-o", "out", "--preview", "--model=gradnet_tiny"]) == 1
    said = capsys.readouterr().err
    assert "failed: in/x.png: this link leads nowhere" in said and "1 .heic" in said


def test_a_preview_stands_upright(photo):
    image = Image.fromarray(read_image(photo / "a.png"))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(photo / "b.jpg", exif=exif)
    assert main(["denoise", "b.jpg", "-o", "out", "--preview", "--model=gradnet_tiny"]) == 0
    # Captions and gaps aside, a part is 96 high and 64 wide instead of the reverse.
    assert read_image(photo / "out" / "b_preview.png").shape[0] == 28 + 28 + 96 + 8


def test_an_empty_mask_is_refused(photo, capsys):
    with pytest.raises(SystemExit) as leave:
        run("-o", "out", "--mask=")
    assert leave.value.code == 2 and "--mask" in capsys.readouterr().err


def test_what_a_mask_keeps_is_not_called_noise_that_remains(photo, capsys):
    write_image(photo / "black.png", np.zeros((64, 96, 3), np.uint8))
    assert run("-o", "out", "--mask=black.png") == 0
    assert "noise remains" not in capsys.readouterr().err
    assert run("-o", "none", "--mask=missing.png") == 2
    assert "missing.png does not exist.\n" in capsys.readouterr().err


@pytest.mark.parametrize("given", [{"detail": 1.0}, {"mask": np.eye(64, 96, dtype=np.float32)}, {}])
def test_a_sheet_shows_what_each_strength_gives(given):
    clean, noisy = (np.rint(each * 255).astype(np.uint8) for each in scene())
    steering = Steering(**given)
    sheet = draw_sheet(noisy, clean, "a", steering=steering)
    found = cv2.imdecode(np.frombuffer(sheet, np.uint8), 1)[..., ::-1]
    step = 120 + 8  # A caption's width, and the gap.
    for number, strength in enumerate([0.0, 0.25, 0.5, 0.75, 1.0]):
        blend = finished(Strength(strength).blend(noisy, to_unit(clean)), noisy, Strength())
        wanted = steering(noisy, blend) if strength else noisy
        left = 8 + number * step
        np.testing.assert_array_equal(found[28 + 28 : 28 + 28 + 64, left : left + 96], wanted)


def test_a_sheet_whose_name_is_too_long_does_not_stop_the_others(photo, capsys):
    data = (photo / "a.png").read_bytes()
    names = ["x" * 248 + ".png", "zzz.png"]
    for name in names:
        (photo / name).write_bytes(data)
    assert main(["denoise", *names, "-o", "out", "--model=gradnet_tiny", "--preview"]) == 1
    assert "failed: xxx" in capsys.readouterr().err
    assert (photo / "out" / "zzz_preview.png").exists()
