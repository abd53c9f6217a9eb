"""`callboard pki init | renew DIR`: an authority of one's own, for a node and its applications."""

from __future__ import annotations

import argparse

from gateway.security.pki import DAYS, HOSTS, KINDS, TRUST_DOMAIN, PkiFolder
from gateway.surroundings import current


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    pki = commands.add_parser("pki")
    verbs = pki.add_subparsers(metavar="VERB", required=True)
    init = verbs.add_parser(
        "init",
        help="make an authority, a node's certificate and a client's",
        description="Make an authority, and of it a certificate for a node and one for clients, which hold "
        f"for {DAYS} days. Nothing that is there is written over.",
    )
    init.add_argument("folder", metavar="DIR")
    init.add_argument(
        "--host",
        action="append",
        metavar="NAME",
        help=f"how the node is called: a DNS name or an address; repeatable (default: {' '.join(HOSTS)})",
    )
    init.add_argument(
        "--trust-domain",
        default=TRUST_DOMAIN,
        metavar="DOMAIN",
        help=f"of the SPIFFE IDs in them (default: {TRUST_DOMAIN})",
    )
    init.set_defaults(run=_init)
    renew = verbs.add_parser(
        "renew",
        help="make new certificates in the place of those of a folder",
        description="Put certificates with new keys, the same names and another 90 days in the place of "
        "those that `init` made. Running nodes take them for the next connection, or on SIGHUP.",
    )
    renew.add_argument("folder", metavar="DIR")
    renew.add_argument("--only", choices=KINDS, help="this one alone")
    renew.set_defaults(run=_renew)


def _init(arguments: argparse.Namespace) -> int:
    folder = PkiFolder(arguments.folder, current().wall)
    made = folder.init(arguments.host or HOSTS, arguments.trust_domain)
    print(f"{folder.path}: {' '.join(made)}")
    host = (arguments.host or ["127.0.0.1"])[0]
    at = f"[{host}]" if ":" in host else host
    path = folder.file
    print("a node, and an application that it lets in:")
    node = f"--tls-cert {path('node.pem')} --tls-key {path('node.key')} --client-ca {path('ca.pem')}"
    client = f"--ca {path('ca.pem')} --tls-cert {path('client.pem')} --tls-key {path('client.key')}"
    print(f"  callboard start --listen {at}:46357 {node}")
    print(f"  callboard listen --connect https://{at}:46357 {client} --name org/demo/bob")
    print(f"who has {path('ca.key')} can let anybody in: keep it where no node runs")
    return 0


def _renew(arguments: argparse.Namespace) -> int:
    folder = PkiFolder(arguments.folder, current().wall)
    made = folder.renew((arguments.only,) if arguments.only else KINDS)
    print(f"{folder.path}: {' '.join(made)} renewed for {DAYS} days")
    return 0
