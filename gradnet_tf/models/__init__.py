"""Denoising networks as registered, serialisable Keras models."""

from gradnet_tf.models.adnet import ADNet
from gradnet_tf.models.dncnn import DnCNN
from gradnet_tf.models.ffdnet import FFDNet
from gradnet_tf.models.fusion_study import SKDnCNN
from gradnet_tf.models.gradnet import GradNet
from gradnet_tf.models.mskresnet import MSKResnet

__all__ = ["ADNet", "DnCNN", "FFDNet", "GradNet", "MSKResnet", "SKDnCNN"]
