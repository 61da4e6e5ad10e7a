"""The command lines that documents and configs show, and which of them cannot be run where the tests run, and why."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "cluster" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
SHELLS = {"sh", "bash", "shell", "console"}
BUILTINS = {"export", "source", "cd"}
JOB = r"(?:python jobs/|halfiqa )"

# What is not run: a pattern of the line, and the reason. Whatever no pattern names is run, and must end with 0.
NOT_RUN = {
    r"^git clone|github\.com": "a download",
    r"u2netp\.onnx": "needs the weights of U2-Netp, a download",
    r"pip install": "installs into the environment that runs the tests, from the network",
    r"^make (test|slow-test|lint|docs)\b": "the tests and checks themselves",
    r"^make reproduce-demo": "twenty minutes of training; the job is run by tests/pipelines/test_reproduce.py",
    r"experiments/made_up": "the same twenty minutes",
    r"data/biq2021|experiments/biq2021": "needs the download of BIQ2021, and hours",
    r"experiments/paper": "needs KonIQ-10k, SPAQ and GPUs",
    r"--train\.gpu|--tune\.concurrent": "needs GPUs",
    r"(tune|recipe)\.py|configs/tune/|results/tune/": "a search: some thirty trainings, with downloaded weights",
    r"configs/models/(?!triq)|DATASET": "ImageNet weights that are a download",
    r"configs/data/spaq\.yaml|jobs/prepare\.py --config configs/data/koniq10k\.yaml$": "needs the data set, a download",
    r"TRIQ\.h5|/published\b": "needs the published weights, a download",
    r"PATH_OR_URI|\.\.\.": "a form with a blank in it",
    r"BUCKET|^ray (up|down|dashboard|attach)\b|^kubectl|^docker|^aws |^gcloud|RAY_API_SERVER_ADDRESS=": "needs a cloud",
    r"--runtime-env": "each node installs packages from the network",
}
# What is run in a smaller way: a pattern of the line, and what it becomes.
SMALLER = {
    # KonIQ-10k is a download, its layout is that of the demo's photos.
    r"(?<= )/data/koniq10k\b": "results/made_up/data/koniq10k",
    # Twenty minutes of training came before; the demo's results are asked the same way.
    r"(?<=--output )results/made_up\b": "results/demo",
    # Published weights are a download, and TRIQ as published takes hours on a CPU.
    r"$(?<=--config configs/models/triq\.yaml)": " --model.backbone.name resnet18 --model.backbone.weights none"
    " --model.height 96 --model.width 128",
    r"^(.*jobs/train\.py .*resnet18.*)$": r"\1 --train.main.epochs 1 --train.main.warmup_epochs 0"
    " --train.main.hold_epochs 0 --train.finetune.epochs 0",
    r"^(.*jobs/rank\.py .*resnet18.*)$": r"\1 --rank.zero false --rank.measure false",
}


@dataclass(frozen=True)
class Block:
    """One shell block: where it stands, and its commands, each on one line and without its comment."""

    place: str
    lines: tuple[str, ...]

    @property
    def run(self) -> list[str]:
        """The lines that are run, as they are run; none where nothing is left but the setting of variables."""
        left = [smaller(line) for line in self.lines if reason(line) is None]
        return left if any(line.split(" ")[0] not in BUILTINS for line in left) else []


def reason(line: str) -> str | None:
    """Why a line is not run, or None where it is."""
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, line)), None)


def smaller(line: str) -> str:
    """A line with what takes too long, or cannot be had, in a smaller way."""
    for pattern, other in SMALLER.items():
        line = re.sub(pattern, other, line)
    return line


def logical(text: str) -> tuple[str, ...]:
    """The commands of a block: continued lines joined, prompts and comments taken off."""
    lines = (re.sub(r"(^|\s)#.*$", "", line) for line in re.sub(r"\\\n\s*", "", text).splitlines())
    return tuple(re.sub(r"^\s*\$ ", "", line).strip() for line in lines if line.strip())


def is_command(line: str) -> bool:
    """Whether a line begins with something that a shell runs, in a block that does not say what it is."""
    word = re.sub(r"^(\w+=\S* )*", "", line).split(" ")[0]
    return (
        word in BUILTINS
        or word in ("python", "halfiqa", "ray", "kubectl", "docker")
        or (word.startswith(".venv/bin/") or (word.isidentifier() and shutil.which(word) is not None))
    )


def of_document(file: Path) -> list[Block]:
    """The shell blocks of a Markdown file, in its order."""
    found = []
    text = file.read_text()
    for block in re.finditer(r"^```([\w-]*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        lines = logical(block[2])
        if block[1] in SHELLS or (not block[1] and lines and is_command(lines[0])):
            found.append(Block(f"{file.relative_to(ROOT)}:{text.count(chr(10), 0, block.start()) + 1}", lines))
    return found


def of_config(file: Path) -> list[Block]:
    """The commands of a config's header: what stands after `Command:`, long ones broken before `--`."""
    header = "\n".join(line[1:] for line in file.read_text().splitlines() if line.startswith("#"))
    found = re.search(r"^ Command:(.*?)(?=^ \w+:|\Z)", header, re.DOTALL | re.MULTILINE)
    if found is None:
        return []
    text = re.sub(r"\s\(.*?\)", "", found[1], flags=re.DOTALL)
    text = re.sub(r"\s*\\?\n\s+(?=--)", " ", text)
    commands = [line for line in logical(text) if re.match(rf"make |{JOB}", line)]
    return [Block(str(file.relative_to(ROOT)), tuple(" ".join(line.split()) for line in commands))] if commands else []


def all_blocks() -> list[Block]:
    """Every block of every document and config, in an order in which a reader can follow: the README first."""
    return [block for file in DOCUMENTS for block in of_document(file)] + [
        b for file in CONFIGS for b in of_config(file)
    ]


def blocks_to_run() -> list[Block]:
    """Those with something to run, and of equal ones the first; `make demo`, whose results others ask, comes first."""
    first: dict[tuple[str, ...], Block] = {}
    for block in all_blocks():
        if block.run:
            first.setdefault(tuple(block.run), block)
    return sorted(first.values(), key=lambda block: not block.run[0].startswith("make demo"))
