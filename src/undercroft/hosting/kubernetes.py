"""Blue-green in a cluster: two Deployments, and a Service whose selector says which of them is asked.

By way of kubectl, which has the operator's credentials and context already.
"""

import json
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from undercroft.errors import ConfigurationError, InvalidRequest, UndercroftError
from undercroft.hosting.host import RolledBack

LABEL: Final = "undercroft.dev/colour"
COLOURS: Final = ("blue", "green")
SETTLE_S: Final = 5.0
"""After the Service has changed, until what it sends where is looked at: nodes learn of it one by one."""
LOOK_EVERY_S: Final = 2.0
KUBECTL_S: Final = 60.0

Tell = Callable[[str], None]


class KubernetesFailed(UndercroftError):
    """kubectl, or the cluster, did not do it."""

    code = "kubernetes_failed"


class Kubectl(Protocol):
    """Runs kubectl: what it printed. Raises KubernetesFailed with what it complained of."""

    def __call__(self, *arguments: str, timeout_s: float = KUBECTL_S) -> str: ...


@dataclass(frozen=True, slots=True)
class Program:
    """The `kubectl` on PATH."""

    namespace: str | None = None
    context: str | None = None

    def __call__(self, *arguments: str, timeout_s: float = KUBECTL_S) -> str:
        where = [] if self.context is None else ["--context", self.context]
        where += [] if self.namespace is None else ["--namespace", self.namespace]
        try:
            done = subprocess.run(  # noqa: S603 - a list of our own making
                ["kubectl", *where, *arguments],  # noqa: S607 - the operator's own
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except FileNotFoundError:
            raise ConfigurationError(
                "There is no kubectl on PATH.", hint="Install it, and log in to the cluster."
            ) from None
        except subprocess.TimeoutExpired:
            raise KubernetesFailed(f"kubectl {arguments[0]} did not answer within {timeout_s:.0f} s.") from None
        if done.returncode:
            raise KubernetesFailed(f"kubectl {arguments[0]} failed: {' '.join(done.stderr.split())[:500]}.")
        return done.stdout


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be switched, and how long it is looked at."""

    service: str
    to: str | None
    timeout_s: float
    bake_s: float


def switch(wish: Wish, kubectl: Kubectl, tell: Tell, *, sleep: Callable[[float], None] = time.sleep) -> str:
    """Sends the Service's traffic to the other colour, once that is rolled out and ready; back, if that goes bad.

    Raises RolledBack, KubernetesFailed, ConfigurationError and InvalidRequest; unless it says otherwise, the Service
    was not changed.
    """
    selector = _selector(wish.service, kubectl)
    source = selector.get(LABEL)
    if source not in COLOURS:
        raise InvalidRequest(
            f"The Service {wish.service} selects no colour: its selector has no {LABEL}.",
            hint=f"Label the pods of both Deployments {LABEL}=blue and =green, and select one of them.",
        )
    target = wish.to or next(colour for colour in COLOURS if colour != source)
    if target == source:
        return f"{wish.service} has sent its traffic to {target} already."
    pods = dict(selector) | {LABEL: target}
    deployment = _deployment(target, selector, kubectl)
    tell(f"waiting for {deployment}")
    seconds = f"{wish.timeout_s:.0f}s"
    kubectl("rollout", "status", f"deployment/{deployment}", f"--timeout={seconds}", timeout_s=wish.timeout_s + 30)
    _gate(pods, deployment, kubectl)
    tell(f"switching {wish.service} from {source} to {target}")
    _select(wish.service, target, kubectl)
    try:
        _verify(wish, target, pods, deployment, kubectl, sleep=sleep, tell=tell)
    except UndercroftError as error:
        _select(wish.service, source, kubectl)
        raise RolledBack(f"{wish.service} sends its traffic to {source} again: {str(error).rstrip('.')}.") from error
    return f"{wish.service} sends its traffic to {target}; {source} can be scaled down when nobody wants to go back."


def _selector(service: str, kubectl: Kubectl) -> Mapping[str, str]:
    found = _json(kubectl("get", "service", service, "-o", "json"))
    return found.get("spec", {}).get("selector") or {}


def _deployment(colour: str, selector: Mapping[str, str], kubectl: Kubectl) -> str:
    """The one Deployment whose pods the Service would select in that colour."""
    wanted = dict(selector) | {LABEL: colour}
    items = _json(kubectl("get", "deployments", "-l", f"{LABEL}={colour}", "-o", "json")).get("items", [])
    names = [item["metadata"]["name"] for item in items if _labels_of(item).items() >= wanted.items()]
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise InvalidRequest(f"There must be one Deployment whose pods are labelled {_text(wanted)}; found: {found}.")
    return str(names[0])


def _gate(pods: Mapping[str, str], deployment: str, kubectl: Kubectl) -> None:
    """Each pod is ready, and answers a real request from inside. Raises UndercroftError."""
    names = _ready_pods(pods, deployment, kubectl)
    for route in ("/health", "/health/ready"):
        answer = kubectl("get", "--raw", _proxy(names[0], kubectl, route))
        status = _json(answer).get("status")
        if status not in ("ok", "degraded"):
            raise KubernetesFailed(f"{names[0]} says on {route}: {str(status)[:100]}.")


def _proxy(pod: str, kubectl: Kubectl, route: str) -> str:
    found = _json(kubectl("get", "pod", pod, "-o", "json"))
    namespace = found["metadata"]["namespace"]
    ports = [port for each in found["spec"]["containers"] for port in each.get("ports", [])]
    port = next((each["containerPort"] for each in ports), 8000)
    return f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{route}"


def _ready_pods(pods: Mapping[str, str], deployment: str, kubectl: Kubectl) -> list[str]:
    items = _json(kubectl("get", "pods", "-l", _text(pods), "-o", "json")).get("items", [])
    living = [each for each in items if "deletionTimestamp" not in each["metadata"]]
    late = [each["metadata"]["name"] for each in living if not _is_ready(each)]
    if not living or late:
        raise KubernetesFailed(f"Pods of {deployment} are not ready: {', '.join(late) or 'there are none'}.")
    return [each["metadata"]["name"] for each in living]


def _restarts(pods: Mapping[str, str], kubectl: Kubectl) -> int:
    items = _json(kubectl("get", "pods", "-l", _text(pods), "-o", "json")).get("items", [])
    return sum(
        status.get("restartCount", 0)
        for each in items
        for status in each.get("status", {}).get("containerStatuses", [])
    )


def _verify(
    wish: Wish,
    target: str,
    pods: Mapping[str, str],
    deployment: str,
    kubectl: Kubectl,
    *,
    sleep: Callable[[float], None],
    tell: Tell,
) -> None:
    """The Service selects the colour, has addresses, and its pods stay ready and alive for as long as is wished."""
    restarts = _restarts(pods, kubectl)
    left_s = max(wish.bake_s, SETTLE_S)
    tell(f"watching {target} for {left_s:.0f} s")
    while True:
        if _selector(wish.service, kubectl).get(LABEL) != target:
            raise KubernetesFailed(f"somebody else has changed the selector of {wish.service}.")
        _gate(pods, deployment, kubectl)
        if not _has_addresses(wish.service, kubectl):
            raise KubernetesFailed(f"{wish.service} has no addresses.")
        if (died := _restarts(pods, kubectl) - restarts) > 0:
            raise KubernetesFailed(f"containers of {deployment} were restarted {died} times.")
        if left_s <= 0:
            return
        sleep(min(LOOK_EVERY_S, left_s))
        left_s -= LOOK_EVERY_S


def _has_addresses(service: str, kubectl: Kubectl) -> bool:
    found = _json(kubectl("get", "endpointslices", "-l", f"kubernetes.io/service-name={service}", "-o", "json"))
    ready = (
        endpoint.get("conditions", {}).get("ready", True)
        for item in found.get("items", [])
        for endpoint in item.get("endpoints") or []
    )
    return any(ready)


def _select(service: str, colour: str, kubectl: Kubectl) -> None:
    patch = json.dumps({"spec": {"selector": {LABEL: colour}}})
    kubectl("patch", "service", service, "--type", "merge", "-p", patch)


def _labels_of(deployment: Mapping[str, Any]) -> Mapping[str, str]:
    labels: Mapping[str, str] = deployment["spec"]["template"]["metadata"].get("labels", {})
    return labels


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions: Sequence[Mapping[str, str]] = pod.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _text(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        shown = re.sub(r"\s+", " ", text)[:200]
        raise KubernetesFailed(f"What kubectl printed is no JSON: {shown}") from error
    if not isinstance(found, dict):
        raise KubernetesFailed("What kubectl printed is no object.")
    return found
