"""What your API promises."""

from starlette.testclient import TestClient


def test_it_is_healthy(client: TestClient) -> None:
    assert client.get("/health/live").status_code == 200


def test_a_text_is_summarized(client: TestClient) -> None:
    answer = client.post("/summarize", json={"text": "Tests say what a program promises, and whether it does it."})

    assert answer.status_code == 200
    assert answer.json() == {"summary": "A text about tests."}


def test_a_request_without_a_text_is_refused(client: TestClient) -> None:
    answer = client.post("/summarize", json={})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "text"


def test_openais_own_route_is_there(client: TestClient) -> None:
    answer = client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "Hello"}]})

    assert answer.json()["choices"][0]["message"]["content"] == "A text about tests."


def test_without_a_key_nobody_comes_in(client: TestClient) -> None:
    del client.headers["authorization"]

    assert client.post("/summarize", json={"text": "secret"}).status_code == 401
