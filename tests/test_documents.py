"""What README and docs/ tell people to type does what they say; see `documents` for how."""

from __future__ import annotations

import importlib.util
import re

import pytest
import typer
from documents import ROOT, Block, agree, blocks_of, commands_of, furnish, parse, run

import fedscodec
from fedscodec.cli import app

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("weights/*.md")])
COMMANDS = typer.main.get_command(app).commands


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder as documents take it for granted, which is where the test runs."""
    place = tmp_path / "folder"
    place.mkdir()
    monkeypatch.setenv("FEDS_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(place)
    furnish(place, tmp_path / "weights")
    return place


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if blocks_of(path.read_text())], ids=lambda p: p.name)
def test_what_a_document_says_can_be_typed(path, folder):
    names = {}
    for block in blocks_of(path.read_text(encoding="utf-8")):
        try:
            follow(block, names)
        except (Exception, SystemExit) as failure:
            raise AssertionError(f"{path.relative_to(ROOT)}, block at line {block.line}: {failure}") from failure
        finally:
            fedscodec.register_feds_opener()  # as before, for the tests that come after


def follow(block, names):
    if block.language == "python":
        exec(compile(block.text, "a block of Python", "exec"), names)
        return
    for command, said in commands_of(block):
        if block.only_parsed:
            for part in re.split(r" && |\|", command):
                if part.strip().startswith("feds "):
                    parse(part.partition("#")[0].split()[1:])
            continue
        printed = run(command)
        if block.language == "console":
            assert agree(said, printed), f"{command} printed:\n{printed}"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_every_command_can_be_typed(name, folder):
    lines = [line.strip() for line in (COMMANDS[name].epilog or "").splitlines()[2:]]
    assert all(re.search(r"\bfeds ", line) for line in lines)
    for line in lines:
        run(line)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_that_documents_mention_exist(path):
    assert set(re.findall(r"`feds ([a-z][a-z-]*)", path.read_text(encoding="utf-8"))) <= {*COMMANDS}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_documents_point_to_exist(path):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_scripts_and_tests_that_documents_mention_exist(path):
    said = path.read_text(encoding="utf-8")
    scripts = re.findall(r"\bpython (?:-m pytest )?(\S+\.py)\b", said)
    assert [script for script in scripts if not (ROOT / script).is_file()] == []


def test_every_promise_has_a_command_that_can_be_typed():
    lines = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8").split("| promise |")[1].split("\n\n")[0]
    rows = [line.strip("|").split("|") for line in lines.splitlines()[2:]]
    assert len(rows) >= 10
    for *_, command in rows:
        assert re.fullmatch(r" (`python (-m pytest tests|tools)/\S+\.py( [^`]+)?`|the same) ", command), command


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples(name):
    assert "Examples:" in (COMMANDS[name].epilog or ""), name


def test_the_page_on_the_format_is_made_from_the_format():
    spec = importlib.util.spec_from_file_location("write_format", ROOT / "tools" / "write_format.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run python tools/write_format.py"
    assert 'magic, the ASCII letters "FEDS"' in module.page()


# ── The means themselves ──────────────────────────────────────────────────────────────────────────────────

TEXT = """
```sh
# a remark
feds info photo.feds   # trailing
feds \\
  info photo.feds
```
<!-- only parsed: an hour -->
```sh
feds train --data photos --out new.safetensors
```
```text
feds nonsense
```
```console
$ feds info photo.feds
size     1 bytes
...
$ feds info b.feds
```
"""


def test_blocks_and_commands_are_found():
    first, second, third = blocks_of(TEXT)
    assert (first.line, first.language, first.only_parsed) == (2, "sh", None)
    assert [command.split("#")[0].split() for command, _ in commands_of(first)] == [["feds", "info", "photo.feds"]] * 2
    assert second.only_parsed == "an hour"
    assert list(commands_of(third)) == [
        ("feds info photo.feds", "size     1 bytes\n...\n"),
        ("feds info b.feds", ""),
    ]


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        (Block(1, "sh", "feds info nothing.feds"), r"exit code 1 of: feds info nothing.feds\n.*No such file"),
        (Block(1, "sh", "feds info photo.feds --colour"), "exit code 2"),
        (Block(1, "sh", "feds train --data photos --oat new.safetensors"), "--oat"),
        (Block(1, "sh", "feds train --data photos --oat new.safetensors", "an hour"), "--oat"),
        (Block(1, "sh", "head -c 3 photo.feds | feds info -"), "exit code 1"),
        (Block(1, "console", "$ feds info photo.feds\nsize 1 bytes\n"), "printed:.*size "),
        (Block(1, "python", "assert 1 == 2"), ""),
    ],
)
def test_documents_that_are_wrong_are_noticed(block, complaint, folder):
    with pytest.raises((Exception, SystemExit), match=re.compile(complaint, re.S)):
        follow(block, {})


def test_transcripts_agree_but_for_numbers():
    printed = "photo.feds: 1,234 bytes, 0.5 bpp, fingerprint 0123456789abcdef\n  two words\nend\n"
    assert agree("photo.feds: 9 bytes, 12.25 bpp, fingerprint fedcba9876543210\ntwo   words\nend", printed)
    assert agree("photo.feds: 9 bytes, 12.25 bpp, fingerprint fedcba9876543210\n...\nend", printed)
    assert agree("...\nend", printed)
    assert not agree("photo.feds: 9 bytes\ntwo words\nend", printed)
    assert not agree("...\ntwo words", printed)


def test_what_stands_for_the_shell(folder):
    assert run("feds info - < photo.feds").startswith("size ")
    assert run("feds info - < photo.feds && feds info photo.feds").count("size ") == 2
    assert run("head -c 999 photo.feds | feds info -").startswith("size ")
    assert run("feds encode photo.p*g").startswith("photo.feds: ")
