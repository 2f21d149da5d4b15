//! Host names of e-mail addresses and of links.

/// The maximum length of a label, in bytes.
const MAX_LABEL_BYTES: usize = 63;

/// Whether `text` is a host name with at least two labels and a last label that is not a number.
pub fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=MAX_LABEL_BYTES).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.contains('.') && text.split('.').all(label) && !last.bytes().all(|b| b.is_ascii_digit())
}

/// Whether `text` is a host name or `localhost`, with an optional port.
pub fn is_host(text: &str) -> bool {
    let (host, port) = match text.split_once(':') {
        None => (text, None),
        Some((host, port)) => (host, Some(port)),
    };
    let is_port =
        |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    (is_domain(host) || host.eq_ignore_ascii_case("localhost")) && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_with_an_optional_port() {
        for host in [
            "app.example.org",
            "localhost",
            "localhost:8080",
            "APP.example.org:443",
        ] {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "",
            "a",
            "user@app.example.org",
            "app.example.org:",
            "app.example.org:http",
            "127.0.0.1",
            "a.example:70000",
            "a.example/",
            "a.example:+1",
        ] {
            assert!(!is_host(host), "{host}");
        }
    }
}
