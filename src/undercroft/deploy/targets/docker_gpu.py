"""The GPU variant of the image: vLLM on a CUDA runtime, with undercroft in front of it on port 8000."""

import json
from typing import Final

from undercroft.deploy.targets.docker import DATA, EXTRAS, HOME, PORT, USER, certificates, index, slimming
from undercroft.deploy.topology import Topology

VLLM: Final = "0.33.0"
VLLM_HOME: Final = "/opt/vllm"
VLLM_PORT: Final = 8001
MODELS: Final = "/models"


def dockerfile(topology: Topology) -> str:
    """Text of `Dockerfile.gpu`, but for its first line."""
    return (
        f"ARG CUDA_IMAGE={topology.images.cuda}\n\n"
        "FROM ${CUDA_IMAGE} AS build\n"
        f"{index(topology)}"
        "ENV PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore\n"
        "WORKDIR /build\n"
        f"{_packages('python3-pip', 'python3-venv')}"
        f"{certificates(topology)}"
        f"{_environments(topology)}"
        "\n"
        "FROM ${CUDA_IMAGE}\n"
        f"{_runtime(topology)}"
    )


def _packages(*names: str) -> str:
    return (
        "# hadolint ignore=DL3008\n"  # the archive of a release has one version of each
        "RUN apt-get update \\\n"
        f"    && apt-get install --yes --no-install-recommends {' '.join(names)} \\\n"
        "    && rm -rf /var/lib/apt/lists/*\n"
    )


def _environments(topology: Topology) -> str:
    cached = "RUN --mount=type=cache,target=/root/.cache/pip \\\n"
    pip = "python3 -m pip --python"
    requirement = topology.package.requirement(*EXTRAS)
    wheel = topology.package.wheel
    locked = (
        "COPY requirements.txt .\n"
        f"{cached}    python3 -m venv --without-pip {HOME} \\\n"
        f"    && {pip} {HOME} install --require-hashes -r requirements.txt\n"
        f"COPY vendor/{wheel} vendor/\n"
        f"{cached}    {pip} {HOME} install '{requirement}'\n"
    )
    released = f"{cached}    python3 -m venv --without-pip {HOME} \\\n    && {pip} {HOME} install '{requirement}'\n"
    return (
        "# vLLM has an environment of its own: it pins versions that undercroft need not follow.\n"
        f"{cached}    python3 -m venv --without-pip {VLLM_HOME} \\\n"
        f"    && {pip} {VLLM_HOME} install vllm=={VLLM}\n"
        f"{locked if wheel is not None else released}{slimming()}"
    )


def _runtime(topology: Topology) -> str:
    trusted = "COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt\n"
    return (
        "# gcc and Python's headers are no leftovers: vLLM compiles kernels for the card when a model loads.\n"
        f"{_packages('gcc', 'libc6-dev', 'python3', 'python3-dev')}"
        f"RUN useradd --uid {USER} --user-group --no-create-home --home-dir {DATA} undercroft \\\n"
        f"    && install --directory --owner={USER} --group={USER} --mode=0700 {DATA} {MODELS}\n"
        f"{trusted if topology.build.ca_file is not None else ''}"
        f"COPY --from=build {VLLM_HOME} {VLLM_HOME}\n"
        f"COPY --from=build {HOME} {HOME}\n"
        "WORKDIR /app\n"
        "COPY manage.py healthcheck.py gpu.py ./\n"
        f"ENV PATH={HOME}/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \\\n"
        f"    UNDERCROFT_DATA_DIR={DATA} UNDERCROFT_SERVER__HOST=0.0.0.0 PORT={PORT} \\\n"
        f"    HF_HOME={MODELS} VLLM_CACHE_ROOT=/tmp/vllm TRITON_CACHE_DIR=/tmp/triton \\\n"
        "    TORCHINDUCTOR_CACHE_DIR=/tmp/inductor\n"
        f"ENV VLLM_MODEL={json.dumps(topology.gpu.model)} VLLM_CARDS={max(topology.gpu.count, 1)}\n"
        f"{_models(topology)}"
        f"USER {USER}:{USER}\n"
        f"EXPOSE {PORT}\n"
        "# undercroft lives at once; it answers 503 for the model until vLLM has loaded it.\n"
        "HEALTHCHECK --interval=5s --timeout=2s --start-period=30s --retries=5 \\\n"
        '    CMD ["python", "-SI", "healthcheck.py"]\n'
        'CMD ["python", "gpu.py"]\n'
    )


def _models(topology: Topology) -> str:
    """Where nobody says what answers, vLLM does."""
    if topology.has_models:
        return ""
    deployment = {"provider": "vllm", "base_url": f"http://127.0.0.1:{VLLM_PORT}/v1"}
    told = json.dumps([{"name": topology.gpu.model, "deployments": [deployment]}])
    return f"ENV UNDERCROFT_MODELS='{told}'\n"


START: Final = f'''\
"""Starts vLLM and undercroft in one container, and ends with the first of them that ends."""

import os
import signal
import subprocess
import sys

VLLM = [
    "{VLLM_HOME}/bin/vllm", "serve", os.environ["VLLM_MODEL"], "--host=127.0.0.1", "--port={VLLM_PORT}",
    f"--tensor-parallel-size={{os.environ['VLLM_CARDS']}}",
]
UNDERCROFT = ["undercroft", "serve"]


def main(commands):
    processes = [subprocess.Popen(command) for command in commands]
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: [process.terminate() for process in processes])
    ended, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    for process in processes:
        if process.pid == ended:
            process.returncode = code
        else:
            process.terminate()
            process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main([VLLM, UNDERCROFT]))
'''
