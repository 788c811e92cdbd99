"""Exit codes and messages of a script: what a person sees when something goes wrong."""

import contextlib
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gradnet_tf.utils import errors
from gradnet_tf.utils.command import guarded, remembered_interrupt, report_error

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from absl import flags
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import Interrupted, NotFiniteError, UserError
import dataclasses
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import Interrupted, NotFiniteError, UserError
from gradnet_tf.utils.options import CommandLine, option

@dataclasses.dataclass(frozen=True)
class Options:
    \"\"\"What the script takes.

    Attributes:
        output: Folder to write.
        sigma: Noise level on the 0-255 scale.
    \"\"\"

    output: str
    sigma: float = option(25.0, least=0.0)

def main(given):
    print("sigma is", given.make(Options).sigma)
    {body}

run_script(main, "Tries a script.", CommandLine(Options))
"""


@pytest.fixture
def run(tmp_path, request):
    """Runs a small script with the given body of `main` and command line."""

    def call(body: str, *arguments: str) -> subprocess.CompletedProcess:
        path = tmp_path / "script.py"
        path.write_text(SCRIPT.format(root=str(request.config.rootpath), body=body))
        command = [sys.executable, str(path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return call


@pytest.mark.parametrize(("body", "code"), [("return None", 0), ("return 1", 1)])
def test_the_return_value_is_the_exit_code(run, body, code):
    done = run(body, "--output=x", "--sigma=15")
    assert (done.returncode, done.stdout, done.stderr) == (code, "sigma is 15.0\n", "")


@pytest.mark.parametrize(
    ("name", "code"), [("UserError", 2), ("NotFiniteError", 3), ("Interrupted", 75)]
)
def test_an_error_for_people_is_one_message_and_its_code(run, name, code):
    done = run(f"raise {name}('the lamp is out; bring another')", "--output=x")
    assert done.returncode == code
    assert done.stderr == "error: the lamp is out; bring another\n"


def test_a_clean_stop_is_no_error(run):
    done = run(
        "from gradnet_tf.utils.errors import Stopped\n    raise Stopped('stopped at step 7')",
        "--output=x",
    )
    assert (done.returncode, done.stderr) == (75, "stopped at step 7\n")


def test_every_extra_is_named_by_what_it_brings():
    """An extra that nobody is told of, or a hint at one that does not exist, would show here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    assert set(errors.EXTRAS.values()) == set(extras)
    for module, extra in errors.EXTRAS.items():
        packages = {re.match(r"[\w.-]+", line)[0].replace("-", "_") for line in extras[extra]}
        assert module in packages


def test_install_hints_have_one_source_and_name_no_index():
    """The package is on no index: `pip install gradnet-tf[...]` would fetch a stranger's."""
    assert errors.install_command("ai_edge_litert.interpreter") == (
        'pip install ".[litert]" in a checkout'
    )
    assert errors.install_command("skimage") == "pip install skimage"
    written = {}
    for folder in ("gradnet_tf", "datasets", "export", "experiments", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name == "paper_mutants.py":  # It quotes the fault, to put it back.
                continue
            text = path.read_text("utf-8")
            assert not re.search(r"pip install [^\n]*gradnet[-_]tf", text), path
            if found := re.findall(r"""['"(: ]pip install [\w"'\[.{]+""", text):
                written[path.relative_to(ROOT).as_posix()] = len(found)
    # Besides the one function: the samples' packages are no extra; a card is read outside.
    assert set(written) == {
        "gradnet_tf/utils/errors.py",
        "gradnet_tf/weights/hub_card.py",
        "datasets/sets/sample.py",
        "benchmarks/speed/__main__.py",
    }


@pytest.mark.parametrize("module", sorted(errors.EXTRAS))
def test_a_missing_optional_module_is_no_traceback(capsys, module):
    def main():
        raise ModuleNotFoundError(f"No module named '{module}.part'", name=f"{module}.part")

    assert guarded(main) == 2
    assert capsys.readouterr().err == (
        f"error: needs {module}.part, which is not installed.\n"
        f'Run: pip install ".[{errors.EXTRAS[module]}]" in a checkout\n'
    )


def test_a_missing_module_of_our_own_is_a_fault():
    def main():
        raise ModuleNotFoundError("No module named 'gradnet_tf.gone'", name="gradnet_tf.gone")

    with pytest.raises(ModuleNotFoundError):
        guarded(main)


def test_a_fault_of_the_program_keeps_its_traceback(run):
    done = run("raise ZeroDivisionError('a fault')", "--output=x")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "a fault" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--output=x", "--sgima=3"], "sgima"),
        (["--output=x", "--sigma=loud"], "loud"),
        (["--output=x", "--sigma=-3"], "-3"),
        (["--output=x", "picture.png"], "unexpected argument 'picture.png'"),
        ([], "--output"),
    ],
)
def test_wrong_usage_names_the_flag_and_stops_before_the_work(run, arguments, words):
    done = run("pass", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 3
    assert done.stderr.splitlines()[-1].endswith("--help")


def test_help_shows_the_text_and_the_flags_once(run):
    done = run("pass", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Tries a script." in done.stdout
    assert done.stdout.count("--sigma") == 1
    assert "Noise level on the 0-255 scale (default: 25)" in done.stdout


def test_an_interrupt_from_the_keyboard_is_resumable(capsys):
    def main():
        raise KeyboardInterrupt

    assert guarded(main) == errors.EXIT_INTERRUPTED == 75
    assert capsys.readouterr().err == "interrupted\n"


def test_report_error_prints_the_message_and_returns_the_code(capsys):
    assert report_error(errors.UserError("no such folder: a")) == errors.EXIT_USAGE
    assert capsys.readouterr().err == "error: no such folder: a\n"


def test_a_user_error_is_also_a_value_error():
    assert issubclass(errors.UserError, ValueError)


def test_a_reader_who_leaves_early_is_not_an_error(tmp_path, request):
    path = tmp_path / "script.py"
    body = 'print("line\\n" * 100_000)'
    path.write_text(SCRIPT.format(root=str(request.config.rootpath), body=body))
    with subprocess.Popen(
        [sys.executable, str(path), "--output=x"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline().startswith("sigma is")
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 0


def test_ctrl_c_that_a_library_swallows_is_raised_at_the_end():
    def library():
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    done = []
    with pytest.raises(KeyboardInterrupt), remembered_interrupt():
        library()
        done.append(True)
    assert done and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with remembered_interrupt():
        pass
