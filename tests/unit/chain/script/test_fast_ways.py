"""The fast ways of checking scripts agree with the interpreter alone: on random spends, on runs of inputs of
which some are bad, and for a whole chain.
"""

from __future__ import annotations

import random

import pytest
from both_ways import block_verdict, verdict
from invalid_blocks import INVALID_BLOCKS
from oracle.judge import SETS
from oracle.spends import make_spend
from ports import make_ports, thread_workers
from running import running_chain
from scene import make_scene

from pybitcoind.chain.manager import ChainOptions
from pybitcoind.chain.mempool.pool import Mempool
from pybitcoind.chain.policy.settings import PolicySettings
from pybitcoind.chain.script import secp
from pybitcoind.chain.script.flags import STANDARD_FLAGS
from pybitcoind.chain.script.sighash import TxDigests

SEED = 20261126


def test_random_spends() -> None:
    print("seed", SEED)
    rng = random.Random(SEED)
    for _ in range(600):
        _, tx, index, spent = make_spend(rng)
        digests = TxDigests(tx, spent)
        for flags in (SETS[-1], STANDARD_FLAGS, *rng.sample(SETS, 2)):
            verdict(tx, index, spent, flags, digests)


def test_blocks_of_random_spends() -> None:
    """The same input is named as the first that fails, with the same error, in whatever parts it is done."""
    print("seed", SEED)
    rng = random.Random(SEED)
    failed = 0
    for _ in range(30):
        checks = []
        for _ in range(rng.randrange(1, 40)):
            _, tx, index, spent = make_spend(rng)
            if rng.random() < 0.9 and verdict(tx, index, spent, SETS[-1]) is not None:
                continue
            checks.append(TxDigests(tx, spent))
        failed += block_verdict(checks, SETS[-1]) is not None
    assert failed


def test_keys_are_not_kept() -> None:
    assert hasattr(secp._parse_pubkey, "cache_info")
    secp.keep_keys(False)
    try:
        assert not hasattr(secp._parse_pubkey, "cache_info") and not hasattr(secp._parse_xonly, "cache_info")
        assert secp.is_valid_pubkey(secp.pubkey_of(bytes(31) + b"\x01"))
    finally:
        secp.keep_keys(True)


@pytest.mark.parametrize("fast", [True, False])
async def test_a_chain_by_the_interpreter_alone(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """-fastscripts=0: no template is asked, one run is at work at a time, nothing is remembered."""
    from pybitcoind.chain.script import templates

    asked = 0
    real = templates.accepts_if

    def accepts_if(*arguments: object) -> bool:
        nonlocal asked
        asked += 1
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(templates, "accepts_if", accepts_if)
    scene = make_scene()
    with thread_workers(2) as workers:
        ports = make_ports(now=scene.now, workers=workers)
        async with running_chain(ports, ChainOptions(fast_scripts=fast)) as chain:
            pool = Mempool(PolicySettings(), ports.clock, ports.log, chain.events)
            chain.attach_mempool(pool)
            for block in scene.blocks:
                await chain.process_block(block)
            for template in INVALID_BLOCKS:
                if template.stage == "scripts":
                    result = await chain.process_block(template.build(scene), requested=True)
                    assert result.error is not None and result.error.reason == template.reason
            tx = scene.spend(*scene.mature[:9], fee=100_000)
            await chain.accept_transaction(tx)
            assert len(chain.script_cache) == (1 if fast else 0)
            block = scene.block(tx, scene.spend(*scene.mature[9:20]))
            assert (await chain.process_block(block)).error is None
            assert chain.tip.hash == block.hash
    assert (asked > 0) is fast
