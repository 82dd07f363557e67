"""`github-actions`: from a push to production, and back when it is worse: test, evaluate, build, scan, blue-green."""

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any, Final

from undercroft.deploy import static
from undercroft.deploy.bundle import Bundle, made_by
from undercroft.deploy.targets.kubernetes import colours, pods
from undercroft.deploy.targets.kubernetes.target import Kubernetes
from undercroft.deploy.topology import Topology
from undercroft.deploy.yaml import Noted, document

Object = dict[str, Any]
CHECKOUT: Final = "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683"
PYTHON: Final = "actions/setup-python@a26af69be951a213d495a4c3e4e4022e16d87065"
TRIVY: Final = "aquasecurity/trivy-action@57a97c7e7821a5776cebc9bb87c984fa69cba8f1"
WORKFLOW: Final = ".github/workflows/deploy.yml"
PINS: Final = ".github/models.json"
SUITE: Final = "evals/suite.yaml"
_MOVES: Final = re.compile(r"(^|[-:@/])latest$")


class GitHubActions:
    name = "github-actions"
    summary = "a pipeline: test, evaluate, build, scan, blue-green, back by itself"

    def problems(self, topology: Topology, /) -> Iterator[str]:
        yield from Kubernetes().problems(topology)
        for pin in pins(topology):
            if _MOVES.search(pin["asks_for"]):
                yield (
                    f"models[{pin['model']!r}] asks {pin['provider']} for {pin['asks_for']!r}, which is another model "
                    "when the provider says so; write the version that was evaluated"
                )

    def render(self, topology: Topology, /) -> Bundle:
        made = made_by(self.name)
        files = {
            WORKFLOW: made + document(workflow(topology)),
            PINS: json.dumps(pins(topology), indent=2, ensure_ascii=False) + "\n",
            **{f".github/{path}": made + text for path, text in static.texts("github-actions").items()},
            "PIPELINE.md": _readme(topology),
        }
        return Bundle(files)


def pins(topology: Topology) -> list[dict[str, str]]:
    """Which model of which provider answers for each name: what was evaluated, and nothing else."""
    models = tomllib.loads(topology.settings_file or "").get("models", [])
    return [
        {
            "model": model["name"],
            "provider": deployment["provider"],
            "asks_for": deployment.get("model", model["name"]),
        }
        for model in models
        for deployment in model["deployments"]
    ]


def workflow(topology: Topology) -> Object:
    """The workflow as data."""
    return {
        "name": "deploy",
        "on": {"push": {"branches": ["main"]}, "pull_request": None},
        "permissions": {"contents": "read"},
        "concurrency": Noted(
            "One deployment at a time, and none is cut short in the middle.",
            {"group": "deploy-${{ github.ref }}", "cancel-in-progress": "${{ github.event_name == 'pull_request' }}"},
        ),
        "env": {
            "IMAGE": topology.images.application.rpartition(":")[0],
            "UNDERCROFT_DEPLOY__IMAGES__TAG": "${{ github.sha }}",
        },
        "jobs": {
            "test": _test(topology),
            "evaluate": _evaluate(topology),
            "build": _build(topology),
            "deploy": _deploy(topology),
        },
    }


def _job(steps: list[Any], *, minutes: int, **own: Any) -> Object:
    checkout = {"uses": Noted("v4.2.2", CHECKOUT), "with": {"persist-credentials": False}}
    return {**own, "runs-on": "ubuntu-24.04", "timeout-minutes": minutes, "steps": [checkout, *steps]}


def _python(topology: Topology) -> list[Any]:
    requirement = topology.package.requirement("deploy", "releases", "postgres")
    return [
        {"uses": Noted("v5.6.0", PYTHON), "with": {"python-version": "3.12"}},
        {"name": "Install undercroft", "run": f"python -m pip install '{requirement}'\n"},
    ]


def _test(topology: Topology) -> Object:
    return _job(
        [
            *_python(topology),
            {
                "name": "Nothing has moved: settings, models and deployment files are what was reviewed",
                "run": (
                    "undercroft config check\n"
                    "undercroft deploy render github-actions --out . --diff > pins.diff\n"
                    "grep --quiet '^nothing would change$' pins.diff || { cat pins.diff; exit 1; }\n"
                    "undercroft deploy render kubernetes --out k8s\n"
                    "undercroft deploy check k8s\n"
                ),
                "env": {"UNDERCROFT_DEPLOY__IMAGES__TAG": ""},
            },
            {
                "name": "Test",
                "if": "hashFiles('tests/**/*.py') != ''",
                "run": (
                    "test ! -f requirements-dev.txt || python -m pip install -r requirements-dev.txt\n"
                    "python -m pip install pytest\n"
                    "python -m pytest\n"
                ),
            },
        ],
        minutes=15,
    )


def _evaluate(topology: Topology) -> Object:
    keys = [secret.variable for secret in topology.secrets if secret.variable.endswith("_API_KEY")]
    return _job(
        [
            *_python(topology),
            {
                "name": "Evaluate",
                "if": f"hashFiles('{SUITE}') != ''",
                "run": f'undercroft eval run {SUITE} --markdown "$GITHUB_STEP_SUMMARY" --junit junit.xml\n',
                "env": {name: f"${{{{ secrets.{name} }}}}" for name in keys},
            },
        ],
        minutes=30,
        needs="test",
        **{"if": Noted("Secrets are not for pull requests from elsewhere.", "github.event_name == 'push'")},
    )


def _build(topology: Topology) -> Object:
    where = "." if topology.build.code else "k8s/image"
    return _job(
        [
            *_python(topology),
            {"name": "Render", "run": "undercroft deploy render kubernetes --out k8s\n"},
            {"name": "Build", "run": f'docker build --tag "$IMAGE:$GITHUB_SHA" {where}\n'},
            {
                "name": "Scan",
                "uses": Noted("v0.35.0", TRIVY),
                "with": {
                    "image-ref": "${{ env.IMAGE }}:${{ github.sha }}",
                    "severity": "CRITICAL,HIGH",
                    "ignore-unfixed": True,
                    "exit-code": "1",
                },
            },
            {
                "name": "Push",
                "if": "github.event_name == 'push'",
                "run": (
                    'echo "$REGISTRY_PASSWORD" |\n'
                    '  docker login --username "$REGISTRY_USER" --password-stdin "${IMAGE%%/*}"\n'
                    'docker push "$IMAGE:$GITHUB_SHA"\n'
                ),
                "env": {
                    "REGISTRY_USER": "${{ secrets.REGISTRY_USER }}",
                    "REGISTRY_PASSWORD": "${{ secrets.REGISTRY_PASSWORD }}",
                },
            },
        ],
        minutes=30,
        needs="test",
    )


def _deploy(topology: Topology) -> Object:
    service = colours.SERVICE
    label = colours.LABEL.replace(".", "\\.")
    job = str(pods.migration(topology)["metadata"]["labels"]["app"])
    before = f"kubectl get service {service} --output jsonpath='{{.spec.selector.{label}}}'"
    patch = '{\\"spec\\":{\\"selector\\":{\\"' + colours.LABEL + '\\":\\"$COLOUR\\"}}}'
    switch = f'kubectl patch service {service} --patch "{patch}"\n'
    return _job(
        [
            *_python(topology),
            {
                "name": "Cluster",
                "run": 'install --mode=0600 /dev/null kubeconfig\nprintf %s "$KUBECONFIG_TEXT" > kubeconfig\n',
                "env": {"KUBECONFIG_TEXT": "${{ secrets.KUBECONFIG }}"},
            },
            {
                "name": "Green: the colour that does not answer gets the new version",
                "id": "green",
                "run": (
                    "undercroft deploy render kubernetes --out k8s\n"
                    f"blue=$({before})\n"
                    'green=blue; if [ "$blue" = blue ]; then green=green; fi\n'
                    'printf \'blue=%s\\ngreen=%s\\n\' "$blue" "$green" >> "$GITHUB_OUTPUT"\n'
                    "kubectl apply --kustomize k8s/blue-green/shared\n"
                    f"kubectl wait job --selector app={job} --for=condition=complete --timeout=10m\n"
                    'kubectl apply --kustomize "k8s/blue-green/$green"\n'
                    f'kubectl rollout status "deployment/{topology.name}-$green" --timeout=10m\n'
                ),
            },
            {
                "name": "Smoke: green answers, before anybody asks it",
                "run": (
                    f'kubectl port-forward "service/{service}-$COLOUR" 18000:80 &\n'
                    "python .github/watch.py http://localhost:18000 --for 30 --every 1\n"
                ),
                "env": {"COLOUR": "${{ steps.green.outputs.green }}", **_key()},
            },
            {"name": "Switch", "id": "switch", "run": switch, "env": {"COLOUR": "${{ steps.green.outputs.green }}"}},
            {
                "name": "Watch: real requests through the front door, for five minutes",
                "run": 'python .github/watch.py "$PUBLIC_URL" --for 300 --every 1\n',
                "env": {"PUBLIC_URL": "${{ vars.PUBLIC_URL }}", **_key()},
            },
            {
                "name": "Back, by itself",
                "if": "failure() && steps.switch.outcome == 'success'",
                "run": switch,
                "env": {"COLOUR": "${{ steps.green.outputs.blue }}"},
            },
        ],
        minutes=45,
        needs=["evaluate", "build"],
        **{"if": "github.event_name == 'push'"},
        environment=Noted("Whoever has to agree says so in this environment's rules.", "production"),
        env={"KUBECONFIG": "${{ github.workspace }}/kubeconfig"},
    )


def _key() -> Object:
    return {"UNDERCROFT_KEY": "${{ secrets.UNDERCROFT_KEY }}"}


def _readme(topology: Topology) -> str:
    rows = "\n".join(f"| `{pin['model']}` | {pin['provider']} | `{pin['asks_for']}` |" for pin in pins(topology))
    pinned = (
        f"\n| model | provider | version |\n| --- | --- | --- |\n{rows}\n"
        if rows
        else "\n`undercroft.toml` names no `[[models]]` yet, so nothing is pinned.\n"
    )
    return f"""\
# The pipeline of {topology.name}

{made_by("github-actions", comment="").strip()}

Render it into the root of your repository, beside `undercroft.toml`. `{WORKFLOW}` does this on every push to `main`,
and the first four on pull requests, as far as they need no secret:

| step | stops when |
| --- | --- |
| test | settings are wrong, a model or a deployment file is not what was reviewed, a test fails |
| evaluate | `{SUITE}` is answered worse than it says (a file of your own; where there is none, nothing is evaluated) |
| build | the image cannot be built |
| scan | it has a known and mended weakness, high or critical |
| green | the migration fails, or the new version does not become ready beside the old one |
| smoke | the new version answers real requests badly, before anybody else asks it |
| switch, watch | within five minutes more than one request in a hundred fails: back to the version before |

What was there before stays in the cluster, so that going back is a matter of the Service's selector.

Secrets of the repository: `REGISTRY_USER`, `REGISTRY_PASSWORD`, `KUBECONFIG`, `UNDERCROFT_KEY` (a virtual key for the
requests that are tried), and keys of providers for the evaluation. Variable: `PUBLIC_URL`. The cluster is set up once
by the README that `undercroft deploy render kubernetes` writes; `blue-green/service.yaml` has to be there.

## Pinned models

`{PINS}` holds which model of which provider answers. A change of `[[models]]` that was not rendered, and therefore not
reviewed, stops the pipeline; so does a name that the provider moves (`…-latest`). Actions are pinned by commit.
{pinned}"""
