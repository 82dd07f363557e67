"""Walls between organisations: every route with an id is tried with another organisation's, and every list is read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import msgspec
import pytest

from tests.support.http import Answer
from tests.support.keys import add_key
from tests.support.server import Server, serving, until
from undercroft.access.roles import ROLES

BOUNDARY = b"--x\r\n"
ASKED = b'{"model":"chat","messages":[{"role":"user","content":"hi"}]}'
LINE = b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":%b}' % ASKED
MINE = "globex"
TRACE = "0af7651916cd43dd8448eb211c80319c"
WORDS = {"kind": "model", "label": "production", "command": "rollback", "group": "organisation"}
"""Parameters that name nothing of anybody's."""
NOT_OF_A_TENANT = ("/v1/models/", "/api/v1/models/", "/api/v1/secrets/")
"""Models and stored secrets belong to the installation."""
SHOWN = (
    "/v1/chat/completions/{completion_id}",
    "/v1/responses/{response_id}",
    "/v1/files/{file_id}",
    "/v1/vector_stores/{vector_store_id}",
    "/v1/vector_stores/{vector_store_id}/files/{file_id}",
    "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}",
    "/v1/batches/{batch_id}",
    "/api/v1/jobs/{job_id}",
    "/api/v1/keys/{key}",
    "/api/v1/webhooks/{webhook_id}",
    "/api/v1/cache/{id}",
    "/api/v1/requests/{id}/explanation",
    "/api/v1/requests/{id}/content",
    "/api/v1/traces/{trace}",
    "/api/v1/versions/{kind}/{name}",
    "/api/v1/releases/{release_id}",
    "/api/v1/aliases/{alias}",
    "/api/v1/limits/{group}/{subject}",
)
"""What the first organisation can be shown of what it has made."""
MADE_BY_NAME = [("POST", "/api/v1/versions/{kind}/{name}")]
"""These make something of that name in the caller's own organisation."""


@dataclass(frozen=True)
class World:
    """A server with two organisations, and one thing of each kind that belongs to the first."""

    server: Server
    mine: str
    theirs: str
    ids: dict[str, str]
    """By the parameter's name in path templates; by `/first/part:name` where one name means several things."""

    def filled(self, template: str) -> str:
        """A path template with the first organisation's ids."""
        path = template
        for parameter in parameters_of(template):
            place = template.partition(f"/{{{parameter}}}")[0]
            found = WORDS.get(parameter) or self.ids.get(f"{place}:{parameter}") or self.ids.get(parameter)
            assert found, f"{template}: this test makes no {parameter} yet; a route with ids needs one"
            path = path.replace(f"{{{parameter}}}", found)
        return path

    def is_there(self, path: str) -> bool:
        """Whether its owner gets what a path template names."""
        return self.server.ask(self.filled(path), key=self.mine).status == 200


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serving(tmp_path_factory.mktemp("tenants")) as server:
        admin = tuple(ROLES["admin"])
        mine = add_key(server.folder, permissions=admin, organisation=MINE).text
        theirs = add_key(server.folder, permissions=admin, organisation="acme").text
        until(lambda: {server.ask("/api/v1/keys", key=key).status for key in (mine, theirs)} == {200})
        made_by_mine = World(server, mine, theirs, made(server, mine))
        for path in SHOWN:  # traces and records of calls are written in batches, a moment after the answer
            until(partial(made_by_mine.is_there, path))
        yield made_by_mine


def made(server: Server, key: str) -> dict[str, str]:
    def id_of(answer: Answer, field: str = "id") -> str:
        assert answer.status in (200, 201, 202), answer
        return str(answer.json[field])

    file = id_of(upload(server, key))
    batch = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    user = {"user": "somebody", "password": "correct horse battery"}
    headers = {
        "x-undercroft-cache-control": "use",
        "x-undercroft-content": "keep",
        "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
    }
    call = server.ask(
        "/v1/chat/completions", body=ASKED, headers={"content-type": "application/json", **headers}, key=key
    )
    model = server.ask("/api/v1/versions/model/my-model", json={"content": {"target": "chat"}}, key=key)
    release = {"alias": "my-alias", "model": f"my-model@{id_of(model, 'digest')}"}
    store = id_of(server.ask("/v1/vector_stores", json={"name": "a"}, key=key))
    taken_in = f"/v1/vector_stores/{store}"
    id_of(server.ask(f"{taken_in}/files", json={"file_id": file}, key=key))
    files = id_of(server.ask(f"{taken_in}/file_batches", json={"file_ids": [file]}, key=key))
    return {
        "/api/v1/requests:id": call.headers["x-request-id"],
        "/api/v1/cache:id": call.headers["x-undercroft-cache-id"],
        "/api/v1/limits/{group}:subject": MINE,
        "trace": TRACE,
        "name": "my-model",
        "release_id": id_of(server.ask("/api/v1/releases", json=release, key=key)),
        "alias": "my-alias",
        "vector_store_id": store,
        "/v1/vector_stores/{vector_store_id}/file_batches:batch_id": files,
        "completion_id": id_of(server.chat(key=key, store=True, metadata={"a": "b"})),
        "response_id": id_of(server.ask("/v1/responses", json={"model": "chat", "input": "hi"}, key=key)),
        "file_id": file,
        "batch_id": id_of(server.ask("/v1/batches", json=batch, key=key)),
        "job_id": id_of(server.ask("/api/v1/jobs", json={"kind": "generate", "input": {"prompt": "hi"}}, key=key)),
        "key": id_of(server.ask("/api/v1/keys", json={"name": "a"}, key=key)),
        "webhook_id": id_of(server.ask("/api/v1/webhooks", json={"url": "https://hooks.example.com/"}, key=key)),
        "user": id_of(server.ask("/api/v1/users", json=user, key=key), "user"),
    }


def upload(server: Server, key: str) -> Answer:
    body = BOUNDARY + b'Content-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n' + BOUNDARY
    body += b'Content-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n' + LINE + b"\r\n--x--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=x"}
    return server.ask("/v1/files", method="POST", body=body, headers=headers, key=key)


def routes(server: Server, key: str) -> list[tuple[str, str]]:
    paths = server.ask("/openapi.json", key=key).json["paths"]
    return [(method.upper(), path) for path, item in paths.items() for method in item]


def parameters_of(path: str) -> list[str]:
    return re.findall(r"{(\w+)}", path)


def bodies(method: str) -> list[bytes | None]:
    """One of these is what the route takes, so that it comes to look for the id."""
    if method in ("GET", "DELETE"):
        return [None]
    return [
        b"{}",
        b'{"metadata": {}}',
        b'{"query": "hi"}',
        b'{"attributes": {}}',
        b'{"limits": []}',
        b'{"file_id": "file-none"}',
        b'{"file_ids": ["file-none"]}',
        b'{"since": "2026-01-01T00:00:00Z"}',
        b'{"version": "latest"}',
        None,
    ]


def test_no_id_of_another_organisation_opens_anything(world: World) -> None:
    tried = 0
    for method, path in routes(world.server, world.mine):
        is_of_all = path.startswith(NOT_OF_A_TENANT) or (method, path) in MADE_BY_NAME
        if is_of_all or set(parameters_of(path)) <= WORDS.keys():
            continue
        filled = world.filled(path) + ("?before=latest" if path.endswith("/diff") else "")
        if method == "GET":
            assert world.server.ask(filled, key=world.mine).status != 404, f"{path} has to be there to be hidden"
        statuses = set()
        for body in bodies(method):
            headers = {} if body is None else {"content-type": "application/json"}
            answer = world.server.ask(filled, method=method, body=body, headers=headers, key=world.theirs)
            statuses.add(answer.status)
        assert 404 in statuses, (method, path, statuses)
        assert statuses <= {400, 404}, (method, path, statuses)
        tried += 1
    print(f"{tried} routes with ids, each with another organisation's")
    assert tried >= 20


def test_everything_is_still_there_and_unchanged(world: World) -> None:
    assert [path for path in SHOWN if not world.is_there(path)] == []
    key = world.server.ask(f"/api/v1/keys/{world.ids['key']}", key=world.mine).json
    assert (key["name"], key["revoked_at"]) == ("a", None)
    job = world.server.ask(f"/api/v1/jobs/{world.ids['job_id']}", key=world.mine).json
    assert job["status"] in ("queued", "running", "succeeded")


def test_no_list_shows_anything_of_another_organisation_whatever_the_cursor(world: World) -> None:
    lists = [path for method, path in routes(world.server, world.mine) if method == "GET" and "{" not in path]
    read = 0
    for path in lists:
        if path in ("/metrics", "/health", "/health/live", "/health/ready"):
            continue
        cursors = [f"{name}={each}" for each in world.ids.values() for name in ("after", "before")]
        for query in ["", *cursors, "limit=100", "action=key.", "by=key"]:
            answer = world.server.ask(f"{path}?{query}", key=world.theirs)
            shown = answer.body.decode()
            if answer.status == 200:
                read += 1
                for parameter, each in world.ids.items():
                    assert f'"{each}"' not in shown, (path, query, parameter)
    assert read > 20


def test_no_call_goes_on_from_another_organisations_things(world: World) -> None:
    ids = world.ids
    continued = {"model": "chat", "input": "and?", "previous_response_id": ids["response_id"]}
    assert world.server.ask("/v1/responses", json=continued, key=world.theirs).status in (400, 404)
    batch = {"input_file_id": ids["file_id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    assert world.server.ask("/v1/batches", json=batch, key=world.theirs).status in (400, 404)
    job = {"kind": "generate", "input": {"prompt": "hi"}, "idempotency_key": "the same"}
    first, second = (
        world.server.ask("/api/v1/jobs", json=job, key=key).json["id"] for key in (world.mine, world.theirs)
    )
    assert first != second


def test_what_one_organisation_changes_is_in_its_own_log_only(world: World) -> None:
    server = world.server
    assert server.ask("/api/v1/webhooks", json={"url": "https://acme.example.com/"}, key=world.theirs).status == 201
    mine = msgspec.json.encode(server.ask("/api/v1/audit", key=world.mine).json).decode()
    theirs = msgspec.json.encode(server.ask("/api/v1/audit", key=world.theirs).json).decode()
    assert ("acme.example.com" in mine, "acme.example.com" in theirs) == (False, True)
    assert ("hooks.example.com" in mine, "hooks.example.com" in theirs) == (True, False)


def test_a_team_of_the_same_name_is_another_one_in_another_organisation(world: World) -> None:
    path, limits = "/api/v1/limits/team/red", {"limits": [{"requests": 5}]}
    assert world.server.ask(path, method="PUT", json=limits, key=world.mine).status == 200
    first, second = (world.server.ask(path, key=key).json["data"] for key in (world.mine, world.theirs))
    assert ([each["amount"] for each in first], second) == (["5"], [])
    assert world.server.ask(path, method="PUT", json={"limits": []}, key=world.theirs).status == 200
    assert world.server.ask(path, key=world.mine).json["data"] == first
