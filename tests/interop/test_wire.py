"""Bitcoin Core's daemon understands our messages and we its, and treats bad ones as our table says."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_messages import BAD_MESSAGES, BadMessage, play
from scripted_peer import ScriptedListener, ScriptedPeer

from pybitcoind.chain import params
from pybitcoind.p2p import messages as m
from pybitcoind.p2p.codec_v1 import V1Codec
from pybitcoind.p2p.handshake import ConnectionType, Handshake, LocalVersion

pytestmark = pytest.mark.interop
GENESIS = params.regtest().genesis


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


class Core:
    """A regtest daemon that listens on 127.0.0.1 and ::1, and its log."""

    def __init__(self, program: Path, datadir: Path, *options: str) -> None:
        self.port = free_port()
        self.log = datadir / "regtest" / "debug.log"
        binds = [f"-bind=127.0.0.1:{self.port}", f"-bind=[::1]:{self.port}", f"-rpcport={free_port()}"]
        common = ["-regtest", f"-datadir={datadir}", "-debug=net", "-printtoconsole=0", "-listen=1"]
        common += ["-v2transport=0", "-dnsseed=0", "-fixedseeds=0", "-listenonion=0", "-natpmp=0"]
        self.process = subprocess.Popen([str(program), *common, *binds, *options])
        self.wait_for_log("init message: Done loading")

    def wait_for_log(self, text: str) -> None:
        deadline = time.monotonic() + 30
        while not (self.log.exists() and text in self.log.read_text()):
            assert time.monotonic() < deadline, f"not in debug.log: {text}"
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(scope="module")
def core(bitcoind: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    core = Core(
        bitcoind, tmp_path_factory.mktemp("core"), "-connect=0", "-peerblockfilters", "-blockfilterindex"
    )
    yield core
    core.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_core_talks_to_us(core: Core, host: str) -> None:
    async with await ScriptedPeer.connect((host, core.port)) as peer:
        theirs = await peer.handshake(user_agent=b"/scripted:7/", nonce=77 + len(host))
        assert theirs.services & (
            m.ServiceFlags.NETWORK | m.ServiceFlags.COMPACT_FILTERS | m.ServiceFlags.WITNESS
        )
        assert theirs.subver.startswith("/Satoshi:") and theirs.start_height == 0
        await peer.wait_for(m.WtxidRelay)
        await peer.wait_for(m.SendAddrV2)
        await peer.wait_for(m.SendCmpct)
        peer.send(m.GetHeaders([bytes(32)]))
        peer.send(m.GetData([m.Inv(m.InvType.WITNESS_BLOCK, GENESIS.hash), m.Inv(m.InvType.TX, bytes(32))]))
        assert (await peer.wait_for(m.BlockMessage)).block == GENESIS
        assert (await peer.wait_for(m.NotFound)).items == [m.Inv(1, bytes(32))]
        peer.send(m.GetCFilters(0, 0, GENESIS.hash), m.GetCFHeaders(0, 0, GENESIS.hash))
        assert (await peer.wait_for(m.CFilter)).block_hash == GENESIS.hash
        assert len((await peer.wait_for(m.CFHeaders)).filter_hashes) == 1
        peer.send(m.GetCFCheckpt(0, GENESIS.hash))
        assert (await peer.wait_for(m.CFCheckpt)).filter_headers == []
        await peer.sync()
        assert not [message for message in peer.received if isinstance(message, m.Unknown)]
        assert not peer.bad_frames
        core.wait_for_log(
            "receive version message: /scripted:7/: version 70016, blocks=0, us=[::]:0, txrelay=1"
        )


async def test_old_versions_of_the_handshake(core: Core) -> None:
    for version, cut in ((70015, 0), (31800, 5)):
        async with await ScriptedPeer.connect(("127.0.0.1", core.port)) as peer:
            whole = m.encode_payload(peer.version(version=version))
            peer.send_payload("version", whole[: len(whole) - cut])
            peer.send(m.Verack())
            await peer.wait_for(m.Verack)
            assert not peer.of(m.WtxidRelay) and not peer.of(m.SendAddrV2)


@pytest.mark.parametrize("case", BAD_MESSAGES, ids=lambda case: case.name)
async def test_bad_messages(core: Core, case: BadMessage) -> None:
    async with await ScriptedPeer.connect(("127.0.0.1", core.port)) as peer:
        await play(case, peer)
        connections = core.log.read_text().count("Added connection peer=")
        core.wait_for_log(case.log.format(peer=connections - 1))


async def test_our_handshake_when_core_dials(bitcoind: Path, tmp_path: Path) -> None:
    """Core dials in; our state machine answers it to the end."""
    async with await ScriptedListener.open(("127.0.0.1", 0)) as listener:
        core = Core(bitcoind, tmp_path, f"-connect=127.0.0.1:{listener.endpoint[1]}")
        try:
            peer = await listener.accept()
            remote = m.NetAddress.from_host(*peer.stream.remote)
            handshake = Handshake(ConnectionType.INBOUND, LocalVersion(9, 1, b"/us:1/", 0), remote)
            codec, seen = V1Codec(params.regtest().magic), 0
            while not handshake.complete:
                await peer.wait_until(lambda count=seen: len(peer.received) > count)  # type: ignore[misc]
                message = peer.received[seen]
                seen += 1
                assert not isinstance(message, m.Unknown)
                if handshake.wants(message.COMMAND):
                    step = handshake.receive(message.COMMAND, m.encode_payload(message), int(time.time()))
                    assert not step.disconnect
                    for answer in step.send:
                        peer.send_bytes(codec.encode(answer))
            await peer.sync()
            features = handshake.features
            assert (features.version, features.wtxid_relay, features.addrv2) == (70016, True, True)
            assert abs(features.time_offset) <= 2 and features.start_height == 0
            core.wait_for_log("New manual peer connected: transport: v1, version: 70016, peer=0")
        finally:
            core.stop()
