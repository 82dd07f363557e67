"""Forty secrets are sent in by every way there is; none is found in anything that the server writes or says."""

import base64
from pathlib import Path
from urllib.parse import quote

from tests.support.background import upstream_in_background
from tests.support.server import environment, run, serving, until
from tests.support.upstream import error_response

MASTER = "canary-master-0123456789abcdefXYZ"
VARIABLES = {
    "UNDERCROFT_MASTER_KEY": MASTER,
    "UNDERCROFT_TELEMETRY__METRICS_TOKEN": "canary-metrics-0123456789abcdefXYZ",
    "OPENAI_API_KEY": "canary-openai-0123456789abcdefXYZ",
    "ANTHROPIC_API_KEY": "canary-anthropic-0123456789abcdefXYZ",
    "GEMINI_API_KEY": "canary-gemini-0123456789abcdefXYZ",
    "MISTRAL_API_KEY": "canary-mistral-0123456789abcdefXYZ",
    "GROQ_API_KEY": "canary-groq-0123456789abcdefXYZ",
    "QDRANT_API_KEY": "canary-qdrant-0123456789abcdefXYZ",
    "WEAVIATE_API_KEY": "canary-weaviate-0123456789abcdefXYZ",
    "PINECONE_API_KEY": "canary-pinecone-0123456789abcdefXYZ",
}
PASSWORD = "canary password of ada 0123456789"
STORED = "canary-stored-0123456789abcdefXYZ"
SHAPED = [f"sk-canary{number:02}abcdefghij0123456789" for number in range(28)]
"""What looks like a provider's key: in headers, paths, queries, bodies that are refused, and errors of providers."""


def test_no_secret_that_was_sent_in_is_written_anywhere(tmp_path: Path) -> None:
    said: list[str] = []
    with upstream_in_background() as upstream:
        upstream.answers["leaky"] = lambda _: [error_response("401 Unauthorized", f"Incorrect API key: {SHAPED[0]}")]
        deployment = f'provider = "openai_compatible"\nbase_url = "{upstream.base_url}"\napi_key = "{{}}"\n'
        toml = "".join(
            f'[[models]]\nname = "{name}"\n[[models.deployments]]\n' + deployment.format(key)
            for name, key in (("chat", "secret:stored"), ("leaky", "env:OPENAI_API_KEY"))
        )
        with serving(tmp_path, toml=toml, extra=VARIABLES) as server:
            put = server.ask("/api/v1/secrets/stored", method="PUT", json={"value": STORED}, key=MASTER)
            assert put.status == 200
            user = {"user": "ada", "password": PASSWORD, "role": "viewer"}
            assert server.ask("/api/v1/users", json=user, key=MASTER).status == 201
            for password in (PASSWORD, PASSWORD + "x"):
                server.ask("/api/v1/session", json={"user": "ada", "password": password})
            until(lambda: server.chat(key=MASTER).status == 200)
            answers = [server.chat(model="leaky", key=MASTER), server.chat(key=MASTER, max_tokens="x")]
            for number, secret in enumerate(SHAPED[1:]):
                match number % 5:
                    case 0:
                        answers.append(server.chat(key=secret))
                    case 1:
                        answers.append(server.ask(f"/v1/models?api_key={secret}", key=MASTER))
                    case 2:
                        answers.append(server.ask("/v1/models", headers={"x-api-key": secret}))
                    case 3:
                        answers.append(server.ask("/api/v1/keys", json={"secret": secret}, key=MASTER))
                    case _:
                        answers.append(
                            server.ask("/api/v1/webhooks", json={"url": f"http://u:{secret}@h/"}, key=MASTER)
                        )
            pages = (
                "/health",
                "/metrics",
                "/api/v1/audit",
                "/api/v1/config",
                "/api/v1/models",
                "/api/v1/keys",
                "/docs",
            )
            answers += [server.ask(path, key=MASTER) for path in pages]
            said += [answer.body.decode() + str(answer.headers) for answer in answers]
            said += [server.stdout, server.stderr]
    for command in (["config", "show"], ["doctor"], ["secrets", "list"], ["audit", "list"]):
        done = run(tmp_path, *command, extra=VARIABLES)
        said += [done.stdout, done.stderr]
    said += [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    everything = "\n".join(said)
    assert environment(VARIABLES)["UNDERCROFT_MASTER_KEY"] == MASTER
    assert len(everything) > 100_000
    secrets = [*VARIABLES.values(), STORED, PASSWORD, *SHAPED]
    assert len(secrets) >= 40
    for secret in secrets:
        for form in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("=")[:-2]):
            assert form not in everything, secret
