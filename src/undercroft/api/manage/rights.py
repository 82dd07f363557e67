"""What each management route demands: the table that the doors, the tests and the reference go by.

A route that is not in it is the admin's alone: nothing is open that this table does not open.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from undercroft.access.roles import Permission


class Demand(NamedTuple):
    """`installation`: it concerns all organisations, so only those of `default` may."""

    permission: Permission
    installation: bool = False


DEFAULT: Final = Demand("manage", installation=True)

DEMANDS: Final[Mapping[tuple[str, str], Demand]] = {
    ("GET", "/usage"): Demand("read"),
    ("GET", "/usage/outlook"): Demand("read"),
    ("GET", "/slo"): Demand("read"),
    ("GET", "/requests/{id}/explanation"): Demand("read"),
    ("GET", "/requests/{id}/content"): Demand("manage"),
    ("DELETE", "/requests/{id}/content"): Demand("manage"),
    ("GET", "/traces"): Demand("read"),
    ("GET", "/traces/{trace}"): Demand("read"),
    ("GET", "/errors"): Demand("read", installation=True),
    ("GET", "/log-level"): Demand("read", installation=True),
    ("PUT", "/log-level"): Demand("operate", installation=True),
    ("GET", "/cache/{id}"): Demand("read"),
    ("DELETE", "/cache/{id}"): Demand("operate"),
    ("GET", "/models"): Demand("read"),
    ("GET", "/config"): Demand("read", installation=True),
    ("POST", "/config/reload"): Demand("operate", installation=True),
    ("GET", "/keys"): Demand("read"),
    ("GET", "/keys/{key}"): Demand("read"),
    ("POST", "/keys"): Demand("develop"),
    ("PATCH", "/keys/{key}"): Demand("develop"),
    ("POST", "/keys/{key}/rotate"): Demand("develop"),
    ("POST", "/keys/{key}/revoke"): Demand("develop"),
    ("GET", "/prompts"): Demand("read"),
    ("POST", "/prompts"): Demand("develop"),
    ("GET", "/versions/{kind}"): Demand("read"),
    ("GET", "/versions/{kind}/{name}"): Demand("read"),
    ("GET", "/versions/{kind}/{name}/diff"): Demand("read"),
    ("POST", "/versions/{kind}/{name}"): Demand("develop"),
    ("POST", "/versions/{kind}/{name}/labels/{label}"): Demand("operate"),
    ("DELETE", "/versions/{kind}/{name}/labels/{label}"): Demand("operate"),
    ("GET", "/releases"): Demand("read"),
    ("POST", "/releases"): Demand("develop"),
    ("GET", "/releases/{release_id}"): Demand("read"),
    ("POST", "/releases/{release_id}/rollout"): Demand("operate"),
    ("POST", "/releases/{release_id}/promote"): Demand("operate"),
    ("GET", "/aliases/{alias}"): Demand("read"),
    ("POST", "/aliases/{alias}/{command}"): Demand("operate"),
    ("GET", "/feedback"): Demand("read"),
    ("GET", "/webhooks"): Demand("read"),
    ("POST", "/webhooks"): Demand("operate"),
    ("POST", "/webhooks/job-secret"): Demand("operate"),
    ("GET", "/webhooks/{webhook_id}"): Demand("read"),
    ("PATCH", "/webhooks/{webhook_id}"): Demand("operate"),
    ("DELETE", "/webhooks/{webhook_id}"): Demand("operate"),
    ("GET", "/webhooks/{webhook_id}/deliveries"): Demand("read"),
    ("POST", "/webhooks/{webhook_id}/replay"): Demand("operate"),
    ("POST", "/webhooks/{webhook_id}/test"): Demand("operate"),
    ("POST", "/plans"): Demand("read"),
    ("POST", "/plans/compare"): Demand("read"),
    ("POST", "/plans/instances"): Demand("read"),
    ("POST", "/plans/simulate"): Demand("read"),
    ("POST", "/plans/verify"): Demand("operate", installation=True),
    ("GET", "/plans/savings"): Demand("read"),
    ("POST", "/session"): Demand("open"),
    ("GET", "/session"): Demand("read"),
    ("DELETE", "/session"): Demand("read"),
    ("GET", "/limits/{group}/{subject}"): Demand("read"),
    ("PUT", "/limits/{group}/{subject}"): Demand("manage"),
    ("GET", "/users"): Demand("manage"),
    ("POST", "/users"): Demand("manage"),
    ("PATCH", "/users/{user}"): Demand("manage"),
    ("GET", "/organisations"): Demand("manage", installation=True),
    ("POST", "/organisations"): Demand("manage", installation=True),
    ("GET", "/secrets"): Demand("manage", installation=True),
    ("PUT", "/secrets/{name}"): Demand("manage", installation=True),
    ("DELETE", "/secrets/{name}"): Demand("manage", installation=True),
    ("GET", "/audit"): Demand("manage"),
    ("GET", "/audit/verify"): Demand("manage", installation=True),
}


UNCHANGING: Final = frozenset({"/plans", "/plans/compare", "/plans/instances", "/plans/simulate", "/session"})
"""Paths whose POST changes nothing that is managed, or that write their own entries into the audit log."""


def demand_of(method: str, path: str) -> Demand:
    """What a route of the management API demands, by its method and path template."""
    return DEMANDS.get(("GET" if method == "HEAD" else method, path), DEFAULT)
