"""What settings mean together is checked before the port opens."""

from pathlib import Path

import pytest

from undercroft.errors import ConfigurationError
from undercroft.settings.rules import is_loopback
from undercroft.settings.sources import Loaded, load

LONG_KEY = "a-master-key-that-is-long-enough"


def loaded(directory: Path, file: str = "", **environment: str) -> Loaded:
    (directory / "undercroft.toml").write_text(file)
    return load(config=None, environment=environment, directory=directory)


def refusal(directory: Path, file: str = "", **environment: str) -> str:
    with pytest.raises(ConfigurationError) as refused:
        loaded(directory, file, **environment)
    return str(refused.value)


def deployment(*lines: str, name: str = "chat") -> str:
    return "\n".join(["[[models]]", f'name = "{name}"', "[[models.deployments]]", *lines, ""])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "[::1]", "localhost"])
def test_loopback_is_open_to_this_machine_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com", "1"])
def test_any_other_address_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_listening_beyond_this_machine_needs_a_master_key_and_says_how_to_make_one(tmp_path: Path) -> None:
    told = refusal(tmp_path, '[server]\nhost = "0.0.0.0"\n')
    assert told.startswith("undercroft.toml:2: server.host is 0.0.0.0, which other machines can reach")
    assert "export UNDERCROFT_MASTER_KEY=$(" in told
    assert loaded(tmp_path, '[server]\nhost = "0.0.0.0"\n', UNDERCROFT_MASTER_KEY=LONG_KEY).warnings == ()


def test_a_master_key_that_can_be_guessed_is_warned_about(tmp_path: Path) -> None:
    (warning,) = loaded(tmp_path, UNDERCROFT_MASTER_KEY="short").warnings
    assert warning.endswith("access.master_key is shorter than 16 characters and can be guessed")


def test_a_master_key_must_fit_into_a_header(tmp_path: Path) -> None:
    assert "takes printable ASCII" in refusal(tmp_path, UNDERCROFT_MASTER_KEY="schlüssel-mit-umlaut")


@pytest.mark.parametrize("database", ["", "sqlite:///x.db"])
def test_celery_needs_postgresql(tmp_path: Path, database: str) -> None:
    told = refusal(tmp_path, CELERY_BROKER_URL="redis://x", DATABASE_URL=database)
    assert told.startswith("environment (CELERY_BROKER_URL): jobs.broker_url needs PostgreSQL; set DATABASE_URL=")
    assert loaded(
        tmp_path, CELERY_BROKER_URL="redis://x", DATABASE_URL="postgres://h/d"
    ).settings.database.is_postgresql


@pytest.mark.parametrize(
    ("told", "delivery"),
    [
        ({}, "inline"),
        ({"DATABASE_URL": "postgres://h/d"}, "postgres"),
        ({"DATABASE_URL": "postgres://h/d", "CELERY_BROKER_URL": "redis://x"}, "celery"),
        ({"DATABASE_URL": "postgres://h/d", "UNDERCROFT_JOBS__DELIVERY": "inline"}, "inline"),
    ],
)
def test_what_is_set_says_how_jobs_are_delivered(tmp_path: Path, told: dict[str, str], delivery: str) -> None:
    assert loaded(tmp_path, **told).settings.job_delivery == delivery


def test_with_celery_only_a_worker_runs_jobs(tmp_path: Path) -> None:
    services = {"DATABASE_URL": "postgres://h/d", "CELERY_BROKER_URL": "redis://x"}
    assert loaded(tmp_path).settings.runs_jobs
    assert not loaded(tmp_path, **services).settings.runs_jobs
    assert loaded(tmp_path, **services, UNDERCROFT_SERVER__ROLE="worker").settings.runs_jobs
    assert not loaded(tmp_path, UNDERCROFT_SERVER__ROLE="gateway").settings.runs_jobs


def test_a_delivery_without_what_it_needs_is_refused(tmp_path: Path) -> None:
    assert "set CELERY_BROKER_URL=" in refusal(tmp_path, UNDERCROFT_JOBS__DELIVERY="celery")
    assert "set DATABASE_URL=" in refusal(tmp_path, UNDERCROFT_JOBS__DELIVERY="postgres")
    assert "there are default" in refusal(tmp_path, UNDERCROFT_JOBS__SERVES='["nightly"]')


def test_an_address_of_another_database_is_refused(tmp_path: Path) -> None:
    assert "environment (DATABASE_URL): database.url names 'mysql'" in refusal(tmp_path, DATABASE_URL="mysql://h/d")


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (deployment('provider = "opnai"'), "undercroft.toml:4: models[0].deployments[0].provider takes one of"),
        (deployment('provider = "opnai"'), "got 'opnai'; did you mean 'openai'?"),
        (deployment('provider = "openai_compatible"'), "deployments[0].base_url is missing"),
        (deployment('provider = "openai_compatible"', 'base_url = "localhost:1/v1"'), "takes an address such as"),
        (deployment('provider = "openai_compatible"', 'base_url = "http://h:x/v1"'), "takes an address such as"),
        (deployment('provider = "openai"', 'base_url = "https://u:hunter2@h/v1"'), "https://[REDACTED]@h/v1"),
        (deployment('provider = "openai"', 'base_url = "https://h/v1?k=hunter2"'), "without ? and #"),
        (deployment('provider = "local"', 'api_key = "x"'), "means nothing for provider 'local'"),
        (deployment('provider = "openai"', 'script = "x"'), "only for 'scripted'"),
        (deployment('provider = "scripted"', name="local"), "undercroft.toml:2: models[0].name is 'local', a bundled"),
        (deployment('provider = "scripted"') * 2, "undercroft.toml:6: models[1].name is 'chat', as an earlier one"),
        ('[server]\ndefault_model = "x"', "there are local, local-embedding, local-moderation"),
        (deployment('provider = "scripted"') + '[server]\ndefault_model = "chatt"', "did you mean 'chat'?"),
        ('[server]\nrole = "all,gatway"', "got 'gatway'; did you mean 'gateway'?"),
        ('[server]\ntrusted_proxies = ["10.0.0.1/8"]', "did you mean 10.0.0.0/8?"),
        ('[egress]\nallow = ["all"]', "egress.allow[0] takes a network such as 10.0.0.0/8, got 'all'"),
        ('[egress]\nca_file = "none.pem"', "/none.pem, and there is no such file"),
        ('[local]\nchat_gguf = "none.gguf"', "/none.gguf, and there is no such file"),
        ('[provider_keys]\nopenia = "env:K"', "did you mean 'openai'?"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path: Path, file: str, told: str) -> None:
    complaint = refusal(tmp_path, file, K="x")
    assert told in complaint
    assert "hunter2" not in complaint


def test_a_default_model_may_be_any_name_while_a_key_opens_the_price_book(tmp_path: Path) -> None:
    file = '[server]\ndefault_model = "gpt-5-mini"'
    assert loaded(tmp_path, file, OPENAI_API_KEY="x").settings.server.default_model == "gpt-5-mini"


def test_a_provider_that_is_installed_besides_ours_is_known(tmp_path: Path) -> None:
    (tmp_path / "undercroft.toml").write_text(deployment('provider = "acme"'))
    assert load(config=None, environment={}, directory=tmp_path, providers=("acme",)).settings.models


@pytest.mark.parametrize(("provider", "variable"), [("openai", "OPENAI_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY")])
def test_a_deployment_that_can_never_have_a_key_is_warned_about(tmp_path: Path, provider: str, variable: str) -> None:
    (warning,) = loaded(tmp_path, deployment(f'provider = "{provider}"')).warnings
    assert warning == f"undercroft.toml:3: models[0].deployments[0] has no key; set {variable}, or api_key here"


@pytest.mark.parametrize("provider", ["openai_compatible", "vllm", "azure"])
def test_a_provider_whose_address_only_the_operator_knows_needs_it(tmp_path: Path, provider: str) -> None:
    told = refusal(tmp_path, deployment(f'provider = "{provider}"', 'api_key = "k"'))
    assert f"base_url is missing; {provider} needs it, e.g. http" in told


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ('Authorization = "Bearer x"', "is set by undercroft itself; use api_key"),
        ('X-Api-Key = "x"', "is set by undercroft itself; use api_key"),
        ('Host = "x"', "is set by undercroft itself"),
        ('Content-Length = "3"', "is set by undercroft itself"),
        ('Transfer-Encoding = "chunked"', "is set by undercroft itself"),
        ('Proxy-Authorization = "x"', "is set by undercroft itself"),
        ('"a b" = "x"', "is no name of an HTTP header"),
        ('X-Note = "two\\r\\nlines"', "takes printable ASCII"),
        ('X-Note = "ü"', "takes printable ASCII"),
    ],
)
def test_a_header_that_would_contradict_the_call_is_refused(tmp_path: Path, header: str, reason: str) -> None:
    told = refusal(
        tmp_path, deployment('provider = "openrouter"', 'api_key = "env:K"', f"headers = {{ {header} }}"), K="k"
    )
    assert told.endswith(reason)


def test_headers_of_ones_own_are_taken(tmp_path: Path) -> None:
    lines = ('provider = "openrouter"', 'api_key = "env:K"', 'headers = { "HTTP-Referer" = "https://example.com" }')
    (model,) = loaded(tmp_path, deployment(*lines), K="k").settings.models
    sent = {name: value.get_secret_value() for name, value in model.deployments[0].headers.items()}
    assert sent == {"HTTP-Referer": "https://example.com"}


def test_headers_and_versions_mean_nothing_to_who_is_not_called(tmp_path: Path) -> None:
    assert "headers means nothing for provider 'scripted'" in refusal(
        tmp_path, deployment('provider = "scripted"', 'headers = { a = "b" }')
    )
    assert "api_version means nothing for provider 'openai', only for 'azure'" in refusal(
        tmp_path, deployment('provider = "openai"', 'api_key = "env:K"', 'api_version = "2024-10-21"'), K="k"
    )


@pytest.mark.parametrize("version", ["", "2024-10-21&x=y", "a b", "x" * 41])
def test_a_version_fits_into_an_address(tmp_path: Path, version: str) -> None:
    lines = ('provider = "azure"', 'base_url = "https://r.openai.azure.com"', f'api_version = "{version}"')
    assert "api_version takes a version such as 2024-10-21" in refusal(tmp_path, deployment(*lines))


def test_a_services_key_is_missed_under_its_own_name(tmp_path: Path) -> None:
    (warning,) = loaded(tmp_path, deployment('provider = "mistral"')).warnings
    assert warning.endswith("has no key; set MISTRAL_API_KEY, or api_key here")
    assert loaded(tmp_path, deployment('provider = "mistral"'), MISTRAL_API_KEY="k").warnings == ()
    assert loaded(tmp_path, deployment('provider = "ollama"')).warnings == ()


def test_a_key_of_azure_alone_opens_nothing_and_says_so(tmp_path: Path) -> None:
    (warning,) = loaded(tmp_path, AZURE_OPENAI_API_KEY="k").warnings
    assert warning.endswith("provider_keys.azure opens no model by itself: [[models]] must say at which base_url")


def models_of(*names: str, **settings: str) -> str:
    """Models of a script; `settings` are lines of the first one's."""
    lines = "\n".join(f"{name} = {value}" for name, value in settings.items())
    return "\n".join(
        f'[[models]]\nname = "{name}"\n{"" if number else lines}\n[[models.deployments]]\nprovider = "scripted"\n'
        for number, name in enumerate(names)
    )


@pytest.mark.parametrize("setting", ["fallbacks", "fallbacks_on_context", "fallbacks_on_policy"])
@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (
            '["chta"]',
            "is 'chta', which is no model here; there are chat, local, local-embedding, local-moderation, other",
        ),
        ('["other", "chat"]', "is 'chat', the model itself: it cannot stand in for itself"),
        ('["other", "local", "other"]', "is 'other' a second time"),
    ],
)
def test_a_fallback_is_another_model_that_exists(tmp_path: Path, setting: str, names: str, complaint: str) -> None:
    told = refusal(tmp_path, models_of("chat", "other", **{setting: names}))
    assert f"models[0].{setting}" in told.replace("models.0", "models[0]")
    assert complaint in told


def test_models_may_stand_in_for_each_other(tmp_path: Path) -> None:
    file = models_of("chat", "other", fallbacks='["other", "local"]', on_cut='"continue"', coalesce="true")
    assert loaded(tmp_path, file + 'script = "x"').settings.models[0].fallbacks == ("other", "local")


def test_more_fallbacks_than_attempts_are_refused(tmp_path: Path) -> None:
    assert "fallbacks" in refusal(tmp_path, models_of("a", "b", "c", "d", "e", fallbacks='["b", "c", "d", "e"]'))


def test_capabilities_name_at_least_one_kind_of_call(tmp_path: Path) -> None:
    told = refusal(tmp_path, deployment('provider = "scripted"', 'capabilities = ["tools"]'))
    assert "capabilities names no kind of call; add at least one of chat, completions, embeddings, moderations" in told
    loaded(tmp_path, deployment('provider = "scripted"', 'capabilities = ["chat", "tools"]'))


def test_prompt_size_needs_to_know_a_size(tmp_path: Path) -> None:
    sized = '[[models]]\nname = "chat"\nstrategy = "prompt_size"\n[[models.deployments]]\nprovider = "scripted"\n'
    assert "strategy is prompt_size, and no deployment says its context_tokens" in refusal(tmp_path, sized)
    loaded(tmp_path, sized + "context_tokens = 8000\n")


def test_a_breaker_cannot_wait_for_more_failures_than_it_looks_back_at(tmp_path: Path) -> None:
    file = '[[models]]\nname = "chat"\nbreaker = { failures = 30 }\n[[models.deployments]]\nprovider = "scripted"\n'
    assert "breaker.failures is more than the 20 calls that are looked back at" in refusal(tmp_path, file)


def test_what_has_no_address_is_not_asked_how_it_is(tmp_path: Path) -> None:
    told = refusal(tmp_path, deployment('provider = "scripted"', "health_check_s = 5"))
    assert "health_check_s means nothing for provider 'scripted'" in told


@pytest.mark.parametrize(
    "line", ['tags = ["a b"]', 'region = ""', 'tags = ["a,b"]', "priority = -1", "max_waiting = -1"]
)
def test_a_tag_or_region_fits_into_its_header_and_counts_are_not_negative(tmp_path: Path, line: str) -> None:
    assert refusal(tmp_path, deployment('provider = "scripted"', line))


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ('[moderation]\ndefault_model = "judge"', "moderation.default_model is 'judge', which is no model here"),
        ('[[moderation.terms]]\ncategory = "hate"\nphrases = ["x", "?!"]', "takes words to look for, got '?!'"),
        ('[[moderation.terms]]\ncategory = "rude"\nphrases = ["x"]', "moderation.terms[0].category"),
        ('[[moderation.terms]]\ncategory = "hate"\nphrases = []', "moderation.terms[0].phrases"),
        ('[[moderation.terms]]\ncategory = "hate"\nphrases = ["x"]\nscore = 2', "moderation.terms[0].score"),
        (deployment('provider = "rules"', 'base_url = "http://a/v1"'), "means nothing for provider 'rules'"),
        (deployment('provider = "rules"', name="local-moderation"), "a bundled model's name"),
    ],
)
def test_moderation_settings_that_cannot_be_meant(tmp_path: Path, file: str, told: str) -> None:
    assert told in refusal(tmp_path, file)


def test_terms_of_ones_own_and_a_default_are_taken(tmp_path: Path) -> None:
    file = '[moderation]\ndefault_model = "chat"\n[[moderation.terms]]\ncategory = "hate"\nphrases = ["x y"]\n'
    settings = loaded(tmp_path, file + deployment('provider = "rules"')).settings
    assert settings.moderation.terms[0].phrases == ("x y",)


def test_an_encryption_key_that_is_none_is_refused_with_the_line_that_makes_one(tmp_path: Path) -> None:
    told = refusal(tmp_path, ENCRYPTION_KEY="nonsense")
    assert "encryption_key takes Fernet keys" in told
    assert "export ENCRYPTION_KEY=" in told
    assert "nonsense" not in told
