#!/usr/bin/env python3
"""Checks the rules between the rooms of the source tree; one TAP line a rule.

    rooms.py ROOT                        the rules on the tree at ROOT
    rooms.py --link CC LIBTDSNN.a        libtdsnn links with what it may use and nothing else

docs/architecture.md says what the rooms are for.
"""
import os
import re
import subprocess
import sys
import tempfile

# Each room may use those before its group, not those beside it.
ORDER = [['base'], ['code'], ['graph'], ['onnx', 'data', 'dense'], ['network'], ['engine'],
         ['convert'], ['train', 'baseline'], ['measure'], ['report']]
RANK = {room: rank for rank, group in enumerate(ORDER) for room in group}
# libtdsnn, which loads and runs a network; the other rooms are libtdsnn-tools.
CORE = {'base', 'code', 'graph', 'onnx', 'network', 'engine'}
CORE_LIBRARIES = ['-lprotobuf-c', '-lm', '-lpthread']

# Third-party headers, and the one room that may see them.
THIRD_PARTY = [(r'jansson\.h', 'report'), (r'protobuf-c/.*|(.*/)?onnx\.pb-c\.h', 'onnx'),
               (r'zlib\.h|zip\.h|jpeglib\.h|jerror\.h|png\.h', 'data'), (r'(oneapi/dnnl/|dnnl).*|omp\.h', 'dense')]
# Headers of the language, of POSIX and of the compiler. Anything else is third-party.
SYSTEM = re.compile(
    r'(assert|complex|ctype|errno|fenv|float|inttypes|iso646|limits|locale|math|setjmp|signal|'
    r'stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|threads|time|'
    r'uchar|wchar|dirent|fcntl|libgen|poll|pthread|sched|strings|termios|unistd|'
    r'sys/(ioctl|mman|resource|stat|sysinfo|time|types|utsname|wait)|'
    r'cpuid|immintrin|arm_neon|arm_sve|sys/auxv|asm/hwcap)\.h')

EQUATIONS = range(4, 15)  # [P 4] .. [P 14]: those that describe the network
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(.*)', re.MULTILINE)
COMMENT = re.compile(r'/\*.*?\*/', re.DOTALL)
CITATION = re.compile(r'\[P[ \t\n*]+(\d[\d,\s*–-]*)\]')


def files_in(folder, *endings):
    for path, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.endswith(endings):
                yield os.path.join(path, name)


def read(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


def includes(path):
    """(line, angled, name) of each #include outside comments; name is None where it is computed."""
    text = COMMENT.sub(lambda comment: '\n' * comment[0].count('\n'), read(path))
    for match in INCLUDE.finditer(text):
        line = text.count('\n', 0, match.start()) + 1
        name = re.match(r'([<"])([^>"]+)[>"]', match[1])
        yield (line, name[1] == '<', name[2]) if name else (line, False, None)


def sources(root):
    """(room, path) of each C file under src/."""
    for room in sorted(os.listdir(os.path.join(root, 'src'))):
        folder = os.path.join(root, 'src', room)
        if os.path.isdir(folder):
            for path in files_in(folder, '.c', '.h', '.inc'):
                yield room, path


def owner_of_public(root, name):
    """The room that a header of include/tdsnn/ speaks for: the room of that name, or the only one
    with a file of that name. None where neither is so."""
    stem = os.path.splitext(name)[0]
    if stem in RANK:
        return stem
    owners = {room for room, path in sources(root)
              if os.path.splitext(os.path.basename(path))[0] == stem}
    return owners.pop() if len(owners) == 1 else None


def third_party_room(name):
    for pattern, room in THIRD_PARTY:
        if re.fullmatch(pattern, name):
            return room
    return None


def target_room(root, room, path, name):
    """The room that the quoted or public header `name` lies in; a sentence where it is nowhere."""
    if name == 'tdsnn/tdsnn.h':
        return None, 'tdsnn.h is for users: include the header that is meant'
    if name.startswith('tdsnn/'):
        return owner_of_public(root, name[len('tdsnn/'):]) or room, None
    if '..' in name.split('/'):
        return None, f'"{name}": name the room, not the way to it'
    if os.path.exists(os.path.join(os.path.dirname(path), name)):
        return room, None
    first = name.split('/')[0]
    if '/' in name and first in RANK:
        return first, None
    return None, f'"{name}" is in no room'


def may_use(room, other):
    if other == room:
        return None
    if RANK[other] >= RANK[room]:
        beside = 'beside' if RANK[other] == RANK[room] else 'after'
        return f'{room} may not use {other}, the room {beside} it'
    if room in CORE and other not in CORE:
        return f'{room} is in libtdsnn and may not use {other}, which is not'
    return None


def check_order(root):
    for room, path in sources(root):
        for line, angled, name in includes(path):
            where = f'{os.path.relpath(path, root)}:{line}'
            if name is None:
                yield f'{where}: a computed #include cannot be checked'
            elif room not in RANK or third_party_room(name) or SYSTEM.fullmatch(name):
                continue
            elif not angled or name.startswith('tdsnn/'):
                other, complaint = target_room(root, room, path, name)
                complaint = complaint or may_use(room, other)
                if complaint:
                    yield f'{where}: {complaint}'


def check_third_party(root):
    for room, path in sources(root):
        for line, angled, name in includes(path):
            where = f'{os.path.relpath(path, root)}:{line}'
            owner = third_party_room(name or '')
            if owner and owner != room:
                yield f'{where}: {name} is for the room {owner} alone'
            elif angled and not owner and not name.startswith('tdsnn/') \
                    and not SYSTEM.fullmatch(name):
                yield f'{where}: <{name}> belongs to no room (tests/rooms/rooms.py lists who does)'


def check_public(root):
    folder = os.path.join(root, 'include', 'tdsnn')
    for path in files_in(folder, '.h'):
        for line, _, name in includes(path):
            allowed = name and (SYSTEM.fullmatch(name) or (
                name.startswith('tdsnn/') and os.path.exists(os.path.join(root, 'include', name))))
            if not allowed:
                yield f'{os.path.relpath(path, root)}:{line}: a public header may not include {name}'


def check_cli(root):
    for path in files_in(os.path.join(root, 'cli'), '.c', '.h', '.inc'):
        for line, angled, name in includes(path):
            own = name and not angled and '..' not in name.split('/') and (
                name.startswith('cli/')
                or os.path.exists(os.path.join(os.path.dirname(path), name)))
            public = name and angled and (name.startswith('tdsnn/') or SYSTEM.fullmatch(name))
            if not own and not public:
                yield (f'{os.path.relpath(path, root)}:{line}: cli may include <tdsnn/...> and its '
                       f'own headers, not {name}')


def check_folders(root):
    for room in sorted(os.listdir(os.path.join(root, 'src'))):
        folder = os.path.join(root, 'src', room)
        if not os.path.isdir(folder):
            continue
        if room not in RANK:
            yield f'src/{room} is none of the rooms'
        if not any(files_in(folder, '.c', '.h')):
            yield f'src/{room} has no sources: a room that does nothing does not exist'
        elif not os.path.exists(os.path.join(folder, 'README.md')):
            yield f'src/{room} has no README.md'


def cited(paths):
    """The numbers n of all [P n], [P n, m] and [P n-m] in these files."""
    numbers = set()
    for path in paths:
        for citation in CITATION.findall(read(path)):
            for part in re.sub(r'[\s*]', '', citation).split(','):
                ends = [int(end) for end in re.split('[–-]', part) if end]
                numbers.update(range(ends[0], ends[-1] + 1) if ends else ())
    return numbers


def check_equations(root):
    def under(folder, *endings):
        return cited(files_in(os.path.join(root, folder), *endings))

    docs = under('docs', '.md') & set(EQUATIONS)
    code = under('src', '.c', '.h', '.inc')
    tests = under('tests', '.c', '.h', '.inc')
    if not docs:
        yield 'docs/ mentions no equation of the paper, [P 4] to [P 14]'
    for number in sorted(docs | (code & set(EQUATIONS))):
        absent = [name for name, found in (('docs/', docs), ('src/', code), ('tests/', tests))
                  if number not in found]
        if absent:
            yield f'[P {number}] is mentioned nowhere in {" nor in ".join(absent)}'


RULES = [('rooms use only rooms before them', check_order),
         ('a third-party header is included in one room', check_third_party),
         ('public headers include only public headers', check_public),
         ('cli uses only the public headers', check_cli),
         ('each room has sources and a README.md', check_folders),
         ('each equation in docs/ has code and a test', check_equations)]


def link_core(compiler, library):
    """Links all of libtdsnn with what it may use; the linker's complaints, if any."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            compiler.split() + ['-shared', '-o', os.path.join(folder, 'all.so'), '-Wl,--no-undefined',
                                '-Wl,--whole-archive', library, '-Wl,--no-whole-archive']
            + CORE_LIBRARIES, capture_output=True, text=True, check=False)
        return done.stderr.splitlines() if done.returncode else []


def report(results):
    failed = 0
    for number, (rule, complaints) in enumerate(results, 1):
        complaints = list(complaints)
        failed += bool(complaints)
        print(f'{"not " if complaints else ""}ok {number} - {rule}')
        for complaint in complaints:
            print(f'# {complaint}')
    print(f'1..{len(results)}')
    return 1 if failed else 0


def main(arguments):
    if len(arguments) == 3 and arguments[0] == '--link':
        rule = f'libtdsnn links with nothing but {" ".join(CORE_LIBRARIES)}'
        return report([(rule, link_core(arguments[1], arguments[2]))])
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    return report([(rule, check(arguments[0])) for rule, check in RULES])


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
