"""`halfiqa look`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from halfiqa_ray.looking.arguments import make_parser


def run(words: Sequence[str], program: str) -> int:
    """Parse the words, look at the photos; an error that the user can mend is one line, and code 2."""
    given = make_parser(program).parse_args(words)
    from halfiqa_ray.looking import command  # torch takes seconds to import: not for --help

    try:
        return command.run(given)
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
