"""Image classifiers that take pixels in [0, 1]: one file per architecture, one wrapper and one loader for all."""

from diffig.classifiers.base import Classifier
from diffig.classifiers.checkpoint import load_weights
from diffig.classifiers.cifar_resnet import cifar_resnet
from diffig.classifiers.mnist_vit import mnist_vit
from diffig.classifiers.small_cnn import small_cnn
from diffig.classifiers.torchvision_models import torchvision_model

__all__ = ["Classifier", "cifar_resnet", "load_weights", "mnist_vit", "small_cnn", "torchvision_model"]
