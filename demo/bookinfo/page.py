"""The page of a book as HTML. What comes from other services or from people is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Simple Bookstore App</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; color: #222 }
nav { background: #234; color: #fff; padding: .6em 2em; display: flex; justify-content: space-between }
nav a { color: #fff } nav form { display: inline } main { max-width: 62em; margin: 1em auto; padding: 0 1em }
.columns { display: flex; flex-wrap: wrap; gap: 3em } .columns > section { flex: 1 18em }
dt { font-weight: bold } dd { margin: 0 0 .4em }
blockquote { border-left: 4px solid #ccd; margin: 1em 0; padding: 0 1em }
.error { color: #a00 } small { color: #666 }
</style>
</head>
<body>
"""
_FACTS = ("type", "pages", "publisher", "language", "ISBN-10", "ISBN-13")

Asked = tuple[int, Any]


def front() -> str:
    """The way to the book."""
    return f'{_HEAD}<nav>BookInfo Sample</nav><main><p><a href="productpage">The book</a></p></main></body></html>\n'


def of(book: Mapping[str, Any], details: Asked, reviews: Asked, *, user: str) -> str:
    """The page, with what each service answered: its status and its document."""
    parts = [
        _HEAD,
        f"<nav><span>BookInfo Sample</span><span>{_who(user)}</span></nav>\n<main>\n",
        f"<h3>{escape(book['title'])}</h3>\n<p>Summary: {book['descriptionHtml']}</p>\n",
        f'<div class="columns">\n<section>\n{_details(*details)}</section>\n',
        f"<section>\n{_reviews(*reviews)}</section>\n",
        "</div>\n</main>\n</body>\n</html>\n",
    ]
    return "".join(parts)


def _who(user: str) -> str:
    if user:
        return f'{escape(user)} (<a href="logout">sign out</a>)'
    return (
        '<form method="post" action="login"><input name="username" placeholder="User Name" aria-label="User Name"> '
        '<input name="passwd" type="password" placeholder="Password" aria-label="Password"> '
        "<button>Sign in</button></form>"
    )


def _details(status: int, details: Any) -> str:
    if status != 200 or not isinstance(details, dict):
        return _error("Error fetching product details!", details)
    facts = (f"<dt>{name[0].upper()}{name[1:]}:</dt><dd>{escape(str(details.get(name, '')))}</dd>\n" for name in _FACTS)
    return f"<h4>Book Details</h4>\n<dl>\n{''.join(facts)}</dl>\n"


def _reviews(status: int, reviews: Any) -> str:
    if status != 200 or not isinstance(reviews, dict):
        return _error("Error fetching product reviews!", reviews)
    shown = "".join(_review(review) for review in reviews.get("reviews", ()))
    return (
        f"<h4>Book Reviews</h4>\n{shown}<small>Reviews served by: {escape(str(reviews.get('podname', '')))}</small>\n"
    )


def _review(review: Mapping[str, Any]) -> str:
    words = f"<p>{escape(review['text'])}</p>\n<small>{escape(review['reviewer'])}</small>\n"
    return f"<blockquote>\n{words}{_stars(review.get('rating') or {})}</blockquote>\n"


def _stars(rating: Mapping[str, Any]) -> str:
    if "error" in rating:
        return f'<p class="error"><i>{escape(rating["error"])}</i></p>\n'
    if not (stars := rating.get("stars")):
        return ""
    full = '<span class="glyphicon glyphicon-star">&#9733;</span>' * int(stars)
    empty = '<span class="glyphicon glyphicon-star-empty">&#9734;</span>' * (5 - int(stars))
    return f'<font color="{escape(str(rating.get("color", "black")))}">{full}{empty}</font>\n'


def _error(title: str, value: Any) -> str:
    words = value.get("error", "") if isinstance(value, dict) else ""
    return f'<h4 class="error">{title}</h4>\n<p>{escape(words)}</p>\n'
