//! SES: `SendEmail`.

use std::collections::{BTreeMap, BTreeSet};

use super::form::{ErrorResponse, Form};
use crate::{
    aws_fakes::outbox::{Medium, Message},
    template::Permission,
};

/// The largest number of recipients of an e-mail.
const MOST_RECIPIENTS: usize = 50;

/// The permissions for the identity of the sender and for the configuration set, if there is one.
pub(super) fn needs(form: &Form) -> BTreeSet<Permission> {
    let need = |resource: String| Permission {
        action: "ses:SendEmail".to_owned(),
        resource,
    };
    let source = form.text("Source").unwrap_or_default();
    let identity = address(source).unwrap_or_default();
    let set = form.text("ConfigurationSetName");
    [need(format!("identity/{identity}"))]
        .into_iter()
        .chain(set.map(|set| need(format!("configuration-set/{set}"))))
        .collect()
}

/// The e-mail, or the error with which SES would reject it.
pub(super) fn read(form: &Form) -> Result<Message, ErrorResponse> {
    let source = form.required("Source")?;
    let subject = content(form, "Message.Subject")?;
    let text = content(form, "Message.Body.Text")?;
    let html = content(form, "Message.Body.Html")?;
    let recipients: Vec<&str> = ["ToAddresses", "CcAddresses", "BccAddresses"]
        .into_iter()
        .flat_map(|field| form.list(&format!("Destination.{field}.member")))
        .collect();
    match recipients.len() {
        0 => return Err(invalid("Missing required header 'To'.")),
        count if count > MOST_RECIPIENTS => {
            return Err(invalid("Recipient count exceeds 50."));
        }
        _ => {}
    }
    let answer_to = form.list("ReplyToAddresses.member");
    for party in [source].iter().chain(&recipients).chain(&answer_to) {
        address(party).map_err(|why| invalid(&format!("{why}: {party}")))?;
    }
    let subject = subject.ok_or_else(|| invalid("Missing required header 'Subject'."))?;
    if subject.chars().any(char::is_control) {
        return Err(invalid("Header 'Subject' contains a control character."));
    }
    if text.is_none() && html.is_none() {
        return Err(invalid("The message has no body."));
    }
    Ok(Message {
        id: String::new(),
        medium: Medium::Email,
        to: recipients.join(", "),
        from: Some(source.to_owned()),
        subject: Some(subject.to_owned()),
        text: text.unwrap_or_default().to_owned(),
        html: html.map(str::to_owned),
        tags: tags(form)?,
        sent_at: 0,
    })
}

fn invalid(message: &str) -> ErrorResponse {
    ErrorResponse::new("InvalidParameterValue", message.to_owned())
}

/// The text of a part. A text that has no charset must be ASCII, because SES would garble other characters.
fn content<'a>(form: &'a Form, name: &str) -> Result<Option<&'a str>, ErrorResponse> {
    let text = form.text(&format!("{name}.Data"));
    let charset = form.text(&format!("{name}.Charset"));
    if charset.is_none() && text.is_some_and(|text| !text.is_ascii()) {
        return Err(invalid(&format!("{name} is not ASCII and has no charset.")));
    }
    Ok(text)
}

/// The tags, with the configuration set under the name that SES uses for it.
fn tags(form: &Form) -> Result<BTreeMap<String, String>, ErrorResponse> {
    let mut tags = BTreeMap::new();
    for start in form.structures("Tags.member") {
        let name = form.required(&format!("{start}Name"))?;
        let value = form.required(&format!("{start}Value"))?;
        let is_plain = |text: &str| {
            text.len() <= 256
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        if !is_plain(name) || !is_plain(value) {
            return Err(invalid(&format!("Invalid message tag: {name}={value}")));
        }
        tags.insert(name.to_owned(), value.to_owned());
    }
    if let Some(set) = form.text("ConfigurationSetName") {
        tags.insert("ses:configuration-set".to_owned(), set.to_owned());
    }
    Ok(tags)
}

/// The bare address in `a@b` or `Name <a@b>`, or the reason why it is invalid.
fn address(text: &str) -> Result<&str, &'static str> {
    let bare = match text.strip_suffix('>').and_then(|text| text.split_once('<')) {
        None => text,
        Some((name, bare)) => {
            let name = name.trim();
            let quoted = name
                .strip_prefix('"')
                .and_then(|name| name.strip_suffix('"'));
            // A name that is not ASCII must be a MIME encoded word, or it arrives garbled.
            if !name.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
                return Err("Display name is not plain ASCII");
            }
            let needs_quotes = |c: char| "()<>[]:;@\\,\"".contains(c);
            if quoted.is_none() && name.chars().any(needs_quotes) {
                return Err("Display name needs quotes");
            }
            bare
        }
    };
    let (local, domain) = bare.rsplit_once('@').ok_or("Missing final '@domain'")?;
    let is_local = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    if !(1..=64).contains(&local.len()) || !local.chars().all(is_local) {
        return Err("Local address is not valid");
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if domain.len() > 255 || !domain.split('.').all(is_label) {
        return Err("Domain is not valid");
    }
    Ok(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_ses_accepts_are_valid() {
        for (text, bare) in [
            ("alice@example.org", "alice@example.org"),
            ("Gatehouse <a.b+c@example.org>", "a.b+c@example.org"),
            (
                "\"Gate, keeper\" <a@xn--bcher-kva.example>",
                "a@xn--bcher-kva.example",
            ),
            ("=?UTF-8?B?R8OkdGU=?= <a@b>", "a@b"),
        ] {
            assert_eq!(address(text), Ok(bare));
        }
        for text in [
            "",
            "alice",
            "@example.org",
            "alice@",
            "alice@example.org\r\nBcc: eve@example.org",
            "alice@-example.org",
            "alice@example..org",
            "älice@example.org",
            "alice@bücher.example",
            "al ice@example.org",
            "Gate, keeper <a@example.org>",
            "Gätehouse <a@example.org>",
            "a@example.org, b@example.org",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
