"""``parsl-tl store status``, ``ping`` and ``stop``: looking after servers."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from parsl_tl.errors import InvalidValueError, StoreError
from parsl_tl.reporting.sizes import counted, show_bytes

if TYPE_CHECKING:
    from parsl_tl.store.connection import Connection

_WHERE = (
    "connection strings of servers (grpc+tcp://host:port), their address files, or MODEL_SERVERS"
)


def add_server_actions(actions: Any) -> None:
    """Adds the actions to those of ``parsl-tl store``."""
    for name, run, what in (
        ("status", _status, "what servers hold and do"),
        ("ping", _ping, "whether servers answer, and how fast"),
        ("stop", _stop, "end servers, after the requests at work"),
    ):
        parser = actions.add_parser(name, help=what, description=what)
        parser.add_argument("servers", nargs="+", help=_WHERE)
        parser.add_argument("--token-file", metavar="FILE", help="the secret that servers share")
        parser.add_argument(
            "--timeout", type=float, default=5.0, metavar="SECONDS", help="for an answer (5)"
        )
        parser.set_defaults(run=run)
        if name == "status":
            parser.add_argument("--json", action="store_true", help="as JSON")
        if name == "ping":
            parser.add_argument("--count", type=int, default=10, help="questions (default 10)")


def _each(args: argparse.Namespace, do: Callable[[Connection, Any], None]) -> int:
    """Does something with every server; 1 if one of them failed."""
    from parsl_tl.native import native
    from parsl_tl.store.connection import find_replicas, find_servers
    from parsl_tl.store.token import read_token
    from parsl_tl.store.transports import connect

    if args.timeout <= 0:
        raise InvalidValueError(f"--timeout {args.timeout} must be more than 0")
    failed = 0
    uri = " ".join(args.servers)
    servers = find_servers(uri, token_file=args.token_file)
    for server in [*servers, *find_replicas(uri, token_file=args.token_file)]:
        token = read_token(server.token_file) if server.token_file else None
        with _reporting(server) as failures:
            do(
                server,
                native.ServerConnection(connect(server), server.address, token, args.timeout, 0.0),
            )
        failed = failed or len(failures)
    return 1 if failed else 0


@contextmanager
def _reporting(server: Connection) -> Iterator[list[StoreError]]:
    """Says what went wrong with one server, and goes on with the next."""
    failures: list[StoreError] = []
    try:
        yield failures
    except StoreError as error:
        failures.append(error)
        print(f"{server.address}: {type(error).__name__}: {error}")


def _ping(args: argparse.Namespace) -> int:
    if args.count < 1:
        raise InvalidValueError(f"--count {args.count} must be at least 1")

    def ping(server: Connection, connection: Any) -> None:
        connection.ping()  # the first connects
        times = []
        for _ in range(args.count):
            start = time.perf_counter()
            connection.ping()
            times.append(1e6 * (time.perf_counter() - start))
        print(
            f"{server.address}: {counted(args.count, 'answer')}, {min(times):.0f} us at best, "
            f"{statistics.median(times):.0f} us median, {max(times):.0f} us at worst"
        )

    return _each(args, ping)


def _stop(args: argparse.Namespace) -> int:
    def stop(server: Connection, connection: Any) -> None:
        connection.stop()
        print(f"{server.address}: is stopping")

    return _each(args, stop)


def _status(args: argparse.Namespace) -> int:
    found: list[dict[str, Any]] = []

    def ask(server: Connection, connection: Any) -> None:
        found.append(
            {
                "address": server.address,
                **connection.status(),
                "followed": connection.followed(),
            }
        )

    code = _each(args, ask)
    if args.json:
        print(json.dumps(found))
        return code
    for status in found:
        _show(status)
    return code


def _show(status: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    limit = status["memory_limit"]
    lines = {
        "server": f"{status['server_index'] + 1} of {status['server_count']}, process "
        f"{status['process_id']} on {status['host']}, parsl_tl {status['version']}",
        "store": status["store"],
        "folder": f"{status['folder']}, durability {status['durability']}",
        "up": f"{status['seconds_up']:.0f} s, {status['requests_per_second']:.1f} requests/s "
        "in the last 10 s",
        "models": f"{status['models']:,}, {show_bytes(status['bytes_live'])} of weights in "
        f"{show_bytes(status['bytes_segments'])} of files",
        "memory": show_bytes(status["bytes_memory"])
        + (f", limit {show_bytes(limit)}" if limit else ""),
        "clients": f"{status['clients']}, {counted(status['models_pinned'], 'model')} open, "
        f"{show_bytes(status['bytes_in_flight'])} on the way",
        "weights": f"{show_bytes(status['bytes_received'])} received, "
        f"{show_bytes(status['bytes_sent'])} sent",
    }
    console.print(f"[bold]{status['address']}[/bold]", highlight=False)
    for name, text in [*lines.items(), *(("follows", _followed(s)) for s in status["followed"])]:
        console.print(f"  {name:9}{text}", highlight=False, markup=False)
    table = Table()
    for column in ("request", "count", "errors", "mean us", "p50 us", "p99 us", "max us"):
        table.add_column(column, justify="left" if column == "request" else "right")
    for row in status["requests"]:
        times = (f"{row[name]:,.0f}" for name in ("mean_us", "p50_us", "p99_us", "max_us"))
        table.add_row(row["request"], f"{row['count']:,}", f"{row['errors']:,}", *times)
    console.print(table)


def _followed(store: dict[str, Any]) -> str:
    """One line on a store that a server follows."""
    silent = store["seconds_silent"]
    heard = "never heard" if silent < 0 else f"heard {silent:.1f} s ago"
    problem = f": {store['problem']}" if store["problem"] else ""
    return (
        f"{store['name']}, store {store['store'] or 'unknown'}, "
        f"{counted(store['models'], 'model')}, {store['models_behind']:,} behind, "
        f"{show_bytes(store['bytes_here'])} of weights here, "
        f"{show_bytes(store['bytes_pulled'])} pulled, {heard}{problem}"
    )
