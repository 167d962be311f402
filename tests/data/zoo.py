"""The networks of the shared data, with the data each is run on."""

import os
from collections import namedtuple

from tool import DATA

# kept: options of the data that the converted file remembers; given: those it does not.
Network = namedtuple("Network", "name data kept given samples")

IMAGENET = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]
PICTURES = ["--resize", "256", "--crop", "224"]
MNIST = f"mnist:{DATA}/mnist"
CIFAR10 = f"cifar10:{DATA}/cifar10"
SPEECH = f"npz:{DATA}/kws/speech_commands_mfcc_1000.npz"
IMAGES = f"images:{DATA}/imagenet"
# Data with labels that say how well a network works; of all other the source is the measure.
LABELLED = (MNIST, CIFAR10, SPEECH)

ZOO = [
    Network("lenet-mnist", MNIST, [], [], 10000),
    Network("mnist-8", MNIST, ["--scale", "1"], [], 10000),
    Network("lenet_caffe", MNIST, [], [], 10000),
    Network("netkit_mnist_cnn_dw", MNIST, [], [], 10000),
    Network("netkit_mnist_mlp", MNIST, [], [], 10000),
    Network("resnet20", CIFAR10, IMAGENET, [], 10000),
    Network("resnet56", CIFAR10, IMAGENET, [], 2000),
    Network("kws_dscnn", SPEECH, [], [], 1000),
    Network("vww_mobilenet_v1_0.25_96", "random:1000", [], [], 1000),
    Network("ad01_fc_autoencoder", "random:1000", [], [], 1000),
    Network("squeezenet1.1", IMAGES, IMAGENET, PICTURES, 100),
    Network("mobilenet_v1_0.75_224", IMAGES, ["--scale", "1", "--mean", "127.5", "--std", "127.5"],
            PICTURES, 100),
]

# Networks whose outputs are values, not classes.
VALUES = ("ad01_fc_autoencoder",)


def model(network):
    """The file of a network; one has a folder of its own."""
    path = os.path.join(DATA, "models", network.name)
    return os.path.join(path if os.path.isdir(path) else os.path.dirname(path), network.name + ".onnx")


def find(name):
    return next(network for network in ZOO if network.name == name)
