"""Azure OpenAI: OpenAI's format under a resource's own address, its key in a header of its own."""

from dataclasses import replace
from typing import Final
from urllib.parse import quote

from undercroft.clock import Clock
from undercroft.egress.client import Client
from undercroft.providers.openai_compatible import Manners
from undercroft.providers.openai_responses import OpenAIResponses

KEY_HEADER: Final = "api-key"


def azure(
    *,
    endpoint: str,
    api_version: str | None,
    api_key: str | None,
    deployment: str,
    client: Client,
    clock: Clock,
    manners: Manners,
    responses_api: bool | None = None,
) -> OpenAIResponses:
    """The provider of one Azure deployment, which Azure takes for the model's name.

    The form with the deployment in the path has no `/responses`, unless `responses_api` says so.
    """
    return OpenAIResponses(
        "azure",
        base_url=base_url(endpoint, deployment, api_version=api_version),
        api_key=api_key,
        model=deployment,
        client=client,
        clock=clock,
        manners=replace(
            manners, key_header=KEY_HEADER, query="" if api_version is None else f"?api-version={api_version}"
        ),
        speaks_responses=api_version is None if responses_api is None else responses_api,
    )


def base_url(endpoint: str, deployment: str, *, api_version: str | None) -> str:
    """`https://NAME.openai.azure.com` -> `…/openai/v1`, or with a version `…/openai/deployments/DEPLOYMENT`.

    An endpoint that goes on as Azure's portal shows it, up to either of these, is taken as well.
    """
    endpoint = endpoint.rstrip("/")
    if endpoint.endswith("/openai/v1") or "/openai/deployments/" in endpoint:
        return endpoint
    root = endpoint.removesuffix("/openai") + "/openai"
    return f"{root}/v1" if api_version is None else f"{root}/deployments/{quote(deployment, safe='')}"
