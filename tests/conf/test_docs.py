"""The reference in docs/config.md is what the program itself says, to the letter."""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BEGINS = "## At the top level\n"


def reference_of(build):
    done = subprocess.run([build / "holdfast", "check", "--directives"], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    # Only builds for tests have this one; the document is about the others.
    return re.sub(r"^### `test_hooks .*?(?=^##)", "", done.stdout, flags=re.DOTALL | re.MULTILINE)


def test_the_reference_of_the_directives_is_the_program_s_own(build):
    reference = reference_of(build)
    assert reference.startswith(BEGINS) and "### `site " in reference
    document = (ROOT / "docs" / "config.md").read_text()
    assert document.count(BEGINS) == 1
    in_document = document[document.index(BEGINS):]
    assert in_document == reference, "put the output of `holdfast check --directives` there (without test_hooks)"


def test_every_directive_is_in_the_man_page(build):
    names = re.findall(r"^### `(\w+)", reference_of(build), re.MULTILINE)
    assert len(names) > 10
    page = (ROOT / "docs" / "man" / "holdfast.8").read_text()
    missing = [name for name in names if f".It Ic {name}" not in page]
    assert not missing, f"docs/man/holdfast.8 says nothing of {', '.join(missing)}"


# A table is a struct: rows of offset, size and name.
FORMATS = {
    "docs/internals/arena.md": {"struct arena_page": r"## The first page.*?(?=\n## )",
                                "struct board": r"## The board.*?(?=\n## )"},
    "docs/internals/master.md": {
        "struct link_message": r"\| 0 \| 4 \| magic \|.*?\n\n",
        "struct master_state": r"## The state memfd.*?(?=\| offset in a slot)",
        "struct slot_state": r"\| offset in a slot.*?\n\n",
    },
}
ROW = re.compile(r"^\| (\d+) \| (\d+) \| `?(\w+)`? \|", re.MULTILINE)


def documented_formats():
    for path, formats in FORMATS.items():
        text = (ROOT / path).read_text()
        for struct, pattern in formats.items():
            part = re.search(pattern, text, re.DOTALL)
            assert part, f"{path} says nothing of {struct}"
            yield path, struct, ROW.findall(part.group())


def test_the_frozen_formats_are_documented_as_they_are(folder):
    """The compiler judges: an assertion for each row of the tables."""
    lines = ['#include "core/arena.h"', '#include "core/board.h"', '#include "core/link.h"', '#include "core/master_state.h"', "#include <stddef.h>"]
    for path, struct, rows in documented_formats():
        assert len(rows) >= 5, f"{path}: {struct}"
        lines += [f'_Static_assert(offsetof({struct}, {name}) == {offset}, "{path}: offset of {name}");\n'
                  f'_Static_assert(sizeof((({struct} *)0)->{name}) == {size}, "{path}: size of {name}");'
                  for offset, size, name in rows]
        if struct != "struct board":  # whose end is prose
            end = int(rows[-1][0]) + int(rows[-1][1])
            lines.append(f'_Static_assert(sizeof({struct}) < {end} + 8, "{path}: fields behind {rows[-1][2]}");')
    source = folder / "formats.c"
    source.write_text("\n".join(lines) + "\n")
    done = subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-fsyntax-only", f"-I{ROOT}/src", source],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, "\n".join(re.findall(r'static assertion failed: .*', done.stderr)) or done.stderr


# Blocks without a language that have a site or a tcp are whole configurations; the folders that they name are made.
EXAMPLE = re.compile(r"^```\n((?:(?!```).*\n)*?(?:site|tcp) \S.*\{\n(?:(?!```).*\n)*)```$", re.MULTILINE)
PATH_OF_AN_EXAMPLE = re.compile(r"(?<=[ \"])/(?:srv|var/log)/[\w./-]+")


def test_every_configuration_that_a_document_shows_is_accepted(build, folder):
    checked = 0
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for example in EXAMPLE.findall(document.read_text()):
            for path in PATH_OF_AN_EXAMPLE.findall(example):
                there = folder / path[1:]
                (there.parent if there.suffix else there).mkdir(parents=True, exist_ok=True)
                if there.suffix:
                    there.touch()
            config = folder / "example.conf"
            config.write_text(PATH_OF_AN_EXAMPLE.sub(lambda found: f"{folder}{found.group()}", example))
            done = subprocess.run([build / "holdfast", "check", "-c", config], capture_output=True, text=True, timeout=30)
            assert done.returncode == 0, f"{document.name}:\n{example}\n{done.stderr}"
            checked += 1
    assert checked >= 8


LINK = re.compile(r"\]\(([^)\s#]*)(#[^)\s]*)?\)")


def anchors_of(document):
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_of_a_document_leads_somewhere():
    documents = [*ROOT.glob("*.md"), ROOT / "bench" / "README.md", *(ROOT / "docs").rglob("*.md")]
    broken = []
    for document in documents:
        for path, anchor in LINK.findall(document.read_text()):
            if "://" in path:
                continue
            target = (document.parent / path).resolve() if path else document
            if not target.exists() or (anchor and anchor[1:] not in anchors_of(target)):
                broken.append(f"{document.relative_to(ROOT)}: {path}{anchor}")
    assert not broken, "\n".join(broken)


def test_every_test_that_a_document_names_is_there():
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    named, missing = 0, []
    for document in documents:
        last = None
        for path, function in re.findall(r"`((?:tests/)?(?:[\w/]+\.py))?(?:::(\w+))?`", document.read_text()):
            last = ROOT / "tests" / path.removeprefix("tests/") if path else last
            if not function or last is None:
                continue
            named += 1
            if not last.exists() or f"def {function}(" not in last.read_text():
                missing.append(f"{document.relative_to(ROOT)}: {last.name}::{function}")
    assert named > 20
    assert not missing, "\n".join(missing)


def test_every_value_of_the_moment_is_in_the_document():
    table = (ROOT / "src" / "http" / "template.h").read_text()
    rows = re.findall(r'X\((\w+), "([^"]+)",\s*"([^"]+)"\)', table.replace("\\\n", " "))
    assert len(rows) > 10
    document = (ROOT / "docs" / "config.md").read_text()
    for constant, name, words in rows:
        argument = ("N" if constant == "CAPTURE" else "NAME") if name.endswith(".") else ""
        assert f"| `{{{name}{argument}}}` | {words} |" in document
