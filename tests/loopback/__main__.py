"""``python -m loopback --state FOLDER --device torino``: the service as a process; prints its address, then answers."""

from __future__ import annotations

import argparse
from pathlib import Path

from loopback.server import Loopback


def main() -> None:
    """Parse the command line, start, print the address."""
    parser = argparse.ArgumentParser(prog="loopback", description=__doc__)
    parser.add_argument("--state", type=Path, help="folder that keeps the jobs")
    parser.add_argument("--device", action="append", required=True, help="stored device, e.g. torino; may be repeated")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", default="loopback-key", help="the API key that it accepts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--token-seconds", type=int, default=3600)
    parser.add_argument("--execution", choices=("calibrated", "noiseless", "counterfeit"), default="calibrated")
    parser.add_argument("--seeded-by", choices=("job", "parameters"), default="job")
    parser.add_argument("--queue-seconds", type=float, default=0.0)
    parser.add_argument("--others-in-queue", type=int, default=0)
    parser.add_argument("--run-seconds", type=float, default=0.0)
    parser.add_argument("--usage-seconds", type=float, default=0.0)
    parser.add_argument("--plan", choices=("open", "premium"), default="open")
    parser.add_argument("--quota-seconds", type=float, default=600.0)
    parser.add_argument("--consumed-seconds", type=float, default=0.0)
    parser.add_argument("--circuit-seconds", type=float, default=0.0)
    parser.add_argument("--subjob-executions", type=int)
    parser.add_argument("--over-quota", choices=("refuse", "hold"), default="refuse")
    options = vars(parser.parse_args())
    service = Loopback(*options.pop("device"), folder=options.pop("state"), **options)
    print(service.url, flush=True)
    service.serve()


if __name__ == "__main__":
    main()
