"""Category "control" of Core's help, and the methods for tests that steer the node itself."""

from __future__ import annotations

from ..log import CATEGORIES
from .amounts import Json
from .arguments import ANY_TEXT, ARR, INT, NUM, STR, parse_str
from .context import RpcContext
from .errors import internal_bug, invalid_parameter, misc_error
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method

R = ResultType


@method(
    "control",
    "List all commands, or get help for a specified command.\n",
    args=(Arg("command", STR, "The command to get help on", hint="all commands"),),
    result=(Result(R.STR, "", "The help text"), Result(R.ANY)),
)
async def help(ctx: RpcContext, command: str | None) -> Json:
    if command == "dump_all_command_conversions":  # for tests, as in Core
        return ctx.registry.argument_maps()
    return ctx.registry.help(command or "")


@method(
    "control",
    "Request a graceful shutdown of Bitcoin Core.",
    args=(Arg("wait", INT, "how long to wait in ms", OPTIONAL, hidden=True),),
    result=Result(R.STR, "", "A string with the content 'Bitcoin Core stopping'"),
)
async def stop(ctx: RpcContext, wait: int | None) -> Json:
    ctx.node.request_stop()
    if wait:
        await ctx.clock.sleep(wait / 1000)
    return "Bitcoin Core stopping"


@method(
    "control",
    "Returns the total uptime of the server.\n",
    result=Result(R.NUM, "", "The number of seconds that the server has been running"),
    examples=cli("uptime") + curl("uptime"),
)
async def uptime(ctx: RpcContext) -> Json:
    return int(ctx.clock.monotonic() - ctx.node.started_at)


@method(
    "control",
    "Returns details of the RPC server.\n",
    result=Result(
        R.OBJ,
        inner=(
            Result(
                R.ARR,
                "active_commands",
                "All active commands",
                (
                    Result(
                        R.OBJ,
                        "",
                        "Information about an active command",
                        (
                            Result(R.STR, "method", "The name of the RPC command"),
                            Result(R.NUM, "duration", "The running time in microseconds"),
                        ),
                    ),
                ),
            ),
            Result(R.STR, "logpath", "The complete file path to the debug log"),
        ),
    ),
    examples=cli("getrpcinfo") + curl("getrpcinfo"),
)
async def getrpcinfo(ctx: RpcContext) -> Json:
    now = ctx.clock.monotonic()
    return {
        "active_commands": [
            {"method": name, "duration": int((now - began) * 1_000_000)}
            for name, began in ctx.node.active_commands()
        ],
        "logpath": ctx.node.log_path,
    }


@method(
    "control",
    "Returns an object containing information about memory usage.\n",
    args=(
        Arg(
            "mode",
            STR,
            "determines what kind of information is returned.\n"
            '  - "stats" returns general statistics about memory usage in the daemon.\n'
            '  - "mallocinfo" returns an XML string describing low-level heap state '
            "(only available if compiled with glibc).",
            "stats",
        ),
    ),
    result=(
        Result(
            R.OBJ,
            condition='mode "stats"',
            inner=(
                Result(
                    R.OBJ,
                    "locked",
                    "Information about locked memory manager",
                    (
                        Result(R.NUM, "used", "Number of bytes used"),
                        Result(R.NUM, "free", "Number of bytes available in current arenas"),
                        Result(R.NUM, "total", "Total number of bytes managed"),
                        Result(
                            R.NUM,
                            "locked",
                            "Amount of bytes that succeeded locking. If this number is smaller than total, "
                            "locking pages failed at some point and key data could be swapped to disk.",
                        ),
                        Result(R.NUM, "chunks_used", "Number allocated chunks"),
                        Result(R.NUM, "chunks_free", "Number unused chunks"),
                    ),
                ),
            ),
        ),
        Result(R.STR, condition='mode "mallocinfo"', description='"<malloc version="1">..."'),
    ),
    examples=cli("getmemoryinfo") + curl("getmemoryinfo"),
)
async def getmemoryinfo(ctx: RpcContext, mode: str) -> Json:
    """Python cannot lock memory: the figures of the locked pool are all zero."""
    if mode == "stats":
        names = ("used", "free", "total", "locked", "chunks_used", "chunks_free")
        return {"locked": dict.fromkeys(names, 0)}
    if mode == "mallocinfo":
        raise invalid_parameter("mallocinfo mode not available")
    raise invalid_parameter(f"unknown mode {mode}")


@method(
    "control",
    "Gets and sets the logging configuration.\n"
    "When called without an argument, returns the list of categories with status that are currently being "
    "debug logged or not.\n"
    "When called with arguments, adds or removes categories from debug logging and return the lists above.\n"
    'The arguments are evaluated in order "include", "exclude".\n'
    "If an item is both included and excluded, it will thus end up being excluded.\n"
    f"The valid logging categories are: {', '.join(CATEGORIES)}\n"
    "In addition, the following are available as category names with special meanings:\n"
    '  - "all",  "1" : represent all logging categories.\n',
    args=(
        Arg(
            "include",
            ARR,
            "The categories to add to debug logging",
            OPTIONAL,
            inner=(Arg("include_category", STR, "the valid logging category", OPTIONAL),),
        ),
        Arg(
            "exclude",
            ARR,
            "The categories to remove from debug logging",
            OPTIONAL,
            inner=(Arg("exclude_category", STR, "the valid logging category", OPTIONAL),),
        ),
    ),
    result=Result(
        R.OBJ_DYN,
        "",
        "keys are the logging categories, and values indicates its status",
        (Result(R.BOOL, "category", "if being debug logged or not. false:inactive, true:active"),),
    ),
    examples=cli("logging", '"[\\"all\\"]" "[\\"http\\"]"') + curl("logging", '["all"], ["libevent"]'),
)
async def logging(ctx: RpcContext, include: list[Json] | None, exclude: list[Json] | None) -> Json:
    log = ctx.node.debug_log
    for names, on in ((include, True), (exclude, False)):
        for name in names or ():
            if not log.set_category(parse_str(name), on):
                raise invalid_parameter(f"unknown logging category {name}")
    return log.categories()


@method(
    "hidden",
    "Set the local time to given timestamp (-regtest only)\n",
    args=(Arg("timestamp", NUM, "UNIX epoch time\nPass 0 to go back to using the system time."),),
    result=Result(R.NONE),
)
async def setmocktime(ctx: RpcContext, timestamp: int) -> Json:
    ctx.only_regtest("setmocktime is for regression testing (-regtest mode) only")
    latest = (2**63 - 1) // 1_000_000_000
    if not 0 <= timestamp <= latest:
        raise invalid_parameter(f"Mocktime must be in the range [0, {latest}], not {timestamp}.")
    ctx.clock.set_mock_time(timestamp)
    if ctx.node.peers is not None:
        ctx.node.peers.stir()
    return None


@method(
    "hidden",
    "Waits for the validation interface queue to catch up on everything that was there when we entered this "
    "function.\n",
    result=Result(R.NONE),
    examples=cli("syncwithvalidationinterfacequeue") + curl("syncwithvalidationinterfacequeue"),
)
async def syncwithvalidationinterfacequeue(ctx: RpcContext) -> Json:
    await ctx.node.events.drained()
    return None


@method(
    "hidden",
    "Bump the scheduler into the future (-regtest only)\n",
    args=(Arg("delta_time", NUM, "Number of seconds to forward the scheduler into the future."),),
    result=Result(R.NONE),
)
async def mockscheduler(ctx: RpcContext, delta_time: int) -> Json:
    ctx.only_regtest("mockscheduler is for regression testing (-regtest mode) only")
    if not 0 < delta_time <= 3600:
        raise misc_error("delta_time must be between 1 and 3600 seconds (1 hr)")
    if ctx.node.peers is not None:
        ctx.node.peers.mock_forward(delta_time)
    if ctx.node.fees is not None:
        ctx.node.fees.mock_forward(delta_time)
    await ctx.node.events.drained()
    return None


_ECHO_ARGS = tuple(Arg(f"arg{i}", ANY_TEXT, "", OPTIONAL, check=False) for i in range(10))
_ECHO_HELP = (
    "Simply echo back the input arguments. This command is for testing.\n"
    "\nIt will return an internal bug report when arg9='trigger_internal_bug' is passed.\n"
    "\nThe difference between echo and echojson is that echojson has argument conversion enabled in the "
    "client-side table in bitcoin-cli and the GUI. There is no server-side difference."
)


@method("hidden", _ECHO_HELP, args=_ECHO_ARGS, result=Result(R.ANY, "", "Returns whatever was passed in"))
async def echo(ctx: RpcContext, *values: Json) -> Json:
    return _echoed(ctx, values)


@method("hidden", _ECHO_HELP, args=_ECHO_ARGS, result=Result(R.ANY, "", "Returns whatever was passed in"))
async def echojson(ctx: RpcContext, *values: Json) -> Json:
    return _echoed(ctx, values)


def _echoed(ctx: RpcContext, values: tuple[Json, ...]) -> Json:
    if values[9] == "trigger_internal_bug":
        raise internal_bug("echo was asked to trigger an internal bug")
    return list(values[: ctx.given])
