"""`/api/v1/plans`: what the command line's `undercroft plan` says, with the same numbers."""

import asyncio
import sys
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
from fastapi import APIRouter, Request, Response

from undercroft.api.manage.asking import organisation, tell
from undercroft.assembly import Undercroft
from undercroft.errors import Conflict, InvalidRequest, Unavailable
from undercroft.ledger.prices import PriceBook
from undercroft.planning.bounds import bounded
from undercroft.planning.compare import Comparison, compare
from undercroft.planning.gpu import SelfHosted
from undercroft.planning.history import read_history
from undercroft.planning.instances import Recommendation
from undercroft.planning.optimize import Savings, find_savings, fleet_of
from undercroft.planning.own_prices import NONE
from undercroft.planning.plan import Plan, make_plan
from undercroft.planning.requests import InstancesRequest, PlanRequest, SimulationRequest, VerifyRequest
from undercroft.planning.timeline import Run
from undercroft.planning.token_prices import TokenCost, token_cost
from undercroft.planning.verification.report import Report
from undercroft.planning.workload import Workload, workload_of

T = TypeVar("T")

DAY_US: Final = 86_400_000_000
MOST_ARRIVALS: Final = 1_000_000
"""Of a simulation asked for over HTTP."""
LONGEST_S: Final = 1800.0
ASKED: Final = (PlanRequest, InstancesRequest, SimulationRequest, VerifyRequest)
ANSWERED: Final = (Plan, Comparison, Recommendation, Run, Savings, Report)
REFERENCE: Final = "#/components/schemas/{name}"
NOT_OF_A_WORKLOAD: Final = frozenset({"from_telemetry", "days", "self_hosted", "prices", "regions"})


def schemas() -> dict[str, Any]:
    """What is asked and answered here, for the OpenAPI document."""
    return msgspec.json.schema_components((*ASKED, *ANSWERED), ref_template=REFERENCE)[1]


def router(undercroft: Undercroft) -> APIRouter:
    planner = Planner(undercroft)
    routes = APIRouter()

    @routes.post("/plans", openapi_extra=_described(PlanRequest, Plan))
    async def estimate(request: Request) -> Response:
        """What a workload needs, how fast it will be and what a month costs: `undercroft plan estimate`."""
        return _json(await planner.estimate(_read(await request.body(), PlanRequest)))

    @routes.post("/plans/compare", openapi_extra=_described(PlanRequest, Comparison))
    async def comparison(request: Request) -> Response:
        """The same workload on several clouds and in several forms, by cost: `undercroft plan compare`."""
        return _json(await planner.compare(_read(await request.body(), PlanRequest)))

    @routes.post("/plans/instances", openapi_extra=_described(InstancesRequest, list[Recommendation]))
    async def instances(request: Request) -> Response:
        """The cheapest instance types that fit, with reasons and warnings: `undercroft plan instances`."""
        return _json(await asyncio.to_thread(_recommended, _read(await request.body(), InstancesRequest)))

    @routes.post("/plans/simulate", openapi_extra=_described(SimulationRequest, Run))
    async def simulation(request: Request) -> Response:
        """Plays requests, replicas and an autoscaler through: `undercroft plan simulate`."""
        return _json(await planner.simulate(_read(await request.body(), SimulationRequest)))

    @routes.post("/plans/verify", openapi_extra=_described(VerifyRequest, Report))
    async def verification(request: Request) -> Response:
        """Loads a server of its own on this machine and compares it with the prediction: `undercroft plan verify`."""
        report = await planner.verify(_read(await request.body(), VerifyRequest))
        tell("plan.verify")
        return _json(report)

    @routes.get("/plans/savings", openapi_extra=_described(None, Savings))
    async def savings(days: float = 28.0, replicas: int | None = None, cpu_fraction: float = 0.05) -> Response:
        """Where the ledger shows money to save: `undercroft plan optimize`."""
        return _json(await planner.savings(days, replicas, cpu_fraction))

    return routes


class Planner:
    """Plans around one undercroft. What takes seconds runs in a process of its own: answers must not wait for it."""

    def __init__(self, undercroft: Undercroft) -> None:
        self._undercroft = undercroft
        self._book = PriceBook()
        self._is_busy = False

    async def estimate(self, asked: PlanRequest) -> Plan:
        workload, tokens = await self._workload(asked)
        return await asyncio.to_thread(make_plan, workload, prices=asked.prices, tokens=tokens, hosted=_checked(asked))

    async def compare(self, asked: PlanRequest) -> Comparison:
        workload, tokens = await self._workload(asked)
        return await asyncio.to_thread(
            compare, workload, prices=asked.prices, tokens=tokens, hosted=_checked(asked), regions=asked.regions
        )

    async def simulate(self, asked: SimulationRequest) -> Run:
        scenario = await asyncio.to_thread(asked.scenario)
        if scenario.expected_arrivals > MOST_ARRIVALS:
            raise InvalidRequest(
                f"duration_s is {asked.duration_s:g}: {scenario.expected_arrivals:.0f} arrivals are more than the "
                f"{MOST_ARRIVALS} that are simulated over HTTP.",
                param="duration_s",
                hint="undercroft plan simulate takes twenty times as many.",
            )
        arguments = ("-m", "undercroft.planning.simulation_process")
        return msgspec.json.decode(await self._run(arguments, msgspec.json.encode(asked)), type=Run)

    async def verify(self, asked: VerifyRequest) -> Report:
        asked.course()
        arguments = ("-m", "undercroft", "plan", "verify", "--json", *asked.options())
        return msgspec.json.decode(await self._run(arguments, b"", accepted=(0, 1)), type=Report)

    async def savings(self, days: float, replicas: int | None, cpu_fraction: float) -> Savings:
        until_us = self._undercroft.clock.now_us()
        query = partial(
            find_savings,
            organisation=organisation(),
            since_us=until_us - round(bounded("days", days, least=0.01, most=3660) * DAY_US),
            until_us=until_us,
            prices=NONE,
            fleet=None if replicas is None else fleet_of(replicas, cpu_fraction),
        )
        return await self._undercroft.link.read(query)

    async def _workload(self, asked: PlanRequest) -> tuple[Workload, TokenCost | None]:
        given = {
            name: value
            for name in PlanRequest.__struct_fields__
            if name not in NOT_OF_A_WORKLOAD and (value := getattr(asked, name)) is not None
        }
        now_us = self._undercroft.clock.now_us()
        measured: dict[str, object] = {}
        if asked.from_telemetry:
            days = bounded("days", asked.days, least=0.01, most=3660)
            history = await self._undercroft.link.read(
                partial(
                    read_history,
                    organisation=organisation(),
                    since_us=now_us - round(days * DAY_US),
                    until_us=now_us,
                )
            )
            measured = history.fields()
        workload = workload_of(given, measured)
        if not workload.model:
            return workload, None
        price = partial(token_cost, workload.model, tokens_in=workload.tokens_in, tokens_out=workload.tokens_out)
        return workload, await asyncio.to_thread(price, prices=asked.prices, book=self._book, now_us=now_us)

    async def _run(self, arguments: tuple[str, ...], given: bytes, *, accepted: tuple[int, ...] = (0,)) -> bytes:
        """What a Python process prints. One at a time. Raises Conflict and Unavailable."""
        if self._is_busy:
            raise Conflict("A simulation or verification is under way.", hint="Ask again when it has ended.")
        self._is_busy = True
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                async with asyncio.timeout(LONGEST_S):
                    printed, complaint = await process.communicate(given)
            finally:
                if process.returncode is None:  # the caller has left, or it takes too long
                    process.terminate()
                    await process.wait()
        finally:
            self._is_busy = False
        if process.returncode not in accepted:
            said = complaint.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise Unavailable(f"The planner's process ended with {process.returncode}: {said[0]}")
        return printed


def _recommended(asked: InstancesRequest) -> list[Recommendation]:
    if asked.region is not None and asked.provider is None:
        raise InvalidRequest("region needs provider.", param="provider")
    return asked.recommended()


def _checked(asked: PlanRequest) -> SelfHosted | None:
    if asked.self_hosted is not None:
        asked.self_hosted.check()
    return asked.self_hosted


def _read(body: bytes, kind: type[T]) -> T:
    """Raises InvalidRequest, naming the field."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$.")
        raise InvalidRequest(
            f"{place.rstrip('`')}: {text}" if place else text, param=place.rstrip("`") or None
        ) from error
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"The body is not JSON: {error}", code="invalid_json") from error


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _described(asked: type | None, answered: Any) -> dict[str, Any]:
    """Body and answer of an operation, by reference to `schemas`."""
    (answer, *request), _ = msgspec.json.schema_components(
        (answered,) if asked is None else (answered, asked), ref_template=REFERENCE
    )
    described: dict[str, Any] = {
        "responses": {
            "200": {"description": "The answer.", "content": {"application/json": {"schema": answer}}},
        }
    }
    if request:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": request[0]}}}
    return described
