"""The source networks of the shared data reach their published accuracies. TAP.

Usage: sources.py TDSNN
"""

import os
import sys

from tool import DATA, end, ok, tdsnn

IMAGENET = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]

# network, data, its options, published top-1 in percent
NETWORKS = [
    ("lenet-mnist", "mnist:{}/mnist", [], 99.17),
    ("mnist-8", "mnist:{}/mnist", ["--scale", "1"], 98.91),
    ("lenet_caffe", "mnist:{}/mnist", [], 98.95),
    ("netkit_mnist_cnn_dw", "mnist:{}/mnist", [], 98.84),
    ("netkit_mnist_mlp", "mnist:{}/mnist", [], 97.90),
    ("resnet20", "cifar10:{}/cifar10", IMAGENET, 91.73),
    ("resnet56", "cifar10:{}/cifar10", IMAGENET, 93.39),
    ("kws_dscnn", "npz:{}/kws/speech_commands_mfcc_1000.npz", [], 90.1),
]

if not os.path.isdir(os.path.join(DATA, "models")):
    print(f"1..0 # SKIP no networks at {DATA}/models")
    sys.exit(0)

for network, data, options, published in NETWORKS:
    model = os.path.join(DATA, "models", network + ".onnx")
    code, result = tdsnn("eval", model, "--data", data.format(DATA), *options)
    top1 = result.get("top1_percent", 0.0)
    ok(code == 0 and abs(top1 - published) <= 0.02,
       f"{network}: {top1:.2f} % of {result.get('samples')}, published {published}; "
       f"{result.get('time_s', 0.0):.1f} s")
end()
