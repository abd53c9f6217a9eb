"""Three clouds and an auth server on one loopback port.

`FakeClouds` plays, strictly, what the clients talk to: EC2 metadata (version 2), the ECS endpoint, STS (which
checks signatures), GCP metadata, Google's IAM credentials and token endpoints, Azure instance metadata, App
Service, the Azure login service, and the auth server, which believes only credentials issued here. A test
steers it by `clouds` (whose metadata answers) and by `faults` (the next replies of a path).
"""

from __future__ import annotations

import asyncio
import calendar
import contextlib
import json
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from identity.cloud.sigv4 import AwsCredentials, Signer, SigningRequest, sign_headers

ACCOUNT = "123456789012"
ROLE = "callboard-node"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
OTHER_ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/other"
USER_ARN = f"arn:aws:iam::{ACCOUNT}:user/ann"
REGION = "eu-west-1"
EMAIL = "node@project.iam.gserviceaccount.com"
OTHER_EMAIL = "other@project.iam.gserviceaccount.com"
SUBJECT = "112233445566778899"
OID = "0f6dbb27-1111-4222-8333-444455556666"
SUBSCRIPTION = "aaaabbbb-0000-4000-8000-ccccddddeeee"
TENANT = "9d1f2c34-0000-4000-8000-000000000001"
CLIENT_ID = "5a1f2c34-0000-4000-8000-000000000002"
RESOURCE_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/team-west-europe/providers/x/node"
MANAGEMENT = "https://management.azure.com/"
AUDIENCE = "https://authsvc.singlestore.com"
ISSUER = "https://auth.test"
POOL = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/somebody"

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
"""Signs for everybody in these clouds, and is the service account's key: what differs is the issuer."""
KEY_PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()


@dataclass
class Seen:
    """A request that arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    target: str

    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


@dataclass
class Reply:
    """An answer; `stream`, if set, writes what follows the head (and may never end)."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    stream: Callable[[asyncio.StreamWriter], Awaitable[None]] | None = None


def as_json(document: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status, json.dumps(document).encode(), {"Content-Type": "application/json", **headers})


def text(content: str, status: int = 200, **headers: str) -> Reply:
    return Reply(status, content.encode(), {"Content-Type": "text/plain", **headers})


NOT_FOUND = text("not here", 404)


async def endless(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 4096)
        await writer.drain()


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(b"x")
    await writer.drain()
    await asyncio.Event().wait()


@dataclass
class AwsKey:
    secret: str
    token: str
    arn: str
    user_id: str


class FakeClouds:
    """See the module. Use as an async context manager; `url` is its address."""

    def __init__(self, *clouds: str) -> None:
        self.clouds = set(clouds)
        self.seen: list[Seen] = []
        self.faults: dict[str, deque[Reply]] = defaultdict(deque)
        self.secrets: set[str] = {"user-secret", "ecs-authorization", "app-service-header", "client-secret"}
        self.aws: dict[str, AwsKey] = {"AKIAUSER": AwsKey("user-secret", "", USER_ARN, "AIDAUSER")}
        self.lifetime = 3600.0
        self.token_lifetime = 3600.0
        self.arrived = asyncio.Event()
        self._serial = 0
        self._imds_tokens: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []

    # Running

    async def __aenter__(self) -> FakeClouds:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._servers.append(server)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return self

    async def listen_on(self, path: Path) -> None:
        """Serve on a unix socket too: clients with fixed addresses can be connected there."""
        self._servers.append(await asyncio.start_unix_server(self._serve, path))

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def paths(self) -> list[str]:
        return [f"{seen.method} {seen.path}" for seen in self.seen]

    def count(self, path: str) -> int:
        return sum(seen.path == path for seen in self.seen)

    def last(self, path: str) -> Seen:
        return next(seen for seen in reversed(self.seen) if seen.path == path)

    def fail(self, path: str, *replies: Reply) -> None:
        self.faults[path].extend(replies)

    def secret(self, name: str) -> str:
        self._serial += 1
        made = f"{name}-secret-{self._serial}"
        self.secrets.add(made)
        return made

    # HTTP

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._exchange(reader, writer)
        self._tasks.discard(task)
        writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {
            name.lower(): value.strip() for name, _, value in (h.partition(":") for h in head[1:] if h)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        split = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        seen = Seen(method, unquote(split.path), query, headers, body, target)
        self.seen.append(seen)
        reply = self.faults[seen.path].popleft() if self.faults[seen.path] else self._answer(seen)
        self.arrived.set()
        length = {} if reply.stream else {"Content-Length": str(len(reply.body))}
        lines = {**reply.headers, **length, "Connection": "close"}
        writer.write(f"HTTP/1.1 {reply.status} X\r\n".encode())
        writer.write("".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode() + b"\r\n")
        writer.write(reply.body)
        await writer.drain()
        if reply.stream:
            await reply.stream(writer)

    def _answer(self, seen: Seen) -> Reply:
        routes: list[tuple[str, str, Callable[[Seen], Reply]]] = [
            ("aws", "/latest/", self._imds),
            ("gcp", "/computeMetadata/v1/", self._gcp_metadata),
            ("azure", "/metadata/", self._azure_metadata),
            ("", "/ecs/", self._ecs),
            ("", "/v1/projects/-/serviceAccounts/", self._iam_credentials),
            ("", "/google/token", self._google_token),
            ("", "/google/sts", self._google_sts),
            ("", "/foreign/token", self._foreign_token),
            ("", "/msi/token", self._app_service),
            ("", f"/{TENANT}/oauth2/v2.0/token", self._azure_login),
            ("", "/auth/iam/", self._auth_server),
        ]
        for cloud, prefix, handle in routes:
            if seen.path.startswith(prefix) and (not cloud or cloud in self.clouds):
                return handle(seen)
        return self._sts(seen) if (seen.method, seen.path) == ("POST", "/") else NOT_FOUND

    # Amazon

    def issue(self, arn: str) -> dict[str, str]:
        """New temporary credentials of an ARN."""
        user_id = "AIDAUSER" if arn == USER_ARN else "AROA4711:" + arn.rpartition("/")[2]
        key = AwsKey(self.secret("aws-key"), self.secret("aws-session"), arn, user_id)
        access = f"ASIA{len(self.aws)}"
        self.aws[access] = key
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.lifetime))
        return {
            "AccessKeyId": access,
            "SecretAccessKey": key.secret,
            "SessionToken": key.token,
            "Expiration": ends,
        }

    def _document(self, arn: str) -> Reply:
        found = self.issue(arn)
        return as_json({**found, "Token": found.pop("SessionToken"), "Code": "Success"})

    def _imds(self, seen: Seen) -> Reply:
        if (seen.method, seen.path) == ("PUT", "/latest/api/token"):
            if not 1 <= int(seen.headers.get("x-aws-ec2-metadata-token-ttl-seconds", 0)) <= 21600:
                return text("ttl", 400)
            token = self.secret("imds")
            self._imds_tokens.add(token)
            return text(token)
        if seen.headers.get("x-aws-ec2-metadata-token") not in self._imds_tokens:
            return text("no session", 401)
        role = "/latest/meta-data/iam/security-credentials/"
        plain = {
            "/latest/meta-data/instance-id": "i-0123456789",
            "/latest/meta-data/placement/region": REGION,
            role: ROLE,
        }
        if seen.path == role + ROLE:
            return self._document(f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/i-0123456789")
        return text(plain[seen.path]) if seen.path in plain else NOT_FOUND

    def _ecs(self, seen: Seen) -> Reply:
        if seen.headers.get("authorization") != "ecs-authorization":
            return text("no", 401)
        return self._document(f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/task")

    def _sts(self, seen: Seen) -> Reply:
        form = seen.form()
        assert form["Version"] == "2011-06-15"
        if form["Action"] == "AssumeRoleWithWebIdentity":
            if form["WebIdentityToken"] != "web-identity-token" or "authorization" in seen.headers:
                return self._sts_error("InvalidIdentityToken")
            return self._sts_credentials(form)
        caller = self._signed_by(seen)
        if caller is None:
            return self._sts_error("SignatureDoesNotMatch")
        match form["Action"]:
            case "GetCallerIdentity":
                return xml(
                    f"<Arn>{caller.arn}</Arn><UserId>{caller.user_id}</UserId><Account>{ACCOUNT}</Account>"
                )
            case "GetSessionToken":
                return self._xml_credentials(caller.arn, form["Action"])
            case "AssumeRole" if form["RoleArn"] in (ROLE_ARN, OTHER_ROLE_ARN):
                return self._sts_credentials(form)
        return self._sts_error("AccessDenied")

    def _sts_credentials(self, form: dict[str, str]) -> Reply:
        role = form["RoleArn"].rpartition("/")[2]
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{form['RoleSessionName']}"
        return self._xml_credentials(arn, form["Action"])

    def _xml_credentials(self, arn: str, action: str) -> Reply:
        members = "".join(f"<{name}>{value}</{name}>" for name, value in self.issue(arn).items())
        user = f"<AssumedRoleUser><Arn>{arn}</Arn></AssumedRoleUser>"
        return xml(f"<Credentials>{members}</Credentials>{user}", action)

    def _sts_error(self, code: str) -> Reply:
        said = " ".join(self.secrets)  # as the real one quotes the signed headers
        return xml_error(code, said)

    def _signed_by(self, seen: Seen) -> AwsKey | None:
        """Whose signature a request carries: made again with the key it names, over the headers it names."""
        scheme, _, rest = seen.headers.get("authorization", "").partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(",")) if rest else {}
        access, _, scope = parts.get("Credential", "").partition("/")
        if scheme != "AWS4-HMAC-SHA256" or access not in self.aws:
            return None
        key, (_, region, service, _) = self.aws[access], scope.split("/")
        if service != "sts" or seen.headers.get("x-amz-security-token", "") != key.token:
            return None
        moment = time.strptime(seen.headers["x-amz-date"] + "+0000", "%Y%m%dT%H%M%SZ%z")
        signer = Signer(AwsCredentials(access, key.secret), region, service, float(calendar.timegm(moment)))
        added = {"x-amz-date"}
        names = [name for name in parts["SignedHeaders"].split(";") if name not in added]
        headers = tuple((name, seen.headers[name]) for name in names)
        made = sign_headers(SigningRequest(seen.method, seen.target, headers, seen.body), signer)
        return key if made.value == parts["Signature"] else None

    # Google

    def google_token(self, email: str, audience: str) -> str:
        return self._signed(
            "https://accounts.google.com", SUBJECT, aud=audience, email=email, email_verified=True
        )

    def _gcp_metadata(self, seen: Seen) -> Reply:
        if seen.headers.get("metadata-flavor") != "Google":
            return text("no flavor", 403)
        flavor = {"Metadata-Flavor": "Google"}
        name = seen.path.removeprefix("/computeMetadata/v1/")
        account = "instance/service-accounts/default/"
        match name.removeprefix(account):
            case "instance/id":
                return text("4711", **flavor)
            case "instance/zone":
                return text("projects/1/zones/us-east4-c", **flavor)
            case "" | "email":
                return text(EMAIL, **flavor)
            case "identity" if seen.query.get("format") == "full":
                return text(self.google_token(EMAIL, seen.query["audience"]), **flavor)
            case "token":
                token = self.secret("gcp-access")
                return as_json({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}, **flavor)
        return text("no", 404, **flavor)

    def _iam_credentials(self, seen: Seen) -> Reply:
        bearer = seen.headers.get("authorization", "").removeprefix("Bearer ")
        wanted = json.loads(seen.body)
        if bearer not in self.secrets:
            return as_json({"error": {"code": 401}}, 401)
        if seen.path.endswith(":generateAccessToken"):
            assert wanted == {"scope": ["https://www.googleapis.com/auth/cloud-platform"]}
            return as_json({"accessToken": self.secret("gcp-access")})
        assert wanted["includeEmail"]
        email = seen.path.rpartition("/")[2].removesuffix(":generateIdToken")
        return as_json({"token": self.google_token(email, wanted["audience"])})

    def _google_token(self, seen: Seen) -> Reply:
        form = seen.form()
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        try:
            claims = jwt.decode(
                form["assertion"], KEY.public_key(), ["RS256"], audience=self.url + "/google/token"
            )
        except jwt.InvalidTokenError:
            return as_json({"error": "invalid_grant"}, 400)
        assert claims["iss"] == claims["sub"] == EMAIL
        assert jwt.get_unverified_header(form["assertion"])["kid"] == "key-1"
        if "target_audience" in claims:
            return as_json({"id_token": self.google_token(EMAIL, claims["target_audience"])})
        return as_json({"access_token": self.secret("gcp-access"), "expires_in": 3599})

    def _google_sts(self, seen: Seen) -> Reply:
        form = seen.form()
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
        assert form["requested_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
        if form["subject_token"] != "foreign-token" or form["audience"] != POOL:
            return as_json({"error": "invalid_grant"}, 400)
        return as_json({"access_token": self.secret("gcp-federated"), "expires_in": 3599})

    def _foreign_token(self, seen: Seen) -> Reply:
        good = seen.headers.get("x-wanted") == "yes"
        return as_json({"value": "foreign-token"}) if good else text("no", 403)

    # Microsoft

    def azure_token(self, client_id: str) -> str:
        mine = {"xms_mirid": RESOURCE_ID} if client_id == CLIENT_ID else {}
        return self._signed("https://sts.windows.net/", OID, aud=MANAGEMENT, oid=OID, appid=client_id, **mine)

    def _azure_metadata(self, seen: Seen) -> Reply:
        if seen.headers.get("metadata") != "true":
            return text("no", 400)
        if seen.path == "/metadata/instance":
            machine = {"subscriptionId": SUBSCRIPTION, "resourceGroupName": "group", "location": "westeurope"}
            return as_json({"compute": machine})
        if seen.path == "/metadata/identity/oauth2/token" and seen.query["resource"] == MANAGEMENT:
            token = self.azure_token(seen.query.get("client_id", CLIENT_ID))
            return as_json({"access_token": token, "expires_in": "86399"})
        return NOT_FOUND

    def _app_service(self, seen: Seen) -> Reply:
        if seen.headers.get("x-identity-header") != "app-service-header":
            return text("no", 401)
        assert seen.query["api-version"] == "2019-08-01"
        token = self.azure_token(seen.query.get("client_id", CLIENT_ID))
        return as_json({"access_token": token, "expires_on": str(int(time.time()) + 3600)})

    def _azure_login(self, seen: Seen) -> Reply:
        form = seen.form()
        good = (
            form.get("client_secret") == "client-secret" or form.get("client_assertion") == "federated-token"
        )
        if not good or form["scope"] != MANAGEMENT + ".default" or form["grant_type"] != "client_credentials":
            said = " ".join(form.values())
            return as_json({"error": "invalid_client", "error_description": said}, 401)
        return as_json({"access_token": self.azure_token(form["client_id"]), "expires_in": 3599})

    # The auth server

    def _auth_server(self, seen: Seen) -> Reply:
        who = self._believed(seen)
        if who is None:
            return as_json({"message": "who are you?"}, 401)
        provider, subject, forms = who
        wanted = seen.headers.get("x-s2iam-identity-format-preference", "").split(",")
        chosen = next((form for form in wanted if form in forms), "")
        kind = seen.path.rpartition("/")[2]
        token = self._signed(
            ISSUER,
            forms.get(chosen, subject),
            life=self.token_lifetime,
            provider=provider,
            jwtType=kind,
            workspaceGroup=seen.query.get("workspaceGroupID", ""),
            n=len(self.seen),
        )
        return as_json({"jwt": token, "identityFormat": chosen})

    def _believed(self, seen: Seen) -> tuple[str, str, dict[str, str]] | None:
        """(provider, subject, forms of the subject) of a request that proves its identity."""
        provider = seen.headers.get("x-cloud-provider", "gcp")
        if provider == "aws":
            key = self.aws.get(seen.headers["x-aws-access-key-id"])
            if not (
                key
                and key.token
                and seen.headers["x-aws-secret-access-key"] == key.secret
                and seen.headers["x-aws-session-token"] == key.token
            ):
                return None
            forms = {"aws-arn": key.arn}
            if ":assumed-role/" in key.arn:
                role = key.arn.split("/")[1]
                forms["aws-iam-role-arn"] = f"arn:aws:iam::{ACCOUNT}:role/{role}"
            return provider, key.arn, forms
        bearer = seen.headers.get("authorization", "").removeprefix("Bearer ")
        audience = AUDIENCE if provider == "gcp" else MANAGEMENT
        try:
            claims = jwt.decode(bearer, KEY.public_key(), ["RS256"], audience=audience)
        except jwt.InvalidTokenError:
            return None
        if provider == "gcp":
            return (
                provider,
                claims["sub"],
                {"gcp-sa-email": claims["email"], "gcp-sa-unique-id": claims["sub"]},
            )
        return provider, claims["oid"], {"azure-object-id": claims["oid"]}

    def _signed(self, issuer: str, subject: str, *, life: float = 3600.0, **claims: Any) -> str:
        now = time.time()
        token = jwt.encode(
            {"iss": issuer, "sub": subject, "iat": int(now), "exp": now + life, **claims}, KEY, "RS256"
        )
        self.secrets.add(token)
        return token


STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


def xml(inner: str, action: str = "GetCallerIdentity") -> Reply:
    """A good answer of STS to an action."""
    result = f"<{action}Result>{inner}</{action}Result>"
    return _xml(f'<{action}Response xmlns="{STS_NAMESPACE}">{result}</{action}Response>', 200)


def xml_error(code: str, message: str) -> Reply:
    inner = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return _xml(f'<ErrorResponse xmlns="{STS_NAMESPACE}">{inner}</ErrorResponse>', 403)


def _xml(document: str, status: int) -> Reply:
    text = '<?xml version="1.0" encoding="UTF-8"?>' + document
    return Reply(status, text.encode(), {"Content-Type": "text/xml"})


def external_account_file(folder: Path, clouds: FakeClouds, source: dict[str, Any], **change: Any) -> Path:
    """Credentials of type external_account that impersonate the service account EMAIL."""
    path = folder / "external.json"
    content = {
        "type": "external_account",
        "audience": POOL,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": clouds.url + "/google/sts",
        "service_account_impersonation_url": (
            f"{clouds.url}/v1/projects/-/serviceAccounts/{EMAIL}:generateAccessToken"
        ),
        "credential_source": source,
    }
    path.write_text(json.dumps({**content, **change}))
    return path


def service_account_file(folder: Path, clouds: FakeClouds, **change: Any) -> Path:
    """A key file of the service account EMAIL."""
    path = folder / "account.json"
    content = {
        "type": "service_account",
        "client_email": EMAIL,
        "private_key_id": "key-1",
        "private_key": KEY_PEM,
        "token_uri": clouds.url + "/google/token",
    }
    path.write_text(json.dumps({**content, **change}))
    return path
