"""`--runtime` and `--precision`: what `auto` chooses, and what a measured choice changes."""

import json
import shutil

import pytest

from gradnet_tf import weights
from gradnet_tf.loading.load import resolve
from gradnet_tf.runtimes import choose_runtime
from gradnet_tf.runtimes.choose_runtime import choose, keeps_quality
from gradnet_tf.utils.errors import UserError

GOOD = {"0": {"psnr": 54.0, "drop_db": 1.1}, "25": {"psnr": 30.9, "drop_db": 0.01}}


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Returns a function that sets the processor's flags and the installed packages."""
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(choose_runtime, "_has_gpu", lambda: False)

    def set_up(flags="", installed=("litert",)):
        found = frozenset(flags.split())
        monkeypatch.setattr(choose_runtime, "processor_flags", lambda: found)
        has = {"keras", *installed}
        monkeypatch.setattr(choose_runtime, "is_installed", lambda runtime: runtime in has)

    set_up()
    return set_up


@pytest.fixture
def file(tmp_path):
    """A .tflite file and an 8-bit one whose cards allow `auto` both precisions."""
    for name, precision in (("net", "bfloat16"), ("net_int8", "int8")):
        (tmp_path / f"{name}.tflite").write_bytes(b"")
        card = {"precisions": {precision: {"scores": GOOD}}}
        (tmp_path / f"{name}.json").write_text(json.dumps(card))
    return tmp_path / "net.tflite"


def chosen(*arguments):
    found = choose(*arguments)
    return found.runtime, found.precision


def test_auto_takes_what_the_processor_and_the_card_allow(machine, file):
    assert chosen("auto", "auto", file) == ("litert", "float32")
    machine("avx512_vnni")
    assert chosen("auto", "auto", file) == ("litert", "int8")
    machine("avx512_vnni", ("litert", "openvino"))
    assert chosen("auto", "auto", file) == ("litert", "int8")
    machine("avx512_vnni avx512_bf16", ("litert",))
    assert chosen("auto", "auto", file) == ("litert", "int8")
    for more in ("", " amx_bf16"):
        machine("avx512_vnni avx512_bf16" + more, ("litert", "openvino"))
        assert chosen("auto", "auto", file) == ("openvino", "bfloat16")
    assert "--precision=float32" in choose("auto", "auto", file).note
    for name in ("net.json", "net_int8.json"):
        file.with_name(name).write_text("{}")
    assert chosen("auto", "auto", file) == ("litert", "float32")
    assert choose("auto", "auto", file).note == ""
    machine("avx512_vnni avx512_bf16", ())
    assert chosen("auto", "auto", file) == ("keras", "float32")
    machine("", ("openvino",))  # With `[openvino]` alone there is nothing that Keras could run on.
    assert chosen("auto", "auto", file) == ("openvino", "float32")


def test_float32_runs_where_it_is_fastest(machine, file):
    machine("avx2", ("litert", "openvino"))
    assert chosen("auto", "auto", file) == ("openvino", "float32")
    assert chosen("auto", "float32", file) == ("openvino", "float32")
    machine("avx2", ("litert",))
    assert chosen("auto", "auto", file) == ("litert", "float32")
    machine("avx2 avx512f", ("litert", "openvino"))
    assert chosen("auto", "auto", file) == ("litert", "float32")


def test_what_real_noise_loses_counts_as_other_noise_does():
    assert choose_runtime.keeps_quality({**GOOD, "renoir": {"psnr": 39.8, "drop_db": 0.09}})
    assert not choose_runtime.keeps_quality({**GOOD, "renoir": {"psnr": 39.6, "drop_db": 0.22}})


def test_cards_of_weights_for_real_noise_say_what_they_lose_there():
    found = 0
    for path in sorted((weights.FOLDER / "litert").glob("*.json")):
        card = json.loads(path.read_text("utf-8"))
        name = path.stem.removesuffix("_int8")
        if weights.find_card(name).get("noise"):
            found += 1
            assert all("renoir" in each["scores"] for each in card["precisions"].values()), path
    assert found >= 2


def test_what_is_given_is_taken(machine, file):
    machine("avx512_vnni avx512_bf16", ("litert", "openvino"))
    assert chosen("auto", "float32", file) == ("litert", "float32")
    assert chosen("auto", "int8", file) == ("litert", "int8")
    assert choose("litert", "int8", file).file.name == "net_int8.tflite"
    assert chosen("keras", "auto", file) == ("keras", "float32")
    assert choose("keras", "bfloat16", file).policy == "mixed_bfloat16"
    assert chosen("openvino", "float32", file) == ("openvino", "float32")
    assert chosen("auto", "mixed_float16", file) == ("keras", "mixed_float16")
    assert chosen("auto", "auto", None) == ("keras", "float32")


def test_a_graphics_card_leaves_it_to_keras(machine, file, monkeypatch):
    machine("avx512_bf16", ("litert", "openvino"))
    monkeypatch.setattr(choose_runtime, "_has_gpu", lambda: True)
    assert chosen("auto", "auto", file) == ("keras", "float32")
    assert chosen("auto", "bfloat16", file) == ("keras", "bfloat16")


@pytest.mark.parametrize(
    ("runtime", "precision"), [("keras", "int8"), ("litert", "bfloat16"), ("openvino", "int8")]
)
def test_a_runtime_that_lacks_the_precision_is_an_error(machine, file, runtime, precision):
    with pytest.raises(UserError, match=f"precision={precision}.*\nExpected keras with float32"):
        choose(runtime, precision, file)


def test_8_bits_of_weights_that_do_not_ship_for_it(machine, file):
    with pytest.raises(UserError, match="no 8-bit file"):
        choose("auto", "int8", None)
    file.with_name("net_int8.tflite").unlink()
    with pytest.raises(UserError) as caught:
        choose("auto", "int8", file)
    assert "int8" not in str(caught.value).partition("\n")[2]


def test_an_error_lists_what_runs_here_and_what_to_install(machine, file, monkeypatch):
    monkeypatch.setattr(choose_runtime, "has_backend", lambda: False)
    with pytest.raises(UserError) as caught:
        choose("openvino", "int8", file)
    said = str(caught.value).splitlines()
    assert said[1] == "Expected litert with float32 or int8."
    assert said[2].startswith("To be installed: keras with float32 or bfloat16 (pip install ")
    assert 'openvino with float32 or bfloat16 (pip install ".[openvino]"' in said[2]
    machine(installed=())
    with pytest.raises(UserError, match="\nNothing that runs it is installed.\nTo be installed"):
        choose("openvino", "int8", file)


def test_an_unknown_precision_is_an_error(machine, file):
    with pytest.raises(UserError, match="`precision` must be one of auto, float32, bfloat16, int8"):
        choose("auto", "half", file)


def test_this_machines_choice_counts_until_something_changes(machine, file):
    machine("avx512_bf16", ("litert", "openvino"))
    kept = {"runtime": "keras", "precision": "bfloat16", "key": choose_runtime.machine_key()}
    choose_runtime.choice_path().parent.mkdir(parents=True)
    choose_runtime.choice_path().write_text(json.dumps(kept))
    assert chosen("auto", "auto", file) == ("keras", "bfloat16")
    assert "gradnet bench" in choose("auto", "auto", file).note
    assert chosen("auto", "float32", file) == ("litert", "float32")
    machine("avx512_bf16 amx_bf16", ("litert", "openvino"))  # another processor
    assert chosen("auto", "auto", file) == ("openvino", "bfloat16")
    for text in ("", "[]", '{"runtime": "x"}', "\xff"):
        choose_runtime.choice_path().write_text(text, "latin-1")
        assert chosen("auto", "auto", file) == ("openvino", "bfloat16")


def test_quality_has_limits_with_noise_and_without():
    assert keeps_quality(GOOD)
    assert not keeps_quality({})
    assert not keeps_quality({**GOOD, "0": {"psnr": 48.0, "drop_db": 7.0}})
    assert not keeps_quality({**GOOD, "15": {"psnr": 33.4, "drop_db": 0.17}})
    assert keeps_quality({**GOOD, "0": {"psnr": 45.0, "drop_db": 0.1}})  # of a network at 45.1
    assert keeps_quality({**GOOD, "drawings": {"psnr": 41.0, "drop_db": 0.4}})
    assert not keeps_quality({**GOOD, "drawings": {"psnr": 38.0, "drop_db": 3.4}})


@pytest.mark.parametrize("card", weights.list_weights(), ids=lambda card: card["name"])
def test_8_bit_files_that_ship_belong_to_their_weights(card):
    found = weights.tflite_path(card) and choose_runtime.file_for("int8", weights.tflite_path(card))
    if not found:
        pytest.skip("no 8-bit file is shipped for these weights")
    told = json.loads(found.with_suffix(".json").read_text("utf-8"))
    assert told["weights_sha256"] == card["sha256"]
    assert told["quality"]["drop_db"] <= 0.2
    resolved = resolve(card["name"], "litert", "int8")
    assert resolved.litert == found and resolved.choice.precision == "int8"


def test_the_command_takes_the_precision(machine, tmp_path, capsys):
    from gradnet_tf.cli.main import main
    from gradnet_tf.denoiser import Denoiser
    from gradnet_tf.images.image_files import read_image, write_image

    numpy = pytest.importorskip("numpy")
    if choose_runtime.file_for("int8", weights.find_tflite("default")) is None:
        pytest.skip("no 8-bit file is shipped for the default weights")
    noisy = numpy.random.default_rng(0).integers(0, 256, (50, 60, 3), numpy.uint8)
    write_image(tmp_path / "a.png", noisy)
    arguments = ["denoise", str(tmp_path / "a.png"), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--precision=int8"]) == 0
    denoiser = Denoiser(precision="int8")
    assert (denoiser.runtime, denoiser.source["precision"]) == ("litert", "int8")
    numpy.testing.assert_array_equal(read_image(tmp_path / "out" / "a.png"), denoiser(noisy))
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--precision=int4"])


def test_openvino_that_is_not_installed_is_one_line(monkeypatch):
    from gradnet_tf.denoiser import load_denoiser
    from gradnet_tf.runtimes import litert_runtime

    monkeypatch.setattr(litert_runtime, "is_installed", lambda runtime: False)
    with pytest.raises(UserError, match="needs openvino, which is not installed.\nInstall it"):
        load_denoiser("default", runtime="openvino")


def test_a_gpu_without_tensorflow_or_jax_leaves_litert_its_work(machine, file, monkeypatch):
    monkeypatch.setattr(choose_runtime, "_has_gpu", lambda: True)
    assert chosen("auto", "auto", file) == ("keras", "float32")
    monkeypatch.setattr(choose_runtime, "has_backend", lambda: False)
    assert chosen("auto", "auto", file) == ("litert", "float32")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert chosen("auto", "auto", file) == ("keras", "float32")


def test_8_bits_are_litert_s_also_where_keras_is_preferred(machine, file, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert chosen("auto", "int8", file) == ("litert", "int8")
    monkeypatch.setattr(choose_runtime, "_has_gpu", lambda: True)
    assert chosen("auto", "int8", file) == ("litert", "int8")


def test_a_measured_choice_of_keras_ends_with_its_backend(machine, file, monkeypatch):
    kept = {"runtime": "keras", "precision": "float32", "key": choose_runtime.machine_key()}
    choose_runtime.choice_path().parent.mkdir(parents=True)
    choose_runtime.choice_path().write_text(json.dumps(kept))
    assert chosen("auto", "auto", file) == ("keras", "float32")
    monkeypatch.setattr(choose_runtime, "has_backend", lambda: False)
    assert chosen("auto", "auto", file) == ("litert", "float32")
