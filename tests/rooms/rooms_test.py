#!/usr/bin/env python3
"""Tests rooms.py: a small tree that keeps all the rules, then one violation at a time."""
import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # Nothing is left in the source tree.
import rooms

# The smallest tree that has one of everything.
SOUND = {
    'include/tdsnn/context.h': '#include <stddef.h>\n',
    'include/tdsnn/network.h': '#include <tdsnn/context.h>\n',
    'src/base/README.md': '', 'src/base/context.h': '#include "tdsnn/context.h"\n',
    'src/base/context.c': '#include "context.h"\n#include <string.h>\n',
    'src/code/README.md': '', 'src/code/code.h': '',
    'src/code/code.c': '/* [P 10, 11] */\n#include "base/context.h"\n#include "code/code.h"\n',
    'src/onnx/README.md': '', 'src/onnx/read.c': '#include "onnx.pb-c.h"\n#include "base/context.h"\n',
    'src/data/README.md': '', 'src/data/npz.c': '#include <zip.h>\n#include <zlib.h>\n',
    'src/data/npz.h': '',
    'src/network/README.md': '', 'src/network/network.c': '#include <tdsnn/network.h>\n/* [P 4-6] */\n',
    'src/engine/README.md': '', 'src/engine/kernels/dense.c': '#include "network/network.h"\n',
    'src/engine/kernels/avx2.c': '#include <immintrin.h>\n#include "engine/kernels/dense.h"\n',
    'src/engine/kernels/dense.h': '',
    'src/report/README.md': '', 'src/report/json.c': '#include <jansson.h>\n#include "data/npz.h"\n',
    'cli/cli.h': '', 'cli/main.c': '#include <tdsnn/tdsnn.h>\n#include "cli/cli.h"\n',
    'docs/neuron.md': 'Potential [P 4], ticks [P 5, 6]; coding [P 10-11]. The rest is [P 2].\n',
    'tests/unit/code.c': '/* [P\n * 10-11] and [P 4, 5, 6] */\n',
}

# What is changed, the check that has to complain, and what of.
VIOLATIONS = [
    ('a room after', {'src/code/code.h': '#include "network/network.h"\n'},
     'check_order', 'src/code/code.h:1: code may not use network, the room after it'),
    ('a room beside', {'src/onnx/read.c': '\n# include "data/npz.h"\n'},
     'check_order', 'src/onnx/read.c:2: onnx may not use data, the room beside it'),
    ('a tool in the core', {'src/engine/kernels/avx2.c': '#include "data/npz.h"\n'},
     'check_order', 'engine is in libtdsnn and may not use data'),
    ('the public header of a later room', {'src/code/code.h': '#include <tdsnn/network.h>\n'},
     'check_order', 'code may not use network'),
    ('the header with all public headers', {'src/report/json.c': '#include "tdsnn/tdsnn.h"\n'},
     'check_order', 'tdsnn.h is for users'),
    ('a way around', {'src/base/context.c': '#include "../network/network.h"\n'},
     'check_order', 'name the room'),
    ('no room', {'src/base/context.c': '#include "nowhere.h"\n'}, 'check_order', 'is in no room'),
    ('the command line in a room', {'src/report/json.c': '#include "cli/cli.h"\n'},
     'check_order', 'is in no room'),
    ('a computed include', {'src/base/context.c': '#include HEADER\n'}, 'check_order', 'computed'),
    ('zlib outside data', {'src/base/context.c': '#include <zlib.h>\n'},
     'check_third_party', 'src/base/context.c:1: zlib.h is for the room data alone'),
    ('jansson outside report', {'src/network/network.c': '#include "jansson.h"\n'},
     'check_third_party', 'for the room report alone'),
    ('protobuf outside onnx', {'src/engine/kernels/dense.h': '#include <protobuf-c/protobuf-c.h>\n'},
     'check_third_party', 'for the room onnx alone'),
    ('oneDNN outside dense', {'src/data/npz.h': '#include <oneapi/dnnl/dnnl.h>\n'},
     'check_third_party', 'for the room dense alone'),
    ('an unknown library', {'src/base/context.c': '#include <openssl/sha.h>\n'},
     'check_third_party', '<openssl/sha.h> belongs to no room'),
    ('a public header with an internal one', {'include/tdsnn/network.h': '#include "base/context.h"\n'},
     'check_public', 'may not include base/context.h'),
    ('a public header with a library', {'include/tdsnn/network.h': '#include <zip.h>\n'},
     'check_public', 'may not include zip.h'),
    ('a room in cli', {'cli/main.c': '#include "base/context.h"\n'}, 'check_cli', 'cli/main.c:1'),
    ('a room in cli, from behind', {'cli/main.c': '#include "../src/base/context.h"\n'},
     'check_cli', 'cli/main.c:1'),
    ('a library in cli', {'cli/main.c': '#include <jansson.h>\n'}, 'check_cli', 'not jansson.h'),
    ('a room without README.md', {'src/code/README.md': None}, 'check_folders', 'src/code has no README'),
    ('a room without sources', {'src/convert/meson.build': ''},
     'check_folders', 'src/convert has no sources'),
    ('a room that is none', {'src/utils/x.c': '', 'src/utils/README.md': ''},
     'check_folders', 'src/utils is none of the rooms'),
    ('an equation without code', {'src/network/network.c': '/* [P 4, 6] */\n'},
     'check_equations', '[P 5] is mentioned nowhere in src/'),
    ('an equation without a test', {'tests/unit/code.c': '/* [P 4-6], [P 11] */\n'},
     'check_equations', '[P 10] is mentioned nowhere in tests/'),
    ('an equation without docs', {'src/report/json.c': '/* [P 14] */\n'},
     'check_equations', '[P 14] is mentioned nowhere in docs/ nor in tests/'),
    ('no equation at all', {'docs/neuron.md': '', 'src/network/network.c': '', 'src/code/code.c': ''},
     'check_equations', 'docs/ mentions no equation'),
]


def make_tree(root, files):
    for name, text in files.items():
        if text is not None:
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text)


def complaints(changes):
    """What each check says of the sound tree with these changes (None takes a file away)."""
    with tempfile.TemporaryDirectory() as root:
        make_tree(root, {**SOUND, **changes})
        return {check.__name__: list(check(root)) for _, check in rooms.RULES}


def exit_status(changes):
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'rooms.py')
    with tempfile.TemporaryDirectory() as root:
        make_tree(root, {**SOUND, **changes})
        return subprocess.run([sys.executable, program, root], stdout=subprocess.DEVNULL,
                              check=False).returncode


def link_complaints(program):
    """What link_core says of a library made of this program; None without a compiler."""
    if not shutil.which('cc') or not shutil.which('ar'):
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, library = os.path.join(folder, 'x.c'), os.path.join(folder, 'libx.a')
        with open(source, 'w', encoding='utf-8') as file:
            file.write(program)
        subprocess.run(['cc', '-fPIC', '-c', '-o', source + '.o', source], check=True)
        subprocess.run(['ar', 'rcs', library, source + '.o'], check=True)
        return rooms.link_core('cc', library)


def main():
    results = [('a sound tree', [f'{name}: {said}' for name, all_said in complaints({}).items()
                                 for said in all_said])]
    for title, changes, check, sentence in VIOLATIONS:
        said = complaints(changes)[check]
        results.append((title, [] if any(sentence in each for each in said)
                        else [f'{check} should say "{sentence}", and said {said}']))
    commented = complaints({'src/base/context.c': '/*\n#include <zlib.h>\n*/\n#include <errno.h>\n'})
    results.append(('a comment is no include', [str(commented)] if any(commented.values()) else []))
    for title, changes, wanted in (('sound', {}, 0), ('violated', VIOLATIONS[0][1], 1)):
        status = exit_status(changes)
        results.append((f'exit status, {title}', [] if status == wanted else [f'it was {status}']))
    said = link_complaints('double cos(double); double f(double x) { return cos(x); }\n')
    results.append(('a library that needs libm', said or []))
    said = link_complaints('int inflate(void *, int); int f(void) { return inflate(0, 0); }\n')
    results.append(('a library that needs zlib',
                    [] if said is None or 'inflate' in ' '.join(said) else [f'it said {said}']))
    return rooms.report(results)


if __name__ == '__main__':
    sys.exit(main())
