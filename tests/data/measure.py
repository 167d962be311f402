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


def evaluate(network, path, samples, against=True):
    """The converted network, against its source or alone, on the first samples."""
    source = ["--against", model(network)] if against else []
    return run("eval", path, "--data", network.data, "--limit", str(samples), *source,
               *network.given)


def measured(network, folder, samples, *how, against=True):
    """Both: the report of conversion, and the evaluation."""
    out = os.path.join(folder, "snn.onnx")
    return convert(network, out, *how), evaluate(network, out, samples, against)


def header(*cells):
    line(*cells)
    print("|---" * len(cells) + "|", flush=True)


def line(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)
