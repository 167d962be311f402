"""Networks as exporters write them: PyTorch's two exporters, and graphs made as tf2onnx, Keras and
CNTK make them. TAP.

    exporters.py TDSNN [NAME ...]     all without a name

Each is loaded, run densely to 1e-4 of the range of ONNX Runtime's logits, converted, and proved on
four random samples.
"""

import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper
except ImportError as missing:
    print(f"1..0 # SKIP {missing}: script/test interop installs it where PyPI is")
    sys.exit(0)

try:
    from torch_networks import EXPORTS, OPSETS, TORCH, export
except ImportError as missing:
    TORCH = {}
    print(f"# {missing}: nothing of PyTorch's exporters is looked at")

SAMPLES = 4
IMAGE = (3, 16, 16)


# --- the check ---

number = 0


def ok(passed, sentence):
    global number
    number += 1
    print(f"{'ok' if passed else 'not ok'} {number} - {sentence}", flush=True)
    return passed


def tdsnn(*words):
    done = subprocess.run([sys.argv[1], *map(str, words), "--quiet"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stderr.strip()


def samples_of(shape):
    """As our data reader takes them: signals are pictures of one row."""
    x = np.random.default_rng(1).random((SAMPLES, *shape), np.float32)
    return x.reshape(SAMPLES, shape[0], 1, shape[1]) if len(shape) == 2 else x


def run_onnxruntime(path, x, shape, channels_last):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    x = x.reshape(SAMPLES, *shape)
    x = x.transpose(0, 2, 3, 1) if channels_last else x
    logits = last_linear(onnx.load(path))
    return np.concatenate([session.run(None, {name: x[i:i + 1]})[0] for i in range(SAMPLES)]), logits


def last_linear(model):
    """The kind of the last node where it is no logits."""
    kinds = {o: n.op_type for n in model.graph.node for o in n.output}
    return kinds.get(model.graph.output[0].name)


def ours_as(kind, logits):
    if kind == "Sigmoid":
        return 1 / (1 + np.exp(-np.float64(logits)))
    if kind not in ("Softmax", "LogSoftmax"):
        return logits
    shifted = np.float64(logits) - logits.max(1, keepdims=True)
    log = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return log if kind == "LogSoftmax" else np.exp(log)


def check(title, path, shape, folder, channels_last=False):
    data, logits = os.path.join(folder, "x.npy"), os.path.join(folder, "logits.npy")
    x = samples_of(shape)
    np.save(data, x)
    theirs, kind = run_onnxruntime(path, x, shape, channels_last)
    code, said = tdsnn("eval", path, "--data", f"npy:{data}", "--logits", logits, "--force")
    if not ok(code == 0, f"{title}: loaded and run densely {said}"):
        return
    if channels_last and theirs.ndim == 4:
        theirs = theirs.transpose(0, 3, 1, 2)
    ours = ours_as(kind, np.load(logits)).reshape(theirs.shape)
    gap = np.abs(ours - theirs).max() / np.ptp(theirs)
    converted = os.path.join(folder, "converted.onnx")
    good = ok(gap <= 1e-4, f"{title}: {gap:.1g} of the range from ONNX Runtime")
    code, said = tdsnn("convert", path, "-o", converted, "--steps", 15, "--calibrate", f"npy:{data}",
                       "--force")
    if ok(code == 0, f"{title}: converted {said}") and good:
        code, said = tdsnn("verify", converted, "--data", "random:4")
        ok(code == 0, f"{title}: proved {said}")


# --- graphs as other exporters make them, by hand ---

class Maker:
    def __init__(self, opset, dims):
        self.opset, self.nodes, self.constants = opset, [], []
        self.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)
        self.random = np.random.default_rng(7)
        self.functions = []

    def constant(self, value, kind=np.float32):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def weights(self, *shape):
        fan_in = np.prod(shape[1:]) if len(shape) > 1 else 1
        return self.constant(self.random.standard_normal(shape) / np.sqrt(fan_in))

    def node(self, op, *inputs, **given):
        name = f"{op}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **given))
        return name

    def save(self, path, output, rank):
        self.nodes[-1].output[0] = "y" if self.nodes[-1].output[0] == output else output
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"] + [None] * (rank - 1))
        graph = helper.make_graph(self.nodes, "g", [self.input], [y], self.constants)
        domains = sorted({f.domain for f in self.functions})
        opsets = [helper.make_opsetid("", self.opset)] + [helper.make_opsetid(d, 1) for d in domains]
        onnx.save(helper.make_model(graph, opset_imports=opsets, functions=self.functions,
                                    ir_version=8), path)


def tf2onnx(path):
    """Channels last, a Transpose around each layer, biases of their own, MatMul at the end."""
    m = Maker(13, ["N", 16, 16, 3])
    x = m.node("Transpose", m.node("Mul", "x", m.constant(0.5)), perm=[0, 3, 1, 2])
    x = m.node("Conv", x, m.weights(8, 3, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2])
    x = m.node("Transpose", x, perm=[0, 2, 3, 1])
    x = m.node("Relu", m.node("Add", x, m.weights(8)))
    x = m.node("Transpose", x, perm=[0, 3, 1, 2])
    x = m.node("Pad", x, m.constant([0, 0, 0, 0, 0, 0, 1, 1], np.int64), m.constant(0.0))
    x = m.node("Conv", x, m.weights(8, 1, 3, 3), m.weights(8), group=8)
    x = m.node("Clip", x, m.constant(0.0), m.constant(6.0))
    x = m.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = m.node("Transpose", x, perm=[0, 2, 3, 1])
    x = m.node("Reshape", x, m.constant([-1, 3 * 3 * 8], np.int64))
    x = m.node("Relu", m.node("Add", m.node("MatMul", x, m.weights(72, 12)), m.weights(12)))
    m.save(path, m.node("Softmax", m.node("Add", m.node("MatMul", x, m.weights(12, 5)), m.weights(5))), 2)


def keras(path):
    """Global mean of channels last, batch-norm as Mul and Add, a dense layer at every position."""
    m = Maker(15, ["N", 16, 16, 3])
    x = m.node("Transpose", "x", perm=[0, 3, 1, 2])
    x = m.node("Conv", x, m.weights(8, 3, 3, 3), pads=[0, 0, 1, 1])
    x = m.node("Add", m.node("Mul", x, m.constant(np.ones((8, 1, 1)) * 0.7)), m.weights(1, 8, 1, 1))
    x = m.node("Transpose", m.node("Relu", x), perm=[0, 2, 3, 1])
    x = m.node("Relu", m.node("MatMul", x, m.weights(8, 6)))
    x = m.node("ReduceMean", x, axes=[1, 2], keepdims=0)
    m.save(path, m.node("Gemm", x, m.weights(6, 4), m.weights(4)), 2)


def cntk(path):
    """Weights reshaped, sums for biases, a fixed batch, opset 8."""
    m = Maker(8, [1, 3, 16, 16])
    x = m.node("Div", "x", m.constant(2.0))
    x = m.node("Conv", x, m.weights(8, 3, 5, 5), auto_pad="SAME_UPPER", dilations=[1, 1], group=1)
    x = m.node("Relu", m.node("Add", x, m.weights(8, 1, 1)))
    x = m.node("MaxPool", x, kernel_shape=[4, 4], strides=[4, 4], auto_pad="NOTSET")
    x = m.node("Reshape", x, m.constant([1, 128], np.int64))
    w = m.node("Reshape", m.weights(8, 4, 4, 5), m.constant([128, 5], np.int64))
    m.save(path, m.node("Add", m.node("MatMul", x, w), m.weights(1, 5)), 2)


def functions(path):
    """Layers as functions that call functions, with an attribute passed on."""
    m = Maker(16, ["N", 3, 16, 16])
    own, onnx_own = helper.make_opsetid("lib", 1), helper.make_opsetid("", 16)
    act = helper.make_node("LeakyRelu", ["a"], ["t"])
    slope = act.attribute.add()
    slope.name, slope.ref_attr_name, slope.type = "alpha", "slope", onnx.AttributeProto.FLOAT
    m.functions.append(helper.make_function("lib", "act", ["a"], ["t"], [act], [onnx_own], ["slope"]))
    call = helper.make_node("act", ["t"], ["y"], domain="lib")
    passed = call.attribute.add()
    passed.name, passed.ref_attr_name, passed.type = "slope", "slope", onnx.AttributeProto.FLOAT
    conv = helper.make_node("Conv", ["x", "w", "b"], ["t"], pads=[1, 1, 1, 1])
    m.functions.append(helper.make_function("lib", "layer", ["x", "w", "b"], ["y"], [conv, call],
                                            [own, onnx_own], ["slope"]))
    x = m.node("layer", "x", m.weights(8, 3, 3, 3), m.weights(8), domain="lib", slope=0.25)
    x = m.node("MaxPool", x, kernel_shape=[4, 4], strides=[4, 4])
    x = m.node("layer", x, m.weights(6, 8, 3, 3), m.weights(6), domain="lib", slope=0.5)
    x = m.node("Flatten", m.node("GlobalAveragePool", x))
    m.save(path, m.node("Gemm", x, m.weights(6, 4), m.weights(4)), 2)


def overloads(path):
    """Two functions of one name, told apart by their overload, which calls name as well."""
    m = Maker(16, ["N", 3, 16, 16])
    for overload, op in ("a", "Relu"), ("b", "Neg"):
        body = [helper.make_node(op, ["t"], ["y"])]
        m.functions.append(helper.make_function("lib", "act", ["t"], ["y"], body,
                                                [helper.make_opsetid("", 16)], overload=overload))
    x = m.node("Conv", "x", m.weights(8, 3, 3, 3), m.weights(8))
    for overload in "ba":
        x = m.node("act", x, domain="lib", overload=overload)
    x = m.node("Flatten", m.node("GlobalAveragePool", x))
    m.save(path, m.node("Gemm", x, m.weights(8, 4), m.weights(4)), 2)


def two_ends(path):
    """Clips whose ends differ, of one side alone, as Max and Min; a ReLU of either sign."""
    m = Maker(13, ["N", 3, 16, 16])
    x = m.node("Clip", m.node("Conv", "x", m.weights(8, 3, 3, 3)), m.constant(-0.3), m.constant(0.6))
    x = m.node("Clip", m.node("Conv", x, m.weights(6, 8, 3, 3), m.weights(6)), m.constant(-0.5))
    x = m.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = m.node("Min", m.constant(0.8), m.node("Conv", x, m.weights(6, 6, 1, 1), m.weights(6)))
    x = m.node("Conv", x, m.weights(5, 6, 1, 1), m.weights(5))
    x = m.node("Concat", m.node("Relu", x), m.node("Relu", m.node("Neg", x)), axis=1)
    x = m.node("Min", m.node("Max", m.node("Conv", x, m.weights(6, 10, 1, 1)), m.constant(0.0)),
               m.constant(1.5))
    m.save(path, m.node("Gemm", m.node("Flatten", m.node("GlobalAveragePool", x)), m.weights(6, 4)), 2)


def constants(path):
    """A shape worked out by ConstantOfShape, Equal and Where, to which a bias is expanded."""
    m = Maker(13, ["N", 3, 16, 16])
    filled = lambda dims, kind, value: m.node(
        "ConstantOfShape", m.constant(dims, np.int64), value=helper.make_tensor("v", kind, [1], [value]))
    ones, wanted = filled([4], TensorProto.INT64, 1), m.constant([-1, 8, 1, 1], np.int64)
    minus = m.node("Mul", ones, m.constant(-1, np.int64))
    shape = m.node("Where", m.node("Equal", wanted, minus), ones, wanted)
    x = m.node("Relu", m.node("Conv", "x", m.weights(8, 3, 3, 3)))
    x = m.node("Add", x, m.node("Expand", m.weights(8, 1, 1), shape))
    x = m.node("Mul", x, filled([8, 1, 1], TensorProto.FLOAT, 0.5))
    zeros = m.node("ConstantOfShape", m.constant([6], np.int64))
    x = m.node("Relu", m.node("Conv", x, m.weights(6, 8, 3, 3), zeros))
    m.save(path, m.node("Gemm", m.node("Flatten", m.node("GlobalAveragePool", x)), m.weights(6, 4)), 2)


def rows(path):
    """Inner products of [N, 1, F], and of a value unsqueezed twice to [N, C, 1, 1]."""
    m = Maker(13, ["N", 24])
    one = lambda axis: m.constant([axis], np.int64)
    x = m.node("MatMul", m.node("Unsqueeze", "x", one(1)), m.weights(24, 8))
    x = m.node("MatMul", m.node("Relu", m.node("Add", x, m.weights(8))), m.weights(8, 6))
    x = m.node("Unsqueeze", m.node("Squeeze", m.node("Relu", x), one(1)), one(2))
    x = m.node("Relu", m.node("Conv", m.node("Unsqueeze", x, one(3)), m.weights(5, 6, 1, 1)))
    m.save(path, m.node("Softmax", m.node("Conv", x, m.weights(4, 5, 1, 1)), axis=1), 4)


def last_channels(path):
    """Pads, a reordered input and an output with the channels last."""
    m = Maker(13, ["N", 16, 16, 3])
    pads = lambda *p: m.constant(p, np.int64)
    x = m.node("Transpose", m.node("Pad", "x", pads(0, 1, 1, 0, 0, 1, 1, 0)), perm=[0, 3, 1, 2])
    x = m.node("Relu", m.node("Conv", x, m.weights(8, 3, 3, 3)))
    x = m.node("Gather", x, m.constant([3, 4, 5, 1, 0, 7], np.int64), axis=1)
    x = m.node("Pad", m.node("Transpose", x, perm=[0, 2, 3, 1]), pads(0, 0, 0, 0, 0, 1, 2, 0))
    x = m.node("Conv", m.node("Transpose", x, perm=[0, 3, 1, 2]), m.weights(8, 6, 3, 3), strides=[2, 2])
    x = m.node("AveragePool", m.node("Relu", x), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1,
               count_include_pad=1)
    m.save(path, m.node("Transpose", m.node("Conv", x, m.weights(4, 8, 1, 1)), perm=[0, 2, 3, 1]), 4)


def by_position(path):
    """A mean image taken off, a picture of factors, biases of their own for every position."""
    m = Maker(8, [1, 3, 16, 16])
    x = m.node("Sub", "x", m.constant(m.random.random((3, 16, 16)) * 0.5))
    x = m.node("Div", x, m.constant(0.5 + m.random.random((1, 16, 16))))
    x = m.node("Conv", x, m.weights(8, 3, 3, 3), pads=[1, 1, 1, 1])
    x = m.node("MaxPool", m.node("Relu", m.node("Add", m.weights(8, 16, 16), x)), kernel_shape=[2, 2],
               strides=[2, 2])
    x = m.node("Mul", x, m.constant(0.5 + m.random.random((8, 8, 8))))
    x = m.node("Relu", m.node("Conv", x, m.weights(4, 8, 3, 3)))
    x = m.node("Relu", m.node("Sub", m.weights(4, 6, 6), x))
    m.save(path, m.node("Gemm", m.node("Flatten", x), m.weights(144, 4), m.weights(4)), 2)


def mean_image(path):
    """Channels last, the mean image too, in front of a padded convolution."""
    m = Maker(13, ["N", 16, 16, 3])
    x = m.node("Sub", "x", m.constant(m.random.random((16, 16, 3)) * 0.5))
    x = m.node("Mul", m.node("Transpose", x, perm=[0, 3, 1, 2]), m.constant(2.0))
    x = m.node("Relu", m.node("Conv", x, m.weights(8, 3, 3, 3), m.weights(8), auto_pad="SAME_UPPER"))
    x = m.node("Add", x, m.weights(8, 1, 16))
    x = m.node("Relu", m.node("Conv", x, m.weights(4, 8, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2]))
    m.save(path, m.node("Gemm", m.node("Flatten", x), m.weights(256, 4), m.weights(4)), 2)


def decoder(path):
    """Flat values become pictures, one of them a row; a Sigmoid at the end."""
    m = Maker(13, ["N", 24])
    x = m.node("Relu", m.node("Gemm", "x", m.weights(24, 32), m.weights(32)))
    x = m.node("Reshape", x, m.constant([-1, 2, 4, 4], np.int64))
    x = m.node("Relu", m.node("Conv", x, m.weights(4, 2, 3, 3), m.weights(4), pads=[1, 1, 1, 1]))
    x = m.node("Reshape", x, m.constant([0, 8, 4, 2], np.int64))
    x = m.node("Conv", m.node("Relu", x), m.weights(3, 8, 1, 1))
    x = m.node("Reshape", x, m.constant([0, 1, 1, 24], np.int64))
    x = m.node("Relu", m.node("Conv", x, m.weights(2, 1, 1, 3)))
    m.save(path, m.node("Sigmoid", m.node("Conv", x, m.weights(1, 2, 1, 2), m.weights(1))), 4)


def two_linear(path):
    """Linear layers without an activation between; one output behind a Sigmoid."""
    m = Maker(13, ["N", 3, 16, 16])
    x = m.node("Conv", "x", m.weights(8, 3, 3, 3), m.weights(8), pads=[1, 1, 1, 1])
    x = m.node("Relu", m.node("Conv", x, m.weights(6, 8, 1, 1), m.weights(6), strides=[2, 2]))
    x = m.node("Conv", x, m.weights(8, 6, 1, 1), m.weights(8))
    x = m.node("Relu", m.node("Conv", x, m.weights(5, 8, 3, 3), m.weights(5)))
    x = m.node("Conv", x, m.weights(5, 1, 3, 3), m.weights(5), group=5)
    x = m.node("Relu", m.node("Conv", x, m.weights(4, 5, 1, 1), m.weights(4)))
    x = m.node("Gemm", m.node("Flatten", x), m.weights(64, 12), m.weights(12))
    x = m.node("Gemm", x, m.weights(12, 6), m.weights(6))
    m.save(path, m.node("Sigmoid", m.node("Gemm", x, m.weights(6, 1), m.weights(1))), 2)


def one_axis(path):
    """Means over one axis, which leave lines."""
    m = Maker(13, ["N", 3, 16, 16])
    x = m.node("Relu", m.node("Conv", "x", m.weights(8, 3, 3, 5), pads=[1, 1, 1, 1]))
    rows = m.node("ReduceMean", x, axes=[2], keepdims=0)
    x = m.node("Relu", m.node("Conv", rows, m.weights(6, 8, 3), m.weights(6)))
    y = m.node("Relu", m.node("Conv", "x", m.weights(6, 3, 3, 3)))
    lines = m.node("ReduceMean", y, axes=[3], keepdims=0)
    y = m.node("Relu", m.node("Conv", lines, m.weights(6, 6, 3), m.weights(6)))
    x = m.node("Concat", m.node("Flatten", x), m.node("Flatten", y), axis=1)
    m.save(path, m.node("Gemm", x, m.weights(144, 4), m.weights(4)), 2)


# how they are made, the sample's shape, whether the file has the channels last
HANDMADE = {"tf2onnx": (tf2onnx, IMAGE, True), "keras": (keras, IMAGE, True),
            "cntk": (cntk, IMAGE, False), "functions": (functions, IMAGE, False),
            "overloads": (overloads, IMAGE, False), "two_ends": (two_ends, IMAGE, False),
            "constants": (constants, IMAGE, False), "rows": (rows, (24,), False),
            "last_channels": (last_channels, IMAGE, True),
            "by_position": (by_position, IMAGE, False), "mean_image": (mean_image, IMAGE, True),
            "decoder": (decoder, (24,), False), "two_linear": (two_linear, IMAGE, False),
            "one_axis": (one_axis, IMAGE, False)}


def main():
    for name, (make, shape, last) in HANDMADE.items():
        if len(sys.argv) == 2 or name in sys.argv[2:]:
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "source.onnx")
                make(path)
                check(f"as {name}", path, shape, folder, last)
    chosen = [name for name in TORCH if len(sys.argv) == 2 or name in sys.argv[2:]]
    for name in chosen:
        for exporter in EXPORTS:
            for opset in OPSETS[exporter]:
                with tempfile.TemporaryDirectory() as folder:
                    path = os.path.join(folder, "source.onnx")
                    title = f"{name}, {exporter}, opset {opset}"
                    try:
                        shape = export(name, exporter, opset, path)
                    except Exception as error:  # what an exporter cannot write is none of ours
                        print(f"# {title}: not exported: {str(error).splitlines()[0][:100]}")
                        continue
                    check(title, path, shape, folder)
    print(f"1..{number}")


main()
