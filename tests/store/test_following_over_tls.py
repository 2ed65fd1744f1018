"""Following, and standing in, across a network that others listen to: TLS, and a token."""

import shutil

import pytest
from followed_stores import put, wait_for
from store_servers import ServerProcess, make_certificate

from parsl_tl import open_store
from parsl_tl.native import native
from parsl_tl.store.connection import Connection
from parsl_tl.store.token import read_token
from parsl_tl.store.transports import connect

pytestmark = pytest.mark.slow

PLACE = "grpc+tls://127.0.0.1:0"


class Machine:
    """What a site has: a certificate, and the token that sites share."""

    def __init__(self, folder, token=None):
        self.folder = folder
        folder.mkdir()
        self.certificate, self.key = make_certificate(folder)
        self.token = folder / "token"
        if token is not None:
            shutil.copy(token, self.token)

    def serve(self, *options):
        return ServerProcess(
            self.folder / "store",
            PLACE,
            *("--tls-cert", self.certificate, "--tls-key", self.key),
            *("--token-file", self.token, *options),
        )


def followed(server):
    connection = Connection.parse(server.uri)
    client = native.ServerConnection(
        connect(connection), connection.address, read_token(connection.token_file), 10, 10
    )
    return client.followed()[0]


@pytest.fixture
def ended():
    servers = []
    yield servers
    for server in servers:
        server.end()


def test_a_replica_follows_and_stands_in(tmp_path, tools, ended):
    a = Machine(tmp_path / "a")
    ended.append(leader := a.serve())
    # Its own copies of the token and of the leader's certificate; the address alone came over.
    b = Machine(tmp_path / "b", a.token)
    trusted = shutil.copy(a.certificate, b.folder / "leader.pem")
    where = f"{leader.address}?token_file={b.token}&ca={trusted}"
    ended.append(replica := b.serve("--follow", where, "--replicate"))
    with open_store(leader.uri) as store:
        weights = put(store, tools, 1, 1, 2)
    wait_for(lambda: followed(replica)["segments_pulled"] == 1, "it came over")
    with open_store(f"{where} replica={replica.uri}", read_only=True) as store:
        leader.kill()
        assert tools.same(store.read(1), weights)
        assert store.is_stood_in_for == [True]


def test_who_is_not_let_in_or_not_trusted_gets_nothing(tmp_path, tools, ended):
    a = Machine(tmp_path / "a")
    ended.append(leader := a.serve())
    with open_store(leader.uri) as store:
        put(store, tools, 1, 1)
    b = Machine(tmp_path / "b")  # whose token is another one, made by its server
    b.token.write_text("something else\n")
    b.token.chmod(0o600)
    for number, (where, why) in enumerate(
        [
            (f"{leader.address}?token_file={b.token}&ca={a.certificate}", "token"),
            (f"{leader.address}?token_file={a.token}&ca={b.certificate}", ""),
            (f"{leader.address.replace('tls', 'tcp')}?token_file={a.token}", ""),
        ]
    ):
        follower = ServerProcess(
            tmp_path / f"follower{number}", "grpc+tcp://127.0.0.1:0", "--follow", where
        )
        ended.append(follower)
        wait_for(lambda follower=follower: followed_openly(follower)["problem"], "it is told")
        told = followed_openly(follower)
        assert why in told["problem"]
        assert told["models"] == 0
        assert not list(follower.folder.glob("followed/*/log"))


def followed_openly(server):
    connection = Connection.parse(server.uri)
    return native.ServerConnection(
        connect(connection), connection.address, None, 10, 10
    ).followed()[0]
