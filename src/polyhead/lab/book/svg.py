"""Figures as SVG of few bytes: what matplotlib writes, without what nobody sees; light and dark as one drawing of two palettes."""

from __future__ import annotations

import re
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

_NUMBER = re.compile(r"-?\d+\.\d+")
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_URL = re.compile(r"url\(#([^)]+)\)")
_PLACES = {"d", "x", "y", "width", "height", "points", "x1", "y1", "x2", "y2", "cx", "cy", "r"}
_LINES = {"stroke-linejoin": "round", "stroke-linecap": "butt"}  # matplotlib says it in a style sheet for all of a page


class Drawing(NamedTuple):
    """A figure for a page. body: its elements. colours: (light, dark) of each variable in body. size: width and height in points."""

    body: str
    colours: tuple[tuple[str, str], ...]
    size: tuple[float, float]


def trim(svg: str, title: str) -> str:
    """A file of its own, of the same look: numbers with two places, no unused names, no metadata. title: for who cannot see it."""
    root = _parse(svg)
    _tidy(root, "")
    size = {name: root.get(name, "") for name in ("width", "height", "viewBox")}
    root.attrib = {"xmlns": "http://www.w3.org/2000/svg", **size, "role": "img"} | _LINES
    label = Element("title")
    label.text = title
    root.insert(0, label)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True) + "\n"


def pair(light: str, dark: str, name: str) -> Drawing:
    """One drawing of a figure drawn twice. Where only colours differ, they become variables; else both are there and one is
    hidden. name: begins the ids of its parts."""
    trees = [_parse(light), _parse(dark)]
    bodies = []
    for tree in trees:
        _tidy(tree, name)
        bodies.append("".join(_text(child) for child in tree))
    width, height = (float(x) for x in trees[0].get("viewBox", "0 0 1 1").split()[2:])
    if _COLOUR.sub("#", bodies[0]) == _COLOUR.sub("#", bodies[1]):
        body, colours = _merged(*bodies)
    else:
        both = (bodies[0], re.sub(rf'(id="|#){re.escape(name)}-', rf"\1{name}-dark-", bodies[1]))
        body = "".join(f'<g style="display:var(--on-{on})">{part}</g>' for on, part in zip(("light", "dark"), both, strict=True))
        colours = ()
    return Drawing(body, colours, (width, height))


def _merged(light: str, dark: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    others = iter(_COLOUR.findall(dark))
    seen: dict[tuple[str, str], None] = {}

    def variable(match: re.Match[str]) -> str:
        both = (match[0], next(others))
        if both[0] == both[1]:
            return match[0]
        seen[both] = None
        return f"var({variable_name(*both)})"

    return _COLOUR.sub(variable, light), tuple(seen)


def variable_name(light: str, dark: str) -> str:
    return f"--{light[1:]}-{dark[1:]}"


def _parse(svg: str) -> Element:
    """Without namespaces and comments."""
    root = ElementTree.fromstring(svg)
    for element in root.iter():
        element.tag = element.tag.split("}")[-1]
        element.attrib = {key.split("}")[-1]: value for key, value in element.attrib.items()}
        element.text = element.text if (element.text or "").strip() else None
        element.tail = None
    return root


def _tidy(root: Element, name: str) -> None:
    """Removes metadata, style sheets, ids that nothing refers to and groups that say nothing; the other ids are counted."""
    _drop(root)
    used = [match for element in root.iter() for match in _references(element)]
    short = {old: f"{name or 'p'}-{i}" for i, old in enumerate(dict.fromkeys(used))}
    for element in root.iter():
        attributes = element.attrib
        if "id" in attributes:
            old = attributes.pop("id")
            if old in short:
                attributes["id"] = short[old]
        if attributes.get("href", "").startswith("#"):
            attributes["href"] = f"#{short[attributes['href'][1:]]}"
        for key, value in attributes.items():
            if "url(#" in value:
                attributes[key] = _URL.sub(lambda m: f"url(#{short[m[1]]})", value)
        _shorten(attributes)
    _unwrap(root)


def _drop(root: Element) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            bare = child.get("style") == "fill: none" and "clip-path" not in child.attrib and child.tag == "path"
            if child.tag in ("metadata", "style") or (bare and parent.tag != "defs") or (child.tag == "defs" and not len(child)):
                parent.remove(child)


def _references(element: Element) -> list[str]:
    here = [element.get("href", "")[1:]] if element.get("href", "").startswith("#") else []
    return here + [found for value in element.attrib.values() for found in _URL.findall(value)]


def _shorten(attributes: dict[str, str]) -> None:
    for key, value in attributes.items():
        if key == "d":
            value = re.sub(r"\s*([A-Za-z])\s*", r"\1", value.strip())
        if key in _PLACES or (key == "transform" and value.startswith("translate") and "scale" not in value):
            value = _NUMBER.sub(lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), value)
        attributes[key] = value.replace("; ", ";").replace(": ", ":") if key == "style" else value


def _unwrap(root: Element) -> None:
    """Puts the children of groups without attributes in the groups' place; empty groups go."""
    for child in list(root):
        _unwrap(child)
    out: list[Element] = []
    for child in root:
        if child.tag in ("g", "defs") and not len(child):
            continue
        out += list(child) if child.tag == "g" and not child.attrib else [child]
    root[:] = out


def _text(element: Element) -> str:
    return ElementTree.tostring(element, encoding="unicode", short_empty_elements=True).replace(" />", "/>")
