"""`undercroft deploy switch --kubernetes`."""

from argparse import Namespace

from undercroft.cli.output import Output
from undercroft.hosting import kubernetes


def switch(options: Namespace, out: Output) -> int:
    """Exit code 1 where the traffic was taken back, or never moved."""
    wish = kubernetes.Wish(
        service=options.service,
        to=options.to,
        timeout_s=options.timeout_seconds,
        bake_s=60.0 if options.bake_seconds is None else options.bake_seconds,
    )
    kubectl = kubernetes.Program(namespace=options.namespace, context=options.context)
    text = kubernetes.switch(wish, kubectl, out.note)
    out.show({"text": text}, text=text)
    return 0
