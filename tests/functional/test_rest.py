"""REST of a running node: each path in each format, against what RPC says; and where it is refused.

tests/interop/test_rest_beside_core.py compares it with Bitcoin Core's, byte for byte.
"""

from __future__ import annotations

import http.client
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from node_process import Daemon, running

from pybitcoind.chain.primitives.serialize import Reader
from pybitcoind.chain.primitives.transaction import Transaction

NOBODY = "ab" * 32
ADDRESS = "bcrt1q6rhpng9evdsfnn833a4f4vej0asu6dk5srld6x"


class Rest:
    def __init__(self, daemon: Daemon) -> None:
        self.port = daemon.ports["rpc"]

    def ask(self, path: str, body: bytes = b"", verb: str = "GET") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(verb, f"/rest/{path}", body or None)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def refused(self, path: str) -> tuple[int, str]:
        status, body = self.ask(path)
        assert status != 200 and body.endswith(b"\r\n")
        return status, body.decode().rstrip()

    def json(self, path: str, query: str = "") -> Any:
        status, body = self.ask(f"{path}.json{query}")
        assert status == 200, body
        return json.loads(body, parse_float=Decimal)

    def bytes(self, path: str, query: str = "") -> bytes:
        """Of .bin, once .hex has told the same."""
        status, raw = self.ask(f"{path}.bin{query}")
        assert (status, self.ask(f"{path}.hex{query}")) == (200, (200, raw.hex().encode() + b"\n"))
        return raw


def test_rest_tells_what_rpc_tells(tmp_path: Path) -> None:
    options = ("-rest", "-txindex", "-blockfilterindex", "-fallbackfee=0.0001")
    with running(tmp_path / "node", *options) as daemon:
        call, rest = daemon.call, Rest(daemon)
        call("createwallet", "w")
        call("generatetoaddress", 101, call("getnewaddress"))
        paid = call("sendtoaddress", ADDRESS, 1)
        assert rest.json(f"tx/{paid}") == call("decoderawtransaction", call("getrawtransaction", paid)) | {
            "hex": call("getrawtransaction", paid)
        }
        assert rest.json("mempool/contents") == call("getrawmempool", True)
        assert rest.json("mempool/contents", "?verbose=false&mempool_sequence=true") == call(
            "getrawmempool", False, True
        )
        assert rest.json("mempool/info")["size"] == 1
        tx = Transaction.decode(rest.bytes(f"tx/{paid}"))
        spent = next(iter(tx.vin)).prevout
        spent_name = f"{spent.txid[::-1].hex()}-{spent.vout}"
        vout = next(n for n, out in enumerate(tx.vout) if out.value == 100_000_000)
        names = f"{paid}-{vout}/{spent_name}"
        assert rest.json(f"getutxos/{names}")["bitmap"] == "01"
        found = rest.json(f"getutxos/checkmempool/{names}")
        assert (found["bitmap"], found["utxos"][0]["value"]) == ("10", 1)
        (tip,) = call("generatetoaddress", 1, ADDRESS)
        found = rest.json(f"getutxos/{names}")
        assert (found["chainHeight"], found["chaintipHash"], found["utxos"][0]["height"]) == (102, tip, 102)
        reader = Reader(rest.bytes(f"getutxos/{names}"))
        assert (reader.u32(), reader.hash()[::-1].hex(), reader.var_bytes()) == (102, tip, b"\x01")
        assert (reader.u8(), reader.u32(), reader.u32(), reader.i64()) == (1, 0, 102, 100_000_000)
        assert rest.json(f"tx/{paid}")["blockhash"] == tip

        raw = rest.bytes(f"block/{tip}")
        assert raw.hex() == call("getblock", tip, 0)
        assert rest.json(f"block/{tip}") == call("getblock", tip, 3)
        assert rest.json(f"block/notxdetails/{tip}") == call("getblock", tip, 1)
        assert rest.bytes(f"blockpart/{tip}", "?offset=10&size=90") == raw[10:100]
        assert rest.ask("blockhashbyheight/102.hex") == (200, f"{tip}\n".encode())
        assert rest.json("blockhashbyheight/102") == {"blockhash": tip}
        first = call("getblockhash", 98)
        wanted = [call("getblockheader", call("getblockhash", height)) for height in range(98, 103)]
        assert rest.json(f"headers/{first}") == rest.json(f"headers/5/{first}") == wanted
        assert rest.bytes(f"headers/{first}", "?count=2").hex() == "".join(
            call("getblockheader", header["hash"], False) for header in wanted[:2]
        )
        spent_there = rest.json(f"spenttxouts/{tip}")
        assert [len(one) for one in spent_there] == [0, len(tx.vin)]
        assert spent_there[1][0]["value"] == 50
        assert rest.bytes(f"spenttxouts/{tip}")[:2] == b"\x02\x00"

        daemon.until("the indexes", lambda: all(index["synced"] for index in call("getindexinfo").values()))
        block_filter = call("getblockfilter", tip)
        assert rest.json(f"blockfilter/basic/{tip}") == {"filter": block_filter["filter"]}
        assert rest.json(f"blockfilterheaders/basic/{tip}") == [block_filter["header"]]
        assert rest.json("chaininfo") == call("getblockchaininfo")
        assert rest.json("deploymentinfo") == call("getdeploymentinfo")
        assert rest.json(f"deploymentinfo/{first}") == call("getdeploymentinfo", first)

        assert rest.refused("tx/abc.json") == (400, "Invalid hash: abc")
        assert rest.refused(f"tx/{NOBODY}.json") == (404, f"{NOBODY} not found")
        formats = "output format not found (available: .bin, .hex, .json)"
        assert rest.refused(f"block/{tip}.xml") == (400, f"Invalid hash: {tip}.xml")
        assert rest.refused(f"block/{tip}") == (404, formats)
        assert rest.refused("chaininfo.bin") == (404, "output format not found (available: json)")
        assert rest.refused("blockhashbyheight/103.hex") == (404, "Block height out of range")
        assert rest.refused(f"getutxos/{'/'.join([spent_name] * 16)}.json") == (
            400,
            "Error: max outpoints exceeded (max: 15, tried: 16)",
        )
        assert rest.ask("nothing") == (404, b"")
        assert rest.ask("getutxos.bin", b"x" * 40, "POST") == (400, b"Parse error\r\n")


def test_rest_is_off_by_default_and_an_spv_node_says_what_it_lacks(tmp_path: Path) -> None:
    with running(tmp_path / "off") as daemon:
        assert Rest(daemon).ask("chaininfo.json")[0] == 404
    with running(tmp_path / "spv", "-rest", "-role=spv") as daemon:
        rest = Rest(daemon)
        genesis = rest.json("blockhashbyheight/0")["blockhash"]
        assert rest.json("chaininfo")["bestblockhash"] == genesis
        assert len(rest.json(f"headers/{genesis}")) == 1
        assert rest.refused(f"block/{genesis}.hex")[1].startswith("This node runs as SPV")
        assert rest.refused(f"getutxos/{NOBODY}-0.json")[1].startswith("This node runs as SPV")
        assert "SPV" in rest.refused("mempool/info.json")[1]
        assert rest.refused(f"tx/{NOBODY}.hex") == (404, f"{NOBODY} not found")
