"""The graph of unconfirmed transactions: clusters of dependent ones, each linearised into chunks.

It knows ids, fees, weights and dependencies, and nothing of scripts or coins. Linearising is put off until
somebody asks for an order, so that accepting a transaction costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from .linearize import feerate_key, linearize


class Chunk(NamedTuple):
    """Transactions mined together, in order. fee: with deltas, satoshis; weight: adjusted for sigops."""

    fee: int
    weight: int
    txids: tuple[bytes, ...]


class Candidate(NamedTuple):
    """A transaction that is not in the graph yet. parents: txids in the graph or among the candidates."""

    txid: bytes
    fee: int
    weight: int
    parents: Sequence[bytes]


class _Cluster:
    __slots__ = ("chunks", "members", "retired", "weight")

    def __init__(self) -> None:
        self.members: dict[bytes, None] = {}
        self.weight = 0
        self.chunks: list[Chunk] | None = None
        self.retired = False


class _Node:
    __slots__ = ("children", "cluster", "fee", "parents", "weight")

    def __init__(self, fee: int, weight: int, cluster: _Cluster) -> None:
        self.fee, self.weight, self.cluster = fee, weight, cluster
        self.parents: dict[bytes, None] = {}
        self.children: dict[bytes, None] = {}


def _chunks_of(nodes: Sequence[Candidate]) -> list[Chunk]:
    """Chunks of one cluster given as candidates whose parents are all among them."""
    rows = sorted(nodes)  # by txid: between equals the lower one goes first, as in Core
    index = {row.txid: i for i, row in enumerate(rows)}
    order = linearize(
        [row.fee for row in rows],
        [row.weight for row in rows],
        [[index[p] for p in row.parents] for row in rows],
    )
    return [
        Chunk(
            sum(rows[i].fee for i in part),
            sum(rows[i].weight for i in part),
            tuple(rows[i].txid for i in part),
        )
        for part in order
    ]


class ClusterGraph:
    """add, remove, and ask for chunks. Every txid handed in is in the graph, unless said otherwise."""

    def __init__(self, max_count: int, max_weight: int) -> None:
        self.max_count, self.max_weight = max_count, max_weight
        self._nodes: dict[bytes, _Node] = {}
        self._dirty: dict[_Cluster, None] = {}
        self._worst: list[tuple[int, int, int, _Cluster, list[Chunk]]] = []
        self._serial = 0

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, txid: bytes) -> bool:
        return txid in self._nodes

    def add(self, txid: bytes, fee: int, weight: int, parents: Iterable[bytes]) -> None:
        cluster = _Cluster()
        cluster.members[txid] = None
        cluster.weight = weight
        self._nodes[txid] = _Node(fee, weight, cluster)
        self._dirty[cluster] = None
        for parent in parents:
            self.add_dependency(parent, txid)

    def add_dependency(self, parent: bytes, child: bytes) -> None:
        above, below = self._nodes[parent], self._nodes[child]
        above.children[child] = None
        below.parents[parent] = None
        into, other = above.cluster, below.cluster
        if into is other:
            self._touch(into)
            return
        if len(into.members) < len(other.members):
            into, other = other, into
        for txid in other.members:
            self._nodes[txid].cluster = into
        into.members.update(other.members)
        into.weight += other.weight
        self._retire(other)
        self._touch(into)

    def remove(self, txids: Collection[bytes]) -> None:
        """Takes them out at once; what hung together only by them falls into clusters of its own."""
        touched: dict[_Cluster, None] = {}
        for txid in txids:
            node = self._nodes.pop(txid)
            for parent in node.parents:
                if parent in self._nodes:
                    del self._nodes[parent].children[txid]
            for child in node.children:
                if child in self._nodes:
                    del self._nodes[child].parents[txid]
            del node.cluster.members[txid]
            touched[node.cluster] = None
        for cluster in touched:
            self._retire(cluster)
            left = dict(cluster.members)
            while left:
                start = next(iter(left))
                part = _Cluster()
                part.members[start] = None
                for txid in (queue := [start]):
                    del left[txid]
                    node = self._nodes[txid]
                    node.cluster = part
                    part.weight += node.weight
                    for near in (*node.parents, *node.children):
                        if near not in part.members:
                            part.members[near] = None
                            queue.append(near)
                self._dirty[part] = None

    def set_fee(self, txid: bytes, fee: int) -> None:
        node = self._nodes[txid]
        node.fee = fee
        self._touch(node.cluster)

    def parents(self, txid: bytes) -> list[bytes]:
        return list(self._nodes[txid].parents)

    def children(self, txid: bytes) -> list[bytes]:
        return list(self._nodes[txid].children)

    def ancestors(self, txids: Iterable[bytes]) -> list[bytes]:
        """txids and all they spend from, nearest first."""
        seen = dict.fromkeys(txids)
        for txid in (queue := list(seen)):
            for parent in self._nodes[txid].parents:
                if parent not in seen:
                    seen[parent] = None
                    queue.append(parent)
        return list(seen)

    def descendants(self, txids: Iterable[bytes]) -> list[bytes]:
        """txids and all that spend from them, nearest first."""
        seen = dict.fromkeys(txids)
        for txid in (queue := list(seen)):
            for child in self._nodes[txid].children:
                if child not in seen:
                    seen[child] = None
                    queue.append(child)
        return list(seen)

    def cluster_chunks(self, txid: bytes) -> list[Chunk]:
        """The chunks of txid's cluster, best first."""
        return self._linearized(self._nodes[txid].cluster)

    def cluster_count(self, txid: bytes) -> int:
        return len(self._nodes[txid].cluster.members)

    def count_clusters(self, txids: Iterable[bytes]) -> int:
        """How many distinct clusters hold txids."""
        return len({id(self._nodes[txid].cluster) for txid in txids})

    def chunk_of(self, txid: bytes) -> Chunk:
        return next(chunk for chunk in self.cluster_chunks(txid) if txid in chunk.txids)

    def chunks(self) -> list[Chunk]:
        """All chunks, best first: by feerate, by what stands before them at that feerate, by txid."""
        clusters = {id(node.cluster): node.cluster for node in self._nodes.values()}
        rows: list[tuple[int, int, bytes, Chunk]] = []
        for cluster in clusters.values():
            prefix, last = 0, None
            for chunk in self._linearized(cluster):
                key = feerate_key(chunk.fee, chunk.weight)
                prefix = prefix + chunk.weight if key == last else chunk.weight
                last = key
                rows.append((-key, prefix, max(chunk.txids), chunk))
        rows.sort(key=lambda row: row[:3])
        return [row[3] for row in rows]

    def worst_chunk(self) -> Chunk:
        """The chunk with the lowest feerate; nothing outside it depends on it. The graph is not empty."""
        for cluster in list(self._dirty):
            if not cluster.retired:
                self._linearized(cluster)
        while not self._current(self._worst[0]):
            heappop(self._worst)
        return self._worst[0][4][-1]

    def fits(self, added: Sequence[Candidate], without: Collection[bytes] = ()) -> bool:
        """Whether no cluster grows too large by added, once the transactions in without are gone."""
        new = {row.txid: row for row in added}
        spent_by: dict[bytes, list[bytes]] = {}
        for row in added:
            for parent in row.parents:
                spent_by.setdefault(parent, []).append(row.txid)
        gone = set(without)
        done: set[bytes] = set()
        for row in added:
            if row.txid in done:
                continue
            seen = {row.txid: None}
            weight = 0
            for txid in (queue := [row.txid]):
                near: list[bytes] = list(spent_by.get(txid, ()))
                if txid in new:
                    weight += new[txid].weight
                    near += new[txid].parents
                else:
                    node = self._nodes[txid]
                    weight += node.weight
                    near += (*node.parents, *node.children)
                for other in near:
                    if other not in seen and other not in gone:
                        seen[other] = None
                        queue.append(other)
                if len(seen) > self.max_count or weight > self.max_weight:
                    return False
            done.update(seen)
        return True

    def diagrams(
        self, added: Sequence[Candidate], removed: Collection[bytes]
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(fee, weight) of the chunks of all touched clusters, before and after the change, best first."""
        new_ids = {row.txid for row in added}
        touched: dict[int, _Cluster] = {}
        for txid in (*removed, *(p for row in added for p in row.parents if p not in new_ids)):
            cluster = self._nodes[txid].cluster
            touched[id(cluster)] = cluster
        old = [chunk for cluster in touched.values() for chunk in self._linearized(cluster)]
        trial = ClusterGraph(self.max_count, self.max_weight)
        gone = set(removed)
        kept = [txid for cluster in touched.values() for txid in cluster.members if txid not in gone]
        for txid in kept:
            node = self._nodes[txid]
            trial.add(txid, node.fee, node.weight, ())
        for txid in kept:
            for parent in self._nodes[txid].parents:
                if parent not in gone:
                    trial.add_dependency(parent, txid)
        for row in added:
            trial.add(row.txid, row.fee, row.weight, [p for p in row.parents if p not in gone])
        return _diagram(old), _diagram(trial.chunks())

    def trim_oversized(self) -> list[bytes]:
        """What to remove, with all that depends on it, so that every cluster is within its limits.

        After a reorganisation only: dependencies on what came back may join clusters. The transactions are
        taken up best feerate first, parents before children; one that would make its part too large goes.
        """
        clusters = {id(node.cluster): node.cluster for node in self._nodes.values()}
        dropped: list[bytes] = []
        for cluster in clusters.values():
            if len(cluster.members) > self.max_count or cluster.weight > self.max_weight:
                dropped += self._trim(cluster)
        return dropped

    def _trim(self, cluster: _Cluster) -> list[bytes]:
        nodes = self._nodes
        waiting = {txid: len(nodes[txid].parents) for txid in cluster.members}
        ready = [
            (-feerate_key(nodes[txid].fee, nodes[txid].weight), txid) for txid, n in waiting.items() if n == 0
        ]
        heapify(ready)
        part = {txid: txid for txid in cluster.members}
        totals = {txid: (1, nodes[txid].weight) for txid in cluster.members}

        def root(txid: bytes) -> bytes:
            while part[txid] != txid:
                part[txid] = part[part[txid]]
                txid = part[txid]
            return txid

        dropped: dict[bytes, None] = {}
        while ready:
            _, txid = heappop(ready)
            node = nodes[txid]
            if txid not in dropped:
                roots = {root(near) for near in (txid, *node.parents)}
                count = sum(totals[r][0] for r in roots)
                weight = sum(totals[r][1] for r in roots)
                if count > self.max_count or weight > self.max_weight:
                    dropped.update(dict.fromkeys(self.descendants([txid])))
                else:
                    for other in roots:
                        part[other] = txid
                    part[txid] = txid
                    totals[txid] = (count, weight)
            for child in node.children:
                waiting[child] -= 1
                if waiting[child] == 0:
                    heappush(ready, (-feerate_key(nodes[child].fee, nodes[child].weight), child))
        return list(dropped)

    def _touch(self, cluster: _Cluster) -> None:
        cluster.chunks = None
        self._dirty[cluster] = None

    def _retire(self, cluster: _Cluster) -> None:
        cluster.retired = True
        cluster.chunks = None
        self._dirty.pop(cluster, None)

    def _linearized(self, cluster: _Cluster) -> list[Chunk]:
        if cluster.chunks is None:
            rows = []
            for txid in cluster.members:
                node = self._nodes[txid]
                rows.append(Candidate(txid, node.fee, node.weight, tuple(node.parents)))
            cluster.chunks = _chunks_of(rows)
            self._dirty.pop(cluster, None)
            worst = cluster.chunks[-1]
            self._serial += 1
            if len(self._worst) > 64 + 2 * len(self._nodes):
                self._worst = [row for row in self._worst if self._current(row)]
                heapify(self._worst)
            # after equal feerates the larger one goes first, as the order of mining has it last
            heappush(
                self._worst,
                (feerate_key(worst.fee, worst.weight), -worst.weight, self._serial, cluster, cluster.chunks),
            )
        return cluster.chunks

    def _current(self, row: tuple[int, int, int, _Cluster, list[Chunk]]) -> bool:
        return row[3].chunks is row[4]


def _diagram(chunks: list[Chunk]) -> list[tuple[int, int]]:
    rows = [(chunk.fee, chunk.weight) for chunk in chunks]
    rows.sort(key=lambda row: -feerate_key(*row))
    return rows
