"""What a required action asks for and where it is done, as far as Leap says so in public.

Source: Leap's "Meter Information API" 2.0.0 (the types), and its guides on creating meters, Leap Connect,
participation, nominations and bids, read 2026-11. A type that is not told here is shown as it came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do, as a title, and the step that does it. `path` is the page for it, "" for none of ours."""

    title: str
    step: str
    path: str = ""

    @property
    def page(self) -> str:
        """Name the page as the rail does."""
        return self.path.strip("/").capitalize()


_ONLY_DESCRIBED: Final = (
    "Leap's description says what is asked; its public guides say no more. Ask Leap where it is unclear."
)
_UPDATE: Final = "correct them by Create Meters with “update existing”, under Onboarding."

ADVICE: Final = {
    "IS_AUTHORIZED": Advice(
        "Have the customer authorize Leap",
        "Make a Leap Connect link under Onboarding and send it to the customer, who signs in to the utility "
        "with it. The utility's data usually follow within one to three days.",
        "/onboarding/",
    ),
    "DOCUMENTS_SIGNED": Advice(
        "Have the documents signed",
        "Where terms or forms are required, Leap Connect asks for them before the utility's login: make a "
        "link under Onboarding.",
        "/onboarding/",
    ),
    "NO_MISSING_FIELDS": Advice(
        "Fill in the missing fields", f"Leap's description names the fields; {_UPDATE}", "/onboarding/"
    ),
    "ADDRESS": Advice(
        "Mend the address",
        f"Leap wants street, postal code, city, state and country; {_UPDATE}",
        "/onboarding/",
    ),
    "MEETS_EXTRA_PROGRAM_REQUIREMENTS": Advice(
        "Meet what this program asks besides",
        f"Leap's description says what is asked. Where it is a field of the meter, {_UPDATE}",
        "/onboarding/",
    ),
    "PARTICIPATING": Advice(
        "Let the meter take part again",
        "It is idle or disenrolled for this period: end the idle period, or have it participate, under "
        "Participation.",
        "/participation/",
    ),
    "HAS_NOMINATIONS": Advice(
        "Suggest a nomination",
        "Leap has no nomination for this meter. Partners suggest one, in kW and from a date, through Leap's "
        "nominations API; Leap approves, changes or denies it.",
    ),
    "HAS_BIDDING_STRATEGY": Advice(
        "Have a bidding strategy set", "Bids are for CAISO alone and are normally managed by Leap: ask Leap."
    ),
    "HAS_MARKET_REGISTRATION": Advice(
        "Have the market registration mended",
        "A utility meter in CAISO that is ineligible can be put up for registration again, through Leap's "
        "refresh request, once the cause is mended; the result takes up to two weeks.",
    ),
    "NOT_ENROLLED_IN_CONFLICTING_PROGRAM": Advice("Leave the conflicting program", _ONLY_DESCRIBED),
    "HAS_AMI": Advice("Have a meter with interval data (AMI)", _ONLY_DESCRIBED),
    "GENERATOR": Advice("Tell about the generator", _ONLY_DESCRIBED),
    "IS_ELIGIBLE": Advice("Become eligible", _ONLY_DESCRIBED),
    "IS_ASSIGNED_TO_A_RESOURCE": Advice(
        "Be assigned to a market resource",
        "In Leap's own examples this is for Leap to do; ask Leap where it is asked of you.",
    ),
}


def advice_on(action_type: str) -> Advice:
    """Return what is known of a type; one unknown to us has its own name as its title.

    >>> advice_on("NEW_KIND").title
    'NEW_KIND'
    """
    return ADVICE.get(action_type) or Advice(action_type or "Not named", _ONLY_DESCRIBED)
