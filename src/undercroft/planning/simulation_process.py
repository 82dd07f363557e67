"""A simulation in a process of its own: `python -m undercroft.planning.simulation_process`, JSON in, JSON out."""

import sys

import msgspec

from undercroft.planning.requests import SimulationRequest
from undercroft.planning.simulate import simulate


def main() -> int:
    """Reads a SimulationRequest, writes a Run."""
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=SimulationRequest)
    sys.stdout.buffer.write(msgspec.json.encode(simulate(asked.scenario())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
