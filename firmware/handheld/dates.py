"""Days back to dates, and dates as text: for reports, loaded when one is made."""


def civil_from_days(days):
    """(year, month, day) of days since 1970-01-01, for days >= 0."""
    days += 719468
    era, of_era = days // 146097, days % 146097
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    day = of_year - (153 * month + 2) // 5 + 1
    year += era * 400
    return (year, month + 3, day) if month < 10 else (year + 1, month - 9, day)


def iso(days, ms):
    """ "YYYY-MM-DDTHH:MM:SSZ" of ms in a day, with .mmm where they are not whole seconds."""
    second = ms // 1000
    leap = second // 86400  # 23:59:60
    second -= leap
    date = "%04d-%02d-%02d" % civil_from_days(days)
    text = "%sT%02d:%02d:%02d" % (date, second // 3600, second // 60 % 60, second % 60 + leap)
    return text + (".%03dZ" % (ms % 1000) if ms % 1000 else "Z")
