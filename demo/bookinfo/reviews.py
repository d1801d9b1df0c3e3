"""`python -m bookinfo.reviews [PORT]`: what reviewers say; versions 2 and 3 ask ratings for their stars.

Environment: ENABLE_RATINGS=true asks ratings; STAR_COLOR (black) is the colour of the stars; RATINGS_HOSTNAME
(ratings), RATINGS_SERVICE_PORT (9080) and SERVICES_DOMAIN say where ratings is.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping

from bookinfo import web

WORDS = {
    "Reviewer1": "I laughed from the first act to the last, and so did the whole row behind me.",
    "Reviewer2": "A merry evening. Two pairs of twins are one too many for me, but do go and see it.",
}
UNAVAILABLE = {"error": "Ratings service is currently unavailable"}
#: Seconds that are waited for ratings. Both are the sample's: with black stars it outlasts the callers of reviews,
#: which is what the lesson on delays finds out.
PATIENCE = {"black": 10.0}
IMPATIENCE = 2.5


class Reviews:
    """Answers `/reviews/ID` and `/health`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._rated = environment.get("ENABLE_RATINGS", "").lower() == "true"
        self._color = environment.get("STAR_COLOR", "black")
        host = environment.get("RATINGS_HOSTNAME", "ratings")
        if domain := environment.get("SERVICES_DOMAIN"):
            host += f".{domain}"
        self._ratings = f"http://{host}:{environment.get('RATINGS_SERVICE_PORT', '9080')}/ratings"

    def __call__(self, request: web.Request) -> web.Reply:
        """One request."""
        if request.path == "/health":
            return web.document({"status": "Reviews is healthy"})
        number = request.path.removeprefix("/reviews/")
        if not number.isdecimal():
            return web.not_found(request)
        stars = self._stars(request, number) if self._rated else {}
        reviews = []
        for reviewer, words in WORDS.items():
            review: dict[str, object] = {"reviewer": reviewer, "text": words}
            if self._rated:
                given = stars.get(reviewer)
                review["rating"] = UNAVAILABLE if given is None else {"stars": given, "color": self._color}
            reviews.append(review)
        who = {"podname": socket.gethostname(), "clustername": os.environ.get("CLUSTER_NAME", "null")}
        return web.document({"id": number, **who, "reviews": reviews})

    def _stars(self, request: web.Request, number: str) -> Mapping[str, object]:
        seconds = PATIENCE.get(self._color, IMPATIENCE)
        answer = web.call(f"{self._ratings}/{number}", request.passed_on(), seconds=seconds)
        match answer:
            case (200, {"ratings": dict(stars)}):
                return stars
            case (int(status), _):
                web.say(f"ratings answers {status}")
        return {}


if __name__ == "__main__":
    web.serve(Reviews(os.environ), port=int(sys.argv[1]) if sys.argv[1:] else 9080, name="reviews")
