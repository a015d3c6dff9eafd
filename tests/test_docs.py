"""Command lines in README.md, docs/ and the Makefile name commands and options that there are; paths and links name files."""

from __future__ import annotations

import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import places
import pytest

from asq_sw.cli import cli

PAGES = [places.ROOT / "README.md", places.ROOT / "Makefile", *sorted((places.ROOT / "docs").glob("*.md"))]
MODULES = r"python -m ((?:asq_sw|hw|sim|reports)\b[\w.]*)"


def command_lines(text: str) -> Iterator[list[str]]:
    """Arguments of every line of code that begins with ``asq`` or ``python -m`` and a module of the project.

    Code is what stands in backticks, fenced or indented; comments are cut off.
    """
    fenced = re.findall(r"^```.*?$(.*?)^```", text, re.M | re.S)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    lines = [line for block in fenced for line in block.splitlines()]
    lines += [line for line in rest.splitlines() if line.startswith(("    ", "\t"))]
    lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", rest)]
    for line in lines:
        line = re.sub(r"^\s*(?:\w+=\S+ )*(?:\$\(BIN\)/|\.venv/bin/)?", "", line).partition(" # ")[0]
        line = re.split(r"\s#|\s[|>]", line)[0]
        if re.match(rf"asq\b|{MODULES}", line):
            yield shlex.split(line)


def documented() -> list[tuple[str, list[str]]]:
    return [(page.name, line) for page in PAGES for line in command_lines(page.read_text(encoding="utf-8"))]


def parse(line: list[str]) -> list[str]:
    """The options that a command line gives; click's own errors where the command has no such option."""
    if line[0] == "python":
        if line[2] == "asq_sw":
            return parse(["asq", *line[3:]])
        command, arguments = importlib.import_module(line[2]).main, line[3:]
        context = click.Context(command)
    else:
        context = click.Context(cli)
        if len(line) == 1 or line[1].startswith("-"):
            return line[1:]
        found = cli.get_command(context, line[1])
        assert found is not None, f"asq has no command {line[1]}"
        command, arguments = found, line[2:]
        context = click.Context(command, parent=context)
    return list(command.make_parser(context).parse_args(args=list(arguments))[0])


@pytest.mark.parametrize(
    ("page", "line"), documented(), ids=lambda v: v if isinstance(v, str) else " ".join(v)
)
def test_every_command_line_has_options_that_there_are(page: str, line: list[str]) -> None:
    parse(line)


def test_command_lines_are_found_and_wrong_ones_refused() -> None:
    text = (
        "Run `asq train net\n--wbits 3`, not `asquith`.\n\n```\nasq report -o report   # --quick\n```\n"
        "\t$(BIN)/python -m hw.studies.search --jobs 2\n    A=1 .venv/bin/asq --version\n"
    )
    train = ["asq", "train", "net", "--wbits", "3"]
    assert sorted(command_lines(text)) == sorted(
        [
            train,
            ["asq", "report", "-o", "report"],
            ["python", "-m", "hw.studies.search", "--jobs", "2"],
            ["asq", "--version"],
        ]
    )
    assert "wbits" in parse(train)
    for wrong in (["asq", "report", "--fast"], ["python", "-m", "hw.studies.search", "--fast"]):
        with pytest.raises(click.UsageError):
            parse(wrong)
    with pytest.raises(ModuleNotFoundError):
        parse(["python", "-m", "hw.search"])
    assert len({page for page, _ in documented()}) > 8


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_paths_in_code_are_of_files_that_there_are(page: Path) -> None:
    paths = re.findall(
        r"`((?:asq_sw|hw|sim|reports|tests|docs|examples)/[\w./]*)`", page.read_text(encoding="utf-8")
    )
    assert [path for path in paths if not (places.ROOT / path).exists()] == []


DOCS = places.ROOT / "docs"
MARKDOWN = [page for page in PAGES if page.suffix == ".md"]


def links(text: str) -> list[str]:
    """Targets of links to other files of the project, without what stands behind #."""
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target.partition("#")[0] for target in targets if not re.match(r"\w+:|#", target)]


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda path: path.name)
def test_links_lead_to_files_that_there_are(page: Path) -> None:
    found = links(page.read_text(encoding="utf-8"))
    assert [target for target in found if not (page.parent / target).exists()] == []


def test_links_are_found() -> None:
    text = "[a](docs/a.md), [b](https://b.org/c.md) and\n[c](#here) [d](d.md#there)"
    assert links(text) == ["docs/a.md", "d.md"]
    assert "docs/figures.md" in links((places.ROOT / "README.md").read_text(encoding="utf-8"))


def test_the_site_leads_to_every_page() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    named = [
        line
        for tree in re.findall(r"^```{toctree}\n(.*?)^```", index, re.M | re.S)
        for line in tree.splitlines()
        if re.fullmatch(r"\w+", line)
    ]
    assert sorted(named) == sorted(page.stem for page in DOCS.glob("*.md") if page.stem != "index")


def test_every_table_section_and_page_says_how_it_is_made() -> None:
    text = (DOCS / "figures.md").read_text(encoding="utf-8")
    folders = [
        places.ROOT / room / name for room in ("asq_sw", "hw", "reports") for name in ("data", "tables")
    ]
    tables = [
        path for folder in folders if folder.is_dir() for path in folder.iterdir() if path.suffix != ".py"
    ]
    sections = (places.ROOT / "reports" / "sections").glob("[a-z]*.py")
    names = {path.relative_to(places.ROOT).as_posix() for path in [*tables, *sections] if path.name[0] != "_"}
    assert len(names) > 15
    assert {name for name in names if name not in text} == set()
    made = {
        page.name for page in DOCS.glob("*.md") if "Made by `python -m" in page.read_text(encoding="utf-8")
    }
    assert made
    assert {name for name in made if f"]({name})" not in text} == set()


def test_extras_are_the_projects_and_nobody_is_sent_to_another_asq() -> None:
    """The index has another project called asq."""
    sources = [page.read_text(encoding="utf-8") for page in MARKDOWN]
    for folder in ("asq_sw", "hw", "sim", "reports"):
        sources += [path.read_text(encoding="utf-8") for path in (places.ROOT / folder).rglob("*.py")]
    text = "\n".join(sources)
    assert re.findall(r"pip install +[\"']?asq(?!-post)", text) == []
    project = tomllib.loads((places.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set(re.findall(r"\.\[(\w+)\]'", text)) | set(re.findall(r"\bmissing\([^)]*\"(\w+)\"\)", text))
    assert project["name"] == "asq-post"
    assert {"dask", "fpga"} <= named <= set(project["optional-dependencies"])


def test_the_figures_of_the_readme_are_the_searchs() -> None:
    """Its table of 4-bit tiles against the first of docs/datapath.md, which is made from the carried tables."""
    page = (DOCS / "datapath.md").read_text(encoding="utf-8")
    searched = {}
    for line in re.findall(r"^\| (?:nangate45|sky130hd|asap7) \|.*", page, re.M):
        node, name, _, *figures = (cell.strip() for cell in line.strip("|").split("|"))
        searched.setdefault((name, node), [figure.split(" ")[0] for figure in figures[:3]])
    readme = (places.ROOT / "README.md").read_text(encoding="utf-8")
    nodes = re.search(r"^\| 4 bits, over int \|(.*)\|$", readme, re.M)
    assert nodes is not None
    rows = re.findall(r"^\| (POST|FP4), (area|energy, [\w ]+) \|(.*)\|$", readme, re.M)
    assert len(rows) == 4
    for name, figure, cells in rows:
        column = ["area", "energy, weights held", "energy, both streaming"].index(figure)
        for node, cell in zip(nodes[1].split("|"), cells.split("|"), strict=True):
            key = ({"POST": "post4 F0", "FP4": "fp4"}[name], node.strip())
            assert searched[key][column] == cell.strip(), (name, figure, node)


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    sphinx = pytest.importorskip("sphinx.cmd.build", reason="needs the extra docs")
    pytest.importorskip("furo", reason="needs the extra docs")
    pytest.importorskip("myst_parser", reason="needs the extra docs")
    assert sphinx.main(["-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(tmp_path / "site")]) == 0
    assert "asq_sw.formats.WeightFormat" in (tmp_path / "site" / "api.html").read_text(encoding="utf-8")
