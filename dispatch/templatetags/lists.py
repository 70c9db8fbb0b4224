"""Template tags of lists: addresses with one thing changed, heads that sort. Described in docs/pages.md."""

from __future__ import annotations

from typing import Any

from django import template

register = template.Library()


@register.simple_tag(takes_context=True)
def address_with(context: dict[str, Any], name: str, value: str = "") -> str:
    """Write this page's query with one value changed; the page number and empty values go."""
    query = context["request"].GET.copy()
    query.pop("page", None)
    query.pop(name, None)
    if value:
        query[name] = value
    return f"?{query.urlencode()}" if query else "."


@register.inclusion_tag("parts/sort_head.html", takes_context=True)
def sort_head(context: dict[str, Any], key: str, label: str, css: str = "") -> dict[str, Any]:
    """Draw the head of a column that sorts; a second press turns the order round."""
    current = context["request"].GET.get("sort", "")
    direction = {key: "ascending", f"-{key}": "descending"}.get(current, "")
    following = f"-{key}" if direction == "ascending" else key
    return {
        "label": label,
        "css": css,
        "direction": direction,
        "href": address_with(context, "sort", following),
    }
