"""Coin selection: exact matches, the least waste, limits; the same seed gives the same choice."""

from __future__ import annotations

from itertools import combinations

import pytest
from ports import TestRandom

from pybitcoind.chain.primitives.transaction import OutPoint, TxOut
from pybitcoind.wallet.coin_selection import (
    SelectionCosts,
    SpendableCoin,
    TooHeavy,
    branch_and_bound,
    change_target,
    knapsack,
    select,
    single_random_draw,
)
from pybitcoind.wallet.fees import InputSize

SIZE = InputSize(41, 108)  # 68 vbytes
COSTS = SelectionCosts(
    feerate=1000,
    long_term_feerate=10_000,
    cost_of_change=31 + 680,
    change_fee=31,
    min_change=50_031,
    min_viable_change=681,
    max_weight=390_000,
)
INPUT_FEE = 68


def coin(value: int, n: int = 0) -> SpendableCoin:
    return SpendableCoin(
        OutPoint(bytes(32), n), TxOut(value, b"\x00\x14" + bytes(20)), 10, SIZE, True, True, 0, "bech32"
    )


def coins(*effective: int) -> list[SpendableCoin]:
    """Coins that are worth so much after the fee of their input."""
    return [coin(value + INPUT_FEE, n) for n, value in enumerate(effective)]


def worth(chosen: list[SpendableCoin]) -> int:
    return sum(each.value - INPUT_FEE for each in chosen)


def test_branch_and_bound_finds_the_exact_set() -> None:
    pool = coins(100_000, 200_000, 300_000, 400_000, 550_000)
    selection = branch_and_bound(pool, 950_000, COSTS)
    assert selection is not None and worth(selection.coins) == 950_000 and selection.change == 0
    assert branch_and_bound(pool, 2_000_000, COSTS) is None
    assert branch_and_bound(coins(100_000, 250_000), 120_000, COSTS) is None


@pytest.mark.parametrize("dear", [False, True])
def test_branch_and_bound_finds_the_best_of_all_sets(dear: bool) -> None:
    costs = COSTS if not dear else SelectionCosts(20_000, 10_000, 2000, 620, 50_620, 681, 390_000)
    random = TestRandom(7)
    for _ in range(60):
        pool = [coin(random.below(40_000) // 100 * 100 + 30_000, n) for n in range(9)]
        target = 40_000 + random.below(120_000)
        wastes = []
        for size in range(1, 10):
            for some in combinations(pool, size):
                excess = sum(costs.effective(each) for each in some) - target
                if 0 <= excess <= costs.cost_of_change:
                    wastes.append(sum(costs.timing_waste(each) for each in some) + excess)
        found = branch_and_bound(pool, target, costs)
        assert (found is None) == (not wastes)
        if found is not None:
            assert found.waste == min(wastes)


def test_equal_coins_do_not_multiply_the_search() -> None:
    pool = coins(*[100_000] * 1000)
    assert branch_and_bound(pool, 50_050_000, COSTS) is None
    selection = branch_and_bound(pool, 50_000_000, COSTS)
    assert selection is not None and len(selection.coins) == 500


def test_a_selection_always_suffices_and_says_its_change() -> None:
    random = TestRandom(3)
    for _ in range(200):
        pool = coins(*(random.below(1_000_000) + 1 for _ in range(random.below(40) + 1)))
        target = random.below(2_000_000) + 1000
        selection = select(pool, target, COSTS, random)
        if selection is None:
            assert worth(pool) < target + COSTS.change_fee + 50_000
            continue
        excess = worth(selection.coins) - target
        assert excess >= 0
        if selection.change:
            assert selection.change == excess - COSTS.change_fee >= COSTS.min_viable_change
        else:
            assert excess < COSTS.min_viable_change + COSTS.change_fee
        assert len({each.outpoint for each in selection.coins}) == len(selection.coins)


def test_coins_that_cost_more_than_they_hold_are_left() -> None:
    pool = [coin(60, 0), coin(100_068, 1)]
    selection = select(pool, 90_000, COSTS, TestRandom())
    assert selection is not None and [each.value for each in selection.coins] == [100_068]


def test_knapsack_takes_the_smallest_larger_coin_or_an_exact_one() -> None:
    random = TestRandom()
    assert worth(knapsack(coins(10_000, 500_000, 300_000), 200_000, COSTS, random) or []) == 300_000
    assert worth(knapsack(coins(1, 2, 200_000, 5), 200_000, COSTS, random) or []) == 200_000
    assert knapsack(coins(1, 2), 200_000, COSTS, random) is None


def test_too_many_coins_are_too_heavy() -> None:
    costs = SelectionCosts(1000, 10_000, 711, 31, 50_031, 681, max_weight=272 * 3)
    with pytest.raises(TooHeavy):
        select(coins(*[100_000] * 20), 1_000_500, costs, TestRandom())
    draw = single_random_draw(coins(*[100_000] * 19, 900_000), 800_000, costs, TestRandom())
    assert draw is not None and len(draw) <= 3


def test_the_same_seed_gives_the_same_choice() -> None:
    pool = coins(*(TestRandom(9).below(10**6) + 5000 * n for n in range(60)))
    first, second = (select(pool, 3_000_000, COSTS, TestRandom(5)) for _ in range(2))
    assert first is not None and second is not None and first.coins == second.coins


def test_the_target_of_change_hides_which_output_it_is() -> None:
    random = TestRandom()
    assert change_target(20_000, 31, random) == 50_031
    seen = {change_target(10**8, 31, random) for _ in range(50)}
    assert len(seen) > 40 and min(seen) >= 50_031 and max(seen) < 1_000_031
