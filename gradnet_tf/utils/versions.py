"""Software versions, which are recorded with every published number."""

import importlib.metadata
import platform

_PACKAGES = (
    "gradnet-tf",
    "keras",
    "tensorflow",
    "jax",
    "ai-edge-litert",
    "numpy",
    "opencv-python-headless",
    "torch",
)


def installed_versions() -> dict[str, str]:
    """Returns the versions of Python and of the installed packages that affect results."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
