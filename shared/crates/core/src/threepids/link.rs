//! The `next_link` of a client, to which the browser is redirected after a validation (3PID-30 to 3PID-32).

use crate::{config::Config, host_name::is_host};

/// The maximum length of a link in bytes.
const MAX_BYTES: usize = 2048;

/// The link is not a valid `http` or `https` URL (3PID-31).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an http or https link")]
pub struct NextLinkError;

/// The link, if the browser may be redirected to it. Returns `None` if the operator has not allowed its host:
/// the request then continues without the link, because the client cannot know the allowed hosts.
pub fn check(config: &Config, text: &str) -> Result<Option<String>, NextLinkError> {
    let is_valid = text.len() <= MAX_BYTES && text.chars().all(|c| !c.is_control() && c != ' ');
    let rest = after_scheme(text)
        .filter(|_| is_valid)
        .ok_or(NextLinkError)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].to_ascii_lowercase();
    // All browsers must find the same host. Therefore user information, backslashes and characters that browsers
    // normalise are not allowed.
    let is_unambiguous = is_host(&host) && text.is_ascii() && !text.contains('\\');
    let is_allowed = is_unambiguous && config.next_link_hosts.contains(&host);
    Ok(is_allowed.then(|| text.to_owned()))
}

/// The link with the parameter `sid`, which the client did not know at the time of the request
/// (3PID-32). The parameter is appended to the text, even after a fragment, because single-page
/// clients read it there.
pub fn with_sid(link: &str, sid: &str) -> String {
    let separator = if link.contains('?') { '&' } else { '?' };
    format!("{link}{separator}sid={sid}")
}

fn after_scheme(text: &str) -> Option<&str> {
    ["https://", "http://"].into_iter().find_map(|scheme| {
        let (prefix, rest) = text.split_at_checked(scheme.len())?;
        prefix.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn _3pid_32_the_sid_is_appended_even_after_a_fragment() {
        for (link, expected) in [
            ("https://a.example/", "https://a.example/?sid=S"),
            ("https://a.example/?a=b", "https://a.example/?a=b&sid=S"),
            (
                "https://a.example/#/register?client_secret=c",
                "https://a.example/#/register?client_secret=c&sid=S",
            ),
            (
                "https://a.example/#/register",
                "https://a.example/#/register?sid=S",
            ),
        ] {
            assert_eq!(with_sid(link, "S"), expected);
        }
    }
}
