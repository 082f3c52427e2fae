"""docs/tour.md is true: what it has its reader type prints what it says, and what it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import tour
import tour_pictures
from browser import Browser, find_chromium

TEXT = tour.PAGE.read_text()
STOPS = [
    "Hashes and base58",
    "Keys and addresses",
    "Transactions and scripts",
    "The UTXO set",
    "Merkle trees",
]
STOPS += ["Proof of work", "Blocks and the chain", "Forks and the most work", "The network's messages"]
STOPS += ["Miners", "Light clients", "The control port"]


def stop_texts() -> dict[str, str]:
    """Each numbered stop by its title."""
    parts = re.split(r"^## (?:\d+\. )?(.*)$", TEXT, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.timeout(180)
def test_all_that_it_shows_happens(tmp_path: Path) -> None:
    blocks = tour.read_page(TEXT)
    with tour.tour(TEXT, tmp_path / "net") as reader:
        for block in blocks:
            reader.run(block)
            wrong = [example for example in block if not example.true]
            assert not wrong, (
                f"\n{wrong[0]}scripts/tour shows all that differs, scripts/tour --write mends it"
            )


def test_every_stop_is_there_with_something_to_run() -> None:
    assert re.findall(r"^## \d+\. (.*)$", TEXT, re.MULTILINE) == STOPS
    examples = [example for block in tour.read_page(TEXT) for example in block]
    for number, stop in enumerate(STOPS, 1):
        assert [e for e in examples if e.stop == f"{number}. {stop}"], f"nothing to type at {stop!r}"
        assert "**Lives in** [" in stop_texts()[stop], f"{stop!r} names no file"


def test_what_differs_is_left_out_where_it_must_be_only() -> None:
    """An output that is all dots would be true of anything: it stands for hashes alone."""
    for example in (example for block in tour.read_page(TEXT) for example in block):
        if example.want.strip(". \n") == "" != example.want:
            assert re.search(r"localnet (mine|send) ", example.source), f"{example.source!r} shows nothing"


def test_files_and_names_exist() -> None:
    missing = []
    for file in re.findall(r"\]\((?!https?:)([^)#]*)\)", TEXT):
        if not (tour.PAGE.parent / file).resolve().is_file():
            missing.append(file)
    for paragraph in re.findall(r"^\*\*Lives in\*\* (.*?)\n\n", TEXT, re.DOTALL | re.MULTILINE):
        for label, file, rest in re.findall(r"\[([^]]*)\]\(\.\./([^)]*)\)([^[]*)", paragraph):
            assert label.replace("\\", "") == file
            names = names_in(tour.ROOT / file)
            missing += [f"{name} in {file}" for name in re.findall(r"`([^`]*)`", rest) if name not in names]
    # and those that the running text names
    prose = re.sub(r"^```.*?^```", "", TEXT, flags=re.DOTALL | re.MULTILINE)
    shown = set(re.findall(r"`(\w+_\w+|[A-Z][a-z]+[A-Z]\w+)`", prose))
    known = set().union(*(names_in(tour.ROOT / file) for file in re.findall(r"\(\.\./([^)]*)\)", TEXT)))
    assert not missing and not shown - known, f"not there: {missing + sorted(shown - known)}"


def names_in(path: Path) -> set[str]:
    """What a file defines at its top, and members of its classes as Class.member."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{getattr(member, 'name', '')}" for member in node.body}
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def test_pictures_are_what_the_code_draws() -> None:
    drawn = tour_pictures.draw_all()
    assert set(re.findall(r"\(tour/(\w+\.svg)\)", TEXT)) == drawn.keys()
    assert {path.name for path in tour.PICTURES.iterdir()} == drawn.keys()
    for name, picture in drawn.items():
        assert (tour.PICTURES / name).read_text() == picture, f"{name} differs: scripts/tour --write draws it"
        ElementTree.fromstring(picture)


FAULTS = """(() => {
  const light = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255);
    const [r, g, b] = parts.map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [], texts = [...document.querySelectorAll("text")];
  const boxes = [...document.querySelectorAll("rect")];
  const within = (a, b) => a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom;
  const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
  for (const [i, text] of texts.entries()) {
    const place = text.getBoundingClientRect();
    for (const other of texts.slice(i + 1))
      if (!apart(place, other.getBoundingClientRect()))
        found.push(`${text.textContent} lies on ${other.textContent}`);
    for (const box of boxes) {
      const frame = box.getBoundingClientRect();
      if (!apart(place, frame) && !within(place, frame)) found.push(`${text.textContent} sticks out`);
      if (!within(place, frame)) continue;
      const [a, b] = [text, box].map((element) => light(getComputedStyle(element).fill));
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (contrast < 4.5) found.push(`${text.textContent}: contrast ${contrast.toFixed(2)}`);
    }
  }
  return found;
})()"""


@pytest.mark.slow
@pytest.mark.parametrize("dark", (False, True), ids=("light", "dark"))
def test_pictures_can_be_read(dark: bool, tmp_path: Path) -> None:
    chromium = find_chromium()
    if not chromium:
        pytest.skip("no Chromium; CHROMIUM names one")
    with Browser.start(chromium, tmp_path) as browser:
        for picture in sorted(tour.PICTURES.iterdir()):
            page = browser.open(picture.as_uri(), dark=dark)
            assert page.js("document.querySelectorAll('text').length") > 5
            assert page.js(FAULTS) == [], picture.name
