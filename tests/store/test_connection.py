"""Connection strings, address files and token files."""

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsl_tl.errors import InvalidValueError, StorePermissionError
from parsl_tl.store.connection import Connection, find_servers
from parsl_tl.store.serving import ServerSettings, check
from parsl_tl.store.token import make_token, read_token
from parsl_tl.store.uri import is_remote

paths = st.text("abc/._-~ %&?=äé", min_size=1).map(lambda text: f"/{text}")
connections = st.builds(
    Connection,
    address=st.sampled_from(
        ["grpc+tcp://127.0.0.1:7000", "grpc+tls://host:1", "ofi+tcp://10.0.0.1:4000", "na+sm://9-0"]
    ),
    token_file=st.none() | paths,
    ca=st.none() | paths,
    provider_id=st.integers(0, 65535),
)


@given(connections)
def test_a_connection_is_what_its_string_says(connection):
    text = str(connection)
    assert Connection.parse(text) == connection
    assert len(text.split()) == 1  # spaces separate servers


@given(paths)
def test_a_socket_may_lie_anywhere(path):
    connection = Connection(f"grpc+unix://{path}")
    assert Connection.parse(str(connection)) == connection
    assert len(str(connection).split()) == 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("http://x:1", "no store's server"),
        ("grpc+tcp", "no store's server"),
        ("grpc+tcp://", "no address"),
        ("grpc+tcp://h:1?tokens=x", "unknown option 'tokens'"),
        ("grpc+tcp://h:1?x", "form"),
        ("ofi+tcp://h:1?provider_id=-1", "provider_id"),
        ("ofi+tcp://h:1?provider_id=70000", "provider_id"),
    ],
)
def test_what_is_no_connection_is_refused(text, what):
    with pytest.raises(InvalidValueError, match=what):
        Connection.parse(text)


def test_servers_come_from_strings_files_and_the_environment(tmp_path):
    (tmp_path / "a").write_text("grpc+tcp://a:1?token_file=/t\n")
    (tmp_path / "both").write_text("grpc+tcp://b:1\ngrpc+tcp://c:1\n")
    uri = f"{tmp_path}/a {tmp_path}/both ofi+tcp://d:1"
    servers = find_servers(uri, environment={"MODEL_SERVERS_TOKEN_FILE": "/e"})
    assert [server.address[-3:] for server in servers] == ["a:1", "b:1", "c:1", "d:1"]
    assert [server.token_file for server in servers] == ["/t", "/e", "/e", "/e"]
    environment = {"MODEL_SERVERS": uri}
    named = find_servers("MODEL_SERVERS", token_file="/n", environment=environment)
    assert [server.token_file for server in named] == ["/t", "/n", "/n", "/n"]
    assert is_remote(uri)
    assert is_remote("MODEL_SERVERS")
    assert not is_remote("embedded:/x")
    assert not is_remote(str(tmp_path))


@pytest.mark.parametrize(
    ("uri", "what"),
    [
        ("MODEL_SERVERS", "MODEL_SERVERS is empty"),
        ("/nowhere/address", "neither a server's connection string"),
        ("grpc+tcp://a:1 grpc+tcp://a:1", "named twice"),
    ],
)
def test_servers_that_cannot_be_found(uri, what):
    with pytest.raises(InvalidValueError, match=what):
        find_servers(uri, environment={})


def test_an_empty_address_file_says_so(tmp_path):
    (tmp_path / "address").touch()
    with pytest.raises(InvalidValueError, match="has the server started"):
        find_servers(str(tmp_path / "address"))


def test_a_token_is_made_once_and_for_its_owner(tmp_path):
    file = tmp_path / "token"
    first = make_token(file)
    assert make_token(file) == first == read_token(file)
    assert len(first) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_a_token_that_others_can_read_is_refused(tmp_path):
    file = tmp_path / "token"
    make_token(file)
    file.chmod(0o640)
    with pytest.raises(StorePermissionError, match="chmod 600"):
        read_token(file)
    with pytest.raises(StorePermissionError, match="cannot be read"):
        read_token(tmp_path / "missing")
    file.chmod(0o600)
    file.write_text("\n")
    with pytest.raises(InvalidValueError, match="empty"):
        read_token(file)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"address": "grpc+tcp://0.0.0.0:0"}, "--insecure"),
        ({"address": "grpc+tcp://:0"}, "--insecure"),
        ({"address": "ofi+tcp://10.1.2.3:0"}, "--insecure"),
        ({"address": "ofi+verbs://"}, "--insecure"),
        ({"address": "grpc+tcp://127.0.0.1:0", "folder": None}, "--data"),
        ({"address": "grpc+tls://127.0.0.1:0"}, "certificate"),
        ({"address": "grpc+tcp://127.0.0.1:0", "tls_cert": "x"}, "grpc\\+tls"),
        ({"address": "grpc+tcp://127.0.0.1:0", "threads": 0}, "threads"),
        ({"address": "grpc+tcp://127.0.0.1:0", "memory_limit": 0}, "memory_limit"),
        ({"address": "grpc+tcp://127.0.0.1:0", "durability": "none"}, "durability"),
        ({"address": "grpc+tcp://127.0.0.1:0?token_file=x"}, "by name"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, what):
    with pytest.raises(InvalidValueError, match=what):
        check(ServerSettings(**{"folder": "/x", **settings}))


@pytest.mark.parametrize(
    "address",
    ["grpc+tcp://127.0.0.1:0", "grpc+tcp://localhost:0", "grpc+tcp://[::1]:0", "na+sm://",
     "grpc+unix:///x", "ofi+tcp://127.0.0.1:0", "ofi+tcp://127.0.0.1"],
)  # fmt: skip
def test_what_only_this_machine_reaches_needs_no_token(address):
    check(ServerSettings(address=address, folder="/x"))
