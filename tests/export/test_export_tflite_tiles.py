"""Tiles from .tflite files, run by LiteRT alone, against Keras."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_run import tiny_model

from export.litert.tflite import tile_facts, write_tflite
from export.verify.formats import TFLiteFormat
from gradnet_tf.denoiser import Denoiser, load_denoiser
from gradnet_tf.runtimes.keras_runtime import KerasRunner
from gradnet_tf.tiling.tile_config import AUTO, TileConfig
from gradnet_tf.utils.errors import UserError

FIXED, ANY = TFLiteFormat("float32", 64), TFLiteFormat("float32")

#: A file of one size takes the vectors of crops alone.
CROPS = TileConfig(pooling="crops")


def noisy_image(*shape):
    steps = np.linspace(0.1, 0.9, shape[1], dtype=np.float32)[:, None]
    return (steps + np.random.default_rng(5).normal(0, 0.2, shape)).astype(np.float32)


@pytest.fixture(scope="module")
def keras():
    return Denoiser(KerasRunner(tiny_model()), "tiny")


@pytest.fixture(scope="module")
def files(keras, tmp_path_factory):
    """Paths by format; each has its card beside it."""
    folder, paths = tmp_path_factory.mktemp("files"), {}
    for format in (FIXED, ANY):
        facts = tile_facts(keras.model, format)
        path = paths[format] = folder / f"{format.suffix}.tflite"
        write_tflite(keras.model, path, "float32", format.tile and 64 + 2 * facts["halo"])
        path.with_suffix(".json").write_text(json.dumps(facts))
    return paths


@pytest.mark.parametrize("format", [FIXED, ANY], ids=["fixed", "any"])
@pytest.mark.parametrize("shape", [(182, 230, 3), (116, 320, 3), (300, 310, 3)])
def test_tiles_equal_keras_in_tiles(keras, files, format, shape):
    image = noisy_image(*shape)
    found = load_denoiser(str(files[format])).denoise(image[None], None, CROPS)
    np.testing.assert_allclose(found, keras.denoise(image[None], None, CROPS), atol=1e-5)


def test_a_small_picture_may_be_long(keras, files):
    """It has no more pixels than a crop, and one side that is longer."""
    image = noisy_image(50, 100, 3)
    found = load_denoiser(str(files[FIXED])).denoise(image[None])
    # Below and on the right it is mirrored to the size that the file takes.
    inside = np.s_[:, :30, :80]
    np.testing.assert_allclose(found[inside], keras.denoise(image[None])[inside], atol=0.01)


def test_tiles_of_any_size_agree_bit_for_bit(files):
    denoiser, image = load_denoiser(str(files[ANY])), noisy_image(200, 190, 3)
    whole = denoiser.denoise(image[None], None, TileConfig("whole"))
    for tile in (16, 32, 96):
        np.testing.assert_array_equal(denoiser.denoise(image[None], None, TileConfig(tile)), whole)


@pytest.mark.parametrize("shape", [(1, 1, 3), (37, 31, 3), (90, 300, 3), (181, 229, 3)])
def test_what_a_window_does_not_fit_is_completed_and_nearly_right(keras, files, shape):
    """Smaller than a window, or of odd sides: borders differ a little, the rest does not."""
    image = noisy_image(*shape)
    denoiser = load_denoiser(str(files[FIXED]))
    found = denoiser.denoise(image[None])[0]
    assert found.shape == shape
    wanted = keras.denoise(image[None], None, CROPS)[0]
    assert np.abs(found - wanted).mean() < 0.02


def test_pictures_of_people_go_through_a_fixed_file(files):
    denoiser = load_denoiser(str(files[FIXED]))
    picture = (np.clip(noisy_image(130, 150, 4), 0, 1) * 65535).astype(np.uint16)
    done = []
    found = denoiser(picture, on_tile=lambda part, all_pixels: done.append((part, all_pixels)))
    assert found.dtype == np.uint16 and found.shape == picture.shape
    np.testing.assert_array_equal(found[..., 3], picture[..., 3])
    assert len(done) > 1 and done[-1] == (130 * 150, 130 * 150)


def test_a_fixed_file_takes_no_other_tile(files):
    denoiser = load_denoiser(str(files[FIXED]))
    with pytest.raises(UserError, match="`tile` must be auto or 64 here"):
        denoiser.denoise(noisy_image(80, 80, 3)[None], None, TileConfig(32))


def test_a_fixed_file_needs_the_card_that_belongs_to_it(files, tmp_path):
    path = tmp_path / "a.tflite"
    path.write_bytes(files[FIXED].read_bytes())
    with pytest.raises(
        UserError, match="a.json, which holds their margin, is missing or incomplete"
    ):
        load_denoiser(str(path))
    facts = json.loads(files[FIXED].with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**facts, "tile": 32}))
    with pytest.raises(UserError, match="its card says tiles of 32 with margins of 26"):
        load_denoiser(str(path))
    path.with_suffix(".json").write_text("{")
    with pytest.raises(UserError, match="not readable as JSON"):
        load_denoiser(str(path))


def test_without_a_card_a_file_of_any_size_runs_whole_pictures(files, tmp_path):
    path = tmp_path / "a.tflite"
    path.write_bytes(files[ANY].read_bytes())
    denoiser, image = load_denoiser(str(path)), noisy_image(90, 70, 3)[None]
    np.testing.assert_array_equal(denoiser.denoise(image, None, AUTO), denoiser.denoise(image))
    with pytest.raises(UserError, match="a.json, which holds the margin of tiles, is missing"):
        denoiser.denoise(image, None, TileConfig(32))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits memory as on Linux")
def test_memory_that_runs_out_halves_the_tile(files):
    """In a process with a limit, since LiteRT's failure is real; afterwards all is as before."""
    code = f"""
import resource
import numpy as np
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.tiling.tile_config import TileConfig
denoiser = load_denoiser({str(files[ANY])!r})
image = np.random.default_rng(0).random((1, 1400, 1400, 3), np.float32)
wanted = denoiser.denoise(image[:, :300, :300], None, TileConfig(64))
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + 200_000_000,) * 2)
denoiser.denoise(image, None, TileConfig("whole"))
found = denoiser.denoise(image[:, :300, :300], None, TileConfig(64))
np.testing.assert_array_equal(found, wanted)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "out of memory with tiles of 1400; " in done.stderr
