"""Batch inference in this process: results, failures, reruns, clashes, stores without folders."""

import json
import os
import re
import shutil
from pathlib import Path

import photo_samples as files
import pytest

from benchmarks.robustness import batch_check
from gradnet_tf.batch import __main__ as command
from gradnet_tf.batch import batch_steps as steps
from gradnet_tf.batch import storage
from gradnet_tf.batch.batch_settings import Settings, make_parser
from gradnet_tf.cli import main as cli

beam = pytest.importorskip(
    "apache_beam", reason="Apache Beam is not installed (requirements-batch.txt)"
)

MODEL = "--model=gradnet_tiny"


def batch(*arguments):
    return command.main([*map(str, arguments)])


def failures(output):
    lines = (output / "_batch/failures.jsonl").read_text().splitlines()
    return {os.path.basename(entry["path"]): entry["reason"] for entry in map(json.loads, lines)}


@pytest.fixture
def negative(monkeypatch):
    """Replaces the model by one that changes every pixel, and counts how often it is loaded."""
    loads = []

    def load(settings):
        loads.append(settings)
        return lambda pixels: (pixels.max() if pixels.dtype.kind == "f" else 255) - pixels

    monkeypatch.setattr(Settings, "load", load)
    steps.load_once.cache_clear()
    yield loads
    steps.load_once.cache_clear()


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for name in ("a.jpg", "sub/b.png", "sub/deep/c.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        data = files.by_pillow(files.noise(9, 12, 3), "PNG" if "png" in name else "JPEG")
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.slow
def test_results_are_those_of_gradnet_denoise_and_a_rerun_does_nothing(tmp_path, capsys):
    broken = batch_check.make_photos(tmp_path / "in", files=20, broken=3)
    single = ["denoise", str(tmp_path / "in"), "--output", str(tmp_path / "single"), MODEL]
    assert cli.main(single) == 1
    arguments = [f"--input={tmp_path}/in/**/*.*", f"--output={tmp_path / 'out'}", MODEL]
    assert batch(*arguments) == 1
    found = batch_check.contents(tmp_path / "out")
    assert len(found) == 17 and found == batch_check.contents(tmp_path / "single")
    assert set(failures(tmp_path / "out")) == {os.path.basename(name) for name in broken}
    assert all(len(reason) > 8 for reason in failures(tmp_path / "out").values())
    stamps = batch_check.stamps(tmp_path / "out")
    capsys.readouterr()
    assert batch(*arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == "0 written, 17 skipped, 3 failed\n"
    assert printed.err.endswith("_batch/failures.jsonl\n") and "Traceback" not in printed.err
    assert batch_check.stamps(tmp_path / "out") == stamps
    # A folder as input means the same, and what is lost is made again.
    lost = tmp_path / "out" / sorted(stamps)[0]
    lost.unlink()
    assert batch(f"--input={tmp_path}/in", *arguments[1:]) == 1
    assert capsys.readouterr().out == "1 written, 16 skipped, 3 failed\n"
    assert batch_check.contents(tmp_path / "out") == found


def test_one_load_serves_all_files_and_skipped_ones_need_none(photos, tmp_path, negative, capsys):
    arguments = [f"--input={photos}", f"--output={tmp_path / 'out'}", "--quality=80"]
    assert batch(*arguments) == 0 and len(negative) == 1
    assert negative[0].quality == 80
    steps.load_once.cache_clear()
    assert batch(*arguments) == 0 and len(negative) == 1
    before = batch_check.stamps(tmp_path / "out")
    assert batch(*arguments, "--overwrite") == 0 and len(negative) == 2
    after = batch_check.stamps(tmp_path / "out")
    assert all(before[name] != after[name] for name in before)
    assert capsys.readouterr().out.splitlines()[-1] == "3 written, 0 skipped, 0 failed"
    assert failures(tmp_path / "out") == {}


def test_strength_0_copies_without_a_model(photos, tmp_path, negative):
    output = tmp_path / "out"
    assert batch(f"--input={photos}", f"--output={output}", "--strength=0") == 0
    assert batch_check.contents(output) == batch_check.contents(photos) and not negative


def test_two_inputs_with_one_result_are_refused_and_the_rest_is_done(
    photos, tmp_path, negative, capsys
):
    shutil.copytree(photos / "sub", tmp_path / "more")
    inputs = [f"--input={photos}/sub", f"--input={tmp_path}/more/*.png", f"--input={photos}/*.jpg"]
    assert batch(*inputs, f"--output={tmp_path / 'out'}") == 1
    assert capsys.readouterr().out == "2 written, 0 skipped, 2 failed\n"
    assert not (tmp_path / "out/b.png").exists()
    lines = (tmp_path / "out/_batch/failures.jsonl").read_text().splitlines()
    pair = {f"{photos}/sub/b.png", f"{tmp_path}/more/b.png"}
    for entry in map(json.loads, lines):
        (other,) = pair - {entry["path"]}
        assert f"{tmp_path}/out/b.png, as would {other}" in entry["reason"]
    # The same file twice is one file.
    assert batch(*[inputs[0]] * 2, f"--output={tmp_path / 'two'}") == 0


def test_an_input_is_never_overwritten(photos, tmp_path, negative):
    before = batch_check.stamps(photos)
    assert batch(f"--input={photos}/a.jpg", f"--output={photos}", "--overwrite") == 1
    assert "inputs are never overwritten" in failures(photos)["a.jpg"]
    # Nor through a link among the results.
    (tmp_path / "out").mkdir()
    (tmp_path / "out/sub").symlink_to(photos / "sub", target_is_directory=True)
    assert batch(f"--input={photos}", f"--output={tmp_path / 'out'}", "--overwrite") == 1
    assert set(failures(tmp_path / "out")) == {"b.png", "c.jpg"}
    assert batch_check.stamps(photos) == before


def test_results_inside_the_input_are_no_input(photos, negative, capsys):
    for _ in range(2):
        assert batch(f"--input={photos}/**/*.*", f"--output={photos}/sub/out") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 written, 3 skipped, 0 failed"


def test_a_file_that_fails_late_is_a_failure_and_leaves_nothing(
    photos, tmp_path, negative, monkeypatch
):
    def load(settings):
        def denoise(pixels):
            if pixels.shape[0] == 5:
                raise RuntimeError("a mistake\nof the network")
            return pixels

        return denoise

    monkeypatch.setattr(Settings, "load", load)
    (photos / "bad.png").write_bytes(files.by_pillow(files.noise(5, 5, 3), "PNG"))
    (photos / "big.png").write_bytes(files.by_pillow(files.noise(20, 20, 3), "PNG"))
    flags = [f"--input={photos}", f"--output={tmp_path / 'out'}", "--max-megapixels=0.0003"]
    (tmp_path / "out/sub/deep").mkdir(parents=True)
    (tmp_path / "out/sub/deep/c.jpg").mkdir()  # In the way of a result: it exists.
    assert batch(*flags) == 1
    found = failures(tmp_path / "out")
    assert found["bad.png"] == "RuntimeError: a mistake of the network"
    assert "megapixels" in found["big.png"] and len(found) == 2
    found = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    names = sorted(path.name for path in found if not path.name.startswith(".gradnet-"))
    assert names == ["a.jpg", "b.png", "failures.jsonl", "summary.json"]
    assert len(found) - len(names) == 2  # the marks of the results


def test_a_name_that_is_no_text(photos, tmp_path, negative):
    name = os.fsdecode(b"caf\xe9.png")
    try:
        (photos / name).write_bytes(files.by_pillow(files.noise(5, 5, 3), "PNG"))
    except OSError:
        pytest.skip("this file system takes names of valid text only")
    (photos / os.fsdecode(b"\xff.png")).write_bytes(b"")
    assert batch(f"--input={photos}", f"--output={tmp_path / 'out'}") == 1
    assert (tmp_path / "out" / name).is_file()
    assert list(failures(tmp_path / "out")) == [os.fsdecode(b"\xff.png")]


def test_a_store_without_folders(negative, capsys):
    """Written under another name and renamed; found by prefix; named by scheme."""
    import memory_files

    memory_files.FILES.clear()
    photo = files.by_pillow(files.noise(5, 5, 3), "PNG")
    names = ("in/a.png", "in/2026/b.png", "in/2026/.partial-x-c.png", "in/d.txt", "other/e.png")
    memory_files.FILES.update({f"memory://bucket/{name}": photo for name in names})
    memory_files.FILES["memory://bucket/in/2026/bad.jpg"] = b"text"
    flags = ["--input=memory://bucket/in/**/*.*", "--output=memory://bucket/out"]
    memory_files.CALLS.clear()
    assert batch(*flags) == 1
    assert capsys.readouterr().out == "2 written, 0 skipped, 1 failed\n"
    results = {"memory://bucket/out/a.png", "memory://bucket/out/2026/b.png"}
    log = {f"memory://bucket/out/_batch/{name}" for name in ("failures.jsonl", "summary.json")}
    marks = {steps._mark_of(path) for path in results}
    assert {path for path in memory_files.FILES if "/out/" in path} == results | log | marks
    created = [path for what, path in memory_files.CALLS if what == "create image/png"]
    assert len(created) == 2 and all("/.partial-" in path for path in created)
    assert results <= {path for what, path in memory_files.CALLS if what == "rename"}
    (line,) = memory_files.FILES["memory://bucket/out/_batch/failures.jsonl"].splitlines()
    assert json.loads(line)["path"] == "memory://bucket/in/2026/bad.jpg"
    for path in results:
        wanted = 255 - files.noise(5, 5, 3)
        assert (files.read_pillow(memory_files.FILES[path]) == wanted).all()
    memory_files.CALLS.clear()
    assert batch(*flags) == 1
    assert capsys.readouterr().out == "0 written, 2 skipped, 1 failed\n"
    assert not [path for what, path in memory_files.CALLS if what == "create image/png"]


def test_a_store_that_cannot_rename_keeps_nothing_half_done(monkeypatch):
    import memory_files

    def refuse(self, sources, targets):
        raise OSError("quota exceeded")

    memory_files.FILES.clear()
    monkeypatch.setattr(memory_files.MemoryFileSystem, "rename", refuse)
    with pytest.raises(OSError, match="quota exceeded"):
        storage.write("memory://bucket/a.png", b"data", "image/png")
    assert memory_files.FILES == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--input={photos}/*.bmp", "--output={out}"], "matches no images"),
        (["--input={photos}/**", "--output={photos}"], "Give another folder"),
        (["--input={photos}", "--output={photos}/a.jpg"], "expected a folder. Received: a file."),
        (["--input", "{photos}/a.jpg", "b.jpg", "--output={out}"], "put patterns in quotes"),
        (["--input={photos}", "--output={out}", "--strenght=0.5"], "Did you mean --strength?"),
        (["--input={photos}", "--output={out}", "--runner=Nobody"], "--runner=Nobody: "),
        (["--input={photos}", "--output={out}", "--direct_num_workers=2"], "=multi_processing."),
        (["--input={photos}", "--output={out}", "--model=nonsense"], "error: --model=nonsense: no"),
        (["--input={photos}", "--output={out}", MODEL, "--sigma=5"], "takes no noise level"),
    ],
)
def test_wrong_arguments_are_reported(photos, tmp_path, arguments, words, capsys):
    steps.load_once.cache_clear()
    given = [text.format(photos=photos, out=tmp_path / "out") for text in arguments]
    assert batch(*given) == 2
    told = capsys.readouterr().err.strip()
    assert words in told and len(told.splitlines()) <= 3 and "while running" not in told


def test_nothing_but_unreadable_files_is_bad_input(tmp_path, negative, capsys):
    (tmp_path / "a.png").write_bytes(b"")
    assert batch(f"--input={tmp_path}/*.png", f"--output={tmp_path / 'out'}") == 2
    assert not negative


def test_options_of_an_engine_reach_it(photos, tmp_path, monkeypatch):
    from gradnet_tf.batch import beam_engine as engine

    mode = "--direct_running_mode=multi_processing"
    pipeline = engine.make_pipeline(["--region", "x", "--direct_num_workers=3", mode], [])
    options = pipeline.options.get_all_options()
    assert options["region"] == "x" and options["direct_num_workers"] == 3


@pytest.mark.parametrize("end", ["CANCELLED", "Channel closed prematurely."])
def test_an_engine_that_gives_up_is_reported(end, photos, tmp_path, monkeypatch, capsys):
    class Ended:
        def run(self):
            return self

        def wait_until_finish(self):
            if end.isupper():
                return end
            raise RuntimeError(f"a long traceback\n{end}")

    monkeypatch.setattr(command.engine, "make_pipeline", lambda *_: Ended())
    monkeypatch.setattr(command, "build", lambda *_: None)
    assert batch(f"--input={photos}", f"--output={tmp_path / 'out'}") == 75
    told = capsys.readouterr().err.strip().splitlines()
    assert end in told[-2] and "run the same command again" in told[-1]


def test_the_options_in_the_document_exist():
    from apache_beam.options.pipeline_options import PipelineOptions

    text = (Path(__file__).parents[2] / "docs/batch.md").read_text(encoding="utf-8")
    own = [name for action in make_parser()._actions for name in action.option_strings]
    known = [*PipelineOptions([]).get_all_options(), *(name.strip("-") for name in own)]
    named = {name.replace("-", "_") for name in re.findall(r"(?<![\w-])--(\w[\w-]*)", text)}
    assert named - set(known) - {"files", "broken", "processes"} == set()
    assert {"direct_num_workers", "sdk_container_image", "flink_master"} <= named
