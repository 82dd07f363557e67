"""What the HTTP side promises."""

from starlette.testclient import TestClient


def test_it_lives(client: TestClient) -> None:
    assert client.get("/health/live").status_code == 200


def test_a_text_is_summarized(client: TestClient) -> None:
    answer = client.post("/summarize", json={"text": "Tests say what a program promises, and whether it does it."})

    assert answer.json() == {"summary": "A text about tests."}


def test_without_a_key_nobody_comes_in(client: TestClient) -> None:
    del client.headers["authorization"]

    assert client.post("/summarize", json={"text": "secret"}).status_code == 401
