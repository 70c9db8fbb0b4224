"""What the rows of meters refuse."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from meters.models import Site


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "america/los angeles", "Europe"])
def test_a_zone_that_does_not_exist_is_refused(name):
    with pytest.raises(ValidationError):
        Site(name="Here", timezone=name).full_clean(validate_unique=False)


def test_a_zone_that_exists_is_accepted():
    Site(name="Here", timezone="America/Los_Angeles").full_clean(validate_unique=False)
