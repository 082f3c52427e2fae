"""A wallet of a node, with what tests do with one."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .blocks import satoshis
from .rpc import Rpc

if TYPE_CHECKING:
    from .node import BitcoinNode

Amount = Decimal | int | float | str
COIN = 10**8


def btc(amount: int) -> Decimal:
    """Satoshis as BTC."""
    return Decimal(amount) / COIN


class BitcoinWallet:
    """rpc: every wallet method, for this wallet."""

    def __init__(self, node: BitcoinNode, name: str) -> None:
        self.node, self.name = node, name

    def __repr__(self) -> str:
        return f"<wallet {self.name} of {self.node.name}>"

    @property
    def rpc(self) -> Rpc:
        return self.node.rpc.for_wallet(self.name)

    async def rpc_url(self) -> str:
        """With credentials, for a client of your own."""
        return await self.node.rpc_url(wallet=self.name)

    async def new_address(self, label: str = "", kind: str | None = None) -> str:
        """kind: legacy, p2sh-segwit, bech32 or bech32m."""
        return await self.rpc.getnewaddress(label, kind)

    async def balance(self) -> Decimal:
        """BTC that can be spent: confirmed, and change of our own."""
        balances = await self.rpc.getbalances()
        amount: Decimal = balances["mine"]["trusted"]
        return amount

    async def pending(self) -> Decimal:
        """BTC that others have paid and no block has."""
        balances = await self.rpc.getbalances()
        amount: Decimal = balances["mine"]["untrusted_pending"]
        return amount

    async def pay(self, to: str | BitcoinWallet, amount: Amount, *, fee_rate: Amount | None = None) -> str:
        """Pays BTC to an address or a wallet; the txid. fee_rate: satoshis per vbyte."""
        address = to if isinstance(to, str) else await to.new_address()
        options: dict[str, Any] = {} if fee_rate is None else {"fee_rate": fee_rate}
        txid: str = await self.rpc.call("sendtoaddress", address=address, amount=amount, **options)
        return txid

    async def bump(self, txid: str, fee_rate: Amount) -> str:
        """Replaces an unconfirmed payment of ours by one that pays fee_rate (satoshis per vbyte), out of its
        change; the new txid."""
        known = await self.rpc.gettransaction(txid, verbose=True)
        tx, rate = known["decoded"], Decimal(str(fee_rate))
        fee = int(rate * (tx["vsize"] + len(tx["vin"]))) + 1  # a signature may be a byte longer
        more = fee - satoshis(-known["fee"])
        inputs = [{"txid": txin["txid"], "vout": txin["vout"], "sequence": 0xFFFFFFFD} for txin in tx["vin"]]
        outputs: list[dict[str, Any]] = []
        for out in tx["vout"]:
            address, value = out["scriptPubKey"]["address"], satoshis(out["value"])
            if more and (await self.rpc.getaddressinfo(address))["ischange"]:
                value, more = value - more, 0
            outputs.append({address: btc(value)})
        if more:
            raise ValueError(f"{txid} has no change to pay a higher fee from")
        return await self._sign_and_send(inputs, outputs)

    async def double_spend(self, txid: str) -> str:
        """A transaction (hex) that spends what payment txid of ours spends, back to ourselves at twice the
        fee; it is not sent."""
        known = await self.rpc.gettransaction(txid, verbose=True)
        tx = known["decoded"]
        inputs = [{"txid": txin["txid"], "vout": txin["vout"], "sequence": 0xFFFFFFFD} for txin in tx["vin"]]
        left = sum(satoshis(out["value"]) for out in tx["vout"]) - satoshis(-known["fee"])
        return await self._sign(inputs, [{await self.new_address(): btc(left)}])

    async def _sign_and_send(self, inputs: list[Any], outputs: list[dict[str, Any]]) -> str:
        return await self.node.send(await self._sign(inputs, outputs))

    async def _sign(self, inputs: list[Any], outputs: list[dict[str, Any]]) -> str:
        unsigned = await self.rpc.createrawtransaction(inputs, outputs)
        signed = await self.rpc.signrawtransactionwithwallet(unsigned)
        if not signed["complete"]:
            why = signed["errors"][0]
            raise ValueError(f"{self!r} cannot spend {why['txid']}:{why['vout']}: {why['error']}")
        text: str = signed["hex"]
        return text

    async def wait_for_balance(self, amount: Amount) -> None:
        """Until exactly so many BTC can be spent."""
        wanted = Decimal(str(amount))

        async def probe() -> bool:
            return await self.balance() == wanted

        async def saw() -> str:
            return f"{await self.balance()} BTC, and {await self.pending()} pending"

        await self.node.network.wait(f"{self!r} to have {wanted} BTC", probe, saw)
