"""What the leak is worth, network by network, as docs/leak.md has it. See script/measure-leak."""

import argparse
import shlex
import tempfile

from measure import header, line, measured
from zoo import LABELLED, VALUES, ZOO, find

parser = argparse.ArgumentParser(prog="script/measure-leak")
parser.add_argument("tdsnn")
parser.add_argument("--only", default=",".join(network.name for network in ZOO), help="networks")
parser.add_argument("--steps", default="15,31,63", help="windows")
parser.add_argument("--ratios", default="0.25,0.5,1,2,4", help="leaks, in windows")
parser.add_argument("--seeds", type=int, default=1, help="draws of calibration samples")
parser.add_argument("--limit", type=int, default=10**6, help="samples a network, at most")
parser.add_argument("--options", default="", help="further options of convert, in one word")
options = parser.parse_args()
RATIOS = [float(ratio) for ratio in options.ratios.split(",")]


def one(network, steps, ratio, seed, folder):
    """Percent right, or where there are no labels like the source; error of outputs; spikes."""
    alone = network.data in LABELLED
    report, result = measured(network, folder, min(options.limit, network.samples), "--steps",
                              steps, "--leak", f"{ratio * int(steps):g}", "--seed", str(seed),
                              *shlex.split(options.options), against=not alone)
    return (result["top1_percent" if alone else "agreement_percent"],
            100 * report["leaks_tried"][0]["logit_error"], result["spikes_per_neuron"])


def cell(network, steps, ratio, folder):
    """Means over the draws."""
    draws = [one(network, steps, ratio, seed, folder) for seed in range(options.seeds)]
    return [sum(values) / len(draws) for values in zip(*draws)]


def text(cells, values):
    """Of outputs that are values the answer means nothing: their error instead."""
    return [(f"({error:.2f})" if values else f"{percent:.2f}") + f" / {spikes:.3f}"
            for percent, error, spikes in cells]


header("network", "K", *[f"L = {ratio:g} K" for ratio in RATIOS])
rows = []
with tempfile.TemporaryDirectory() as folder:
    for name in options.only.split(","):
        for steps in options.steps.split(","):
            cells = [cell(find(name), steps, ratio, folder) for ratio in RATIOS]
            line(name, steps, *text(cells, name in VALUES))
            if name not in VALUES:
                rows.append(cells)
if rows:
    line("mean", "", *text([[sum(values) / len(rows) for values in zip(*column)]
                            for column in zip(*rows)], False))
