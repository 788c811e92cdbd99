"""The denoiser as an object: what it prints, how it is copied, and what a fork gets."""

import copy
import multiprocessing
import os
import pickle
import threading

import numpy as np
import pytest
from tiny_run import make_run, tiny_model

from gradnet_tf.denoiser import Denoiser, load_denoiser
from gradnet_tf.runtimes.keras_runtime import KerasRunner
from gradnet_tf.utils.errors import UserError

NAME = "gradnet_tiny_color_blind"
IMAGES = np.random.default_rng(0).random((1, 20, 24, 3), np.float32)


def test_it_says_what_it_is():
    assert repr(Denoiser(NAME, runtime="litert")) == f"<Denoiser {NAME}, runtime litert, RGB>"
    assert repr(Denoiser(KerasRunner(tiny_model(channels=1)), "t")) == (
        "<Denoiser t, runtime keras, gray>"
    )
    assert repr(Denoiser("opencv_nlm")) == "<Denoiser opencv_nlm, runtime classical, gray or RGB>"


@pytest.mark.parametrize("runtime", ["litert", "keras"])
@pytest.mark.parametrize("way", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_one_of_a_name_is_copied_by_name(runtime, way):
    denoiser = Denoiser(NAME, runtime=runtime)
    again = way(denoiser)
    assert (again.name, again.runtime, again.source) == (NAME, runtime, denoiser.source)
    np.testing.assert_array_equal(again.denoise(IMAGES), denoiser.denoise(IMAGES))


def test_one_of_a_path_is_copied_in_another_folder(tmp_path, monkeypatch):
    folder, _ = make_run(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    denoiser = load_denoiser("run")
    data = pickle.dumps(denoiser)
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(pickle.loads(data).denoise(IMAGES), denoiser.denoise(IMAGES))


def test_one_of_a_network_in_memory_says_why_it_is_not_copied():
    denoiser = Denoiser(KerasRunner(tiny_model()), "mine")
    for way in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="mine.* cannot be pickled or copied: .* in memory"):
            way(denoiser)


def in_a_fork(function):
    """Returns what `function` returns, or the message of its `UserError`, in a fork."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        try:
            sender.send(function())
        except UserError as error:
            sender.send(str(error))
        finally:
            os._exit(0)
    try:
        assert receiver.poll(60), "the fork hangs"
        return receiver.recv()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are of Unix")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning")
def test_a_fork_gets_an_error_from_keras_and_pixels_from_litert():
    keras, litert = (Denoiser(NAME, runtime=each) for each in ("keras", "litert"))
    expected = litert.denoise(IMAGES)
    keras.denoise(IMAGES)
    np.testing.assert_array_equal(in_a_fork(lambda: litert.denoise(IMAGES)), expected)
    for use in (lambda: keras.denoise(IMAGES), lambda: Denoiser(NAME, runtime="keras")):
        assert "does not work in a forked process" in in_a_fork(use)


@pytest.mark.parametrize("value", [np.nan, np.inf, 255.0])
def test_floats_that_no_network_takes_are_refused_by_denoise_as_well(value):
    images = IMAGES.copy()
    images[0, 1, 2] = value
    with pytest.raises(UserError, match="expected finite floats"):
        Denoiser(NAME).denoise(images)


def test_each_thread_is_told_the_networks_of_its_own_picture():
    """Several threads may share one denoiser; each one's picture has its own weights."""
    denoiser = Denoiser("gradnet_small_color_blind")
    color = np.random.default_rng(0).random((40, 48, 3), np.float32)
    pictures = {"color": color, "gray": color[..., :1]}
    ready, used = threading.Barrier(2), {}

    def call(kind):
        ready.wait()
        for _ in range(3):
            denoiser(pictures[kind])
            used.setdefault(kind, set()).update(denoiser.used)

    threads = [threading.Thread(target=call, args=(kind,)) for kind in pictures]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {kind: [text.partition(" ")[0] for text in found] for kind, found in used.items()} == {
        "color": ["gradnet_small_color_blind"],
        "gray": ["gradnet_small_gray_blind"],
    }
