"""Denoising networks as registered, serializable Keras models.

All networks are imported on first access to one of them, because presets and classical denoisers
need no Keras, and `gradnet denoise` starts without it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradnet_tf.models.adnet import ADNet as ADNet
    from gradnet_tf.models.cbdnet import CBDNet as CBDNet
    from gradnet_tf.models.cbdnet import ReleasedCBDNet as ReleasedCBDNet
    from gradnet_tf.models.dncnn import DnCNN as DnCNN
    from gradnet_tf.models.estimates import AnyKerasModel as AnyKerasModel
    from gradnet_tf.models.estimates import FixedSigma as FixedSigma
    from gradnet_tf.models.estimates import GivenEstimate as GivenEstimate
    from gradnet_tf.models.ffdnet import FFDNet as FFDNet
    from gradnet_tf.models.gradnet import GradNet as GradNet
    from gradnet_tf.models.mskresnet import MSKResnet as MSKResnet
    from gradnet_tf.models.skdncnn import SKDnCNN as SKDnCNN

_HOMES = {
    "ADNet": "adnet",
    "AnyKerasModel": "estimates",
    "CBDNet": "cbdnet",
    "DnCNN": "dncnn",
    "FFDNet": "ffdnet",
    "FixedSigma": "estimates",
    "GivenEstimate": "estimates",
    "GradNet": "gradnet",
    "MSKResnet": "mskresnet",
    "ReleasedCBDNet": "cbdnet",
    "SKDnCNN": "skdncnn",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gradnet_tf.models' has no attribute {name!r}")
    register_all()
    return globals()[name]


def __dir__() -> list[str]:
    return __all__


def register_all() -> None:
    """Imports every network, so that Keras can load files with any of the classes."""
    for name, home in _HOMES.items():
        globals()[name] = getattr(importlib.import_module(f"gradnet_tf.models.{home}"), name)
