"""What batch inference does with one file and one place, without an engine."""

import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from benchmarks.robustness import batch_check
from gradnet_tf.batch import __main__ as command
from gradnet_tf.batch import batch_steps as steps
from gradnet_tf.batch import beam_engine as engine
from gradnet_tf.batch.batch_names import source_of
from gradnet_tf.batch.batch_settings import Settings, make_parser, settings_of
from gradnet_tf.cli import main as cli
from gradnet_tf.tiling.tile_config import TileConfig
from gradnet_tf.utils.errors import UserError

FLAGS = ["--model=gradnet_tiny", "--strength=0.7", "--luma=0.9", "--chroma=0.5", "--quality=80"]
FLAGS += ["--overwrite"]
MORE = ["--self-ensemble", "--tile=64", "--max-memory=3GB", "--max-megapixels=9"]


def parsed(*flags):
    arguments, _ = make_parser().parse_known_args(["--input=i", "--output=o", *flags])
    return settings_of(arguments)


def test_every_format_ends_as_gradnet_denoise_ends_it(tmp_path, capsys):
    broken = batch_check.make_photos(tmp_path / "in", len(batch_check.KINDS), broken=2)
    single = ["denoise", str(tmp_path / "in"), f"--output={tmp_path / 'single'}", *FLAGS]
    assert cli.main(single) == 1
    told = capsys.readouterr().err
    for name in batch_check.contents(tmp_path / "in"):
        source, target = str(tmp_path / "in" / name), str(tmp_path / "out" / name)
        outcome, failure = steps.denoise_file(source, target, parsed(*FLAGS))
        assert outcome == (steps.UNREADABLE if name in broken else steps.WRITTEN)
        if failure:
            entry = json.loads(failure)
            assert entry["path"] == source and entry["reason"] in told
    assert batch_check.contents(tmp_path / "out") == batch_check.contents(tmp_path / "single")


def test_every_flag_does_something(tmp_path):
    batch_check.make_photos(tmp_path, 1, broken=0)
    source, target = str(tmp_path / "0000.jpg"), tmp_path / "out.jpg"

    def result(*flags):
        outcome, _ = steps.denoise_file(source, str(target), parsed(*FLAGS, *flags))
        return outcome, target.read_bytes()

    results = {result()}
    changes = ["--strength=1", "--luma=0.1", "--chroma=1", "--quality=60", "--model=opencv_nlm"]
    changes.append("--self-ensemble")
    for flag in changes:
        results.add(result(flag))
    assert len(results) == 1 + len(changes)
    assert result("--max-megapixels=0.001")[0] == steps.UNREADABLE
    without = [flag for flag in FLAGS if flag != "--overwrite"]
    assert steps.denoise_file(source, str(target), parsed(*without))[0] == steps.SKIPPED
    target.unlink()
    assert steps.denoise_file(source, str(target), parsed(*without))[0] == steps.WRITTEN
    assert (steps.WRITTEN, target.read_bytes()) in results


def test_flags_are_those_of_gradnet_denoise(capsys):
    with pytest.raises(SystemExit):
        cli.main(["denoise", "--help"])
    known = capsys.readouterr().out
    assert [flag for flag in FLAGS + MORE if flag.split("=")[0] not in known] == []
    settings = parsed(*FLAGS, *MORE, "--sigma=12")
    assert settings.sigma == 12 and settings.tiles == TileConfig(64, 3_000_000_000)
    assert settings.self_ensemble and settings.overwrite and settings.max_megapixels == 9
    assert parsed() == Settings()


@pytest.mark.parametrize(
    "flag",
    ["--strength=3", "--luma=nan", "--sigma=-1", "--quality=9.5", "--tile=3", "--max_memory=x"],
)
def test_wrong_values_are_refused_at_once(flag, capsys):
    with pytest.raises(SystemExit) as leave:
        parsed(flag)
    assert leave.value.code == 2 and flag.split("=")[1] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["b.jpg"], "put patterns in quotes"),
        (["--region=x", "b.jpg"], "put patterns in quotes"),
        (["--strenght=0.5"], "Did you mean --strength?"),
        (["--self_ensembel"], "Did you mean --self_ensemble?"),
        (["--region", "b.jpg", "--inputs_of_beam", "--max_num_workers=9"], None),
    ],
)
def test_what_an_engine_would_drop_is_reported(arguments, words):
    own = ["strength", "self_ensemble", "max_memory", "input"]
    known = {"region": None, "max_num_workers": None}
    if words is None:
        engine._refuse_strays(arguments, own, known)
    else:
        with pytest.raises(UserError) as told:
            engine._refuse_strays(arguments, own, known)
        assert words in str(told.value)


def test_a_model_that_cannot_be_loaded_is_no_fault_of_the_file(tmp_path):
    batch_check.make_photos(tmp_path, 1, broken=0)
    steps.load_once.cache_clear()
    with pytest.raises(UserError, match="--model=nonsense"):
        steps.denoise_file(str(tmp_path / "0000.jpg"), "/o", parsed("--model=nonsense"))


@pytest.mark.parametrize("when", ["between", "after"])
def test_a_killed_run_can_be_resumed(tmp_path, when):
    """Killed right after the mark or right after the result: all that is there is known as ours."""
    batch_check.make_photos(tmp_path, 1, broken=0)
    source, target = str(tmp_path / "0000.jpg"), tmp_path / "out" / "0000.jpg"
    code = (
        "import os, signal, sys\n"
        "from gradnet_tf.batch import batch_steps as steps, batch_settings\n"
        "flags = ['--input=i', '--output=o', *sys.argv[4:]]\n"
        "settings = batch_settings.settings_of(batch_settings.make_parser().parse_args(flags))\n"
        "original = os.replace\n"
        "def replace(old, new, **kwargs):\n"
        "    result = str(new).endswith('0000.jpg')\n"
        "    if not (result and sys.argv[3] == 'between'):\n"
        "        original(old, new, **kwargs)\n"
        "    if result:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.replace = replace\n"
        "print(steps.denoise_file(sys.argv[1], sys.argv[2], settings))\n"
    )

    def killed(*flags):
        arguments = [sys.executable, "-c", code, source, str(target), when, *FLAGS, *flags]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done

    def outcome(*flags):
        return steps.denoise_file(source, str(target), parsed(*FLAGS, *flags))[0]

    killed()
    assert target.exists() == (when == "after")
    assert outcome() == steps.WRITTEN
    before = target.read_bytes()
    # The same while an earlier result is replaced by another one.
    killed("--strength=1")
    assert (target.read_bytes() == before) == (when == "between")
    assert outcome("--strength=1") == steps.WRITTEN and target.read_bytes() != before
    # What somebody else put there is not ours, also after such a run.
    killed()
    target.write_bytes(b"somebody else's")
    assert outcome() == steps.FAILED
    assert target.read_bytes() == b"somebody else's"


def test_lines_of_failures_are_one_line_of_plain_letters():
    line = steps.failure(os.fsdecode(b"/a/\xff \xc3\xa4.png"), ValueError("two\n lines"))
    assert line.isascii() and "\n" not in line
    assert json.loads(line)["reason"] == "ValueError: two lines"
    assert os.fsencode(json.loads(line)["path"]) == b"/a/\xff \xc3\xa4.png"
    assert json.loads(steps.failure("a", MemoryError()))["reason"] == "MemoryError"


def test_without_beam_the_extra_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    assert command.main([f"--input={tmp_path}", f"--output={tmp_path / 'out'}"]) == 2
    assert 'pip install ".[batch]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionError("refused"), 75),
        (RuntimeError("Channel closed prematurely."), 75),
        (RuntimeError("Traceback …\ngradnet_tf.utils.errors.UserError: a.keras: no model"), 2),
        (ValueError("a fault that every run would meet"), 2),
        (PermissionError(13, "Permission denied"), 2),
    ],
)
def test_only_errors_that_pass_say_that_the_same_command_continues(error, code):
    from gradnet_tf.batch.beam_engine import error_of

    assert error_of(error).exit_code == code


def test_a_file_of_somebody_s_is_a_failure_and_no_unreadable_input(tmp_path):
    batch_check.make_photos(tmp_path, 1, broken=0)
    (tmp_path / "out.jpg").write_bytes(b"mine")
    source, target = str(tmp_path / "0000.jpg"), str(tmp_path / "out.jpg")
    assert steps.denoise_file(source, target, parsed(*FLAGS))[0] == steps.FAILED


def test_a_raw_file_becomes_a_tiff(tmp_path):
    (tmp_path / "r.DNG").write_bytes(b"")
    found = list(steps.find_files(source_of(str(tmp_path / "r.DNG")), str(tmp_path / "out")))
    assert [target for _, (_, target) in found if target] == [f"{tmp_path}/out/r.tif".encode()]


def test_a_raw_file_that_is_not_changed_becomes_the_same_tiff(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"raw")
    developed = SimpleNamespace(encoded=b"II*developed", notes=(), lost=(), format="tiff")
    monkeypatch.setattr(steps, "decode_photo", lambda *_: developed)
    target = tmp_path / "out" / "a.tif"
    settings = parsed(*FLAGS, "--strength=0", "--luma=1", "--chroma=1")
    assert steps.denoise_file(str(tmp_path / "a.png"), str(target), settings) == (steps.WRITTEN, "")
    assert target.read_bytes() == b"II*developed"


def test_what_cannot_be_listed_is_a_failure(tmp_path, monkeypatch):
    (tmp_path / "in/closed").mkdir(parents=True)
    (tmp_path / "in/gone.png").symlink_to(tmp_path / "nothing.png")
    (tmp_path / "in/note.txt").symlink_to(tmp_path / "nothing.txt")
    scan = os.scandir

    def refused(path="."):
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    monkeypatch.setattr(steps.storage, "list_files", lambda pattern: [])
    found = steps.find_files(source_of(str(tmp_path / "in")), str(tmp_path / "out"))
    pairs = [(path.decode(), target.decode()) for _, (path, target) in found if target]
    assert {path for path, _ in pairs} == {f"{tmp_path}/in/{n}" for n in ("closed/*", "gone.png")}
    settings = parsed(*FLAGS)
    for path, target in pairs:
        assert steps.denoise_file(path, target, settings)[0] == steps.UNREADABLE
