"""The options of `undercroft plan`. Nothing of the planner is imported for them: `plan estimate` is to be quick."""

from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from undercroft.cli.parser import add_config


def estimate(parser: ArgumentParser) -> None:
    _workload(parser)
    parser.add_argument("--from-telemetry", action="store_true", help="arrivals, times and tokens from this ledger")
    parser.add_argument("--since", default="28d", metavar="WHEN", help="how far --from-telemetry looks (default: 28d)")
    add_config(parser)


def compare(parser: ArgumentParser) -> None:
    estimate(parser)
    parser.add_argument(
        "--region", action="append", default=[], metavar="CLOUD/REGION", help="e.g. azure/westeurope; may be repeated"
    )
    parser.add_argument("--chart", type=Path, metavar="FILE", help="write the costs over the load as SVG")


def instances(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--workload", default="api", metavar="KIND", help="inference, training, embedding or api (default: api)"
    )
    parser.add_argument("--provider", metavar="CLOUD", help="aws, azure or gcp (default: all three)")
    parser.add_argument("--region", metavar="REGION", help="with --provider (default: the cloud's usual one)")
    parser.add_argument("--vcpu", type=float, metavar="N", help="at least so many (default: as the workload needs)")
    parser.add_argument("--memory-gib", type=float, metavar="N", help="at least so much")
    parser.add_argument("--gpu-memory-gib", type=float, metavar="N", help="at least so much on all its GPUs together")
    parser.add_argument("--arch", choices=["amd64", "arm64"], help="default: whichever is cheaper")
    parser.add_argument("--spot", action="store_true", help="by the spot price, where it is known")


def simulate(parser: ArgumentParser) -> None:
    parser.add_argument("--rate", type=float, required=True, metavar="R", help="arrivals a second")
    parser.add_argument("--avg-ms", type=float, required=True, metavar="M", help="mean time of a request, alone")
    parser.add_argument("--scv", type=float, default=1.0, metavar="V", help="its squared variation (default: 1)")
    parser.add_argument("--duration", type=float, default=3600.0, metavar="S", help="seconds (default: 3600)")
    parser.add_argument("--replicas", type=int, default=1, metavar="N", help="at the start (default: 1)")
    parser.add_argument("--slots", type=int, default=1, metavar="N", help="requests a replica works on (default: 1)")
    parser.add_argument(
        "--routing", choices=["shared", "random", "least_busy"], default="shared", help="default: shared, one queue"
    )
    parser.add_argument(
        "--burst", action="append", default=[], metavar="START:END:FACTOR", help="seconds, times the rate; repeatable"
    )
    parser.add_argument("--timeout", type=float, metavar="S", help="when a client gives up (default: never)")
    parser.add_argument("--retries", type=int, default=0, metavar="N", help="of each client (default: 0)")
    parser.add_argument("--backoff", type=float, default=1.0, metavar="S", help="before the first retry, then doubled")
    parser.add_argument(
        "--outage", action="append", default=[], metavar="START:END", help="the provider fails every call; repeatable"
    )
    parser.add_argument("--provider-rpm", type=float, metavar="N", help="calls a minute before the provider says 429")
    parser.add_argument(
        "--policy", choices=["none", "cpu", "queue", "concurrency"], default="none", help="autoscaler (default: none)"
    )
    parser.add_argument(
        "--target", type=float, metavar="T", help="busy share (cpu, default 0.6), or requests a replica (default 10)"
    )
    parser.add_argument("--min-replicas", type=int, default=1, metavar="N", help="of the autoscaler (default: 1)")
    parser.add_argument("--max-replicas", type=int, default=100, metavar="N", help="of the autoscaler (default: 100)")
    parser.add_argument("--cold-start", type=float, default=30.0, metavar="S", help="of a new replica (default: 30)")
    parser.add_argument("--steps", type=int, default=24, metavar="N", help="rows of the timeline (default: 24)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another one gives other arrivals")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write a plot: .svg, or .html with the timeline")


def verify(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--workload", choices=["gateway", "local", "both"], default="both", help="waiting, computing, or both (default)"
    )
    parser.add_argument("--duration", type=float, default=60.0, metavar="S", help="of each load, seconds (default: 60)")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="of each load (default: 3)")
    parser.add_argument(
        "--load", action="append", type=float, default=[], metavar="SHARE", help="of the maximum; default: 0.3 0.5 0.6"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="gateway processes (default: 1)")
    parser.add_argument("--target", metavar="URL", help="a server that runs already, with a model of --model's name")
    parser.add_argument("--model", default="chat", metavar="NAME", help="what to ask of --target (default: chat)")
    parser.add_argument("--key", metavar="NAME", help="environment variable with the key of --target")
    parser.add_argument(
        "--recorded", action="store_true", help="arrivals as this ledger has them, sped up, not Poisson"
    )
    parser.add_argument("--band", type=float, default=0.15, metavar="SHARE", help="largest error (default: 0.15)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the arrivals")
    add_config(parser)


def optimize(parser: ArgumentParser) -> None:
    parser.add_argument("--since", default="28d", metavar="WHEN", help="how far back (default: 28d)")
    parser.add_argument("--replicas", type=int, metavar="N", help="that run all day, to find the idle ones")
    parser.add_argument(
        "--cpu-fraction", type=float, default=0.05, metavar="F", help="of a call's time (default: 0.05)"
    )
    _prices(parser)
    add_config(parser)


def _workload(parser: ArgumentParser) -> None:
    parser.add_argument("--daily-requests", type=float, metavar="N", help="requests a day")
    parser.add_argument("--avg-ms", type=float, metavar="M", help="mean time of a request when nobody else is there")
    parser.add_argument("--peak-factor", type=float, metavar="F", help="busiest hour over the mean one (default: 3)")
    parser.add_argument("--curve", metavar="W,W,…", help="24 hourly weights of a day, in place of --peak-factor")
    parser.add_argument(
        "--cpu-fraction", type=float, metavar="F", help="share of --avg-ms that needs a core (default: 1)"
    )
    parser.add_argument("--scv", type=float, metavar="V", help="squared variation of the time (default: 1)")
    parser.add_argument("--p95-target-ms", type=float, metavar="T", help="what 95 of 100 answers are to take at most")
    parser.add_argument("--tokens-in", type=float, metavar="N", help="tokens of a request")
    parser.add_argument("--tokens-out", type=float, metavar="N", help="tokens of an answer")
    parser.add_argument("--model", metavar="NAME", help="whose tokens are bought, e.g. openai/gpt-5-mini")
    parser.add_argument(
        "--retention-days", type=float, metavar="D", help="how long logs and calls are kept (default: 30)"
    )
    parser.add_argument("--cores", type=int, metavar="N", help="of one replica (default: 1)")
    parser.add_argument("--concurrency", type=int, metavar="N", help="requests under way in one replica (default: 256)")
    parser.add_argument("--vectors", type=float, metavar="N", help="in the vector store")
    parser.add_argument("--dimensions", type=int, metavar="N", help="of a vector (default: 384)")
    parser.add_argument("--response-bytes", type=float, metavar="B", help="of an answer (default: from --tokens-out)")
    parser.add_argument("--provider-rpm", type=float, metavar="N", help="the provider's limit of calls a minute")
    parser.add_argument(
        "--scale-up", type=float, metavar="S", help="until another replica takes requests (default: 60)"
    )
    parser.add_argument(
        "--self-host",
        type=Path,
        metavar="FILE",
        help="TOML with [model] and [gpu]: serve the model on GPUs of your own",
    )
    _prices(parser)


def _prices(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--prices", type=Path, metavar="FILE", help="your own prices (default: prices.toml, if it exists)"
    )


Add = Callable[[ArgumentParser], None]

ACTIONS: Final[Mapping[str, tuple[str, str, Add]]] = {
    "estimate": (
        "cores, memory, replicas, latency and cost",
        (
            "What a workload needs, how fast it will be and what a month costs, with every assumption.  "
            "Example: undercroft plan estimate --daily-requests 1000000 --avg-ms 200 --peak-factor 3 --json"
        ),
        estimate,
    ),
    "instances": (
        "the instance type that fits",
        (
            "The cheapest instance types that fit, with reasons and warnings.  "
            "Example: undercroft plan instances --workload inference --provider gcp --region europe-west4"
        ),
        instances,
    ),
    "compare": (
        "clouds and forms of running it, by cost",
        (
            "The same workload on three clouds, as containers, Kubernetes, functions, own GPUs and bought tokens.  "
            "Example: undercroft plan compare --daily-requests 1000000 --avg-ms 200 --chart costs.svg"
        ),
        compare,
    ),
    "simulate": (
        "what happens in bursts, outages and retry storms",
        (
            "Plays requests, replicas, impatient clients, a provider and an autoscaler through, event by event.  "
            "Example: undercroft plan simulate --rate 20 --avg-ms 300 --replicas 8 --burst 600:900:4 --policy cpu"
        ),
        simulate,
    ),
    "verify": (
        "predicts, loads a real server, and compares",
        (
            "Measures service times, predicts throughput and latency, loads a server and shows the error; exit code 1 "
            "outside the band.  Example: undercroft plan verify --workload gateway --duration 60"
        ),
        verify,
    ),
    "optimize": (
        "where the ledger shows money to save",
        (
            "The money in repeated, batchable and idle work, each with how it was computed.  "
            "Example: undercroft plan optimize --since 28d"
        ),
        optimize,
    ),
}
