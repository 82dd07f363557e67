"""Who is measured: how each is started in front of the mock upstream, pinned to the first core."""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
START_LIMIT_S = 90.0


@dataclass(frozen=True, slots=True)
class Contender:
    """A gateway under test. `path` is where its chat completions stand."""

    name: str
    port: int
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    path: str = "/v1/chat/completions"
    key: str = "sk-bench"
    headers: Mapping[str, str] = field(default_factory=dict)
    translates: bool = False
    """Takes Anthropic's format too, whatever the upstream speaks."""

    def start(self, folder: Path) -> tuple["subprocess.Popen[bytes]", float]:
        """The running process and the seconds until its first answer. Raises RuntimeError when it does not come up."""
        began = time.monotonic()
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **self.environment}
        with (folder / f"{self.name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*pinned(0), *self.command], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        while not self._answers():
            if process.poll() is not None or time.monotonic() - began > START_LIMIT_S:
                process.kill()
                tail = (folder / f"{self.name}.log").read_text(errors="replace").strip().splitlines()[-1:]
                raise RuntimeError(f"{self.name} did not start: {' '.join(tail) or 'no output'}")
            time.sleep(0.005)
        return process, time.monotonic() - began

    def _answers(self) -> bool:
        body = b'{"model":"plain","messages":[{"role":"user","content":"hello"}]}'
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{self.path}",
            body,
            {"content-type": "application/json", "authorization": f"Bearer {self.key}", **self.headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
                return b"completion_tokens" in answer.read()
        except (urllib.error.URLError, OSError):
            return False


def pinned(core: int) -> tuple[str, ...]:
    """The prefix that keeps a process on one core, where the system can."""
    taskset = shutil.which("taskset")
    return (taskset, "-c", str(core)) if taskset and (os.cpu_count() or 1) > 1 else ()


def undercroft(folder: Path, *, port: int, upstream: int, settings: str = "") -> Contender:
    """This gateway with everything on: a key with limits and a budget, ledger, metrics, log line, guard."""
    config = folder / "undercroft.toml"
    models = "".join(
        f'[[models]]\nname = "{name}"\n[[models.deployments]]\nprovider = "openai_compatible"\n'
        f'base_url = "http://127.0.0.1:{upstream}/v1"\napi_key = "env:BENCH_KEY"\n'
        f'price = {{ input = "0.25", output = "2.00" }}\n'
        for name in ("plain", "slow", "stream", "drip")
    )
    config.write_text(f'data_dir = "{folder / "data"}"\n{settings}{models}', "utf-8")
    program = (sys.executable, "-m", "undercroft")
    environment = {"BENCH_KEY": "sk-upstream"}
    limits = ("--budget", "1000000", "--requests-per-minute", "100000000", "--tokens-per-minute", "100000000000")
    made = subprocess.run(
        [*program, "keys", "create", "--json", "--config", str(config), *limits, "--concurrent", "10000"],
        env={**os.environ, **environment},
        capture_output=True,
        check=True,
    )
    key = json.loads(made.stdout)["key"]
    command = (*program, "serve", "--config", str(config), "--port", str(port))
    return Contender("undercroft", port, command, environment, key=key, translates=True)


def undercroft_cached(folder: Path, *, port: int, upstream: int) -> Contender:
    """The same with a cache: after the first, every answer is a hit."""
    contender = undercroft(folder, port=port, upstream=upstream, settings='[cache]\nmode = "always"\n')
    return replace(contender, name="undercroft_cached")


def naive(_: Path, *, port: int, upstream: int) -> Contender:
    """The service most people write first: FastAPI around the official SDK (benchmarks/naive.py)."""
    command = (sys.executable, "-m", "uvicorn", "benchmarks.naive:app", "--port", str(port), "--log-level", "error")
    environment = {"UPSTREAM": f"http://127.0.0.1:{upstream}/v1", "PYTHONPATH": str(ROOT)}
    return Contender("fastapi_openai_sdk", port, command, environment)


def nginx(folder: Path, *, port: int, upstream: int) -> Contender | None:
    """A reverse proxy that understands nothing of what it passes on: the limit. None where it is not installed."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        return None
    config = folder / "nginx.conf"
    config.write_text(
        f"""daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 16384; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  upstream mock {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
""",
        "utf-8",
    )
    return Contender("nginx", port, (binary, "-p", str(folder), "-c", str(config)))


def litellm(folder: Path, *, port: int, upstream: int) -> Contender:
    """LiteLLM's proxy, installed into a virtual environment of its own on first use."""
    home = peers_folder() / f"litellm-{platform.python_version()}"  # on the same Python as ours
    binary = home / "bin" / "litellm"
    if not binary.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(home / "bin" / "pip"), "install", "--quiet", "litellm[proxy]"], check=True)
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n"
        + "".join(
            f"  - model_name: {name}\n    litellm_params: {{model: openai/{name}, "
            f"api_base: http://127.0.0.1:{upstream}/v1, api_key: sk-upstream}}\n"
            for name in ("plain", "slow", "stream")
        )
        + "general_settings: {master_key: sk-bench}\n",
        "utf-8",
    )
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    command = (str(binary), "--config", str(config), "--port", str(port), "--num_workers", "1")
    return Contender("litellm", port, command, environment)


def portkey(_: Path, *, port: int, upstream: int) -> Contender:
    """Portkey's open gateway, installed with npm into a folder of its own on first use."""
    home = peers_folder() / "portkey"
    script = home / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    if not script.exists():
        home.mkdir(parents=True, exist_ok=True)
        install = ("npm", "install", "--ignore-scripts", "--no-audit", "--prefix", str(home), "@portkey-ai/gateway")
        subprocess.run(install, check=True)
    command = ("node", str(script), f"--port={port}", "--headless")
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1"}
    return Contender("portkey", port, command, {"NODE_ENV": "production"}, headers=headers)


def peers_folder() -> Path:
    """Where peers are installed: a cache of the user's, never the checkout or our own environment."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "undercroft-bench"
