//! Calendar dates and periods of the law: whole days, months and years in Beijing time.
//!
//! A day is a day of Asia/Shanghai: UTC+8 all year, without summer time since 1991. A period of months ends on
//! the day with the same number, or on the last day of a month that has none (Civil Code art. 201, 202); that
//! last day belongs to the period.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use time::Month;

use crate::UnixMillis;

/// Beijing is this far ahead of UTC, in milliseconds.
const SHANGHAI_MS: u64 = 8 * 60 * 60 * 1000;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Longest period in months: a hundred years.
pub const PERIOD_MONTHS_MAX: u32 = 1_200;
/// Years that a date may have.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=9999;

/// Why a text is no date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a date is written YYYY-MM-DD, from 1970-01-01 to 9999-12-31, and exists in the calendar")]
pub struct DateError;

/// A day in Beijing, `2031-05-09`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Date(time::Date);

impl Date {
    /// The day it is in Beijing; the last one of the calendar when it is later.
    pub fn of(at: UnixMillis) -> Self {
        let days = at.0.saturating_add(SHANGHAI_MS) / DAY_MS;
        let day = i32::try_from(days).ok();
        let day = day.and_then(|days| EPOCH.to_julian_day().checked_add(days));
        let date = day.and_then(|day| time::Date::from_julian_day(day).ok());
        Self(date.unwrap_or(time::Date::MAX))
    }

    /// Its first moment in Beijing, clamped to 1970.
    pub fn begins(self) -> UnixMillis {
        let days = self.0.to_julian_day() - EPOCH.to_julian_day();
        let days = u64::try_from(days).unwrap_or(0);
        UnixMillis((days * DAY_MS).saturating_sub(SHANGHAI_MS))
    }

    /// The first moment that is after it.
    pub fn over(self) -> UnixMillis {
        self.begins().plus(if self.begins().0 == 0 {
            DAY_MS - SHANGHAI_MS
        } else {
            DAY_MS
        })
    }

    /// The last day of a period that this day begins; `None` if it never comes.
    #[must_use]
    pub fn plus(self, period: Period) -> Option<Self> {
        let Period::Months(months) = period else {
            return None;
        };
        let months = i64::from(months) + i64::from(u8::from(self.0.month())) - 1;
        let year = i64::from(self.0.year()) + months / 12;
        let year = i32::try_from(year).ok().filter(|it| YEARS.contains(it))?;
        let month = u8::try_from(months % 12 + 1).ok()?;
        let month = Month::try_from(month).ok()?;
        let day = self.0.day().min(month.length(year));
        time::Date::from_calendar_date(year, month, day)
            .ok()
            .map(Self)
    }
}

/// 1 January 1970.
const EPOCH: time::Date = match time::Date::from_ordinal_date(1970, 1) {
    Ok(date) => date,
    Err(_) => time::Date::MIN,
};

impl FromStr for Date {
    type Err = DateError;

    fn from_str(text: &str) -> Result<Self, DateError> {
        let digits = |part: &str, count: usize| -> Option<u16> {
            let is_number = part.len() == count && part.bytes().all(|it| it.is_ascii_digit());
            is_number.then(|| part.parse().ok()).flatten()
        };
        let parsed = || {
            let mut parts = text.splitn(3, '-');
            let year = i32::from(digits(parts.next()?, 4)?);
            let month = u8::try_from(digits(parts.next()?, 2)?).ok()?;
            let day = u8::try_from(digits(parts.next()?, 2)?).ok()?;
            let month = Month::try_from(month).ok()?;
            YEARS.contains(&year).then_some(())?;
            time::Date::from_calendar_date(year, month, day).ok()
        };
        parsed().map(Self).ok_or(DateError)
    }
}

impl TryFrom<String> for Date {
    type Error = DateError;

    fn try_from(text: String) -> Result<Self, DateError> {
        text.parse()
    }
}

impl From<Date> for String {
    fn from(date: Date) -> Self {
        date.to_string()
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = (self.0.year(), u8::from(self.0.month()), self.0.day());
        f.pad(&format!("{year:04}-{month:02}-{day:02}"))
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why a text is no period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a period is written 10y, 6m, 1y6m or forever, and has at most {PERIOD_MONTHS_MAX} months")]
pub struct PeriodError;

/// A period in whole months, or without end: `20y`, `6m`, `1y6m`, `forever`. The longer one is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Period {
    /// So many months; twelve are a year.
    Months(u32),
    /// It never ends.
    Forever,
}

impl Default for Period {
    fn default() -> Self {
        Self::Months(0)
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        if text == "forever" {
            return Ok(Self::Forever);
        }
        let number = |text: &str| -> Result<u32, PeriodError> {
            let is_number =
                (1..=4).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit());
            let number = is_number.then(|| text.parse().ok()).flatten();
            number.ok_or(PeriodError)
        };
        let (years, rest) = match text.split_once('y') {
            Some((years, rest)) => (number(years)?, rest),
            None => (0, text),
        };
        let months = match rest.strip_suffix('m') {
            Some(months) => number(months)?,
            None if rest.is_empty() && !text.is_empty() => 0,
            None => return Err(PeriodError),
        };
        let months = years * 12 + months;
        if months > PERIOD_MONTHS_MAX {
            return Err(PeriodError);
        }
        Ok(Self::Months(months))
    }
}

impl TryFrom<String> for Period {
    type Error = PeriodError;

    fn try_from(text: String) -> Result<Self, PeriodError> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forever => f.pad("forever"),
            Self::Months(months) => f.pad(&match (months / 12, months % 12) {
                (0, months) => format!("{months}m"),
                (years, 0) => format!("{years}y"),
                (years, months) => format!("{years}y{months}m"),
            }),
        }
    }
}

impl utoipa::PartialSchema for Date {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

impl utoipa::ToSchema for Date {}

impl utoipa::PartialSchema for Period {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

impl utoipa::ToSchema for Period {}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn a_period_ends_on_the_same_day_of_the_month_or_on_its_last() {
        let after = |from: &str, period: &str| {
            let last = date(from).plus(period.parse().unwrap());
            last.map(|last| last.to_string()).unwrap_or_default()
        };
        assert_eq!(after("2026-08-31", "6m"), "2027-02-28");
        assert_eq!(after("2027-08-31", "6m"), "2028-02-29", "leap year");
        assert_eq!(after("2024-02-29", "10y"), "2034-02-28");
        assert_eq!(after("2024-02-29", "20y"), "2044-02-29");
        assert_eq!(after("2096-02-29", "4y"), "2100-02-28", "2100 is none");
        assert_eq!(after("2026-12-15", "1y6m"), "2028-06-15");
        assert_eq!(after("2026-12-15", "0m"), "2026-12-15");
        assert_eq!(after("2026-12-15", "forever"), "");
        assert_eq!(after("9990-12-15", "10y"), "", "past the calendar");
    }

    #[test]
    fn a_day_is_a_day_in_beijing() {
        // 2026-11-22T16:00:00Z.
        let midnight = UnixMillis(1_795_363_200_000);
        assert_eq!(Date::of(midnight), date("2026-11-23"));
        assert_eq!(Date::of(UnixMillis(midnight.0 - 1)), date("2026-11-22"));
        assert_eq!(date("2026-11-23").begins(), midnight);
        assert_eq!(date("2026-11-22").over(), midnight);
        assert_eq!(Date::of(date("1970-01-01").over()), date("1970-01-02"));
        assert_eq!(Date::of(UnixMillis(u64::MAX)).to_string(), "9999-12-31");
    }

    #[test]
    fn what_is_no_date_or_period_is_refused() {
        for wrong in [
            "",
            "2026-2-29",
            "2026-02-29",
            "2026-13-01",
            "1969-12-31",
            "+026-01-01",
            "2026-01-01-1",
        ] {
            assert!(wrong.parse::<Date>().is_err(), "{wrong}");
        }
        for wrong in [
            "", "y", "m", "10", "-1y", "10y1", "101y", "1m1y", "Forever", "99999y",
        ] {
            assert!(wrong.parse::<Period>().is_err(), "{wrong}");
        }
        for right in ["20y", "6m", "1y6m", "0m", "forever"] {
            assert_eq!(right.parse::<Period>().unwrap().to_string(), right);
        }
        assert!(Period::Forever > Period::Months(PERIOD_MONTHS_MAX));
    }
}
