"""Image denoising guided by image gradients, after "GradNet Image Denoising" (CVPRW 2020).

Names are imported when they are first used, so that `import gradnet_tf` is
cheap and starts no framework.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "ADNet": "gradnet_tf.models",
    "CBDNet": "gradnet_tf.models",
    "Denoiser": "gradnet_tf.denoiser",
    "DnCNN": "gradnet_tf.models",
    "FFDNet": "gradnet_tf.models",
    "GradNet": "gradnet_tf.models",
    "MSKResnet": "gradnet_tf.models",
    "PRESETS": "gradnet_tf.models.presets",
    "build_model": "gradnet_tf.models.presets",
    "load_denoiser": "gradnet_tf.denoiser",
    "read_photo": "gradnet_tf.images.photo_files",
    "write_photo": "gradnet_tf.images.photo_files",
}
__all__ = [*sorted(_HOMES), "__version__"]


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'gradnet_tf' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__():
    return __all__
