"""The tree of `callboard ctl`: node, connection, route, channel, participant, controller, config, version."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from google.protobuf.json_format import MessageToDict

from gateway.api.version import get_version
from gateway.cli.ctl import settings
from gateway.cli.ctl.client import CallFailed, CtlClient, credentials, message_ids, pem
from gateway.cli.ctl.output import FORMATS, show
from gateway.cli.parsing import commands_of
from gateway.config import duration
from gateway.proto import controller_pb2 as pb
from gateway.proto import controlplane_pb2 as cp
from identity.errors import ConfigError
from identity.text import harmless

CONTROLLER, NODE = "127.0.0.1:50051", "127.0.0.1:46358"
Parsers = Any
"""argparse's own action is generic in a private class."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    top = commands.add_parser(
        "ctl",
        description="Ask and order a controller, or one node directly.",
    )
    tree = top.add_subparsers(metavar="COMMAND", required=True)
    _leaf(tree, "version", "the version of this tool", lambda _: print(f"callboard {get_version()}"))
    _config(tree)
    _nodes(tree)
    _controller(tree)
    inside = tree.add_parser(
        "controller", aliases=["c", "ctrl"], help="the same tree, as the original has it"
    )
    _controller(below := inside.add_subparsers(metavar="COMMAND", required=True))
    node = below.add_parser("node", aliases=["n", "instance", "i"], help="nodes of the controller")
    _node_list(node.add_subparsers(metavar="COMMAND", required=True))
    _add_options(top)


def _add_options(parser: argparse.ArgumentParser, *, anew: bool = True) -> None:
    """What a call is made with, and how its answer is shown: for a parser and all its commands."""
    # Without a default of their own, those of a command leave alone what was said before it. What a command
    # means by a letter of its own stays its own (`route outline -o`).
    taken = parser._option_string_actions

    def add(*flags: str, default: Any = None, **more: Any) -> None:
        free = [flag for flag in flags if flag not in taken]
        parser.add_argument(*free, default=default if anew else argparse.SUPPRESS, **more)

    add("-s", "--server", metavar="HOST:PORT", help=f"default: {CONTROLLER}; of a node {NODE}")
    add("--timeout", metavar="DURATION", help="how long a call may take (default: 15s)")
    add("-b", "--basic-auth-creds", metavar="USER:PASSWORD", help="who you are")
    add("--token-file", metavar="FILE", help="who you are: a bearer token")
    add("--tls.insecure", dest="tls_insecure", action="store_true", default=False, help="no TLS")
    for what in ("ca", "cert", "key"):
        add(f"--tls.{what}_file", dest=f"tls_{what}_file", metavar="FILE", help=f"TLS: {what}, PEM")
    add("-o", "--output", choices=FORMATS, default="table", help="default: table")
    for command in {id(one): one for one in commands_of(parser).values()}.values():
        _add_options(command, anew=False)


def _leaf(tree: Parsers, name: str, text: str, act: Callable[[argparse.Namespace], Any], **more: Any) -> Any:
    parser = tree.add_parser(name, help=text, **more)
    parser.set_defaults(run=act)
    return parser


def _branch(tree: Parsers, name: str, text: str, *aliases: str) -> Parsers:
    return tree.add_parser(name, help=text, aliases=list(aliases)).add_subparsers(
        metavar="COMMAND", required=True
    )


def _config(tree: Parsers) -> None:
    config = _branch(tree, "config", "what is remembered between calls")
    _leaf(config, "list", "show it", _config_list, aliases=["ls"])
    setting = _leaf(config, "set", "change it", lambda a: settings.write(a.key, a.value))
    setting.add_argument("key", choices=settings.KEYS)
    setting.add_argument("value")


def _config_list(arguments: argparse.Namespace) -> None:
    hidden = {"basic-auth-creds"}
    rows = [{"key": key, "value": "***" if key in hidden else one} for key, one in settings.read().items()]
    print(show(rows, ("key", "value"), arguments.output))


def _node_list(tree: Parsers) -> None:
    _leaf(tree, "list", "all nodes", _list_nodes, aliases=["ls"])


def _nodes(tree: Parsers) -> None:
    node = _branch(tree, "node", "nodes of the controller, and one node directly", "n", "instance", "i")
    _node_list(node)
    remove = _leaf(node, "forget", "deregister a node at the controller", _forget_node)
    remove.add_argument("node")
    connection = _branch(node, "connection", "connections of a node, asked directly", "conn")
    _leaf(connection, "list", "show them", _direct_connections, aliases=["ls"])
    route = _branch(node, "route", "routes of a node, asked directly")
    _leaf(route, "list", "show them", _direct_routes, aliases=["ls"])
    for verb, where in (("add", "FILE.json"), ("del", "URL")):
        change = _leaf(route, verb, f"{verb} ORG/NS/APP[/ID] via {where}", _direct_change)
        change.add_argument("name")
        change.add_argument("via", choices=["via"])
        change.add_argument("target", metavar=where)
        change.set_defaults(verb=verb)


def _controller(tree: Parsers) -> None:
    connection = _branch(tree, "connection", "connections of a node", "conn")
    listing = _leaf(connection, "list", "show them", _connections, aliases=["ls"])
    listing.add_argument("-n", "--node-id", required=True)
    route = _branch(tree, "route", "routes")
    listing = _leaf(route, "list", "what a node has", _subscriptions, aliases=["ls"])
    listing.add_argument("-n", "--node-id", required=True)
    for verb, where in (("add", "NODE|FILE.json"), ("del", "NODE|URL")):
        change = _leaf(route, verb, f"{verb} ORG/NS/APP[/ID] via {where} -n NODE", _change_route)
        change.add_argument("name")
        change.add_argument("via", choices=["via"])
        change.add_argument("target", metavar=where)
        change.add_argument("-n", "--node-id", required=True)
        change.set_defaults(verb=verb)
    outline = _leaf(route, "outline", "what is wanted and what is acknowledged", _outline)
    outline.add_argument("-o", "--origin-node-id", default="")
    outline.add_argument("-t", "--target-node-id", default="")
    channel = _branch(tree, "channel", "channels")
    create = _leaf(channel, "create", "have a moderator lead one: [NAME] moderators=A,B", _create_channel)
    create.add_argument("words", nargs="+", metavar="NAME|moderators=A,B")
    delete = _leaf(channel, "delete", "close one", _delete_channel)
    delete.add_argument("name")
    _leaf(channel, "list", "show them", _channels, aliases=["ls"])
    single = _leaf(channel, "show", "who leads one, who is in it, and its epoch", _channel)
    single.add_argument("name")
    participant = _branch(tree, "participant", "who is in a channel")
    for verb in ("add", "delete"):
        change = _leaf(participant, verb, f"{verb} NAME -c CHANNEL", _change_participant)
        change.add_argument("name")
        change.add_argument("-c", "--channel-id", required=True)
        change.set_defaults(verb=verb)
    listing = _leaf(participant, "list", "show them", _participants, aliases=["ls"])
    listing.add_argument("-c", "--channel-id", required=True)


def _client(arguments: argparse.Namespace, default: str = CONTROLLER) -> CtlClient:
    """The channel that flags and settings describe. Raises ConfigError."""
    known = settings.read()
    where = "--timeout" if arguments.timeout else f"timeout in {settings.path()}"
    timeout = duration(arguments.timeout or known.get("timeout", "15s"), where)
    basic = arguments.basic_auth_creds or ("" if arguments.token_file else known.get("basic-auth-creds", ""))
    token = arguments.token_file or ("" if basic else known.get("token-file", ""))
    files = {
        what: getattr(arguments, f"tls_{what}_file") or known.get(f"tls-{what}-file")
        for what in ("ca", "cert", "key")
    }
    insecure = arguments.tls_insecure or known.get("tls-insecure", "").lower() == "true"
    tls = None
    if not insecure and any(files.values()):
        tls = {what: pem(path) if path else None for what, path in files.items()}
    server = (arguments.server or known.get("server", default)).rpartition("://")[2]
    return CtlClient(server, timeout, credentials(basic, token), tls)


def _ask(arguments: argparse.Namespace, method: str, request: Any, reply: Any) -> Any:
    with _client(arguments) as client:
        return client.call(method, request, reply)


def _print(arguments: argparse.Namespace, messages: Any, *columns: str) -> None:
    rows = [
        MessageToDict(one, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        for one in messages
    ]
    print(show(rows, columns, arguments.output))


# At the controller


def _list_nodes(arguments: argparse.Namespace) -> None:
    nodes = _ask(arguments, "ListNodes", cp.NodeListRequest(), cp.NodeListResponse).entries
    rows = [
        {
            "id": one.id,
            "status": cp.NodeStatus.Name(one.status).removeprefix("NODE_STATUS_"),
            "endpoints": [address.endpoint for address in one.connections],
            "detail": one.detail,
        }
        for one in nodes
    ]
    print(show(rows, ("id", "status", "endpoints", "detail"), arguments.output))


def _forget_node(arguments: argparse.Namespace) -> None:
    _ask(arguments, "DeregisterNode", cp.Node(id=arguments.node), cp.DeregisterNodeResponse)
    print(f"node {arguments.node} is forgotten; if it still runs, it registers anew")


def _connections(arguments: argparse.Namespace) -> None:
    node = cp.Node(id=arguments.node_id)
    reply = _ask(arguments, "ListConnections", node, pb.ConnectionListResponse)
    _print(arguments, reply.entries, "id", "connection_type", "config_data")


def _subscriptions(arguments: argparse.Namespace) -> None:
    node = cp.Node(id=arguments.node_id)
    _show_subscriptions(
        arguments, _ask(arguments, "ListSubscriptions", node, pb.SubscriptionListResponse).entries
    )


def _show_subscriptions(arguments: argparse.Namespace, entries: Any) -> None:
    rows = [
        {
            "name": f"{one.component_0}/{one.component_1}/{one.component_2}",
            "id": str(one.id.value) if one.HasField("id") else "",
            "local": [str(connection.id) for connection in one.local_connections],
            "remote": [f"{connection.id} {connection.config_data}" for connection in one.remote_connections],
        }
        for one in entries
    ]
    print(show(rows, ("name", "id", "local", "remote"), arguments.output))


def _outline(arguments: argparse.Namespace) -> None:
    request = cp.RouteListRequest(srcNodeId=arguments.origin_node_id, destNodeId=arguments.target_node_id)
    routes = _ask(arguments, "ListRoutes", request, cp.RouteListResponse).entries
    _print(arguments, routes, "source", "name", "dest", "endpoint", "status", "attempts", "reason")


def _change_route(arguments: argparse.Namespace) -> None:
    subscription = _subscription(arguments.name)
    target = arguments.target
    by_url = "://" in target
    if arguments.verb == "add":
        request = cp.AddRouteRequest(nodeId=arguments.node_id, subscription=subscription)
        if target.endswith(".json"):
            request.connection.CopyFrom(_connection(target))
        else:
            request.destNodeId = target
        print(harmless(_ask(arguments, "AddRoute", request, cp.AddRouteResponse).routeId))
        return
    if by_url:
        subscription.connection_id = target
    deletion = cp.DeleteRouteRequest(
        nodeId=arguments.node_id, subscription=subscription, destNodeId="" if by_url else target
    )
    _ask(arguments, "DeleteRoute", deletion, cp.DeleteRouteResponse)
    print("deleted")


def _create_channel(arguments: argparse.Namespace) -> None:
    request = cp.CreateChannelRequest()
    for word in arguments.words:
        key, sign, value = word.partition("=")
        if sign and key == "moderators":
            request.moderators.extend(one.strip() for one in value.split(",") if one.strip())
        elif sign or request.channel_name:
            raise ConfigError(f"channel create wants [NAME] moderators=A,B, got {word!r}", field="channel")
        else:
            request.channel_name = word
    print(harmless(_ask(arguments, "CreateChannel", request, cp.CreateChannelResponse).channel_name))


def _delete_channel(arguments: argparse.Namespace) -> None:
    _ask(arguments, "DeleteChannel", pb.DeleteChannelRequest(channel_name=arguments.name), pb.Ack)
    print("deleted")


def _channels(arguments: argparse.Namespace) -> None:
    reply = _ask(arguments, "ListChannels", pb.ListChannelsRequest(), pb.ListChannelsResponse)
    _print(arguments, reply.groups, "channel_name", "moderators", "members", "epoch", "read_only", "node_id")


def _channel(arguments: argparse.Namespace) -> None:
    reply = _ask(arguments, "ListChannels", pb.ListChannelsRequest(), pb.ListChannelsResponse)
    found = [one for one in reply.groups if one.channel_name == arguments.name]
    if not found:
        raise CallFailed(
            "NOT_FOUND",
            f"there is no channel {arguments.name}; callboard ctl channel list shows those there are",
        )
    rows = [
        {"role": role, "name": name, "epoch": one.epoch, "read_only": one.read_only, "node_id": one.node_id}
        for one in found
        for role, names in (("moderator", one.moderators), ("member", one.members))
        for name in names
    ]
    print(show(rows, ("role", "name", "epoch", "read_only", "node_id"), arguments.output))


def _change_participant(arguments: argparse.Namespace) -> None:
    kind = pb.AddParticipantRequest if arguments.verb == "add" else pb.DeleteParticipantRequest
    request = kind(channel_name=arguments.channel_id, participant_name=arguments.name)
    _ask(arguments, kind.__name__.removesuffix("Request"), request, pb.Ack)
    print("added" if arguments.verb == "add" else "deleted")


def _participants(arguments: argparse.Namespace) -> None:
    request = pb.ListParticipantsRequest(channel_name=arguments.channel_id)
    reply = _ask(arguments, "ListParticipants", request, pb.ListParticipantsResponse)
    print(show([{"participant": one} for one in reply.participant_name], ("participant",), arguments.output))


# At one node


def _direct(arguments: argparse.Namespace, message: pb.ControlMessage, answer: str) -> list[Any]:
    """What a node answers, all pieces of it. Raises CallFailed."""
    message.message_id = next(message_ids)
    found = []
    with _client(arguments, NODE) as client:
        for one in client.ask_node(message):
            kind = one.WhichOneof("payload")
            if kind == answer:
                found.append(getattr(one, answer))
            elif kind == "ack" and one.ack.original_message_id == message.message_id and not one.ack.success:
                raise CallFailed("FAILED_PRECONDITION", "; ".join(one.ack.messages))
    if not found:
        raise CallFailed("UNAVAILABLE", "the node ended the call without an answer")
    return found


def _direct_connections(arguments: argparse.Namespace) -> None:
    message = pb.ControlMessage(connection_list_request=pb.ConnectionListRequest())
    pieces = _direct(arguments, message, "connection_list_response")
    entries = [entry for piece in pieces for entry in piece.entries]
    _print(arguments, entries, "id", "connection_type", "config_data")


def _direct_routes(arguments: argparse.Namespace) -> None:
    message = pb.ControlMessage(subscription_list_request=pb.SubscriptionListRequest())
    pieces = _direct(arguments, message, "subscription_list_response")
    _show_subscriptions(arguments, [entry for piece in pieces for entry in piece.entries])


def _direct_change(arguments: argparse.Namespace) -> None:
    subscription = _subscription(arguments.name)
    command = pb.ConfigurationCommand()
    if arguments.verb == "add":
        connection = _connection(arguments.target)
        command.connections_to_create.append(connection)
        subscription.connection_id = connection.connection_id
        command.subscriptions_to_set.append(subscription)
    else:
        subscription.connection_id = arguments.target
        command.subscriptions_to_delete.append(subscription)
    (ack, *_) = _direct(arguments, pb.ControlMessage(config_command=command), "config_command_ack")
    for one in (*ack.connections_status, *ack.subscriptions_status):
        if not one.success:
            raise CallFailed("FAILED_PRECONDITION", one.errorMsg)
    print("added" if arguments.verb == "add" else "deleted")


# What is written by hand


def _subscription(text: str) -> pb.Subscription:
    """ORG/NS/APP or ORG/NS/APP/ID. Raises ConfigError."""
    parts = text.split("/")
    if len(parts) not in (3, 4) or not all(parts) or (len(parts) == 4 and not parts[3].isdigit()):
        raise ConfigError(f"a route is for ORG/NS/APP or ORG/NS/APP/ID (decimal), got {text!r}", field="name")
    made = pb.Subscription(component_0=parts[0], component_1=parts[1], component_2=parts[2])
    if len(parts) == 4:
        made.id.value = int(parts[3])
    return made


def _connection(path: str) -> pb.Connection:
    """A file with a client configuration. Raises ConfigError."""
    text = pem(path).decode(errors="replace")
    try:
        endpoint = json.loads(text)["endpoint"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: a JSON object with an endpoint is wanted", field="connection") from error
    return pb.Connection(connection_id=str(endpoint), config_data=text)
