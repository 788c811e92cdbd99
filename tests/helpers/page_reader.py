"""Reads an HTML page and checks that it is whole and fetches nothing."""

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "input", "line", "circle"}


class Page(HTMLParser):
    """Reads a page: every tag with its attributes, and whether tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self._open = [], [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def read_page(path):
    text = path.read_text("utf-8")
    # Nothing is fetched: no address of a net, no file beside the page.
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[^\"]*", "", text))
    page = Page(text)
    for attributes in page.all("img"):
        assert attributes["src"].startswith("data:image/")
        assert attributes["alt"]
    assert not page.all("link") and not any("src" in script for script in page.all("script"))
    return page
