"""debug.log: form of lines, categories and levels as in Bitcoin Core 31.99."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pybitcoind.node.config import Config, ConfigError
from pybitcoind.node.log import DebugLog


def opened(tmp_path: Path, *arguments: str, mock_time: int = 0) -> DebugLog:
    config = Config()
    config.parse_command_line([f"-datadir={tmp_path}", "-chain=main", "-printtoconsole=0", *arguments])
    config.read_files()
    log = DebugLog(lambda: mock_time)
    log.configure(config)
    log.open()
    return log


def lines(tmp_path: Path) -> list[str]:
    return (tmp_path / "debug.log").read_text().strip("\n").split("\n")


def test_form_of_a_line(tmp_path: Path) -> None:
    log = opened(tmp_path, "-debug=net", mock_time=1296688602)
    log.info("plain")
    log.warning("careful")
    log.error("broken")
    log.debug("net", "a\x07b\nc")
    log.debug("rpc", "not on")
    log.close()
    found = lines(tmp_path)
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \(mocktime: 2011-02-02T23:16:42Z\) "
    for line, rest in zip(
        found, ("plain", r"\[warning\] careful", r"\[error\] broken", r"\[net\] a\\x07b"), strict=False
    ):
        assert re.fullmatch(stamp + rest, line), line
    assert found[4:] == ["c"]


def test_everything_before_the_message(tmp_path: Path) -> None:
    log = opened(
        tmp_path, "-debug", "-logtimemicros", "-logthreadnames", "-logsourcelocations", "-loglevel=trace"
    )
    log.trace("net", "x")
    log.close()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \[MainThread\] \[.*test_log\.py:\d+\] "
        r"\[test_everything_before_the_message\] \[net:trace\] x",
        lines(tmp_path)[-1],
    )


def test_lines_before_the_file_is_open(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.close()
    (tmp_path / "debug.log").write_text("old")
    log = DebugLog()
    log.path, log.times = tmp_path / "debug.log", False
    log.info("early")
    log.open()
    log.info("late")
    log.close()
    assert (tmp_path / "debug.log").read_text() == "old\n\n\n\n\nearly\nlate\n"


def test_categories(tmp_path: Path) -> None:
    log = opened(
        tmp_path, "-debug=net", "-debug=none", "-debug=1", "-debugexclude=rpc", "-debugexclude=libevent"
    )
    assert log.enabled("net") and not log.enabled("rpc")
    assert [name for name, on in log.categories().items() if not on] == ["libevent", "rpc"]
    assert log.set_category("all", False) and not log.enabled("net")
    assert not log.set_category("nothing", True)
    log.close()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("-debug=foo", "Unsupported logging category -debug=foo."),
        ("-debugexclude=foo", "Unsupported logging category -debugexclude=foo."),
        (
            "-loglevel=foo",
            "Unsupported global logging level -loglevel=foo. Valid values: info, debug, trace.",
        ),
        ("-loglevel=foo:info", "Unsupported category-specific logging level -loglevel=foo:info."),
    ],
)
def test_unknown_names(tmp_path: Path, argument: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        opened(tmp_path, argument)
    assert str(error.value).startswith(message)


def test_levels_of_categories(tmp_path: Path) -> None:
    log = opened(tmp_path, "-debug", "-loglevel=net:info", "-nodebuglogfile")
    assert not log.enabled("net") and log.enabled("rpc")
    assert not (tmp_path / "debug.log").exists()


def test_reopening_after_rotation(tmp_path: Path) -> None:
    log = opened(tmp_path, "-nologtimestamps")
    log.info("first")
    (tmp_path / "debug.log").rename(tmp_path / "old.log")
    log.reopen()
    log.info("second")
    log.close()
    assert lines(tmp_path) == ["second"]


def test_shrinking(tmp_path: Path) -> None:
    path = tmp_path / "debug.log"
    path.write_bytes(b"x" * 12_000_000)
    log = DebugLog()
    log.path = path
    log.open(shrink=True)
    log.close()
    assert path.stat().st_size == 10_000_005
