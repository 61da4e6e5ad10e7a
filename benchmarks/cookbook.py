"""Write the answers of docs/cookbook.md anew: after every SQL block of the file, what it gives on an output.

make reproduce-demo
python -m benchmarks.cookbook results/made_up
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from halfiqa_ray.queries.answers import answer
from halfiqa_ray.queries.connection import connect

COOKBOOK = Path(__file__).parents[1] / "docs" / "cookbook.md"
QUESTION = re.compile(r"```sql\n(?P<sql>.*?)\n```\n(?:\n```text\n(?P<answer>.*?)\n```\n)?", re.DOTALL)


def answered(text: str, output: str) -> str:
    """The cookbook's text with the answers of ``output``, in place of those in it."""
    with connect(output, "all") as results:

        def block(found: re.Match[str]) -> str:
            lines = answer(results, found["sql"], "table").splitlines()
            shown = "\n".join(line.rstrip() for line in lines)
            return f"```sql\n{found['sql']}\n```\n\n```text\n{shown}\n```\n"

        return QUESTION.sub(block, text)


def main() -> None:
    """Parse the command line and write."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("results", help="folder or URI of the output, such as results/made_up")
    COOKBOOK.write_text(answered(COOKBOOK.read_text(), command.parse_args().results))
    print(f"written: {COOKBOOK}")


if __name__ == "__main__":
    main()
