//! Parameters in the path. A REST API of API Gateway does not decode the path.

use super::Request;

impl Request {
    /// The last segment of the path, percent-decoded once. Returns `None` if the result is not UTF-8. A `%`
    /// that is not part of a valid escape is kept.
    pub fn last_segment(&self) -> Option<String> {
        let (_, segment) = self.path.rsplit_once('/')?;
        decode(segment)
    }
}

fn decode(segment: &str) -> Option<String> {
    let bytes = segment.as_bytes();
    let digit = |at: usize| {
        let byte = *bytes.get(at)?;
        char::from(byte).to_digit(16)
    };
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        decoded.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn http_25_a_segment_is_decoded_once_and_a_plus_stays_a_plus() {
        for (segment, text) in [
            ("PHONE", Some("PHONE")),
            ("a%2Fb%20c", Some("a/b c")),
            ("a+b", Some("a+b")),
            ("%2525", Some("%25")),
            ("%c3%BC", Some("ü")),
            ("100%", Some("100%")),
            ("%zz%4", Some("%zz%4")),
            ("%ff", None),
        ] {
            assert_eq!(decode(segment).as_deref(), text, "{segment}");
        }
    }
}
