#!/usr/bin/env python3
"""Runs the tool as its users do, and looks at stdout, stderr, the exit code and what is left.

    cli_test.py TDSNN MODELS    MODELS: the folder with lenet-glyphs.onnx
"""
import gzip
import json
import os
import pty
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib

TOOL = os.path.abspath(sys.argv[1])
SOURCE = os.path.join(os.path.abspath(sys.argv[2]), 'lenet-glyphs.onnx')
COMMANDS = ['info', 'convert', 'verify', 'eval']
ALL = COMMANDS + ['bench', 'tune', 'train']
EVERY_KEY = {'schema', 'version', 'cpu', 'threads', 'seed'}
tests = failures = 0


def ok(passed, title, *details):
    global tests, failures
    tests += 1
    failures += not passed
    print(f'{"" if passed else "not "}ok {tests} - {title}')
    if not passed:
        for detail in details:
            for line in str(detail).splitlines():
                print(f'# {line}')


def tdsnn(*words, **options):
    done = subprocess.run([TOOL, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=240, check=False, **options)
    return done.returncode, done.stdout, done.stderr


def one_sentence(said):
    return said.startswith('tdsnn: error: ') and said.count('\n') == 1 and len(said) > 30


def fails(title, code, words, *arguments):
    """The command fails with this code, nothing on stdout, and one sentence that has these words."""
    status, out, said = tdsnn(*arguments)
    ok(status == code and out == '' and one_sentence(said) and all(word in said for word in words),
       title, f'exit {status}, wanted {code}', out[:300], said)


def test_help():
    for words in [[], ['help'], ['--help'], ['-h']]:
        status, out, said = tdsnn(*words)
        ok(status == 0 and said == '' and out.index('Examples:') < out.index('Commands:')
           and all(f'\n  {name} ' in out for name in ALL),
           f'"{" ".join(["tdsnn"] + words)}" shows commands with examples', out, said)
    for name in ALL:
        status, out, said = tdsnn(name, '--help')
        places = [out.find(part) for part in ('Examples:', 'Usage:', 'Options:')]
        ok(status == 0 and said == '' and -1 not in places and places == sorted(places),
           f'{name} --help: examples first, then usage, then options', out, said)
        examples = out[places[0]:places[1]].splitlines()[1:-1]
        ok(examples and all(line.startswith('  tdsnn ') for line in examples),
           f'{name} --help: the examples are commands', *examples)
        ok(all(f'--{option} ' in out for option in ('json', 'threads', 'seed', 'quiet', 'verbose'))
           and max(map(len, out.splitlines())) <= 90, f'{name} --help: options of every command')
        ok(tdsnn('help', name) == (0, out, '') and tdsnn(name, '-h', '--nonsense')[0] == 0,
           f'{name}: help in other ways')
    status, out, _ = tdsnn('--version')
    ok(status == 0 and re.fullmatch(r'tdsnn \d+\.\d+\.\d+\n', out), '--version', out)
    ok(tdsnn('eval', '--version') == (0, out, ''), 'eval --version')


def test_usage(converted):
    fails('an unknown command is told, and what is close', 2, ["'evla'", 'eval', 'tdsnn help'], 'evla')
    fails('a command that is like no other', 2, ["'xyzzy'"], 'xyzzy')
    fails('an unknown option', 2, ["'--limt'", '--limit', 'eval --help'], 'eval', '--limt', '3')
    fails('an unknown option with a value', 2, ["'--sead=3'", '--seed'], 'eval', '--sead=3')
    fails('an unknown letter', 2, ["'-x'"], 'eval', '-x')
    fails('a missing value', 2, ['--data DATA'], 'eval', converted, '--data')
    fails('an option where a value should be', 2, ['--data DATA'], 'eval', '--data', '--limit', '3')
    fails('a value too many', 2, ['--json takes no value'], 'eval', '--json=yes')
    fails('a missing option', 2, ['--data DATA is missing'], 'eval', converted)
    fails('a missing model', 2, ['model is missing'], 'eval', '--data', 'glyphs')
    fails('a second model', 2, ['given already'], 'eval', 'a', 'b', '--data', 'glyphs')
    fails('no model on stdin', 2, ["'-'", 'stdin'], 'info', '-')
    fails('a number out of range', 2, ['--steps', '1 to 255'], 'convert', SOURCE, '-oX', '--steps=256')
    fails('no number', 2, ['--steps', '1 to 255'], 'convert', SOURCE, '-oX', '--steps', '7x')
    fails('a fraction by zero', 2, ['--scale'], 'eval', converted, '--data', 'glyphs', '--scale', '1/0')
    for silence in ('auto:', 'auto:x', 'auto:-1', '1.5', 'much'):
        fails(f'--silence {silence}', 2, ['--silence', 'auto:POINTS'], 'convert', SOURCE, '-oX',
              '--steps', '7', '--silence', silence)
    fails('no choice', 2, ['nearest|ceil'], 'convert', SOURCE, '--rounding', 'up')
    fails('labels without predictions', 2, ['--predictions'], 'eval', converted, '--data', 'glyphs',
          '--labels', 'x')
    fails('two documents for stdout', 2, ['stdout'], 'eval', converted, '--data', 'glyphs', '--json',
          '--predictions', '-')
    fails('unknown data', 2, ["'glyph'", 'mnist:DIR'], 'eval', converted, '--data', 'glyph')
    fails('a scale other than the file was made with', 2, ['1/255', '--scale 1 '], 'eval', converted,
          '--data', 'glyphs', '--scale', '1')
    for what, wanted, given in (
            ('a mean without a standard deviation', '--std', ['--mean', '0.5']),
            ('another mean than the file was made with', 'converted', ['--mean=0.5', '--std=0.5']),
            ('a list that ends in a comma', '--mean', ['--mean', '0.5,']),
            ('a list that is too long', '1 to 4', ['--mean', '1,2,3,4,5']),
            ('a standard deviation of 0', '--std', ['--std', '1,0,1'])):
        fails(what, 2, [wanted], 'eval', converted, '--data', 'glyphs', *given)
    fails('means of other channels', 2, ['C = 1'], 'eval', SOURCE, '--data', 'glyphs', '--mean',
          '0.5,0.5,0.5', '--std', '1,1,1')
    fails('verify wants a spiking network', 2, ['plain'], 'verify', SOURCE, '--data', 'glyphs')
    fails('bench without data', 2, ['--data DATA is missing'], 'bench', converted)
    fails('single kernels of a model', 2, ['--kernels', 'MODEL'], 'bench', converted, '--kernels')
    fails('single kernels on data', 2, ['--kernels', '--data'], 'bench', '--kernels', '--data', 'glyphs')
    fails('kernels that there are not', 2, ["'mmx'", '--isa'], 'bench', '--kernels', '--isa', 'mmx')
    ok(tdsnn('eval', converted, '--data', 'glyphs', '--limit', '2', '--scale', '1/255')[0] == 0,
       'the same scale again is fine')
    ok(tdsnn('eval', '--limit=2', '--data=glyphs', '--', converted)[0] == 0,
       '--name=value, operands behind --')


def test_files(folder, converted):
    missing = os.path.join(folder, 'missing.onnx')
    empty = os.path.join(folder, 'empty')
    open(empty, 'wb').close()
    for name in COMMANDS[:1] + COMMANDS[2:]:
        more = [] if name == 'info' else ['--data', 'glyphs']
        fails(f'{name}: a missing model', 3, ['missing.onnx'], name, missing, *more)
        fails(f'{name}: an empty model', 3, ['empty'], name, empty, *more)
        fails(f'{name}: a folder for a model', 3, [folder], name, folder, *more)
    before = open(converted, 'rb').read()
    fails('an existing output stays', 2, ['--force'], 'convert', SOURCE, '-o', converted, '--steps', '3')
    fails('a folder is no output', 2, ['is a folder', "file's name"], 'convert', SOURCE, '-o', folder, '--steps', '3')
    ok(open(converted, 'rb').read() == before, 'and is not touched')
    plain = os.path.join(folder, 'plain.onnx')
    status, out, said = tdsnn('convert', SOURCE, '-o', plain, '--steps', '3', '-q', '--inline')
    ok(status == 0 and 'without functions' in out and b'TemporalCode' not in open(plain, 'rb').read(),
       '--inline: a file without functions', out, said)
    fails('which is not read back', 4, ['plain.onnx', 'again without --inline'], 'info', plain)
    nowhere = os.path.join(folder, 'no', 'where.onnx')
    status, _, said = tdsnn('convert', SOURCE, '-o', nowhere, '--steps', '3', '-q')
    ok(status == 1 and 'where.onnx' in said, 'a folder that cannot be written is a failure', said)
    logits = os.path.join(folder, 'logits.npy')
    open(logits, 'w').close()
    fails('so is an existing --logits', 2, ['logits.npy', '--force'], 'eval', converted, '--data',
          'glyphs', '--limit', '3', '--logits', logits)
    status, _, said = tdsnn('eval', converted, '--data', 'glyphs', '--limit', '3', '--logits', logits,
                            '--force')
    ok(status == 0 and os.path.getsize(logits) == 128 + 3 * 10 * 4, '--force replaces it', said)


def damaged_copies(path, seed, count):
    """(what was done, bytes): cut off at `count` places, bits flipped at as many."""
    sound = open(path, 'rb').read()
    rng = random.Random(seed)
    for i in range(count):
        cut = len(sound) * i // count
        yield f'cut off at {cut}', sound[:cut]
        flipped = bytearray(sound)
        for _ in range(rng.randint(1, 3)):
            flipped[rng.randrange(len(sound))] ^= 1 << rng.randrange(8)
        yield f'flipped, no. {i} of seed {seed}', bytes(flipped)


def test_damage(folder, converted):
    path = os.path.join(folder, 'damaged.onnx')
    for model in (SOURCE, converted):
        for command in (['info', path], ['eval', path, '--data', 'glyphs', '--limit', '1', '-q']):
            wrong = []
            for what, damaged in damaged_copies(model, 1, 30):
                with open(path, 'wb') as file:
                    file.write(damaged)
                status, _, said = tdsnn(*command)
                # A flipped dimension is another network's: its data are then of the wrong shape (2).
                allowed = (3, 4) if what.startswith('cut') else (0, 2, 3, 4)
                if status not in allowed or (status != 0 and not one_sentence(said)):
                    wrong.append(f'{what}: exit {status}: {said[:300]}')
            ok(not wrong, f'{command[0]}: 60 damaged copies of {os.path.basename(model)} are refused '
               'in one sentence, or run', *wrong)
    os.remove(path)


def write_mnist(folder, packed):
    """Three test pictures of 28 x 28."""
    pictures = struct.pack('>IIII', 0x803, 3, 28, 28) + bytes(i % 256 for i in range(3 * 784))
    labels = struct.pack('>II', 0x801, 3) + bytes([1, 2, 3])
    for name, content in (('t10k-images-idx3-ubyte', pictures), ('t10k-labels-idx1-ubyte', labels)):
        path = os.path.join(folder, name + ('.gz' if packed else ''))
        with open(path, 'wb') as file:
            file.write(gzip.compress(content) if packed else content)


def test_data(folder, converted):
    for packed in (False, True):
        data = os.path.join(folder, 'packed' if packed else 'plain')
        os.mkdir(data)
        write_mnist(data, packed)
        command = ['eval', converted, '--data', f'mnist:{data}']
        status, out, said = tdsnn(*command)
        ok(status == 0 and '3 test samples' in out, f'{data[len(folder) + 1:]} IDX files', said)
        path = os.path.join(data, 't10k-images-idx3-ubyte' + ('.gz' if packed else ''))
        sound = open(path, 'rb').read()
        for what, content in (('empty', b''), ('cut-off', sound[:-3]), ('longer', sound + b'x'),
                              ('bit-flipped', bytes([sound[0] ^ 1]) + sound[1:])):
            with open(path, 'wb') as file:
                file.write(content)
            fails(f'{what} IDX file', 3, [os.path.basename(path)], *command)
    npz = os.path.join(folder, 'bad.npz')
    with zipfile.ZipFile(npz, 'w') as archive:
        archive.writestr('x.npy', b'not an array')
    fails('an .npz without an array', 3, ['bad.npz', 'x.npy'], 'eval', converted, '--data', f'npz:{npz}')
    fails('data of another shape', 2, ['1x28x28'], 'eval', converted, '--data',
          'npy:' + os.path.join(folder, 'logits.npy'))


def write_png(path, side):
    """A grey picture, black with a white bar."""
    def chunk(kind, content):
        return (struct.pack('>I', len(content)) + kind + content
                + struct.pack('>I', zlib.crc32(kind + content)))
    rows = b''.join(bytes([0]) + bytes(255 * (side // 2 <= x < side // 2 + 3) for x in range(side))
                    for _ in range(side))
    with open(path, 'wb') as file:
        file.write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', side, side, 8, 0, 0, 0, 0))
                   + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


def test_pictures(folder, converted):
    """One picture in, an answer out."""
    picture, names = os.path.join(folder, 'one.png'), os.path.join(folder, 'names.txt')
    write_png(picture, 28)
    with open(names, 'w', encoding='utf-8') as file:
        file.writelines(f'digit {i}\n' for i in range(10))
    command = ['eval', converted, '--data', f'images:{picture}', '--predictions', '-', '--labels', names]
    status, out, said = tdsnn(*command)
    ok(status == 0 and re.fullmatch(r'digit \d\n', out), 'one picture in, a name out', said)
    write_png(picture, 40)
    fails('a picture of another size', 3, ['one.png', '40', '28 x 28', '--resize'], *command)
    status, out, said = tdsnn(*command, '--resize', '30', '--crop', '28')
    ok(status == 0 and out.startswith('digit'), 'resized and cropped', said)
    sized = os.path.join(folder, 'sized.onnx')
    ok(tdsnn('convert', SOURCE, '-o', sized, '--steps', '3', '--calibrate', f'images:{picture}',
             '--resize', '30', '--crop', '28')[0] == 0, 'calibrated on a picture that is brought to size')
    with open(sized, 'rb') as file:
        ok(b'tdsnn.calibration\x12\x06images' in file.read(), 'the file says what it was calibrated on')
    command[1] = sized
    ok(tdsnn(*command)[0] == 0 and tdsnn(*command, '--crop', '28')[0] == 0,
       'the file remembers the sizes; the same again is fine')
    fails('another size than the file was made with', 2, ['--resize 30', '--resize 29'], *command,
          '--resize', '29')
    with open(picture, 'r+b') as file:
        file.truncate(50)
    fails('a picture that is cut off', 3, ['one.png', 'cut off'], *command)


def field(number, content):
    """A field of a protobuf message: an integer, or bytes with their length."""
    def varint(value):
        return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def unsupported_model(operator='Det', height=2):
    """y = Det(x), x float [1][1][2][2]."""
    def value(name, *dims):
        shape = b''.join(field(1, field(2 if isinstance(dim, str) else 1, dim)) for dim in dims)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))
    node = field(1, 'x') + field(2, 'y') + field(3, 'bad node') + field(4, operator)
    graph = (field(1, node) + field(2, 'g') + field(11, value('x', 1, 1, height, 2))
             + field(12, value('y', 1, 1)))
    return field(1, 7) + field(7, graph) + field(8, field(1, '') + field(2, 13))


def test_unsupported(folder):
    path = os.path.join(folder, 'unsupported.onnx')
    with open(path, 'wb') as file:
        file.write(unsupported_model())
    status, out, said = tdsnn('info', path)
    ok(status == 4 and 'refused' in out and one_sentence(said) and 'Det' in said,
       'info: exit 4 names what is refused', f'exit {status}', out, said)
    status, out, said = tdsnn('info', path + '\x1b[2J')
    ok(status == 3 and '\x1b' not in out + said, 'control characters do not reach the terminal', said)
    status, out, said = tdsnn('info', path, '--json')
    document = json.loads(out)
    ok(status == 4 and document['layers'][0]['status'] == 'refused' and not document['supported'],
       'info --json: so does the document', out)
    fails('eval: exit 4', 4, ['Det'], 'eval', path, '--data', 'random')
    fails('convert: exit 4', 4, ['Det'], 'convert', path, '-o', os.path.join(folder, 'n.onnx'),
          '--steps', '7', '-q')
    ok(not os.path.exists(os.path.join(folder, 'n.onnx')), 'and nothing is written')
    with open(path, 'wb') as file:
        file.write(unsupported_model('Relu', 'rows'))
    fails('a symbolic dimension without a size', 4, ["'rows'", '--shape rows=V'], 'info', path)
    fails('a size that is none', 2, ['NAME=V'], 'info', path, '--shape', 'rows=')
    status, out, said = tdsnn('info', path, '--shape', 'rows=3')
    ok(status == 0 and 'input 1x3x2' in out, '--shape gives it one', out, said)
    status, _, said = tdsnn('eval', path, '--shape', 'rows=3', '--data', 'random', '--against', path)
    ok(status == 0, 'also of --against', said)


def test_json(folder, converted):
    out = os.path.join(folder, 'again.onnx')
    cases = [(['info', SOURCE], {'layers', 'macs', 'macs_padded'}),
             (['info', converted], {'layers'}),
             (['info', '--build'], {'build'}),
             (['convert', SOURCE, '-o', out, '--steps', '7', '--calibrate', 'glyphs'],
              {'leak', 'agreement_percent', 'layers'}),
             (['verify', converted, '--data', 'glyphs', '--limit', '2'],
              {'samples', 'neurons_checked', 'neuron_vs_formula_mismatches',
               'fast_vs_reference_mismatches', 'float_vs_double_mismatches', 'predictions_changed'}),
             (['eval', converted, '--data', 'glyphs', '--limit', '20', '--against', SOURCE],
              {'samples', 'top1_percent', 'top5_percent', 'neurons', 'spikes_per_neuron',
               'zero_spikes_per_neuron', 'input_spikes_per_pixel', 'macs', 'ops', 'latency', 'time_s',
               'layers', 'agreement_percent', 'max_abs_error', 'mean_abs_error'}),
             (['bench', converted, '--data', 'glyphs', '--limit', '2', '--seconds', '0.01'],
              {'isa', 'opponent', 'opponent_isa', 'batch', 'dense_ms', 'event_ms', 'ratio',
               'peak_bytes', 'layers'}),
             (['bench', '--kernels', '--seconds', '0.01'],
              {'isa', 'opponent', 'opponent_isa', 'kernels'}),
             (['eval', SOURCE, '--data', 'random:3'], {'samples', 'macs', 'top1_percent'})]
    for command, keys in cases:
        status, text, said = tdsnn(*command, '--json', '--seed', '5', '--threads', '1')
        try:
            document = json.loads(text)
        except ValueError:
            document = {}
        ok(status == 0 and said == '' and EVERY_KEY | keys <= set(document)
           and document['seed'] == 5 and document['threads'] == 1,
           f'{" ".join(map(os.path.basename, command[:2]))} --json: one document, nothing else',
           f'exit {status}', said, sorted((EVERY_KEY | keys) - set(document)))
    ok(os.path.getsize(out) > 0, 'convert --json writes its file, too')
    status, _, _ = tdsnn('eval', converted, '--data', 'nowhere', '--json')
    ok(status == 2, '--json: no document where there is no result')


def test_results(folder, converted):
    status, out, said = tdsnn('info', SOURCE)
    ok(status == 0 and said == '' and 'Conv' in out and '460,224' in out and 'converted' in out,
       'info: nodes, multiply-adds, verdict', out, said)
    status, out, said = tdsnn('info', converted)
    ok(status == 0 and 'spiking' in out and 'K 7, L 14' in out and 'K 127, L 254' in out,
       'info: codes of a converted network', out, said)
    status, out, said = tdsnn('verify', converted, '--data', 'glyphs', '--limit', '3')
    ok(status == 0 and 'PROVED' in out and '3 test samples' in out, 'verify: a verdict', out, said)
    status, out, said = tdsnn('eval', converted, '--data', 'glyphs', '--limit', '200', '--verbose',
                              '--against', SOURCE)
    ok(status == 0 and said == '' and all(words in out for words in (
        'accuracy', 'same answer', 'spikes per neuron', 'zero spikes per neuron', 'MAC = 1',
        "paper's convention", 'zeros silent', 'energy', 'latency', '45nm_int8', 'T_il')),
       'eval: every figure', out, said)
    ok(all(line == line.rstrip() for line in out.splitlines()), 'eval: no blanks at ends of lines')
    status, out, said = tdsnn('eval', converted, '--data', 'glyphs', '--limit', '3',
                              '--predictions', '-')
    ok(status == 0 and re.fullmatch(r'(\d\n){3}', out) and 'accuracy' in said,
       '--predictions -: classes alone on stdout, the report on stderr', out, said)
    slow = tdsnn('eval', converted, '--data', 'glyphs', '--limit', '3', '--predictions', '-',
                 '--engine', 'clock')
    ok(slow[1] == out, 'the clock engine predicts the same')
    spikes = os.path.join(folder, 'spikes.npz')
    tdsnn('eval', converted, '--data', 'glyphs', '--limit', '3', '--spikes', spikes)
    ok(zipfile.ZipFile(spikes).testzip() is None and 'conv1.npy' in zipfile.ZipFile(spikes).namelist(),
       '--spikes: a sound archive')
    status, out, said = tdsnn('convert', SOURCE, '-o', os.path.join(folder, 'r.onnx'), '--steps', '3')
    ok(status == 0 and said.startswith('tdsnn: warning: no --calibrate'),
       'convert without --calibrate warns', said)
    status, out, said = tdsnn('convert', SOURCE, '-o', os.path.join(folder, 'a.onnx'), '--steps', '3',
                              '--calibrate', 'glyphs', '--input-steps', 'analog')
    ok(status == 0 and said == '' and 'not spiking' in out, 'an analog input is said to be one', out)
    status, out, said = tdsnn('eval', os.path.join(folder, 'a.onnx'), '--data', 'glyphs', '--limit', '2')
    ok(status == 0 and 'not spiking' in out, 'by eval, too', out)


def test_silence(folder):
    made = []
    for budget in ('auto:0', 'auto:0.5', 'auto:5'):
        out = os.path.join(folder, f'{budget[5:]}.onnx')
        status, said, _ = tdsnn('convert', SOURCE, '-o', out, '--steps', '15', '--calibrate', 'glyphs',
                                '--silence', budget, '--json')
        document = json.loads(said) if status == 0 else {}
        made.append(document.get('silence', {}))
    ok(made[0] == {} and all(m['loss_points'] <= points and m['spikes_after'] <= m['spikes_before']
                             for m, points in zip(made[1:], (0.5, 5)))
       and made[2]['spikes_after'] <= made[1]['spikes_after'] < made[1]['spikes_before'],
       '--silence auto: fewer spikes for more points, within the budget', made)
    status, said, _ = tdsnn('verify', out, '--data', 'glyphs', '--limit', '5')
    ok(status == 0 and 'PROVED' in said, 'and verify passes', said)
    status, said, _ = tdsnn('convert', SOURCE, '-o', out, '--force', '--steps', '7', '--calibrate',
                            'glyphs', '--silence', 'auto:1')
    ok(status == 0 and 'Silenced: ' in said and 'silent to' in said, 'convert says so', said)


def npy(values, *shape):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    header = header.ljust(117) + '\n'
    return (b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode()
            + struct.pack(f'<{len(values)}f', *values))


def test_values(folder, converted):
    npz = os.path.join(folder, 'values.npz')
    with zipfile.ZipFile(npz, 'w') as archive:
        archive.writestr('x.npy', npy([0.0] * 2 * 784, 2, 1, 28, 28))
        archive.writestr('y.npy', npy([0.5] * 2 * 10, 2, 10))
    status, out, said = tdsnn('eval', converted, '--data', f'npz:{npz}', '--scale', '1/255',
                              '--against', SOURCE)
    ok(status == 0 and said == '' and 'mean error' in out and 'root mean square' in out
       and 'difference' in out and 'accuracy' not in out and 'same answer' not in out,
       'eval: outputs that are values have errors and no accuracy', out, said)
    status, out, said = tdsnn('eval', SOURCE, '--data', f'npz:{npz}', '--json')
    ok(status == 0 and json.loads(out)['targets'] == 'y' and json.loads(out)['top1_percent'] is None,
       'and in JSON', out, said)
    status, out, said = tdsnn('convert', SOURCE, '-o', os.path.join(folder, 'values.onnx'), '--steps',
                              '7', '--calibrate', f'npz:{npz}', '--scale', '1/255', '--quiet')
    ok(status == 0 and "outputs are" in out and "off the source's" in out
       and 'Same answer' not in out, 'convert: the error of outputs that are values', out, said)


def test_interrupt(folder, converted):
    logits = os.path.join(folder, 'interrupted.npy')
    process = subprocess.Popen([TOOL, 'eval', converted, '--data', 'glyphs', '--engine', 'clock',
                                '--threads', '1', '--logits', logits], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    deadline = time.time() + 60
    while not any(name.startswith('interrupted') for name in os.listdir(folder)):
        if time.time() > deadline:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=120)
    left = [name for name in os.listdir(folder) if name.startswith('interrupted')]
    ok(process.returncode == 130 and out == '' and one_sentence(said) and 'interrupted' in said
       and left == [], 'Ctrl-C: exit 130, a sentence, nothing left', process.returncode, said, left)


def on_terminal(words, **environment):
    """What the tool writes to a terminal."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(environment)
        os.execv(TOOL, [TOOL, *words])
    text = b''
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            part = b''
        if not part:
            break
        text += part
    os.close(terminal)
    os.waitpid(child, 0)
    return text.decode()


def test_terminal(converted):
    os.environ.pop('NO_COLOR', None)
    words = ['eval', converted, '--data', 'glyphs', '--limit', '2000', '--engine', 'clock']
    text = on_terminal(words, TERM='xterm')
    ok('evaluating [' in text and ' left' in text, 'a terminal gets a progress bar', text[:300])
    ok('\x1b[1m' in text, 'and colour')
    text = on_terminal(words + ['--quiet'], TERM='xterm', NO_COLOR='1')
    ok('evaluating [' not in text and '\x1b' not in text, '--quiet and NO_COLOR are honoured', text[:300])


def main():
    folder = tempfile.mkdtemp(prefix='tdsnn-cli-')
    try:
        converted = os.path.join(folder, 'lenet.snn.onnx')
        status, out, said = tdsnn('convert', SOURCE, '-o', converted, '--steps', '7', '--calibrate',
                                  'glyphs')
        ok(status == 0 and said == '' and 'conv1' in out and 'Same answer' in out,
           'convert: a table of codes and the agreement', out, said)
        test_help()
        test_usage(converted)
        test_files(folder, converted)
        test_data(folder, converted)
        test_pictures(folder, converted)
        test_damage(folder, converted)
        test_unsupported(folder)
        test_json(folder, converted)
        test_results(folder, converted)
        test_silence(folder)
        test_values(folder, converted)
        test_interrupt(folder, converted)
        test_terminal(converted)
        left = [name for name in os.listdir(folder) if name.endswith('.tmp')]
        ok(left == [], 'no temporary file is left', *left)
    finally:
        shutil.rmtree(folder)
    print(f'1..{tests}')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
