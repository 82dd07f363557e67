"""`undercroft plan instances`."""

from argparse import Namespace

from undercroft.cli.output import Output
from undercroft.errors import InvalidRequest
from undercroft.planning.instances import Recommendation
from undercroft.planning.requests import InstancesRequest


def run(options: Namespace, out: Output) -> int:
    if options.region is not None and options.provider is None:
        raise InvalidRequest("--region needs --provider.", param="provider", hint="e.g. --provider gcp")
    asked = InstancesRequest(
        workload=options.workload,
        provider=options.provider,
        region=options.region,
        vcpu=options.vcpu,
        memory_gib=options.memory_gib,
        gpu_memory_gib=options.gpu_memory_gib,
        arch=options.arch,
        spot=options.spot,
    )
    found = asked.recommended()
    if out.json:
        out.show(found)
        return 0
    out.table([row for each in found for row in _rows(each)])
    for each in found:
        for reason in each.reasons:
            out.line(f"{each.instance.name}: {reason}")
        out.line(f"{each.instance.name}: prices of {each.as_of} ({each.source})")
        for warning in each.warnings:
            out.note(f"warning: {each.instance.name}: {warning}")
    return 0


def _rows(found: Recommendation) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for place, each in enumerate((found.instance, *found.alternatives)):
        gpu = f"{each.gpu_count} x {each.gpu_model} {each.gpu_memory_gib:g} GiB" if each.gpu_count else ""
        rows.append(
            {
                "": "*" if place == 0 else "",
                "type": each.name,
                "cloud": f"{each.provider}/{each.region}",
                "vCPU": each.vcpu,
                "GiB": each.memory_gib,
                "arch": each.arch,
                "GPU": gpu,
                "USD/hour": each.usd_hour,
                "spot": "unknown" if each.usd_hour_spot is None else each.usd_hour_spot,
                "USD/month": round(each.usd_month, 2),
            }
        )
    return rows
