//! Quantities as a person writes them: `30ms`, `5%`, `10mbit`, `+5s`.

use std::time::Duration;

/// `150us`, `30ms`, `5s`, `2m`.
///
/// # Errors
/// What is no duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err(format!("{text}: a duration is like 150us, 30ms, 5s or 2m")),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| format!("{text}: {number} is no number"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| format!("{text}: {error}"))
}

/// `+5s`, `-300ms`, in milliseconds.
///
/// # Errors
/// What is no offset.
pub fn offset_ms(text: &str) -> Result<i64, String> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let ms = i64::try_from(duration(rest)?.as_millis());
    Ok(sign * ms.map_err(|_| format!("{text} is too long"))?)
}

/// `5%`, `0.1%`, in parts of a million.
///
/// # Errors
/// What is no share.
pub fn share_ppm(text: &str) -> Result<u32, String> {
    let bad = || format!("{text}: a share is like 5% or 0.1%");
    let number: f64 = text
        .strip_suffix('%')
        .ok_or_else(bad)?
        .parse()
        .map_err(|_| bad())?;
    if !(0.0..=100.0).contains(&number) {
        return Err(bad());
    }
    Ok((number * 10_000.0).round() as u32) // at most a million
}

/// `64kbit`, `10mbit`, `1gbit`; `0` is without limit. In bits per second.
///
/// # Errors
/// What is no bandwidth.
pub fn bandwidth(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor = match unit {
        "" if number == "0" => 0,
        "kbit" => 1_000,
        "mbit" => 1_000_000,
        "gbit" => 1_000_000_000,
        _ => {
            return Err(format!(
                "{text}: a bandwidth is like 64kbit, 10mbit or 1gbit, or 0"
            ));
        }
    };
    let number: u64 = number
        .parse()
        .map_err(|_| format!("{text}: {number} is no whole number"))?;
    number
        .checked_mul(factor)
        .ok_or_else(|| format!("{text} is too much"))
}

/// `+200ppm`, `-50ppm`.
///
/// # Errors
/// What is no drift, or more than [`crate::shim::DRIFT_PPM_MAX`].
pub fn drift_ppm(text: &str) -> Result<i64, String> {
    let limit = crate::shim::DRIFT_PPM_MAX;
    let bad = || format!("{text}: a drift is like +200ppm, at most {limit}ppm to each side");
    let number = text.strip_suffix("ppm").ok_or_else(bad)?;
    let ppm: i64 = number.parse().map_err(|_| bad())?;
    if ppm.abs() > limit {
        Err(bad())
    } else {
        Ok(ppm)
    }
}

fn split(text: &str) -> (&str, &str) {
    let unit = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    text.split_at(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_writes_is_read() {
        assert_eq!(duration("150us"), Ok(Duration::from_micros(150)));
        assert_eq!(duration("0.5s"), Ok(Duration::from_millis(500)));
        assert_eq!(offset_ms("-300ms"), Ok(-300));
        assert_eq!(offset_ms("+5s"), Ok(5_000));
        assert_eq!(share_ppm("0.1%"), Ok(1_000));
        assert_eq!(bandwidth("10mbit"), Ok(10_000_000));
        assert_eq!(bandwidth("0"), Ok(0));
        assert_eq!(drift_ppm("-50ppm"), Ok(-50));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for bad in ["", "5", "ms", "-1s", "1h", "1e400s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        for bad in ["5", "101%", "-1%", "%", "NaN%"] {
            assert!(share_ppm(bad).is_err(), "{bad}");
        }
        for bad in ["10", "10m", "1.5mbit", "99999999999gbit"] {
            assert!(bandwidth(bad).is_err(), "{bad}");
        }
        assert!(drift_ppm("9999999ppm").is_err());
    }
}
