"""Folders, patterns, streams: what is planned, skipped, copied and reported."""

import io
import os
import sys

import numpy as np
import photo_samples as files
import pytest
from denoise_case import gradnet, names, negative
from PIL import Image

from gradnet_tf.cli.denoise_files import denoise_files
from gradnet_tf.cli.denoise_plan import FileOptions, plan_jobs
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.utils.errors import Interrupted, UserError

MADE = {
    "a.jpg": lambda: files.by_pillow(files.noise(20, 30, 3), "JPEG", exif=files.exif()),
    "sub/a.png": lambda: files.by_opencv(files.noise(9, 7, 3, dtype=np.uint16), ".png"),
    "sub/deep/b.tif": lambda: files.by_tifffile(files.noise(8, 9, 3, dtype=np.float32)),
    "c.webp": lambda: files.by_pillow(files.noise(8, 9, 4), "WEBP", lossless=True),
}


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for name, make in MADE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(make())
    (folder / "notes.txt").write_text("no photograph")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "x.png").write_bytes(MADE["sub/a.png"]())
    return folder


def denoise(*arguments):
    return gradnet("denoise", *arguments)


def test_a_folder_keeps_its_structure_and_its_formats(photos, tmp_path, run):
    output = tmp_path / "out"
    assert denoise(photos, "--output", output, "--model", run) == 0
    assert names(output) == sorted(MADE)
    denoiser = load_denoiser(run)
    array = files.noise(9, 7, 3, dtype=np.uint16)
    written = files.read_opencv((output / "sub/a.png").read_bytes())
    np.testing.assert_array_equal(written, denoiser(array))
    with Image.open(output / "a.jpg") as image:
        assert files.exif_facts(image) == files.EXIF_FACTS
    found = files.read_pillow((output / "c.webp").read_bytes())
    np.testing.assert_array_equal(found[..., 3], files.noise(8, 9, 4)[..., 3])


@pytest.mark.parametrize("flags", [["--strength", "0"], ["--luma", "0", "--chroma", "0"]])
def test_strength_0_copies_byte_for_byte_without_a_model(photos, tmp_path, flags):
    output = tmp_path / "out"
    assert denoise(photos, "--output", output, "--model", "no_such_model", *flags) == 0
    assert names(output) == sorted(MADE)
    for name in MADE:
        assert (output / name).read_bytes() == (photos / name).read_bytes()


def test_without_recursion_the_folder_alone(photos, tmp_path):
    plan = plan_jobs([str(photos)], str(tmp_path / "out"), recursive=False)
    assert [job.source.name for job in plan.jobs] == ["a.jpg", "c.webp"]


def test_an_output_inside_the_input_is_no_input(photos):
    for _ in range(2):  # The second time, results lie there.
        plan = plan_jobs([str(photos)], str(photos / "out"))
        assert len(plan.jobs) == len(MADE)
        assert denoise_files(plan, lambda _: negative) == 0
    assert len(plan_jobs([str(photos / "**/*.*")], str(photos / "out")).jobs) == len(MADE)


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("*.jpg", ["a.jpg"]),
        ("**/*.[pt]*", ["sub/a.png", "sub/deep/b.tif"]),
        ("su?/*.png", ["sub/a.png"]),
        ("sub/**/*", ["a.png", "deep/b.tif"]),
    ],
)
def test_a_pattern_keeps_what_stands_behind_its_fixed_part(photos, tmp_path, pattern, wanted):
    plan = plan_jobs([str(photos / pattern)], str(tmp_path / "out"))
    targets = [job.target.relative_to(tmp_path / "out").as_posix() for job in plan.jobs]
    assert targets == wanted and not plan.failures


def test_a_pattern_without_a_match_is_bad_input(photos, tmp_path):
    with pytest.raises(UserError, match="matches no images"):
        plan_jobs([str(photos / "*.bmp")], str(tmp_path / "out"))


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(photos, tmp_path):
    (photos / "a[1].jpg").write_bytes(MADE["a.jpg"]())
    plan = plan_jobs([str(photos / "a[1].jpg")], str(tmp_path / "out"))
    assert [job.source.name for job in plan.jobs] == ["a[1].jpg"]


def test_what_has_a_result_is_skipped_unless_asked(photos, tmp_path, capsys):
    plan = plan_jobs([str(photos)], str(tmp_path / "out"))
    assert denoise_files(plan, lambda _: negative) == 0
    first = {name: (tmp_path / "out" / name).read_bytes() for name in MADE}
    (tmp_path / "out" / "a.jpg").unlink()
    assert denoise_files(plan, lambda _: lambda pixels: pixels) == 0
    assert "1 written, 3 skipped, 0 failed" in capsys.readouterr().out
    assert (tmp_path / "out" / "c.webp").read_bytes() == first["c.webp"]
    assert denoise_files(plan, lambda _: lambda pixels: pixels, FileOptions(overwrite=True)) == 0
    assert "4 written, 0 skipped" in capsys.readouterr().out
    assert (tmp_path / "out" / "c.webp").read_bytes() != first["c.webp"]


def test_nothing_but_skipped_files_needs_no_model(photos, tmp_path):
    def no_model(_):
        raise AssertionError("the model was loaded")

    plan = plan_jobs([str(photos / "a.jpg")], str(tmp_path / "out"))
    assert denoise_files(plan, lambda _: negative) == 0
    assert denoise_files(plan, no_model) == 0


def test_a_dry_run_does_nothing(photos, tmp_path, capsys):
    output = tmp_path / "out"
    assert denoise(photos, "--output", output, "--dry-run", "--model", "no_such_model") == 0
    printed = capsys.readouterr().out
    assert "4 to write, 0 to skip" in printed and f"-> {output / 'sub' / 'a.png'}" in printed
    assert not output.exists()


def test_a_folder_without_access_is_a_failure_and_the_rest_is_done(
    photos, tmp_path, monkeypatch, capsys
):
    """Simulated, because the superuser may look into every folder."""
    scandir = os.scandir

    def guarded(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    plan = plan_jobs([str(photos)], str(tmp_path / "out"))
    assert denoise_files(plan, lambda _: negative) == 1
    printed = capsys.readouterr()
    assert "3 written, 0 skipped, 1 failed" in printed.out
    assert "deep: cannot read this folder: Permission denied" in printed.err


def test_bad_files_of_every_kind_cost_a_line_each(photos, tmp_path, capsys):
    (photos / "z1.png").write_bytes(b"")
    (photos / "z2.jpg").write_bytes(MADE["a.jpg"]()[:700])
    (photos / "z3.png").write_bytes(b"this is text")
    (photos / "z4.jpg").write_bytes(MADE["sub/a.png"]())  # A PNG all the same.
    plan = plan_jobs([str(photos)], str(tmp_path / "out"))
    assert denoise_files(plan, lambda _: negative) == 1
    printed = capsys.readouterr()
    assert "5 written, 0 skipped, 3 failed" in printed.out
    failures = [line for line in printed.err.splitlines() if not line.startswith("note: ")]
    assert [line.split("/")[-1][:2] for line in failures] == ["z1", "z2", "z3"]
    assert (tmp_path / "out" / "z4.jpg").read_bytes().startswith(b"\x89PNG")
    assert names(tmp_path / "out") == sorted([*MADE, "z4.jpg"])


def test_an_interruption_says_how_far_it_got_and_leaves_no_half_file(photos, tmp_path, capsys):
    calls = []

    def interrupted(pixels):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return pixels

    plan = plan_jobs([str(photos)], str(tmp_path / "out"))
    with pytest.raises(Interrupted, match="run the same command again"):
        denoise_files(plan, lambda _: interrupted)
    assert "2 written, 0 skipped, 0 failed" in capsys.readouterr().out
    assert len(names(tmp_path / "out")) == 2
    assert denoise_files(plan, lambda _: negative) == 0
    assert "2 written, 2 skipped" in capsys.readouterr().out


def test_quality_reaches_the_file(photos, tmp_path):
    sizes = []
    for quality in (10, 95):
        plan = plan_jobs([str(photos / "a.jpg")], str(tmp_path / str(quality)))
        denoise_files(plan, lambda _: negative, FileOptions(quality=quality))
        sizes.append((tmp_path / str(quality) / "a.jpg").stat().st_size)
    assert sizes[0] < sizes[1]


class Stream:
    """A standard stream with the bytes beneath."""

    def __init__(self, data=b""):
        self.buffer = io.BytesIO(data)

    def write(self, text):
        self.buffer.write(text.encode())

    def flush(self):
        pass


def test_a_dash_is_standard_input_to_standard_output(monkeypatch, run, capsys):
    data = MADE["sub/a.png"]()
    target = Stream()
    monkeypatch.setattr(sys, "stdin", Stream(data))
    monkeypatch.setattr(sys, "stdout", target)
    assert denoise("-", "--model", run) == 0
    wanted = load_denoiser(run)(files.noise(9, 7, 3, dtype=np.uint16))
    np.testing.assert_array_equal(files.read_opencv(target.buffer.getvalue()), wanted)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-", "--output", "out"], "Leave the flag out"),
        (["-", "a.png", "--output", "out"], "must be the only input"),
        (["--quality", "0", "a.jpg", "--output", "o"], "expected a whole number in [1, 100]"),
        (["--quality", "9.5", "a.jpg", "--output", "o"], "expected a whole number in [1, 100]"),
        (["--luma", "nan", "a.jpg", "--output", "o"], "expected a number in [0, 1]"),
        (
            ["--max-megapixels", "0", "a.jpg", "--output", "o"],
            "--max-megapixels: expected a number",
        ),
    ],
)
def test_wrong_arguments_are_reported(arguments, words, capsys):
    assert denoise(*arguments) == 2 and words in capsys.readouterr().err


def test_progress_on_a_terminal_names_files_speed_and_time_left(photos, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    denoise_files(plan_jobs([str(photos)], str(tmp_path / "out")), lambda _: negative)
    assert "1 of 4 files" in screen.getvalue()
    assert "megapixels/s" in screen.getvalue() and " left" in screen.getvalue()


def test_a_dry_run_refuses_what_the_run_would_refuse(photos, tmp_path, capsys):
    output = tmp_path / "out"
    output.mkdir()
    (output / "a.jpg").write_bytes(b"mine")
    flags = [photos / "a.jpg", "--output", output, "--overwrite", "--strength=0"]
    assert denoise(*flags, "--dry-run") == 1
    printed = capsys.readouterr()
    assert "0 to write, 0 to skip, 1 to refuse" in printed.out
    assert "is not a result of this command" in printed.err
    assert denoise(*flags) == 1  # not 2: nothing was wrong with the photograph
    assert (output / "a.jpg").read_bytes() == b"mine"


def test_a_pipe_among_several_inputs_is_refused_like_one_alone(photos, tmp_path, capsys):
    os.mkfifo(photos / "p.jpg")
    flags = ["--output", tmp_path / "out", "--strength=0"]
    assert denoise(photos / "p.jpg", photos / "a.jpg", *flags) == 1
    assert "1 written, 0 skipped, 1 failed" in capsys.readouterr().out


def test_a_folder_without_access_is_one_failure_of_a_pattern(photos, tmp_path, monkeypatch, capsys):
    listdir = os.listdir

    def guarded(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", guarded)
    assert denoise(f"{photos}/**/*.png", "--output", tmp_path / "out", "--strength=0") == 1
    assert "1 failed" in capsys.readouterr().out


def test_inputs_may_stand_on_both_sides_of_an_option(photos, tmp_path, capsys):
    output = tmp_path / "out"
    flags = ["--output", output, "--strength=0"]
    assert denoise(photos / "a.jpg", *flags, photos / "c.webp") == 0
    assert names(output) == ["a.jpg", "c.webp"]
    assert denoise(photos / "a.jpg", *flags, "--overwite", photos / "c.webp") == 2
    assert "Did you mean --overwrite?" in capsys.readouterr().err


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_appears_during_the_run_is_not_replaced(tmp_path, capsys, overwrite):
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name in ("a.png", "b.png"):
        (source / name).write_bytes(files.by_opencv(files.noise(9, 7, 3), ".png"))

    def load(_):
        output.mkdir(exist_ok=True)
        (output / "b.png").write_bytes(b"mine")
        return negative

    options = FileOptions(settings={"strength": 1.0}, overwrite=overwrite)
    assert denoise_files(plan_jobs([source], output), load, options) == 1
    assert (output / "b.png").read_bytes() == b"mine" and (output / "a.png").stat().st_size > 50
    assert "b.png exists and is not a result of this command" in capsys.readouterr().err


def drawing_as_jpeg():
    page = np.full((120, 160, 3), 255, np.uint8)
    page[20:100:10, 20:140] = (200, 30, 30)
    return files.by_pillow(page, "JPEG", quality=60)


def test_what_has_no_noise_comes_back_byte_for_byte(tmp_path):
    """Encoding it again would change what the network has left as it is."""
    (tmp_path / "page.jpg").write_bytes(drawing_as_jpeg())
    page = tmp_path / "page.jpg"
    assert gradnet("denoise", page, "--output", tmp_path / "out") == 0
    assert (tmp_path / "out" / "page.jpg").read_bytes() == page.read_bytes()
    assert gradnet("denoise", page, "--output", tmp_path / "small", "--quality=30") == 0
    assert len((tmp_path / "small" / "page.jpg").read_bytes()) < len(page.read_bytes())


@pytest.mark.skipif(sys.platform == "darwin", reason="names there are always valid")
def test_quiet_does_not_stop_at_a_name_that_cannot_be_printed(tmp_path):
    for name in ("a\udcff.png", "z.png"):
        (tmp_path / name).write_bytes(MADE["sub/a.png"]())
    flags = ["--output", tmp_path / "out", "--model=gradnet_tiny", "--quiet"]
    assert gradnet("denoise", tmp_path, *flags) == 0
    assert names(tmp_path / "out") == ["a\udcff.png", "z.png"]


def test_a_result_is_ours_though_its_report_was_interrupted(tmp_path, monkeypatch, capsys):
    from gradnet_tf.cli.folder_report import DenoiseReport

    (tmp_path / "a.png").write_bytes(MADE["sub/a.png"]())
    command = ["denoise", tmp_path / "a.png", "--output", tmp_path / "out", "--model=gradnet_tiny"]
    with monkeypatch.context() as interrupted:

        def stop(*_):
            raise KeyboardInterrupt

        interrupted.setattr(DenoiseReport, "add_written", stop)
        assert gradnet(*command, "--report", tmp_path / "r.html") not in (0, 1, 2)
    assert "1 written" in capsys.readouterr().out
    assert gradnet(*command, "--overwrite") == 0
