//! Canonical JSON (RFC 8785) for what is hashed or signed and must be made again byte by byte: strings, integers, booleans, arrays and
//! objects. Floats and null are refused, so the hard half of RFC 8785 (number formatting) is not
//! needed: an integer within ±(2^53 − 1) is its decimal digits.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Largest integer that every JSON reader keeps exact (RFC 8785, 3.2.2.3).
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Why a value has no canonical form here, or bytes are not in it.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// Not JSON, or not of the expected shape.
    #[error("not the expected JSON")]
    Json(#[source] serde_json::Error),
    /// A float, or an integer past [`INTEGER_MAX`].
    #[error("number {0} is not an integer of at most 53 bits")]
    Number(String),
    /// `null` is not used: what is unknown is left out.
    #[error("null is not used in evidence")]
    Null,
    /// Valid JSON in another form (order, spaces, escapes, repeated keys, unknown fields).
    #[error("JSON is not in canonical form")]
    Form,
}

/// The canonical bytes of a value.
pub fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let value = serde_json::to_value(value).map_err(CanonicalError::Json)?;
    let mut out = Vec::new();
    write(&value, &mut out)?;
    Ok(out)
}

/// Reads a value and refuses any bytes but the canonical ones: reading and writing again must give
/// the same bytes, which also finds repeated keys and fields that `T` does not know.
pub fn from_bytes<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, CanonicalError> {
    let value: T = serde_json::from_slice(bytes).map_err(CanonicalError::Json)?;
    if to_bytes(&value)? == bytes {
        Ok(value)
    } else {
        Err(CanonicalError::Form)
    }
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    match value {
        Value::Null => return Err(CanonicalError::Null),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => {
            let fits = match (number.as_u64(), number.as_i64()) {
                (Some(n), _) => n <= INTEGER_MAX,
                (None, Some(n)) => n.unsigned_abs() <= INTEGER_MAX,
                (None, None) => false,
            };
            if !fits {
                return Err(CanonicalError::Number(number.to_string()));
            }
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(members) => {
            // RFC 8785, 3.2.3: keys are ordered by their UTF-16 code units, not by code points.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push(b'{');
            for (index, (key, item)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write(item, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

/// RFC 8785, 3.2.2.2: the short escapes, `\u00xx` for other controls, everything else as UTF-8.
fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            '\r' => out.extend_from_slice(b"\\r"),
            c if c < ' ' => out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes()),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(json: &str) -> Result<String, CanonicalError> {
        let value: Value = serde_json::from_str(json).unwrap();
        to_bytes(&value).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn rfc_8785_strings_and_order() {
        // Section 3.2.2.2's string and 3.2.3's key order (numbers left out: floats are refused).
        let text = canonical(r#"{"s":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/"}"#).unwrap();
        assert_eq!(text, "{\"s\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
        let keys = r#"{"€":1,"\r":2,"\ufb33":3,"1":4,"😀":5,"\u0080":6,"ö":7}"#;
        assert_eq!(
            canonical(keys).unwrap(),
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}"
        );
    }

    #[test]
    fn what_evidence_does_not_use_is_refused() {
        assert!(matches!(canonical("1.5"), Err(CanonicalError::Number(_))));
        assert!(matches!(canonical("1e3"), Err(CanonicalError::Number(_))));
        assert!(matches!(
            canonical("9007199254740992"),
            Err(CanonicalError::Number(_))
        ));
        assert!(matches!(canonical("[null]"), Err(CanonicalError::Null)));
        assert_eq!(
            canonical("[-3,9007199254740991]").unwrap(),
            "[-3,9007199254740991]"
        );
    }

    #[test]
    fn only_canonical_bytes_are_read() {
        type Map = std::collections::BTreeMap<String, u64>;
        assert!(from_bytes::<Map>(br#"{"a":1,"b":2}"#).is_ok());
        for other in [
            r#"{"b":2,"a":1}"#,
            r#"{"a": 1}"#,
            r#"{"a":1,"a":1}"#,
            "{\"a\":1}\n",
            r#"{"\u0061":1}"#,
        ] {
            assert!(from_bytes::<Map>(other.as_bytes()).is_err(), "{other}");
        }
    }
}
