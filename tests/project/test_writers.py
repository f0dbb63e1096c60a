"""Every file that the package writes goes through `runtime/files.py`: its syntax trees show it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("runtime", "trainer", "export") for path in sorted((ROOT / folder).rglob("*.py"))]

GIVERS = {"replacing", "growing", "open_to_append", "new_run_file"}  # of a file to write, as contexts
METHODS = {"write_text", "write_bytes", "touch", "savefig", "save", "imwrite", "imwritemulti", "save_file"}
METHODS |= {"copyfile", "copyfileobj", "copy2", "copytree", "savez", "savetxt", "tofile", "VideoWriter"}
METHODS |= {"SummaryWriter", "rename", "replace", "symlink_to", "hardlink_to", "link", "symlink", "mkstemp"}
OPENERS = {"open", "ZipFile", "TarFile", "GzipFile", "fdopen"}

# What writes in another way, by file and function: where it writes, and why no stranger can have put a link there.
ELSEWHERE = {
    ("runtime/files.py", "_create"): "makes the working file, exclusively",
    ("runtime/files.py", "replacing"): "moves the working file into its place",
    ("runtime/files.py", "growing"): "moves the working file into its place",
    ("runtime/files.py", "open_to_append"): "opens a file that grows in place, and no link",
    ("runtime/files.py", "_flush"): "flushes a working file",
    ("runtime/machine/doctor.py", "_encoders"): "in a temporary folder",
    ("runtime/video/encode.py", "_open"): "into the working file that `pyav_sink` gives",
    ("runtime/video/opencv.py", "__init__"): "into the working file that `opencv_sink` gives",
    ("runtime/web/app.py", "_receive_video"): "in the server's temporary folder",
    ("runtime/web/picture_decoding.py", "_as_file"): "into memory",
    ("runtime/web/temporary_folder.py", "__init__"): "in the server's temporary folder",
    ("runtime/web/video_probe.py", "probe"): "in the server's temporary folder",
    ("trainer/data/origins/remote.py", "_copy"): "a hidden file that a broken copy goes on from, by `open_to_append`",
    ("trainer/data/origins/shards.py", "_unpack_whole"): "a folder that it made",
    ("trainer/data/origins/shards.py", "_unpack"): "in a folder that `_unpack_whole` made",
    ("trainer/loop.py", "_train"): "a snapshot in memory",
    ("trainer/loop.py", "_save"): "a snapshot in memory",
    ("trainer/tracking/metrics_log.py", "__init__"): "TensorBoard's files, whose names it makes of its own",
    ("export/demo/steps.py", "prepare_folder"): "a folder that it made",
    ("export/demo/steps.py", "_lay_out"): "a folder that it made",
    ("export/demo/steps.py", "write_page"): "in a temporary folder",
    ("export/verification/intermediate.py", "open_at"): "in a temporary folder",
}


def name_of(node: ast.expr) -> str:
    """Return the last part of a dotted name, `save` of `torch.save`."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def is_text_replacement(call: ast.Call) -> bool:
    """Tell `text.replace(a, b)` and `datetime.replace(year=1)` from `path.replace(target)`."""
    return name_of(call.func) == "replace" and (len(call.args) != 1 or bool(call.keywords))


def writes(call: ast.Call) -> bool:
    name = name_of(call.func)
    if name in OPENERS:
        modes = [*call.args, *(word.value for word in call.keywords if word.arg in ("mode", "flags"))]
        texts = [mode.value for mode in modes if isinstance(mode, ast.Constant) and isinstance(mode.value, str)]
        flags = {name_of(part) for mode in modes for part in ast.walk(mode) if isinstance(part, ast.expr)}
        return any(len(text) <= 4 and set(text) & set("wax+") for text in texts) or bool(
            flags & {"O_CREAT", "O_WRONLY", "O_RDWR", "flags"}
        )
    return name in METHODS and not is_text_replacement(call)


def safe_names(function: ast.AST) -> set[str]:
    """Give the names that a function binds to working files, to what is opened of them, and to memory."""
    safe: set[str] = set()
    for _ in range(3):  # a name may be bound by way of another
        for node in ast.walk(function):
            bindings: list[tuple[ast.expr | None, ast.expr]] = []
            if isinstance(node, ast.With | ast.AsyncWith):
                bindings = [(item.optional_vars, item.context_expr) for item in node.items]
            elif isinstance(node, ast.Assign):
                bindings = [(node.targets[0], node.value)]
            for target, value in bindings:
                if isinstance(target, ast.Name) and isinstance(value, ast.Call) and is_safe(value, safe):
                    safe.add(target.id)
    return safe


def is_safe(call: ast.Call, safe: set[str]) -> bool:
    """Tell whether a call gives a working file, or is about one."""
    parts = [call.func, *call.args, *(word.value for word in call.keywords)]
    within = [part for whole in parts for part in ast.walk(whole)]
    names = {part.id for part in within if isinstance(part, ast.Name)}
    in_memory = {name_of(part) for part in within if isinstance(part, ast.expr)} & {"BytesIO", "StringIO"}
    return name_of(call.func) in GIVERS or bool(names & safe or in_memory)


def functions(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Give every function, the innermost for each line; what stands outside of all is called "module"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node


def stray_writers(source: str) -> list[tuple[str, int]]:
    """Return the function and line of every call that writes past the working files."""
    tree = ast.parse(source)
    stray = {}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and writes(call):
            around = [(name, node) for name, node in functions(tree) if node.lineno <= call.lineno <= node.end_lineno]
            if not any(is_safe(call, safe_names(node)) for _, node in around):
                stray[call.lineno] = around[-1][0] if around else "module"
    return [(name, line) for line, name in sorted(stray.items())]


def test_every_writer_keeps_to_the_ways_of_this_module() -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), name): line
        for path in SOURCES
        for name, line in stray_writers(path.read_text(encoding="utf-8"))
    }
    assert {key: line for key, line in found.items() if key not in ELSEWHERE} == {}
    assert set(ELSEWHERE) <= set(found), "these do not write any more"


@pytest.mark.parametrize(
    "body",
    [
        "path.write_text(text)",
        "with open(path, 'w') as file: file.write(text)",
        "with path.open(mode='ab') as file: file.write(text)",
        "torch.save(state, path)",
        "shutil.copyfile(source, path)",
        "os.open(path, os.O_CREAT | os.O_WRONLY)",
        "part = path.with_suffix('.part'); part.write_bytes(data); part.replace(path)",
        "with zipfile.ZipFile(path, 'w') as archive: pass",
    ],
)
def test_a_writer_that_goes_another_way_is_found(body: str) -> None:
    assert stray_writers(f"def write(path, text):\n    {body}\n")


@pytest.mark.parametrize(
    "body",
    [
        "with replacing(path) as partial: partial.write_text(text)",
        "with replacing(path) as partial, partial.open('wb') as file: torch.save(state, file)",
        "with growing(path, check) as part, spelled(part) as place: av.open(place, 'w')",
        "buffer = BytesIO(); picture.save(buffer, 'PNG')",
        "text = text.replace('a', 'b'); path.open('rb')",
    ],
)
def test_one_that_keeps_to_them_is_not(body: str) -> None:
    assert stray_writers(f"def write(path, text):\n    {body}\n") == []
