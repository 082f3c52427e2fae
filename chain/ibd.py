"""Initial block download: what it is, and what a node in it holds back."""

from __future__ import annotations

from enum import Enum, auto

from .header_tree import HeaderNode

DEFAULT_MAX_TIP_AGE = 24 * 60 * 60
"""Seconds that the tip may lie back (-maxtipage)."""


class Activity(Enum):
    """What a node does for others, and what it leaves for later while it still catches up itself."""

    ACCEPT_RELAYED_TRANSACTIONS = auto()
    REQUEST_TRANSACTIONS = auto()
    ANNOUNCE_BLOCKS = auto()
    FAST_RELAY_BLOCKS = auto()
    """Compact blocks passed on before they are connected."""
    ANNOUNCE_OWN_ADDRESS = auto()
    ASK_FOR_FEES = auto()
    """The true fee filter; a node that takes no transactions asks for an impossible fee."""
    ESTIMATE_FEES = auto()
    RESEND_WALLET_TRANSACTIONS = auto()
    SERVE_HEADERS = auto()
    SERVE_BLOCKS = auto()
    SYNC_HEADERS = auto()
    SUBMIT_OWN_TRANSACTIONS = auto()


HELD_BACK = frozenset(
    {
        Activity.ACCEPT_RELAYED_TRANSACTIONS,
        Activity.REQUEST_TRANSACTIONS,
        Activity.ANNOUNCE_BLOCKS,
        Activity.FAST_RELAY_BLOCKS,
        Activity.ANNOUNCE_OWN_ADDRESS,
        Activity.ASK_FOR_FEES,
        Activity.ESTIMATE_FEES,
        Activity.RESEND_WALLET_TRANSACTIONS,
    }
)
"""What initial block download holds back. All else goes on."""


class IbdLatch:
    """On when the node starts; off for good once the tip has enough work and is recent enough."""

    def __init__(self, minimum_chainwork: int, max_tip_age: int = DEFAULT_MAX_TIP_AGE) -> None:
        self.minimum_chainwork, self.max_tip_age = minimum_chainwork, max_tip_age
        self.active = True
        self.loading = False
        """Blocks are being loaded from files: the end of the download is not looked at."""

    def update(self, tip: HeaderNode | None, now: int) -> bool:
        """True if this tip, at wall time now, ends it."""
        if not self.active or self.loading or tip is None:
            return False
        if tip.chainwork < self.minimum_chainwork or tip.time < now - self.max_tip_age:
            return False
        self.active = False
        return True

    def holds_back(self, activity: Activity) -> bool:
        return self.active and activity in HELD_BACK
