"""Secrets of every kind are sent in by every way there is; none is found in anything that the system writes or says.

What callers say to models is looked for too: it is kept where they ask for it, and nowhere else.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode

import msgspec
import pytest

from tests.support import batches
from tests.support.background import upstream_in_background
from tests.support.canaries import Canaries, files, tables
from tests.support.collector import Collector, listening
from tests.support.http import Answer
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer, running_redis
from tests.support.sentry import Envelopes
from tests.support.server import Server, command, run, serving, started, until
from tests.support.upstream import DONE, STREAM_HEAD, Request, Step, Upstream, delta, error_response, event, response
from undercroft.access.secrets import fresh_key

FORM = {"content-type": "multipart/form-data; boundary=x"}
DATABASE = "file:.undercroft/undercroft.db"
"""With its log beside it; its tables are looked at one by one."""
BACKUP = "file:all.backup"


def kept(*places: str) -> tuple[str, ...]:
    """Where something may be that somebody asked to be kept: these tables or files, and what is made of them."""
    return (*places, DATABASE, BACKUP)


LABELS = kept("table:webhooks", "get:/api/v1/webhooks", "get:webhook", "command:webhooks list")
"""Where it is shown what somebody calls a webhook."""


@dataclass
class World:
    """An installation, what was sent in, and what came out."""

    folder: Path
    canaries: Canaries
    extra: dict[str, str]
    toml: str
    url: str | None
    redis: RedisServer | None
    upstream: Upstream
    collector: Collector = field(default_factory=Collector)
    sentry: Envelopes = field(default_factory=Envelopes)
    said: dict[str, str] = field(default_factory=dict)
    master: str = ""

    def hear(self, place: str, answer: Answer) -> Answer:
        """Keeps an answer, to be searched."""
        self.said[f"{place} #{len(self.said)}"] = f"{answer.status} {dict(answer.headers)} {answer.body.decode()}"
        return answer

    def type(self, *words: str, stdin: str = "", exit_codes: Iterable[int] = (0,)) -> str:
        """Types a command, and keeps what it says."""
        done = run(self.folder, *words, extra=self.extra, stdin=stdin)
        assert done.exit_code in exit_codes, (words, done.stderr)
        self.said[f"command:{' '.join(words)} #{len(self.said)}"] = done.stdout + done.stderr
        return done.stdout


def echo(request: Request) -> Iterable[Step]:
    """Says again what was asked last, whole or as a stream."""
    text = str(request.json.get("input") or request.json["messages"][-1]["content"])
    if request.json.get("stream"):
        return [STREAM_HEAD, event(delta(text)), event(delta("", finish_reason="stop")), DONE]
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    told = {"id": f"chatcmpl-{request.number}", "object": "chat.completion", "created": 1, "model": "m"}
    return [response(msgspec.json.encode({**told, "choices": [choice], "usage": usage}).decode())]


def blabbing(request: Request) -> Iterable[Step]:
    """An error that says again the key that was given, and what was asked."""
    said = request.json["messages"][-1]["content"]
    return [error_response("400 Bad Request", f"{request.headers['authorization']} asked: {said}")]


def deployment(name: str, upstream: Upstream, key: str, more: str = "") -> str:
    return (
        f'[[models]]\nname = "{name}"\ntries = 1\n[[models.deployments]]\nprovider = "openai_compatible"\n'
        f'base_url = "{upstream.base_url}"\napi_key = "{key}"\nprice = {{ input = "1", output = "2" }}\n{more}'
    )


@pytest.fixture(params=["embedded", "distributed"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    canaries = Canaries()
    with ExitStack() as stack:
        upstream = stack.enter_context(upstream_in_background())
        upstream.answers = {"chat": echo, "blabbing": blabbing, "literal": echo, "from-file": echo}
        url = redis = server = None
        if request.param == "distributed":
            server = cast("PostgresServer", request.getfixturevalue("postgres_server"))
            password = canaries.make("password of the database", "pw/{}+&=%")
            url = server.new_database().replace("postgres@", f"postgres:{quote(password, safe='')}@", 1)
            redis = stack.enter_context(running_redis())
        world = World(tmp_path, canaries, {}, "", url, redis, upstream)
        address = stack.enter_context(listening(world.collector))
        key = canaries.make("key of Sentry's address", "{}", allowed=("sentry",))  # it is Sentry's own
        dsn = stack.enter_context(world.sentry.listening(key))
        configure(world, address, dsn)
        yield world
        if server is not None and url is not None:
            server.drop(url)


def configure(world: World, collector: str, sentry: str) -> None:
    """Everything that the operator writes down."""
    make = world.canaries.make
    world.master = make("master key", "master-{}-/+")
    (world.folder / "key.txt").write_text(make("provider's key in a file", "file-{}", allowed=("file:key.txt",)))
    literal = make(
        "provider's key in the settings", "plain-{}", allowed=("file:undercroft.toml", "file:worker/undercroft.toml")
    )
    header = make("value of a deployment's header", "gateway {}/+=")
    encryption, former = fresh_key(), fresh_key()
    for name, text in (("encryption key", encryption), ("former encryption key", former)):
        world.canaries.know(name, text)
    world.extra = {
        "UNDERCROFT_MASTER_KEY": world.master,
        "ENCRYPTION_KEY": f"{encryption},{former}",
        "UNDERCROFT_TELEMETRY__METRICS_TOKEN": make("metrics token", "scrape/{}"),
        "UNDERCROFT_TELEMETRY__OTLP_HEADERS": msgspec.json.encode(
            {"authorization": make("OTLP header", "otlp {}")}
        ).decode(),
        "UNDERCROFT_DEPLOY__HOST__PROBE_KEY": make("probe key", "probe-{}"),
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "SENTRY_DSN": sentry,
        "TENANT_HEADER": header,
        "VAULT_TOKEN": make("Vault token", "hvs.{}"),
        "BACKUP_PASSPHRASE": make("passphrase of the backup", "correct horse {}"),
    }
    for provider in ("OPENAI", "ANTHROPIC", "GEMINI", "MISTRAL", "GROQ", "QDRANT", "WEAVIATE", "PINECONE"):
        world.extra[f"{provider}_API_KEY"] = make(f"key of {provider}", "key_{}")
    if world.url is not None:
        assert world.redis is not None
        world.extra["DATABASE_URL"] = world.url
        password = make("password of Redis", "redis-{}")
        assert world.redis.ask("CONFIG", "SET", "requirepass", password) == b"+OK\r\n"
        world.extra["REDIS_URL"] = world.redis.url.replace("//", f"//:{password}@")
    world.toml = "".join(
        (
            deployment("chat", world.upstream, "secret:stored", 'headers = { "x-tenant" = "env:TENANT_HEADER" }\n'),
            deployment("blabbing", world.upstream, "env:OPENAI_API_KEY"),
            deployment("literal", world.upstream, literal),
            deployment("from-file", world.upstream, "file:key.txt"),
            '[egress]\nallow = ["127.0.0.0/8"]\n[events]\nwebhook_timeout_s = 5\n',
        )
    )
    (world.folder / "undercroft.toml").write_text(world.toml)


@contextmanager
def running(world: World) -> Iterator[Server]:
    """The server: one process, or two gateways and a worker."""
    if world.url is None:
        with serving(world.folder, toml=None, extra=world.extra) as server:
            yield server
        return
    gateways, worker = (
        ("--role", "gateway,console", "--workers", "2"),
        command("serve", "--port", "0", "--role", "worker"),
    )
    with (
        serving(world.folder, *gateways, toml=None, extra=world.extra) as server,
        started(
            world.folder / "worker",
            worker,
            toml=world.toml.replace("file:key.txt", "file:../key.txt"),
            extra=world.extra,
        ),
    ):
        yield server


# What is sent in


def by_command(world: World) -> None:
    make = world.canaries.make
    if world.url is not None:
        world.type("migrate")
    world.type("secrets", "set", "stored", stdin=make("secret stored by command", "{}/+"))
    world.type("users", "create", "bob", stdin=make("password by command", "bob's {} horse"))
    made = run(world.folder, "keys", "create", "--name", "a", "--json", extra=world.extra)
    world.canaries.know("key made by command", msgspec.json.decode(made.stdout)["key"])


def by_management(world: World, server: Server) -> None:
    make, know = world.canaries.make, world.canaries.know

    def manage(method: str, path: str, body: object = None, *, shows: bool = False, status: int | None = None) -> Any:
        answer = server.ask(f"/api/v1{path}", method=method, json=body, key=world.master)
        assert answer.status < 300 if status is None else answer.status == status, (path, answer)
        if not shows:
            world.hear(f"answer:{method} {path}", answer)
        return answer.json if answer.body else None

    manage("PUT", "/secrets/other", {"value": make("secret stored over HTTP", "{}")})
    password = make("password over HTTP", "ada's {} horse")
    manage("POST", "/users", {"user": "ada", "password": password, "role": "viewer"})
    manage("PATCH", "/users/ada", {"password": (changed := make("changed password", "{} for ada"))})
    for given in (changed, password, make("wrong password", "not the {}")):
        answer = server.ask("/api/v1/session", json={"user": "ada", "password": given})
        if answer.status == 200:
            cookie = answer.headers["set-cookie"].partition(";")[0]
            know("cookie of a session", cookie.partition("=")[2])
            shown = server.ask("/api/v1/session", headers={"cookie": cookie}).json
            know("token against forged requests", shown["csrf_token"])
            world.hear("answer:by cookie", server.ask("/api/v1/usage", headers={"cookie": cookie}))
        else:
            world.hear("answer:sign in", answer)
    key = manage("POST", "/keys", {"name": "b"}, shows=True)
    know("key made over HTTP", key["key"])
    know("rotated key", manage("POST", f"/keys/{key['id']}/rotate", shows=True)["key"])
    hook = {
        "url": world.upstream.base_url.replace("/v1", "/hook"),
        "description": make("label of a webhook", "sk-{}", allowed=LABELS),
    }
    made = manage("POST", "/webhooks", hook, shows=True)
    know("secret of a webhook", made["secret"])
    said = make("what a webhook's receiver said", "receiver {}")
    world.upstream.answers["/hook"] = lambda _: [error_response("500 Oops", said)]
    manage("POST", f"/webhooks/{made['id']}/test")
    know("secret of jobs' webhooks", manage("POST", "/webhooks/job-secret", shows=True)["secret"])
    manage("POST", "/webhooks", {"url": f"http://u:{make('password in an address')}@h.example/"}, status=400)
    manage("POST", "/keys", {"secret": make("unknown field", "sk-{}")}, status=400)
    manage("POST", "/users", {"user": "eve", "password": 5, "role": make("field of a wrong type", "sk-{}")}, status=400)


def by_strangers(world: World, server: Server) -> None:
    """Credentials and headers that are wrong, and paths that lead nowhere."""
    make, hear, master = world.canaries.make, world.hear, world.master
    hear("answer:", server.chat(key=make("unknown key", "uc_abcd2345_{}abcdefghijk")))
    hear("answer:", server.chat(key=make("another service's key", "sk-{}")))
    hear("answer:", server.ask("/v1/models", headers={"x-api-key": make("key in a header", "sk-ant-{}")}))
    hear("answer:", server.ask("/v1/models", headers={"authorization": f"Basic {make('basic credentials')}"}))
    hear("answer:", server.ask("/v1/models", key=master, headers={"cookie": f"session={make('cookie')}"}))
    hear(
        "answer:",
        server.ask("/v1/models", key=master, headers={"x-forwarded-authorization": make("forwarded", "Bearer {}")}),
    )
    hear("answer:", server.ask(f"/v1/models?api_key={make('key in a query')}", key=master))
    hear("answer:", server.ask(f"/v1/models?{urlencode({'token': make('coded key in a query', 'sk-{}')})}", key=master))
    hear("answer:", server.ask(f"/v1/{make('key in a path', 'sk-{}')}", key=master))
    hear("answer:", server.ask(f"/api/v1/keys/{make('key in a template', 'sk-proj-{}')}", key=master))
    hear("answer:", server.ask("/v1/chat/completions", body=make("key as a body", "sk-{}").encode(), key=master))
    trace = make("key in a traceparent", "sk-{}")
    hear("answer:", server.ask("/v1/models", key=master, headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}))
    private = make("private key", "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----")
    hear("answer:", server.chat(model=private, key=master))


def by_callers(world: World, server: Server) -> None:
    """What is said to models. It is kept where that was asked for, and answers hold it, as they must."""
    make, master = world.canaries.make, world.master

    def ask(path: str, body: dict[str, Any], *, status: int = 200) -> Answer:
        answer = server.ask(path, json={"model": "chat", **body}, key=master)
        assert answer.status == status, answer
        return answer

    def talk(name: str, *allowed: str) -> list[dict[str, str]]:
        said = make(name, f"the {name} is {{}} today", allowed=allowed)
        return [{"role": "user", "content": said}]

    until(lambda: server.chat(key=master).status == 200)
    chat = "/v1/chat/completions"
    ask(chat, {"messages": talk("prompt")})
    ask(chat, {"messages": talk("streamed prompt"), "stream": True})
    ask("/v1/messages", {"messages": talk("prompt to Anthropic's route"), "max_tokens": 5})
    ask("/v1/responses", {"input": talk("unstored response"), "store": False})
    ask("/api/generate", {"prompt": talk("generated")[0]["content"]})
    query = urlencode({"model": "chat", "prompt": talk("prompt in a query")[0]["content"]})
    assert server.ask(f"/api/generate?{query}", method="POST", key=master).status == 200
    for model in ("literal", "from-file"):
        ask(chat, {"model": model, "messages": talk(f"prompt to {model}")})
    ask(chat, {"model": "blabbing", "messages": talk("prompt that a provider blabs")}, status=400)
    ask(chat, {"messages": [{"role": talk("prompt in the wrong place")[0]["content"], "content": "hi"}]}, status=400)
    ask(chat, {"messages": talk("prompt beside a mistake"), "max_tokens": "many"}, status=400)
    ask(
        chat,
        {"messages": talk("stored chat", *kept("table:chat_completions", "get:/v1/chat/completions")), "store": True},
    )
    answer = ask("/v1/responses", {"input": talk("stored response", *kept("table:responses")), "store": True})
    comment = make("comment", "a comment, {}", allowed=kept("table:feedback", "get:/api/v1/feedback"))
    said = {"response_id": answer.request_id, "score": 0, "comment": comment}
    assert server.ask("/api/v1/feedback", json=said, key=master).status == 201
    jobs = ("table:jobs", "table:job_events", "table:job_attempts", "get:/api/v1/jobs", "command:jobs list")
    for model, name in (("chat", "input of a job"), ("blabbing", "input of a job that fails")):
        wanted = {"kind": "chat", "input": {"model": model, "messages": talk(name, *kept(*jobs))}, "max_attempts": 1}
        key = make(f"idempotency key with the {name}", "sk-{}", allowed=kept("table:jobs"))
        made = server.ask("/api/v1/jobs", json=wanted, key=master, headers={"idempotency-key": key})
        assert made.status == 202, made
        at = f"/api/v1/jobs/{made.json['id']}"
        until(lambda at=at: server.ask(at, key=master).json["status"] in ("succeeded", "dead"))  # type: ignore[misc]
    blobs = ("file:.undercroft/files", "table:blob_pieces")
    content = make("content of a file", "file: {}", allowed=kept(*blobs)).encode()
    batches.upload(server, content, key=master)
    line = {"custom_id": "a", "method": "POST", "url": chat, "body": {"model": "chat"}}
    line["body"]["messages"] = talk("line of a batch", *kept(*blobs, *jobs, "table:batch_lines"))  # type: ignore[index]
    ordered = batches.order(server, msgspec.json.encode(line), key=master)
    until(lambda: server.ask(f"/v1/batches/{ordered}", key=master).json["status"] == "completed", within_s=60)


# What comes out


def over_http(world: World, server: Server) -> None:
    """Everything that can be got, and what the log, the traces and the ledger have made of it all."""
    paths = server.ask("/openapi.json", key=world.master).json["paths"]
    plain = [path for path, item in paths.items() if "get" in item and "{" not in path]
    assert len(plain) > 25
    more = (
        "/",
        "/docs",
        "/openapi.json",
        "/metrics",
        "/health",
        "/api/v1/usage?by=model&format=csv",
        "/api/v1/aliases/x",
    )
    for path in (*plain, *more):
        world.hear(f"get:{path}", server.ask(path, key=world.master))
    openmetrics = {"accept": "application/openmetrics-text"}
    world.hear("get:/metrics", server.ask("/metrics", key=world.master, headers=openmetrics))
    for trace in server.ask("/api/v1/traces", key=world.master).json["data"]:
        world.hear("get:trace", server.ask(f"/api/v1/traces/{trace['trace']}", key=world.master))
    for hook in server.ask("/api/v1/webhooks", key=world.master).json["data"]:
        world.hear("get:webhook", server.ask(f"/api/v1/webhooks/{hook['id']}/deliveries", key=world.master))
    until(lambda: len(server.rows(world.url)) > 10)
    for row in server.rows(world.url):
        world.hear("get:explanation", server.ask(f"/api/v1/requests/{row.id}/explanation", key=world.master))
    request = next(row.id for row in server.rows(world.url) if row.status == 200)
    world.type("why", request)


def by_commands(world: World) -> None:
    """Each starts a Python of its own, so only those that show something of the database itself are typed again where
    that is another one."""
    at_both = (("config", "show"), ("audit", "export", "audit.jsonl"), ("ledger", "verify"), ("backup", "all.backup"))
    alike = (
        ("config", "show", "--json"), ("config", "check"), ("secrets", "list"), ("audit", "list", "--json"),
        ("keys", "list", "--json"), ("users", "list"), ("webhooks", "list", "--json"), ("usage", "--csv"),
        ("jobs", "list", "--json"), ("batches", "list"), ("models", "list"), ("prompts", "list"),
        ("doctor", "--errors"),
    )  # fmt: skip
    for words in (*at_both, *(alike if world.url is None else ())):
        world.type(*words)
    world.type("doctor", "--report", "report.json", exit_codes=(0, 1))  # no service of these keys is there


def searched(world: World) -> dict[str, str]:
    """All of what was said and written, by its place."""
    said = dict(world.said)
    said |= {f"collector #{number}": str(each) for number, each in enumerate(world.collector.requests)}
    said |= {f"sentry #{number}": body for number, body in enumerate(world.sentry.bodies)}
    hooks = [each for each in world.upstream.requests if each.path == "/hook"]
    said |= {f"webhook #{number}": f"{each.headers} {each.body!r}" for number, each in enumerate(hooks)}
    said |= dict(tables(world.folder, world.url))
    said |= dict(files(world.folder))
    if world.redis is not None:
        from redis import Redis

        with Redis.from_url(world.extra["REDIS_URL"]) as client:
            said |= {f"redis:{key!r}": str(client.dump(key)) for key in client.scan_iter()}
    return said


def test_no_secret_that_was_sent_in_is_written_anywhere(world: World) -> None:
    by_command(world)
    with running(world) as server:
        by_management(world, server)
        by_strangers(world, server)
        by_callers(world, server)
        over_http(world, server)
    by_commands(world)
    said = searched(world)

    assert len(world.canaries.planted) >= 70
    assert sum(map(len, said.values())) > 1_000_000
    for place in (
        "file:stdout",
        "file:stderr",
        "get:/metrics",
        "table:audit",
        "table:calls",
        "table:events",
        "webhook",
        "collector",
    ):
        assert any(each.startswith(place) and len(text) > 20 for each, text in said.items()), f"nothing of {place}"
    assert world.canaries.found_in(said) == []
    unseen = [
        name
        for name, each in world.canaries.planted.items()
        if each.allowed and not any(each.text in text for text in said.values())
    ]
    assert unseen == ["key of Sentry's address"], "what may be somewhere is found there: the search does search"
