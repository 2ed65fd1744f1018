"""``parsl-tl store serve``: a server of a store, in the foreground."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TYPE_CHECKING, Any

from parsl_tl.errors import InvalidValueError

if TYPE_CHECKING:
    from parsl_tl.store.serving import StoreServer

_EXAMPLES = """\
examples:
  parsl-tl store serve grpc+tcp://127.0.0.1:0 --data /scratch/store --address-file address
  parsl-tl store serve ofi+tcp://10.0.0.1:4000 --data /local/store --token-file ~/.store-token
  parsl-tl store serve grpc+unix:///tmp/me/store.sock --durability memory --memory-limit 8GB
  parsl-tl store serve grpc+tcp://127.0.0.1:0 --data b --address-file b.address --follow a.address
  mpiexec -n 4 parsl-tl store serve grpc+tcp://hsn0:0 --mpi --data /local/store \\
    --token-file ~/.store-token --address-file addresses

Several servers make up one store: start one on each host, and give clients all addresses, always
in the same order: open_store("address.0 address.1"), or the environment variable MODEL_SERVERS.
"""
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def add_serve_action(actions: Any) -> None:
    """Adds ``serve`` to the actions of ``parsl-tl store``."""
    parser = actions.add_parser(
        "serve",
        help="serve a store to other processes and machines",
        description="Serves a store until SIGTERM, Ctrl-C, or `parsl-tl store stop`. Requests at "
        "work come to their end first.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "uri",
        metavar="URI",
        help="where to listen: grpc+tcp://host:port, grpc+tls://host:port, grpc+unix:///path, "
        "or by Thallium ofi+tcp://ip:port, ofi+verbs://..., ofi+cxi://..., na+sm://; port 0 picks "
        "a free one; the host may be a network interface of this machine",
    )
    parser.add_argument("--data", metavar="FOLDER", help="the store, on a local disk or tmpfs")
    parser.add_argument(
        "--threads", type=int, default=4, metavar="N", help="requests at once (default 4)"
    )
    parser.add_argument(
        "--memory-limit",
        type=parse_bytes,
        metavar="BYTES",
        help="such as 8GB: what models take with --durability memory, and weights on their way",
    )
    parser.add_argument(
        "--durability",
        choices=("memory", "os", "disk"),
        default="os",
        help="memory: models last as long as the server; os: they survive the death of any "
        "process (default); disk: and a power cut",
    )
    parser.add_argument(
        "--compression", choices=("none", "lz4", "zstd"), help="of a new store's weights"
    )
    parser.add_argument(
        "--provider-id", type=int, default=0, metavar="N", help="behind a Thallium address (0)"
    )
    parser.add_argument(
        "--address-file", metavar="FILE", help="write the connection string there, for clients"
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="the secret that clients must know; made, for its owner alone, if it is not there",
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="certificate (PEM), for grpc+tls")
    parser.add_argument("--tls-key", metavar="FILE", help="its key (PEM)")
    parser.add_argument(
        "--insecure", action="store_true", help="listen to other machines without a token"
    )
    parser.add_argument("--read-only", action="store_true", help="change nothing")
    parser.add_argument(
        "--damaged",
        action="store_true",
        help="with --read-only: serve a damaged store, as far as its log can be read",
    )
    parser.add_argument(
        "--group",
        action="store_true",
        help="let the group use a new store's folder, the socket and the address file; otherwise "
        "they are their owner's alone",
    )
    parser.add_argument(
        "--trace",
        metavar="FOLDER",
        help="record this server's part of traced searches there; RUN/events is where "
        "`parsl-tl trace RUN` looks",
    )
    parser.add_argument(
        "--follow",
        action="append",
        default=[],
        metavar="STORE",
        help="find donors in another store, too: connection strings or address files of its "
        "servers; once for each store, nearest first",
    )
    parser.add_argument(
        "--follow-budget",
        type=parse_bytes,
        metavar="BYTES",
        help="weights of followed stores that are kept, such as 20GB (default: all that came)",
    )
    parser.add_argument(
        "--replicate",
        action="store_true",
        help="bring all weights of followed stores here, for when they are lost",
    )
    parser.add_argument(
        "--mpi",
        action="store_true",
        help="be one of the servers of a store that an MPI launcher started: rank N has the folder "
        "server.N in --data, and rank 0 writes all addresses to --address-file",
    )
    parser.add_argument(
        "--deadline",
        "--patience",  # its name in earlier releases
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="for requests at work when it stops (default 10)",
    )
    parser.set_defaults(run=_run)


def parse_bytes(text: str) -> int:
    """Reads a number of bytes with a unit: ``8GB``, ``500 MB``, ``4096``."""
    cleaned = text.strip().upper().replace(" ", "")
    digits = cleaned.rstrip("KMGTB")
    unit = cleaned[len(digits) :]
    try:
        value = float(digits) * _UNITS[unit]
    except (ValueError, KeyError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of bytes; write 8GB, 500MB, or 4096"
        ) from None
    if not 1 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} must be at least one byte")
    return int(value)


def _run(args: argparse.Namespace) -> int:
    from parsl_tl.cli.store_ranks import on_interface, start_on_ranks
    from parsl_tl.store.serving import ServerSettings, StoreServer

    if args.deadline < 0:
        raise InvalidValueError(f"--deadline {args.deadline} must be at least 0")
    settings = ServerSettings(
        address=on_interface(args.uri),
        folder=args.data,
        threads=args.threads,
        memory_limit=args.memory_limit,
        durability=args.durability,
        provider_id=args.provider_id,
        token_file=args.token_file,
        tls_cert=args.tls_cert,
        tls_key=args.tls_key,
        insecure=args.insecure,
        compression=args.compression,
        read_only=args.read_only,
        shared="group" if args.group else None,
        damaged=args.damaged,
        trace=args.trace,
        follow=args.follow,
        follow_budget=args.follow_budget,
        replicate=args.replicate,
    )
    stop = _StopSignal()
    started = start_on_ranks(settings) if args.mpi else (StoreServer(settings), [])
    with started[0] as server:
        if args.address_file and started[1] is not None:
            server.write_address_file(args.address_file, started[1])
        print(f"serving {server.folder} at {server.connection}", flush=True)
        _serve(server, stop)
        print(f"stopping on {stop.name or 'request'}", flush=True)
        server.close(args.deadline)
    return 0


class _StopSignal:
    """Remembers SIGTERM and SIGINT instead of dying by them."""

    def __init__(self) -> None:
        self.name = ""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: object) -> None:
        self.name = signal.Signals(number).name


def _serve(server: StoreServer, stop: _StopSignal) -> None:
    # Signals are seen between two waits.
    while not stop.name and not server.wait(0.2):
        for text in server.take_warnings():
            print(f"warning: {text}", file=sys.stderr, flush=True)
