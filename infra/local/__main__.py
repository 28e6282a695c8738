"""`python -m infra.local dev|demo`, from the root of the repository."""

import argparse
import sys


def main(argv: list[str]) -> int:
    """Dispatch to a command; its own arguments follow it."""
    parser = argparse.ArgumentParser(prog="python -m infra.local", description=__doc__)
    parser.add_argument("command", choices=("dev", "demo"), help="dev: keep it up; demo: show it and end")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="see the command's own --help")
    given = parser.parse_args(argv)
    # Imported here: one command does not pay for the other.
    if given.command == "demo":
        from .terminal import demo

        return demo.main(given.arguments)
    from . import dev

    return dev.main(given.arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
