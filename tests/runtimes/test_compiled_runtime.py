"""`--runtime=compiled`: files of one size in LiteRT's CompiledModel, on the processor.

No GPU or NPU is at hand: how one is chosen is tested with stand-ins.
"""

import gc
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from tiny_run import tiny_model

from gradnet_tf import weights
from gradnet_tf.cli import main as cli
from gradnet_tf.denoiser import Denoiser, load_denoiser
from gradnet_tf.runtimes import compiled_runtime
from gradnet_tf.runtimes.compiled_runtime import CompiledFile
from gradnet_tf.runtimes.keras_runtime import KerasRunner
from gradnet_tf.runtimes.litert_runtime import LiteRTFile, TFLiteRunner
from gradnet_tf.tiling.tile_config import TileConfig
from gradnet_tf.utils.errors import UserError

pytest.importorskip("ai_edge_litert.compiled_model")
tf = pytest.importorskip("tensorflow")

CROPS = TileConfig(pooling="crops")
EXPORT = "python -m export --formats=tflite_float32_tile256"


def noisy(*shape, seed=5):
    steps = np.linspace(0.1, 0.9, shape[1], dtype=np.float32)[:, None]
    return (steps + np.random.default_rng(seed).normal(0, 0.2, shape)).astype(np.float32)


@pytest.fixture(scope="module")
def keras():
    return Denoiser(KerasRunner(tiny_model()), "tiny")


def written(model, path, precision="float32", tile=64):
    """Writes a .tflite file and its card, as `python -m export` does."""
    from export.litert.tflite import tile_facts, write_tflite
    from export.verify.formats import TFLiteFormat

    facts = tile_facts(model, TFLiteFormat(precision, tile))
    write_tflite(model, path, precision, tile and tile + 2 * facts["halo"])
    path.with_suffix(".json").write_text(json.dumps(facts))
    return path


@pytest.fixture(scope="module")
def file(keras, tmp_path_factory):
    return written(keras.model, tmp_path_factory.mktemp("files") / "tiny_tile64.tflite")


@pytest.fixture
def compiled(file):
    return load_denoiser(str(file), runtime="compiled")


def test_both_graphs_equal_the_interpreters(file):
    """The attention vectors of a crop, and a tile with vectors that differ from each other."""
    ours, theirs = CompiledFile(file), LiteRTFile(file, 1)
    assert set(ours.signatures) == set(theirs.signatures) == {"serving_default", "attention"}
    draw = np.random.default_rng(0)
    for name in ours.signatures:
        for side in ("inputs", "outputs"):
            found, wanted = getattr(ours, side)(name), getattr(theirs, side)(name)
            assert {key: item["shape_signature"].tolist() for key, item in found.items()} == {
                key: item["shape_signature"].tolist() for key, item in wanted.items()
            }
        given = {
            key: draw.random(item["shape_signature"], np.float32)
            for key, item in ours.inputs(name).items()
        }
        found, wanted = ours.call(name, given), theirs.call(name, given)
        assert found.keys() == wanted.keys()
        for key in wanted:
            np.testing.assert_allclose(found[key], wanted[key], atol=2e-6)
            assert np.ptp(wanted[key]) > 0.01


@pytest.mark.parametrize(
    "shape", [(1, 1, 3), (37, 31, 3), (90, 300, 3), (181, 229, 3), (182, 230, 3), (300, 310, 3)]
)
def test_pictures_equal_the_interpreters(compiled, file, shape):
    """Smaller than a window of 168, of odd sides, and of several windows."""
    image = noisy(*shape)[None]
    found = compiled.denoise(image, None, CROPS)
    assert np.abs(found - image).max() > 0.01
    np.testing.assert_allclose(
        found, load_denoiser(str(file)).denoise(image, None, CROPS), atol=2e-6
    )


@pytest.mark.parametrize("shape", [(182, 230, 3), (300, 310, 3)])
def test_tiles_equal_keras_in_tiles(compiled, keras, shape):
    image = noisy(*shape)[None]
    found = compiled.denoise(image, None, CROPS)
    np.testing.assert_allclose(found, keras.denoise(image, None, CROPS), atol=1e-5)


@pytest.mark.slow
def test_a_network_that_takes_the_level(tmp_path):
    model = tiny_model("gradnet_small_level")
    model.level.assign(np.random.default_rng(0).normal(0, 0.2, model.level.shape))
    path = written(model, tmp_path / "level.tflite", tile=48)
    found, image = load_denoiser(str(path), runtime="compiled"), noisy(190, 170, 3)[None]
    assert found.needs_sigma
    results = [found.denoise(image, level, CROPS) for level in (5, 60)]
    for level, result in zip((5, 60), results, strict=True):
        wanted = Denoiser(KerasRunner(model), "level").denoise(image, level, CROPS)
        np.testing.assert_allclose(result, wanted, atol=1e-5)
    assert np.abs(results[0] - results[1]).max() > 1e-4


def test_it_says_what_it_runs_on(file, capsys):
    capsys.readouterr()
    found = load_denoiser(str(file), runtime="compiled")
    assert found.runtime == "compiled"
    accelerator = found.source["accelerator"]
    assert accelerator in ("NPU", "GPU", "GPU and CPU", "CPU")
    assert f"runtime compiled on the {accelerator}: tiny_tile64\n" in capsys.readouterr().err
    assert load_denoiser(str(file)).runtime == "litert"


@pytest.mark.parametrize(
    ("works", "expected"),
    [({"NPU"}, "NPU"), ({"GPU", "CPU"}, "GPU"), ({"GPU CPU", "CPU"}, "GPU and CPU")],
)
def test_the_first_accelerator_that_works_is_taken(file, monkeypatch, works, expected):
    real, tried = CompiledFile._compiled, []

    def stand_in(self, names):
        tried.append(" ".join(names))
        if tried[-1] in works:
            return real(self, ("CPU",))
        raise RuntimeError("ERROR: [compiled_model.cc:1]\n└ Some ops are not accelerated.")

    monkeypatch.setattr(CompiledFile, "_compiled", stand_in)
    assert CompiledFile(file).accelerator == expected
    assert tried == ["NPU", "GPU", "GPU CPU"][: len(tried)]
    works.clear()
    with pytest.raises(UserError, match="tflite: the file does not load: Some ops are not acceler"):
        CompiledFile(file)
    assert tried[-4:] == ["NPU", "GPU", "GPU CPU", "CPU"]


def test_an_accelerator_that_compiles_and_does_not_run_is_passed_over(file, monkeypatch):
    real, calls = compiled_runtime._Graph.__call__, []

    def stand_in(self, inputs):
        calls.append(inputs)
        if len(calls) == 1:
            raise RuntimeError("device lost")
        return real(self, inputs)

    monkeypatch.setattr(compiled_runtime, "_TRIED", (("CPU",), ("CPU",)))
    monkeypatch.setattr(compiled_runtime._Graph, "__call__", stand_in)
    found = CompiledFile(file)
    assert len(calls) == 3  # one that failed, then both graphs
    calls.clear()
    given = {"images": np.zeros((1, 80, 80, 3), np.float32)}
    with pytest.raises(UserError, match="failed on the CPU: device lost\nUse the runtime litert"):
        found.call("attention", given)


def test_the_threads_are_those_asked_for(file, monkeypatch):
    from ai_edge_litert import options

    real, asked = options.CpuOptions, []

    def recorded(num_threads):
        asked.append(num_threads)
        return real(num_threads=num_threads)

    monkeypatch.setattr(options, "CpuOptions", recorded)
    monkeypatch.setattr(compiled_runtime, "_TRIED", (("CPU",),))
    monkeypatch.setattr(compiled_runtime, "allowed_cores", lambda: 7)
    CompiledFile(file, 3)
    CompiledFile(file)
    assert asked == [3, 7]


def test_several_threads_get_their_own_pictures(compiled):
    images = [noisy(200, 170, 3, seed=seed)[None] for seed in range(4)]
    wanted = [compiled.denoise(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(compiled.denoise, images * 3))
    for index, result in enumerate(found):
        np.testing.assert_array_equal(result, wanted[index % 4])


def test_it_is_pickled_by_its_path(compiled):
    again = pickle.loads(pickle.dumps(compiled))
    assert (again.runtime, again.source) == ("compiled", compiled.source)
    image = noisy(60, 60, 3)[None]
    np.testing.assert_array_equal(again.denoise(image), compiled.denoise(image))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are of Unix")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning")
def test_a_fork_compiles_again_and_gets_the_same_pixels(compiled):
    """LiteRT 2.3 runs in a fork as it is, with one thread."""
    image = noisy(190, 200, 3)[None]
    wanted, graphs = compiled.denoise(image), compiled.runner._file._graphs
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        try:
            found, again = compiled.denoise(image), compiled.runner._file._graphs is not graphs
            sender.send((found, again))
        finally:
            os._exit(0)
    try:
        assert receiver.poll(60), "the fork hangs"
        found, again = receiver.recv()
        np.testing.assert_array_equal(found, wanted)
        assert again
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_the_command(file, tmp_path, capsys):
    photo, out = tmp_path / "photo.png", tmp_path / "out"
    cv2.imwrite(str(photo), np.rint(np.clip(noisy(190, 181, 3), 0, 1) * 255).astype(np.uint8))
    arguments = ["denoise", str(photo), "--model", str(file), "--output"]
    assert cli.main([*arguments, str(out), "--runtime=compiled"]) == 0
    assert "runtime compiled on the " in capsys.readouterr().err
    assert cli.main([*arguments, str(tmp_path / "litert")]) == 0
    found, wanted = (cv2.imread(str(tmp_path / name / "photo.png")) for name in ("out", "litert"))
    assert np.abs(found.astype(int) - wanted).max() <= 1
    capsys.readouterr()
    arguments += [str(tmp_path / "x"), "--runtime=compiled", "--precision=bfloat16"]
    assert cli.main(arguments) == 2
    assert "bfloat16" in capsys.readouterr().err


def test_the_end_of_the_command_is_silent(file, tmp_path):
    """LiteRT reports what it destroys, after the command's last line."""
    cv2.imwrite(str(tmp_path / "photo.png"), np.full((40, 40, 3), 90, np.uint8))
    command = [sys.executable, "-m", "gradnet_tf", "denoise", str(tmp_path / "photo.png")]
    command += ["--model", str(file), "--runtime=compiled", "--output", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = done.stderr.splitlines()
    assert line.startswith("runtime compiled on the ")


def test_a_file_that_is_no_longer_needed_goes_in_silence(file, capfd):
    CompiledFile(file)
    gc.collect()
    assert "DestroyAccelerator" not in capfd.readouterr().err


@pytest.mark.parametrize("spec", ["auto", "gradnet_tiny", "opencv_nlm", "no_such", "folder"])
def test_names_and_other_files_are_refused(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    words = f"does not run the model {spec}.\nExpected a .tflite file for tiles of one size"
    with pytest.raises(UserError, match=words) as raised:
        load_denoiser(spec, runtime="compiled")
    text = str(raised.value)
    assert text.startswith("--runtime=compiled: ") and EXPORT in text
    assert len(text.splitlines()) == 3
    with pytest.raises(UserError, match="^runtime='compiled': "):
        Denoiser(spec, runtime="compiled")


def refused(path, match):
    with pytest.raises(UserError, match=match) as raised:
        load_denoiser(str(path), runtime="compiled")
    assert EXPORT in str(raised.value) and len(str(raised.value).splitlines()) == 3


def test_a_file_of_any_size_is_refused():
    path = weights.FOLDER / "litert" / "gradnet_tiny_color_blind.tflite"
    refused(path, r"its input images is \(1, any, any, 3\), float32\.\nExpected a .tflite file")


@pytest.mark.parametrize("dtype", [tf.float32, tf.uint8])
@pytest.mark.parametrize("named", [False, True])
def test_a_file_of_another_project_is_refused(tmp_path, dtype, named):
    """Without named graphs; and with the usual name, and a card that does not say the margin."""
    path, module = tmp_path / "other.tflite", tf.Module()
    function = tf.function(lambda x: x, input_signature=[tf.TensorSpec((1, 32, 32, 3), dtype)])
    if named:
        tf.saved_model.save(module, str(tmp_path / "saved"), {"serving_default": function})
        converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"))
    else:
        graph = function.get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([graph])
    path.write_bytes(converter.convert())
    path.with_suffix(".json").write_text('{"tile": 32, "overlap": 8}')
    assert load_denoiser(str(path)).runtime == "litert"
    words = r"\(1, 32, 32, 3\), other than" if dtype == tf.uint8 else "json is missing or does not"
    refused(path, words if named else "has no graph serving_default; graphs: none")


def test_a_file_without_its_card_is_refused(file, tmp_path):
    path = tmp_path / "alone.tflite"
    path.write_bytes(file.read_bytes())
    with pytest.raises(UserError, match="alone.json, .*is missing.*\nCopy both files"):
        load_denoiser(str(path), runtime="compiled")


@pytest.mark.parametrize("kept", [0, 4, 900, 40000])
def test_a_damaged_file_is_refused(file, tmp_path, kept):
    path = tmp_path / "cut.tflite"
    path.write_bytes(file.read_bytes()[:kept] or b"\x00\x00\x00\x00TFL3")
    with pytest.raises(UserError, match="cut.tflite: "):
        CompiledFile(path)


def test_a_file_that_crashes_is_tried_elsewhere_first(file, tmp_path, monkeypatch):
    """Ours without a checksum go through the trial of unknown files, in the same runtime."""
    from gradnet_tf.runtimes import litert_runtime

    tried = []
    real = litert_runtime.subprocess.run
    monkeypatch.setattr(
        litert_runtime.subprocess, "run", lambda *a, **b: tried.append(a[0][-2:]) or real(*a, **b)
    )
    load_denoiser(str(file), runtime="compiled")
    load_denoiser(str(file))
    assert tried == [[str(file), "compiled"], [str(file), "litert"]]
    monkeypatch.setattr(
        CompiledFile, "__init__", lambda *_: pytest.fail("a file that crashes was opened here")
    )
    code = "import os; os.abort()"
    monkeypatch.setattr(
        litert_runtime.subprocess, "run", lambda *a, **b: real([sys.executable, "-c", code], **b)
    )
    with pytest.raises(UserError, match="crashes LiteRT .signal SIGABRT.*\n.*damaged"):
        load_denoiser(str(file), runtime="compiled")


def test_the_trial_runs_the_compiled_model(file, monkeypatch):
    from gradnet_tf.runtimes.litert_runtime import run_small

    ran = []
    monkeypatch.setattr(CompiledFile, "call", lambda self, name, inputs: ran.append(name))
    run_small(str(file), "compiled")
    assert set(ran) == {"serving_default", "attention"}


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("ai_edge_litert", r'needs ai_edge_litert, .*\nInstall it: pip install "\.\[litert\]"'),
        ("ai_edge_litert.compiled_model", "No module named .*compiled_model'\nUpgrade it"),
        ("ai_edge_litert.options", "lacks CompiledModel: No module .*options'\nUpgrade it"),
    ],
)
def test_without_litert_or_with_an_older_one(file, monkeypatch, missing, words):
    from gradnet_tf.loading import load

    monkeypatch.setattr("gradnet_tf.runtimes.litert_runtime.require_no_crash", lambda *_: None)
    for name in [each for each in sys.modules if f"{each}.".startswith(f"{missing}.")]:
        monkeypatch.delitem(sys.modules, name)

    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == missing:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(UserError, match=words):
        load.load_runner(load.resolve(str(file), "compiled"), "model")


def test_another_shape_than_the_files_is_refused(file):
    with pytest.raises(
        UserError, match=r"images must be \(1, 80, 80, 3\). Received: \(1, 9, 9, 3\)"
    ):
        CompiledFile(file).call("attention", {"images": np.zeros((1, 9, 9, 3), np.float32)})
    with pytest.raises(UserError, match="is missing or does not hold `tile` and `halo`"):
        TFLiteRunner(
            weights_file_without_attention(file.parent), card={"halo": 9}, runtime="compiled"
        )


def weights_file_without_attention(folder):
    path = folder / "dncnn.tflite"
    return path if path.exists() else written(tiny_model("dncnn"), path)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_the_graph_of_a_tile_file_is_for_gpus(keras, tmp_path, precision, capfd):
    """By the check of LiteRT's GPU delegate, which needs no GPU; docs/mobile.md says so."""
    path = written(keras.model, tmp_path / "a.tflite", precision)
    tf.lite.experimental.Analyzer.analyze(model_path=str(path), gpu_compatibility=True)
    assert "looks compatible with GPU delegate" in capfd.readouterr().out
