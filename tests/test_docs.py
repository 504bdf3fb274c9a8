"""Every code block of README.md and docs/*.md runs, and every doctest of the package holds.

How to write a block in a page:

- A ``python`` block runs in a fresh interpreter, in an empty folder, with the caches, traces and settings of holdfast pointed into it.
  ``<!-- continues -->`` on the line before lets it start where the last python block of its page ended.
- ``<!-- prints -->`` before a ``text`` block: the python block above it must print exactly that; a line ``...`` stands for any lines.
- ``<!-- raises: PolicyError -->`` before a ``python`` block: it must end in that error.
- ``<!-- no-run: why -->`` before a block: it is only shown. There may be few of those.
- ``console``, ``bash`` and ``sh`` blocks do not run, but the make targets and holdfast commands in them must exist.
"""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import holdfast

ROOT = Path(__file__).resolve().parent.parent
PAGES = [page for page in (ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("**/*.md"))) if page.exists()]
MOST_NOT_RUN = 8
SHELLS = {"console", "bash", "sh", "shell"}
BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>[\w+-]*)[^\n]*\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
REMARK = re.compile(r"<!-- *(?P<word>prints|continues|no-run|raises)(: *(?P<rest>[^\n]*?))? *-->\s*\Z")
WARNINGS = "error,ignore:'asyncio.iscoroutinefunction' is:DeprecationWarning:langsmith._internal._beta_decorator"
"""Theirs, as in pyproject.toml."""
MARK = "--- what follows is printed by the block itself ---"
FUTURE = "from __future__ import annotations\n"  # allowed at the top of a file only


@dataclass(frozen=True)
class Block:
    """One fenced block: where it stands, its language and text, and the remark on the line before it."""

    page: str
    line: int
    language: str
    code: str
    remark: str
    rest: str

    def __str__(self) -> str:
        """How pytest names the test."""
        return f"{self.page}:{self.line}"


def blocks(text: str, page: str) -> list[Block]:
    """Fenced blocks of a page, in order."""
    found = []
    for match in BLOCK.finditer(text):
        before = REMARK.search(text, 0, match.start())
        code = "".join(line.removeprefix(match["indent"]) for line in match["code"].splitlines(keepends=True))
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, match["language"], code, before["word"] if before else "", (before["rest"] or "") if before else ""))
    return found


LINKING = [page for page in (*PAGES, ROOT / "CHANGELOG.md") if page.exists()]
ALL = [block for page in PAGES for block in blocks(page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix())]
PYTHON = [block for block in ALL if block.language in {"python", "py"} and block.remark != "no-run"]


def program(block: Block, page: list[Block]) -> str:
    """Code of ``block`` after that of the blocks it continues, with `MARK` printed in between."""
    parts = [block.code]
    for previous in reversed([other for other in page if other.language == block.language and other.line < block.line]):
        if block.remark != "continues":
            break
        parts.insert(0, previous.code)
        block = previous
    if block.remark == "continues":
        raise ValueError(f"{block} continues, but no block stands before it")
    first, *others = parts
    return f"print({MARK!r}, flush=True)\n".join([first, *(other.replace(FUTURE, "") for other in others)])


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run ``code`` as a file in an empty ``folder``, away from the user's caches and settings; its output starts after the last `MARK`."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "OTEL_"))}
    places = {"HOLDFAST_CACHE_DIR": "cache", "HOLDFAST_TRACES": "traces.db", "HOLDFAST_CONFIG_DIR": "config"}
    variables |= {name: str(folder / ".holdfast" / place) for name, place in places.items()}
    variables |= {
        "NO_COLOR": "1",
        "COLUMNS": "140",
        "PYTHONWARNINGS": WARNINGS,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONIOENCODING": "utf-8",
    }
    (folder / "example.py").write_text(code, encoding="utf-8")
    command = [sys.executable, "example.py"]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, encoding="utf-8", timeout=180, check=False)
    done.stdout = done.stdout.rpartition(f"{MARK}\n")[2]
    return done


def matches(expected: str, actual: str) -> bool:
    """Whether the output is what the page shows; a line ``...`` stands for any lines, blanks at line ends do not count."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else re.escape(line.rstrip()).replace(r"\.\.\.", ".*") + r"[ \t]*\n"
        for line in expected.splitlines()
    )
    return re.fullmatch(pattern, actual if actual.endswith("\n") or not actual else actual + "\n") is not None


def shown_output(block: Block, page: list[Block]) -> str | None:
    """The output that the page shows below ``block``, or None when it shows none."""
    following = next((other for other in page if other.line > block.line), None)
    return following.code if following is not None and following.remark == "prints" else None


def page_of(block):
    """All blocks of its page."""
    return [other for other in ALL if other.page == block.page]


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_code_runs_and_prints_what_the_page_says(block, tmp_path):
    """A reader who pastes the block gets what the page promises."""
    page = page_of(block)
    done = run(program(block, page), tmp_path)

    if block.remark == "raises":
        assert re.search(rf"^(\w+\.)*{block.rest}(:|$)", done.stderr, re.MULTILINE), done.stderr or "it raised nothing"
        return
    assert 0 == done.returncode, done.stderr
    expected = shown_output(block, page)
    assert expected is None or matches(expected, done.stdout), f"the page shows\n{expected}\nbut it prints\n{done.stdout}"


def test_the_readme_shows_code():
    """Nothing above would notice an empty page."""
    assert [block for block in PYTHON if block.page == "README.md"]


def test_each_output_belongs_to_code():
    """An output is compared only below a python block: elsewhere it would be believed unchecked."""
    strays = [str(block) for previous, block in zip([None, *ALL], ALL, strict=False) if block.remark == "prints" and previous not in PYTHON]

    assert [] == strays


def test_few_blocks_are_only_shown():
    """Each block that does not run says why, and they stay the exception."""
    shown = [block for block in ALL if block.remark == "no-run"]

    assert [] == [str(block) for block in shown if not block.rest]
    assert len(shown) <= MOST_NOT_RUN


def test_each_block_names_its_language():
    """A block without one would be neither run nor checked."""
    assert [] == [str(block) for block in ALL if not block.language]


def commands(block: Block) -> list[str]:
    """Commands of a shell block: lines after a prompt where there are prompts, else all lines; comments and prompts dropped."""
    lines = block.code.splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    return [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]


def words_after(tool: str) -> list[tuple[str, str]]:
    """Where ``tool`` is called in shell blocks: the place and the first argument that is no option or assignment."""
    pattern = re.compile(rf"(?<![\w.-]){tool}( +[^;&|]+)")
    return [
        (str(block), word)
        for block in ALL
        if block.language in SHELLS and block.remark != "no-run"
        for command in commands(block)
        for match in pattern.finditer(command)
        for word in [w for w in match[1].split() if not w.startswith("-") and "=" not in w][:1]
    ]


def test_make_targets_exist():
    """What a page tells to `make` is in the Makefile."""
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

    assert [] == [(place, word) for place, word in words_after("make") if word not in targets]


def test_holdfast_commands_exist():
    """What a page tells to `holdfast` is a command of it."""
    asked = words_after("holdfast")
    if not asked:
        return
    code = "import sys; sys.argv[0] = 'holdfast'; from holdfast.cli import main; main()"
    help_text = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, encoding="utf-8", check=True).stdout

    assert [] == [(place, word) for place, word in asked if not re.search(rf"^\s+{re.escape(word)}\b", help_text, re.MULTILINE)]


def test_links_inside_the_repository_lead_somewhere():
    """A relative link names a file that exists."""
    link = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)")
    found = [(page, target) for page in LINKING for target in link.findall(BLOCK.sub("", page.read_text(encoding="utf-8")))]
    # Run against the wheel, the copy of the suite holds no sources.
    known = [(page, target) for page, target in found if not target.removeprefix("../").startswith(("holdfast", "LICENSE"))]

    assert [] == [(page.name, target) for page, target in known if not (page.parent / target).exists()]


def anchors(page):
    """What the headings of a page are called in links, as GitHub makes it: a second heading of a name has ``-1`` behind it."""
    titles = re.findall(r"^#+ +(.+?) *$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    shown = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in titles]
    slugs = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in shown]
    return {slug if slug not in slugs[:n] else f"{slug}-{slugs[:n].count(slug)}" for n, slug in enumerate(slugs)}


def test_links_to_a_heading_lead_to_one():
    """Of the same page, or of another."""
    link = re.compile(r"\]\((?!https?:|mailto:)(?P<target>[^)#\s]*)#(?P<anchor>[^)\s]+)\)")
    found = [(page, one) for page in LINKING for one in link.finditer(BLOCK.sub("", page.read_text(encoding="utf-8")))]
    told = [(page, (page.parent / one["target"]).resolve() if one["target"] else page, one["anchor"]) for page, one in found]
    pages = [(page, target, anchor) for page, target, anchor in told if target.suffix == ".md" and target.exists()]

    assert len(pages) > 20
    assert [] == [(page.name, target.name, anchor) for page, target, anchor in pages if anchor not in anchors(target)]


MODULES = ["holdfast", *(info.name for info in pkgutil.walk_packages(holdfast.__path__, "holdfast.") if not info.name.endswith("__main__"))]


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name, tmp_path, monkeypatch):
    """The examples in the docstrings of a module hold."""
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)

    assert 0 == result.failed


def test_doctests_are_found():
    """The search does look into the package: at least one example runs in all of it."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]

    assert found


SAMPLE = """
# Title

```python
x = 1
print(x)
```

<!-- prints -->
```text
1
```

<!-- continues -->
```python
print(x + 1)
```

- item

  <!-- no-run: needs a server -->
  ```console
  $ make tset  # a typo
  ```
"""


def test_a_page_is_read_with_its_remarks():
    """Indented blocks lose their indent; remarks belong to the block below them."""
    found = blocks(SAMPLE, "sample.md")

    assert [("python", ""), ("text", "prints"), ("python", "continues"), ("console", "no-run")] == [(b.language, b.remark) for b in found]
    assert "$ make tset  # a typo\n" == found[3].code
    assert "needs a server" == found[3].rest
    assert ["make tset"] == commands(found[3])
    assert "1\n" == shown_output(found[0], found)


def test_a_block_goes_on_where_the_last_one_ended(tmp_path):
    """Names are there, and only the block's own output counts."""
    found = blocks(SAMPLE, "sample.md")
    done = run(program(found[2], found), tmp_path)

    assert ("2\n", "") == (done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\n", "b\n", False),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("took ... s\n", "took 0.3 s\n", True),
        ("a\n", "a\nb\n", False),
    ],
)
def test_output_is_compared_line_by_line(expected, actual, same):
    """Dots stand for what changes from run to run, and for nothing else."""
    assert same is matches(expected, actual)
