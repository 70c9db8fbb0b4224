"""The forms of onboarding: a file of meters, one meter, links for customers."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.core.files.uploadedfile import UploadedFile

from dispatch.reading.words import counted
from meters.connecting import Wish, check_wishes
from meters.domain.connecting import REFERENCE_RULE
from meters.domain.onboarding import (
    BY_PROGRAM,
    PROGRAM,
    RULES,
    FileRefused,
    columns_but,
    read_csv,
    read_file,
)
from meters.domain.onboarding_columns import COLUMNS, REGIONS, REQUIRED, UTILITIES, Column, Kind
from meters.onboarding import check_against_ours

LARGEST: Final = 10 * 1024 * 1024
WISH_COLUMNS: Final = ("refId", "customer_name", "region", "utilities", "note")
NOTHING = [("", "–")]


class CsvForm(forms.Form):
    """A CSV file, or its lines pasted."""

    file = forms.FileField(label="CSV file", required=False)
    csv = forms.CharField(label="or its lines", required=False, widget=forms.Textarea(attrs={"rows": 6}))

    def text(self) -> str:
        """Return what was given, as text. Raises forms.ValidationError."""
        upload: UploadedFile | None = self.cleaned_data.get("file")
        if upload is None:
            text: str = self.cleaned_data.get("csv", "")
            if not text.strip():
                raise forms.ValidationError("Choose a file, or paste its lines.")
            return text
        if (upload.size or 0) > LARGEST:
            raise forms.ValidationError("The file is larger than 10 MiB. Split it.")
        try:
            text = upload.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise forms.ValidationError("The file is not UTF-8. Save it as CSV UTF-8.") from None
        if "\0" in text:
            raise forms.ValidationError("The file holds null characters, so it is no CSV. Save it again.")
        return text


class JobForm(CsvForm):
    """Meters to create, by file. After cleaning, `rows` holds the cells."""

    update_existing = forms.BooleanField(
        label="Change meters whose reference exists already",
        required=False,
        help_text="Otherwise they are left as they are, and the rows are told.",
    )

    def clean(self) -> dict[str, Any]:
        """Read the file's rows."""
        cleaned = super().clean() or self.cleaned_data
        try:
            cleaned["rows"] = read_file(self.text())
        except FileRefused as refused:
            raise forms.ValidationError(str(refused)) from None
        return cleaned

    @property
    def file_name(self) -> str:
        """Return how the job is to be called."""
        upload = self.cleaned_data.get("file")
        return str(upload.name) if upload else "pasted.csv"


def program_choices() -> list[tuple[str, str]]:
    """Offer programs by name; their codes are as Leap writes them."""
    return [("", "Let Leap decide"), *((rule.codes[0], rule.name) for rule in RULES)]


def in_words(code: str) -> str:
    """Write a code of Leap's as people do.

    >>> in_words("EV_CHARGING"), in_words("COLD_STORAGE")
    ('EV charging', 'Cold storage')
    """
    words = code.split("_")
    first = words[0] if words[0] in {"EV", "HVAC"} else words[0].capitalize()
    return " ".join([first, *(word.lower() for word in words[1:])])


def field_of(column: Column) -> forms.Field:
    """Return a form's field for a column; what is wrong with it is said by the check of rows."""
    label, help_text = column.label or column.name, ""
    if column.kind is Kind.WORD:
        choices = [*NOTHING, *((word, word) for word in column.words)]
        return forms.ChoiceField(label=label, required=False, choices=choices)
    if column.kind is Kind.WORDS:
        return forms.MultipleChoiceField(
            label=label,
            required=False,
            choices=[(word, in_words(word)) for word in column.words],
            widget=forms.CheckboxSelectMultiple,
        )
    if column.kind is Kind.YES_NO:
        choices = [*NOTHING, ("true", "Yes"), ("false", "No")]
        return forms.ChoiceField(label=label, required=False, choices=choices)
    if column.kind is Kind.DATE:
        widget: forms.Widget = forms.DateInput(attrs={"type": "date"})
    elif column.kind in {Kind.NUMBER, Kind.WHOLE}:
        widget = forms.TextInput(attrs={"inputmode": "decimal"})
        help_text = f"{column.least:,g} to {column.most:,.0f}" if column.most < 999_999 else ""
    else:
        widget = forms.TextInput(attrs={"maxlength": 256})
    return forms.CharField(
        label=label,
        required=False,
        max_length=2000,
        widget=widget,
        help_text=help_text,
        initial=column.default or None,
    )


class MeterForm(forms.Form):
    """One meter to create, with the fields of a program first. Errors are those of the check of rows."""

    update_existing = forms.BooleanField(
        label="Change the meter if its reference exists already", required=False
    )

    def __init__(self, *args: Any, program: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.program = program
        for column in COLUMNS:
            self.fields[self.field_name(column.name)] = field_of(column)
        if rule := BY_PROGRAM.get(program):
            self.initial = {
                **self.initial,
                "transmission_region": rule.region,
                "meter_type": rule.meter_types[0],
                self.field_name("customer.state_or_province_code"): "".join(rule.states),
            }

    @staticmethod
    def field_name(column: str) -> str:
        """Return the name of a column's field."""
        return column.replace(".", "__")

    @property
    def needed(self) -> list[forms.BoundField]:
        """Return the fields that have to be filled for the program."""
        rule = BY_PROGRAM.get(self.program)
        return [self[self.field_name(name)] for name in (*REQUIRED, *(rule.needs if rule else ()))]

    @property
    def parts(self) -> list[tuple[str, list[forms.BoundField]]]:
        """Return the other fields, by what they are about."""
        needed = {field.name for field in self.needed}
        names: dict[str, tuple[str, ...]] = {
            "Customer": ("customer.",),
            "Device": ("device.",),
            "Site": ("site.",),
            "Utility": ("utility.",),
            "Region": ("caiso.", "isone.", "nyiso.", "customer_group"),
        }
        parts = []
        for title, prefixes in names.items():
            columns = [column.name for column in COLUMNS if column.name.startswith(prefixes)]
            fields = [self[self.field_name(name)] for name in columns if self.field_name(name) not in needed]
            parts.append((title, fields))
        return parts

    @property
    def cells(self) -> dict[str, str]:
        """Return what was filled in, as a row of a file would hold it."""
        cells = {PROGRAM: self.program}
        for column in COLUMNS:
            value = self.cleaned_data.get(self.field_name(column.name), "")
            cells[column.name] = ";".join(value) if isinstance(value, list) else value
        return {name: text for name, text in cells.items() if text}

    def clean(self) -> dict[str, Any]:
        """Check the row as Leap would, each problem beside its field."""
        cleaned = super().clean() or self.cleaned_data
        (checked,), _ = check_against_ours([self.cells], update_existing=cleaned["update_existing"])
        for problem in checked.problems:
            name = self.field_name(problem.column)
            if not self.errors.get(name):
                self.add_error(name if name in self.fields else None, problem.text)
        return cleaned


class LinkForm(forms.Form):
    """One link of Leap Connect for one customer."""

    reference = forms.CharField(
        label="refId",
        max_length=256,
        help_text=f"Your id of the customer or site; the meter gets it as its reference. {REFERENCE_RULE}.",
        error_messages={"required": "Type your id of the customer or site."},
    )
    customer_name = forms.CharField(label="Customer", max_length=200, required=False)
    region = forms.ChoiceField(
        label="Region",
        required=False,
        choices=[("", "Let the customer choose"), *((one, one) for one in REGIONS)],
    )
    utilities = forms.CharField(
        label="Utilities to offer",
        max_length=200,
        required=False,
        help_text="As PGE,SCE. Empty: all. Only older addresses of Leap Connect take it.",
    )
    note = forms.CharField(label="Note", max_length=500, required=False)

    def clean_utilities(self) -> str:
        """Refuse names that Leap does not know."""
        return clean_utilities(self.cleaned_data["utilities"])

    def clean(self) -> dict[str, Any]:
        """Check the refId as Leap would."""
        cleaned = super().clean() or self.cleaned_data
        if "reference" in cleaned and (problem := check_wishes([self.wish]).get(0)):
            self.add_error("reference", problem)
        return cleaned

    @property
    def wish(self) -> Wish:
        """Return the link to make."""
        given = {name: self.cleaned_data.get(name, "") for name in self.fields}
        return Wish(**given)


def clean_utilities(text: str) -> str:
    """Return names of utilities in Leap's letters. Raises forms.ValidationError on one that Leap has not."""
    names = [name.strip().upper() for name in text.replace(";", ",").split(",") if name.strip()]
    if odd := [name for name in names if name not in UTILITIES]:
        raise forms.ValidationError(f"Leap has no utility {odd[0][:60]}. Write names as PGE, SCE or CECONY.")
    return ",".join(names)


class LinksForm(CsvForm):
    """Many links, by file. After cleaning, `wishes` holds them; `row_errors` what is wrong, by row."""

    row_errors: tuple[tuple[int, str], ...] = ()

    def clean(self) -> dict[str, Any]:
        """Read the file's rows; the columns are WISH_COLUMNS, the first is needed."""
        cleaned = super().clean() or self.cleaned_data
        try:
            rows = read_csv(self.text(), wrong=columns_but(WISH_COLUMNS))
        except FileRefused as refused:
            raise forms.ValidationError(str(refused)) from None
        forms_of_rows = [LinkForm({**row, "reference": row.get("refId", "")}) for row in rows]
        errors = {place: _first_error(form) for place, form in enumerate(forms_of_rows) if form.errors}
        wishes = [form.wish for form in forms_of_rows if not form.errors]
        errors = errors or check_wishes(wishes)
        if errors:
            self.row_errors = tuple((place + 2, text) for place, text in sorted(errors.items()))
            raise forms.ValidationError(
                f"{counted(len(errors), one='row')} cannot be used; nothing was made. Correct the file."
            )
        cleaned["wishes"] = wishes
        return cleaned


def _first_error(form: forms.Form) -> str:
    field, errors = next(iter(form.errors.items()))
    return f"{'refId' if field == 'reference' else field}: {errors[0]}"
