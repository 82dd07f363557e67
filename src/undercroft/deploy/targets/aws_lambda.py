"""`lambda`: the application as one function on AWS, as an image or as a zip, behind a function URL."""

import json
from collections.abc import Iterator
from typing import Any, Final

from undercroft.deploy import yaml
from undercroft.deploy.bundle import Bundle, made_by
from undercroft.deploy.targets import function
from undercroft.deploy.topology import Topology

EXTRAS: Final = ("lambda", "postgres")
PYTHON: Final = "3.12"


class AwsLambda:
    name = "lambda"
    summary = "a function on AWS Lambda, as an image or as a zip"

    def problems(self, topology: Topology, /) -> Iterator[str]:
        yield from function.problems(topology)

    def render(self, topology: Topology, /) -> Bundle:
        made = made_by(self.name)
        return Bundle(
            {
                "handler.py": made + _handler(topology),
                "requirements.txt": f"{made}{topology.package.requirement(*EXTRAS)}\n",
                "undercroft.toml": function.settings_file(topology, target=self.name),
                "Dockerfile": made + _dockerfile(topology),
                ".dockerignore": made + _IGNORED,
                "build_zip.py": made + _BUILD_ZIP,
                "template-image.yaml": made + yaml.document(_template(topology, _IMAGE)),
                "template-zip.yaml": made + yaml.document(_template(topology, _ZIP)),
                "README.md": _readme(topology),
            }
        )


def _handler(topology: Topology) -> str:
    return f'''\
"""Lambda's way in, for function URLs, HTTP and REST APIs and load balancers."""

from pathlib import Path

from undercroft.api.serverless import lambda_handler

handler = lambda_handler(Path(__file__).parent, timeout_s={topology.function.timeout_s})
'''


_IGNORED: Final = """\
*
!handler.py
!undercroft.toml
!requirements.txt
!vendor/
"""

_ZIP: Final[dict[str, Any]] = {
    "PackageType": "Zip",
    "CodeUri": "function.zip",
    "Handler": "handler.handler",
    "Runtime": f"python{PYTHON}",
    "Architectures": ["x86_64"],
}

_IMAGE: Final[dict[str, Any]] = {
    "PackageType": "Image",
    "ImageUri": {"Ref": "ImageUri"},
    "Architectures": ["x86_64"],
}

_BUILD_ZIP: Final = '''\
"""Makes function.zip from requirements.txt, handler.py and undercroft.toml.  Example: python build_zip.py

The packages are those of Lambda's system, whatever this one is. The same packages make the same bytes. Under the
function's own version of Python they are compiled as well, without which it would do that at every cold start.
"""

import argparse
import compileall
import py_compile
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MOST_BYTES = 250 * 1000 * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="3.12", help="version of the function's Python (default: 3.12)")
    parser.add_argument("--architecture", default="x86_64", choices=["x86_64", "aarch64"], help="(default: x86_64)")
    options = parser.parse_args()
    build = HERE / "build"
    shutil.rmtree(build, ignore_errors=True)
    install = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-warn-conflicts"]
    install += ["--no-compile", "--only-binary", ":all:", "--implementation", "cp", "--python-version", options.python]
    for platform in ("manylinux_2_28", "manylinux_2_17", "manylinux2014"):
        install += ["--platform", f"{platform}_{options.architecture}"]
    install += ["--target", str(build), "--requirement", "requirements.txt"]
    if subprocess.run(install, cwd=HERE, check=False).returncode != 0:
        return 1
    shutil.rmtree(build / "bin", ignore_errors=True)
    for name in ("handler.py", "undercroft.toml"):
        shutil.copy(HERE / name, build / name)
    if options.python == "{}.{}".format(*sys.version_info):
        by_content = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(build, quiet=2, invalidation_mode=by_content, stripdir=build, prependdir="/var/task")
    else:
        print(f"not compiled: run it with Python {options.python}, and cold starts take half the time", file=sys.stderr)
    files = sorted(path for path in build.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    if size > MOST_BYTES:
        print(f"{size // 1_000_000} MB unpacked, and Lambda takes 250; use the image instead", file=sys.stderr)
        return 1
    with zipfile.ZipFile(HERE / "function.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(build).as_posix(), (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    packed = (HERE / "function.zip").stat().st_size
    print(f"function.zip: {packed // 1_000_000} MB, {size // 1_000_000} MB unpacked, {len(files)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
'''


def _dockerfile(topology: Topology) -> str:
    index_url, vendor = topology.build.index_url, topology.package.wheel is not None
    certificates = (
        "COPY vendor/ca.pem /etc/pki/ca-trust/source/anchors/own.pem\n"
        "RUN update-ca-trust\n"
        "ENV PIP_CERT=/etc/pki/tls/certs/ca-bundle.crt\n"
        if topology.build.ca_file is not None
        else ""
    )
    return (
        f"ARG LAMBDA_IMAGE={topology.images.aws_lambda}\n\n"
        "FROM ${LAMBDA_IMAGE}\n"
        "# Where packages come from is the builder's affair.\n"
        f"ARG PIP_INDEX_URL{f'={index_url}' if index_url else ''}\n"
        "ARG PIP_EXTRA_INDEX_URL\n"
        f"{certificates}"
        "WORKDIR /var/task\n"
        f"COPY requirements.txt ./\n{'COPY vendor/ vendor/' + chr(10) if vendor else ''}"
        "RUN pip install --no-cache-dir --disable-pip-version-check -r requirements.txt"
        f"{' && rm -r vendor' if vendor else ''}\n"
        "COPY handler.py undercroft.toml ./\n"
        'CMD ["handler.handler"]\n'
    )


def _template(topology: Topology, package: dict[str, Any]) -> dict[str, Any]:
    """For `sam deploy`, which makes CloudFormation of it."""
    parameters: dict[str, Any] = {
        "SecretName": {
            "Type": "String",
            "Default": "api-secrets",
            "Description": "Name of the secret in Secrets Manager that holds the keys named below",
        }
    }
    if package["PackageType"] == "Image":
        parameters["ImageUri"] = {"Type": "String", "Description": "The image in your registry, with its tag"}
    secrets = {
        variable: {"Fn::Sub": f"{{{{resolve:secretsmanager:${{SecretName}}:SecretString:{key}}}}}"}
        for variable, key in function.secrets_of(topology).items()
    }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Description": f"{topology.name}: an AI API as a function",
        "Parameters": parameters,
        "Resources": {
            "Function": {
                "Type": "AWS::Serverless::Function",
                "Properties": {
                    **package,
                    "MemorySize": topology.function.memory_mib,
                    "Timeout": topology.function.timeout_s,
                    "FunctionUrlConfig": yaml.Noted(
                        "undercroft asks for a key itself; IAM in front of it would lock SDKs out", {"AuthType": "NONE"}
                    ),
                    "Environment": {"Variables": secrets},
                },
            }
        },
        "Outputs": {"Url": {"Value": {"Fn::GetAtt": ["FunctionUrl", "FunctionUrl"]}}},
    }


def _readme(topology: Topology) -> str:
    given = dict.fromkeys(function.secrets_of(topology).values(), "…")
    image = topology.images.application
    return f"""\
# {topology.name} on AWS Lambda

{made_by("lambda", comment="").strip()}

Once: the secrets, and the schema of the database.

    aws secretsmanager create-secret --name api-secrets --secret-string '{json.dumps(given, ensure_ascii=False)}'
    DATABASE_URL=postgresql://… undercroft migrate

Without `OPENAI_API_KEY`, name another provider's models under `[[models]]`, and its key under `[deploy.secrets]`.

## As a zip

    python build_zip.py
    sam deploy --template-file template-zip.yaml --stack-name {topology.name} --resolve-s3 \\
        --capabilities CAPABILITY_IAM

## As an image

    docker build --platform linux/amd64 --provenance=false --tag {image} .
    docker push {image}
    sam deploy --template-file template-image.yaml --stack-name {topology.name} --capabilities CAPABILITY_IAM \\
        --parameter-overrides ImageUri={image}

(The image has to lie in a registry of your own account: set `application` under `[deploy.images]`.)

## Then

    curl "$URL/health"
    curl "$URL/api/generate" -H "Authorization: Bearer $UNDERCROFT_MASTER_KEY" --json '{{"prompt": "Hello"}}'

`sam deploy` prints the address. Anything that sends Lambda HTTP events will do in front of it (an HTTP API, a load
balancer); an HTTP API gives up after 30 s, a function URL waits.

{function.what_it_is(topology)}"""
