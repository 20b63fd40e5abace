"""Amounts and currencies as the API takes and shows them; ADR 006 says why they are whole hundredths."""

from decimal import Decimal
from typing import Any

import marshmallow as ma
from marshmallow import validate

from .fields import described

MAX_AMOUNT_MINOR = 10_000_000_00

# The active codes of ISO 4217 (list one, as of 2026).
# fmt: off
CODES = (
    "AED", "AFN", "ALL", "AMD", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BGN", "BHD", "BIF", "BMD",
    "BND", "BOB", "BOV", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHE", "CHF", "CHW", "CLF", "CLP",
    "CNY", "COP", "COU", "CRC", "CUP", "CVE", "CZK", "DJF", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD",
    "FKP", "GBP", "GEL", "GHS", "GIP", "GMD", "GNF", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS", "INR",
    "IQD", "IRR", "ISK", "JMD", "JOD", "JPY", "KES", "KGS", "KHR", "KMF", "KPW", "KRW", "KWD", "KYD", "KZT", "LAK",
    "LBP", "LKR", "LRD", "LSL", "LYD", "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR", "MVR", "MWK",
    "MXN", "MXV", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD", "OMR", "PAB", "PEN", "PGK", "PHP", "PKR",
    "PLN", "PYG", "QAR", "RON", "RSD", "RUB", "RWF", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SOS",
    "SRD", "SSP", "STN", "SVC", "SYP", "SZL", "THB", "TJS", "TMT", "TND", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH",
    "UGX", "USD", "USN", "UYI", "UYU", "UYW", "UZS", "VED", "VES", "VND", "VUV", "WST", "XAF", "XAG", "XAU", "XBA",
    "XBB", "XBC", "XBD", "XCD", "XCG", "XDR", "XOF", "XPD", "XPF", "XPT", "XSU", "XTS", "XUA", "XXX", "YER", "ZAR",
    "ZMW", "ZWG",
)
# fmt: on


class Amount(ma.fields.Field[int]):
    """Money: a JSON number with at most two decimals outside, whole hundredths inside."""

    default_error_messages = {"amount": "A number greater than 0, at most 10000000, with at most two decimals."}  # noqa: RUF012 - marshmallow's way

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 < value <= MAX_AMOUNT_MINOR // 100:
            raise self.make_error("amount")
        # By its digits: arithmetic would round what is longer than the context's precision.
        _, digits, exponent = Decimal(value).as_tuple()
        zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
        if int(exponent) + zeros < -2:  # noqa: PLR2004 - hundredths
            raise self.make_error("amount")
        return int(Decimal(value).scaleb(2))

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> float | None:
        return None if value is None else value / 100


class Currency(ma.fields.String):
    """An ISO 4217 code."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            validate=validate.OneOf(CODES, error="An ISO 4217 code in upper case."),
            **described(kwargs, pattern="^[A-Z]{3}$"),
        )
