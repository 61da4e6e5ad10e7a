"""Pages made of planted outputs, and pages taken apart by Python's own HTML parser."""

import json
from html.parser import HTMLParser
from pathlib import Path

from halfiqa_ray.config import Settings
from halfiqa_ray.report.page import page

# Elements that have no end tag.
VOID = {"meta", "link", "img", "input", "br", "path", "use", "rect", "image", "stop", "circle"}


def write(output, figures=None, **settings) -> str:
    """Write the page of an output, with no figures unless they are given; returns its text."""
    settings = Settings(output=str(output), **settings)
    return Path(page.write_page(settings, page.shown_runs(settings), figures or {})).read_text("utf-8")


class Parsed(HTMLParser):
    """Elements as (tag, attributes), texts of scripts by their id, and the text of the page."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.scripts, self.open, self.words = [], {}, [], []
        self.tables = []  # [caption, rows of cells]
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "table":
            self.tables.append(["", []])
        if tag == "tr":
            self.tables[-1][1].append([])
        if tag in ("td", "th"):
            self.tables[-1][1][-1].append("")
        if tag not in VOID:
            self.open.append((tag, dict(attributes)))

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open, f"</{tag}> closes nothing"
            assert self.open.pop()[0] == tag

    def handle_data(self, data):
        tags = [tag for tag, _ in self.open]
        if tags and tags[-1] == "script":
            self.scripts[self.open[-1][1].get("id", "page")] = data
            return
        if tags and tags[-1] == "style":
            return
        self.words.append(data)
        if "caption" in tags:
            self.tables[-1][0] += data
        elif "td" in tags or ("th" in tags and "tr" in tags):
            self.tables[-1][1][-1][-1] += data

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def data(self, number=0):
        return json.loads(self.scripts[f"data-{number}"])

    def photo(self, photo, number=0):
        return json.loads(self.scripts[f"photo-{number}-{photo}"])

    def values(self, attribute):
        return [attributes[attribute] for _, attributes in self.elements if attribute in attributes]
