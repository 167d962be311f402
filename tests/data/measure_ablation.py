"""What each choice of conversion is worth on one network. See script/measure-ablation."""

import argparse
import tempfile

from measure import header, line, measured
from zoo import find

parser = argparse.ArgumentParser(prog="script/measure-ablation")
parser.add_argument("tdsnn")
parser.add_argument("--limit", type=int, default=10**6, help="samples, at most")
parser.add_argument("--steps", default="15,31", help="windows")
parser.add_argument("--network", default="resnet20")
options = parser.parse_args()

# What is changed, one at a time; leaks are shares of the window.
CHANGES = [
    ("defaults", []),
    ("ceil instead of nearest", ["--rounding", "ceil"]),
    ("scales per channel", ["--equalise"]),
    ("biases corrected", ["--correct-biases"]),
    ("scales per channel, biases corrected", ["--equalise", "--correct-biases"]),
    ("all of it, leak searched", ["--equalise", "--correct-biases", "--leak", "auto"]),
    *[(f"L = {ratio:g} K", ratio) for ratio in (0.25, 0.5, 1, 2, 4)],
    *[(f"input of {steps} steps", ["--input-steps", str(steps)]) for steps in (31, 63, 127, 255)],
    ("input analog", ["--input-steps", "analog"]),
    *[(f"calibration samples drawn by seed {seed}", ["--seed", str(seed)]) for seed in range(4)],
]

network = find(options.network)
header("change", "K", "L", "source %", "converted %", "agreement %", "mean error of the outputs",
       "spikes per neuron")
with tempfile.TemporaryDirectory() as folder:
    for steps in options.steps.split(","):
        for name, change in CHANGES:
            how = change if isinstance(change, list) else ["--leak", f"{change * int(steps):g}"]
            report, result = measured(network, folder, min(options.limit, network.samples),
                                      "--steps", steps, *how)
            line(name, steps, f"{report['leak']:g}", f"{result['against_top1_percent']:.2f}",
                 f"{result['top1_percent']:.2f}", f"{result['agreement_percent']:.2f}",
                 f"{result['mean_abs_error']:.3g}", f"{result['spikes_per_neuron']:.4f}")
