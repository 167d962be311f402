#!/usr/bin/env python3
"""Runs `tdsnn tune` and `tdsnn train` as their users do, who may stop them at any time.

    training_test.py TDSNN MODELS    MODELS: the folder with lenet-glyphs.onnx
"""
import csv
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import cli_test
from cli_test import EVERY_KEY, SOURCE, TOOL, fails, ok, on_terminal, one_sentence, tdsnn

SMALL = ['--data', 'glyphs', '--limit', '1500', '--epochs', '4', '--seed', '3', '--threads', '2']


def read(path):
    with open(path, 'rb') as file:
        return file.read()


def test_usage(folder, converted):
    out = ['-o', os.path.join(folder, 'none.onnx'), '--data', 'glyphs']
    fails('tune: a plain network needs a window', 2, ['--steps K'], 'tune', SOURCE, *out)
    fails('tune: a converted one has it', 2, ['--steps', 'converted already'], 'tune', converted, *out,
          '--steps', '3')
    fails('tune: and the rest of its codes', 2, ['--rounding'], 'tune', converted, *out, '--rounding',
          'nearest')
    fails('tune: no model', 2, ['model is missing'], 'tune', *out, '--steps', '3')
    fails('tune: no file', 3, ['no.onnx'], 'tune', 'no.onnx', *out, '--steps', '3')
    fails('train: no network', 2, ['resnet20', 'ONNX'], 'train', *out)
    fails('train: no architecture', 2, ["'lennet'", 'lenet, linear, mlp, vgg11, resnet20'], 'train', 'lennet', *out)
    fails('train: no file', 3, ['lenet.onnx'], 'train', os.path.join(folder, 'lenet.onnx'), *out)
    fails('train: not a converted one', 2, ['tune'], 'train', converted, *out)
    fails('train: pictures too small', 2, ['vgg11', '1x28x28'], 'train', 'vgg11', *out)
    for option in (['--leak', '3'], ['--offset', '0'], ['--sparsity', '0.1'], ['--fixed-scales'],
                   ['--learn-thresholds']):
        fails(f'train: {option[0]} without codes', 2, [option[0], '--steps K'], 'train', 'mlp', *out, *option)
    fails('train: no source to distill from', 2, ['--distill'], 'train', 'mlp', *out, '--distill', '0.5')
    for option in (['--lr', '0'], ['--batch', '0'], ['--epochs', '0'], ['--momentum', '1'],
                   ['--distill', '2'], ['--optimiser', 'adam'], ['--norm', 'on'], ['--schedule', 'up']):
        fails(f'{" ".join(option)}', 2, [option[0]], 'tune', SOURCE, *out, '--steps', '3', *option)
    fails('a batch that is cut unevenly', 2, ['33'], 'train', 'mlp', *out, '--batch', '33')
    fails('a teacher of nothing', 2, ['--distill'], 'tune', SOURCE, *out, '--steps', '3', '--teacher', SOURCE)
    fails('a temperature of nothing', 2, ['--distill'], 'tune', SOURCE, *out, '--steps', '3', '--temperature', '2')
    fails('thresholds learnt and kept', 2, ['exclude'], 'tune', SOURCE, *out, '--steps', '3',
          '--learn-thresholds', '--fixed-scales')
    fails('nothing to resume', 2, ['none.checkpoint.npz', 'without --resume'], 'train', 'mlp', *out, '--resume')
    fails('all held out', 2, ['held out'], 'train', 'mlp', *out, '--limit', '10', '--holdout', '10')
    fails('a log of another kind', 2, ['.csv', '.jsonl'], 'train', 'mlp', *out, '--log',
          os.path.join(folder, 'log.txt'))
    fails('data without labels', 2, ['labels'], 'train', 'mlp', '-q', *out[:2],
          '--data', f'npy:{write_npy(folder)}')
    ok(os.listdir(folder) == ['x.npy'], 'nothing is written', os.listdir(folder))


def write_npy(folder):
    path = os.path.join(folder, 'x.npy')
    with open(path, 'wb') as file:
        file.write(cli_test.npy([0.0] * 2 * 784, 2, 1, 28, 28))
    return path


def rows(text):
    """The epochs of a table: [first column, ..]."""
    return [line.split() for line in text.splitlines() if line.split()[:1] and '/' in line.split()[0]
            and line.split()[0].replace('/', '').isdigit()]


def test_train(folder):
    """From nothing; what is written is a plain network. Returns its path."""
    path, log = os.path.join(folder, 'mlp.onnx'), os.path.join(folder, 'mlp.csv')
    status, out, said = tdsnn('train', 'mlp', '-o', path, *SMALL, '--log', log)
    table = rows(out)
    ok(status == 0 and said == '' and [row[0] for row in table] == ['1/4', '2/4', '3/4', '4/4']
       and table[0][-1] == 'best' and 'on 150 samples held out' in out
       and f'Next: tdsnn eval {path} --data glyphs' in out, 'train: a line an epoch, and the best', out, said)
    ok(all(line == line.rstrip() and len(line) <= 100 for line in out.splitlines()[1:-2]),
       'train: the table is neat', out)
    ok(sorted(os.listdir(folder)) == ['mlp.checkpoint.npz', 'mlp.csv', 'mlp.onnx', 'x.npy'],
       'train: the file, a checkpoint, the log', os.listdir(folder))
    with open(log, encoding='utf-8') as file:
        lines = list(csv.DictReader(file))
    ok([line['epoch'] for line in lines] == ['1', '2', '3', '4']
       and float(lines[3]['loss']) < float(lines[0]['loss']) < 2.6, 'train: the log has them, too', lines)
    best = max(float(line['held_out_percent']) for line in lines)
    ok(best > 30 and f'{best:.2f} % on 150' in out, 'train: it learns, and the best is what is said', out)
    status, out, said = tdsnn('eval', path, '--data', 'glyphs', '--limit', '500', '--json')
    top1 = json.loads(out)['top1_percent'] if status == 0 else 0
    ok(abs(top1 - best) < 20 and not json.loads(out)['spiking'],
       f'eval: {top1} % of test samples, {best} of those held out', said)
    before = read(path)
    fails('train: a file that exists stays', 2, ['mlp.onnx', '--force'], 'train', 'mlp', '-o', path, *SMALL)
    fails('train: so does a checkpoint', 2, ['mlp.checkpoint.npz', '--force'], 'train', 'mlp', '-o',
          os.path.join(folder, 'other.onnx'), '--checkpoint', os.path.join(folder, 'mlp.checkpoint.npz'), *SMALL)
    fails('train: and a log', 2, ['mlp.csv', '--force'], 'train', 'mlp', '-o',
          os.path.join(folder, 'other.onnx'), '--log', log, *SMALL)
    ok(read(path) == before, 'train: untouched')
    again = os.path.join(folder, 'again.onnx')
    words = [word for word in SMALL if word not in ('--threads', '2')]
    status, _, said = tdsnn('train', 'mlp', '-o', again, *words, '--threads', '1')
    ok(status == 0 and read(again) == before, 'train: one thread gives the same bytes as two', said)
    status, _, said = tdsnn('train', 'mlp', '-o', again, *SMALL[:-4], '--seed', '4', '--force')
    ok(status == 0 and read(again) != before, 'train: another seed does not', said)
    status, out, said = tdsnn('train', path, '-o', again, *SMALL, '--epochs', '1', '--force')
    ok(status == 0 and 'mlp.onnx -> again.onnx' in out, "train: a file's shape, weights drawn anew", out, said)
    normal = ['--mean', '0.1', '--std', '0.3']
    status, out, said = tdsnn('train', path, '-o', again, *SMALL, '--epochs', '1', *normal, '--force')
    ok(status == 0 and said == '', 'train: normalised', out, said)
    once, twice = (tdsnn('eval', again, '--data', 'glyphs', '--limit', '5', *words) for words in ([], normal))
    ok(once[0] == 0 and once[2] == '', 'eval: the file normalises by itself', *once)
    ok(twice[0] == 0 and "(node 'input-mean')" in twice[2], 'eval: a second time is warned of', *twice)
    return path


def test_codes(folder, plain):
    """Tuned, tuned again, and coded from the start: spiking networks that are proved."""
    path, more = os.path.join(folder, 'tuned.onnx'), os.path.join(folder, 'more.onnx')
    status, out, said = tdsnn('tune', plain, '-o', path, *SMALL, '--steps', '3', '--distill', '0.5',
                              '--log', os.path.join(folder, 'tuned.jsonl'))
    ok(status == 0 and said == '' and 'windows of 3 steps, rounded to nearest, offset 0' in out
       and 'Before the first step: ' in out and 'The source: ' in out and 'tdsnn verify' in out
       and f'--against {plain}' in out, 'tune: start, source and best', out, said)
    with open(os.path.join(folder, 'tuned.jsonl'), encoding='utf-8') as file:
        lines = [json.loads(line) for line in file]
    ok([line['epoch'] for line in lines] == [1, 2, 3, 4]
       and all(0.01 < line['spikes_per_neuron'] < 1 for line in lines), 'tune: a log of JSON lines', lines)
    status, out, said = tdsnn('tune', path, '-o', more, *SMALL, '--lr', '0.02', '--sparsity', '3', '--json')
    document = json.loads(out) if status == 0 else {'epochs': [{}]}
    keys = {'train_samples', 'held_out_samples', 'parameters', 'batch', 'learning_rate', 'weight_decay',
            'live_norms', 'start_percent', 'source_percent', 'epochs_run', 'best', 'epochs'}
    ok(status == 0 and said == '' and set(document) == EVERY_KEY | keys
       and document['schema'] == 'tdsnn.tune/1' and document['source_percent'] is None
       and document['train_samples'] == 1350 and document['learning_rate'] == 0.02
       and set(document['best']) == set(document['epochs'][0]) and len(document['epochs']) == 4,
       'tune --json of a converted network: one document', out, said)
    last = lines[-1]['spikes_per_neuron']
    ok(document['epochs'][-1]['spikes_per_neuron'] < 0.9 * last,
       f'--sparsity: fewer spikes than {last}', document['epochs'])
    coded = os.path.join(folder, 'coded.onnx')
    status, out, said = tdsnn('train', 'mlp', '-o', coded, *SMALL, '--steps', '15', '--offset', '1',
                              '--rounding', 'ceil')
    ok(status == 0 and said == '' and 'windows of 15 steps, rounded up, offset 1' in out,
       "train: codes from the start, the paper's", out, said)
    for file in (path, more, coded):
        status, out, said = tdsnn('verify', file, '--data', 'glyphs', '--limit', '5')
        ok(status == 0 and 'PROVED' in out, f'verify: {os.path.basename(file)}', out, said)


def start(*words):
    return subprocess.Popen([TOOL, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def wait_for(path, process):
    deadline = time.time() + 120
    while not os.path.exists(path) and process.poll() is None and time.time() < deadline:
        time.sleep(0.005)


def untimed(path):
    """The lines of a log without the columns of time."""
    with open(path, encoding='utf-8') as file:
        return [line[:8] + line[10:] for line in csv.reader(file)]


def test_killed(folder):
    """Ended at some moment behind the first checkpoint, and resumed: the bytes of a run that was
    left alone."""
    words = ['train', 'mlp', *SMALL, '--epochs', '6', '--flip', '--shift', '2', '--steps', '7']
    whole, log = os.path.join(folder, 'whole.onnx'), os.path.join(folder, 'whole.csv')
    ok(tdsnn(*words, '-o', whole, '--log', log)[0] == 0, 'a run that is left alone')
    wanted = untimed(log)
    for number, delay in enumerate((0.0, 0.1, 0.25)):
        path, log = os.path.join(folder, f'killed{number}.onnx'), os.path.join(folder, f'killed{number}.csv')
        process = start(*words, '-o', path, '--log', log)
        wait_for(path.replace('.onnx', '.checkpoint.npz'), process)
        time.sleep(delay)
        process.kill()
        process.communicate()
        ok(process.returncode == -signal.SIGKILL and tdsnn('info', path)[0] == 0,
           f'killed after {delay} s more: there is a sound network', process.returncode)
        for name in [name for name in os.listdir(folder) if name.endswith('.tmp')]:
            os.remove(os.path.join(folder, name))  # nobody can tidy up behind a kill
        status, out, said = tdsnn(*words, '-o', path, '--log', log, '--resume')
        ok(status == 0 and said == '' and read(path) == read(whole),
           'and resumed, the same bytes as if nothing had happened', out, said)
        ok(untimed(log) == wanted and len(wanted) == 7, 'and the same log', *untimed(log))
    fails('resumed with other options', 2, ['lr=', 'there', 'here'], *words, '-o', path, '--resume', '--lr', '0.01')
    checkpoint = path.replace('.onnx', '.checkpoint.npz')
    damaged = bytearray(read(checkpoint))
    damaged[len(damaged) // 2] ^= 1
    with open(checkpoint, 'wb') as file:
        file.write(damaged)
    fails('resumed from a damaged checkpoint', 3, ['killed2.checkpoint.npz'], *words, '-o', path, '--resume')
    ok(read(path) == read(whole), 'and the network is still there')


def test_interrupted(folder):
    words = ['train', 'mlp', *SMALL, '--epochs', '6']
    path, whole = os.path.join(folder, 'stopped.onnx'), os.path.join(folder, 'whole.onnx')
    ok(tdsnn(*words, '-o', whole, '--force')[0] == 0, 'another that is left alone')
    process = start(*words, '-o', path)
    checkpoint = os.path.join(folder, 'stopped.checkpoint.npz')
    wait_for(checkpoint, process)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=120)
    ok(process.returncode == 130 and one_sentence(said) and 'interrupted' in said and f'{path} has the best network' in said
       and f'--resume goes on from {checkpoint}' in said and rows(out) != [],
       'Ctrl-C: exit 130, says what there is and how to go on', process.returncode, out, said)
    status, out, said = tdsnn(*words, '-o', path, '--resume')
    ok(status == 0 and said == '' and read(path) == read(whole), 'resumed: the same bytes', out, said)
    status, out, said = tdsnn(*words, '-o', path, '--resume', '--json')
    ok(status == 0 and json.loads(out)['epochs'] == [] and json.loads(out)['epochs_run'] == 6
       and read(path) == read(whole), 'nothing is left to resume then', out, said)


def limited(size):
    """Files of this process are of so many bytes at most: what a full disk is like."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    return limit


def test_full(folder):
    words = ['train', 'mlp', *SMALL, '--epochs', '2']
    path = os.path.join(folder, 'full.onnx')
    status, out, said = tdsnn(*words, '-o', path, '-q', preexec_fn=limited(500 << 10))
    ok(status == 1 and one_sentence(said) and 'full.onnx: cannot be written' in said
       and not os.path.exists(path), 'a full disk: no file, no half of one', status, out, said)
    status, out, said = tdsnn(*words, '-o', path, '--force', preexec_fn=limited(2 << 20))
    ok(status == 0 and said.startswith('tdsnn: warning: ') and 'full.checkpoint.npz' in said
       and len(rows(out)) == 2 and tdsnn('info', path)[0] == 0,
       'too full for a checkpoint: a warning, and the network', status, out, said)
    ok([name for name in os.listdir(folder) if name.endswith('.tmp')] == [], 'nothing else is left',
       os.listdir(folder))


def test_diverged(folder):
    path = os.path.join(folder, 'diverged.onnx')
    status, out, said = tdsnn('train', 'mlp', '-o', path, *SMALL, '--lr', '1000', '--clip', '0')
    ok(status == 1 and one_sentence(said) and 'rate' in said, 'a loss that is no number: a reason',
       status, out, said)


def test_terminal(folder):
    path = os.path.join(folder, 'bar.onnx')
    text = on_terminal(['train', 'lenet', '-o', path, *SMALL, '--epochs', '2'], TERM='xterm')
    ok('epoch 1 of 2' in text and ' left' in text and 'held out' in text,
       'a terminal gets a bar with what is left', text[:500])


def main():
    folder = tempfile.mkdtemp(prefix='tdsnn-training-')
    own = os.path.join(folder, 'own')
    os.mkdir(own)
    try:
        converted = os.path.join(folder, 'lenet.snn.onnx')
        tdsnn('convert', SOURCE, '-o', converted, '--steps', '7', '--calibrate', 'glyphs')
        test_usage(own, converted)
        plain = test_train(own)
        test_codes(own, plain)
        test_killed(own)
        test_interrupted(own)
        test_full(own)
        test_diverged(own)
        test_terminal(own)
    finally:
        shutil.rmtree(folder)
    print(f'1..{cli_test.tests}')
    return 1 if cli_test.failures else 0


if __name__ == '__main__':
    sys.exit(main())
