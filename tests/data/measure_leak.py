"""What the leak is worth, network by network, as docs/leak.md has it. See script/measure-leak."""

import argparse
import tempfile

from measure import header, line, measured
from zoo import CIFAR10, MNIST, SPEECH, find

parser = argparse.ArgumentParser(prog="script/measure-leak")
parser.add_argument("tdsnn")
parser.add_argument("--only", default="lenet-mnist,mnist-8,netkit_mnist_mlp", help="networks")
parser.add_argument("--steps", default="3,7,15", help="windows")
parser.add_argument("--ratios", default="0.5,1,2,4,8", help="leaks, in windows")
parser.add_argument("--seeds", type=int, default=4, help="draws of calibration samples")
parser.add_argument("--limit", type=int, default=10**6, help="samples a network, at most")
options = parser.parse_args()
RATIOS = [float(ratio) for ratio in options.ratios.split(",")]


def cell(network, steps, ratio, folder):
    """Means over the draws: percent right, or where labels mean nothing like the source; spikes."""
    key = "top1_percent" if network.data in (MNIST, CIFAR10, SPEECH) else "agreement_percent"
    results = [measured(network, folder, min(options.limit, network.samples), "--steps", steps,
                        "--leak", f"{ratio * int(steps):g}", "--seed", str(seed))[1]
               for seed in range(options.seeds)]
    return (sum(result[key] for result in results) / len(results),
            sum(result["spikes_per_neuron"] for result in results) / len(results))


def text(cells):
    return [f"{percent:.2f} / {spikes:.3f}" for percent, spikes in cells]


header("network", "K", *[f"L = {ratio:g} K" for ratio in RATIOS])
rows = []
with tempfile.TemporaryDirectory() as folder:
    for name in options.only.split(","):
        for steps in options.steps.split(","):
            rows.append([cell(find(name), steps, ratio, folder) for ratio in RATIOS])
            line(name, steps, *text(rows[-1]))
line("mean", "", *text([(sum(row[i][0] for row in rows) / len(rows),
                         sum(row[i][1] for row in rows) / len(rows)) for i in range(len(RATIOS))]))
