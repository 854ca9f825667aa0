#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The element on a newer GStreamer, where its CUDA library has another interface.

./test.sh gst-newer: fetches the GStreamer of a later Debian (trixie: 1.26) with apt, without
installing it, into build/gst-newer; compiles the plugin and its tests once more, against those
headers; and runs the tests of frames in GPU memory on those libraries and the fake driver. Needs
build/ and the network. What was run goes to tests/logs/gst-newer.txt.
"""
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

SUITE = 'trixie'
HEADERS = ['libgstreamer1.0-dev', 'libgstreamer-plugins-base1.0-dev',
           'libgstreamer-plugins-bad1.0-dev']
LIBRARIES = ['libgstreamer1.0-0', 'libgstreamer-plugins-base1.0-0',
             'libgstreamer-plugins-bad1.0-0', 'gstreamer1.0-plugins-base', 'libstdc++6']
TARGETS = ['gst/libgstcplrestore.so', 'tests/gst/gst_cuda_test']
LIB = 'usr/lib/x86_64-linux-gnu'

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = SOURCE / 'build'
WORK = BUILD / 'gst-newer'
ROOT = WORK / 'root'


def run(*command, **options):
    return subprocess.run([str(c) for c in command], check=True, text=True, **options)


def fetch():
    if (ROOT / LIB / 'libgstcuda-1.0.so.0').exists():
        return
    apt = WORK / 'apt'
    for folder in ['lists/partial', 'cache/archives/partial', 'etc/sources.list.d',
                   'etc/preferences.d', 'etc/apt.conf.d', 'dev']:
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / 'status').touch()
    sources = ''.join(
        'Types: deb\nURIs: {}\nSuites: {}\nComponents: main\nSigned-By: {}\n\n'.format(
            uri, suite, '/usr/share/keyrings/debian-archive-keyring.gpg')
        for uri, suite in [('http://deb.debian.org/debian', SUITE),
                           ('http://deb.debian.org/debian-security', SUITE + '-security')])
    (apt / 'etc/sources.list.d/newer.sources').write_text(sources)
    options = [f'-oDir::Etc={apt}/etc', f'-oDir::Etc::sourceparts={apt}/etc/sources.list.d',
               f'-oDir::State={apt}', f'-oDir::State::lists={apt}/lists',
               f'-oDir::State::status={apt}/status', f'-oDir::Cache={apt}/cache',
               '-oAPT::Install-Recommends=0', '-oAPT::Sandbox::User=' + os.environ.get('USER', 'root')]
    run('apt-get', '-q', *options, 'update', stdout=subprocess.DEVNULL)
    run('apt-get', '-q', *options, 'install', '-y', '--download-only', *LIBRARIES,
        stdout=subprocess.DEVNULL)
    run('apt-get', '-q', *options, 'download', *HEADERS, cwd=apt / 'dev', stdout=subprocess.DEVNULL)
    ROOT.mkdir(exist_ok=True)
    for package in [*(apt / 'cache/archives').glob('*.deb'), *(apt / 'dev').glob('*.deb')]:
        run('dpkg-deb', '-x', package, ROOT)
    shutil.rmtree(apt)


def newer(argument):
    """An argument of a compiler's command line, with the newer GStreamer in place of the old."""
    argument = argument.replace('-I/usr/include/gstreamer-1.0',
                                f'-I{ROOT}/usr/include/gstreamer-1.0')
    if re.fullmatch(r'/usr/lib/x86_64-linux-gnu/libgst[\w.-]*\.so(\.0)?', argument):
        return f'{ROOT}/{LIB}/' + os.path.basename(argument)
    # Objects and what is made of them lie in a tree of their own.
    if re.match(r'(gst|tests/gst)/[\w.-]*\.p/', argument):
        return 'gst-newer/' + argument
    if argument in TARGETS or argument == 'tests/gst/libgst_harness.a':
        return 'gst-newer/' + argument
    return argument


def build():
    # Libraries of the old build that know nothing of GStreamer are linked as they are.
    run('ninja', '-C', BUILD, '--quiet', *TARGETS, 'tests/gst/libcpl_dummy.so',
        'tests/cuda/libcuda.so.1', stdout=subprocess.DEVNULL)
    parts = [t + '.p/' for t in TARGETS] + ['tests/gst/libgst_harness.a.p/']
    for entry in json.loads((BUILD / 'compile_commands.json').read_text()):
        if not any(entry['output'].startswith(p) for p in parts):
            continue
        command = [newer(a) for a in shlex.split(entry['command'])]
        output = BUILD / 'gst-newer' / entry['output']
        output.parent.mkdir(parents=True, exist_ok=True)
        run(*command, cwd=BUILD)
    for target in ['tests/gst/libgst_harness.a', *TARGETS]:
        commands = run('ninja', '-C', BUILD, '-t', 'commands', target, capture_output=True).stdout
        for part in commands.splitlines()[-1].split(' && '):
            command = [newer(a) for a in shlex.split(part)]
            if command[0].endswith('ar') or command[0] == 'rm':
                run(*command, cwd=BUILD)
            else:
                run(*command, '-Wl,--allow-shlib-undefined', cwd=BUILD)


def test(log):
    environment = dict(
        os.environ, GST_PLUGIN_PATH_1_0=str(WORK / 'gst'), GST_REGISTRY=str(WORK / 'registry'),
        GST_PLUGIN_SYSTEM_PATH_1_0=f'{ROOT}/{LIB}/gstreamer-1.0', GST_REGISTRY_FORK='no',
        G_DEBUG='fatal-criticals', CPL_RUNTIME=str(BUILD / 'tests/gst/libcpl_dummy.so'),
        CPL_DUMMY_CUDA='1', LC_ALL='C.UTF-8')
    result = subprocess.run(
        [ROOT / 'lib64/ld-linux-x86-64.so.2', '--library-path',
         f'{BUILD}/tests/cuda:{ROOT}/{LIB}', WORK / 'tests/gst/gst_cuda_test'],
        env=environment, text=True, capture_output=True, check=False, timeout=900)
    log += [re.sub(r' \(\d+ ms( total)?\)', '', line) for line in result.stdout.splitlines()
            if re.match(r'\[ *(OK|FAILED|SKIPPED|PASSED) *\]', line)]
    if result.returncode != 0:
        print(result.stdout[-4000:], result.stderr[-4000:], sep='\n')
    return result.returncode


def main():
    WORK.mkdir(parents=True, exist_ok=True)
    fetch()
    build()
    text = (ROOT / 'usr/include/gstreamer-1.0/gst/gstversion.h').read_text()
    version = '.'.join(re.search(rf'GST_VERSION_{part} \((\d+)\)', text)[1]
                       for part in ['MAJOR', 'MINOR', 'MICRO'])
    log = [f'# Made by ./test.sh gst-newer: compiled against and run on GStreamer {version} of Debian '
           f'{SUITE}, on the fake driver and with the dummy runtime']
    failed = test(log)
    if failed == 0:
        (SOURCE / 'tests/logs/gst-newer.txt').write_text('\n'.join(log) + '\n')
    print('\n'.join(l for l in log if not l.startswith('[       OK')))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
