"""How the tests are collected.

`tests/both/` runs each file twice: on CPython by pytest, and whole in the MicroPython VM.
`tests/handheld/` runs in the VM only. Test functions there take no arguments and use plain
`assert`; a coroutine function is run in the VM's asyncio.
"""

import asyncio
import inspect
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
sys.path.insert(0, str(TESTS))

import vm

DATA = ROOT.parent / "shared" / "data"


class VmFile(pytest.File):
    """A test file that is run in the MicroPython VM; one item a test function."""

    def collect(self) -> Iterator[pytest.Item]:
        source = self.path.read_text()
        for name in re.findall(r"^(?:async )?def (test_\w+)\(", source, re.M):
            yield VmItem.from_parent(self, name=f"{name}[vm]", function=name)


class VmItem(pytest.Item):
    """One test function of a VmFile. The file runs in one VM; its items share the results."""

    def __init__(self, *, function: str, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.function_name = function

    def runtest(self) -> None:
        cache = self.config.stash.setdefault(_RESULTS, {})
        key = str(self.path)
        if key not in cache:
            tmp = self.session._vm_tmp / self.path.stem  # type: ignore[attr-defined]
            tmp.mkdir(parents=True, exist_ok=True)
            heap = re.search(r'^HEAP = "(\w+)"', self.path.read_text(), re.M)
            chosen = [
                i for i in self.session.items if isinstance(i, VmItem) and i.path == self.path
            ]
            only = chosen[0].function_name if len(chosen) == 1 else ""
            cache[key] = vm.run_file(self.path, tmp, only, heap.group(1) if heap else "640k")
        mine = [r for r in cache[key] if r["name"] in (self.function_name, "<vm>")]
        assert mine, f"the VM did not run {self.function_name}"
        for result in mine:
            if result["error"]:
                raise VmFailure(result["error"])

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> str:  # type: ignore[override]
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.name


class VmFailure(Exception):
    """A test failed inside the VM; the text is its traceback."""


_RESULTS: pytest.StashKey[dict[str, list[dict[str, str]]]] = pytest.StashKey()


def pytest_sessionstart(session: pytest.Session) -> None:
    # A shell's background job ignores SIGINT, and so would every child whose Ctrl-C is tested.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    session._vm_tmp = Path(tempfile.mkdtemp(prefix="ronda-vm-"))  # type: ignore[attr-defined]


def pytest_sessionfinish(session: pytest.Session) -> None:
    shutil.rmtree(session._vm_tmp, ignore_errors=True)  # type: ignore[attr-defined]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix == ".py" and file_path.name.startswith("test_"):
        if TESTS / "both" in file_path.parents or TESTS / "handheld" in file_path.parents:
            return VmFile.from_parent(parent, path=file_path)
    return None


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> object:
    """Keep CPython from importing what only the VM can run."""
    module = yield
    if TESTS / "handheld" in module_path.parents:
        return None
    return module


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test on CPython as the VM runner does."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{n: pyfuncitem.funcargs[n] for n in names}))
    return True


@pytest.fixture
def data() -> Path:
    """The folder of real logs and forms; skips where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"no {DATA} here: real receiver logs are not part of the repository")
    return DATA
