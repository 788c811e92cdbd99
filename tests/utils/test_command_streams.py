"""Where commands meet streams and libraries: closed, narrow or broken, and never a traceback."""

import errno
import io
import os
import subprocess
import sys

import pytest
from photo_samples import by_pillow, noise

from gradnet_tf.utils.command import OutputStream, guarded, refusal


class Broken(io.StringIO):
    def write(self, text):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_stream_that_was_closed_takes_text():
    stream = OutputStream(None)
    assert stream.write("a") == 1 and stream.is_closed and stream.failure is None
    stream.flush()
    assert not stream.isatty()
    stream.stream.close()


@pytest.mark.parametrize(
    ("encoding", "shown"), [("latin-1", "é \\u590f"), ("ascii", "\\xe9 \\u590f"), ("utf-8", "é 夏")]
)
def test_letters_that_a_console_lacks_are_escaped(encoding, shown):
    held = io.BytesIO()
    stream = OutputStream(io.TextIOWrapper(held, encoding))
    stream.write("é 夏")
    stream.flush()
    assert held.getvalue().decode(encoding) == shown


def test_control_characters_do_not_reach_a_terminal():
    held = io.StringIO()
    OutputStream(held).write("a\x1b[31m\x07\nb\tc")
    assert held.getvalue() == "a\\x1b[31m\\x07\nb\tc"


def test_a_broken_stream_ends_the_text_and_not_the_work():
    stream = OutputStream(Broken())
    for _ in range(2):
        assert stream.write("abc") == 3
    assert stream.failure.errno == errno.ENOSPC


@pytest.mark.skipif(os.name != "posix", reason="runs a POSIX shell")
@pytest.mark.parametrize("end", ["| head -1", ">&-", "2>&-", "<&-", ">&- 2>&-"])
def test_all_files_are_written_whatever_becomes_of_the_streams(tmp_path, end):
    (tmp_path / "in").mkdir()
    for number in range(30):
        (tmp_path / "in" / f"{number}.png").write_bytes(by_pillow(noise(4, 5, 3), "PNG"))
    line = f'"{sys.executable}" -m gradnet_tf denoise in --output out --strength=0'
    script = f"( {line}; echo $? > code ) {end}" if "|" in end else f"{line} {end}; echo $? > code"
    path = os.pathsep.join(map(os.path.abspath, sys.path))
    done = subprocess.run(
        script,
        shell=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert len(list((tmp_path / "out").glob("*.png"))) == 30
    assert (tmp_path / "code").read_text() == "0\n"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENAMETOOLONG, "File name too long", "n" * 400), "…"),
        (
            PermissionError(errno.EACCES, "Permission denied", "a\x1bb"),
            "a\\x1bb: permission denied",
        ),
        (ImportError("x.so: cannot open shared object file"), "Is a limit on memory too low?"),
        (MemoryError(), "not enough memory"),
        (RecursionError(), "nested too deep"),
        (RuntimeError("Symlink loop from 'a'"), "leads to itself"),
        (ValueError("embedded null byte"), "NUL byte"),
        (UnicodeEncodeError("utf-8", "a\udcff", 1, 2, "surrogates"), "not valid UTF-8"),
    ],
)
def test_what_the_system_refuses_is_named(error, words, capsys):
    assert words in refusal(error)

    def fail():
        raise error

    assert guarded(fail, []) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and len(printed.splitlines()) <= 2


def test_faults_of_the_program_are_none_of_these():
    assert refusal(KeyError("a")) is None and refusal(ValueError("a")) is None
