"""Denoising networks as registered, serialisable Keras models.

The networks are imported, all of them, when the first one is asked for: presets and classical
denoisers beside them need no Keras, and `gradnet denoise` starts without it.
"""

import importlib

_HOMES = {
    "ADNet": "adnet",
    "CBDNet": "cbdnet",
    "DnCNN": "dncnn",
    "FFDNet": "ffdnet",
    "FixedSigma": "estimates",
    "GivenEstimate": "estimates",
    "GradNet": "gradnet",
    "MSKResnet": "mskresnet",
    "SKDnCNN": "skdncnn",
}
__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'gradnet_tf.models' has no attribute {name!r}")
    register_all()
    return globals()[name]


def __dir__():
    return __all__


def register_all() -> None:
    """Imports every network, so that Keras knows the classes that a file may name."""
    for name, home in _HOMES.items():
        globals()[name] = getattr(importlib.import_module(f"gradnet_tf.models.{home}"), name)
