"""The network as a graph: nodes in a ring, links between them, drawn as SVG; the page's script moves it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from ..explorer.pictures import picture
from .shape import Shape

RADIUS = 34.0
FEW = 8
"""Nodes that have room in the smallest picture."""
LONGEST_NAME = 14
"""What has room below a node; the whole name is its title, and in the table."""


class Place(NamedTuple):
    x: float
    y: float


def size(shape: Shape) -> tuple[float, float]:
    """Width and height: the more nodes, the larger."""
    more = max(0, len(shape.nodes) - FEW)
    return 720.0 + more * 30, 440.0 + more * 26


def places(shape: Shape) -> dict[str, Place]:
    """All on one ring, SPV nodes beside a node that they dial."""
    width, height = size(shape)
    ring = ring_order(shape)
    found: dict[str, Place] = {}
    for i, name in enumerate(ring):
        angle = math.pi * (2 * i / len(ring) - 0.5)
        x = width / 2 + (width / 2 - 110) * math.cos(angle) if len(ring) > 1 else width / 2
        y = height / 2 - 8 + (height / 2 - 66) * math.sin(angle) if len(ring) > 1 else height / 2
        found[name] = Place(x, y)
    return found


def ring_order(shape: Shape) -> list[str]:
    """Names of all nodes; each SPV node follows the one of its links that has the fewest beside it."""
    beside: dict[str, list[str]] = {node.name: [] for node in shape.nodes if node.role != "spv"}
    for node in shape.nodes:
        if node.role == "spv":
            near = [link for link in node.links if link in beside] or list(beside)
            beside[min(near, key=lambda name: len(beside[name]))].append(node.name)
    return [name for server, light in beside.items() for name in (server, *light)]


def graph(
    shape: Shape,
    where: Mapping[str, Place],
    rows: Sequence[Mapping[str, Any]],
    links: Sequence[Mapping[str, Any]],
) -> Markup:
    """rows and links: as the board has them (NodeStatus with colour and spread, LinkStatus)."""
    width, height = size(shape)
    facts = {row["name"]: row for row in rows}
    parts: list[Markup] = [_link(link, where) for link in links]
    parts.append(Markup('<g id="travelling"></g>'))
    parts += [_node(node.name, node.role, where[node.name], facts.get(node.name, {})) for node in shape.nodes]
    up = sum(link["state"] == "up" for link in links)
    running = sum(bool(row["running"]) for row in rows)
    return picture(
        "network-graph",
        width,
        height,
        "The network",
        f"{running} of {len(shape.nodes)} nodes run, {up} of {len(links)} links are up. Tables say which.",
        parts,
    )


def _link(link: Mapping[str, Any], where: Mapping[str, Place]) -> Markup:
    a, b = where[link["dialer"]], where[link["listener"]]
    names = link["dialer"], link["listener"]
    line = Markup(
        '<line class="wire {0}" id="wire-{1}-{2}" x1="{3:.1f}" y1="{4:.1f}" x2="{5:.1f}" y2="{6:.1f}">'
        "<title>{1} dials {2}: {0}</title></line>"
    ).format(link["state"], *names, a.x, a.y, b.x, b.y)
    delay = f"{round(link['delay'] * 1000)} ms" if link["delay"] else ""
    return line + Markup(
        '<text class="wire-text" id="delay-{}-{}" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>'
    ).format(*names, (a.x + b.x) / 2, (a.y + b.y) / 2 - 6, delay)


def _node(name: str, role: str, place: Place, row: Mapping[str, Any]) -> Markup:
    running = bool(row.get("running"))
    colour = row.get("colour")
    kind = "stopped" if not running else "tip-none" if colour is None else f"tip-{colour}"
    height = row.get("height")
    radius = RADIUS * 0.8 if role == "spv" else RADIUS
    inner = Markup(
        "<title>{} ({}): {}</title>{}{}"
        '<text class="height" y="5" text-anchor="middle">{}</text>'
        '<text class="name" y="{:.0f}" text-anchor="middle">{}</text>'
    ).format(
        name,
        role,
        f"height {height}" if running else "stopped",
        _figure(role, "halo", radius + 5),
        _figure(role, "body", radius),
        height if running and height is not None else "–",
        RADIUS + 20,
        name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…",
    )
    group = Markup(
        '<g class="node {} {}" id="node-{}" data-node="{}" transform="translate({:.1f} {:.1f})">{}</g>'
    ).format(role, kind, name, name, place.x, place.y, inner)
    if running and row.get("web_port"):
        return Markup('<a href="http://127.0.0.1:{}/">{}</a>').format(row["web_port"], group)
    return group


def _figure(role: str, part: str, radius: float) -> Markup:
    """A miner is a square, all others are round."""
    if role == "miner":
        return Markup(
            '<rect class="{0}" x="{1:.0f}" y="{1:.0f}" width="{2:.0f}" height="{2:.0f}" rx="{3:.0f}"/>'
        ).format(part, -radius, 2 * radius, radius - 20)
    return Markup('<circle class="{}" r="{:.0f}"/>').format(part, radius)
