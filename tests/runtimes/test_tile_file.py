"""Fixed-tile .tflite files from elsewhere as a model."""

import json

import cv2
import numpy as np
import pytest
from script_case import exit_code, loaded_script

from gradnet_tf.cli import main as cli
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.tiling.tile_config import TileConfig
from gradnet_tf.utils.errors import UserError

pytest.importorskip("ai_edge_litert")
tf = pytest.importorskip("tensorflow")

RNG = np.random.default_rng(4)
IMAGE = RNG.random((50, 75, 3), np.float32)
OVERLAP = TileConfig(overlap=8)


def converted(shape=(1, 32, 32, 3), dtype=tf.float32, function=None):
    """A file without signatures that halves what it is given."""

    def halve(x):
        if dtype == tf.uint8:
            return tf.cast(tf.cast(x, tf.float32) * 0.5, tf.uint8)
        return x * 0.5

    graph = tf.function(function or halve).get_concrete_function(tf.TensorSpec(shape, dtype))
    return tf.lite.TFLiteConverter.from_concrete_functions([graph]).convert()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "half.tflite"
    path.write_bytes(converted())
    return path


def test_pictures_of_any_size_run_in_tiles_with_an_overlap(file):
    denoiser = load_denoiser(str(file))
    assert (denoiser.channels, denoiser.needs_sigma, denoiser.runtime) == (3, False, "litert")
    found = denoiser.denoise(IMAGE[None], None, OVERLAP)[0]
    np.testing.assert_allclose(found, IMAGE / 2, atol=1e-6)
    picture = np.rint(IMAGE * 255).astype(np.uint8)
    assert denoiser(picture, tiles=OVERLAP).dtype == np.uint8
    # A picture that fits into one tile needs no overlap.
    np.testing.assert_allclose(denoiser.denoise(IMAGE[None, :20, :32])[0], IMAGE[:20, :32] / 2)


def test_results_are_clipped_one_by_one_as_in_a_batch(tmp_path):
    (tmp_path / "more.tflite").write_bytes(converted(function=lambda x: 4 * x - 1))
    denoiser = load_denoiser(str(tmp_path / "more.tflite"))
    batch = np.stack([IMAGE[:32, :32], IMAGE[8:40, 8:40]])
    found = denoiser.denoise(batch)
    assert (found.min(), found.max()) == (0.0, 1.0)
    for one, alone in zip(found, batch, strict=True):
        np.testing.assert_array_equal(denoiser.denoise(alone[None])[0], one)


def test_an_evaluation_beside_other_models(file, capsys, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.rint(IMAGE * 255))
    common = ("--dataset=folder", f"--data_dir={tmp_path}", "--overlap=8")
    script, output = loaded_script("evaluate"), tmp_path / "out"
    models = f"--model={file},opencv_nlm"
    assert exit_code(script, models, f"--output={output}", *common) == 0, capsys.readouterr().err
    told = [json.loads(p.read_text("utf-8")) for p in sorted(output.glob("*/metrics.json"))]
    assert [result.get("overlap") for result in told] == [8, None]
    assert exit_code(script, "--model=opencv_nlm", f"--output={tmp_path}/x", *common) == 2
    assert "Received: overlap=8. Leave it out." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shape", "dtype"), [((1, 3, 32, 32), tf.float32), ((1, 32, 32, 3), tf.uint8)]
)
def test_channels_first_and_bytes(tmp_path, shape, dtype):
    path = tmp_path / "half.tflite"
    path.write_bytes(converted(shape, dtype))
    found = load_denoiser(str(path)).denoise(IMAGE[None], None, OVERLAP)[0]
    np.testing.assert_allclose(found, IMAGE / 2, atol=1 / 255)


def test_a_card_says_the_overlap(file):
    card = file.with_suffix(".json")
    with pytest.raises(UserError, match=r'--overlap=16.*\{"tile": 32, "overlap": 16\}'):
        load_denoiser(str(file)).denoise(IMAGE[None])
    card.write_text(json.dumps({"tile": 32, "overlap": 8}))
    found = load_denoiser(str(file)).denoise(IMAGE[None])[0]
    np.testing.assert_allclose(found, IMAGE / 2, atol=1e-6)
    for wrong, words in (
        ({"tile": 64, "overlap": 8}, "takes tiles of 32, and half.json says 64"),
        ({"overlap": 17}, "from 0 to 16. Received in half.json: 17"),
        ({"overlap": "8"}, 'Received in half.json: "8"'),
    ):
        card.write_text(json.dumps(wrong))
        with pytest.raises(UserError, match=words):
            load_denoiser(str(file))


def test_other_tiles_and_overlaps_are_refused(file):
    denoiser = load_denoiser(str(file))
    with pytest.raises(UserError, match="`tile` must be auto or 32 here"):
        denoiser.denoise(IMAGE[None], None, TileConfig(64, overlap=8))
    with pytest.raises(UserError, match="Received in overlap: 20"):
        denoiser.denoise(IMAGE[None], None, TileConfig(overlap=20))


@pytest.mark.parametrize(
    ("shape", "function"),
    [
        ((1, 32, 40, 3), None),
        ((1, 32, 32, 4), None),
        ((2, 32, 32, 3), None),
        ((1, 32, 32, 3), lambda x: x[:, ::2, ::2]),
    ],
)
def test_other_shapes_get_one_clear_line(tmp_path, shape, function):
    path = tmp_path / "odd.tflite"
    path.write_bytes(converted(shape, function=function))
    with pytest.raises(UserError, match="is no file of tiles: .* Received signatures: none"):
        load_denoiser(str(path))


def test_the_command_takes_such_a_file(file, tmp_path, capsys):
    photo = tmp_path / "photo.png"
    picture = np.rint(IMAGE * 255).astype(np.uint8)
    cv2.imwrite(str(photo), picture)
    out = tmp_path / "out"
    arguments = ["denoise", str(photo), "--output", str(out), "--model", str(file)]
    assert cli.main(arguments) == 1
    assert "--overlap=16" in capsys.readouterr().err
    assert cli.main([*arguments, "--tile", "32", "--overlap", "8"]) == 0
    assert np.abs(cv2.imread(str(out / "photo.png")) - picture / 2.0).max() <= 1
    capsys.readouterr()


def test_other_models_refuse_an_overlap(tmp_path):
    with pytest.raises(UserError, match="this model knows its own. Received: overlap=8"):
        load_denoiser("gradnet_tiny").denoise(IMAGE[None], None, OVERLAP)


def test_the_network_of_the_raspberry_pi(peers_dir, data_dir):
    denoiser = load_denoiser(str(peers_dir / "rpi_ai_denoise" / "nafnet_rgb_small.tflite"))
    gains = []
    for name in ("Canon5D2_5_160_3200_chair_11", "NikonD800_11_160_3200_classroom_6"):
        clean, noisy = (
            cv2.imread(str(data_dir / "polyu" / f"{name}_{kind}.JPG"))[..., ::-1] / np.float32(255)
            for kind in ("mean", "real")
        )
        found = denoiser.denoise(noisy[None], None, TileConfig(overlap=16))[0]
        errors = [np.mean((image - clean) ** 2) for image in (noisy, found)]
        gains.append(10 * np.log10(errors[0] / errors[1]))
    assert min(gains) > 1.2 and max(gains) > 2
