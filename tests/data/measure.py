"""What the measurements share: a network converted and evaluated, tables in Markdown."""

import os
import shlex
import sys
import time

from tool import tdsnn
from zoo import model


def run(*arguments):
    """The JSON document of a command that must not fail."""
    code, document = tdsnn(*arguments)
    if code != 0:
        sys.exit(f"tdsnn {shlex.join(arguments)}: exit {code}")
    return document


def convert(network, out, *how):
    """Converts and gives the report, with the seconds it took as `seconds`."""
    started = time.monotonic()
    report = run("convert", model(network), "-o", out, "--force", "--calibrate", network.data,
                 *network.kept, *network.given, *how)
    report["seconds"] = time.monotonic() - started
    return report


def evaluate(network, path, samples):
    """The converted network against its source on the first samples."""
    return run("eval", path, "--data", network.data, "--limit", str(samples), "--against",
               model(network), *network.given)


def measured(network, folder, samples, *how):
    """Both: the report of conversion, and the evaluation."""
    out = os.path.join(folder, "snn.onnx")
    return convert(network, out, *how), evaluate(network, out, samples)


def header(*cells):
    line(*cells)
    print("|---" * len(cells) + "|", flush=True)


def line(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)
