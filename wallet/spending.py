"""Paying: coins that may be spent, a transaction that pays exactly its fee, signed, and sent.

Core: src/wallet/spend.cpp; messages are its.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from pybitcoind.chain.policy.fee_calculation import FeeCalculation, FeeReason
from pybitcoind.chain.policy.feerate import format_money
from pybitcoind.chain.policy.settings import MAX_STANDARD_TX_WEIGHT
from pybitcoind.chain.policy.standard import dust_threshold
from pybitcoind.chain.primitives.transaction import MAX_MONEY, Transaction, TxIn, TxOut
from pybitcoind.chain.script.solver import solve

from .chain_client import NotBroadcast
from .coin_selection import (
    Selection,
    SelectionCosts,
    SpendableCoin,
    TooHeavy,
    change_target,
    select,
)
from .errors import WalletError, WalletFault
from .fees import (
    ChosenFeerate,
    InputSize,
    choose_feerate,
    discard_feerate,
    fee_for,
    input_size,
    required_feerate,
    tx_weight,
    vsize_of,
)
from .ledger import Inactive
from .settings import OUTPUT_TYPES
from .signing import sign_transaction
from .wallet import Reserved, Wallet

SEQUENCE_REPLACEABLE, SEQUENCE_NONFINAL = 0xFFFFFFFD, 0xFFFFFFFE
TRUC_VERSION = 3
ANTI_FEE_SNIPING_TIP_AGE = 8 * 60 * 60
MAX_CLUSTER = 64
NESTED_P2WPKH_INPUT = InputSize(64, 107)
"""What spending a change output of unknown kind is thought to take."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """subtract_fee: this one pays, or shares, the fee."""

    script: bytes
    amount: int
    subtract_fee: bool = False


@dataclass(frozen=True, slots=True)
class SpendOptions:
    """None: as the wallet's settings say. feerate: satoshis per 1000 vbytes."""

    feerate: int | None = None
    target: int | None = None
    conservative: bool | None = None
    replaceable: bool | None = None


@dataclass(frozen=True, slots=True)
class CoinFilter:
    """Which coins `available_coins` gives; amounts in satoshis."""

    min_depth: int = 0
    max_depth: int = 9_999_999
    only_safe: bool = True
    include_immature: bool = False
    include_locked: bool = False
    min_amount: int = 1
    max_amount: int = MAX_MONEY
    min_sum: int = MAX_MONEY
    max_count: int = 0
    any_version: bool = False
    """Also unconfirmed outputs of version 3 transactions, which have rules of their own."""


@dataclass(slots=True)
class Created:
    """A signed transaction that is not sent yet. change: place of the change output, None without one.

    reason: of the feerate, in Core's words.
    """

    tx: Transaction
    fee: int
    change: int | None
    reason: str


_SPENDABLE = CoinFilter()
_KINDS = {
    "pubkeyhash": "legacy",
    "pubkey": "legacy",
    "multisig": "legacy",
    "witness_v0_keyhash": "bech32",
    "witness_v0_scripthash": "bech32",
    "witness_v1_taproot": "bech32m",
}


def available_coins(wallet: Wallet, wanted: CoinFilter = _SPENDABLE) -> list[SpendableCoin]:
    """Our unspent outputs that wanted lets through, in the order we came to know them."""
    coins: list[SpendableCoin] = []
    total = 0
    for coin in _coins(wallet, wanted):
        coins.append(coin)
        total += coin.value
        if total >= wanted.min_sum or len(coins) == wanted.max_count:
            break
    return coins


def _coins(wallet: Wallet, wanted: CoinFilter) -> Iterator[SpendableCoin]:
    ledger, trust = wallet.ledger, wallet.trust()
    sizes: dict[bytes, tuple[InputSize | None, str]] = {}
    for outpoint, out in ledger.txos.items():
        wtx = ledger.txs[outpoint.txid]
        depth = ledger.depth(wtx)
        if depth < 0 or not wanted.min_depth <= depth <= wanted.max_depth:
            continue
        if depth == 0 and (not wtx.in_mempool or (wtx.tx.version == TRUC_VERSION and not wanted.any_version)):
            continue
        if not wanted.min_amount <= out.value <= wanted.max_amount:
            continue
        if ledger.immature(wtx) and not wanted.include_immature:
            continue
        if (outpoint in wallet.locked and not wanted.include_locked) or ledger.is_spent(outpoint):
            continue
        safe = trust(wtx)
        if depth == 0 and ("replaces_txid" in wtx.extra or "replaced_by_txid" in wtx.extra):
            safe = False
        if wanted.only_safe and not safe:
            continue
        script = out.script_pubkey
        if script not in sizes:
            ring = wallet.keyring([script])
            kind, solutions = solve(script)
            if kind == "scripthash":
                redeem = ring.redeem_script(solutions[0])
                nested = redeem is not None and solve(redeem)[0].startswith("witness")
                sizes[script] = input_size(script, ring), "p2sh-segwit" if nested else "legacy"
            else:
                sizes[script] = input_size(script, ring), _KINDS.get(kind, "unknown")
        size, kind = sizes[script]
        yield SpendableCoin(outpoint, out, depth, size, safe, ledger.from_me(wtx.tx), wtx.smart_time, kind)


# Choosing


def _eligible(wallet: Wallet, coins: Sequence[SpendableCoin]) -> Iterator[list[SpendableCoin]]:
    """Sets of coins to choose from, the most settled first; a larger one if a smaller does not suffice."""
    yield [coin for coin in coins if coin.depth >= (1 if coin.from_me else 6)]
    yield [coin for coin in coins if coin.depth >= 1]
    if wallet.settings.spend_zero_conf_change:
        for most in (2, 4, MAX_CLUSTER // 3, MAX_CLUSTER // 2, MAX_CLUSTER - 1):
            yield [
                coin
                for coin in coins
                if coin.depth >= 1 or (coin.from_me and _cluster_of(wallet, coin) <= most)
            ]
        if not wallet.settings.reject_long_chains:
            yield [coin for coin in coins if coin.depth >= 1 or coin.from_me]


def _cluster_of(wallet: Wallet, coin: SpendableCoin) -> int:
    family = wallet.client.mempool_family(coin.outpoint.txid)
    return 0 if family is None else family.cluster


def choose_coins(
    wallet: Wallet, coins: Sequence[SpendableCoin], target: int, costs: SelectionCosts
) -> Selection:
    """WalletError with Core's words if coins do not suffice."""
    random = wallet.ports.random
    too_heavy = False
    known = 0
    for eligible in _eligible(wallet, coins):
        if len(eligible) == known:  # each holds the one before
            continue
        known = len(eligible)
        single = []
        for kind in (*OUTPUT_TYPES, "unknown"):
            of_kind = [coin for coin in eligible if coin.kind == kind]
            try:
                selection = select(of_kind, target, costs, random) if of_kind else None
            except TooHeavy:
                too_heavy = True
                continue
            if selection is not None:
                single.append(selection)
        if single:
            return min(single, key=lambda each: each.waste)
        if len({coin.kind for coin in eligible}) == 1:
            continue
        try:
            mixed = select(eligible, target, costs, random)
        except TooHeavy:
            too_heavy = True
            continue
        if mixed is not None:
            return mixed
    if too_heavy:
        raise WalletError(
            "The inputs size exceeds the maximum weight. Please try sending a smaller amount or manually "
            "consolidating your wallet's UTXOs",
            WalletFault.INSUFFICIENT_FUNDS,
        )
    total = sum(costs.amount(coin) for coin in coins if costs.amount(coin) > 0)
    if total >= target:
        raise WalletError(
            "Unconfirmed UTXOs are available, but spending them creates a chain of transactions that will be "
            "rejected by the mempool",
            WalletFault.INSUFFICIENT_FUNDS,
        )
    raise WalletError("Insufficient funds", WalletFault.INSUFFICIENT_FUNDS)


# Creating


def _refuse(message: str) -> WalletError:
    return WalletError(message, WalletFault.INSUFFICIENT_FUNDS)


def _sat_per_vb(feerate: int) -> str:
    return f"{feerate // 1000}.{feerate % 1000:03d} sat/vB"


def change_type(wallet: Wallet, recipients: Sequence[Recipient]) -> str:
    """The output type of change: like what is paid, if we have it, so that it does not stand out."""
    if wallet.settings.change_type is not None:
        return wallet.settings.change_type
    if wallet.settings.address_type == "legacy":
        return "legacy"
    paid = {solve(recipient.script)[0] for recipient in recipients}
    has = {kind for kind in OUTPUT_TYPES if wallet.book.active(kind, True) is not None}
    if "bech32m" in has and "witness_v1_taproot" in paid:
        return "bech32m"
    if "bech32" in has and "witness_v0_keyhash" in paid:
        return "bech32"
    if "p2sh-segwit" in has and "scripthash" in paid:
        return "p2sh-segwit"
    if "legacy" in has and "pubkeyhash" in paid:
        return "legacy"
    for kind in ("bech32m", "bech32"):
        if kind in has:
            return kind
    return wallet.settings.address_type


@dataclass(slots=True)
class _Draft:
    """A spend in the making."""

    wallet: Wallet
    recipients: Sequence[Recipient]
    options: SpendOptions
    feerate: int
    calculation: FeeCalculation
    change: Reserved | None = None
    change_error: str = ""

    def costs(self) -> SelectionCosts:
        wallet, recipients = self.wallet, self.recipients
        prototype = TxOut(0, self.change.script if self.change else b"")
        size = input_size(prototype.script_pubkey, wallet.keyring([prototype.script_pubkey]))
        spend_vsize = (size or NESTED_P2WPKH_INPUT).vsize
        discard = discard_feerate(wallet.client, wallet.settings)
        change_fee = fee_for(self.feerate, len(prototype.serialize()))
        paid = sum(recipient.amount for recipient in recipients)
        rest = tx_weight([], [TxOut(r.amount, r.script) for r in recipients] + [prototype]) + 8
        return SelectionCosts(
            self.feerate,
            wallet.settings.consolidate_feerate,
            fee_for(discard, spend_vsize) + change_fee,
            change_fee,
            change_target(paid // len(recipients), change_fee, wallet.ports.random),
            max(fee_for(discard, spend_vsize) + 1, dust_threshold(prototype, discard)),
            MAX_STANDARD_TX_WEIGHT - rest,
            any(recipient.subtract_fee for recipient in recipients),
        )


async def create_transaction(
    wallet: Wallet, recipients: Sequence[Recipient], options: SpendOptions
) -> Created:
    """A signed transaction that pays recipients; hold `wallet.spending`. WalletError in Core's words."""
    chosen = _decide_feerate(wallet, recipients, options)
    draft = _Draft(wallet, recipients, options, chosen.feerate, chosen.calculation)
    try:
        draft.change = wallet.reserve_change(change_type(wallet, recipients))
    except WalletError as error:
        draft.change_error = f"Transaction needs a change address, but we can't generate it. {error}"
    try:
        created = await _create(draft)
    except BaseException:
        if draft.change is not None:
            draft.change.give_back()
        raise
    if created.change is None and draft.change is not None:
        draft.change.give_back()
    return created


def _decide_feerate(wallet: Wallet, recipients: Sequence[Recipient], options: SpendOptions) -> ChosenFeerate:
    settings, client = wallet.settings, wallet.client
    for recipient in recipients:
        out = TxOut(recipient.amount, recipient.script)
        if out.value < dust_threshold(out, client.dust_feerate):
            raise _refuse("Transaction amount too small")
    conservative = options.conservative
    if conservative is None:
        replaceable = settings.replaceable if options.replaceable is None else options.replaceable
        conservative = not replaceable
    chosen = choose_feerate(
        client, settings, asked=options.feerate, target=options.target, conservative=conservative
    )
    if options.feerate is not None and chosen.feerate > options.feerate:
        raise _refuse(
            f"Fee rate ({_sat_per_vb(options.feerate)}) is lower than the minimum fee rate setting "
            f"({_sat_per_vb(required_feerate(client, settings))}).\n"
            f"Consider modifying -mintxfee ({_sat_per_vb(settings.min_feerate)}) or "
            f"-minrelaytxfee ({_sat_per_vb(client.min_relay_feerate)})."
        )
    if chosen.reason is FeeReason.FALLBACK and not settings.fallback_allowed:
        raise _refuse(
            "Fee estimation failed. Fallbackfee is disabled. Wait a few blocks or enable -fallbackfee."
        )
    return chosen


async def _create(draft: _Draft) -> Created:
    wallet, recipients = draft.wallet, draft.recipients
    costs = draft.costs()
    outputs = [TxOut(recipient.amount, recipient.script) for recipient in recipients]
    paid = sum(out.value for out in outputs)
    fixed = tx_weight([], outputs)
    fixed_fees = 0 if costs.subtract_fee else fee_for(draft.feerate, vsize_of(fixed + 2))
    if paid + fixed_fees == 0:
        raise _refuse(
            "Transaction requires one destination of non-zero value, a non-zero feerate, or a pre-selected "
            "input"
        )
    coins = [coin for coin in available_coins(wallet) if coin.solvable]
    shortage = 0
    while True:
        try:
            selection = choose_coins(wallet, coins, paid + fixed_fees + shortage, costs)
        except WalletError as error:
            _explain_shortage(error, coins, paid, fixed_fees + shortage, costs)
            raise
        chosen = wallet.ports.random.shuffled(selection.coins)
        sized, change = _with_change(draft, outputs, selection, chosen)
        needed = fee_for(draft.feerate, _vsize(chosen, sized))
        selected = sum(coin.value for coin in chosen)
        if costs.subtract_fee:
            reduce_by = needed - (selected - sum(out.value for out in sized))
            sized = _subtract_fee(draft, sized, change, reduce_by)
        fee = selected - sum(out.value for out in sized)
        if fee >= needed:
            break
        # Each input is counted for itself; together they may take a byte more (their count, or a legacy
        # input's empty witness).
        shortage += needed - fee
    outputs = sized
    tx = await _sign(draft, chosen, outputs)
    if tx.weight > MAX_STANDARD_TX_WEIGHT:
        raise _refuse("Transaction too large")
    if fee > wallet.settings.max_fee:
        raise _refuse("Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)")
    wallet.log(f"Coin Selection: Algorithm:{selection.algorithm}, Waste Metric Score:{selection.waste}")
    wallet.log(f"Fee Calculation: Fee:{fee} Bytes:{tx.vsize} {draft.calculation.describe()}")
    return Created(tx, fee, change, draft.calculation.reason.value)


def _explain_shortage(
    error: WalletError, coins: Sequence[SpendableCoin], paid: int, fees: int, costs: SelectionCosts
) -> None:
    """Raises a better error where the coins suffice for what is paid and not for its fee."""
    if str(error) == "Insufficient funds" and not costs.subtract_fee:
        enough = sum(coin.value for coin in coins) >= paid
        if enough and sum(costs.effective(coin) for coin in coins) < paid + fees:
            raise _refuse(
                f"The total exceeds your balance when the {format_money(fees)} transaction fee is included."
            ) from None


def _vsize(coins: Sequence[SpendableCoin], outputs: Sequence[TxOut]) -> int:
    return vsize_of(tx_weight([coin.size for coin in coins if coin.size is not None], outputs))


def _with_change(
    draft: _Draft, outputs: Sequence[TxOut], selection: Selection, chosen: Sequence[SpendableCoin]
) -> tuple[list[TxOut], int | None]:
    """outputs with change at a random place, if selection has some, and that place."""
    result = list(outputs)
    if not selection.change:
        return result, None
    if draft.change is None:
        raise _refuse(draft.change_error)
    place = draft.wallet.ports.random.below(len(result) + 1)
    result.insert(place, TxOut(selection.change, draft.change.script))
    surplus = sum(coin.value for coin in chosen) - sum(out.value for out in result)
    surplus -= fee_for(draft.feerate, _vsize(chosen, result))
    subtract = any(recipient.subtract_fee for recipient in draft.recipients)
    if surplus > 0 or not subtract:  # what rounding left over is change too
        result[place] = TxOut(selection.change + surplus, draft.change.script)
    return result, place


def _subtract_fee(draft: _Draft, outputs: list[TxOut], change: int | None, amount: int) -> list[TxOut]:
    """outputs with amount taken from those that pay the fee, in equal parts; the first pays the rest too."""
    places = [i for i in range(len(outputs)) if i != change]
    paying = [i for i, r in zip(places, draft.recipients, strict=True) if r.subtract_fee]
    each, rest = divmod(amount, len(paying))
    result = list(outputs)
    for n, i in enumerate(paying):
        out = TxOut(outputs[i].value - each - (rest if n == 0 else 0), outputs[i].script_pubkey)
        if out.value < dust_threshold(out, draft.wallet.client.dust_feerate):
            if out.value < 0:
                raise _refuse("The transaction amount is too small to pay the fee")
            raise _refuse("The transaction amount is too small to send after the fee has been deducted")
        result[i] = out
    return result


async def _sign(draft: _Draft, coins: Sequence[SpendableCoin], outputs: Sequence[TxOut]) -> Transaction:
    wallet, options = draft.wallet, draft.options
    replaceable = wallet.settings.replaceable if options.replaceable is None else options.replaceable
    sequence = SEQUENCE_REPLACEABLE if replaceable else SEQUENCE_NONFINAL
    vin = [TxIn(coin.outpoint, b"", sequence) for coin in coins]
    tx = Transaction.make(vin, outputs, locktime=anti_fee_sniping_locktime(wallet))
    spent = {coin.outpoint: coin.txout for coin in coins}
    ring = wallet.keyring((coin.txout.script_pubkey for coin in coins), secrets=True)
    signed, errors = await wallet.ports.workers.run(partial(sign_transaction, tx, spent, ring))
    if errors:
        raise _refuse("Signing transaction failed")
    return signed


def anti_fee_sniping_locktime(wallet: Wallet) -> int:
    """The tip's height, so that only blocks above can take the transaction; now and then somewhat less.

    0 where the chain is behind: a height of long ago would tell the transaction from others.
    """
    client, best = wallet.client, wallet.best
    old = best is None or best.time < wallet.ports.clock.time() - ANTI_FEE_SNIPING_TIP_AGE
    if best is None or old or client.is_ibd:
        return 0
    locktime = best.height
    if wallet.ports.random.below(10) == 0:
        locktime = max(0, locktime - wallet.ports.random.below(100))
    return locktime


# Sending


async def commit(wallet: Wallet, tx: Transaction, extra: dict[str, str]) -> None:
    """Takes tx into the wallet, safely stored, and sends it.

    A transaction that the node does not take stays, to be sent again or abandoned.
    """
    wallet.add_transaction(tx, Inactive(), extra=extra)
    await wallet.save()
    if not wallet.settings.broadcast:
        return
    try:
        await wallet.client.broadcast(tx, wallet.settings.max_fee)
    except NotBroadcast as error:
        wallet.log(f"CommitTransaction(): Transaction cannot be broadcast immediately, {error}")


async def send(
    wallet: Wallet, recipients: Sequence[Recipient], options: SpendOptions, extra: dict[str, str]
) -> Created:
    """Creates a transaction and sends it. WalletError in Core's words."""
    if not wallet.private_keys_enabled:
        raise WalletError("Error: Private keys are disabled for this wallet")
    async with wallet.spending:
        created = await create_transaction(wallet, wallet.ports.random.shuffled(recipients), options)
        await commit(wallet, created.tx, extra)
    return created
