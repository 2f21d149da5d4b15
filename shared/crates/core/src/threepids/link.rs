//! Where a browser goes after a validation: a client's `next_link` (3PID-30 to 3PID-32).

use crate::{config::Config, host_name::is_host};

/// No client's link is longer, in bytes.
const MAX_BYTES: usize = 2048;

/// The link is none that anybody may be sent to (3PID-31).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an http or https link")]
pub struct NextLinkError;

/// The link, if a browser may be sent to it; none if it leads to a host that the operator has not
/// named, which is no fault of the client's.
pub fn judge(config: &Config, text: &str) -> Result<Option<String>, NextLinkError> {
    let lawful = text.len() <= MAX_BYTES && text.chars().all(|c| !c.is_control() && c != ' ');
    let rest = after_scheme(text).filter(|_| lawful).ok_or(NextLinkError)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].to_ascii_lowercase();
    // Only what every browser reads as we do: no user, no backslash, nothing to be normalised.
    let plain = is_host(&host) && text.is_ascii() && !text.contains('\\');
    let known = plain && config.next_link_hosts.contains(&host);
    Ok(known.then(|| text.to_owned()))
}

/// The link with the session's id, which the client could not know (3PID-32). It is added to the
/// text as it stands, behind a fragment too: that is where single-page clients look.
pub fn with_sid(link: &str, sid: &str) -> String {
    let joint = if link.contains('?') { '&' } else { '?' };
    format!("{link}{joint}sid={sid}")
}

fn after_scheme(text: &str) -> Option<&str> {
    ["https://", "http://"].into_iter().find_map(|scheme| {
        let (own, rest) = text.split_at_checked(scheme.len())?;
        own.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn _3pid_32_the_session_is_added_to_the_text_as_it_stands() {
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
