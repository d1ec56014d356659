"""The shape of docs/architecture.md: who may import whom, and what device code may hold."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Import names by the room they live in.
HARDWARE = {"machine", "network", "esp32", "bluetooth", "esp", "neopixel", "onewire"}
OURS = {"ronda_protocol", "ronda_gateway", "ronda_tools", "handheld", "drivers", "board"}
# room -> which of our packages its files may import
ARROWS = {
    "protocol/ronda_protocol": {"ronda_protocol"},
    "firmware/handheld": {"ronda_protocol", "handheld"},
    "firmware/drivers": {"drivers"},
    "gateway/ronda_gateway": {"ronda_protocol", "ronda_gateway"},
    "tools/ronda_tools": {"ronda_protocol", "ronda_gateway", "ronda_tools"},
    "boards": {"ronda_protocol", "handheld", "drivers", "board"},
}
DEVICE_ROOMS = ("protocol/ronda_protocol", "firmware", "boards")
VAGUE = {"utils", "util", "common", "manager", "helpers", "helper", "base", "misc"}


def files(room: str) -> list[Path]:
    """Python files of a room, sorted."""
    return sorted((ROOT / room).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Top-level names a file imports, anywhere in it; relative imports count as their package."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                found.add(path.parent.name)
            elif node.module:
                found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("room", sorted(ARROWS))
def test_arrows_point_one_way(room: str) -> None:
    """No file imports one of our packages that its room may not."""
    broken = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files(room)
        for name in sorted((imports(path) & OURS) - ARROWS[room])
    ]
    assert not broken


def test_the_gateway_never_imports_tools() -> None:
    """Said by ARROWS too; kept apart because it is the arrow most easily broken."""
    assert all("ronda_tools" not in imports(path) for path in files("gateway/ronda_gateway"))


def test_only_boards_construct_hardware() -> None:
    """machine, network, esp32 and bluetooth are imported under boards/ alone."""
    for room in ("protocol", "firmware", "gateway", "tools"):
        for path in files(room):
            assert not imports(path) & HARDWARE, path


def test_signing_in_python_is_for_the_handheld_only() -> None:
    """On CPython `cryptography` signs and verifies; ronda_protocol.p256 is not hardened."""
    for room in ("gateway", "tools"):
        for path in files(room):
            source = ast.parse(path.read_text())
            for node in ast.walk(source):
                if isinstance(node, ast.ImportFrom) and node.module:
                    names = {alias.name for alias in node.names}
                    assert not (node.module.startswith("ronda_protocol") and "p256" in names), path
                    assert not node.module.startswith("ronda_protocol.p256"), path


def test_the_shared_package_needs_nothing() -> None:
    """protocol/ imports only what both VMs have."""
    both = {
        "ronda_protocol",
        "collections",
        "hashlib",
        "struct",
        "binascii",
        "micropython",
        "typing",
    }
    for path in files("protocol/ronda_protocol"):
        foreign = imports(path) - both
        assert not foreign, f"{path.name} imports {sorted(foreign)}"


@pytest.mark.parametrize("room", DEVICE_ROOMS)
def test_no_floats_on_the_device(room: str) -> None:
    """An ESP32's float has 24 bits of mantissa: no literal, no true division, no float()."""
    for path in files(room):
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), where
            if isinstance(node, ast.BinOp | ast.AugAssign):
                assert not isinstance(node.op, ast.Div), where
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "float", where


def test_time_is_read_in_two_places_only() -> None:
    """Nothing outside boards/ imports `time`: the clock module asks its Board."""
    for room in ("protocol", "firmware"):
        for path in files(room):
            assert not imports(path) & {"time", "utime", "datetime"}, path


def test_files_are_named_for_things_of_this_field() -> None:
    """No utils, common, manager, helpers or base; every file says in its first line what it is."""
    for room in (*ARROWS, "tests"):
        for path in files(room):
            assert path.stem not in VAGUE, path
            if path.stem != "__init__" or path.read_text().strip():
                assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no first line"


def test_third_party_packages_are_declared() -> None:
    """What gateway and tools import is in pyproject.toml (the wheel installs what it uses)."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = [name for group in project["optional-dependencies"].values() for name in group]
    declared = {
        requirement.split(">")[0].split("[")[0].split("=")[0].lower().replace("-", "_")
        for requirement in project["dependencies"] + extra
    }
    named = {"paho": "paho_mqtt", "pydantic_core": "pydantic"}
    for room in ("gateway", "tools"):
        for path in files(room):
            for name in imports(path) - set(sys.stdlib_module_names) - OURS:
                assert named.get(name, name).lower() in declared, f"{path} imports {name}"
