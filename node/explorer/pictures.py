"""Pictures that the node draws itself, as SVG within the page: each has a title and a description in words,
and what is in it can be reached by keyboard. Colours come from the style sheet by class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from markupsafe import Markup

from pybitcoind.chain.header_tree import HeaderNode, HeaderTree
from pybitcoind.chain.mempool.clusters import Chunk
from pybitcoind.chain.primitives.hashes import hash_hex

from .mempool_view import BlockToBe, step_of
from .words import feerate, short

MAX_TILES = 240


class Rect(NamedTuple):
    x: float
    y: float
    width: float
    height: float


def picture(
    kind: str, width: float, height: float, title: str, description: str, body: Iterable[Markup]
) -> Markup:
    """An SVG with its words for those who do not see it."""
    return Markup(
        '<svg class="picture {0}" role="group" width="{1:.0f}" height="{2:.0f}" viewBox="0 0 {1:.0f} {2:.0f}"'
        ' aria-labelledby="{0}-title {0}-desc">'
        '<title id="{0}-title">{3}</title><desc id="{0}-desc">{4}</desc>{5}</svg>'
    ).format(kind, width, height, title, description, Markup("").join(body))


# The next block as a map of its transactions


def treemap(sizes: Sequence[float], area: Rect) -> list[Rect]:
    """A rectangle for each of sizes (in falling order), as near to squares as rows allow.

    Bruls, Huizing and van Wijk, "Squarified treemaps" (2000).
    """
    total = sum(sizes)
    if total <= 0:
        return []
    scale = area.width * area.height / total
    left = [size * scale for size in sizes]
    out: list[Rect] = []
    x, y, width, height = area
    start = 0
    while start < len(left):
        side = min(width, height)
        end, filled = start + 1, left[start]
        while end < len(left) and _worst(left[start : end + 1], filled + left[end], side) <= _worst(
            left[start:end], filled, side
        ):
            filled += left[end]
            end += 1
        depth = filled / side if side else 0
        offset = 0.0
        for size in left[start:end]:
            length = size / depth if depth else 0
            if width >= height:
                out.append(Rect(x, y + offset, depth, length))
            else:
                out.append(Rect(x + offset, y, length, depth))
            offset += length
        if width >= height:
            x, width = x + depth, width - depth
        else:
            y, height = y + depth, height - depth
        start = end
    return out


def _worst(row: Sequence[float], filled: float, side: float) -> float:
    square = side * side
    return (
        max(square * max(row) / filled**2, filled**2 / (square * min(row))) if min(row) > 0 else float("inf")
    )


def block_map(block: BlockToBe) -> Markup:
    """What the next block would take: a tile for each chunk, as large as its weight, coloured by feerate."""
    width, height = 720.0, 320.0
    chunks = sorted(block.chunks, key=lambda chunk: -chunk.weight)
    shown, rest = chunks[:MAX_TILES], chunks[MAX_TILES:]
    sizes = [chunk.weight for chunk in shown]
    if rest:
        sizes.append(sum(chunk.weight for chunk in rest))
    tiles = treemap(sizes, Rect(0, 0, width, height))
    parts = [_tile(chunk, rect) for chunk, rect in zip(shown, tiles, strict=False)]
    if rest:
        x, y, w, h = _inset(tiles[-1])
        words = f"{len(rest):,} smaller ones"
        parts.append(
            Markup(
                '<rect class="tile rest" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}">'
                "<title>{}</title></rect>"
            ).format(x, y, w, h, words)
        )
        if w > 110 and h > 26:
            parts.append(
                Markup('<text class="caption" x="{:.1f}" y="{:.1f}">{}</text>').format(x + 8, y + 18, words)
            )
    low, high = (feerate(chunk.fee, chunk.weight) for chunk in (block.worst, block.best))
    return picture(
        "block-map",
        width,
        height,
        f"The next block: {block.txs:,} transactions",
        f"Each tile is a transaction, or some that are mined together; {low} to {high} sat/vB. The table "
        "below says the same.",
        parts,
    )


def _inset(rect: Rect, gap: float = 1.0) -> Rect:
    return Rect(rect.x + gap, rect.y + gap, max(rect.width - 2 * gap, 0.5), max(rect.height - 2 * gap, 0.5))


def _tile(chunk: Chunk, rect: Rect) -> Markup:
    x, y, width, height = _inset(rect)
    rate, txid = feerate(chunk.fee, chunk.weight), hash_hex(chunk.txids[0])
    count = len(chunk.txids)
    what = short(txid) if count == 1 else f"{count} transactions from {short(txid)} on"
    label = Markup("")
    if width > 44 and height > 26:
        label = Markup('<text class="tile-text on-{}" x="{:.1f}" y="{:.1f}">{}</text>').format(
            step_of(chunk.fee, chunk.weight), x + 8, y + 18, f"{rate} sat/vB" if width > 96 else rate
        )
    return Markup(
        '<a href="/tx/{}"><title>{}</title><rect class="tile rate-{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" '
        'height="{:.1f}" rx="2"/>{}</a>'
    ).format(
        txid,
        f"{what}: {rate} sat/vB, {-(-chunk.weight // 4):,} vB",
        step_of(chunk.fee, chunk.weight),
        x,
        y,
        width,
        height,
        label,
    )


# Blocks to be, side by side


def queue(blocks: Sequence[BlockToBe]) -> Markup:
    """The blocks to be from left to right, each filled as far as it would be, in bands by feerate."""
    side, gap, top = 96.0, 18.0, 8.0
    width = max(len(blocks), 4) * (side + gap) - gap
    parts: list[Markup] = []
    for i, block in enumerate(blocks):
        x = i * (side + gap)
        parts.append(
            Markup(
                '<rect class="outline" x="{:.1f}" y="{:.1f}" width="{:.0f}" height="{:.0f}" rx="4"/>'
            ).format(x + 0.5, top + 0.5, side - 1, side - 1)
        )
        bottom = top + side - 3
        inner = side - 6
        visible_fill = max(block.fill, 0.03)
        for step, share in _bands(block):
            height = inner * visible_fill * share
            bottom -= height
            parts.append(
                Markup('<rect class="rate-{}" x="{:.1f}" y="{:.2f}" width="{:.1f}" height="{:.2f}"/>').format(
                    step, x + 3, bottom, inner, height
                )
            )
        for line, text in enumerate(
            (f"{block.txs:,} tx", f"{feerate(block.middle().fee, block.middle().weight)} sat/vB")
        ):
            parts.append(
                Markup('<text class="caption" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>').format(
                    x + side / 2, top + side + 18 + 16 * line, text
                )
            )
    description = "; ".join(
        f"block {block.number}: {block.txs:,} transactions, {100 * block.fill:.1f}% full" for block in blocks
    )
    return picture("queue", width, top + side + 42, "The blocks to be", description, parts)


def _bands(block: BlockToBe) -> list[tuple[int, float]]:
    """(colour, share of the weight), the best feerates last, so that they come out on top."""
    weights: dict[int, int] = {}
    for chunk in block.chunks:
        step = step_of(chunk.fee, chunk.weight)
        weights[step] = weights.get(step, 0) + chunk.weight
    return [(step, weights[step] / block.weight) for step in sorted(weights)]


# Branches of the chain


@dataclass(slots=True)
class Branch:
    """A side branch: its blocks from the first to the tip, and the block that it forks from."""

    fork: HeaderNode
    blocks: list[HeaderNode]
    status: str
    lane: int = 0


@dataclass(slots=True)
class _Layout:
    columns: dict[int, float] = field(default_factory=dict)
    gaps: list[float] = field(default_factory=list)
    width: float = 0.0


LAST_BLOCKS = 8
"""Of the active chain, always shown."""
MAX_BRANCHES = 12
LONG = 6
"""A branch with more blocks is shown by its first three and its last three."""
_STEP, _GAP, _ROW, _SIDE = 46.0, 34.0, 54.0, 28.0


def branches_of(headers: HeaderTree, statuses: Mapping[bytes, str]) -> list[Branch]:
    """The newest side branches. statuses: of the tips to show, by hash (getchaintips)."""
    drawn: dict[HeaderNode, None] = {}
    found: list[Branch] = []
    tips = [node for node in headers.tips() if not headers.in_chain(node) and node.hash in statuses]
    for tip in tips[:MAX_BRANCHES]:
        path: list[HeaderNode] = []
        node: HeaderNode | None = tip
        while node is not None and not headers.in_chain(node) and node not in drawn:
            path.append(node)
            node = node.prev
        if node is None or not path:
            continue
        path.reverse()
        drawn.update(dict.fromkeys(path))
        found.append(Branch(node, path, statuses[tip.hash]))
    return found


def branch_picture(headers: HeaderTree, branches: Sequence[Branch]) -> Markup:
    """The active chain as a line, its branches above it; where nothing happens, heights are left out."""
    chain = headers.chain
    heights = set(range(max(0, len(chain) - LAST_BLOCKS), len(chain)))
    shown: list[tuple[Branch, list[HeaderNode]]] = []
    for branch in branches:
        blocks = branch.blocks if len(branch.blocks) <= LONG else [*branch.blocks[:3], *branch.blocks[-3:]]
        shown.append((branch, blocks))
        heights |= {branch.fork.height, *(node.height for node in blocks)}
        if branch.fork.height + 1 < len(chain):
            heights.add(branch.fork.height + 1)
    layout = _columns(sorted(heights))
    lanes = _assign_lanes(branches, layout)
    base = 20 + lanes * _ROW
    y_of: dict[HeaderNode, float] = {}
    parts: list[Markup] = []
    row = [chain[height] for height in sorted(heights) if height < len(chain)]
    for node in row:
        y_of[node] = base
    for branch, blocks in shown:
        for node in branch.blocks:
            y_of[node] = base - (branch.lane + 1) * _ROW
        parts += _line([branch.fork, *blocks], layout, y_of, "side")
    parts += _line(row, layout, y_of, "main")
    for branch, blocks in shown:
        parts += [_square(node, layout, y_of[node], branch.status) for node in blocks]
    parts += [_square(node, layout, base, "active") for node in row]
    for height, x in layout.columns.items():
        parts.append(
            Markup('<text class="axis" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>').format(
                x, base + 38, height
            )
        )
    described = "; ".join(
        f"from height {branch.fork.height} {len(branch.blocks)} "
        f"block{'' if len(branch.blocks) == 1 else 's'}, {branch.status}"
        for branch in branches
    )
    return picture(
        "branches",
        layout.width,
        base + 48,
        "The active chain and its branches",
        f"Branches: {described}." if described else "There is one chain and no branch.",
        parts,
    )


def _columns(heights: Sequence[int]) -> _Layout:
    layout, x = _Layout(), 30.0
    for i, height in enumerate(heights):
        if i and height != heights[i - 1] + 1:
            layout.gaps.append(x - _STEP / 2 + _GAP / 2)
            x += _GAP
        layout.columns[height] = x
        x += _STEP
    layout.width = max(x - _STEP + 30.0, 320.0)
    return layout


def _assign_lanes(branches: Sequence[Branch], layout: _Layout) -> int:
    """Puts branches beside each other where their heights overlap; how many lanes that takes."""
    ends: list[int] = []
    by_fork = {node: branch for branch in branches for node in branch.blocks}
    for branch in sorted(branches, key=lambda b: b.fork.height):
        least = by_fork[branch.fork].lane + 1 if branch.fork in by_fork else 0
        for lane, end in enumerate(ends):
            if lane >= least and end < branch.fork.height:
                branch.lane, ends[lane] = lane, branch.blocks[-1].height
                break
        else:
            ends.extend([-1] * (least - len(ends)))
            branch.lane = len(ends)
            ends.append(branch.blocks[-1].height)
    return len(ends)


def _line(
    nodes: Sequence[HeaderNode], layout: _Layout, y_of: Mapping[HeaderNode, float], kind: str
) -> list[Markup]:
    parts = []
    for one, other in pairwise(nodes):
        dashed = " gap" if other.height != one.height + 1 else ""
        x1, x2 = layout.columns[one.height], layout.columns[other.height]
        y1, y2 = y_of[one], y_of[other]
        if y1 == y2:
            path = f"M{x1:.1f} {y1:.1f}H{x2:.1f}"
        else:
            middle = (x1 + x2) / 2
            path = f"M{x1:.1f} {y1:.1f}C{middle:.1f} {y1:.1f} {middle:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
        parts.append(Markup('<path class="link {}{}" d="{}"/>').format(kind, dashed, path))
    return parts


def _square(node: HeaderNode, layout: _Layout, y: float, status: str) -> Markup:
    x, name = layout.columns[node.height], hash_hex(node.hash)
    return Markup(
        '<a href="/block/{}"><title>{}</title><rect class="block {}" x="{:.1f}" y="{:.1f}" width="{:.0f}" '
        'height="{:.0f}" rx="5"/></a>'
    ).format(
        name, f"{node.height}: {short(name)}, {status}", status, x - _SIDE / 2, y - _SIDE / 2, _SIDE, _SIDE
    )
