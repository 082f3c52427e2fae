"""The pictures of docs/tour.md, drawn from what happens in a network of the test kit: the same every time.

Each brings its own ground and ink, for light and for dark, so that it can be read wherever a page shows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash160, hash_from_hex, hash_hex, sha256, sha256d
from pybitcoind.chain.primitives.merkle import PartialMerkleTree
from pybitcoind.chain.primitives.transaction import COIN, OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.script import secp
from pybitcoind.chain.script.address import WitnessV0KeyHash, encode_address
from pybitcoind.chain.script.sighash import SIGHASH_ALL, segwit_v0_sighash
from pybitcoind.node.explorer.pictures import branches_of, picture
from pybitcoind.node.testing import BitcoinNetwork, BitcoinNode
from pybitcoind.p2p import messages as m

WIDTH = 720.0
STYLE = """
svg { --ground: #faf9f7; --card: #fff; --ink: #1d1b18; --quiet: #67625a; --line: #8f887c; --accent: #a8490a;
  --soft: #fbeadb; --good: #26693f; }
@media (prefers-color-scheme: dark) { svg { --ground: #141312; --card: #24221f; --ink: #ece8e1;
  --quiet: #a49d91; --line: #7d766b; --accent: #f0a35e; --soft: #3a2612; --good: #86cf9d; } }
.ground { fill: var(--ground); stroke: var(--line); stroke-opacity: .35; }
text { font: 13px system-ui, "Segoe UI", "Noto Sans", sans-serif; fill: var(--ink); }
text.title { font-weight: 650; }
text.quiet { fill: var(--quiet); font-size: 12px; }
text.mono { font: 12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
text.accent { fill: var(--accent); }
.box { fill: var(--card); stroke: var(--line); }
.accent-box { fill: var(--soft); stroke: var(--accent); stroke-width: 1.5; }
.path-box { fill: var(--card); stroke: var(--accent); stroke-width: 1.5; stroke-dasharray: 5 3; }
.pale { opacity: .55; }
.link { fill: none; stroke: var(--line); stroke-width: 1.5; }
.link.accent { stroke: var(--accent); }
.link.twice { stroke-dasharray: 3 3; }
.head { fill: var(--line); }
.head.accent { fill: var(--accent); }
"""


@dataclass(slots=True)
class Canvas:
    """What is drawn, in order. Coordinates in pixels."""

    parts: list[Markup]

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> None:
        self.parts.append(
            Markup('<text class="{}" x="{:.0f}" y="{:.0f}" text-anchor="{}">{}</text>\n').format(
                kind, x, y, anchor, words
            )
        )

    def box(self, x: float, y: float, width: float, height: float, kind: str = "box") -> None:
        self.parts.append(
            Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.0f}" height="{:.0f}" rx="5"/>\n').format(
                kind, x, y, width, height
            )
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "") -> None:
        self.parts.append(
            Markup('<path class="link {}" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>\n').format(kind, x1, y1, x2, y2)
        )

    def arrow(self, x1: float, y1: float, x2: float, y2: float, kind: str = "") -> None:
        """It leaves and arrives level."""
        back = 7.0 if x2 > x1 else -7.0
        middle = (x1 + x2) / 2
        self.parts.append(
            Markup(
                '<path class="link {0}" d="M{1:.1f} {2:.1f}C{5:.1f} {2:.1f} {5:.1f} {4:.1f} '
                '{6:.1f} {4:.1f}"/><path class="head {0}" d="M{3:.1f} {4:.1f}l{7:.1f} -4.5v9z"/>\n'
            ).format(kind, x1, y1, x2, y2, middle, x2 - back, -back)
        )

    def finish(self, kind: str, height: float, title: str, description: str) -> str:
        ground = Markup(
            '<rect class="ground" x="0.5" y="0.5" width="{:.0f}" height="{:.0f}" rx="8"/>\n'
        ).format(WIDTH - 1, height - 1)
        style = Markup("<style>{}</style>\n").format(Markup(STYLE))
        drawn = picture(kind, WIDTH, height, title, description, [style, ground, *self.parts])
        return str(drawn).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def amount(satoshis: int) -> str:
    return f"{Decimal(satoshis) / COIN:f} BTC"


# Coins before and after a payment

SECRET = sha256(b"the tour's key: do not keep money here")
PUBKEY = secp.pubkey_of(SECRET)


def script_of(name: str) -> bytes:
    """Of a key that name alone makes."""
    return WitnessV0KeyHash(hash160(secp.pubkey_of(sha256(name.encode())))).script_pubkey


@dataclass(slots=True)
class Payment:
    """before, after: outputs in the UTXO set that concern it, and how many others there are."""

    height: int
    before: list[tuple[OutPoint, TxOut]]
    after: list[tuple[OutPoint, TxOut]]
    others: int
    tx: Transaction
    block: Block


async def pay(node: BitcoinNode) -> Payment:
    """The payment of stop 3."""
    ours = WitnessV0KeyHash(hash160(PUBKEY))
    address = encode_address(ours, regtest())
    funding = await node.rpc.getrawtransaction(await node.fund(address, 2), 0, await node.tip())
    given = Transaction.decode(bytes.fromhex(funding))
    vout = [out.script_pubkey for out in given.vout].index(ours.script_pubkey)
    coin = given.vout[vout]
    outs = [TxOut(150_000_000, script_of("full2")), TxOut(49_990_000, ours.script_pubkey)]
    tx = Transaction.make([TxIn(OutPoint(given.txid, vout))], outs)
    digest = segwit_v0_sighash(b"\x76\xa9\x14" + ours.hash + b"\x88\xac", tx, 0, SIGHASH_ALL, coin.value)
    witness = [(secp.sign_ecdsa(SECRET, digest) + bytes([SIGHASH_ALL]), PUBKEY)]
    tx = Transaction.make(tx.vin, tx.vout, witness=witness)
    before = await node.rpc.gettxoutsetinfo("none")
    await node.send(tx)
    miner = WitnessV0KeyHash(script_of("miner")[2:])
    (block_hash,) = await node.mine(to=encode_address(miner, regtest()))
    block = Block.decode(bytes.fromhex(await node.rpc.getblock(block_hash, 0)))
    after = [
        (OutPoint(made.txid, n), made.vout[n]) for made in (tx, block.vtx[0]) for n in range(len(made.vout))
    ]
    unspent = []
    for outpoint, out in after:
        if await node.rpc.gettxout(hash_hex(outpoint.txid), outpoint.vout) is not None:
            unspent.append((outpoint, out))
    assert await node.rpc.gettxout(hash_hex(given.txid), vout) is None
    others = before["txouts"] - 1
    assert (await node.rpc.gettxoutsetinfo("none"))["txouts"] == others + len(unspent)
    return Payment(before["height"], [(tx.vin[0].prevout, coin)], unspent, others, tx, block)


def draw_coins(payment: Payment) -> str:
    canvas, wide, high = Canvas([]), 200.0, 46.0
    left, middle, right = 24.0, (WIDTH - wide) / 2, WIDTH - 24 - wide
    owners = {script_of("full2"): "full2", script_of("miner"): "the miner"}
    canvas.text(left, 34, f"coins after block {payment.height}", "title")
    canvas.text(middle, 34, f"block {payment.height + 1}", "title")
    canvas.text(right, 34, f"coins after block {payment.height + 1}", "title")

    def coin(x: float, y: float, outpoint: OutPoint, out: TxOut, kind: str) -> None:
        canvas.box(x, y, wide, high, kind)
        owner = owners.get(out.script_pubkey, "you")
        canvas.text(x + 12, y + 19, f"{amount(out.value)} for {owner}")
        canvas.text(x + 12, y + 36, f"{hash_hex(outpoint.txid)[:16]}…:{outpoint.vout}", "mono quiet")

    def rest(x: float, y: float) -> None:
        canvas.box(x, y, wide, 34, "box pale")
        canvas.text(x + 12, y + 22, f"and {payment.others} others, as before", "quiet")

    spent = payment.before[0]
    fee = spent[1].value - sum(out.value for out in payment.tx.vout)
    coin(left, 112, *spent, "path-box")
    canvas.text(left + 12, 178, "spent", "accent")
    rest(left, 256)
    canvas.box(middle, 96, wide, 78)
    canvas.text(middle + 12, 117, "the payment")
    canvas.text(middle + 12, 136, f"{len(payment.tx.vin)} input, {len(payment.tx.vout)} outputs", "quiet")
    canvas.text(middle + 12, 155, f"fee {amount(fee)}", "quiet")
    canvas.box(middle, 190, wide, 58)
    canvas.text(middle + 12, 211, "the coinbase")
    canvas.text(middle + 12, 230, "no input; reward and fee", "quiet")
    canvas.arrow(left + wide, 135, middle, 135, "accent")
    tops = (70.0, 130.0, 196.0)
    heights = {payment.tx.txid: 135.0, payment.block.vtx[0].txid: 219.0}
    assert len(payment.after) == len(tops)
    for i, (outpoint, out) in enumerate(payment.after):
        coin(right, tops[i], outpoint, out, "accent-box")
        canvas.arrow(middle + wide, heights[outpoint.txid], right, tops[i] + high / 2, "accent")
    rest(right, 256)
    return canvas.finish(
        "utxo",
        308,
        "The UTXO set before and after a payment",
        f"Block {payment.height + 1} takes your coin of {amount(spent[1].value)} out of the set and puts in "
        + ", ".join(amount(out.value) for _, out in payment.after)
        + f"; {payment.others} other coins stay.",
    )


# A merkle tree and a proof


async def block_with_payments(node: BitcoinNode, payments: int) -> Block:
    wallet = await node.wallet()
    await node.fund(wallet, 20)
    for n in range(payments):
        await wallet.pay(node.network.faucet.address, n + 1)
    (block_hash,) = await node.mine()
    return Block.decode(bytes.fromhex(await node.rpc.getblock(block_hash, 0)))


def draw_merkle(block: Block, proved: int) -> str:
    canvas, wide, high = Canvas([]), 104.0, 40.0
    leaves = block.txids()
    proof = PartialMerkleTree.build(leaves, [i == proved for i in range(len(leaves))])
    root, matches = proof.extract()
    assert root == block.header.merkle_root and matches == [(proved, leaves[proved])]
    levels = [leaves]
    while len(row := levels[-1]) > 1:
        levels.append([sha256d(row[i] + row[min(i + 1, len(row) - 1)]) for i in range(0, len(row), 2)])
    step = (WIDTH - 48 - wide) / (len(leaves) - 1)
    centres = [[24 + wide / 2 + i * step for i in range(len(leaves))]]
    for row in levels[1:]:
        below = centres[-1]
        pairs = [below[2 * i : 2 * i + 2] for i in range(len(row))]
        centres.append([sum(pair) / len(pair) for pair in pairs])
    top = 62.0

    def y_of(level: int) -> float:
        return top + (len(levels) - 1 - level) * 76

    on_way = {(level, proved >> level) for level in range(len(levels))}
    for level in range(1, len(levels)):
        for i, x in enumerate(centres[level]):
            for child in (2 * i, 2 * i + 1):
                kind = "accent" if {(level, i), (level - 1, child)} <= on_way else ""
                if child < len(levels[level - 1]):
                    canvas.line(centres[level - 1][child], y_of(level - 1), x, y_of(level) + high, kind)
                else:
                    canvas.line(x + 10, y_of(level - 1), x + 10, y_of(level) + high, "twice")
                    canvas.text(x + 18, y_of(level) + high + 22, "twice", "quiet")
    for level, row in enumerate(levels):
        for i, digest in enumerate(row):
            given = digest in proof.hashes
            kind = "accent-box" if given else "path-box" if (level, i) in on_way else "box"
            x, y = centres[level][i], y_of(level)
            canvas.box(x - wide / 2, y, wide, high, kind)
            canvas.text(x, y + 25, f"{hash_hex(digest)[:10]}…", "mono", "middle")
    for i, x in enumerate(centres[0]):
        name = "coinbase" if i == 0 else f"transaction {i}"
        canvas.text(x, y_of(0) + high + 20, name, "accent" if i == proved else "quiet", "middle")
    canvas.text(
        centres[-1][0] + wide / 2 + 14, y_of(len(levels) - 1) + 25, "the root, in the header", "quiet"
    )
    canvas.text(
        24, 36, f"Five transactions, and the {len(proof.hashes)} hashes that prove one of them", "title"
    )
    legend = y_of(0) + high + 52
    for x, kind, words in (
        (24, "accent-box", "in the proof"),
        (154, "path-box", "computed from it"),
        (314, "box", "not needed"),
    ):
        canvas.box(x, legend - 12, 22, 15, kind)
        canvas.text(x + 30, legend, words, "quiet")
    return canvas.finish(
        "merkle",
        legend + 22,
        "A merkle tree of five transactions",
        f"Hashes are joined in pairs up to the root. {len(proof.hashes)} of them prove that transaction "
        f"{proved} is in the block; the path from it to the root is computed.",
    )


# Blocks in a row


def draw_chain(blocks: Sequence[Block], first_height: int) -> str:
    canvas, wide, gap = Canvas([]), 200.0, 36.0
    for i, block in enumerate(blocks):
        x, header = 24 + i * (wide + gap), block.header
        canvas.text(x, 34, f"block {first_height + i}", "title")
        canvas.text(x, 54, f"{hash_hex(block.hash)[:22]}…", "mono accent")
        canvas.box(x, 68, wide, 136)
        rows = (
            ("version", f"{header.version:x}"),
            ("before", f"{hash_hex(header.prev_hash)[:15]}…"),
            ("root", f"{hash_hex(header.merkle_root)[:15]}…"),
            ("time", str(header.time)),
            ("bits", f"{header.bits:x}"),
            ("nonce", str(header.nonce)),
        )
        for n, (name, value) in enumerate(rows):
            y = 90 + n * 20
            canvas.text(x + 10, y, name, "quiet")
            canvas.text(x + 66, y, value, "mono accent" if name == "before" else "mono")
        canvas.box(x, 216, wide, 36)
        count = len(block.vtx)
        words = f"{count} transaction{'' if count == 1 else 's'}, {len(block.raw) - 81:,} bytes"
        canvas.text(x + 10, 239, words, "quiet")
        canvas.line(x + wide / 2, 204, x + wide / 2, 216)
        if i:
            canvas.arrow(x, 106, x - gap + 2, 50, "accent")
    return canvas.finish(
        "chain",
        274,
        "Three blocks in a row",
        "Each header holds the hash of the header before: "
        + ", ".join(f"block {first_height + i} is {hash_hex(b.hash)[:16]}…" for i, b in enumerate(blocks)),
    )


# A fork


async def fork(node: BitcoinNode) -> None:
    """One block gives way to two others, at the heights of stop 8."""
    await node.mine(104)
    await node.reorg(depth=1, length=2)


def draw_fork(headers: Any, statuses: dict[bytes, str]) -> str:
    canvas, wide, high, step = Canvas([]), 132.0, 62.0, 176.0
    (branch,) = branches_of(headers, statuses)
    main: list[HeaderNode] = headers.chain[branch.fork.height - 1 :]

    def x_of(node: HeaderNode) -> float:
        return 24 + (node.height - main[0].height) * step

    def block(node: HeaderNode, y: float, kind: str) -> None:
        x = x_of(node)
        canvas.box(x, y, wide, high, kind)
        canvas.text(x + 10, y + 19, f"block {node.height}")
        canvas.text(x + 10, y + 36, f"{hash_hex(node.hash)[:14]}…", "mono quiet")
        canvas.text(x + 10, y + 53, f"work so far {node.chainwork}", "quiet")

    upper, lower = 56.0, 150.0
    for one, other in pairwise(main):
        canvas.arrow(x_of(other), lower + high / 2, x_of(one) + wide, lower + high / 2, "accent")
    for node in branch.blocks:
        y = upper + high / 2
        below = lower + high / 2 if node.prev is branch.fork else y
        assert node.prev is not None
        canvas.arrow(x_of(node), y, x_of(node.prev) + wide, below - (12 if below != y else 0))
        block(node, upper, "box")
    for node in main:
        block(node, lower, "accent-box")
    last = branch.blocks[-1]
    canvas.text(24, 34, "Two blocks at one height", "title")
    canvas.text(x_of(last) + wide + 14, upper + 28, "was the tip once, now")
    canvas.text(x_of(last) + wide + 14, upper + 46, f"a branch: {branch.status}")
    canvas.text(x_of(main[-1]), lower + high + 24, "the tip: most work", "accent")
    return canvas.finish(
        "fork",
        lower + high + 44,
        "A fork of the chain",
        f"From block {branch.fork.height} two chains go on. The one up to block {main[-1].height} has work "
        f"{main[-1].chainwork} and wins over the one up to {last.height} with {last.chainwork}.",
    )


# What two nodes say to each other


@dataclass(slots=True)
class Said:
    """A message, seen from the new node."""

    incoming: bool
    command: str
    message: Any
    size: int


async def first_talk(network: BitcoinNetwork) -> list[list[Said]]:
    """What a new node and an old one say until it has all blocks; and when one more is found."""
    old = network["old"]
    new = await network.add_node("new", chain="genesis")
    said: list[Said] = []

    def note(peer: str, incoming: bool, command: str, payload: bytes) -> None:
        said.append(Said(incoming, command, m.decode_message(command, payload), len(payload)))

    new.engine.node.peers.options.capture = note  # type: ignore[attr-defined]
    await network.connect(new, old)
    await network.wait_for_sync()
    first = list(said)
    await old.mine()
    await network.wait_for_sync()
    return [first, said[len(first) :]]


_BY_THE_WAY = {"ping", "pong", "feefilter", "getaddr", "sendheaders", "addrv2", "addr", "inv", "sendcmpct"}


def told(talk: Sequence[Sequence[Said]]) -> Iterable[tuple[str, bool | None, str, str]]:
    """Rows of the picture: (section, whether it came in (None: a note), commands, words)."""
    first, later = ([said for said in part if said.command not in _BY_THE_WAY] for part in talk)
    for incoming in (False, True):
        version = next(s.message for s in first if s.command == "version" and s.incoming is incoming)
        words = f"I am at height {version.start_height}"
        yield "shaking hands", incoming, "version", words
    for incoming in (False, True):
        names = [s.command for s in first if s.incoming is incoming]
        greeting = names[1 : names.index("verack") + 1]
        yield "shaking hands", incoming, ", ".join(greeting), ""
    question = next(s for s in first if s.command == "getheaders" and not s.incoming)
    assert question.message.locator == [regtest().genesis.hash]
    yield "headers first", False, "getheaders", "I have block 0 only"
    answer = next(s for s in first if s.command == "headers" and s.incoming)
    count = len(answer.message.headers)
    yield "headers first", True, "headers", f"{count} headers, {answer.size:,} bytes"
    asked = [s for s in first if s.command == "getdata"]
    came = [s for s in first if s.command == "block"]
    window = len(asked[0].message.items)
    heights = {header.hash: n + 1 for n, header in enumerate(answer.message.headers)}
    yield "then the blocks", False, "getdata", f"blocks 1 to {window}, please"
    yield "then the blocks", True, "block", f"block {heights[came[0].message.block.hash]}"
    yield "then the blocks", False, "getdata", f"block {heights[asked[1].message.items[0].hash]}"
    yield "then the blocks", None, "", f"and so on: {len(came)} blocks, {window} on their way at a time"
    assert [(s.incoming, s.command) for s in later] == [(True, "cmpctblock")]
    yield "a block is found", True, "cmpctblock", f"block {count + 1}, payments by short names"


def draw_talk(talk: Sequence[Sequence[Said]]) -> str:
    canvas, left, right = Canvas([]), 186.0, 560.0
    y, section = 76.0, ""
    canvas.text(left, 34, "a new node", "title", "middle")
    canvas.text(right, 34, "its peer", "title", "middle")
    rows: list[tuple[float, bool | None, str, str]] = []
    for part, incoming, commands, words in told(talk):
        if part != section:
            y += 20 if section else 0
            canvas.text(24, y + 4, part, "quiet")
            section = part
        rows.append((y, incoming, commands, words))
        y += 34
    for x in (left, right):
        canvas.line(x, 46, x, y - 12)
    for y_row, incoming, commands, words in rows:
        if incoming is None:
            canvas.text((left + right) / 2, y_row + 2, words, "quiet", "middle")
            continue
        one, other = (right, left) if incoming else (left, right)
        canvas.arrow(one, y_row, other, y_row, "accent" if incoming else "")
        canvas.text(left + 16, y_row - 6, commands, "mono")
        canvas.text(right - 16, y_row - 6, words, "quiet", "end")
    return canvas.finish(
        "messages",
        y + 6,
        "What a new node and its peer say to each other",
        "; ".join(
            f"{'the peer' if incoming else 'the new node'}: {commands} ({words})" if commands else words
            for _, incoming, commands, words in told(talk)
        ),
    )


# All of them


async def _draw_all() -> dict[str, str]:
    drawn = {}
    async with BitcoinNetwork(1) as network:
        (node,) = network.nodes
        await node.mine(100)  # heights are those of the page
        drawn["utxo.svg"] = draw_coins(await pay(node))
        heights = range(201, 204)
        hashes = [await node.rpc.getblockhash(height) for height in heights]
        raws = [await node.rpc.getblock(block_hash, 0) for block_hash in hashes]
        drawn["chain.svg"] = draw_chain([Block.decode(bytes.fromhex(raw)) for raw in raws], heights[0])
        drawn["merkle.svg"] = draw_merkle(await block_with_payments(node, 4), 2)
    async with BitcoinNetwork(1) as network:
        (node,) = network.nodes
        await fork(node)
        tips = await node.rpc.getchaintips()
        statuses = {hash_from_hex(tip["hash"]): tip["status"] for tip in tips}
        drawn["fork.svg"] = draw_fork(node.engine.node.chain.headers, statuses)  # type: ignore[attr-defined]
    async with BitcoinNetwork(["old"], topology="none") as network:
        drawn["messages.svg"] = draw_talk(await first_talk(network))
    return drawn


def draw_all() -> dict[str, str]:
    """Each picture by the name of its file."""
    return asyncio.run(_draw_all())
