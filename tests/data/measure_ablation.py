"""What each choice of conversion is worth on one network. See script/measure-ablation."""

import argparse
import statistics
import tempfile

from measure import header, line, measured
from zoo import find

parser = argparse.ArgumentParser(prog="script/measure-ablation")
parser.add_argument("tdsnn")
parser.add_argument("--limit", type=int, default=10**6, help="samples, at most")
parser.add_argument("--steps", default="15,31,63", help="windows")
parser.add_argument("--network", default="resnet20")
parser.add_argument("--draws", type=int, default=4, help="draws of calibration samples")
options = parser.parse_args()

BOTH = ["--equalise", "--correct-biases"]
SEARCHED = ["--leak", "auto"]

# What is changed, one at a time; leaks are shares of the window.
CHANGES = [
    ("defaults", []),
    ("ceil instead of nearest", ["--rounding", "ceil"]),
    ("scales per channel", ["--equalise"]),
    ("biases corrected", ["--correct-biases"]),
    ("both", BOTH),
    ("leak searched", SEARCHED),
    ("both, leak searched", [*BOTH, *SEARCHED]),
    *[(f"L = {ratio:g} K", ratio) for ratio in (0.25, 0.5, 1, 4)],
    *[(f"input of {steps} steps", ["--input-steps", str(steps)]) for steps in (31, 63, 255)],
    ("input analog", ["--input-steps", "analog"]),
]

network = find(options.network)


def measure(steps, how, folder):
    """The leak, percent right, spikes per neuron, seconds of converting."""
    samples = min(options.limit, network.samples)
    report, result = measured(network, folder, samples, "--steps", steps, *how, against=False)
    return report["leak"], result["top1_percent"], result["spikes_per_neuron"], report["seconds"]


def change(steps, name, how, folder):
    how = how if isinstance(how, list) else ["--leak", f"{how * int(steps):g}"]
    leak, right, spikes, seconds = measure(steps, how, folder)
    line(name, steps, f"{leak:g}", f"{right:.2f}", f"{spikes:.4f}", f"{seconds:.1f}")


def draws(steps, name, how, folder):
    """The mean over draws of the calibration samples, and the least and the most."""
    rows = [measure(steps, [*how, "--seed", str(seed)], folder) for seed in range(options.draws)]
    leaks, right, spikes, seconds = zip(*rows)
    line(f"{name}, {options.draws} draws", steps, f"{leaks[0]:g}",
         f"{statistics.mean(right):.2f} ({min(right):.2f} to {max(right):.2f})",
         f"{statistics.mean(spikes):.4f}", f"{statistics.mean(seconds):.1f}")


header("change", "K", "L", "right, %", "spikes per neuron", "conversion, s")
with tempfile.TemporaryDirectory() as folder:
    for steps in options.steps.split(","):
        for name, how in CHANGES:
            change(steps, name, how, folder)
        draws(steps, "defaults", [], folder)
        draws(steps, "both, L = 0.5 K", [*BOTH, "--leak", f"{0.5 * int(steps):g}"], folder)
