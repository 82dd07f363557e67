"""`terraform-aws`: network, containers, PostgreSQL, Redis, secrets, alarms and a budget on AWS.

The module is fixed; what is described stands in `undercroft.auto.tfvars.json`, which Terraform reads by itself.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from undercroft.deploy import static
from undercroft.deploy.bundle import Bundle, made_by
from undercroft.deploy.targets import managed
from undercroft.deploy.topology import Process, Topology
from undercroft.settings.deployment_rules import AWS_REGIONS

SIZES: Final = (
    (256, (512, 1024, 2048)),
    (512, (1024, 2048, 3072, 4096)),
    (1024, tuple(range(2048, 8193, 1024))),
    (2048, tuple(range(4096, 16385, 1024))),
    (4096, tuple(range(8192, 30721, 1024))),
    (8192, tuple(range(16384, 61441, 4096))),
    (16384, tuple(range(32768, 122881, 8192))),
)
"""What Fargate has: CPU in 1024ths of a core, each with the memory (MiB) that goes with it."""
MADE_THERE: Final = frozenset({"UNDERCROFT_MASTER_KEY", "ENCRYPTION_KEY", "DATABASE_URL", "REDIS_URL"})
"""Secrets whose values Terraform makes; the others are given."""
LONGEST_NAME: Final = 28
"""A load balancer's name has 32 characters at most, and names here have endings."""


class TerraformAws:
    name = "terraform-aws"
    summary = "Terraform for AWS: network, Fargate, PostgreSQL, Redis, secrets, budget"

    def problems(self, topology: Topology, /) -> Iterator[str]:
        yield from managed.problems(topology)
        if topology.regions[0] not in AWS_REGIONS:
            yield f"deploy.regions[0] is {topology.regions[0]!r}, which is none of AWS; write one that is: us-east-1"
        if len(topology.name) > LONGEST_NAME:
            yield f"deploy.name has {len(topology.name)} characters, and AWS takes {LONGEST_NAME} at most"
        for role, process in (("api", topology.api), ("worker", topology.worker)):
            if size(process) is None:
                yield (
                    f"deploy.{role} asks for {process.cpu_limit_milli / 1000:g} cores and {process.memory_limit_mib} "
                    "Mi, and Fargate gives at most 16 cores and 120 Gi; write less under cpu_limit and memory_limit"
                )

    def render(self, topology: Topology, /) -> Bundle:
        made = made_by(self.name)
        files = {path: made + text for path, text in static.texts("terraform-aws").items()}
        files["undercroft.auto.tfvars.json"] = json.dumps(described(topology), indent=2) + "\n"
        files[".gitignore"] = f"{made}.terraform/\n*.tfstate\n*.tfstate.*\n*.tfplan\n"
        files["README.md"] = _readme(topology)
        return managed.bundle(topology, files, target=self.name)


def described(topology: Topology) -> dict[str, Any]:
    """The values of the module's variables."""
    given = {variable: key for variable, key in managed.secrets_of(topology).items() if variable not in MADE_THERE}
    worker = ("undercroft", "worker", "--concurrency", str(topology.worker_concurrency))
    return {
        "name": topology.name,
        "region": topology.regions[0],
        "image_tag": topology.images.application.rpartition(":")[2],
        "environment": managed.variables(topology),
        "given_secrets": given,
        "has_redis": topology.has_redis,
        "api": _part(topology.api, topology.build.command),
        "worker": _part(topology.worker, worker),
        **({} if topology.domain == "localhost" else {"domain": topology.domain}),
    }


def size(process: Process) -> tuple[int, int] | None:
    """The smallest of Fargate's sizes that holds what a process may use; None where there is none."""
    wanted = -(-process.cpu_limit_milli * 1024 // 1000)
    for cpu, memories in SIZES:
        fitting = [memory for memory in memories if memory >= process.memory_limit_mib]
        if cpu >= wanted and fitting:
            return cpu, fitting[0]
    return None


def _part(process: Process, command: tuple[str, ...]) -> dict[str, Any]:
    found = size(process)
    assert found is not None
    cpu, memory = found
    return {
        "cpu": cpu,
        "memory": memory,
        "replicas": process.replicas,
        "max_replicas": process.max_replicas,
        "command": list(command),
    }


def _readme(topology: Topology) -> str:
    name, region, values = topology.name, topology.regions[0], described(topology)
    filled = "\n".join(
        f"    aws secretsmanager put-secret-value --region {region} --secret-id {name}/{key} \\\n"
        f'        --secret-string "${variable}"'
        for variable, key in values["given_secrets"].items()
    )
    domain = "" if "domain" in values else '    domain             = "ai.example.com"\n'
    return f"""\
# {name} on AWS with Terraform

{made_by("terraform-aws", comment="").strip()}

| file | what it makes |
| --- | --- |
| `network.tf` | a network in two zones, private but for the load balancer, with NAT |
| `firewall.tf` | who may reach whom |
| `door.tf` | the load balancer, its certificate, and the name |
| `containers.tf` | the repository of the image, the cluster, API, workers and migration on Fargate |
| `scaling.tf` | how many of them there are |
| `stores.tf` | PostgreSQL (encrypted, in two zones, with backups), Redis |
| `secrets.tf` | secrets: made here and in no state, or yours to fill |
| `rights.tf` | roles that may do what is needed |
| `alarms.tf` | alarms and a budget, by e-mail |

It takes Terraform 1.11 or newer (or an OpenTofu with write-only arguments), a hosted zone in Route 53, and a place for
the state (`backend.tf.example`). What only you know goes into `terraform.tfvars`:

{domain}    zone               = "example.com"
    alert_email        = "you@example.com"
    monthly_budget_usd = 500

## Once

The repository and the secrets that are yours to fill have to be there before the first container starts:

    terraform init
    terraform apply -target=aws_ecr_repository.this -target=aws_secretsmanager_secret.given
{filled}

## Each version

Build and push it, migrate the database with it, and put it in force:

    repository=$(terraform output -raw repository)
    aws ecr get-login-password --region {region} | docker login --username AWS --password-stdin "${{repository%%/*}}"
{managed.build_commands(topology, image=f'"$repository:{values["image_tag"]}"')}
    terraform apply -target='aws_ecs_task_definition.this["migrate"]' -target=aws_db_instance.this
    terraform apply

The first time, and whenever a version brings a migration, between the two:

    aws ecs run-task --region {region} --launch-type FARGATE --cluster {name} --task-definition {name}-migrate \\
        --network-configuration "$(terraform output -raw migration_network)"

While the schema is older than the version, its tasks are not ready and the version before answers; a version that does
not become ready is taken back by the service's circuit breaker. Then:

    curl "$(terraform output -raw address)/health"
    aws secretsmanager get-secret-value --region {region} --secret-id {name}/master-key --query SecretString \\
        --output text

CPU and memory come in Fargate's sizes: what is written here is the smallest that holds what `[deploy]` asks for.

{managed.WHAT_IT_IS}"""
