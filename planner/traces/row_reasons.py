"""Why a row of a request log cannot be used, in words."""

import re

MOST_TOKENS = 10**9
"""Of one request; more is taken for a mistake."""

NAMED_ZONE = r"\d:\d\d.*\s[A-Za-z][A-Za-z_/+-]*$"
"""A time followed by a zone's name, such as CEST or Europe/Berlin: a cast to a time would take no notice of it."""

BUCKET_REASON = (
    "a bucket needs a start before its end, a count of requests and whole sums of tokens, none where no request is"
)


def row_reason(time: str | None, prompt: str | None, output: str | None) -> str:
    """What is wrong with a row that was found unusable, from its three fields as written."""
    if time is None and prompt is None and output is None:
        return "it holds neither a time nor tokens under the names that the first row has"
    for name, value, least in (("input tokens", prompt, 1), ("output tokens", output, 0)):
        if value is None or not value.strip():
            return f"the {name} are missing"
        try:
            number = float(value)
        except ValueError:
            return f"the {name} are no number: {value[:40]!r}"
        if not (least <= number <= MOST_TOKENS and number == int(number)):
            return f"the {name} must be a whole number from {least} to {MOST_TOKENS:,}, got {value[:40]}"
    if time is None or not time.strip():
        return "the time is missing"
    if re.search(NAMED_ZONE, time):
        return f"the time names its zone, which has no one meaning: {time[:40]!r}; write the offset from UTC, as +02:00"
    return f"the time cannot be read: {time[:40]!r}"
