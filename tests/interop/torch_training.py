"""interop/tdsnn_torch.py: its codes are the tool's, what it trains and writes is proved. TAP.

    torch_training.py TDSNN
"""

import contextlib
import copy
import io
import itertools
import json
import logging
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "interop"))
try:
    import numpy as np
    import onnx
    import torch
    from onnx import TensorProto, helper, numpy_helper
    from torch import nn

    import tdsnn_torch as td
    from torch_networks import FLAT, IMAGE, TORCH, randomise
except ImportError as missing:
    print(f"1..0 # SKIP {missing}: script/test interop installs it where PyPI is")
    sys.exit(0)

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
torch.set_num_threads(1)
TDSNN = os.path.abspath(sys.argv[1])
number = 0


def ok(passed, sentence):
    global number
    number += 1
    print(f"{'ok' if passed else 'not ok'} {number} - {sentence}", flush=True)
    return passed


def tdsnn(*words):
    done = subprocess.run([TDSNN, *map(str, words), "--quiet"], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr.strip()


# --- tables ---

# steps, leak, rounding, offset: short and long windows, steep and flat ones.
CODES = [(1, 2, "nearest", 0), (3, 6, "nearest", 0), (7, 14, "nearest", 0), (7, 3.3, "nearest", 0),
         (15, 30, "ceil", 0), (31, 31, "ceil", 1), (7, 14, "ceil", 1), (63, 5, "nearest", 1),
         (127, 254, "nearest", 0), (255, 20, "ceil", 0), (255, 65536, "nearest", 0)]


def write_plain(path):
    """A network of one ReLU, as the tool takes it."""
    random = np.random.default_rng(5)
    constants = [numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)
                 for name, shape in (("a", (4, 6)), ("b", (6,)), ("c", (6, 3)), ("d", (3,)))]
    nodes = [helper.make_node("Gemm", ["x", "a", "b"], ["g"]), helper.make_node("Relu", ["g"], ["r"]),
             helper.make_node("Gemm", ["r", "c", "d"], ["y"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size])
            for name, size in (("x", 4), ("y", 3))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8), path)


def same_bits(a, b):
    return np.asarray(a, np.float32).tobytes() == np.asarray(b, np.float32).tobytes()


def tables_of(path):
    """Of each code of a converted file: its attributes, thresholds, values."""
    graph = onnx.load(path).graph
    constants = {c.name: numpy_helper.to_array(c) for c in graph.initializer}
    for node in graph.node:
        if node.op_type == "TemporalCode":
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            yield attributes, constants[node.input[1]], constants[node.input[2]]


def check_tables(folder):
    plain, converted = folder / "plain.onnx", folder / "converted.onnx"
    write_plain(plain)
    for steps, leak, rounding, offset in CODES:
        code, _, said = tdsnn("convert", plain, "-o", converted, "--steps", steps, "--leak", leak,
                              "--rounding", rounding, "--offset", offset, "--force")
        codes = list(tables_of(converted)) if code == 0 else []
        equal = len(codes) == 2  # the input's and the layer's
        for found, thresholds, values in codes:
            ours = td._Frozen(td.TemporalCode(found["steps"], found["leak"], found["scale"],
                                              found["rounding"].decode(), found["offset"]), False)
            equal = equal and same_bits(ours.thresholds, thresholds) and same_bits(ours.values, values)
        ok(equal, f"K {steps}, L {leak}, {rounding}, offset {offset}: the tool's tables {said}")


def check_times():
    """Both ways of counting, against compares one by one; what is no number fires at 0."""
    for steps, leak, rounding, offset in CODES:
        code = td.TemporalCode(steps, leak, 0.37, rounding, offset)
        thresholds, values = (table.numpy() for table in code.tables())
        x = np.concatenate([np.random.default_rng(steps).normal(0, values[-1], 500), thresholds, values,
                            np.nextafter(thresholds, np.float32(math.inf)),
                            [math.inf, -math.inf, math.nan, 0.0]]).astype(np.float32)
        times = (x[:, None] > thresholds).sum(1)
        given, y = code.times(torch.from_numpy(x)), code(torch.from_numpy(x))
        ok(np.array_equal(given, times) and same_bits(y.detach(), values[times]),
           f"K {steps}, L {leak}, {rounding}, offset {offset}: {len(x)} values are coded by compares")


# --- gradients ---


def straight_through(x, scale, code):
    """What the code's gradient is that of: a clip to the window plus, held constant in units of the
    scale, what rounding has added."""
    end = math.expm1(code.steps / code.leak)
    total = 0
    for sign, weight in ((1, 1.0), (-1, -code.negative)):
        clipped = (sign * x / scale).clamp(0, end) + code.offset
        thresholds, values = code.tables()
        coded = values[td._times((sign * x).float(), thresholds)].double()
        residue = coded / scale - clipped
        total = total + weight * scale * (clipped + residue.detach())
    return total


def check_gradients():
    torch.manual_seed(3)
    for rounding, offset, negative in itertools.product(("nearest", "ceil"), (0, 1), (0, 0.25, 1)):
        code = td.TemporalCode(5, 8, 0.8, rounding, offset, negative)
        x, upstream = torch.randn(6, 3, 4, 5), torch.randn(6, 3, 4, 5)
        x.requires_grad_()
        y = code(x)
        y.backward(upstream)
        exact_x = x.detach().double().requires_grad_()
        exact_scale = code.scale.detach().double().requires_grad_()
        exact_y = straight_through(exact_x, exact_scale, code)
        exact_y.backward(upstream.double())
        to_scale = exact_scale.grad / math.sqrt(3 * 4 * 5 * code.steps)
        ok(torch.allclose(y.double(), exact_y, rtol=1e-6, atol=1e-6) and
           torch.allclose(x.grad.double(), exact_x.grad, rtol=1e-6, atol=1e-6) and
           torch.allclose(code.scale.grad.double(), to_scale, rtol=1e-4, atol=1e-5) and
           0 < (x.grad == 0).sum() < x.numel(),
           f"{rounding}, offset {offset}, negative {negative}: gradients of x and scale")


# --- the example of docs/pytorch.md ---


def gamma(terms):
    """The bound of docs/exactness.md on the relative error of a float sum."""
    unit = terms * 2.0**-24
    return unit / (1 - unit)


def explained(layer, code, inputs, ours, theirs):
    """Whether all thresholds between two spike times lie within rounding of the drive in double."""
    exact = copy.deepcopy(layer).double()
    drive = exact(inputs.double())
    for part in exact.parameters():
        part.abs_()
    bound = gamma(layer.weight[0].numel() + 2) * exact(inputs.double().abs())
    thresholds = code.tables()[0].double()
    differs = ours != theirs
    low, high = torch.minimum(ours, theirs)[differs], torch.maximum(ours, theirs)[differs]
    return all(abs(a - tau) <= b for a, b, first, last in zip(drive[differs], bound[differs], low, high)
               for tau in thresholds[first:last])


def trace(coded, x, spikes):
    """Samples whose spike times differ between torch and the tool, and whether, in the first layer
    where they do, each is a drive within rounding of a threshold."""
    alike, sound, layer, inputs = torch.ones(len(x), dtype=torch.bool), True, None, None
    for part in (coded[0], *coded[1]):
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            layer, inputs = part, x
        if isinstance(part, td.TemporalCode):
            ours = part.times(x)
            theirs = next(spikes).reshape(ours.shape)
            first = alike & (ours != theirs).flatten(1).any(1)
            if first.any():
                sound = sound and layer is not None and explained(layer, part, inputs[first],
                                                                   ours[first], theirs[first])
            alike = alike & ~first
        x = part(x)
    return ~alike, sound


def layers_of(path, names):
    spikes = np.load(path)
    return iter([torch.from_numpy(spikes[name].astype(np.int32)) for name in names])


def check_example(folder):
    doc = (ROOT / "docs" / "pytorch.md").read_text()
    example = re.search(r"```python\n(.*?)```", doc, re.DOTALL)[1]
    commands = re.findall(r"^    tdsnn (.*)$", doc, re.MULTILINE)
    space = {}
    with contextlib.chdir(folder), torch.random.fork_rng():
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(example, "docs/pytorch.md", "exec"), space)
        for command in commands:
            code, _, said = tdsnn(*command.split())
            ok(code == 0, f"docs/pytorch.md: tdsnn {command} {said}")
        compare_example(space)


def compare_example(space):
    coded, (x, y) = space["coded"], (space["x"], space["y"])
    x = torch.from_numpy(x / np.float32(255))
    with torch.no_grad():
        predicted = coded(x).argmax(1).numpy()
    percent = 100 * np.mean(predicted == y)
    ok(percent >= 85, f"the example has learned its task: {percent:.1f} %")
    code, report, said = tdsnn("eval", "gratings.snn.onnx", "--data", "npz:gratings.npz", "--json",
                               "--predictions", "classes.txt", "--spikes", "spikes.npz")
    if not ok(code == 0, f"the tool evaluates it {said}"):
        return
    layers = [layer["name"] for layer in json.loads(report)["layers"]]
    theirs = np.loadtxt("classes.txt", dtype=int)
    names = [name for name in np.load("spikes.npz").files if "MaxPool" not in name]
    with torch.no_grad():
        traced, sound = trace(coded, x, layers_of("spikes.npz", names))
        damaged = list(layers_of("spikes.npz", names))
        damaged[2][5, 3, 2, 1] ^= 1
        found, false = trace(coded, x[:6], (layer[:6] for layer in damaged))
    ok(found[5] and not false, "a spike time that is another is found, and not explained away")
    other = predicted != theirs
    ok(sound, f"{int(traced.sum())} of {len(x)} samples have other spike times in torch, the first of "
       "each within rounding of a threshold")
    ok(not (other & ~traced.numpy()).any(),
       f"{int(other.sum())} of {len(x)} predictions differ, all of them traced ({len(layers)} layers)")


# --- networks of all kinds, both exporters ---


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False),
                                  nn.BatchNorm2d(width), nn.ReLU(),
                                  nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))
        self.last = nn.ReLU()

    def forward(self, x):
        return self.last(x + self.body(x))


class Normalised(nn.Module):
    def forward(self, x):
        return (x - torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1)) / 0.25


OWN = {
    "shared": (FLAT, lambda relu=nn.ReLU(): nn.Sequential(
        nn.Linear(24, 16), relu, nn.Linear(16, 16), relu, nn.Linear(16, 3))),
    "residual": (IMAGE, lambda: nn.Sequential(
        Normalised(), nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), Residual(8),
        Residual(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))),
}
# name, steps, rounding, offset, sign of the input, dynamo, opset
NETWORKS = [("plain_cnn", 7, "nearest", 0, 0.0, False, None), ("plain_cnn", 7, "ceil", 1, 0.0, False, 14),
            ("mlp", 3, "nearest", 0, 1.0, False, 18), ("leaky", 15, "nearest", 0, 1.0, False, 16),
            ("shared", 7, "nearest", 0, 0.0, False, 15),
            ("signal_cnn", 15, "ceil", 0, 0.0, False, None), ("residual", 15, "nearest", 0, 0.0, False, 17),
            ("plain_cnn", 7, "nearest", 0, 0.0, True, None), ("residual", 15, "nearest", 0, 1.0, True, None),
            ("leaky", 7, "nearest", 0, 0.0, True, None)]
SAMPLES = 16


def make(name, steps, rounding, offset, negative):
    torch.manual_seed(11)
    shape, build = {**TORCH, **OWN}[name]
    model = td.replace_relu(randomise(build()), steps, rounding=rounding, offset=offset,
                            input_negative=negative).eval()
    x = torch.rand(64, *shape) * 2 - 1 if negative else torch.rand(64, *shape)
    return td.calibrate(model, x), x[:SAMPLES]


def as_data(x):
    """Signals are pictures of one row."""
    return x.unsqueeze(2) if x.dim() == 3 else x


def check_network(folder, name, steps, rounding, offset, negative, dynamo, opset):
    title = (f"{name}, K {steps}, {rounding}, offset {offset}, input "
             f"{'of both signs' if negative else 'positive'}, {'dynamo' if dynamo else 'torchscript'} "
             f"{opset or ''}")
    model, x = make(name, steps, rounding, offset, negative)
    path, data, logits = folder / "network.onnx", folder / "x.npy", folder / "logits.npy"
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        td.export(model, x[:2], path, dynamo=dynamo, opset=opset)
    ok(all(torch.equal(before[key], value) for key, value in model.state_dict().items()),
       f"{title}: the model stays as it is")
    np.save(data, as_data(x).numpy())
    code, _, said = tdsnn("verify", path, "--data", f"npy:{data}", "--limit", 4)
    ok(code == 0, f"{title}: proved {said}")
    code, _, said = tdsnn("eval", path, "--data", f"npy:{data}", "--logits", logits, "--force")
    if not ok(code == 0, f"{title}: evaluated {said}"):
        return
    torch_says = model[1][:-1](model[0](x)) if name == "plain_cnn" else model(x)  # before LogSoftmax
    gaps = np.abs(np.load(logits) - torch_says.detach().numpy()).max(1) / np.ptp(torch_says.detach().numpy())
    # a drive within rounding of a threshold may flip, which moves that sample's logits
    ok(np.sum(gaps > 1e-5) <= SAMPLES // 4, f"{title}: logits of torch, {np.median(gaps):.0e} apart")


# --- what is refused ---


def raises(kind, call, *words, **options):
    try:
        call(*words, **options)
    except kind as error:
        return str(error)
    return ""


def check_refusals(folder):
    for given in ({"steps": 0}, {"steps": 256}, {"steps": 7, "leak": 0.4}, {"steps": 7, "leak": 70000},
                  {"steps": 7, "scale": 0.0}, {"steps": 7, "scale": math.nan},
                  {"steps": 7, "rounding": "table"}, {"steps": 7, "offset": 2},
                  {"steps": 7, "negative": -0.5}):
        said = raises(ValueError, td.TemporalCode, **given)
        ok("give" in said, f"TemporalCode({given}): {said}")
    path = folder / "refused.onnx"
    linear = nn.Linear(4, 2)
    ok("replace_relu" in raises(ValueError, td.export, linear, torch.zeros(1, 4), path), "export without codes")
    ok("nn.ReLU" in raises(ValueError, td.replace_relu, linear, 7), "replace_relu without ReLU")
    coded = nn.Sequential(td.TemporalCode(7), linear)
    ok("14 to 18" in raises(ValueError, td.export, coded, torch.zeros(1, 4), path, opset=13), "opset 13")
    coded[0].scale.data.fill_(math.nan)
    ok("training" in raises(ValueError, td.export, coded, torch.zeros(1, 4), path), "a scale that is NaN")
    ok(not path.exists(), "nothing is written then")


def check_calibration():
    """The scale found loses no more than any other of a fine grid; a quantile fits as it says."""
    torch.manual_seed(2)
    x = torch.randn(4000).abs() ** 1.5
    for steps, rounding, offset in ((1, "nearest", 0), (7, "nearest", 0), (7, "ceil", 0), (31, "ceil", 1)):
        code = td.TemporalCode(steps, None, 1.0, rounding, offset)

        def error(scale):
            code.scale.data.fill_(scale)
            y = code(x).detach()
            return (y - offset * code.scale - x).square().sum().item()

        td.calibrate(code, x)
        found = code.scale.item()
        least = min(map(error, np.geomspace(found / 30, found * 30, 1000)))
        ok(error(found) <= least * 1.01, f"K {steps}, {rounding}, offset {offset}: scale of least error")
    td.calibrate(code, x, quantile=0.9)
    end = code.scale.item() * math.expm1(31 / 62)
    ok(abs(np.mean(x.numpy() <= end) - 0.9) < 0.002, "a quantile of 0.9 fits nine values of ten")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        check_times()
        check_gradients()
        check_calibration()
        check_refusals(folder)
        check_tables(folder)
        check_example(folder)
        for network in NETWORKS:
            check_network(folder, *network)
    print(f"1..{number}")


main()
