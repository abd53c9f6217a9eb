"""A node's configuration as a whole, and what options say in it."""

from __future__ import annotations

from typing import Any

import pytest

from actors.names import Name
from gateway.config.admin import AdminConfig
from gateway.config.document import Document
from gateway.config.keys import Kind
from gateway.config.network import BackboneConfig, LimitsConfig, PeersConfig
from gateway.config.node import NodeConfig
from gateway.config.options import NODE_OPTIONS, key_at, overlaid
from identity.errors import ConfigError

PLAIN = {"insecure": True}
LISTENER = {"endpoint": "127.0.0.1:46357", "tls": PLAIN}


def service(**sections: Any) -> dict[str, Any]:
    return {"services": {"slim/0": {"dataplane": {"servers": [LISTENER]}, **sections}}}


def test_a_node_with_everything_of_ours() -> None:
    made = NodeConfig.read(
        {
            "services": {
                "slim/east": {
                    "node_id": "east",
                    "group_name": "g",
                    "dataplane": {
                        "servers": [LISTENER, {"endpoint": "127.0.0.1:0", "tls": PLAIN}],
                        "clients": [
                            {"endpoint": "http://a:1", "peer": True},
                            {
                                "endpoint": "http://b:1",
                                "announce": True,
                                "routes": ["org/ns/app", "org/ns/*"],
                            },
                        ],
                        "peers": {"identities": ["spiffe://example.org/node"]},
                    },
                    "admin": {"endpoint": "127.0.0.1:46380"},
                    "limits": {"subscriptions_per_peer": 10, "memory": 5},
                }
            },
            "runtime": {"drain_timeout": "3s"},
        }
    )
    assert (made.node_id, made.group, made.drain, len(made.servers)) == ("east", "g", 3.0, 2)
    peer, original = made.clients
    assert (peer.peer, original.peer, original.announce) == (True, False, True)
    assert original.routes == (Name.parse("org/ns/app"), Name.parse("org/ns/*"))
    assert made.peers == PeersConfig(None, ("spiffe://example.org/node",))
    assert made.admin == AdminConfig("127.0.0.1:46380")
    assert made.limits == LimitsConfig(subscriptions_per_peer=10, memory=5)


def test_a_backbone() -> None:
    section = {
        "url": "nats://a:4222, tls://b:4222",
        "username": "u",
        "password": "hidden",
        "require_mls": True,
    }
    made = NodeConfig.read(service(backbone=section)).backbone
    assert made is not None
    assert made.urls == ("nats://a:4222", "tls://b:4222")
    assert made.require_mls
    assert "hidden" not in repr(made)


ONE_PEER = {"endpoint": "http://a:1", "peer": True}


def dialling(*clients: Any, **sections: Any) -> dict[str, Any]:
    return {"services": {"slim/0": {"dataplane": {"clients": list(clients)}, **sections}}}


def listening(servers: Any) -> dict[str, Any]:
    return {"services": {"slim/0": {"dataplane": {"servers": servers}}}}


REFUSED = {
    "no service": ({}, "services: expected one service, such as slim/0"),
    "two services": ({"services": {"slim/0": {}, "slim/1": {}}}, "services: expected one service"),
    "another kind": ({"services": {"other/0": {}}}, "services.other/0: a service is called slim/NAME"),
    "nothing to do": ({"services": {"slim/0": {}}}, "a node listens or dials"),
    "a service that is none": ({"services": {"slim/0": None}}, "a node listens or dials"),
    "no dict": (5, "expected a section, got the number 5"),
    "a misspelt section": (
        service(dataplan={}), 'unknown key "services.slim/0.dataplan"; did you mean "dataplane"?',
    ),
    "servers that are no list": (listening({}), "servers: expected a list, got a section"),
    "a server that is none": (listening([5]), "servers[0]: expected a section, got the number 5"),
    "peers and backbone": (
        dialling(ONE_PEER, backbone={"url": "nats://a:1"}), "a node has peers or a backbone, not both",
    ),
    "a peer with routes": (
        dialling(ONE_PEER | {"routes": ["a/b/c"]}), "peer: peers tell one another their names",
    ),
    "one endpoint twice": (
        listening([LISTENER, LISTENER]),
        "servers[1].endpoint: 127.0.0.1:46357 is that of services.slim/0.dataplane.servers[0] already",
    ),
    "credentials in an endpoint": (
        dialling({"endpoint": "http://u:p@a:1"}), "user and password do not stand here: use auth",
    ),
    "a route that is no name": (
        dialling({"endpoint": "http://a:1", "routes": ["a"]}), "clients[0].routes: ",
    ),
    "no backbone": (service(backbone={}), "backbone.url: required, such as nats://127.0.0.1:4222"),
    "another backbone": (service(backbone={"url": "http://a"}), "expected nats://HOST:PORT or tls://"),
    "credentials in a url": (
        service(backbone={"url": "nats://u:p@a:1"}), "say user and password by their own keys",
    ),
    "two ways": (
        service(backbone={"url": "nats://a:1", "nkey": "f", "token": "t"}), "one way to say who we are",
    ),
    "half a user": (service(backbone={"url": "nats://a:1", "username": "u"}), "belong together"),
    "an open admin port": (service(admin={"endpoint": "0.0.0.0:46380"}), "needs a token, or tls with"),
    "no admin port": (service(admin={}), "admin.endpoint: required"),
    "an odd admin port": (service(admin={"endpoint": "here"}), "expected HOST:PORT or unix:///PATH"),
    "no limit": (service(limits={"connections": 0}), "limits.connections: at least 1, got 0"),
    "limits at odds": (
        service(limits={"subscriptions": 5, "subscriptions_per_peer": 6}), "at most those of all peers, 5",
    ),
    "a controller that is a peer": (
        service(controller={"clients": [{"endpoint": "http://a:1", "peer": True}]}),
        "controller.clients[0].peer: a controller's link carries no messages",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("value", "text"), REFUSED.values(), ids=REFUSED)
def test_a_node_is_refused_in_a_sentence(value: Any, text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        NodeConfig.read(value)
    assert text in str(refused.value)


def test_a_backbone_record_needs_no_file() -> None:
    assert BackboneConfig(("nats://a:1",)).require_mls is False


# Options


def with_options(text: str, **given: Any) -> NodeConfig:
    document = Document.parse(text, "node.yaml")
    return NodeConfig.read(
        overlaid(document, {f"--{flag.replace('_', '-')}": value for flag, value in given.items()}).value
    )


FILE = (
    "services: {slim/7: {dataplane: {servers: [{endpoint: 'h:1', tls: {insecure: true}, transport: grpc}]}}}"
)


def test_options_win_over_the_file() -> None:
    made = with_options(
        FILE, listen="h:2", node_id="n", group="g", drain="1s", max_message_size="10", controller="c:1"
    )
    (server,) = made.servers
    assert (server.endpoint, server.transport, server.max_message_size) == ("h:2", "grpc", 10)
    assert (made.node_id, made.group, made.drain) == ("n", "g", 1.0)
    assert made.controller.clients[0].endpoint == "http://c:1"
    assert made.controller.clients[0].plaintext


def test_files_of_certificates_at_the_command_line_end_what_the_file_says_of_no_tls() -> None:
    (server,) = with_options(FILE, tls_cert="c", tls_key="k", client_ca="a").servers
    assert not server.tls.insecure
    assert server.tls.certificate is not None
    assert server.tls.client_ca is not None


def test_peers_come_on_top_of_the_files_links() -> None:
    text = "services: {slim/0: {dataplane: {clients: [{endpoint: 'http://a:1'}]}}}"
    made = with_options(text, peer="b:1, https://c:2")
    assert [(client.endpoint, client.peer, client.plaintext) for client in made.clients] == [
        ("http://a:1", False, True), ("http://b:1", True, True), ("https://c:2", True, False),
    ]  # fmt: skip


def test_several_endpoints_make_listeners_that_are_the_same_otherwise() -> None:
    made = with_options(FILE, listen="h:2,[::1]:3", max_message_size="10")
    assert [(one.endpoint, one.transport, one.max_message_size) for one in made.servers] == [
        ("h:2", "grpc", 10), ("[::1]:3", "grpc", 10),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="h:2 is that of"):
        with_options(FILE, listen="h:2,h:2")


def test_port_0_is_another_one_each_time() -> None:
    made = with_options(FILE, listen="127.0.0.1:0,127.0.0.1:0")
    assert [one.endpoint for one in made.servers] == ["127.0.0.1:0"] * 2


@pytest.mark.parametrize(
    ("text", "given", "sentence"),
    [
        (
            "services: {slim/0: {dataplane: {servers: [{endpoint: 'h:1'}, {endpoint: 'h:2'}]}}}",
            {"--listen": "h:3"},
            "--listen is about one listener, and the file has 2",
        ),
        ("services: {a: {}, b: {}}", {"--node-id": "n"}, "--node-id is about one node"),
        ("services: []", {"--node-id": "n"}, "services: expected a section, got a list"),
        (
            "services: {slim/0: {dataplane: {servers: [5]}}}",
            {"--listen": "h:3"},
            "servers[0]: expected a section",
        ),
        ("5", {"--node-id": "n"}, "expected keys at the top"),
        ("", {"--basic-auth": "ann"}, "--basic-auth wants USER:PASSWORD"),
    ],
)
def test_an_option_that_does_not_fit(text: str, given: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        overlaid(Document.parse(text, "node.yaml"), given)
    assert sentence in str(refused.value)


def test_a_mistake_in_an_option_names_the_option() -> None:
    document = overlaid(Document.parse(FILE, "node.yaml"), {"--max-message-size": "many"})
    with pytest.raises(ConfigError) as refused:
        NodeConfig.read(document.value)
    sentence = "--max-message-size: expected a whole number, got the text 'many'"
    assert document.sentence(refused.value) == sentence


def test_an_overlaid_alias_changes_one_place() -> None:
    text = "services: {slim/0: {dataplane: {servers: [{endpoint: 'h:1', tls: &t {insecure: true}}]}, admin: {endpoint: 'localhost:1', tls: *t}}}"  # noqa: E501
    made = with_options(text, tls_cert="c", tls_key="k")
    assert made.admin is not None
    assert (made.servers[0].tls.insecure, made.admin.tls.insecure) == (False, True)


def test_every_option_has_a_key() -> None:
    for option in NODE_OPTIONS:
        assert option.key.name == option.path.rpartition(".")[2]
        assert option.is_switch == (option.flag == "--insecure")
        assert option.variable == "SLIM_" + option.flag[2:].upper().replace("-", "_")
    assert key_at("services.*.dataplane.servers[0].keepalive.time").kind is Kind.SECONDS
    with pytest.raises(KeyError):
        key_at("services.*.nothing")
    with pytest.raises(KeyError):
        key_at("services.*.node_id.nothing")
