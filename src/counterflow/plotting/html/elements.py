"""A small vocabulary of HTML in which text is escaped unless it was made by this vocabulary."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

__all__ = ["Markup", "element", "join", "paragraph", "section", "table"]


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, *children: str, attributes: Mapping[str, str] | None = None) -> Markup:
    """One element; plain text among its children is escaped, and so are the values of its attributes.

    Args:
        name: The tag.
        children: Text, or what this function returned.
        attributes: Names and values.

    Returns:
        The markup.

    Example:
        >>> element("p", "1 < 2 ", element("b", "so"), attributes={"title": 'a "quote"'})
        '<p title="a &quot;quote&quot;">1 &lt; 2 <b>so</b></p>'
    """
    given = "".join(f' {key}="{escape(value)}"' for key, value in (attributes or {}).items())
    return Markup(f"<{name}{given}>{join(children)}</{name}>")


def join(parts: Iterable[str], between: str = "") -> Markup:
    """Parts one after the other, plain text escaped."""
    return Markup(escape(between).join(part if isinstance(part, Markup) else escape(part) for part in parts))


def paragraph(*children: str, kind: str = "") -> Markup:
    """A paragraph, of a class if one is named."""
    return element("p", *children, attributes={"class": kind} if kind else None)


def section(title: str, *children: str, anchor: str) -> Markup:
    """A section with a heading, that a link can reach."""
    return element("section", element("h2", title), *children, attributes={"id": anchor, "aria-label": title})


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str, kind: str = "", numeric: Sequence[int] = ()
) -> Markup:
    """A table whose first cell in each row names the row.

    Args:
        heads: The names of the columns.
        rows: The cells.
        caption: What it shows, for those who hear the page.
        kind: Its class.
        numeric: Positions of the columns that hold numbers: set flush right.

    Returns:
        The markup.
    """
    head = element("tr", *[_cell("th", text, place in numeric, scope="col") for place, text in enumerate(heads)])
    body = [
        element(
            "tr",
            _cell("th", row[0], 0 in numeric, scope="row"),
            *[_cell("td", text, place in numeric) for place, text in enumerate(row[1:], 1)],
        )
        for row in rows
    ]
    inner = [
        element("caption", element("span", caption, attributes={"class": "heard"})),
        element("thead", head),
        element("tbody", *body),
    ]
    made = element("table", *inner, attributes={"class": kind} if kind else None)
    return element("div", made, attributes={"class": "scroll"})


def _cell(name: str, text: str, numeric: bool, *, scope: str = "") -> Markup:  # noqa: FBT001
    attributes = {"scope": scope} if scope else {}
    if numeric:
        attributes["class"] = "number"
    return element(name, text, attributes=attributes)
