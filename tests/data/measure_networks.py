"""One row a network and window, as docs/networks.md has them. See script/measure-networks."""

import argparse
import os
import shlex
import tempfile

from measure import convert, evaluate, header, line, run
from zoo import VALUES, ZOO

# Samples to prove: every neuron of each is stepped through time in four modes.
PROVED = {"resnet20": 20, "resnet56": 2, "squeezenet1.1": 3, "mobilenet_v1_0.75_224": 3}

parser = argparse.ArgumentParser(prog="script/measure-networks")
parser.add_argument("tdsnn")
parser.add_argument("--limit", type=int, default=10**6, help="samples a network, at most")
parser.add_argument("--proved", type=int, default=20, help="samples proved, at most")
parser.add_argument("--steps", default="15,31,63", help="windows")
parser.add_argument("--only", default="", help="networks, separated by commas; all without it")
parser.add_argument("--options", default="", help="further options of convert, in one word")
options = parser.parse_args()


def percent(value):
    return "-" if value is None else f"{value:.2f}"


def row(network, steps, folder):
    out = os.path.join(folder, "snn.onnx")
    report = convert(network, out, "--steps", steps, *shlex.split(options.options))
    result = evaluate(network, out, min(options.limit, network.samples))
    proved = min(options.proved, PROVED.get(network.name, 20))
    proof = run("verify", out, "--data", network.data, "--limit", str(proved), *network.given)
    line(network.name, result["samples"], percent(result["against_top1_percent"]), steps,
         f"{report['leak']:g}", percent(result["top1_percent"]),
         percent(None if network.name in VALUES else result["agreement_percent"]), f"{result['mean_abs_error']:.3g}",
         f"{result['spikes_per_neuron']:.3f}",
         percent(result["ops"]["reduction_paper_percent"]),
         percent(result["ops"]["reduction_silent_percent"]),
         f"{proof['neuron_vs_formula_mismatches']} of {proof['neurons_checked']:,}",
         proof["float_vs_double_mismatches"], f"{report['seconds']:.1f}")


header("network", "samples", "source %", "K", "L", "converted %", "agreement %",
       "mean error of the outputs", "spikes per neuron", "operations less, paper %",
       "operations less, silent %", "mismatches", "float differs", "conversion, s")
with tempfile.TemporaryDirectory() as folder:
    for network in ZOO:
        if options.only == "" or network.name in options.only.split(","):
            for steps in options.steps.split(","):
                row(network, steps, folder)
