"""The MNIST networks without retraining: accuracy, spikes and proof on the real test set. TAP.

Usage: mnist.py TDSNN
"""

import os
import sys
import tempfile

from tool import DATA, end, ok, tdsnn

MNIST = os.path.join(DATA, "mnist")

# network, its source accuracy, --scale, then (steps, points that may be lost, most spikes per neuron)
NETWORKS = [
    ("lenet-mnist", 99.17, "1/255", [(7, 0.05, 0.27), (3, 0.2, 0.19)]),
    ("mnist-8", 98.91, "1", [(15, 0.1, None), (7, 0.3, None)]),
    ("netkit_mnist_mlp", 97.90, "1/255", [(15, 0.1, None), (7, 0.3, None)]),
]
# Codes of LeNet that are proved on 100 images, every neuron of every layer.
PROVED = [("nearest", "0"), ("nearest", "1"), ("ceil", "0"), ("ceil", "1")]

if not os.path.isdir(MNIST):
    print(f"1..0 # SKIP no MNIST at {MNIST}")
    sys.exit(0)


def convert(network, folder, *arguments):
    out = os.path.join(folder, "out.onnx")
    model = os.path.join(DATA, "models", network + ".onnx")
    code, _ = tdsnn("convert", model, "-o", out, "--force", "--calibrate", f"mnist:{MNIST}", *arguments)
    if code != 0:
        ok(False, f"{network} {' '.join(arguments)} does not convert: exit {code}")
    return model, out


def accuracy(folder):
    for network, published, scale, goals in NETWORKS:
        if not os.path.exists(os.path.join(DATA, "models", network + ".onnx")):
            print(f"# no {network} in {DATA}/models: left out")
            continue
        for steps, lost, most_spikes in goals:
            model, out = convert(network, folder, "--steps", str(steps), "--scale", scale)
            _, source = tdsnn("eval", model, "--data", f"mnist:{MNIST}", "--scale", scale)
            _, spiking = tdsnn("eval", out, "--data", f"mnist:{MNIST}")
            ok(abs(source["top1_percent"] - published) <= 0.02,
               f"{network}: source {source['top1_percent']:.2f} %, published {published}")
            ok(spiking["top1_percent"] >= source["top1_percent"] - lost - 1e-9,
               f"{network} K={steps}: {spiking['top1_percent']:.2f} %, at most {lost} points lost")
            spikes = (f"{network} K={steps}: {spiking['spikes_per_neuron']:.4f} spikes per neuron, "
                      f"{spiking['zero_spikes_per_neuron']:.4f} zero spikes")
            if most_spikes is None:
                print(f"# {spikes}")
            else:
                ok(spiking["spikes_per_neuron"] <= most_spikes, f"{spikes}, at most {most_spikes}")


def proof(folder):
    for rounding, offset in PROVED:
        for steps in ("3", "7"):
            _, out = convert("lenet-mnist", folder, "--steps", steps, "--rounding", rounding,
                             "--offset", offset)
            code, result = tdsnn("verify", out, "--data", f"mnist:{MNIST}", "--limit", "100")
            ok(code == 0 and result["neuron_vs_formula_mismatches"] == 0,
               f"K={steps} {rounding} offset {offset}: {result['neurons_checked']} neurons checked, "
               f"{result['neuron_vs_formula_mismatches']} mismatches against the formula, "
               f"{result['float_vs_double_mismatches']} float against double")


with tempfile.TemporaryDirectory() as folder:
    accuracy(folder)
    proof(folder)
end()
