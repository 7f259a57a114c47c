"""Countries, and the time zones of their parts, from the IANA tables (package ``tzdata``)."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

#: What people write instead of a country's name in the table.
_ALSO = {
    "united states of america": "US",
    "usa": "US",
    "united kingdom": "GB",
    "great britain": "GB",
    "england": "GB",
    "scotland": "GB",
    "wales": "GB",
    "northern ireland": "GB",
    "uk": "GB",
    "uae": "AE",
}

#: Of countries with several zones those of their states, provinces and territories: code, name,
#: zones. A state that two zones share has both.
_REGIONS = """
US
AL|alabama|America/Chicago
AK|alaska|America/Anchorage America/Adak
AZ|arizona|America/Phoenix America/Denver
AR|arkansas|America/Chicago
CA|california|America/Los_Angeles
CO|colorado|America/Denver
CT|connecticut|America/New_York
DE|delaware|America/New_York
DC|district of columbia|America/New_York
FL|florida|America/New_York America/Chicago
GA|georgia|America/New_York
HI|hawaii|Pacific/Honolulu
ID|idaho|America/Boise America/Los_Angeles
IL|illinois|America/Chicago
IN|indiana|America/New_York America/Chicago
IA|iowa|America/Chicago
KS|kansas|America/Chicago America/Denver
KY|kentucky|America/New_York America/Chicago
LA|louisiana|America/Chicago
ME|maine|America/New_York
MD|maryland|America/New_York
MA|massachusetts|America/New_York
MI|michigan|America/New_York America/Chicago
MN|minnesota|America/Chicago
MS|mississippi|America/Chicago
MO|missouri|America/Chicago
MT|montana|America/Denver
NE|nebraska|America/Chicago America/Denver
NV|nevada|America/Los_Angeles America/Denver
NH|new hampshire|America/New_York
NJ|new jersey|America/New_York
NM|new mexico|America/Denver
NY|new york|America/New_York
NC|north carolina|America/New_York
ND|north dakota|America/Chicago America/Denver
OH|ohio|America/New_York
OK|oklahoma|America/Chicago
OR|oregon|America/Los_Angeles America/Boise
PA|pennsylvania|America/New_York
RI|rhode island|America/New_York
SC|south carolina|America/New_York
SD|south dakota|America/Chicago America/Denver
TN|tennessee|America/New_York America/Chicago
TX|texas|America/Chicago America/Denver
UT|utah|America/Denver
VT|vermont|America/New_York
VA|virginia|America/New_York
WA|washington|America/Los_Angeles
WV|west virginia|America/New_York
WI|wisconsin|America/Chicago
WY|wyoming|America/Denver
CA
AB|alberta|America/Edmonton
BC|british columbia|America/Vancouver America/Edmonton America/Fort_Nelson
MB|manitoba|America/Winnipeg
NB|new brunswick|America/Moncton
NL|newfoundland and labrador|America/St_Johns America/Halifax
NS|nova scotia|America/Halifax
NT|northwest territories|America/Edmonton
NU|nunavut|America/Iqaluit America/Rankin_Inlet America/Edmonton
ON|ontario|America/Toronto America/Winnipeg
PE|prince edward island|America/Halifax
QC|quebec|America/Toronto America/Halifax
SK|saskatchewan|America/Regina
YT|yukon|America/Whitehorse
AU
ACT|australian capital territory|Australia/Sydney
NSW|new south wales|Australia/Sydney Australia/Broken_Hill
NT|northern territory|Australia/Darwin
QLD|queensland|Australia/Brisbane
SA|south australia|Australia/Adelaide
TAS|tasmania|Australia/Hobart
VIC|victoria|Australia/Melbourne
WA|western australia|Australia/Perth Australia/Eucla
"""


def country_code(text: str) -> str:
    """The ISO 3166-1 code of what a shop or shopper wrote; "" where it is none."""
    word = text.strip()
    if word.upper() in zones_by_country():
        return word.upper()
    return _names().get(word.casefold(), "")


def zones_of_place(country: str, region: str, city: str) -> tuple[str, ...]:
    """The time zones that a place may lie in: that of the city where a zone is called after it,
    else those of the state or province, else all of the country."""
    every = zones_by_country().get(country, ())
    if city and len(every) > 1:
        named = city.strip().casefold().replace(" ", "_")
        found = tuple(zone for zone in every if zone.rpartition("/")[2].casefold() == named)
        if found:
            return found
    return _regions().get((country, region.strip().casefold()), every)


@lru_cache(maxsize=1)
def zones_by_country() -> dict[str, tuple[str, ...]]:
    """The zones of each country, those with the most people first."""
    found: dict[str, tuple[str, ...]] = {}
    for country, _, zone in _rows("zone.tab"):
        found[country] = (*found.get(country, ()), zone)
    return found


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    return {name.casefold(): code for code, name in _rows("iso3166.tab")} | _ALSO


@lru_cache(maxsize=1)
def _regions() -> dict[tuple[str, str], tuple[str, ...]]:
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    country = ""
    for line in _REGIONS.split("\n"):
        if "|" not in line:
            country = line or country
            continue
        code, name, zones = line.split("|")
        for word in (code, name, f"{country}-{code}"):
            found[country, word.casefold()] = tuple(zones.split())
    return found


def _rows(table: str) -> list[list[str]]:
    """The first columns of a table of the IANA database, without its comments."""
    text = files("tzdata.zoneinfo").joinpath(table).read_text("utf-8")
    columns = 2 if table == "iso3166.tab" else 3
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return [line.split("\t")[:columns] for line in lines]
