"""The source networks of the shared data reach their published accuracies, and SqueezeNet its
reference vectors. TAP.

Usage: sources.py TDSNN
"""

import os
import sys
import tempfile

from tool import DATA, end, floats, ok, tdsnn

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

# Who sums floats in another order gets other last bits, 26 layers deep: 5 to 7e-7 of the logits'
# range, by the back end. The bound is 33 roundings of 2^-24.
BOUND = 2e-6

with tempfile.TemporaryDirectory() as folder:
    network = os.path.join(DATA, "models/squeezenet1.1/squeezenet1.1.onnx")
    for k in range(3):
        vectors = os.path.join(os.path.dirname(network), "{}" + f"_{k}.npy")
        out = os.path.join(folder, f"logits_{k}.npy")
        code, _ = tdsnn("eval", network, "--data", "npy:" + vectors.format("input"), "--logits", out)
        wanted, given = floats(vectors.format("output")), floats(out) if code == 0 else []
        span = max(wanted) - min(wanted)
        error = max((abs(a - b) for a, b in zip(given, wanted)), default=span) / span
        ok(len(given) == 1000 and error <= BOUND and given.index(max(given)) ==
           wanted.index(max(wanted)), f"squeezenet1.1, reference vector {k}: the same class, logits "
           f"{error:.2g} of their range, {span:.4g}, apart; at most {BOUND}")
end()
