"""The dense network that `tdsnn bench` measures against, compared with ONNX Runtime: float32, batch 1,
the same threads, by turns. A weak opponent would be a false result.

    bench_peers.py TDSNN [--threads N] [--rounds N] [--seconds S] [NETWORK ...]

Prints a row a network: milliseconds of either side and how much faster ours is, medians over the
rounds. Exits with 1 where ours is slower by more than 15 %. What Python takes for a call, measured on
a network that does nothing, is taken off ONNX Runtime's time.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data"))
TOOL = sys.argv.pop(1)

import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402
from zoo import ZOO, model  # noqa: E402

SLOWER = 1.15  # what is permitted
CALLS = 16  # samples a round, as many as tdsnn bench takes


def run(*arguments):
    """The document that the tool prints."""
    done = subprocess.run([TOOL, *arguments, "--json", "--quiet"], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


class Peer:
    """A session of ONNX Runtime with its input and output bound."""

    def __init__(self, network, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        given = self.session.get_inputs()[0]
        shape = [side if isinstance(side, int) else 1 for side in given.shape]
        values = np.random.default_rng(0).random(shape, np.float32)
        self.binding = self.session.io_binding()
        self.binding.bind_cpu_input(given.name, values)
        for output in self.session.get_outputs():
            self.binding.bind_output(output.name)

    def milliseconds(self, seconds):
        """Of one call: the median over rounds of so long in all."""
        rounds, end = [], time.perf_counter() + seconds
        while len(rounds) < 5 or time.perf_counter() < end:
            start = time.perf_counter()
            for _ in range(CALLS):
                self.session.run_with_iobinding(self.binding)
            rounds.append((time.perf_counter() - start) / CALLS * 1e3)
        return statistics.median(rounds)


def nothing(threads):
    """A session that hands one number on."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "nothing", value[:1], value[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    return Peer(onnx.ModelProto.SerializeToString(made), threads)


def compare(network, options, overhead, folder):
    """Our milliseconds, theirs, the ratio of each round, our instruction set."""
    spiking = os.path.join(folder, "out.onnx")
    run("convert", model(network), "-o", spiking, "--force", "--steps", "31", "--calibrate", network.data,
        *network.kept, *network.given)
    peer = Peer(model(network), options.threads)
    ours, theirs, isa = [], [], ""
    for _ in range(options.rounds):
        theirs.append(max(peer.milliseconds(options.seconds) - overhead, 1e-6))
        document = run("bench", spiking, "--data", network.data, "--limit", str(CALLS), "--seconds",
                       str(2 * options.seconds), "--threads", str(options.threads), *network.given)
        ours.append(document["dense_ms"])
        isa = f"{document['opponent']}, {document['opponent_isa']}"
    return ours, theirs, isa


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("networks", nargs="*")
    options = parser.parse_args()
    chosen = [network for network in ZOO if not options.networks or network.name in options.networks]
    onnxruntime.set_default_logger_severity(3)
    overhead = nothing(options.threads).milliseconds(options.seconds)
    print(f"ONNX Runtime {onnxruntime.__version__}, {options.threads} thread(s); {overhead * 1e3:.1f} us a call"
          f" taken off\n{'network':26} {'ours, ms':>10} {'theirs, ms':>10} {'times faster':>12}  ours", flush=True)
    weak = []
    with tempfile.TemporaryDirectory() as folder:
        for network in chosen:
            ours, theirs, isa = compare(network, options, overhead, folder)
            ratio = statistics.median(t / o for o, t in zip(ours, theirs))
            weak += [network.name] if ratio * SLOWER < 1 else []
            print(f"{network.name:26} {statistics.median(ours):10.4f} {statistics.median(theirs):10.4f}"
                  f" {ratio:12.2f}  {isa}", flush=True)
    if weak:
        print(f"slower than ONNX Runtime by more than {SLOWER * 100 - 100:.0f} %: {', '.join(weak)}")
    sys.exit(bool(weak))


main()
