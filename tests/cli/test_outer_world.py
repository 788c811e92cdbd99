"""Paths that no command can use, for each flag that takes a path: a result, or a line that says so.

The commands do a little work where the path can be used after all, so that most are slow.
"""

import os

import cv2
import pytest
from outer_world import Command, complaint, hostile_paths, outcome, script, sub_commands
from photo_samples import noise

from gradnet_tf.cli import main as cli
from gradnet_tf.utils.console import NAME_ESCAPES

MODEL = "gradnet_tiny_color_blind"
LITTLE = {"model": MODEL, "dataset": "folder", "data_dir": "{photos}", "output": "{out}"}


def gradnet_commands():
    usual = {"INPUT": "{photos}", "output": "{out}", "model": MODEL}
    return sub_commands("gradnet", cli.main, cli._parser(), {"denoise": usual})


def commands() -> dict[str, Command]:
    evaluate = {**LITTLE, "max_images": "1", "runtime": "litert"}
    train = {"preset": "gradnet_tiny", "dataset": "folder", "data_dir": "{photos}", "steps": "1"}
    train |= {"patch_size": "8", "batch_size": "1", "workdir": "{out}", "sigma": "25"}
    export = {**LITTLE, "formats": "saved_model", "max_images": "1"}
    found = [
        *gradnet_commands(),
        script("evaluate", evaluate),
        script("train", train),
        script("export.__main__", export),
    ]
    return {command.name: command for command in found}


NAMES = ("gradnet denoise", "evaluate", "train", "export.__main__")


def sweep(command, flag, tmp_path, monkeypatch, limit=60):
    """Returns what is wrong with the outcomes, by the kind of path; `limit` in seconds each."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(2):
        cv2.imwrite(str(photos / f"{number}.png"), noise(24, 28, 3, seed=number))
    monkeypatch.chdir(tmp_path)
    wrong = {}
    for number, (kind, path) in enumerate(hostile_paths(tmp_path / "hostile").items()):
        arguments = [
            part.replace("{photos}", str(photos))
            for part in command.arguments(flag, path, str(tmp_path / f"out{number}"))
        ]
        before = {each: each.read_bytes() for each in photos.iterdir()}
        try:
            found = complaint(*(ended := outcome(command, arguments, limit)))
        except BaseException as error:  # a traceback at the user's
            found, ended = f"{type(error).__name__}: {error}", None
        if {each: each.read_bytes() for each in photos.iterdir()} != before:
            found = "the photographs have changed"
        if found:
            wrong[kind.translate(NAME_ESCAPES)] = found, ended and ended[1][-500:]
    return wrong


@pytest.mark.skipif(os.name != "posix", reason="makes pipes and sockets")
@pytest.mark.parametrize("flag", ["INPUT", "output", "model", "report"])
def test_paths_of_gradnet_denoise(flag, tmp_path, monkeypatch):
    (command,) = gradnet_commands()
    assert flag in command.paths
    assert sweep(command, flag, tmp_path, monkeypatch) == {}


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="makes pipes and sockets")
@pytest.mark.parametrize("name", NAMES[1:])
def test_paths_of_the_scripts(name, tmp_path_factory, monkeypatch):
    command = commands()[name]
    assert {"output", "workdir"} & set(command.paths)
    wrong = {
        flag: found
        for flag in command.paths
        if (found := sweep(command, flag, tmp_path_factory.mktemp("a"), monkeypatch, limit=300))
    }
    assert wrong == {}
