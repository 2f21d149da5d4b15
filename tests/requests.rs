//! Bodies of requests that many tests send.

use serde_json::{Value, json};

/// The body of a request for an e-mail.
pub fn mail_to(address: &str, secret: &str, attempt: i64) -> Value {
    json!({ "email": address, "client_secret": secret, "send_attempt": attempt })
}

/// The body of a request for a text message. The number is as dialled in Great Britain, or starts with `+` and
/// its country code.
pub fn text_to(number: &str, secret: &str, attempt: i64) -> Value {
    json!({
        "country": "GB", "phone_number": number, "client_secret": secret, "send_attempt": attempt,
    })
}
