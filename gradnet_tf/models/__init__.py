"""Denoising networks as registered, serialisable Keras models."""

from gradnet_tf.models.adnet import ADNet
from gradnet_tf.models.cbdnet import CBDNet
from gradnet_tf.models.dncnn import DnCNN
from gradnet_tf.models.ffdnet import FFDNet
from gradnet_tf.models.fixed_sigma import FixedSigma
from gradnet_tf.models.fusion_study import SKDnCNN
from gradnet_tf.models.given_estimate import GivenEstimate
from gradnet_tf.models.gradnet import GradNet
from gradnet_tf.models.mskresnet import MSKResnet

__all__ = [
    "ADNet",
    "CBDNet",
    "DnCNN",
    "FFDNet",
    "FixedSigma",
    "GivenEstimate",
    "GradNet",
    "MSKResnet",
    "SKDnCNN",
]
