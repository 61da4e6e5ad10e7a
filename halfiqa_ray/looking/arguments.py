"""The command line of `halfiqa look`. Nothing heavy is imported here: it is all that ``--help`` needs."""

from __future__ import annotations

import argparse

MODEL = "biq2021/triq"
RULES = ("level_plcc", "score_change", "shapley", "banzhaf")
DESCRIPTION = """Which half of a photo does a quality model look at? Scores every subset of the photo's blocks exactly,
and prints the score, the important and the trivial half, their own scores, and the Shapley values of the blocks. Needs
no cluster, no Ray and no list of photos."""
EPILOG = """Exit code: 0 when every photo was scored, 1 when some could not be read (each is named, the others are
scored), 2 when nothing could be done."""


def make_parser(program: str) -> argparse.ArgumentParser:
    """The parser."""
    parser = argparse.ArgumentParser(program, description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument(
        "photos",
        nargs="+",
        metavar="PHOTO",
        help="a photo, a folder of them, a pattern such as 'trip/*.jpg', a URL; - reads names from standard input",
    )
    parser.add_argument(
        "--model",
        default=MODEL,
        help="a model that comes with the package (halfiqa models lists them) or a checkpoint folder with a TRIQ; "
        "default %(default)s",
    )
    parser.add_argument("--output", metavar="FILE.html", help="write a page of these photos, with the block explorer")
    parser.add_argument("--open", action="store_true", help="open that page in the browser")
    parser.add_argument(
        "--short", action="store_true", help="a line a photo: score, important half, trivial half, name"
    )
    parser.add_argument("--rule", choices=RULES, help="what picks the halves; default: the first that gives some")
    parser.add_argument("--rows", type=int, default=3, help="rows of blocks; default %(default)s")
    parser.add_argument(
        "--columns", type=int, default=4, help="columns of blocks, 16 blocks at most; default %(default)s"
    )
    parser.add_argument("--device", default="cpu", help="where the model runs, such as cuda; default %(default)s")
    return parser
