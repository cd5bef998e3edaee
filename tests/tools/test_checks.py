"""Each static check passes on a small right tree and fails on a planted violation."""

import pathlib
import subprocess

import pytest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"
LAYERS = """
library jansson jansson.h : ctl
base:
core: base anchor/wire.h
net: base core
anchor: base
ctl: base
main: *
"""
HEADER = """/* A header. */
#ifndef {guard}
#define {guard}
{includes}
int {name}(int value);

#endif
"""
SOURCE = """#include "{folder}/{file}.h"
{includes}
int {name}(int value)
{{
    return {expression};
}}
"""


class Tree:
    def __init__(self, root):
        self.root = root
        (root / "tools").mkdir()
        (root / "tools" / "layers.txt").write_text(LAYERS)
        (root / ".clang-format").write_text((TOOLS.parent / ".clang-format").read_text())
        self.unit("base", "number")
        self.unit("core", "arena", '\n#include "base/number.h"\n', "base_number(value)")
        self.unit("net", "conn", '\n#include "core/arena.h"\n', "core_arena(value)")

    def unit(self, folder, file, includes="", expression="value + 1", header_includes=""):
        name = f"{folder}_{file}"
        self.write(f"src/{folder}/{file}.h", HEADER.format(
            guard=f"{name.upper()}_H", includes=header_includes, name=name))
        self.write(f"src/{folder}/{file}.c", SOURCE.format(
            folder=folder, file=file, includes=includes, name=name, expression=expression))

    def write(self, path, text):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def append(self, path, text):
        self.write(path, (self.root / path).read_text() + text)

    def archive(self, folder):
        """Compiles a folder as the build does."""
        (self.root / "build" / "src").mkdir(parents=True, exist_ok=True)
        objects = []
        for source in (self.root / "src" / folder).glob("*.c"):
            objects.append(str(source.with_suffix(".o")))
            subprocess.run(["cc", "-fPIE", "-I", self.root / "src", "-c", source, "-o", objects[-1]], check=True)
        subprocess.run(["ar", "crs", self.root / "build" / "src" / f"lib{folder}.a", *objects], check=True)


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def run(check, *arguments):
    done = subprocess.run([TOOLS / check, *arguments], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    assert (done.returncode == 1) == bool(done.stdout.strip()), "a failure says why, a success says nothing"
    return done.stdout


def test_a_right_tree_passes_every_check(tree):
    for folder in ("base", "core", "net"):
        tree.archive(folder)
    for check in ("check_includes", "check_headers", "check_style"):
        assert run(check, tree.root) == ""
    assert run("check_links", tree.root / "build", tree.root) == ""


def test_an_empty_tree_does_not_pass(tmp_path):
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "layers.txt").write_text(LAYERS)
    assert "no source" in run("check_includes", tmp_path)
    assert "no header" in run("check_headers", tmp_path)
    assert "no model" in run("check_model", tmp_path)
    assert "no archive" in run("check_links", tmp_path / "build", tmp_path)


@pytest.mark.parametrize("path, include, words", [
    ("src/base/number.c", '"core/arena.h"', "base may use nothing"),
    ("src/core/arena.c", '"net/conn.h"', "core may use base anchor/wire.h"),
    ("src/core/arena.c", '"anchor/other.h"', "core may use base anchor/wire.h"),
    ("src/core/arena.c", '"arena.h"', "is not a path from src/"),
    ("src/core/arena.c", '"../base/number.h"', "is not a path from src/"),
    ("src/core/arena.c", '"base/../net/conn.h"', "is not a path from src/"),
    ("src/net/conn.c", '"main/table.h"', "net may use base core"),
    ("src/core/arena.c", "<jansson.h>", "a library that this layer may not use"),
    ("src/core/arena.c", "<openssl/ssl.h>", "a library that this layer may not use"),
    ("src/core/arena.c", "HIDDEN", "hides what it includes"),
])
def test_an_include_against_the_arrows_is_found(tree, path, include, words):
    tree.write("src/anchor/other.h", "")
    tree.write("src/main/table.h", "")
    tree.append(path, f"  #  include {include}\n")
    found = run("check_includes", tree.root)
    assert found.startswith(path + ":") and words in found and found.count("\n") == 1


def test_an_include_along_the_arrows_is_allowed(tree):
    tree.write("src/anchor/wire.h", "")
    tree.write("src/ctl/status.c", "#include <jansson.h>\n#include <sys/socket.h>\n")
    tree.write("src/main/main.c", '#include "net/conn.h"\n#include "ctl/status.h"\n')
    tree.write("src/ctl/status.h", "")
    tree.append("src/core/arena.c", '#include "anchor/wire.h"\n#include <stdint.h>\n#include <netinet/tcp.h>\n')
    assert run("check_includes", tree.root) == ""


def test_a_file_outside_every_layer_is_found(tree):
    tree.write("src/elsewhere/file.c", "")
    assert "src/elsewhere/file.c: belongs to no layer" in run("check_includes", tree.root)


def test_a_symbol_from_a_layer_above_is_found_even_without_an_include(tree):
    tree.write("src/core/arena.c", "int net_conn(int);\nint core_arena(int v);\n"
               "int core_arena(int v)\n{\n    return net_conn(v);\n}\n")
    for folder in ("base", "core", "net"):
        tree.archive(folder)
    found = run("check_links", tree.root / "build", tree.root)
    assert "core does not link against base anchor/wire.h alone" in found and "net_conn" in found
    assert "base does not link" not in found and "net does not link" not in found


def test_a_header_that_needs_another_before_it_is_found_with_both_compilers(tree):
    tree.write("src/core/needy.h", "size_t needy(void);\n")
    found = run("check_headers", tree.root)
    assert "src/core/needy.h with gcc" in found and "src/core/needy.h with clang" in found


def test_a_header_without_a_guard_is_found(tree):
    tree.write("src/core/twice.h", "struct twice {\n    int value;\n};\n")
    assert "src/core/twice.h with gcc" in run("check_headers", tree.root)


def function_of(lines, comment=""):
    body = "    value++;\n" * (lines - 3)
    return f"\n{comment}int core_long(int value)\n{{\n{body}    return value;\n}}\n"


def test_a_function_of_more_than_80_lines_needs_a_reason(tree):
    tree.append("src/core/arena.c", function_of(80))
    assert run("check_style", tree.root) == ""
    tree.append("src/core/arena.c", function_of(81))
    assert "a function of 81 lines" in run("check_style", tree.root)


def test_a_reason_before_the_function_is_enough(tree):
    tree.append("src/core/arena.c", function_of(120, "/* long: one table of states, read from top to bottom. */\n"))
    assert run("check_style", tree.root) == ""


def test_a_file_of_more_than_800_lines_is_found(tree):
    tree.write("src/core/big.c", "int big;\n" * 801)
    assert "src/core/big.c: 801 lines, at most 800" in run("check_style", tree.root)


def test_trailing_white_space_is_found_in_any_text(tree):
    tree.write("docs/page.md", "fine\nnot fine \n")
    assert "docs/page.md:2: trailing white space" in run("check_style", tree.root)


def test_a_layout_that_clang_format_would_change_is_found(tree):
    tree.append("src/core/arena.c", "\nint  wide ;\n")
    assert "src/core/arena.c" in run("check_style", tree.root)
