#!/usr/bin/env python3
"""ONNX files between tdsnn, Python's onnx and ONNX Runtime.

    onnx_files.py PROGRAM        PROGRAM is the test program onnx_files (onnx_files.c)

Files that tdsnn wrote: the checker takes them, and ONNX Runtime computes bit for bit what a
TemporalCode is defined to be, values[number of thresholds below x]. Files that Python wrote, in
every encoding of a constant: tdsnn reads the same numbers.
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
    print(f'1..0 # SKIP Python has no {missing.name}: script/test interop has it')
    sys.exit(0)

CODES, NETWORKS = 60, 30
checks = []


def ok(passed, what):
    checks.append(bool(passed))
    print(f'{"ok" if passed else "not ok"} {len(checks)} - {what}', flush=True)


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])


def input_shape(model, batch):
    dims = model.graph.input[0].type.tensor_type.shape.dim
    return [dims[0].dim_value or batch] + [d.dim_value for d in dims[1:]]


def difficult_inputs(thresholds, size, random):
    """Values on, just below and just above the thresholds, between them and beyond."""
    finite = thresholds[np.isfinite(thresholds)]
    infinity = np.float32(np.inf)
    exact = random.choice(finite, size)
    choices = [exact, np.nextafter(exact, infinity), np.nextafter(exact, -infinity),
               random.uniform(finite[0] - 1, finite[-1] + 1, size).astype(np.float32),
               random.choice(np.array([0, -0.0, np.inf, -np.inf, np.nan], np.float32), size)]
    return np.choose(random.integers(0, len(choices), size), choices).astype(np.float32)


def test_codes(folder, random):
    wrong, values_seen = 0, 0
    for index in range(CODES):
        path = os.path.join(folder, f'code{index}.onnx')
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        thresholds, values = (numpy_helper.to_array(t) for t in model.graph.initializer)
        shape = input_shape(model, 7)
        x = difficult_inputs(thresholds, int(np.prod(shape)), random).reshape(shape)
        y, = session(path).run(None, {'x': x})
        expected = values[(x[..., None] > thresholds).sum(-1)]
        wrong += (y.view(np.uint32) != expected.view(np.uint32)).sum() + (y.shape != x.shape)
        values_seen += x.size
    ok(wrong == 0, f'{CODES} codes, {values_seen} values: ONNX Runtime counts the thresholds below')


def test_networks(folder, random):
    good = 0
    for index in range(NETWORKS):
        path = os.path.join(folder, f'network{index}.onnx')
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        x = random.uniform(0, 1, input_shape(model, 3)).astype(np.float32)
        y, = session(path).run(None, {'x': x})
        declared = inferred.graph.output[0].type.tensor_type.shape.dim
        good += y.shape == (3, declared[1].dim_value) and bool(np.isfinite(y).all())
    ok(good == NETWORKS, f'{good} of {NETWORKS} random networks: checked, shapes inferred, run')


def test_frame(folder):
    model = onnx.load(os.path.join(folder, 'network0.onnx'))
    function, = model.functions
    ok(model.ir_version == 8 and model.producer_name == 'tdsnn'
       and {o.domain: o.version for o in model.opset_import} == {'': 15, 'org.tdsnn': 1},
       'IR 8, opset 15, org.tdsnn 1, producer')
    used = {node.op_type for node in function.node}
    ok(used == {'Constant', 'Gather', 'Greater', 'Cast', 'Mul', 'Add'},
       'the body of TemporalCode holds no other operators')
    ok(list(function.input) == ['x', 'thresholds', 'values']
       and list(function.attribute) == ['leak', 'steps', 'scale', 'rounding', 'offset'],
       'its inputs and attributes')
    nodes = [node for node in model.graph.node if node.domain == 'org.tdsnn']
    ok(nodes and all(sorted(a.name for a in node.attribute) == sorted(function.attribute)
                     for node in nodes), 'every node carries all attributes')


# --- their files in ours ---

FLOATS = {'float32': TensorProto.FLOAT, 'float16': TensorProto.FLOAT16,
          'float64': TensorProto.DOUBLE}
INTEGERS = {'int8': TensorProto.INT8, 'int16': TensorProto.INT16, 'int32': TensorProto.INT32,
            'int64': TensorProto.INT64, 'uint8': TensorProto.UINT8, 'uint16': TensorProto.UINT16,
            'uint32': TensorProto.UINT32, 'uint64': TensorProto.UINT64, 'bool': TensorProto.BOOL}


def arrays(random):
    """(name, data type, array) of every type; shapes with a scalar and an empty one among them."""
    shapes = [(), (1,), (0, 3), (2, 3, 4), (1, 1, 5, 1, 2)]
    for name, data_type in FLOATS.items():
        for index, shape in enumerate(shapes):
            array = (random.standard_normal(shape) * 10.0 ** random.integers(-6, 4)).astype(name)
            yield f'{name}_{index}', data_type, np.asarray(array)
    for name, data_type in INTEGERS.items():
        low, high = (0, 1) if name == 'bool' else (np.iinfo(name).min, np.iinfo(name).max)
        high = min(high, np.iinfo('int64').max)
        for index, shape in enumerate(shapes):
            array = random.integers(low, high, shape, dtype='int64', endpoint=True).astype(name)
            yield f'{name}_{index}', data_type, np.asarray(array)


def tensor(name, data_type, array, raw):
    if raw:
        return numpy_helper.from_array(array, name)
    return helper.make_tensor(name, data_type, array.shape, array.flatten().tolist())


def expected_line(name, array):
    array = np.asarray(array)
    if array.dtype.kind == 'f':
        numbers = [f'{bits:08x}' for bits in array.astype(np.float32).flatten().view(np.uint32)]
    else:
        numbers = [str(int(number)) for number in array.flatten()]
    kind = 'float' if array.dtype.kind == 'f' else 'int'
    return ' '.join([name, kind, str(array.ndim), *map(str, array.shape), *numbers])


def model_of(tensors):
    value = helper.make_tensor_value_info('x', TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info('y', TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node('Relu', ['x'], ['y'])], 'g', [value], [result],
                              tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)])


def read_back(program, path):
    done = subprocess.run([program, 'read', path], capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else [done.stderr]


def test_encodings(program, folder, random):
    chosen = list(arrays(random))
    expected = [expected_line(name, array) for name, _, array in chosen]
    for raw in (True, False):
        path = os.path.join(folder, f'raw{raw}.onnx')
        onnx.save(model_of([tensor(*each, raw) for each in chosen]), path)
        found = read_back(program, path)
        ok(found == expected, f'{len(chosen)} constants of {len(FLOATS) + len(INTEGERS)} types, '
           f'{"raw" if raw else "typed"}: the same numbers')
        for one, other in zip(found, expected):
            if one != other:
                print(f'# {one[:120]}\n# instead of {other[:120]}')
    path = os.path.join(folder, 'outside.onnx')
    onnx.save(model_of([tensor(*each, True) for each in chosen]), path, save_as_external_data=True,
              location='outside.bin', size_threshold=1)
    ok(os.path.getsize(os.path.join(folder, 'outside.bin')) > 0 and
       read_back(program, path) == expected, 'the same as external data')


def test_bfloat16(program, folder, random):
    wide = random.standard_normal(50).astype(np.float32)
    bits = wide.view(np.uint32) >> 16
    proto = TensorProto(name='w', data_type=TensorProto.BFLOAT16, dims=[50],
                        raw_data=bits.astype('<u2').tobytes())
    path = os.path.join(folder, 'bfloat16.onnx')
    onnx.save(model_of([proto]), path)
    expected = expected_line('w', (bits << 16).astype(np.uint32).view(np.float32))
    ok(read_back(program, path) == [expected], 'bfloat16: the same numbers')


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    program, random = sys.argv[1], np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, 'write', folder, str(CODES), str(NETWORKS)], check=True)
        test_codes(folder, random)
        test_networks(folder, random)
        test_frame(folder)
        test_encodings(program, folder, random)
        test_bfloat16(program, folder, random)
    print(f'1..{len(checks)}')
    return 0 if all(checks) else 1


if __name__ == '__main__':
    sys.exit(main())
