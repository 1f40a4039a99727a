"""What keeps the house tidy: which room may know which, how long things may get, what never comes in."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "fedscodec"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# A room is a module or a folder of the package. It may import rooms of the floors below its own, and those named.
FLOORS = [
    {"arguments", "constants", "errors", "machine", "version"},
    {"boxes", "fileformat", "entropy", "metrics"},
    {"images", "networks", "files"},
    {"registry", "graphs"},
    {"codec"},
    {"training", "batch"},
    {"bench"},
    {"ablations"},
    {"reports", "desktop", "web"},
    {"commands", "pillow"},
    {"cli", "__init__", "__main__"},
]
NEIGHBOURS = {
    ("arguments", "errors"),
    ("machine", "errors"),
    ("fileformat", "boxes"),
    ("networks", "files"),
    ("__main__", "cli"),
}
NOWHERE = ()
ONLY_HERE = {  # what comes from outside, and where the names of the files begin that may load it
    "constriction": ("entropy/rangecoder.py",),
    "onnxruntime": ("graphs/sessions.py",),
    "PIL": ("images/", "reports/comparison/", "pillow/plugin.py", "desktop/thumbnail.py", "bench/pillow_codecs.py"),
    "ray": ("batch/cluster.py",),
    "typer": ("cli.py", "commands/"),
    **dict.fromkeys(("timm", "torchvision", "compressai"), ("bench/",)),
    **dict.fromkeys(("pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"), NOWHERE),
}
FORBIDDEN_STEMS = {"util", "utils", "common", "helper", "helpers", "core", "base", "misc"}


def place(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def walk(node: ast.AST, *, types: bool) -> Iterator[ast.AST]:
    """Every node below, without what is imported for annotations alone unless `types`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if types or not is_for_types_only(child):
            yield from walk(child, types=types)


def imported(path: Path, *, types: bool = True) -> set[str]:
    """The full dotted names that a file imports, relative ones resolved; from-imports with what they name."""
    package = path.relative_to(ROOT).parent.parts
    names: set[str] = set()
    for node in walk(tree(path), types=types):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            origin = [*package[: len(package) - node.level + 1]] if node.level else []
            origin += node.module.split(".") if node.module else []
            names.update(".".join([*origin, alias.name]) for alias in node.names)
    return names


def rooms(path: Path) -> set[str]:
    """The rooms that a file imports from."""
    known = set().union(*FLOORS)
    names = imported(path)
    inside = (name.split(".") for name in names if name.split(".")[0] == "fedscodec")
    return {parts[1] if len(parts) > 1 and parts[1] in known else "__init__" for parts in inside}


def floor(room: str) -> int:
    return next(number for number, names in enumerate(FLOORS) if room in names)


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_the_rules_see_what_they_should(tmp_path, monkeypatch):
    file = tmp_path / "fedscodec" / "networks" / "new.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "import PIL.Image\nfrom . import spec\nfrom .. import codec\nfrom ..images import pad\n"
        "from fedscodec.errors import FedsError\nif TYPE_CHECKING:\n    import timm\n"
        "def f():\n    from ..cli import app\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert rooms(file) == {"networks", "codec", "images", "errors", "cli"}
    assert imported(file, types=False) & {"PIL.Image", "timm"} == {"PIL.Image"}
    assert "timm" in imported(file)


def test_every_file_has_a_room():
    known = set().union(*FLOORS)
    homeless = [place(path) for path in SOURCES if place(path).removesuffix(".py").split("/")[0] not in known]
    assert homeless == [], "give these a floor in FLOORS"


@pytest.mark.parametrize("path", SOURCES, ids=place)
def test_imports_go_down_the_stairs(path):
    room = place(path).removesuffix(".py").split("/")[0]
    wrong = {other for other in rooms(path) - {room} if floor(other) >= floor(room) and (room, other) not in NEIGHBOURS}
    assert wrong == set()


@pytest.mark.parametrize("path", SOURCES, ids=place)
def test_some_packages_are_loaded_in_one_place_only(path):
    outside = {name.split(".")[0] for name in imported(path, types=False)}
    assert {name for name in outside & set(ONLY_HERE) if not place(path).startswith(ONLY_HERE[name])} == set()


def test_the_file_format_needs_the_standard_library_only():
    for name, known in (("fileformat.py", {"errors", "boxes"}), ("boxes.py", {"errors"})):
        outside = {name.split(".")[0] for name in imported(PACKAGE / name)} - {"fedscodec"}
        assert outside <= sys.stdlib_module_names
        assert rooms(PACKAGE / name) == known


def test_networks_know_no_coder():
    for path in (PACKAGE / "networks").glob("*.py"):
        assert not {name for name in imported(path) if name.startswith("fedscodec.entropy.coders")}, path


@pytest.mark.parametrize(
    ("call", "home"), {"torch.autocast": "entropy/precision.py", "os.replace": "files/outputs.py"}.items()
)
def test_some_calls_have_one_home(call, home):
    assert [place(path) for path in SOURCES if f"{call}(" in path.read_text(encoding="utf-8")] == [home]


@pytest.mark.parametrize("path", SOURCES, ids=place)
def test_nothing_is_unpickled(path):
    calls = {ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)}
    assert not calls & {"torch.load", "torch.save", "torch.jit.load", "eval", "exec"}
    assert "allow_pickle" not in path.read_text(encoding="utf-8")


def test_no_weights_are_pickles():
    wrong = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin")
    assert [path.name for path in (ROOT / "weights").rglob("*") if path.suffix in wrong] == []


@pytest.mark.parametrize("path", SOURCES, ids=place)
def test_functions_stay_short(path):
    long = {node.name: node.end_lineno - node.lineno + 1 for node in functions(path)}
    assert {name: lines for name, lines in long.items() if lines > 60} == {}


CROWDED = {  # more than eight files at a room's top level, and why
    "containers": "a file for each format",
    "codec": "each is one value or one verb of the way between pixels and bytes",
    "commands": "a file for each command",
    "entropy": "a file for each arithmetic, each kind of table and each step of coding",
    "training": "a file for each part of a run",
    "networks": "a file for each kind of layer and each view of a network",
    "images": "a file for each property of a picture",
    "bench": "a file for each kind of peer and each step of a measurement",
    "reports": "a file for each kind of figure",
    "batch": "two sides, with a file each for the plan, the work and what is told",
    "metrics": "a file for each metric and for what several of them need",
}


def test_a_room_with_many_files_has_a_reason():
    rooms_of = {path.parent for path in SOURCES} - {PACKAGE}
    crowded = {room.name for room in rooms_of if len([f for f in room.glob("*.py") if f.stem != "__init__"]) > 8}
    assert crowded <= set(CROWDED)


def test_names_say_what_a_file_is_about():
    assert [place(path) for path in SOURCES if {path.stem, *path.parent.parts} & FORBIDDEN_STEMS] == []


def undocumented(node: ast.AST, name: str) -> Iterator[str]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not ast.get_docstring(
        node
    ):
        yield name
    if isinstance(node, ast.Module | ast.ClassDef):
        for child in node.body:
            child_name = getattr(child, "name", "_")
            if not child_name.startswith("_"):
                yield from undocumented(child, f"{name}.{child_name}")


@pytest.mark.parametrize("path", SOURCES, ids=place)
def test_what_is_public_has_a_docstring(path):
    assert list(undocumented(tree(path), path.stem)) == []


@pytest.mark.parametrize("module", ["fedscodec", "fedscodec.cli", "fedscodec.files.outputs", "fedscodec.registry"])
def test_start_up_leaves_out_what_is_heavy(module):
    heavy = {"torch", "numpy", "PIL", "timm", "torchvision", "compressai", "safetensors", "constriction", "rich"}
    script = f"import sys, {module}; print(*sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout == "\n"


def texts() -> Iterator[Path]:
    """Every file of the project; folders of environments, caches and builds are none of it."""
    for top in ROOT.iterdir():
        if top.is_file() and top.name != ".git":  # a file where the checkout is a linked worktree
            yield top
        elif top.name in (".ci", ".github", "fedscodec", "tests", "tools", "weights", "results", "docs"):
            yield from (path for path in top.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def programs(folder: str) -> dict[Path, set[str]]:
    """The Python files below a folder of the project, with the first words of the names that each imports."""
    found = sorted((ROOT / folder).rglob("*.py"))
    return {path: {name.split(".")[0] for name in imported(path)} for path in found}


def test_tests_hold_tests_and_what_they_import():
    found = programs("tests")
    used = set().union({"conftest"}, *found.values())
    assert [path.name for path in found if not path.stem.startswith("test_") and path.stem not in used] == []


def test_the_table_of_programs_is_complete():
    table = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
    named = {ROOT / name for name in re.findall(r"`(tools/[\w/.]+)`", table)}
    assert [path for path in named if not path.exists()] == []
    begun = [path for path in programs("tools") if '__name__ == "__main__"' in path.read_text(encoding="utf-8")]
    assert [path for path in begun if not {path, path.parent} & named and path.stem != "worker"] == []


def test_no_path_of_one_machine_is_left_in_the_project():
    # In brackets, so that this file is not one that it finds. The head of a weights file has its metadata.
    pattern = re.compile(rb"(?<![\w.])/(?:wor[k]|roo[t]|hom[e]/\w+|Use[r]s/\w+|tm[p]/\w+)/")
    found = {}
    for path in texts():
        with path.open("rb") as file:
            if match := pattern.search(file.read(2**21)):
                found[str(path.relative_to(ROOT))] = match[0]
    assert found == {}


def test_that_check_sees_such_paths(tmp_path, monkeypatch):
    (tmp_path / "README.md").write_bytes(b"see /wo" + b"rk/main for https://example.org/root-mean-square")
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    with pytest.raises(AssertionError):
        test_no_path_of_one_machine_is_left_in_the_project()
    (tmp_path / "README.md").write_bytes(b"see https://example.org/work" + b"/ and ../work" + b"/main")
    test_no_path_of_one_machine_is_left_in_the_project()
