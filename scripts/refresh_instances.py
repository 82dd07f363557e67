"""Puts another table of instance prices into the package: checks it, and fits the unit prices to it.

usage: python scripts/refresh_instances.py TABLE.csv

TABLE.csv has the columns of COLUMNS, a row an instance type and region, USD an hour, Linux, on demand. Where each
cloud's figures come from and of which day they are is first written into `sources.json` and `NOTICE.md` beside it; a
table without its sources is not to be committed.
"""

import argparse
import csv
import gzip
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "src/undercroft/planning/data"
COLUMNS = (
    "provider", "region", "instance_type", "vcpu", "memory_gib", "arch", "gpu_model", "gpu_count", "gpu_mem_gib_each",
    "usd_hour", "usd_hour_spot",
)  # fmt: skip
CLOUDS = ("aws", "azure", "gcp")
REGION = ("aws", "us-east-1")
GENERATIONS = {"low": "7g", "likely": "7i", "high": "8i"}
"""Three current generations of AWS: the cheapest (Arm), the usual one, the newest."""
DISK = {
    "usd_disk_gb_month": 0.08,
    "disk_source": "AWS gp3, us-east-1: github.com/elleVas/cloudrift (Apache-2.0), "
    "libs/cloud-cost/infrastructure/aws-adapter/src/pricing/prices.json at ce3e7484d930",
    "disk_date": "2025-06",
}
HOURS_A_MONTH = 730

Row = Mapping[str, str]


def faults(rows: Sequence[Row]) -> list[str]:
    """What is wrong with the table, a line each."""
    found, seen = [], set()
    for number, row in enumerate(rows, 2):
        if tuple(row) != COLUMNS:
            return [f"line {number}: the columns must be {', '.join(COLUMNS)}"]
        key = (row["provider"], row["region"], row["instance_type"])
        if key in seen:
            found.append(f"line {number}: {'/'.join(key)} is there twice")
        seen.add(key)
        if row["provider"] not in CLOUDS:
            found.append(f"line {number}: provider '{row['provider']}' is none of {', '.join(CLOUDS)}")
        for name in ("vcpu", "usd_hour"):
            found += [f"line {number}: {name} is '{row[name]}', not a positive number"] * (not _is_positive(row[name]))
    return found


def _is_positive(text: str) -> bool:
    return 0 < float(text or 0) < 1e6


def fitted(rows: Sequence[Row], generation: str) -> dict[str, object]:
    """Least squares of price = a * vCPU + b * GiB over the sizes c, m and r of one generation."""
    names = [f"{letter}{generation}.large" for letter in "cmr"]
    points = [
        (float(row["vcpu"]), float(row["memory_gib"]), float(row["usd_hour"]))
        for row in rows
        if (row["provider"], row["region"]) == REGION and row["instance_type"] in names
    ]
    if len(points) != len(names):
        raise SystemExit(f"the table lacks one of {', '.join(names)} in {'/'.join(REGION)}")
    cc = sum(cpu * cpu for cpu, _, _ in points)
    cm = sum(cpu * memory for cpu, memory, _ in points)
    mm = sum(memory * memory for _, memory, _ in points)
    cp = sum(cpu * price for cpu, _, price in points)
    mp = sum(memory * price for _, memory, price in points)
    determinant = cc * mm - cm * cm
    return {
        "families": ", ".join(names),
        "usd_cpu_month": round((cp * mm - mp * cm) / determinant * HOURS_A_MONTH, 4),
        "usd_memory_month": round((mp * cc - cp * cm) / determinant * HOURS_A_MONTH, 4),
    }


def unit_prices(rows: Sequence[Row], as_of: str) -> dict[str, object]:
    source = f"fitted to instance_prices.csv.gz, {'/'.join(REGION)}, on demand"
    fits = {name: fitted(rows, generation) for name, generation in GENERATIONS.items()}
    return {"source": source, "date": as_of, "region": "/".join(REGION), **fits, **DISK}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    options = parser.parse_args(arguments)
    as_of = json.loads((DATA / "sources.json").read_text("utf-8"))[REGION[0]]["as_of"]
    opened = gzip.open if options.table.suffix == ".gz" else open
    with opened(options.table, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    whole = [row for row in rows if float(row["memory_gib"] or 0) > 0]  # a size whose memory is unknown fits nobody
    if found := faults(rows):
        print("\n".join(found[:20]), file=sys.stderr)
        return 1
    lines = [",".join(COLUMNS), *(",".join(row[name] for name in COLUMNS) for row in whole)]
    # No time stamp inside: the same table gives the same bytes.
    (DATA / "instance_prices.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode() + b"\n", 9, mtime=0))
    (DATA / "unit_prices.json").write_text(json.dumps(unit_prices(whole, as_of), indent=1) + "\n", "utf-8")
    print(f"{len(whole)} rows, {len(rows) - len(whole)} left out: their memory is unknown")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
