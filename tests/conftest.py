"""Fixtures that several test files share."""

import os
from pathlib import Path

import numpy as np
import pytest

from gradnet_tf.images.image_files import write_image

# pytest-xdist runs one test process per core: within each, and in the scripts that it starts,
# one thread. Set before TensorFlow is imported, which reads them once.
if "PYTEST_XDIST_WORKER" in os.environ:
    for _name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(_name, "1")

# Without LLVM's optimizations JAX compiles much faster, and compiling is most of what its tests do.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real image sets; tests that need it skip where there is none."""
    folder = os.environ.get("GRADNET_DATA")
    if not folder:
        pytest.skip("GRADNET_DATA names no folder with the real image sets")
    return Path(folder)


@pytest.fixture(scope="session")
def peers_dir() -> Path:
    """The folder of other projects' published weights; tests that need it skip without it."""
    folder = os.environ.get("GRADNET_PEERS")
    if not folder:
        pytest.skip("GRADNET_PEERS names no folder with published weights")
    return Path(folder)


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> str:
    """The folder of a run with a network of random weights that visibly changes its input."""
    from tiny_run import make_run  # imports Keras, which few tests need

    return str(make_run(tmp_path_factory.mktemp("runs") / "run")[0])


@pytest.fixture
def make_images(tmp_path):
    """Returns a function that writes random RGB images: make_images(subfolder, names, size)."""

    def make(subfolder, names, size=(24, 32), channels=3) -> Path:
        folder = tmp_path / subfolder
        for name in names:
            generator = np.random.default_rng(sum(name.encode()))
            write_image(folder / name, generator.integers(0, 256, (*size, channels), np.uint8))
        return folder

    return make


@pytest.fixture
def scenes(make_images):
    """Four scenes of renoir, two of them to train on."""
    names = [
        f"batch{number:02d}_{kind}.png"
        for number in (3, 8, 31, 35)
        for kind in ("noisy", "reference", "clean")
    ]
    return make_images("D/renoir", names, size=(20, 24)).parent


@pytest.fixture(scope="session")
def served_model():
    """The network that `servable` holds."""
    from tiny_run import tiny_model

    return tiny_model()


@pytest.fixture(scope="session")
def served_folder(served_model, tmp_path_factory) -> Path:
    """A folder of versions with `served_model` as version 7."""
    from export.savedmodel.saved_model import write_saved_model

    folder = tmp_path_factory.mktemp("served")
    write_saved_model(served_model, folder / "7")
    return folder


@pytest.fixture(scope="session")
def servable(served_folder):
    """`served_folder` as the stand-in for TF Serving holds it."""
    from tools.stand_in_model import Servable

    return Servable(served_folder, "denoiser")


@pytest.fixture(scope="session")
def told_servable(tmp_path_factory):
    """The same of a network that is told the noise level."""
    from serving_case import tiny_ffdnet

    from export.savedmodel.saved_model import write_saved_model
    from tools.stand_in_model import Servable

    folder = tmp_path_factory.mktemp("told")
    write_saved_model(tiny_ffdnet(), folder / "1")
    return Servable(folder, "denoiser")
