"""The sections of `undercroft.toml`: types, defaults, a line of documentation each (the reference is made of them)."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr

from undercroft.settings.deployment import Deploy
from undercroft.settings.presets import PRESETS
from undercroft.settings.releases import Releases
from undercroft.settings.retention import Retention
from undercroft.settings.section import Count, Name, Port, Positive, Seconds, Section, Text, Usd
from undercroft.settings.slo import Slo

PROVIDERS: Final = (*PRESETS, "anthropic", "azure", "gemini", "local", "local_embedding", "scripted", "rules")
"""What `provider` of a deployment may say; `assembly` passes a longer list where more are installed."""

LOCAL_MODELS: Final = ("local", "local-embedding", "local-moderation")
"""The bundled models and rules: names that are always there and that no `[[models]]` may take."""

ModerationCategory = Literal[
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
]
"""OpenAI's, which the built-in rules judge by."""

ModuleName = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$", examples=["my_app.events"])]
Capability = Literal[
    "chat",
    "completions",
    "embeddings",
    "moderations",
    "tools",
    "images",
    "audio",
    "files",
    "json_schema",
    "logprobs",
    "reasoning",
]


ROLES: Final = ("gateway", "worker", "console")


class ServerLimits(Section):
    """What one client may ask of the server."""

    max_body_bytes: Positive = 20_000_000
    """Largest request body; a larger one is 413."""
    max_json_depth: Positive = 128
    """Deepest nesting of a JSON body; a deeper one is 400."""
    max_messages: Positive = 10_000
    """Most messages of one conversation; more are 400."""
    max_head_bytes: Annotated[int, Field(ge=1024, le=1_048_576)] = 32_768
    """Largest request line and header fields together; larger ones are 431."""
    max_header_fields: Annotated[int, Field(ge=10, le=1000)] = 100
    """Most header fields of a request; more are 431."""
    max_connections: Positive = 10_000
    """Open client connections of one process; further ones are closed at once."""
    header_timeout_s: Seconds = 10.0
    """How long a client may take to send its request's head."""
    body_timeout_s: Seconds = 60.0
    """How long a client may take between two pieces of its request's body."""
    write_timeout_s: Seconds = 30.0
    """How long a client may read nothing of an answer that waits for it."""


class Server(Section):
    """The listening server."""

    host: Text = "127.0.0.1"
    """Address to listen on. Anything but loopback needs a master key."""
    port: Port = 8000
    """Port to listen on; 0 picks a free one."""
    workers: Positive = 1
    """Gateway processes."""
    role: str = "all"
    """What this process does: all, or a comma-separated list of gateway (AI routes), console (management), worker."""
    allowed_hosts: tuple[str, ...] = ()
    """Names besides localhost that the open door answers to in the `Host` header."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks (CIDR) whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""
    cors_origins: tuple[Text, ...] = ()
    """Origins (`https://app.example.com`) whose pages may call this server from a browser; default: none."""
    default_model: str | None = None
    """Answers requests that name no model; default: the first of `[[models]]`, else `local`."""
    accept_any_model: bool | None = None
    """Whether `local` answers for unknown model names; default: only when there are no keys and no `[[models]]`."""
    request_timeout_s: Seconds = 600.0
    """Longest time for one AI call, from its first byte to its last."""
    shutdown_grace_s: Seconds = 30.0
    """How long open answers may take to finish after SIGTERM."""
    limits: ServerLimits = ServerLimits.model_construct()

    @property
    def roles(self) -> frozenset[str]:
        """The names in `role`, `all` spelled out."""
        named = frozenset(role.strip() for role in self.role.split(","))
        return frozenset(ROLES) if "all" in named else named


class Database(Section):
    """Where everything relational lives."""

    url: SecretStr | None = None
    """`postgresql://…` or `sqlite:///path`; default (and `sqlite://`): SQLite in the data directory. (DATABASE_URL)"""
    pool_size: Positive = 8
    """PostgreSQL connections of one process."""

    @property
    def is_postgresql(self) -> bool:
        return self.url is not None and self.url.get_secret_value().startswith("postgres")


class Price(Section):
    """USD per million tokens, as decimal strings."""

    input: Usd
    """Prompt tokens."""
    output: Usd = "0"
    """Completion tokens."""
    cache_read: Usd | None = None
    """Prompt tokens read from the provider's cache; default: as `input`."""
    cache_write: Usd | None = None
    """Prompt tokens written to the provider's cache; default: as `input`."""
    reasoning: Usd | None = None
    """Completion tokens spent on reasoning; default: as `output`."""
    audio_input: Usd | None = None
    """Prompt tokens that were audio; default: as `input`."""
    audio_output: Usd | None = None
    """Completion tokens that are audio; default: as `output`."""


class Deployment(Section):
    """One place that can answer for a model."""

    provider: str
    """openai, anthropic, azure, gemini, one of the named services (groq, mistral, ollama …), openai_compatible, local,
    local_embedding, scripted or rules."""
    model: str | None = None
    """The provider's name for the model; default: the public name."""
    api_key: SecretStr | None = None
    """`env:NAME`, `file:PATH`, `secret:NAME`, or the text itself; default: the provider's usual variable."""
    base_url: str | None = None
    """Address up to and including the version, e.g. `https://api.example.com/v1`; for azure the resource's endpoint."""
    headers: dict[str, SecretStr] = {}
    """Sent along with every call, e.g. `{ "HTTP-Referer" = "https://example.com", "x-tenant-token" = "env:TOKEN" }`."""
    api_version: str | None = None
    """Provider `azure` only: asks in the form with the deployment in the path; default: the form under `/openai/v1`."""
    responses_api: bool | None = None
    """Whether it has `/responses` itself; default: OpenAI and Azure. Others are asked for chats instead."""
    weight: Positive = 1
    """Share of the calls among the model's deployments, for the strategies that go by it."""
    price: Price | None = None
    """Overrides the price book."""
    batch_price: Price | None = None
    """What lines of a batch cost here; default: what other calls do, for providers are asked them as any other call."""
    priority: Count = 0
    """Lower goes first; the next one answers only when nothing of a better one can take the call."""
    region: Name | None = None
    """Where it is: callers choose it with the header `x-undercroft-region`."""
    tags: tuple[Name, ...] = ()
    """What callers may ask for with the header `x-undercroft-tags`."""
    context_tokens: Positive | None = None
    """What prompt and answer may have together; a call that seems larger goes to another deployment."""
    capabilities: tuple[Capability, ...] | None = None
    """Kinds of call (chat, completions, embeddings, moderations) and what they may hold; default: everything."""
    max_concurrency: Positive | None = None
    """Calls it is given at once; further ones go to another deployment, or wait."""
    max_waiting: Count = 64
    """Calls that may wait for one of its `max_concurrency` places; further ones get 503."""
    max_wait_s: Seconds = 30.0
    """How long they wait."""
    health_check_s: Seconds | None = None
    """How often it is asked for its list of models, which costs nothing; default: never."""
    script: str | None = None
    """Provider `scripted` only: what it answers."""


Names = Annotated[tuple[Text, ...], Field(max_length=3)]
Tries = Annotated[int, Field(ge=1, le=4)]
OnCut = Literal["error", "continue"]


class Reliability(Section):
    """How calls are kept alive when a provider fails: for all models, unless one says otherwise."""

    tries: Tries = 3
    """Attempts at one model; a call has four in all, and each fallback keeps one of them."""
    connect_timeout_s: Seconds | None = None
    """Longest time for a connection to stand; default: as in `[egress]`."""
    first_token_timeout_s: Seconds | None = None
    """Streams: longest wait for the first word; default: 10 where another deployment or a fallback can answer, else
    as `first_byte_timeout_s` of `[egress]`."""
    whole_answer_timeout_s: Seconds | None = None
    """Answers that are not streamed: longest wait for them; default: as `first_byte_timeout_s` of `[egress]`."""
    between_chunks_timeout_s: Seconds | None = None
    """Streams: longest wait for the next piece; default: as `idle_timeout_s` of `[egress]`."""
    total_timeout_s: Seconds | None = None
    """Longest time for a call, tries and fallbacks included; default: as `request_timeout_s` of `[server]`."""
    on_cut: OnCut = "error"
    """When a stream breaks off in the middle: `error` tells the client; `continue` has the rest written by the same or
    another deployment, for plain text and providers that go on with an assistant's message."""
    coalesce: bool = False
    """Let identical calls of one key that are not streamed share one upstream call while it is under way."""


class Breaker(Section):
    """When a deployment is not asked at all any more, and how it comes back: one call at a time tries it."""

    failures: Count = 10
    """So many failed calls of the last `calls` stop it; 0: never."""
    calls: Annotated[int, Field(ge=1, le=1000)] = 20
    """How many calls are looked back at, of the last minute with a failure."""
    rest_s: Seconds = 10.0
    """How long it is left alone before the next call tries it."""


class Model(Section):
    """A public model name and what stands behind it."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """What callers ask for."""
    strategy: Literal["round_robin", "weighted", "least_busy", "fastest", "cheapest", "prompt_size"] = "round_robin"
    """How a deployment is chosen; weighted and least_busy go by weight, prompt_size takes the smallest that fits."""
    sticky: Literal["none", "user", "conversation"] = "none"
    """What stays with one deployment, so that its provider's prompt cache is hit, as long as that can take the call."""
    breaker: Breaker = Breaker.model_construct()
    drop_unsupported: bool = False
    """Leave out what a deployment cannot do, and say so in `x-undercroft-dropped`, instead of refusing the call."""
    fallbacks: Names = ()
    """Other models that answer, in this order, when this one cannot; at most three."""
    fallbacks_on_context: Names = ()
    """Models that answer when the prompt is too long for this one."""
    fallbacks_on_policy: Names = ()
    """Models that answer when this one's content policy refuses a call; without them the refusal is the answer."""
    tries: Tries | None = None
    """As in `[reliability]`, for this model, as are the next seven."""
    connect_timeout_s: Seconds | None = None
    """Longest time for a connection to stand."""
    first_token_timeout_s: Seconds | None = None
    """Streams: longest wait for the first word."""
    whole_answer_timeout_s: Seconds | None = None
    """Answers that are not streamed: longest wait for them."""
    between_chunks_timeout_s: Seconds | None = None
    """Streams: longest wait for the next piece."""
    total_timeout_s: Seconds | None = None
    """Longest time for a call, tries and fallbacks included."""
    on_cut: OnCut | None = None
    """What happens when a stream breaks off in the middle."""
    coalesce: bool | None = None
    """Whether identical calls share one upstream call."""
    cache: bool | None = None
    """Whether its answers are kept and given again; default: as `mode` of `[cache]`."""
    deployments: Annotated[tuple[Deployment, ...], Field(min_length=1)]
    """The places that can answer, at least one."""


class Local(Section):
    """The bundled models."""

    models_dir: Path | None = None
    """Where weights are looked for first. (UNDERCROFT_MODELS_DIR)"""
    chat_gguf: Path | None = None
    """A GGUF file of your own to serve as `local`."""
    slots: Positive = 4
    """Chat answers generated at once; others wait."""
    queue: Positive = 64
    """Calls that may wait for a slot; further ones get 503."""
    context_tokens: Positive = 8192
    """Context of all slots together: each has context_tokens / slots."""
    threads: Positive | None = None
    """CPU threads; default: the machine's cores, at most 8 (2 for writing with models under 300 MB)."""
    load_timeout_s: Seconds = 30.0
    """How long a call waits for a model that is still loading."""


class ModerationTerms(Section):
    """Phrases of your own that the built-in moderation rules flag."""

    category: ModerationCategory
    """The category they belong to."""
    phrases: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Words in a row; capitals, accents and punctuation make no difference."""
    score: Annotated[float, Field(gt=0, le=1)] = 0.9
    """How sure a find is; from 0.5 it flags."""


class Moderation(Section):
    """`/v1/moderations`."""

    default_model: str | None = None
    """Answers moderations that name no model; default: the first of `[[models]]` that moderates, else the rules."""
    terms: tuple[ModerationTerms, ...] = ()
    """Added to the built-in rules."""


class GuardRule(Section):
    """What is looked for in prompts and answers, and what is done about it."""

    name: Name
    """Of your choice: errors, headers and logs say it."""
    check: Name
    """`pii` (personal data), `names` (of people), `injection` (attempts to give the model other orders), `terms`,
    `size`, `schema` (answers that are no JSON of that shape), or the name of an installed guard."""
    action: Literal["block", "mask", "flag"]
    """`block` refuses the call, `mask` puts `[email]` in place of what was found, `flag` only says so."""
    on: Literal["input", "output", "both"] = "both"
    """Whether prompts, answers or both are looked at."""
    kinds: tuple[Literal["email", "phone", "card", "iban", "ip"], ...] = ()
    """Check `pii` only: what counts; default: all."""
    pipeline: Text | None = None
    """Check `names` only: a pipeline of spaCy's, as the package is called (`en_core_web_sm`) or a folder."""
    terms: tuple[Text, ...] = ()
    """Check `terms` only: words and phrases, in whatever case."""
    max_characters: Positive | None = None
    """Check `size` only: the most that a prompt, or an answer, may have."""
    json_schema: str | None = None
    """Check `schema` only: a JSON Schema (2020-12), as text."""
    keys: tuple[Text, ...] = ()
    """Ids of the keys that it is for; default: all callers."""
    routes: tuple[Text, ...] = ()
    """Routes that it is for, e.g. `/v1/chat/completions`; default: all."""
    models: tuple[Text, ...] = ()
    """Public model names that it is for; default: all."""


class Guards(Section):
    """What may not go to a model, or come from one."""

    rules: tuple[GuardRule, ...] = ()
    """Applied in this order."""


class Access(Section):
    """Who may come in."""

    master_key: SecretStr | None = None
    """Opens every door. Needed to listen on anything but loopback. (UNDERCROFT_MASTER_KEY)"""


class Ledger(Section):
    """What was used and what it cost."""

    durability: Literal["process", "power", "database"] = "process"
    """`process`: a record survives kill -9. `power`: it is on disk before the answer ends. `database`: it is committed
    there before the answer ends, and no local disk is used; for functions, which lose theirs."""
    ship_interval_s: Seconds = 0.25
    """How often spooled records move to the database."""
    tags: tuple[Text, ...] = ()
    """Which of a request's own `metadata` are booked as tags, so that usage can be told by them: `["project"]`. The
    header `x-undercroft-usage-tags` needs no such list."""
    content: Literal["never", "on_request", "always"] = "on_request"
    """Whether prompts and answers are kept, in a table of their own. `on_request`: of calls with the header
    `x-undercroft-content: keep`. `always`: of all but those with `x-undercroft-content: none`."""
    content_days: Annotated[int, Field(gt=0, le=36_500)] = 30
    """How long they are kept."""
    content_bytes: Annotated[int, Field(gt=0, le=10_000_000)] = 100_000
    """Most of one prompt, and of one answer; of a longer one, the beginning is kept."""


class Responses(Section):
    """OpenAI's Responses: what is kept of them, and those that run in the background."""

    store_by_default: bool = True
    """Whether a response is kept when its request does not say."""
    keep_days: Annotated[int, Field(gt=0, le=36_500)] = 30
    """How long a kept response can be fetched and continued; then it is deleted."""
    background_at_once: Positive = 16
    """Background responses that one process answers at a time; others are queued."""
    background_queue: Positive = 1000
    """Background responses that one process has accepted and not answered; further ones get 503."""
    background_timeout_s: Seconds = 3600.0
    """Longest time for a background response, once its turn has come."""


class Redis(Section):
    """Shared state across processes."""

    url: SecretStr | None = None
    """`redis://…`; takes the stream of events, cached answers and what processes share of limits. (REDIS_URL)"""


class Events(Section):
    """What happened, and who is told: webhooks, functions of your own, a Redis stream."""

    modules: tuple[ModuleName, ...] = ()
    """Python modules with functions under `@undercroft.on(…)`."""
    keep_days: Annotated[int, Field(gt=0, le=3650)] = 7
    """How long events can be replayed; then they are deleted, sent or not."""
    webhook_timeout_s: Seconds = 20.0
    """How long a webhook's receiver may take to answer."""
    stream_length: Positive = 100_000
    """About how many events the Redis stream `undercroft:events` holds; older ones leave it."""


FileStore = Literal["directory", "database"]


class Files(Section):
    """Uploaded files, and those that batches leave."""

    max_bytes: Positive = 512_000_000
    """The largest file; a larger one is 413."""
    store: FileStore | None = None
    """Where their bytes are: `directory` (`files` in `data_dir`, which all processes must share) or `database`;
    default: the database with PostgreSQL, else the directory."""


Delivery = Literal["inline", "postgres", "celery"]


class JobQueue(Section):
    """A queue of jobs."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,59}$", examples=["nightly"])]
    """What jobs are handed in to."""
    at_once: Positive | None = None
    """Jobs of it that run at once, in all processes together; default: as many as there is room for."""


class JobSchedule(Section):
    """A periodic job. Each tick is fired once, however many processes there are."""

    name: Name
    """Of your choice; what is known of the last tick is kept under it."""
    cron: Annotated[str, Field(examples=["*/15 * * * *"])]
    """Minute, hour, day of the month, month, day of the week."""
    timezone: Annotated[str, Field(examples=["Europe/Berlin"])] = "UTC"
    """Whose clocks `cron` goes by."""
    kind: Text
    """The kind of job."""
    input: Annotated[str, Field(examples=['{"prompt": "Good morning"}'])] = "{}"
    """Its input, as JSON."""
    queue: Text = "default"
    """The queue it is put into."""
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    """The higher goes first."""


class Jobs(Section):
    """Work that is accepted now and done later."""

    broker_url: SecretStr | None = None
    """Celery's broker (CELERY_BROKER_URL); needs PostgreSQL."""
    delivery: Delivery | None = None
    """How workers learn of jobs; default: `celery` with a broker, `postgres` with PostgreSQL, else `inline`."""
    serves: tuple[Text, ...] = ()
    """Queues that this process works on; default: all."""
    at_once: Positive = 8
    """Jobs that one process runs at a time."""
    lease_s: Annotated[float, Field(ge=1, le=3600)] = 30.0
    """How long a process may be silent before its jobs are given to another."""
    timeout_s: Seconds = 3600.0
    """Longest time for one run of a job, unless it says otherwise."""
    deadline_s: Seconds = 86_400.0
    """Longest time for a job in all, waits and retries included, unless it says otherwise."""
    keep_days: Annotated[int, Field(gt=0, le=36_500)] = 7
    """How long a job and its result are kept once it has succeeded or was cancelled."""
    keep_dead_days: Annotated[int, Field(gt=0, le=36_500)] = 30
    """How long a dead job is kept."""
    key_at_once: Positive = 1
    """Jobs with the same `concurrency_key` that run at once, in all processes together."""
    modules: tuple[Text, ...] = ()
    """Modules of your own with functions marked `@undercroft.job("name")`."""
    queues: tuple[JobQueue, ...] = ()
    """Queues besides `default`, or a limit for that one."""
    schedules: tuple[JobSchedule, ...] = ()
    """Periodic jobs."""

    @property
    def queue_names(self) -> tuple[str, ...]:
        """`default` first, then those that were added."""
        return tuple(dict.fromkeys(("default", *(queue.name for queue in self.queues))))


VectorStoreName = Literal["embedded", "qdrant", "qdrant_edge", "pgvector", "weaviate", "pinecone"]


class Vectors(Section):
    """Vector collections."""

    store: VectorStoreName | None = None
    """Where collections live: embedded, qdrant, qdrant_edge (Qdrant's engine in this process), pgvector, weaviate or
    pinecone; default: qdrant where its address is set, else embedded."""
    embedding_model: str | None = None
    """What new vector stores embed their files with; default: the usual model for embeddings."""
    durability: Literal["process", "power"] = "process"
    """Store `embedded`: `process`: an acknowledged point survives kill -9. `power`: it is on disk first."""
    threads: Positive = 2
    """Store `embedded`: CPU threads that derive an index."""
    pgvector_url: SecretStr | None = None
    """Store `pgvector`: the PostgreSQL with that extension; default: as `url` of `[database]`."""
    qdrant_url: str | None = None
    """Qdrant server (QDRANT_URL)."""
    qdrant_api_key: SecretStr | None = None
    """Qdrant's key (QDRANT_API_KEY)."""
    weaviate_url: str | None = None
    """Weaviate server (WEAVIATE_URL)."""
    weaviate_api_key: SecretStr | None = None
    """Weaviate's key (WEAVIATE_API_KEY)."""
    weaviate_grpc_port: Port = 50051
    """Weaviate's port for gRPC, on the same host; Weaviate Cloud has its own."""
    pinecone_api_key: SecretStr | None = None
    """Pinecone's key (PINECONE_API_KEY)."""
    pinecone_url: str | None = None
    """Pinecone's control plane; default: Pinecone's own."""
    pinecone_cloud: str = "aws"
    """Cloud of new Pinecone indexes: aws, gcp or azure."""
    pinecone_region: str = "us-east-1"
    """Region of new Pinecone indexes."""

    @property
    def chosen(self) -> VectorStoreName:
        """The store, where the settings do not name it too."""
        return self.store or ("qdrant" if self.qdrant_url else "embedded")


class Telemetry(Section):
    """Logs, metrics, traces, errors."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is logged."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """`auto`: readable on a terminal, JSON otherwise."""
    log_content: bool = False
    """Log prompts and completions."""
    metrics_token: SecretStr | None = None
    """Opens /metrics and /docs to a scraper without a key."""
    sentry_dsn: SecretStr | None = None
    """Where Sentry takes errors (SENTRY_DSN)."""
    otlp_endpoint: str | None = None
    """Where an OpenTelemetry collector listens (OTEL_EXPORTER_OTLP_ENDPOINT); default: traces stay in the database."""
    otlp_protocol: Literal["http", "grpc"] = "http"
    """How it is spoken to: Protobuf over HTTP (usually port 4318) or gRPC (4317)."""
    otlp_headers: dict[str, SecretStr] = {}
    """Sent along, e.g. `{ "authorization" = "env:COLLECTOR_TOKEN" }`."""
    traces: bool = True
    """Whether calls, jobs and vector searches are traced at all."""
    trace_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the traces that are kept, where the caller has not decided; failed and slow calls always are."""
    trace_slow_s: Seconds = 10.0
    """What takes as long as this is slow."""
    traces_kept: Annotated[int, Field(ge=0, le=1_000_000)] = 1000
    """Traces in the database, the latest; for when there is no collector."""
    errors_kept: Annotated[int, Field(ge=0, le=100_000)] = 500
    """Kinds of error in the database, those that were seen last."""
    log_sample: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the calls that went well whose `api_request` line is written; all others always are."""


class Egress(Section):
    """Connections to model providers."""

    allow: tuple[str, ...] = ()
    """Networks (CIDR) that URLs given through the API may reach besides public ones."""
    max_connections: Positive = 512
    """Open connections to one provider address; further calls wait."""
    max_waiting: Positive = 4096
    """Calls that may wait for a connection to one address; further ones get 503."""
    connect_timeout_s: Seconds = 3.0
    """Longest time for a connection to stand, TLS included."""
    first_byte_timeout_s: Seconds = 60.0
    """Longest silence before the answer's head."""
    idle_timeout_s: Seconds = 15.0
    """Longest silence inside an answer."""
    keep_alive_s: Seconds = 30.0
    """How long an idle connection is kept; shorter than providers keep theirs."""
    ca_file: Path | None = None
    """Certificates to trust besides the system's."""


class LimitRule(Section):
    """What each organisation, team, user or key may use, unless it is said of one of them alone."""

    per: Literal["organisation", "team", "user", "key"] = "key"
    """Whose use is counted."""
    subject: Name | None = None
    """The id of the only one it holds for; default: each has it to itself."""
    model: Text | None = None
    """A public model name; default: all models together."""
    period: Literal["minute", "hour", "day", "week", "month", "total"] = "minute"
    """What `requests`, `tokens` and `spend` are counted in, in UTC; `total` never renews."""
    requests: Positive | None = None
    """Calls in a period."""
    tokens: Positive | None = None
    """Input and output tokens in a period."""
    spend: Usd | None = None
    """USD in a period. No call begins that could go over it."""
    concurrent: Positive | None = None
    """Calls under way at the same time."""


class Limits(Section):
    """What callers may use; keys have limits of their own besides."""

    rules: tuple[LimitRule, ...] = ()
    """For all of a kind, or one of them."""
    output_tokens: Positive = 4096
    """How long an answer is taken to be, for what a call holds, where its request does not say."""
    unknown_price: Literal["deny", "estimate", "allow"] = "allow"
    """Calls under a budget to a model without a known price: refuse them, book them at `estimate`, or as free."""
    estimate: Price = Price(input="10", output="30")
    """The price of models without a known one, where `unknown_price` is `estimate`."""


class Cache(Section):
    """Answers that are given again to whoever asks the same within an organisation."""

    mode: Literal["off", "on_request", "always"] = "on_request"
    """`always`: all models' answers, unless one says otherwise. `on_request`: those of models with `cache = true`, and
    for calls with the header `x-undercroft-cache-control: use`. `off`: none."""
    store: Literal["memory", "database", "redis"] | None = None
    """Where answers are kept; default: redis where its address is set, memory where one process does everything, else
    the database."""
    ttl_s: Annotated[float, Field(gt=0, le=315_360_000)] = 3600.0
    """How long an answer is given again; a call may ask for less."""
    max_entries: Positive = 10_000
    """Answers that are kept, in memory or the database; Redis bounds itself (`maxmemory`)."""
    max_bytes: Positive = 268_435_456
    """What they may take in all, likewise."""
    max_entry_bytes: Positive = 1_000_000
    """A longer answer is not kept."""
    semantic: bool = False
    """Also answer questions that say the same in other words: their numbers, negations and names are the same, and the
    bundled embedding model finds them near enough."""
    semantic_threshold: Annotated[float, Field(ge=0.5, le=1)] = 0.875
    """Least cosine similarity of such questions."""
    semantic_questions: Positive = 10_000
    """Questions that one process remembers for it."""


class Settings(Section):
    """Everything the operator wrote, over the defaults."""

    data_dir: Path = Path(".undercroft")
    """Embedded state: database, spool, keys."""
    encryption_key: SecretStr | None = None
    """Fernet keys for stored secrets, comma-separated: the first encrypts, all decrypt. (ENCRYPTION_KEY)"""
    server: Server = Server.model_construct()
    database: Database = Database.model_construct()
    models: tuple[Model, ...] = ()
    reliability: Reliability = Reliability.model_construct()
    local: Local = Local.model_construct()
    moderation: Moderation = Moderation.model_construct()
    guards: Guards = Guards.model_construct()
    access: Access = Access.model_construct()
    ledger: Ledger = Ledger.model_construct()
    responses: Responses = Responses.model_construct()
    redis: Redis = Redis.model_construct()
    events: Events = Events.model_construct()
    files: Files = Files.model_construct()
    jobs: Jobs = Jobs.model_construct()
    vectors: Vectors = Vectors.model_construct()
    telemetry: Telemetry = Telemetry.model_construct()
    egress: Egress = Egress.model_construct()
    limits: Limits = Limits.model_construct()
    cache: Cache = Cache.model_construct()
    slo: Slo = Slo.model_construct()
    releases: Releases = Releases.model_construct()
    retention: Retention = Retention.model_construct()
    deploy: Deploy = Deploy.model_construct()
    provider_keys: dict[str, SecretStr] = {}
    """Keys by provider name, from each provider's usual variable (OPENAI_API_KEY …)."""

    @property
    def job_delivery(self) -> Delivery:
        """How workers learn of jobs."""
        if self.jobs.delivery is not None:
            return self.jobs.delivery
        if self.jobs.broker_url is not None:
            return "celery"
        return "postgres" if self.database.is_postgresql else "inline"

    @property
    def file_store(self) -> FileStore:
        """Where the bytes of files are."""
        return self.files.store or ("database" if self.database.is_postgresql else "directory")

    @property
    def cache_store(self) -> Literal["memory", "database", "redis"]:
        """Where answers are kept. One that is removed must be gone for every process: memory is for one alone."""
        if self.cache.store is not None:
            return self.cache.store
        if self.redis.url is not None:
            return "redis"
        return "memory" if self.is_one_process and not self.database.is_postgresql else "database"

    @property
    def is_one_process(self) -> bool:
        """Whether the process that answers calls is the one that is managed, and the only one of this server."""
        return self.server.workers == 1 and {"gateway", "console"} <= self.server.roles

    @property
    def runs_jobs(self) -> bool:
        """Whether a process with these settings runs jobs. With Celery those do that are nothing but workers."""
        if self.job_delivery == "celery":
            return self.server.roles == {"worker"}
        return "worker" in self.server.roles
