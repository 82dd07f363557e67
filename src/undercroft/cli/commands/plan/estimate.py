"""`undercroft plan estimate`."""

from argparse import Namespace

from undercroft.cli.commands.plan.workload import asked
from undercroft.cli.output import Output
from undercroft.planning.figures import Figure, MonthlyCost
from undercroft.planning.plan import Plan, make_plan
from undercroft.planning.replicas import Percentiles


def run(options: Namespace, out: Output) -> int:
    given = asked(options, out)
    plan = make_plan(given.workload, prices=given.prices, tokens=given.tokens, hosted=given.hosted)
    if out.json:
        out.show(plan)
    else:
        out.line(described(plan))
        for warning in plan.warnings:
            out.note(f"warning: {warning}")
    return 1 if plan.capacity.meets_target is False else 0


def described(plan: Plan) -> str:
    """The plan for people. Lines, not a table: rich alone takes longer to import than the whole answer."""
    capacity = plan.capacity
    headroom = "" if capacity.headroom is None else f", headroom {capacity.headroom:.0%}"
    lines = [
        "Needs at the peak",
        f"  peak             {plan.peak_rate:.2f} requests/s, {plan.peak_factor:.2f} times the mean (derived)",
        f"  CPU              {plan.cpu_cores:.1f} cores at 80 % (derived)",
        f"  memory           {plan.memory_gb:.1f} GB, 2 GB a core (derived)",
        f"  replicas         {capacity.replicas}, CPU {capacity.utilisation:.0%} busy{headroom} (derived)",
        (
            f"  most             {capacity.max_rate:.2f} requests/s, then {capacity.bottleneck.name} is full "
            f"({capacity.bottleneck.limit}) (derived)"
        ),
        (
            f"  under way        {_number(capacity.in_flight)} requests, {_number(capacity.queue_depth)} of them "
            "waiting (derived)"
        ),
        "",
        "Answers within (derived)       p50 ms     p95 ms     p99 ms",
        f"  one queue for all        {_percentiles(capacity.shared_queue)}",
        f"  spread at random         {_percentiles(capacity.random_routing)}",
    ]
    if plan.serving is not None:
        serving = plan.serving
        lines += [
            "",
            "GPUs (derived from your file)",
            (
                f"  replicas         {serving.replicas}, {serving.utilisation:.0%} busy, {serving.batch} sequences at "
                f"once of {serving.largest_batch} that fit"
            ),
            f"  memory           {serving.weights_gib:.1f} GiB, and {serving.kv_mib_per_sequence:.0f} MiB a sequence",
            (
                f"  speed            {serving.tokens_per_s:.0f} tokens/s a replica, first token after "
                f"{serving.first_token_s * 1000:.0f} ms, answer after {serving.answer_s:.1f} s"
            ),
        ]
    lines += ["", "Sizes", *(_figure(each) for each in plan.sizes)]
    lines += ["", "USD a month                   low     likely       high", *(_cost(each) for each in plan.monthly)]
    total = plan.monthly_total
    lines.append(f"  {'total, as known':<18}{total.low:>10.2f} {total.likely:>10.2f} {total.high:>10.2f}")
    lines += ["", "Assumptions", *(_figure(each) for each in plan.assumptions)]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "without end" if value is None else f"{value:.1f}"


def _percentiles(each: Percentiles) -> str:
    values = (each.p50_ms, each.p95_ms, each.p99_ms)
    return " ".join(f"{'-' if value is None else f'{value:.1f}':>10}" for value in values)


def _figure(each: Figure) -> str:
    value = "unknown" if each.value is None else f"{each.value:.4g}" if each.value < 1e4 else f"{each.value:.0f}"
    how = f": {each.how}" if each.how else ""
    return f"  {each.name:<24} {value} {each.unit}".rstrip() + f" ({each.basis}){how}"


def _cost(each: MonthlyCost) -> str:
    if each.likely is None:
        return f"  {each.name:<18}{'unknown':>10} {'':>10} {'':>10}  {each.how}"
    amounts = " ".join(f"{amount:>10.2f}" for amount in (each.low, each.likely, each.high))
    return f"  {each.name:<18}{amounts}  {each.how} ({each.basis})"
