"""Every network of the shared data converts, is proved and keeps its answers. TAP.

Usage: networks.py TDSNN
"""

import os
import sys
import tempfile

from tool import DATA, end, ok, tdsnn
from zoo import find, model

# network, how it is converted, samples to evaluate, least agreement with the source in percent,
# samples to prove
CHECKS = [
    ("lenet-mnist", ["--steps", "7"], 2000, 98, 20),
    ("mnist-8", ["--steps", "15"], 2000, 98, 20),
    ("lenet_caffe", ["--steps", "15"], 2000, 98, 20),
    ("netkit_mnist_cnn_dw", ["--steps", "15"], 2000, 98, 20),
    ("netkit_mnist_mlp", ["--steps", "15"], 2000, 98, 20),
    ("resnet20", ["--steps", "31"], 500, 94, 5),
    ("resnet20", ["--steps", "15", "--equalise", "--correct-biases"], 500, 94, 2),
    ("resnet56", ["--steps", "63"], 100, 94, 2),
    ("kws_dscnn", ["--steps", "31"], 1000, 92, 10),
    ("kws_dscnn", ["--steps", "15", "--leak", "auto", "--equalise", "--correct-biases"], 1000, 94, 2),
    ("vww_mobilenet_v1_0.25_96", ["--steps", "63"], 64, 94, 3),
    ("ad01_fc_autoencoder", ["--steps", "63"], 64, 85, 20),
    ("squeezenet1.1", ["--steps", "63", "--leak", "31.5"], 100, 90, 3),
    ("mobilenet_v1_0.75_224", ["--steps", "63"], 100, 94, 3),
]

if not os.path.isdir(os.path.join(DATA, "models")):
    print(f"1..0 # SKIP no networks at {DATA}/models")
    sys.exit(0)


def check(folder, name, how, samples, least, proved):
    network = find(name)
    out = os.path.join(folder, "out.onnx")
    data, given = network.data, network.given
    code, _ = tdsnn("convert", model(network), "-o", out, "--force", "--calibrate", data, *how,
                    *network.kept, *given)
    ok(code == 0, f"{name} {' '.join(how)} converts")
    if code != 0:
        return
    _, result = tdsnn("eval", out, "--data", data, "--limit", str(samples), "--against", model(network),
                      *given)
    top1 = result["top1_percent"]
    ok(result["agreement_percent"] >= least,
       f"{name}: agrees with its source on {result['agreement_percent']:.2f} % of {result['samples']}"
       f" samples, at least {least}; top-1 {'unknown' if top1 is None else f'{top1:.2f} %'}, "
       f"{result['spikes_per_neuron']:.3f} spikes per neuron")
    code, proof = tdsnn("verify", out, "--data", data, "--limit", str(proved), *given)
    ok(code == 0 and proof["neuron_vs_formula_mismatches"] == 0,
       f"{name}: {proof.get('neurons_checked')} neurons proved, "
       f"{proof.get('float_vs_double_mismatches')} float against double")


with tempfile.TemporaryDirectory() as folder:
    for row in CHECKS:
        check(folder, *row)
end()
