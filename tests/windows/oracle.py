"""Random schedules, zones and moments, and when the next window opens by croniter and Python's zoneinfo: another implementation than
the controller's. One line each: schedule, zone, moment, next opening, as seconds since 1970."""

import datetime
import random
import sys
import zoneinfo

import croniter

UTC = datetime.timezone.utc
ZONES = [
    "UTC", "Asia/Shanghai", "Asia/Singapore", "Asia/Kolkata", "Europe/Berlin", "Europe/London", "America/New_York",
    "America/Los_Angeles", "America/Sao_Paulo", "Australia/Sydney", "Australia/Lord_Howe", "Antarctica/Troll", "Pacific/Auckland",
    "America/St_Johns", "Africa/Cairo",
]

FIVE_YEARS = (5 * 365 + 1) * 86400


def field(rng, low, high, names=()):
    """One field of a schedule."""
    kind = rng.random()
    if kind < 0.3:
        return "*"
    if kind < 0.6:
        return str(rng.randint(low, high))
    if kind < 0.7 and names:
        return rng.choice(names)
    if kind < 0.8:
        # croniter takes a range from a value to itself for every value.
        first = rng.randint(low, high - 1)
        return f"{first}-{rng.randint(first + 1, high)}"
    if kind < 0.9:
        return ",".join(str(value) for value in sorted(rng.sample(range(low, high + 1), 2)))
    return f"*/{rng.choice([2, 3, 5])}"


def schedule(rng):
    return " ".join([
        field(rng, 0, 59), field(rng, 0, 23), field(rng, 1, 28), field(rng, 1, 12, ["JAN", "jun", "Dec"]),
        field(rng, 0, 6, ["SUN", "mon", "Sat"]),
    ])


def moment(rng, zone):
    """Any moment of some years; every third near a change of the zone's clocks, where it has any."""
    start = datetime.datetime(2024, 1, 1, tzinfo=UTC)
    any_time = start + datetime.timedelta(seconds=rng.randint(0, 6 * 365 * 86400))
    if rng.random() < 0.66:
        return any_time
    day = any_time
    for _ in range(370):
        following = day + datetime.timedelta(days=1)
        if day.astimezone(zone).utcoffset() != following.astimezone(zone).utcoffset():
            return day + datetime.timedelta(seconds=rng.randint(-36000, 90000))
        day = following
    return any_time


def place(local, zone):
    """The first moment at which the zone's clocks show the local time; where they skip it, when they have changed."""
    first = local.replace(tzinfo=zone, fold=0)
    instant = first.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == local:
        return int(instant.timestamp())
    late, early = int(instant.timestamp()), int(instant.timestamp()) - 4 * 3600
    offset = lambda second: datetime.datetime.fromtimestamp(second, zone).utcoffset()
    while late - early > 1:
        middle = (late + early) // 2
        if offset(middle) == offset(late):
            late = middle
        else:
            early = middle
    return late


def next_opening(text, zone, now):
    local = datetime.datetime.fromtimestamp(now, zone).replace(tzinfo=None)
    times = croniter.croniter(text, local - datetime.timedelta(hours=4), implement_cron_bug=True)
    while True:
        opens = place(times.get_next(datetime.datetime), zone)
        if opens > now:
            # What does not open within five years is refused.
            return opens if opens - now < FIVE_YEARS else "never"


def main():
    count, rng = int(sys.argv[1]), random.Random(20261129)
    for _ in range(count):
        text, name = schedule(rng), rng.choice(ZONES)
        zone = zoneinfo.ZoneInfo(name)
        now = int(moment(rng, zone).timestamp())
        try:
            print(text, name, now, next_opening(text, zone, now), sep="\t")
        except croniter.CroniterBadDateError:
            print(text, name, now, "never", sep="\t")


main()
