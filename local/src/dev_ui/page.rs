//! The page at `/_local/`: the server, its last requests with their DynamoDB calls, and the sent messages.

use std::time::Instant;

use anyhow::Result;
use askama::Template;
use shared::clock::{Clock, Timestamp};

use crate::{
    Local,
    aws_fakes::outbox::{Medium, Message},
    dynamodb::proxy::Call,
    gateway::Exchange,
    runtime::clock::iso,
    template,
};

#[derive(Template)]
#[template(path = "dev_ui.html")]
struct Page {
    server_name: String,
    public_url: String,
    address: String,
    flows: String,
    dynamodb: String,
    messages_at: String,
    now: String,
    routes: Vec<(String, String)>,
    requests: Vec<RequestView>,
    messages: Vec<MessageView>,
}

/// A request with its DynamoDB calls.
struct RequestView {
    at: String,
    method: String,
    path: String,
    status: u16,
    is_fault: bool,
    milliseconds: String,
    units: String,
    calls: Vec<String>,
}

struct MessageView {
    is_mail: bool,
    to: String,
    from: Option<String>,
    subject: String,
    links: Vec<String>,
    text: String,
    html: Option<String>,
    at: String,
}

/// The HTML of the page. The template engine escapes all values.
pub(crate) fn render(local: &Local) -> Result<String> {
    let calls = local.proxy().calls();
    let config = local.config();
    let page = Page {
        server_name: config.server_name.to_string(),
        public_url: config.public_url.clone(),
        address: local.address().to_owned(),
        flows: local.flows().to_owned(),
        dynamodb: local.dynamodb_endpoint(),
        messages_at: local.messages_endpoint(),
        now: iso(local.clock().now()),
        routes: routes()?,
        requests: local
            .gateway()
            .exchanges()
            .into_iter()
            .map(|exchange| request_view(exchange, &calls))
            .collect(),
        messages: local
            .outbox()
            .messages()
            .into_iter()
            .rev()
            .map(message_view)
            .collect(),
    };
    Ok(page.render()?)
}

/// Every endpoint with its function.
fn routes() -> Result<Vec<(String, String)>> {
    let mut rows = Vec::new();
    for route in &template::Template::ours()?.routes {
        for (method, target) in &route.methods {
            if let template::Target::Function(function) = target
                && method != "ANY"
            {
                rows.push((format!("{method} {}", route.path), function.clone()));
            }
        }
    }
    rows.sort();
    Ok(rows)
}

fn request_view(exchange: Exchange, calls: &[Call]) -> RequestView {
    let ended: Instant = exchange.started + exchange.duration;
    // The calls are matched by function and time. This is exact while the function answers one request at a time.
    let calls: Vec<&Call> = calls
        .iter()
        .filter(|call| exchange.function.as_ref() == Some(&call.caller))
        .filter(|call| call.at >= exchange.started && call.at <= ended)
        .collect();
    let read = calls.iter().fold(0.0, |sum, call| sum + call.read_units);
    let write = calls.iter().fold(0.0, |sum, call| sum + call.write_units);
    RequestView {
        at: iso(exchange.at),
        method: exchange.method,
        path: exchange.path,
        status: exchange.status,
        is_fault: exchange.status >= 500,
        milliseconds: format!("{:.1}", exchange.duration.as_secs_f64() * 1000.0),
        units: if calls.is_empty() {
            String::new()
        } else {
            format!("{read} / {write}")
        },
        calls: calls.into_iter().map(describe).collect(),
    }
}

fn describe(call: &Call) -> String {
    let milliseconds = call.duration.as_secs_f64() * 1000.0;
    let status = if call.status == 200 {
        String::new()
    } else {
        format!(", {}", call.status)
    };
    format!(
        "{} {} ({milliseconds:.1} ms{status})",
        call.operation,
        call.tables.join(", ")
    )
}

fn message_view(message: Message) -> MessageView {
    MessageView {
        is_mail: message.medium == Medium::Email,
        links: message.links().map(str::to_owned).collect(),
        to: message.to,
        from: message.from,
        subject: message.subject.unwrap_or_default(),
        text: message.text,
        html: message.html,
        at: iso(Timestamp(message.sent_at)),
    }
}
