"""Every network of the shared data converts, is proved and keeps its answers. TAP.

Usage: networks.py TDSNN
"""

import os
import sys
import tempfile

from tool import DATA, end, ok, tdsnn

IMAGENET = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]
PICTURES = ["--resize", "256", "--crop", "224"]

# network, data, options of the data that the file remembers, options that it does not, steps and
# leak, samples to evaluate, least agreement with the source in percent, samples to prove
NETWORKS = [
    ("lenet-mnist", "mnist:{}/mnist", [], [], ["--steps", "7"], 2000, 98, 20),
    ("mnist-8", "mnist:{}/mnist", ["--scale", "1"], [], ["--steps", "15"], 2000, 98, 20),
    ("lenet_caffe", "mnist:{}/mnist", [], [], ["--steps", "15"], 2000, 98, 20),
    ("netkit_mnist_cnn_dw", "mnist:{}/mnist", [], [], ["--steps", "15"], 2000, 98, 20),
    ("netkit_mnist_mlp", "mnist:{}/mnist", [], [], ["--steps", "15"], 2000, 98, 20),
    ("resnet20", "cifar10:{}/cifar10", IMAGENET, [], ["--steps", "31"], 500, 94, 5),
    ("resnet56", "cifar10:{}/cifar10", IMAGENET, [], ["--steps", "63"], 100, 94, 2),
    ("kws_dscnn", "npz:{}/kws/speech_commands_mfcc_1000.npz", [], [], ["--steps", "31"], 1000, 92, 10),
    ("vww_mobilenet_v1_0.25_96", "random:64", [], [], ["--steps", "63"], 64, 94, 3),
    ("ad01_fc_autoencoder", "random:64", [], [], ["--steps", "63"], 64, 85, 20),
    ("squeezenet1.1/squeezenet1.1", "images:{}/imagenet", IMAGENET, PICTURES,
     ["--steps", "63", "--leak", "31.5"], 100, 90, 3),
    ("mobilenet_v1_0.75_224", "images:{}/imagenet",
     ["--scale", "1", "--mean", "127.5", "--std", "127.5"], PICTURES, ["--steps", "63"], 100, 94, 3),
]

if not os.path.isdir(os.path.join(DATA, "models")):
    print(f"1..0 # SKIP no networks at {DATA}/models")
    sys.exit(0)


def check(folder, network, data, kept, given, steps, samples, least, proved):
    model = os.path.join(DATA, "models", network + ".onnx")
    out = os.path.join(folder, "out.onnx")
    data = data.format(DATA)
    code, _ = tdsnn("convert", model, "-o", out, "--force", "--calibrate", data, *steps, *kept, *given)
    ok(code == 0, f"{network} {' '.join(steps)} converts")
    if code != 0:
        return
    _, result = tdsnn("eval", out, "--data", data, "--limit", str(samples), "--against", model, *given)
    top1 = result["top1_percent"]
    ok(result["agreement_percent"] >= least,
       f"{network}: agrees with its source on {result['agreement_percent']:.2f} % of {result['samples']}"
       f" samples, at least {least}; top-1 {'unknown' if top1 is None else f'{top1:.2f} %'}, "
       f"{result['spikes_per_neuron']:.3f} spikes per neuron")
    code, proof = tdsnn("verify", out, "--data", data, "--limit", str(proved), *given)
    ok(code == 0 and proof["neuron_vs_formula_mismatches"] == 0,
       f"{network}: {proof.get('neurons_checked')} neurons proved, "
       f"{proof.get('float_vs_double_mismatches')} float against double")


with tempfile.TemporaryDirectory() as folder:
    for row in NETWORKS:
        check(folder, *row)
end()
