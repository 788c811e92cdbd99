"""Image denoising guided by image gradients, after "GradNet Image Denoising" (CVPRW 2020).

Names are imported when they are first used, so that `import gradnet_tf` is
cheap and starts no framework.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradnet_tf.analysis.noise_analysis import NoiseAnalysis as NoiseAnalysis
    from gradnet_tf.analysis.noise_analysis import analyse_noise as analyse_noise
    from gradnet_tf.analysis.noise_verdict import NoiseVerdict as NoiseVerdict
    from gradnet_tf.analysis.noise_verdict import judge_noise as judge_noise
    from gradnet_tf.denoiser import Denoiser as Denoiser
    from gradnet_tf.denoiser import load_denoiser as load_denoiser
    from gradnet_tf.evaluation.metrics import PSNR as PSNR
    from gradnet_tf.images.photo import Photo as Photo
    from gradnet_tf.images.photo_files import read_photo as read_photo
    from gradnet_tf.images.photo_files import write_photo as write_photo
    from gradnet_tf.models.adnet import ADNet as ADNet
    from gradnet_tf.models.cbdnet import CBDNet as CBDNet
    from gradnet_tf.models.dncnn import DnCNN as DnCNN
    from gradnet_tf.models.ffdnet import FFDNet as FFDNet
    from gradnet_tf.models.gradnet import GradNet as GradNet
    from gradnet_tf.models.losses import GradNetLoss as GradNetLoss
    from gradnet_tf.models.mskresnet import MSKResnet as MSKResnet
    from gradnet_tf.models.presets import PRESETS as PRESETS
    from gradnet_tf.models.presets import build_model as build_model
    from gradnet_tf.tiling.tile_config import TileConfig as TileConfig

__version__ = "0.1.0"

_HOMES = {
    "ADNet": "gradnet_tf.models",
    "CBDNet": "gradnet_tf.models",
    "Denoiser": "gradnet_tf.denoiser",
    "DnCNN": "gradnet_tf.models",
    "FFDNet": "gradnet_tf.models",
    "GradNet": "gradnet_tf.models",
    "GradNetLoss": "gradnet_tf.models.losses",
    "MSKResnet": "gradnet_tf.models",
    "NoiseAnalysis": "gradnet_tf.analysis.noise_analysis",
    "NoiseVerdict": "gradnet_tf.analysis.noise_verdict",
    "PRESETS": "gradnet_tf.models.presets",
    "PSNR": "gradnet_tf.evaluation.metrics",
    "Photo": "gradnet_tf.images.photo",
    "TileConfig": "gradnet_tf.tiling.tile_config",
    "analyse_noise": "gradnet_tf.analysis.noise_analysis",
    "build_model": "gradnet_tf.models.presets",
    "judge_noise": "gradnet_tf.analysis.noise_verdict",
    "load_denoiser": "gradnet_tf.denoiser",
    "read_photo": "gradnet_tf.images.photo_files",
    "write_photo": "gradnet_tf.images.photo_files",
}
#: What needs Keras with a backend, and is left out of `import *` and `help` where there is none.
_KERAS = ("gradnet_tf.models", "gradnet_tf.evaluation")
_has_keras = any(importlib.util.find_spec(name) for name in ("jax", "torch", "tensorflow"))
_shown = [name for name, home in _HOMES.items() if _has_keras or not home.startswith(_KERAS)]
__all__ = [*sorted(_shown), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gradnet_tf' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
