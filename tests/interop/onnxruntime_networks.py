"""ONNX Runtime runs the converted networks, plain and inlined, as `tdsnn eval` does. TAP.

    onnxruntime_networks.py TDSNN [NETWORK ...]     all networks of the shared data without a name

Predictions may differ for a few samples; TDSNN_INTEROP_JSON names a file for the table of them. Each
such sample, and the first of every network, are traced: on either side every spike time of every
layer is what double precision makes of that side's own earlier spikes, but for drives within the
float bound of docs/exactness.md of a threshold, and the logits lie within that bound. So whatever
differs began with a drive at a threshold.
"""

import gzip
import json
import os
import subprocess
import sys
import tempfile

DATA = os.environ.get("TDSNN_SHARED_DATA", "../shared/data")
UNIT = 2.0**-24

if not os.path.isdir(os.path.join(DATA, "models")):
    print(f"1..0 # SKIP no networks at {DATA}/models")
    sys.exit(0)
try:
    import numpy as np
    import onnx
    import onnxruntime
    from numpy.lib.stride_tricks import sliding_window_view
    from onnx import helper, numpy_helper
    from PIL import Image
except ImportError as missing:
    print(f"1..0 # SKIP {missing}: script/test interop installs it where PyPI is")
    sys.exit(0)


# --- samples, raw as our own readers take them from an npz: [N][C][H][W], times `scale` ---

def mnist(count, model):
    with gzip.open(os.path.join(DATA, "mnist", "t10k-images-idx3-ubyte.gz")) as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16)
    return pixels.reshape(-1, 1, 28, 28)[:count]


def cifar10(count, model):
    path = os.path.join(DATA, "cifar10", "test_batch.bin")
    with open(path, "rb") if os.path.exists(path) else gzip.open(path + ".gz") as file:
        records = np.frombuffer(file.read(), np.uint8).reshape(-1, 3073)
    return records[:count, 1:].reshape(-1, 3, 32, 32)


def keywords(count, model):
    return np.load(os.path.join(DATA, "kws", "speech_commands_mfcc_1000.npz"))["x"][:count]


def picture(path):
    image = Image.open(path).convert("RGB")
    ratio = 256 / min(image.size)
    image = image.resize([round(side * ratio) for side in image.size], Image.Resampling.BILINEAR)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    return np.asarray(image.crop((left, top, left + 224, top + 224))).transpose(2, 0, 1)


def pictures(count, model):
    folder = os.path.join(DATA, "imagenet")
    names = sorted(name for name in os.listdir(folder) if name.endswith(".JPEG"))[:count]
    return np.stack([picture(os.path.join(folder, name)) for name in names])


def noise(count, model):
    """Uniform in [0, 1), of the shape that the converted file takes."""
    dims = onnx.load(model).graph.input[0].type.tensor_type.shape.dim[1:]
    return np.random.default_rng(1).random((count, *(d.dim_value for d in dims)), np.float32)


IMAGENET = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]

# network, samples and their number, calibration, scale, other options of convert, predictions that
# may differ in either file
NETWORKS = [
    ("lenet-mnist", mnist, 10000, "mnist:{}/mnist", 1 / 255, ["--steps", "7"], 5),
    ("lenet-mnist", mnist, 10000, "mnist:{}/mnist", 1 / 255, ["--steps", "3"], 5),
    ("mnist-8", mnist, 2000, "mnist:{}/mnist", 1, ["--steps", "15"], 6),
    ("lenet_caffe", mnist, 2000, "mnist:{}/mnist", 1 / 255, ["--steps", "15"], 6),
    ("netkit_mnist_cnn_dw", mnist, 2000, "mnist:{}/mnist", 1 / 255, ["--steps", "15"], 6),
    ("netkit_mnist_mlp", mnist, 2000, "mnist:{}/mnist", 1 / 255, ["--steps", "15"], 6),
    ("resnet20", cifar10, 2000, "cifar10:{}/cifar10", 1 / 255, ["--steps", "31", *IMAGENET], 6),
    ("resnet56", cifar10, 200, "cifar10:{}/cifar10", 1 / 255, ["--steps", "63", *IMAGENET], 2),
    ("kws_dscnn", keywords, 1000, "npz:{}/kws/speech_commands_mfcc_1000.npz", 1, ["--steps", "31"], 6),
    ("vww_mobilenet_v1_0.25_96", noise, 64, "random:64", 1, ["--steps", "63"], 2),
    ("ad01_fc_autoencoder", noise, 1000, "random:64", 1, ["--steps", "63"], 6),
    ("squeezenet1.1/squeezenet1.1", pictures, 100, "npz:{samples}", 1 / 255,
     ["--steps", "63", "--leak", "31.5", *IMAGENET], 2),
    ("mobilenet_v1_0.75_224", pictures, 100, "npz:{samples}", 1,
     ["--steps", "63", "--mean", "127.5", "--std", "127.5"], 2),
]

number = 0


def ok(passed, sentence):
    global number
    number += 1
    print(f"{'ok' if passed else 'not ok'} {number} - {sentence}", flush=True)
    return passed


def tdsnn(*words):
    subprocess.run([sys.argv[1], *map(str, words), "--quiet"], check=True, stdout=subprocess.DEVNULL)


# --- the network in double, between spikes ---

class Sum:
    """A value of one sample in double, the sum of the magnitudes of its terms, and how many times
    float arithmetic rounds on the way to it."""

    def __init__(self, value, size=None, rounds=0):
        self.value = np.asarray(value, np.float64)
        self.size = np.abs(self.value) if size is None else size
        self.rounds = rounds

    def bound(self):
        m = self.rounds + 4
        return m * UNIT / (1 - m * UNIT) * self.size + m * 2.0**-150


def attributes(node):
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def windows(x, node, fill):
    """[C][H][W] -> the members of each window, [C][taps][H' W'], and H', W'."""
    a = attributes(node)
    (top, left, bottom, right), (sy, sx) = a["pads"], a["strides"]
    dy, dx = a.get("dilations", [1, 1])
    ky, kx = a["kernel_shape"]
    x = np.pad(x, ((0, 0), (top, bottom), (left, right)), constant_values=fill)
    seen = sliding_window_view(x, ((ky - 1) * dy + 1, (kx - 1) * dx + 1), (1, 2))
    seen = seen[:, ::sy, ::sx, ::dy, ::dx]
    c, h, w = seen.shape[:3]
    return seen.transpose(0, 3, 4, 1, 2).reshape(c, ky * kx, h * w), h, w


def convolve(x, node, weights):
    groups = attributes(node)["group"]
    taps, h, w = windows(x, node, 0.0)
    taps = taps.reshape(groups, -1, h * w)
    return (weights.reshape(groups, len(weights) // groups, -1) @ taps).reshape(-1, h, w)


def linear(node, x, constants):
    w, b = (np.float64(constants[name]) for name in node.input[1:3])
    if node.op_type == "Gemm":
        apply = lambda value, weights: weights @ value
    else:
        apply = lambda value, weights: convolve(value, node, weights)
        b = b[:, None, None]
    fan_in = int(np.prod(w.shape[1:]))
    return Sum(apply(x.value, w) + b, apply(x.size, np.abs(w)) + np.abs(b), x.rounds + fan_in + 1)


def average(node, x):
    members, h, w = windows(np.ones_like(x.value), node, 0.0)
    count = members.shape[1] if attributes(node)["count_include_pad"] else members.sum(1)
    mean = lambda value: (windows(value, node, 0.0)[0].sum(1) / count).reshape(-1, h, w)
    return Sum(mean(x.value), mean(x.size), x.rounds + members.shape[1] + 1)


def constant_operand(node, x, operand):
    c = np.float64(operand)
    kind = node.op_type
    if kind in ("Add", "Sub"):
        return Sum(x.value + (c if kind == "Add" else -c), x.size + np.abs(c), x.rounds + 1)
    factor = c if kind == "Mul" else 1 / c
    return Sum(x.value * factor, x.size * np.abs(factor), x.rounds + 1)


def join(node, inputs):
    rounds = max(x.rounds for x in inputs) + len(inputs) - 1
    values, sizes = [x.value for x in inputs], [x.size for x in inputs]
    if node.op_type == "Concat":
        return Sum(np.concatenate(values), np.concatenate(sizes), rounds)
    if node.op_type == "Sub":
        return Sum(values[0] - values[1], sizes[0] + sizes[1], rounds)
    return Sum(sum(values), sum(sizes), rounds)


def compute(node, inputs, constants):
    """One node of a file that tdsnn wrote; `inputs` are its computed ones."""
    x, kind = inputs[0], node.op_type
    if kind in ("Conv", "Gemm"):
        return linear(node, x, constants)
    if kind == "Concat" or len(inputs) > 1:
        return join(node, inputs)
    if kind in ("Add", "Sub", "Mul", "Div"):
        return constant_operand(node, x, constants[node.input[1]])
    if kind == "Neg":
        return Sum(-x.value, x.size, x.rounds)
    if kind == "AveragePool":
        return average(node, x)
    if kind == "MaxPool":
        taps, h, w = windows(x.value, node, -np.inf)
        return Sum(taps.max(1).reshape(-1, h, w), None, x.rounds)
    if kind == "Flatten":
        return Sum(x.value.ravel(), x.size.ravel(), x.rounds)
    if kind == "Slice":
        first, end = (int(constants[name][0]) for name in node.input[1:3])
        return Sum(x.value[first:end], x.size[first:end], x.rounds)
    raise NotImplementedError(kind)


class Network:
    def __init__(self, path):
        self.model = onnx.load(path)
        self.nodes = self.model.graph.node
        self.input = self.model.graph.input[0].name
        self.constants = {i.name: numpy_helper.to_array(i) for i in self.model.graph.initializer}
        self.producers = {node.output[0]: node for node in self.nodes}
        self.codes = [node for node in self.nodes if node.op_type == "TemporalCode"]
        last = self.nodes[-1]
        self.logits = last.input[0] if last.op_type in ("Softmax", "LogSoftmax") else last.output[0]

    def session(self):
        """Gives the logits and what every code gives."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        del model.graph.output[:]
        for name in [self.logits] + [code.output[0] for code in self.codes]:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
        return session_of(model)

    def key(self, code):
        """Of its spike times in an archive of ours: the node whose drive it codes, or its own."""
        name, side = code.input[0], ""
        if name in self.producers and self.producers[name].op_type == "Neg":
            name, side = self.producers[name].input[0], ".neg"
        elif any(other.op_type == "Neg" and other.input[0] == name and self.is_coded(other)
                 for other in self.nodes):
            side = ".pos"
        name = self.producers[name].name if name in self.producers else name
        return "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in name) + side

    def is_coded(self, node):
        return any(code.input[0] == node.output[0] for code in self.codes)

    def trace(self, sample, times, logits):
        """Whether all times are what the earlier ones make of the sample; how many drives at a
        threshold were taken to its other side, or what is wrong."""
        coded = {code.output[0]: self.constants[code.input[2]][times[code.output[0]]]
                 for code in self.codes}
        values, flips = {self.input: Sum(sample)}, 0
        for node in self.nodes:
            inputs = [values[name] for name in node.input if name in values]
            if node.op_type != "TemporalCode":
                if node.output[0] != self.nodes[-1].output[0] or node.output[0] == self.logits:
                    values[node.output[0]] = compute(node, inputs, self.constants)
                continue
            drive, slack = inputs[0].value, inputs[0].bound()
            found = times[node.output[0]].reshape(drive.shape)
            thresholds = np.float64(self.constants[node.input[1]])
            low = np.searchsorted(thresholds, drive - slack)
            high = np.searchsorted(thresholds, drive + slack)
            wrong = np.argwhere((found < low) | (found > high))
            if len(wrong) > 0:
                return False, f"{node.name} {wrong[0].tolist()}: no threshold is near"
            flips += int((found != np.searchsorted(thresholds, drive)).sum())
            values[node.output[0]] = Sum(coded[node.output[0]].reshape(drive.shape))
        end = values[self.logits]
        if (np.abs(end.value - logits.reshape(end.value.shape)) > end.bound()).any():
            return False, "the logits are beyond rounding"
        return True, flips


def session_of(model):
    """For any batch, also where the file says 1."""
    for value in [*model.graph.input, *model.graph.output]:
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "N"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options,
                                        providers=["CPUExecutionProvider"])


def run_in_batches(session, x, outputs=None):
    size = max(1, min(500, 2**22 // x[0].size // 3))
    name = session.get_inputs()[0].name
    parts = [session.run(outputs, {name: x[i:i + size]}) for i in range(0, len(x), size)]
    return [np.concatenate(part) for part in zip(*parts)]


# --- one network ---

def our_times(network, path, raw, scale, folder):
    samples, spikes = os.path.join(folder, "traced.npz"), os.path.join(folder, "spikes.npz")
    logits = os.path.join(folder, "traced.npy")
    np.savez(samples, x=raw)
    tdsnn("eval", path, "--data", f"npz:{samples}", "--scale", repr(scale), "--spikes", spikes,
          "--logits", logits, "--force")
    archive = np.load(spikes)
    return {code.output[0]: archive[network.key(code)] for code in network.codes}, np.load(logits)


def their_times(network, x):
    logits, *coded = run_in_batches(network.session(), x)
    times = {}
    for code, y in zip(network.codes, coded):
        steps = attributes(code)["steps"]
        times[code.output[0]] = np.searchsorted(network.constants[code.input[2]][:steps + 1], y)
    return times, logits


def check_traces(title, network, path, raw, x, scale, indices, folder):
    """Traces samples on both sides; the fewest drives at thresholds that any of them has."""
    sides = {"tdsnn": our_times(network, path, raw[indices], scale, folder),
             "onnxruntime": their_times(network, x[indices])}
    span = np.ptp(sides["tdsnn"][1])
    for place, index in enumerate(indices):
        sentences, good = [], True
        for side, (times, logits) in sides.items():
            fine, found = network.trace(x[index], {k: v[place] for k, v in times.items()}, logits[place])
            good = good and fine
            sentences.append(f"{side} {found} drives at thresholds" if fine else f"{side}: {found}")
        ours, theirs = (times for times, _ in sides.values())
        differ = sum(int((ours[k][place].ravel() != theirs[k][place].ravel()).sum()) for k in ours)
        gap = np.abs(sides["tdsnn"][1][place].ravel() - sides["onnxruntime"][1][place].ravel()).max()
        good = good and (differ > 0 or gap <= 1e-5 * span)
        ok(good, f"{title}, sample {index}: {'; '.join(sentences)}; {differ} spike times differ, "
           f"logits by {gap / span:.1g} of their range")
    check_moved(title, network, x[indices[0]], sides["tdsnn"])


def check_moved(title, network, sample, side):
    """The trace can fail: a spike time moved by a step where no threshold is near."""
    times = {k: v[0].copy() for k, v in side[0].items()}
    name = network.codes[len(network.codes) // 2].output[0]
    places = np.argwhere((times[name] > 0) & (times[name] < times[name].max()))
    times[name][tuple(places[0])] += 1
    good, sentence = network.trace(sample, times, side[1][0])
    ok(not good, f"{title}: a spike time moved by hand is found: {sentence}")


def check(network, samples, count, calibration, scale, options, allowed, folder):
    model = os.path.join(DATA, "models", network + ".onnx")
    paths = {kind: os.path.join(folder, kind + ".onnx") for kind in ("plain", "inlined")}
    archive = os.path.join(folder, "samples.npz")
    raw = None if samples is noise else samples(count, model)
    if raw is not None:
        np.savez(archive, x=raw)
    for kind, path in paths.items():
        tdsnn("convert", model, "-o", path, "--calibrate", calibration.format(DATA, samples=archive),
              *([] if samples is noise else ["--scale", repr(scale)]), *options, "--force",
              *(["--inline"] if kind == "inlined" else []))
    if raw is None:
        raw = samples(count, paths["plain"])
        np.savez(archive, x=raw)
    x = (raw.astype(np.float64) * scale).astype(np.float32)
    title = f"{network} {' '.join(options[:2])}"
    logits = os.path.join(folder, "logits.npy")
    tdsnn("eval", paths["plain"], "--data", f"npz:{archive}", "--scale", repr(scale), "--logits",
          logits, "--force")
    ours = np.load(logits)
    row = {"network": network, "steps": int(options[1]), "samples": len(x)}
    differing = set()
    traced = Network(paths["plain"])
    x = x.reshape(len(x), *(d.dim_value for d in traced.model.graph.input[0].type.tensor_type.shape.dim[1:]))
    for kind, path in paths.items():
        onnx.checker.check_model(path, full_check=True)
        theirs = run_in_batches(session_of(onnx.load(path)), x)[0].reshape(ours.shape)
        wrong = np.flatnonzero(theirs.argmax(1) != ours.argmax(1))
        row[kind] = len(wrong)
        differing.update(wrong.tolist())
        ok(len(wrong) <= allowed, f"{title}, {kind}: {len(wrong)} of {len(x)} predictions differ, at "
           f"most {allowed} may")
    indices = sorted(differing | {0, 1})
    check_traces(title, traced, paths["plain"], raw, x, scale, indices, folder)
    print(f"# {network:28} K={row['steps']:<3} {row['samples']:>6} samples  differ: plain "
          f"{row['plain']}, inlined {row['inlined']}", flush=True)
    return row


def main():
    chosen = [row for row in NETWORKS if len(sys.argv) == 2 or os.path.basename(row[0]) in sys.argv[2:]]
    table = []
    for row in chosen:
        with tempfile.TemporaryDirectory() as folder:
            table.append(check(*row, folder))
    if "TDSNN_INTEROP_JSON" in os.environ:
        with open(os.environ["TDSNN_INTEROP_JSON"], "w", encoding="utf-8") as file:
            json.dump(table, file, indent=1)
    print(f"1..{number}")


main()
