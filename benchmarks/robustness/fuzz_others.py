"""Mutates everything but photographs that `gradnet denoise` reads: models, settings, runs, streams.

Each mutant is given to the command in a forked process, so that a signal or a wait without end is
seen and harms nothing else. It must end as a result, as a refusal of one to three lines, or as an
interruption; see `verdict`. `benchmarks.robustness.fuzz_command` counts the outcomes.
"""

import io
import json
import os
import shutil
import signal
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.robustness.fuzz_photos import make_files, mutate
from gradnet_tf import weights
from gradnet_tf.cli.earlier_results import JOURNAL
from gradnet_tf.cli.earlier_results import NAME as SETTINGS
from gradnet_tf.utils.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_SOME_FAILED, EXIT_USAGE
from gradnet_tf.utils.files import sha256_of

#: Mutated files; "a/b" is the part b of what a names.
KINDS = (
    "model .tflite",
    "model .tflite/card",
    "model .keras",
    "model .mat",
    "model .pth",
    "run/config.json",
    "run/manifest.json",
    "run/weights",
    "settings",
    "settings/journal",
    "stream/input",
    "stream/output closed",
    "stream/output full",
    "stream/errors closed",
)
_WEIGHTS = "gradnet_tiny_color_blind"


class Originals:
    """Valid files of every kind, which are mutated.

    Args:
        folder: where they are written.
    """

    def __init__(self, folder: Path):
        # Imported once, and not used in this process, so that it can be forked.
        import keras  # noqa: F401

        self.folder = folder
        self.photo = folder / "photo.png"
        self.photo.write_bytes(make_files()["png"])
        card = weights.find_card(_WEIGHTS)
        tflite = weights.tflite_path(card)
        self.tflite, self.card = tflite.read_bytes(), tflite.with_suffix(".json").read_bytes()
        self.run = folder / "run"
        (self.run / "best").mkdir(parents=True)
        source = weights.verified_path(card)
        shutil.copy(source, self.run / "best" / "best.weights.h5")
        config = {"preset": card["preset"], "channels": card["channels"], "train": {"sigma_min": 0}}
        (self.run / "config.json").write_text(json.dumps(config))
        manifest = {"file": "best.weights.h5", "sha256": sha256_of(source), "step": 3}
        (self.run / "best" / "manifest.json").write_text(json.dumps(manifest))
        settings = {"model": _WEIGHTS, "strength": 1.0, "sigma": None}
        record = {"settings": [settings], "results": {"photo.png": 0, "other.png": 0}}
        self.settings = json.dumps(record).encode()
        entry = {"name": "photo.png", "sha256": sha256_of(self.photo), "settings": settings}
        self.journal = json.dumps(entry).encode() + b"\n"
        self.keras, self.mat, self.pth = _keras_file(folder), _matlab_file(), _torch_file()


def _keras_file(folder: Path) -> bytes:
    """Returns a .keras file, which is written by a child, so that this process can be forked."""
    path = folder / "model.keras"
    if os.fork() == 0:
        try:
            from gradnet_tf.denoiser import load_denoiser

            load_denoiser(_WEIGHTS, runtime="keras").model.save(path)
        finally:
            os._exit(0)
    os.wait()
    return path.read_bytes()


def _matlab_file() -> bytes:
    """Returns a file of version 5 with a network of two layers, as DnCNN's authors store it."""
    import scipy.io

    random = np.random.default_rng(0)
    layers = np.empty((1, 3), object)
    for place, (inputs, outputs) in {0: (1, 8), 2: (8, 1)}.items():
        cells = np.empty((1, 2), object)
        cells[0, 0] = random.normal(0, 0.01, (3, 3, inputs, outputs)).astype(np.float32)
        cells[0, 1] = np.zeros((outputs, 1), np.float32)
        layers[0, place] = {"type": "conv", "weights": cells, "pad": [1, 1, 1, 1], "stride": [1, 1]}
    layers[0, 1] = {"type": "relu"}
    target = io.BytesIO()
    scipy.io.savemat(target, {"net": {"layers": layers}}, do_compression=True)
    return target.getvalue()


def _torch_file() -> bytes:
    """Returns an archive as torch.save writes it, with one convolution."""
    text = (
        b"\x80\x02}(X\x0e\x00\x00\x00model.0.weightctorch._utils\n_rebuild_tensor_v2\n(("
        b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        b"K\x1btQK\x00(K\x01K\x03K\x03K\x03t(K\x1bK\x09K\x03K\x01t\x89ccollections\nOrderedDict\n"
        b")RtRu."
    )
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("archive/data.pkl", text)
        archive.writestr("archive/data/0", np.zeros(27, np.float32).tobytes())
        archive.writestr("archive/version", b"3\n")
    return target.getvalue()


def run_mutant(
    originals: Originals, kind: str, folder: Path, random: np.random.Generator, limit: float
) -> str:
    """Runs the command on one mutant; returns an outcome of `verdict`.

    Args:
        originals: the valid files.
        kind: one of `KINDS`.
        folder: a new folder.
        random: decides the mutation.
        limit: seconds after which the command counts as waiting without end.
    """
    output = folder / "out"
    arguments = ["denoise", str(originals.photo), f"--output={output}"]
    streams: dict[int, bytes | str | None] = {}
    what, _, part = kind.partition("/")
    if what == "run":
        shutil.copytree(originals.run, folder / "run")
        places = {"config.json": "config.json", "manifest.json": "best/manifest.json"}
        place = folder / "run" / places.get(part, "best/best.weights.h5")
        place.write_bytes(mutate(place.read_bytes(), random))
        if part == "weights":  # otherwise the sha256 would be all that is looked at
            manifest = {"file": place.name, "sha256": sha256_of(place)}
            (place.parent / "manifest.json").write_text(json.dumps(manifest))
        arguments.append(f"--model={folder / 'run'}")
    elif what == "settings":
        output.mkdir()
        if part == "journal":
            (output / JOURNAL).write_bytes(mutate(originals.journal, random))
        else:
            (output / SETTINGS).write_bytes(mutate(originals.settings, random))
        # With and without an earlier result, which the settings are then asked about.
        if random.random() < 0.5:
            shutil.copy(originals.photo, output)
            arguments += ["--overwrite"] * (random.random() < 0.5)
        arguments.append(f"--model={_WEIGHTS}")
    elif what == "stream":
        data = originals.photo.read_bytes()
        arguments = ["denoise", "-", f"--model={_WEIGHTS}"]
        streams = {0: mutate(data, random) if part == "input" else data}
        streams |= {
            "output closed": {1: None},
            "output full": {1: "/dev/full"},
            "errors closed": {2: None},
        }.get(part, {})
    else:
        suffix = what.removeprefix("model ")
        data = {".tflite": originals.tflite, ".keras": originals.keras, ".mat": originals.mat}.get(
            suffix, originals.pth
        )
        path = folder / f"model{suffix}"
        path.write_bytes(data if part else mutate(data, random))
        if part:
            path.with_suffix(".json").write_bytes(mutate(originals.card, random))
        arguments.append(f"--model={path}")
    code, printed, errors = _forked(arguments, folder, streams, limit)
    made = (output / "photo.png").exists() or bool(printed) or 1 in streams
    return verdict(code, errors, made, hears_errors=2 not in streams)


def verdict(code: int | None, errors: str, made: bool, hears_errors: bool = True) -> str:
    """Returns "written", "refused", "interrupted", or what is wrong.

    Args:
        code: the exit code, negative for a signal, `None` for a wait without end.
        errors: what the command printed on standard error.
        made: whether there is a result.
        hears_errors: whether standard error was open.
    """
    if code is None:
        return "waits without end"
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    if "Traceback" in errors:
        return f"a traceback: {errors.strip().splitlines()[-1][:150]}"
    if code == EXIT_OK:
        return "written" if made else "exit code 0 without a result"
    if code == EXIT_INTERRUPTED:
        return "interrupted"
    if code not in (EXIT_SOME_FAILED, EXIT_USAGE):
        return f"exit code {code}"
    lines = errors.splitlines()
    starts = [n for n, line in enumerate(lines) if line.startswith(("error: ", "failed: "))]
    if hears_errors and not (starts and len(lines) - starts[-1] <= 3):
        return f"refused in {len(lines) - starts[-1] if starts else 'no'} lines"
    return "refused"


def _forked(
    arguments: list[str], folder: Path, streams: Mapping[int, bytes | str | None], limit: float
) -> tuple[int | None, str, str]:
    """Runs the command in a child; returns exit code, standard output and standard error."""
    places = {number: folder / f"stream{number}" for number in (0, 1, 2)}
    given = streams.get(0, b"")
    places[0].write_bytes(given if isinstance(given, bytes) else b"")
    child = os.fork()
    if child == 0:
        _become(arguments, places, streams)
    end = time.monotonic() + limit
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None, "", ""
        time.sleep(0.005)
    texts = [
        places[number].read_bytes().decode("utf-8", "replace") if places[number].exists() else ""
        for number in (1, 2)
    ]
    return os.waitstatus_to_exitcode(status), *texts


def _become(arguments, places, streams) -> None:
    """Gives the forked child its streams, and runs the command in it."""
    import sys
    import traceback

    code = 70
    try:
        for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
            place = streams.get(number, "") if number else ""
            if place is None:
                os.close(number)
                setattr(sys, name, None)
                continue
            flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT
            opened = os.open(place if isinstance(place, str) and place else places[number], flags)
            os.dup2(opened, number)
            os.close(opened)
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))
        from gradnet_tf.cli.main import main

        code = main(arguments)
    except SystemExit as leave:
        code = leave.code
    except BaseException:
        if sys.stderr is not None:
            traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                try:
                    stream.flush()
                except OSError:
                    code = code or 120
        os._exit(code)
