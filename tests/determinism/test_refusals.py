"""Misbehaving functions, one sin each: the tag, the call, the line and the remedy."""

import pytest

from syncline.execution.determinism.call_state import NondeterminismError
from tests.function_folder import a_state, line_of, step

NETWORK = "NoNetworkInQueriesOrMutations"
FILES = "NoFilesInQueriesOrMutations"
THREADS = "NoThreadsInQueriesOrMutations"
LOOP = "NoEventLoopInQueriesOrMutations"
PROCESSES = "NoProcessesInQueriesOrMutations"
SLEEP = "NoSleepInQueriesOrMutations"
ENVIRONMENT = "NoEnvironmentInQueriesOrMutations"
SECRETS = "NoSecretsInQueriesOrMutations"
MACHINE = "NoMachineStateInQueriesOrMutations"
CODE = "NoDynamicCodeInQueriesOrMutations"
ADDRESSES = "NoAddressesInQueriesOrMutations"
CONSOLE = "NoConsoleInQueriesOrMutations"

# (imports, expression, tag, what the message calls it)
SINS = [
    ("import socket", "socket.socket()", NETWORK, "socket.socket"),
    ("from socket import socket", "socket()", NETWORK, "socket.socket"),
    ("import socket", "socket.gethostbyname('localhost')", NETWORK, "socket.gethostbyname"),
    ("import urllib.request", "urllib.request.urlopen('http://x')", NETWORK, "urlopen"),
    ("from urllib.request import urlopen", "urlopen('http://x')", NETWORK, "urlopen"),
    ("import http.client", "http.client.HTTPConnection('x')", NETWORK, "HTTPConnection"),
    ("import boto3", "boto3.client('s3')", NETWORK, "boto3.client"),
    ("import aiohttp", "aiohttp.ClientSession()", NETWORK, "aiohttp.ClientSession"),
    ("from botocore.session import Session", "Session()", NETWORK, "botocore.session.Session"),
    ("", "open('x')", FILES, "open"),
    ("import io", "io.open('x')", FILES, "open('x')"),
    ("import pathlib", "pathlib.Path('x').read_text()", FILES, "open('x')"),
    ("import pathlib", "list(pathlib.Path('.').iterdir())", FILES, "os.listdir"),
    ("import os", "os.listdir('.')", FILES, "os.listdir"),
    ("import os", "os.path.exists('x')", FILES, "posixpath.exists"),
    ("from os.path import getsize", "getsize('x')", FILES, "posixpath.getsize"),
    ("import os", "os.remove('x')", FILES, "os.remove"),
    ("import shutil", "shutil.copy('a', 'b')", FILES, "shutil.copy"),
    ("import tempfile", "tempfile.mkdtemp()", FILES, "tempfile.mkdtemp"),
    ("import sqlite3", "sqlite3.connect(':memory:')", FILES, "sqlite3.connect"),
    ("import threading", "threading.Thread(target=print).start()", THREADS, "threading.Thread"),
    ("from threading import Lock", "Lock()", THREADS, "threading.Lock"),
    ("import _thread", "_thread.start_new_thread(print, ())", THREADS, "start_new_thread"),
    (
        "from concurrent.futures import ThreadPoolExecutor",
        "ThreadPoolExecutor()",
        THREADS,
        "ThreadPoolExecutor",
    ),
    (
        "import concurrent.futures",
        "concurrent.futures.ThreadPoolExecutor()",
        THREADS,
        "concurrent.futures.ThreadPoolExecutor",
    ),
    ("import multiprocessing", "multiprocessing.Process()", THREADS, "multiprocessing.Process"),
    ("import asyncio", "await asyncio.sleep(0)", LOOP, "asyncio.sleep"),
    ("import asyncio", "await asyncio.gather()", LOOP, "asyncio.gather"),
    ("import asyncio", "asyncio.get_running_loop()", LOOP, "asyncio.get_running_loop"),
    ("import subprocess", "subprocess.run(['ls'])", PROCESSES, "subprocess.run"),
    ("import os", "os.system('ls')", PROCESSES, "os.system"),
    ("import os", "os.fork()", PROCESSES, "os.fork"),
    ("import signal", "signal.alarm(0)", PROCESSES, "signal.alarm"),
    ("import time", "time.sleep(1)", SLEEP, "time.sleep"),
    ("from time import sleep", "sleep(1)", SLEEP, "time.sleep"),
    ("import os", "os.environ['HOME']", ENVIRONMENT, "os.environ"),
    ("from os import environ", "environ.get('HOME')", ENVIRONMENT, "os.environ"),
    ("import os", "dict(os.environ)", ENVIRONMENT, "os.environ"),
    ("import os", "os.getenv('HOME')", ENVIRONMENT, "os.getenv"),
    ("import secrets", "secrets.token_hex()", SECRETS, "secrets.token_hex"),
    ("import os", "os.urandom(8)", SECRETS, "os.urandom"),
    ("import random", "random.SystemRandom()", SECRETS, "random.SystemRandom"),
    ("import os", "os.getpid()", MACHINE, "os.getpid"),
    ("import uuid", "uuid.uuid1()", MACHINE, "uuid.uuid1"),
    ("import uuid", "uuid.getnode()", MACHINE, "uuid.getnode"),
    ("import time", "time.clock_gettime(0)", MACHINE, "time.clock_gettime"),
    ("import gc", "gc.get_objects()", MACHINE, "gc.get_objects"),
    ("import ctypes", "ctypes.CDLL(None)", MACHINE, "ctypes.CDLL"),
    ("import platform", "platform.node()", MACHINE, "platform.node"),
    ("", "eval('1')", CODE, "eval"),
    ("", "exec('1')", CODE, "exec"),
    ("", "compile('1', '', 'eval')", CODE, "compile"),
    ("import builtins", "builtins.eval('1')", CODE, "eval"),
    ("import importlib", "importlib.import_module('socket').socket()", NETWORK, "socket.socket"),
    ("", "__import__('socket').socket()", NETWORK, "socket.socket"),
    ("", "input()", CONSOLE, "input"),
    ("", "breakpoint()", CONSOLE, "breakpoint"),
    (
        "import json",
        "json.codecs.builtins.open('x')",
        FILES,
        "open('x')",
    ),
]


@pytest.mark.parametrize(
    ("imports", "expression", "tag", "name"), SINS, ids=[f"{sin[0]}: {sin[1]}" for sin in SINS]
)
def test_a_sin_is_refused_by_tag_call_line_and_remedy(functions, imports, expression, tag, name):
    source = f"{imports}\n@query\nasync def sin(ctx):\n    {expression}\n"
    bundle = functions.write(a=source).bundle()
    state = a_state()
    with pytest.raises(NondeterminismError) as caught:
        step(bundle, "a:sin", state)
    error = caught.value
    assert error.code == tag
    assert name in error.message.partition("is not available")[0]
    assert f"(a.py:{line_of(f'    {expression}', source)})" in error.message
    assert error.message.endswith(".")
    assert state.violations == [error]


@pytest.mark.parametrize("expression", ["id(ctx)", "hash('a')"])
def test_addresses_are_refused_also_where_the_source_was_excused(functions, expression):
    source = f"""
    @query
    async def sin(ctx):
        return {expression}  # syncline: allow[address] to see the next layer
    """
    bundle = functions.write(a=source).bundle()
    with pytest.raises(NondeterminismError) as caught:
        step(bundle, "a:sin", a_state())
    assert caught.value.code == ADDRESSES


def test_the_line_is_that_of_the_helper_that_did_it(functions):
    helper = "import socket\n\ndef connect():\n    return socket.create_connection(('x', 1))\n"
    functions.write(_net=helper)
    functions.write(a="from ._net import connect\n@query\nasync def sin(ctx):\n    connect()\n")
    with pytest.raises(NondeterminismError, match=rf"\(_net\.py:{line_of('    return', helper)}\)"):
        step(functions.bundle(), "a:sin", a_state())


def test_what_a_library_does_is_refused_too(functions):
    source = """
    import fileinput_like_library as library

    @query
    async def sin(ctx):
        return library.read()
    """.replace("fileinput_like_library", "tests.determinism.reading_library")
    with pytest.raises(NondeterminismError) as caught:
        step(functions.write(a=source).bundle(), "a:sin", a_state())
    assert caught.value.code == FILES


def test_a_swallowed_violation_still_fails_the_call(functions):
    source = """
    import socket

    @mutation
    async def sin(ctx):
        try:
            socket.socket()
        except Exception:
            pass
        return "fine"
    """
    bundle = functions.write(a=source).bundle()
    state = a_state()
    assert step(bundle, "a:sin", state) == "fine"
    with pytest.raises(NondeterminismError, match=r"socket\.socket"):
        state.raise_swallowed()


def test_code_outside_of_calls_is_left_alone(functions, tmp_path):
    functions.write(a="@query\nasync def one(ctx):\n    return 1\n")
    step(functions.bundle(), "a:one", a_state())
    file = tmp_path / "outside.txt"
    file.write_text("works")
    assert file.read_text() == "works"


@pytest.mark.parametrize(
    ("imports", "statement", "tag"),
    [
        ("import time", "x = time.time()", "NoClockWhileLoading"),
        ("import datetime", "x = datetime.datetime.now()", "NoClockWhileLoading"),
        ("import os", "x = os.environ['HOME']", ENVIRONMENT),
        ("import secrets", "x = secrets.token_hex()", SECRETS),
    ],
)
def test_what_would_differ_between_processes_is_refused_while_loading(
    functions, imports, statement, tag
):
    from syncline.errors import DeveloperError

    source = f"{imports}\n{statement}\n"
    with pytest.raises(DeveloperError) as caught:
        functions.write(a=source).bundle()
    assert caught.value.code == tag
    assert caught.value.message.startswith(f"a.py:{line_of(statement, source)}: ")
    assert "while modules load" in caught.value.message


def test_stand_ins_work_while_loading(functions, tmp_path):
    """A client made at module level for an action, a lock, a file read once: none is refused."""
    file = tmp_path / "text"
    file.write_text("content")
    source = f"""
    import threading, socket, asyncio, subprocess, os
    lock = threading.Lock()
    with open({str(file)!r}) as file:
        text = file.read()
    here = os.path.exists({str(file)!r})

    class Worker(threading.Thread):
        pass

    class Error(socket.gaierror):
        pass

    @query
    async def read(ctx) -> list:
        with lock:
            return [text, here, isinstance(Worker, type), issubclass(Error, OSError)]
    """
    assert step(functions.write(a=source).bundle(), "a:read", a_state()) == [
        "content",
        True,
        True,
        True,
    ]


def test_a_subclass_of_a_refused_class_is_refused(functions):
    source = """
    import threading

    class Worker(threading.Thread):
        def run(self):
            pass

    @query
    async def sin(ctx):
        Worker().start()
    """
    with pytest.raises(NondeterminismError) as caught:
        step(functions.write(a=source).bundle(), "a:sin", a_state())
    assert caught.value.code == THREADS


def test_stand_ins_are_real_in_actions(functions):
    """Actions run with no call being stepped; there the same names do what they always do."""
    source = """
    import os, socket, time, threading, uuid, random, secrets, asyncio

    def act():
        found = []
        thread = threading.Thread(target=lambda: found.append(1))
        thread.start()
        thread.join()
        with socket.socket() as made:
            assert isinstance(made, socket.socket)
        lock = threading.Lock()
        assert time.time() > 1.7e9 and uuid.uuid4() != uuid.uuid4()
        assert os.environ.get("PATH") and secrets.token_hex() != secrets.token_hex()
        assert random.Random().random() != random.Random().random()
        return found, asyncio.run(asyncio.sleep(0, "slept"))

    @query
    async def one(ctx): ...
    """
    bundle = functions.write(a=source).bundle()
    assert bundle.namespaces["a"].act() == ([1], "slept")


def test_a_refused_package_is_not_loaded_for_an_import_statement(functions):
    import sys

    functions.write(a="import ftplib\n@query\nasync def one(ctx): ...\n")
    before = "ftplib" in sys.modules
    functions.bundle()
    assert ("ftplib" in sys.modules) == before
