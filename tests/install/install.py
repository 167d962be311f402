#!/usr/bin/env python3
"""What is installed, as an embedder meets it; TAP.

    install.py BUILD SOURCE TOOL COMPILER...

Installs into a temporary folder, builds examples/classify.c with what pkg-config says, and compares
its answers with the tool's.
"""
import array
import glob
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

BUILD, SOURCE, TOOL = (os.path.abspath(path) for path in sys.argv[1:4])
COMPILER = sys.argv[4:]
SAMPLES, SIDE = 60, 28
# The dynamic linker itself is not a library that anyone has to install.
NEEDED = {'libprotobuf-c.so', 'libm.so', 'libpthread.so', 'libc.so', 'ld-linux-x86-64.so',
          'ld-linux-aarch64.so'}
tests = failures = 0


def ok(passed, title, *details):
    global tests, failures
    tests += 1
    failures += not passed
    print(f'{"" if passed else "not "}ok {tests} - {title}')
    for line in '' if passed else '\n'.join(map(str, details)).splitlines():
        print(f'# {line}')
    return passed


def run(*words, **options):
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    return done.returncode, done.stdout, done.stderr


def meson():
    """The meson that made the build folder: no other can use it."""
    with open(os.path.join(BUILD, 'meson-info', 'meson-info.json'), encoding='utf-8') as file:
        wanted = json.load(file)['meson_version']['full']
    for candidate in ('/usr/bin/meson', 'meson'):
        if shutil.which(candidate) and run(candidate, '--version')[1].strip() == wanted:
            return candidate
    return None


def write_samples(folder):
    """Strokes on a dark ground, as pixels for the tool and in the network's unit for the example."""
    pixels = bytearray()
    for sample in range(SAMPLES):
        for y in range(SIDE):
            for x in range(SIDE):
                ring = (x - 14) ** 2 + (y - 14) ** 2 - 9 * (sample % 11)
                bar = abs((sample % 5 - 2) * (x - 14) + (sample % 3 - 1) * 3 * (y - 14) + sample % 4)
                inked = abs(ring) < 20 + sample if sample % 2 else bar < 3 and 4 < y < 24
                pixels.append(255 - sample if inked and 3 < x < 25 else 0)
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({SAMPLES}, 1, {SIDE}, {SIDE}), }}"
    header = header.ljust(117) + '\n'
    with open(os.path.join(folder, 'samples.npy'), 'wb') as file:
        file.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode() + pixels)
    with open(os.path.join(folder, 'samples.bin'), 'wb') as file:
        array.array('f', [pixel * (1 / 255) for pixel in pixels]).tofile(file)


def check_library(path, prefix, needed):
    status, symbols, said = run('nm', '-D', '--defined-only', path)
    names = [line.split()[-1].split('@')[0] for line in symbols.splitlines()]
    others = [name for name in names if not name.startswith(prefix)]
    ok(status == 0 and len(names) > 20 and others == [],
       f'{os.path.basename(path)} exports {prefix}* alone', said, *others)
    dynamic = run('readelf', '-d', path)[1]
    ok('soname: [libtdsnn' in dynamic and '.so.0]' in dynamic, 'and has a version', dynamic)
    if needed is not None:
        found = {line.split('[')[1].rstrip(']').split('.so')[0] + '.so'
                 for line in dynamic.splitlines() if '(NEEDED)' in line}
        ok(found <= needed and 'libprotobuf-c.so' in found, 'and needs protobuf-c and nothing else',
           *sorted(found - needed))


def build_example(name, root, folder):
    """The example, built with what pkg-config says of `name`; how to start it."""
    packages = glob.glob(os.path.join(root, '**', 'pkgconfig'), recursive=True)
    environment = dict(os.environ, PKG_CONFIG_PATH=':'.join(packages), PKG_CONFIG_SYSROOT_DIR=root)
    status, flags, said = run('pkg-config', '--cflags', '--libs', name, env=environment)
    program = os.path.join(folder, f'classify-{name}')
    if ok(status == 0, f'pkg-config knows {name}', said):
        status, _, said = run(*COMPILER, '-std=c11', '-Wall', '-Wextra', '-Werror', '-o', program,
                              os.path.join(SOURCE, 'examples', 'classify.c'), *flags.split())
        ok(status == 0 and said == '', 'the example is built with it', said)
    libraries = glob.glob(os.path.join(root, '**', f'lib{name}.so.0'), recursive=True)
    return program, dict(os.environ, LD_LIBRARY_PATH=os.path.dirname(libraries[0]))


def main():
    wanted = [tool for tool in ('pkg-config', 'nm', 'readelf') if shutil.which(tool) is None]
    command = meson()
    if wanted or command is None:
        print('1..0 # SKIP not there: ' + ', '.join(wanted or ['the meson that made this build']))
        return 0
    folder = tempfile.mkdtemp(prefix='tdsnn-install-')
    try:
        root = os.path.join(folder, 'root')
        status, out, said = run(command, 'install', '-C', BUILD, '--no-rebuild', '--destdir', root)
        if not ok(status == 0, 'meson install', out, said):
            return 1
        headers = glob.glob(os.path.join(root, '**', 'include', 'tdsnn', '*.h'), recursive=True)
        there = {os.path.basename(header) for header in headers}
        ok(there == set(os.listdir(os.path.join(SOURCE, 'include', 'tdsnn'))), 'all headers', there)
        for name, needed in (('tdsnn', NEEDED), ('tdsnn-tools', None)):
            path = glob.glob(os.path.join(root, '**', f'lib{name}.so.0'), recursive=True)
            if ok(len(path) == 1, f'one lib{name}.so.0', *path):
                check_library(path[0], 'tdsnn_', needed)
        model = os.path.join(folder, 'lenet.snn.onnx')
        status, _, said = run(TOOL, 'convert', os.path.join(SOURCE, 'models', 'lenet-glyphs.onnx'),
                              '-o', model, '--steps', '7', '--calibrate', 'glyphs')
        write_samples(folder)
        status, out, said = run(TOOL, 'eval', model, '--data', f'npy:{folder}/samples.npy', '--scale',
                                '1/255', '--predictions', '-', '--quiet')
        expected = [line for line in out.splitlines() if line.isdigit()]
        ok(status == 0 and len(expected) == SAMPLES and len(set(expected)) > 2,
           'the tool predicts, not always the same', out, said)
        for name in ('tdsnn', 'tdsnn-tools'):
            program, environment = build_example(name, root, folder)
            status, out, said = run(program, model, f'{folder}/samples.bin', env=environment)
            ok(status == 0 and out.split() == expected, f'the example with {name} predicts the same',
               out.split(), expected, said)
        status, _, said = run(program, os.path.join(SOURCE, 'models', 'lenet-glyphs.onnx'),
                              f'{folder}/samples.bin', env=environment)
        ok(status == 1 and 'convert it first' in said, 'a plain model is refused in words', said)
    finally:
        shutil.rmtree(folder)
        print(f'1..{tests}')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
