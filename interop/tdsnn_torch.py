"""Temporal codes for PyTorch: train with the activations that tdsnn's engines compute, and write a
converted network, which `tdsnn verify` proves. The path from start to end: docs/pytorch.md.

    TemporalCode    the activation: a module with a scale that is learned
    replace_relu    puts it in place of a model's ReLUs, and in front of its first layer
    calibrate       chooses the scales on a batch of samples
    export          writes the file

Needs torch; export also needs onnx, and its dynamo=True onnxscript.
"""

import copy
import fractions
import io
import math
import os
import tempfile

import torch
from torch import nn

DOMAIN, FUNCTION, VERSION = "org.tdsnn", "TemporalCode", 1
# Of a call, with their types as torch.onnx has them: float, int, string.
_TYPES = {"leak": "f", "steps": "i", "scale": "f", "rounding": "s", "offset": "i"}
MAX_STEPS = 255
MAX_LEAK = 65536.0
MIN_SCALE, MAX_SCALE = 2.0**-100, 2.0**100
MAX_RANGE = 1e6


def _float32(number):
    return torch.tensor(number, dtype=torch.float32).item()


def _times(x, thresholds):
    """The number of thresholds below each x, int32. Where they are few, one compare for each is the
    faster way. torch.bucketize puts what is no number last; counted from above, it fires at 0.
    """
    if len(thresholds) > 32:
        above = torch.bucketize((-x).contiguous(), -thresholds.flip(0), out_int32=True, right=True)
        return len(thresholds) - above
    count = torch.zeros_like(x, dtype=torch.uint8)
    for threshold in thresholds:
        count += x > threshold
    return count.int()


def _look_up(x, thresholds, values):
    return values.index_select(0, _times(x, thresholds).flatten()).view(x.shape)


class _Code(torch.autograd.Function):
    """One table. Straight-through: in the window, 0 < x < s (exp(K/L) - 1), the gradient passes
    as if y were x + offset s; outside, y is a constant times s. So

        dy/dx = 1 inside, else 0        dy/ds = (y - x)/s inside, else y/s

    and the sum of the latter is divided by sqrt(features K), as in LSQ [Esser 2020], so that scale
    and weights move at one pace.
    """

    @staticmethod
    def forward(ctx, x, scale, thresholds, values, offset):
        y = _look_up(x, thresholds, values)
        ctx.save_for_backward(x, y, scale, values[-1] - offset * scale)
        ctx.steps = len(thresholds)
        return y

    @staticmethod
    def backward(ctx, gradient):
        x, y, scale, end = ctx.saved_tensors
        inside = (x > 0) & (x < end)
        to_scale = None
        if ctx.needs_input_grad[1]:
            features = max(1, x[0].numel() if x.dim() > 0 else 1)
            to_scale = (gradient * (y - x * inside)).sum() / scale
            to_scale = to_scale / math.sqrt(features * ctx.steps)
        return gradient * inside, to_scale, None, None, None


class TemporalCode(nn.Module):
    """The temporal code of a layer: the value of the spike that a drive x makes.

        T(x) = number of k in 0 .. K-1 with x > tau_k,    y = v_T
        tau_k = s (c exp(k/L) - 1)      c = (1 + exp(1/L))/2 (nearest) or 1 + 2^-20 (ceil)
        v_T   = s (exp(T/L) - 1) at offset 0, s exp(T/L) at offset 1

    `ceil` and offset 1 are the paper's. steps: K, 1 .. 255. leak: L, in steps; 2 K if None. scale:
    s > 0, the value that counts as 1, where the parameter `scale` starts. negative: a in
    y = code(x) - a code(-x), two neurons: 1 for values of both signs, the slope for a LeakyReLU, 0
    for none.
    Exact: s and L are rounded to float32, the rest is float64, the tables are stored as float32.
    They are those of the tool, bit by bit, where both use one C library.
    """

    def __init__(self, steps, leak=None, scale=1.0, rounding="nearest", offset=0, negative=0.0):
        super().__init__()
        leak = _float32(2 * steps if leak is None else leak)
        if steps != int(steps) or not 1 <= steps <= MAX_STEPS:
            raise ValueError(f"steps of {steps}: give 1 to {MAX_STEPS}")
        if not 0 < leak <= MAX_LEAK or steps / leak > math.log(MAX_RANGE):
            raise ValueError(f"a leak of {leak:g} with {steps} steps: give one from "
                             f"{steps / math.log(MAX_RANGE):.3g} to {MAX_LEAK:g}")
        if not MIN_SCALE <= scale <= MAX_SCALE:
            raise ValueError(f"a scale of {scale}: give one above 0, from 2^-100 to 2^100")
        if rounding not in ("nearest", "ceil"):
            raise ValueError(f"a rounding of {rounding!r}: give 'nearest' or 'ceil'")
        if offset not in (0, 1):
            raise ValueError(f"an offset of {offset}: give 0 or 1")
        if not 0 <= negative < math.inf:
            raise ValueError(f"a slope of {negative}: give 0 or more")
        self.steps, self.leak, self.rounding = int(steps), leak, rounding
        self.offset, self.negative = int(offset), float(negative)
        self.scale = nn.Parameter(torch.tensor(float(scale), dtype=torch.float32))
        c = (1 + math.exp(1 / leak)) / 2 if rounding == "nearest" else 1 + 2.0**-20
        value = math.exp if offset else math.expm1
        self._thresholds = [c * math.exp(k / leak) - 1 for k in range(self.steps)]
        self._values = [value(t / leak) for t in range(self.steps + 1)]

    def used_scale(self):
        """The scale in force: a step of the optimiser over 0 does no harm."""
        return self.scale.float().abs().clamp(MIN_SCALE, MAX_SCALE)

    def tables(self):
        """Thresholds float32 [K] and values float32 [K + 1], at the scale in force."""
        scale = self.used_scale().detach().double()
        return tuple((scale * scale.new_tensor(table)).float()
                     for table in (self._thresholds, self._values))

    def times(self, x):
        """Spike times of x, int32 of its shape; those of the first neuron where there are two."""
        return _times(x.float(), self.tables()[0])

    def forward(self, x):
        scale, tables = self.used_scale(), self.tables()
        y = _Code.apply(x.float(), scale, *tables, self.offset)
        if self.negative:
            y = y - self.negative * _Code.apply(-x.float(), scale, *tables, self.offset)
        return y

    def extra_repr(self):
        return (f"steps={self.steps}, leak={self.leak:g}, scale={self.used_scale().item():g}, "
                f"rounding={self.rounding!r}, offset={self.offset}, negative={self.negative:g}")


# --- from a trained model ---


def _exchange(model, kinds, make):
    """Puts make(part) in place of every part of these kinds, the same where it is the same; the
    number of them. The model itself is none."""
    made = {}
    for name, part in list(model.named_modules(remove_duplicate=False)):
        if isinstance(part, kinds):
            if part not in made:
                made[part] = make(part)
            model.set_submodule(name, made[part])
    return len(made)


def replace_relu(model, steps, leak=None, rounding="nearest", offset=0, input_steps=127,
                 input_leak=254.0, input_negative=0.0):
    """The model with a TemporalCode for every nn.ReLU and nn.LeakyReLU, in place, and behind a code
    of its input: nn.Sequential(code, model).

    input_negative: 1 if samples have values of both signs, 0 for pixels. The input's scale is not
    learned. Normalise inside the model, behind the input's code. Only modules are seen, not
    torch.relu in a forward; a module that is called in several places stays one, with one scale.
    Errors: ValueError where the model has neither.
    """
    code = TemporalCode(input_steps, input_leak, 1.0, rounding, offset, input_negative)
    code.scale.requires_grad_(False)
    coded = nn.Sequential(code, model)

    def make(part):
        slope = part.negative_slope if isinstance(part, nn.LeakyReLU) else 0.0
        return TemporalCode(steps, leak, 1.0, rounding, offset, slope)

    if not _exchange(coded, (nn.ReLU, nn.LeakyReLU), make):
        raise ValueError("the model has no nn.ReLU or nn.LeakyReLU module to replace")
    return coded


def _fit(code, values):
    """Sets the scale of least squared error on values >= 0: coarse steps of 4 % below the one at
    which the largest just fits, then finer ones."""
    largest = values.max()
    if not 0 < largest < math.inf:  # a layer that never fires may have any scale
        return

    def error(scale):
        code.scale.data.fill_(scale)
        thresholds, table = code.tables()
        drives = table - code.offset * table[0]
        return (values - _look_up(values, thresholds, drives)).square().sum()

    fits = largest.item() / math.expm1(code.steps / code.leak)
    best = min((fits * 0.96**i for i in range(-5, 115)), key=error)
    code.scale.data.fill_(min((best * 0.96 ** (i / 20) for i in range(-20, 21)), key=error))


@torch.no_grad()
def calibrate(model, batch, quantile=None, limit=1 << 16):
    """Sets the scale of every TemporalCode by what comes in, with rectifiers in place of codes: by
    least squared error, or, if given, the quantile (0 .. 1) of the positive values that just fits.

    batch: samples as the model takes them, some hundreds. limit: values looked at of each code,
    drawn at random from a fixed seed. Gives the model back.
    """
    drives, handles, random = {}, [], torch.Generator().manual_seed(0)

    def rectify(code, inputs, _):
        x = inputs[0].float()
        sides = [x.relu(), (-x).relu()] if code.negative else [x.relu()]
        seen = torch.cat([side.flatten() for side in sides])
        if len(seen) > limit:
            seen = seen[torch.randint(len(seen), (limit,), generator=random).to(seen.device)]
        drives.setdefault(code, []).append(seen)
        return sides[0] - code.negative * sides[1] if code.negative else sides[0]

    training = model.training
    model.eval()
    try:
        for part in model.modules():
            if isinstance(part, TemporalCode):
                handles.append(part.register_forward_hook(rectify))
        model(batch)
    finally:
        for handle in handles:
            handle.remove()
        model.train(training)
    for code, seen in drives.items():
        values = torch.cat(seen)
        if quantile is None:
            _fit(code, values)
        elif (values > 0).any():
            positive = values[values > 0].sort().values
            end = positive[min(len(positive) - 1, int(quantile * len(positive)))]
            code.scale.data.fill_(end.item() / math.expm1(code.steps / code.leak))
    return model


# --- the file ---


class _Call(torch.autograd.Function):
    """A code as the older exporter meets it: one node, the tables its inputs."""

    @staticmethod
    def forward(ctx, x, thresholds, values, attributes):
        return _look_up(x, thresholds, values)

    @staticmethod
    def symbolic(g, x, thresholds, values, attributes):
        typed = {f"{key}_{_TYPES[key]}": value for key, value in attributes.items()}
        return g.op(f"{DOMAIN}::{FUNCTION}", x, thresholds, values, **typed).setType(x.type())


class _Frozen(nn.Module):
    """A code as it is written: thresholds [255] and values [256], padded."""

    def __init__(self, code, dynamo):
        super().__init__()
        if not code.scale.isfinite():
            raise ValueError("the scale of a code is no number: the training went wrong")
        thresholds, values = code.tables()
        more = MAX_STEPS - code.steps
        self.register_buffer("thresholds", nn.functional.pad(thresholds, (0, more), value=math.inf))
        self.register_buffer("values", torch.cat([values, values[-1:].expand(more)]))
        self.attributes = {"leak": code.leak, "steps": code.steps,
                           "scale": code.used_scale().item(), "rounding": code.rounding,
                           "offset": code.offset}
        self.negative, self.dynamo = code.negative, dynamo

    def call(self, x):
        if self.dynamo:
            return torch.onnx.ops.symbolic(
                f"{DOMAIN}::{FUNCTION}", (x, self.thresholds, self.values), self.attributes,
                dtype=x.dtype, shape=x.shape, version=VERSION)
        return _Call.apply(x, self.thresholds, self.values, self.attributes)

    def forward(self, x):
        y = self.call(x)
        if self.negative:
            z = self.call(-x)
            y = y - (z if self.negative == 1 else z * self.negative)
        return y


def _freeze(model, dynamo):
    """A copy on the CPU, for inference, its codes ready to be written."""
    model = nn.Sequential(copy.deepcopy(model)).cpu().eval()
    _exchange(model, TemporalCode, lambda code: _Frozen(code, dynamo))
    return model[0]


def _function():
    """TemporalCode's body, as docs/file.md and every converted file have it: eight rounds of binary
    search, `count` thresholds found below x so far, then one Gather."""
    from onnx import TensorProto, helper

    nodes = []

    def node(op, name, *inputs, **attributes):
        nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def constant(name, value):
        return node("Constant", name, value=helper.make_tensor("", TensorProto.INT32, [], [value]))

    count = None
    for step in (128, 64, 32, 16, 8, 4, 2, 1):
        size = constant(f"s{step}_step", step)
        index = constant(f"s{step}_offset", step - 1)
        if count:
            index = node("Add", f"s{step}_index", count, index)
        threshold = node("Gather", f"s{step}_threshold", "thresholds", index)
        below = node("Greater", f"s{step}_below", "x", threshold)
        bit = node("Cast", f"s{step}_bit", below, to=TensorProto.INT32)
        added = node("Mul", f"s{step}_added", bit, size)
        count = node("Add", f"s{step}_count", count, added) if count else added
    node("Gather", "y", "values", count)
    return helper.make_function(DOMAIN, FUNCTION, ["x", "thresholds", "values"], ["y"], nodes,
                                [helper.make_opsetid("", 15)], list(_TYPES))


def _write(model, path):
    """Whole or not at all."""
    import onnx

    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(path)), suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(model.SerializeToString())
        onnx.checker.check_model(temporary)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def export(model, example, path, scale=None, dynamo=False, opset=None):
    """Writes a model of TemporalCodes as a converted network, with one input and one output.

    example: samples float32 [N, ...] as the model takes them; N is left open in the file.
    scale: value = raw data x scale, a number or a fraction such as "1/255" for pixels: recorded,
    and the tool then reads data so by itself. dynamo: which of torch.onnx's exporters. opset: 14 to
    18, where TemporalCode's body means the same; default 15, with dynamo its own, 18.
    The file is replaced if it exists, whole or not at all; the model stays as it is.
    Errors: ValueError if there is no code in the model, or no such opset; those of torch.onnx.
    """
    import onnx

    opset = opset or (18 if dynamo else 15)
    if not any(isinstance(part, TemporalCode) for part in model.modules()):
        raise ValueError("the model has no TemporalCode; replace_relu puts them in")
    if not 14 <= opset <= 18:
        raise ValueError(f"opset {opset}: give 14 to 18")
    options = dict(input_names=["x"], output_names=["y"], opset_version=opset, dynamo=dynamo)
    if dynamo:
        options.update(dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False)
    else:
        options.update(dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}},
                       custom_opsets={DOMAIN: VERSION})
    file = io.BytesIO()
    example = example.detach().cpu().float()
    with torch.no_grad():
        torch.onnx.export(_freeze(model, dynamo), (example,), file, **options)
    written = onnx.load_from_string(file.getvalue())
    written.ir_version = max(written.ir_version, 8)  # the first with functions
    written.functions.append(_function())
    if all(imported.domain != DOMAIN for imported in written.opset_import):
        written.opset_import.append(onnx.helper.make_opsetid(DOMAIN, VERSION))
    metadata = {"tdsnn.layout": "nchw"}
    if scale is not None:
        metadata["tdsnn.scale"] = f"{float(fractions.Fraction(scale)):.17g}"
    onnx.helper.set_model_props(written, metadata)
    _write(written, path)
