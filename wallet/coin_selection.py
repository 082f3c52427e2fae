"""Which coins to spend: branch and bound for a spend without change, knapsack, and a single random draw.

The one with the least waste wins. Waste: what spending the inputs now costs more than spending them at the
long-term feerate, plus the cost of change, or what is overpaid without change. Amounts are satoshis; an
effective value is a coin's value less the fee for its input. Core: src/wallet/coinselection.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from pybitcoind.chain.ports import Random
from pybitcoind.chain.primitives.transaction import OutPoint, TxOut

from .fees import InputSize, fee_for

BRANCH_AND_BOUND_TRIES = 100_000
KNAPSACK_WORK = 100_000
"""Coins looked at by one approximation: rounds times coins."""
KNAPSACK_ROUNDS = 1000
CHANGE_LOWER, CHANGE_UPPER = 50_000, 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class SpendableCoin:
    """A coin of ours. depth: confirmations. size: of the input that spends it, None if we cannot.

    safe: ours to rely on. from_me: we made its transaction. solvable: size is known.
    """

    outpoint: OutPoint
    txout: TxOut
    depth: int
    size: InputSize | None
    safe: bool
    from_me: bool
    time: int
    kind: str
    """Output type, for spends that do not mix them."""

    @property
    def value(self) -> int:
        return self.txout.value

    @property
    def solvable(self) -> bool:
        return self.size is not None


@dataclass(frozen=True, slots=True)
class SelectionCosts:
    """Feerates and the costs of a change output. max_weight: of all inputs together.

    min_change: what a selection with change aims at above the target; min_viable_change: the least that a
    change output may hold. subtract_fee: the recipients pay, so coins count with their whole value.
    """

    feerate: int
    long_term_feerate: int
    cost_of_change: int
    change_fee: int
    min_change: int
    min_viable_change: int
    max_weight: int
    subtract_fee: bool = False

    def amount(self, coin: SpendableCoin) -> int:
        """What coin brings."""
        return coin.value if self.subtract_fee else self.effective(coin)

    def effective(self, coin: SpendableCoin) -> int:
        assert coin.size is not None
        return coin.value - fee_for(self.feerate, coin.size.vsize)

    def timing_waste(self, coin: SpendableCoin) -> int:
        assert coin.size is not None
        return fee_for(self.feerate, coin.size.vsize) - fee_for(self.long_term_feerate, coin.size.vsize)


@dataclass(frozen=True, slots=True)
class Selection:
    """Coins chosen by an algorithm; waste and change in satoshis."""

    coins: list[SpendableCoin]
    algorithm: str
    waste: int
    change: int
    """0 where there is none."""


class TooHeavy(Exception):
    """Coins would do, but not within the weight that a transaction may have."""


def change_target(payment: int, change_fee: int, random: Random) -> int:
    """What change should hold: a random amount, so that it does not show which output it is."""
    if payment <= CHANGE_LOWER // 2:
        return change_fee + CHANGE_LOWER
    upper = min(payment * 2, CHANGE_UPPER)
    return change_fee + random.below(upper - CHANGE_LOWER) + CHANGE_LOWER


def select(
    coins: Sequence[SpendableCoin], target: int, costs: SelectionCosts, random: Random
) -> Selection | None:
    """The least wasteful selection worth target; None if coins do not suffice. Raises TooHeavy."""
    usable = [coin for coin in coins if costs.amount(coin) > 0]
    found: list[Selection] = []
    too_heavy = False
    if not costs.subtract_fee:
        exact = branch_and_bound(usable, target, costs)
        if exact is not None:
            found.append(exact)
    change_costs = 0 if costs.subtract_fee else costs.change_fee
    for algorithm in (knapsack, single_random_draw):
        chosen = algorithm(usable, target + change_costs, costs, random)
        if chosen is None:
            continue
        if _weight(chosen) > costs.max_weight:
            too_heavy = True
            continue
        found.append(_judged(chosen, target, costs, algorithm.__name__))
    if not found and too_heavy:
        raise TooHeavy
    return min(found, key=lambda each: (each.waste, -len(each.coins)), default=None)


def _judged(coins: list[SpendableCoin], target: int, costs: SelectionCosts, algorithm: str) -> Selection:
    excess = sum(costs.amount(coin) for coin in coins) - target
    change = excess - (0 if costs.subtract_fee else costs.change_fee)
    if change < costs.min_viable_change:
        change = 0
    waste = sum(costs.timing_waste(coin) for coin in coins)
    waste += costs.cost_of_change if change else (0 if costs.subtract_fee else excess)
    return Selection(coins, algorithm, waste, change)


def _weight(coins: Sequence[SpendableCoin]) -> int:
    return sum(coin.size.weight for coin in coins if coin.size is not None)


def branch_and_bound(coins: Sequence[SpendableCoin], target: int, costs: SelectionCosts) -> Selection | None:
    """The least wasteful set worth target and at most the cost of change more, so that none is needed.

    Depth first over coins by descending value, each taken first and then left out. A branch ends where it is
    too much, or where all that is left would not suffice; after a coin is left out, equal ones are too.
    """
    order = sorted(coins, key=lambda coin: (-costs.effective(coin), coin.outpoint))
    values = [costs.effective(coin) for coin in order]
    wastes = [costs.timing_waste(coin) for coin in order]
    weights = [_weight([coin]) for coin in order]
    left = sum(values)
    if left < target:
        return None
    limit = target + costs.cost_of_change
    dear = bool(wastes) and wastes[0] > 0
    taken: list[int] = []
    best: list[int] | None = None
    best_waste = 0
    value = waste = weight = 0
    position = 0
    for _ in range(BRANCH_AND_BOUND_TRIES):
        back = False
        too_much = value > limit or weight > costs.max_weight
        hopeless = best is not None and dear and waste > best_waste
        if too_much or hopeless or value + left < target:
            back = True
        elif value >= target:
            total = waste + value - target
            if best is None or total <= best_waste:
                best, best_waste = list(taken), total
            back = True
        if back or position >= len(order):
            if not taken:
                break
            position -= 1
            while position > taken[-1]:
                left += values[position]
                position -= 1
            taken.pop()
            value -= values[position]
            waste -= wastes[position]
            weight -= weights[position]
            position += 1
            continue
        left -= values[position]
        previous = position - 1
        skipped_equal = (
            position > 0
            and (not taken or taken[-1] != previous)
            and values[position] == values[previous]
            and wastes[position] == wastes[previous]
        )
        if not skipped_equal:
            taken.append(position)
            value += values[position]
            waste += wastes[position]
            weight += weights[position]
        position += 1
    if best is None:
        return None
    return Selection([order[i] for i in best], "bnb", best_waste, 0)


def single_random_draw(
    coins: Sequence[SpendableCoin], target: int, costs: SelectionCosts, random: Random
) -> list[SpendableCoin] | None:
    """Coins in random order until target and a change of some size are reached.

    Where that gets too heavy, the least valuable of those taken go again.
    """
    goal = target + CHANGE_LOWER
    taken: list[tuple[int, int, SpendableCoin]] = []
    total = weight = 0
    for n, coin in enumerate(random.shuffled(coins)):
        amount = costs.amount(coin)
        heappush(taken, (amount, n, coin))
        total += amount
        weight += _weight([coin])
        while weight > costs.max_weight:
            amount, _, least = heappop(taken)
            total -= amount
            weight -= _weight([least])
        if total >= goal:
            return [coin for _, _, coin in taken]
    return None


def knapsack(
    coins: Sequence[SpendableCoin], target: int, costs: SelectionCosts, random: Random
) -> list[SpendableCoin] | None:
    """A set near target: an exact one, else the smallest larger coin or the best of many random subsets."""
    smaller: list[SpendableCoin] = []
    larger: SpendableCoin | None = None
    for coin in random.shuffled(coins):
        amount = costs.amount(coin)
        if amount == target:
            return [coin]
        if amount < target + costs.min_change:
            smaller.append(coin)
        elif larger is None or amount < costs.amount(larger):
            larger = coin
    total = sum(costs.amount(coin) for coin in smaller)
    if total == target:
        return smaller
    if total < target:
        return None if larger is None else [larger]
    smaller.sort(key=lambda coin: -costs.amount(coin))
    amounts = [costs.amount(coin) for coin in smaller]
    chosen, best = _approximate(amounts, total, target, random)
    if best != target and total >= target + costs.min_change:
        chosen, best = _approximate(amounts, total, target + costs.min_change, random)
    if larger is not None:
        near = best != target and best < target + costs.min_change
        if near or costs.amount(larger) <= best:
            return [larger]
    return [coin for coin, use in zip(smaller, chosen, strict=True) if use]


def _approximate(amounts: Sequence[int], total: int, target: int, random: Random) -> tuple[list[bool], int]:
    """The subset with the least sum of at least target that some random rounds find; all of them at worst."""
    best, best_sum = [True] * len(amounts), total
    rounds = min(KNAPSACK_ROUNDS, max(10, KNAPSACK_WORK // max(1, len(amounts))))
    for _ in range(rounds):
        if best_sum == target:
            break
        included = [False] * len(amounts)
        current = 0
        bits = int.from_bytes(random.bytes((len(amounts) + 7) // 8), "big")
        for fill_up in (False, True):
            reached = False
            for i, amount in enumerate(amounts):
                if included[i] or not (fill_up or bits >> i & 1):
                    continue
                current += amount
                included[i] = True
                if current >= target:
                    reached = True
                    if current < best_sum:
                        best, best_sum = list(included), current
                    current -= amount
                    included[i] = False
            if reached:
                break
    return best, best_sum
