//! SNS: `Publish` of a text message to a phone number.

use std::collections::{BTreeMap, BTreeSet};

use super::form::{ErrorResponse, Form};
use crate::{
    aws_fakes::outbox::{Medium, Message},
    template::Permission,
};

/// The largest number of characters that one call can send.
const LONGEST: usize = 1600;

/// The permission to publish to the phone number, topic or target.
pub(super) fn needs(form: &Form) -> BTreeSet<Permission> {
    let to = ["PhoneNumber", "TopicArn", "TargetArn"];
    to.into_iter()
        .filter_map(|field| form.text(field))
        .map(|resource| Permission {
            action: "sns:Publish".to_owned(),
            resource: resource.to_owned(),
        })
        .collect()
}

/// The text message, or the error with which SNS would reject it.
pub(super) fn read(form: &Form) -> Result<Message, ErrorResponse> {
    let Some(to) = form.text("PhoneNumber") else {
        return Err(invalid(
            "PhoneNumber Reason: no value for required parameter",
        ));
    };
    if form.text("TopicArn").or(form.text("TargetArn")).is_some() {
        return Err(invalid(
            "Only one of TopicArn, TargetArn and PhoneNumber can be set",
        ));
    }
    let digits = to.strip_prefix('+').unwrap_or_default();
    let is_e164 = (2..=15).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && !digits.starts_with('0');
    if !is_e164 {
        return Err(invalid(&format!(
            "PhoneNumber Reason: {to} is not valid to publish to"
        )));
    }
    let Some(text) = form.text("Message") else {
        return Err(invalid("Empty message"));
    };
    if text.chars().count() > LONGEST {
        return Err(invalid("Message too long"));
    }
    let tags = attributes(form)?;
    Ok(Message {
        id: String::new(),
        medium: Medium::Sms,
        to: to.to_owned(),
        from: tags.get("AWS.SNS.SMS.SenderID").cloned(),
        subject: None,
        text: text.to_owned(),
        html: None,
        tags,
        sent_at: 0,
    })
}

fn invalid(message: &str) -> ErrorResponse {
    ErrorResponse::new("InvalidParameter", format!("Invalid parameter: {message}"))
}

/// The message attributes. SNS ignores unknown attributes with its own prefix, but the fake rejects them to expose
/// misspelt names.
fn attributes(form: &Form) -> Result<BTreeMap<String, String>, ErrorResponse> {
    let mut attributes = BTreeMap::new();
    for start in form.structures("MessageAttributes.entry") {
        let name = form.required(&format!("{start}Name"))?;
        let kind = form.required(&format!("{start}Value.DataType"))?;
        let value = form.required(&format!("{start}Value.StringValue"))?;
        let is_right = match name {
            "AWS.SNS.SMS.SMSType" => {
                kind == "String" && ["Promotional", "Transactional"].contains(&value)
            }
            "AWS.SNS.SMS.SenderID" => kind == "String" && is_sender(value),
            "AWS.SNS.SMS.MaxPrice" => {
                kind == "Number" && value.parse::<f64>().is_ok_and(|price| price >= 0.0)
            }
            _ => !name.starts_with("AWS."),
        };
        if !is_right {
            return Err(invalid(&format!(
                "MessageAttributes Reason: {name} is {kind} {value}"
            )));
        }
        attributes.insert(name.to_owned(), value.to_owned());
    }
    Ok(attributes)
}

fn is_sender(text: &str) -> bool {
    (1..=11).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && text.bytes().any(|b| b.is_ascii_alphabetic())
}
