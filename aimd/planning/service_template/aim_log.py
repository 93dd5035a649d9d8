"""What the AIM runtime logs beside the output of a dry run: why no profile fits, and why it gave up.

Log and output arrive in one text, and the container runtime may put a line of the log between two lines of the output.
"""

import re
from collections.abc import Iterable

_RECORD = re.compile(
    r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - [^ \n]+ - (?:DEBUG|INFO|(WARNING)|(ERROR|CRITICAL)) - ([^\n]*)\n?",
    re.MULTILINE,
)
_INVALID_PROFILE = re.compile(r"[^\w\n]*Invalid profile: [^\n]*? - (?:Validation error: )?([^\n]+)")
_NO_PROFILE = "No compatible profile found or error occurred: "
_PREFIXES = (_NO_PROFILE, "Unexpected error: ")
_CAUSES = ("No compatible profile", "Specified profile ID", "No profile selected", "Configuration error")
_MOST_CAUSES = 4
_LONGEST_CAUSE = 300


def without_records(log: str) -> str:
    """Return the text without the lines that the AIM runtime logged."""
    return _RECORD.sub("", log)


def missing_profile_causes(log: str) -> tuple[str, ...]:
    """Return why the runtime selected no profile (TPL-DSC-14).

    Profiles that it cannot read come first, because users can mend those. It logs one for every path at which a
    ConfigMap shows it, so paths are left out.
    """
    messages = [match[3] for match in _RECORD.finditer(log) if match[1] or match[2]]
    invalid = (f"Invalid profile: {match[1]}" for text in messages if (match := _INVALID_PROFILE.match(text)))
    others = (text for text in map(_bare, messages) if text.startswith(_CAUSES) or "require explicit selection" in text)
    return _distinct([*invalid, *others])


def runtime_errors(log: str) -> tuple[str, ...]:
    """Return the errors with which the runtime gave up (TPL-DSC-15)."""
    return _distinct(_bare(match[3]) for match in _RECORD.finditer(log) if match[2])


def _bare(message: str) -> str:
    for prefix in _PREFIXES:
        message = message.removeprefix(prefix)
    return message


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the first few different texts, each on one line."""
    quoted = (one_line(text, _LONGEST_CAUSE) for text in texts)
    return tuple(dict.fromkeys(text for text in quoted if text))[:_MOST_CAUSES]


def one_line(text: str, longest: int) -> str:
    """Return a text without line breaks and control characters, cut to a length that a condition has room for."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= longest else f"{line[:longest]}…"
