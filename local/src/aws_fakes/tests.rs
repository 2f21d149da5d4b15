use std::time::Duration;

use aws_sdk_ses::types::{Body, Content, Destination, Message as Mail, MessageTag};
use aws_sdk_sns::types::MessageAttributeValue;
use shared::aws::{self, Aws};

use super::*;
use crate::{
    aws_fakes::outbox::Medium,
    runtime::services::{ExternalEndpoints, ListenAddresses, Services},
};

const FROM: &str = "Gatehouse <gatehouse@example.org>";
const TO: &str = "alice@example.org";
const NUMBER: &str = "+447700900123";

fn services() -> Services {
    let clock = Arc::new(MovableClock::frozen(1000));
    Services::start(
        None,
        "test",
        clock,
        ListenAddresses::default(),
        true,
        ExternalEndpoints::default(),
    )
    .expect("services")
}

/// A client of an SDK without retries.
macro_rules! client {
    ($sdk:ident, $endpoint:ident, $services:expr, $caller:expr) => {{
        let aws: Aws = $services.aws($caller);
        let config = $sdk::Config::builder()
            .behavior_version($sdk::config::BehaviorVersion::latest())
            .http_client(aws::http_client())
            .region(aws.region())
            .credentials_provider(aws.credentials())
            .retry_config($sdk::config::retry::RetryConfig::disabled())
            .endpoint_url(aws.endpoints.$endpoint.clone().expect("an endpoint"));
        $sdk::Client::from_conf(config.build())
    }};
}

/// The error code of AWS for a failed call, or the kind of failure.
macro_rules! code {
    ($answer:expr) => {{
        let error = $answer.expect_err("a failure");
        match error.as_service_error() {
            Some(error) => error.meta().code().unwrap_or("none").to_owned(),
            None => format!("{error}"),
        }
    }};
}

fn text(data: &str) -> Content {
    Content::builder()
        .data(data)
        .charset("UTF-8")
        .build()
        .expect("a content")
}

fn mail(subject: &str) -> Mail {
    let body = Body::builder()
        .text(text("Grüße & <more>:\nhttps://example.org/a?b=c&d=e+f"))
        .html(text("<p>Grüße</p>"))
        .build();
    Mail::builder().subject(text(subject)).body(body).build()
}

fn sending(
    services: &Services,
    caller: &str,
    from: &str,
    to: &str,
) -> aws_sdk_ses::operation::send_email::builders::SendEmailFluentBuilder {
    client!(aws_sdk_ses, ses, services, caller)
        .send_email()
        .source(from)
        .destination(Destination::builder().to_addresses(to).build())
        .message(mail("Löse, bitte"))
}

fn publishing(
    services: &Services,
    caller: &str,
) -> aws_sdk_sns::operation::publish::builders::PublishFluentBuilder {
    client!(aws_sdk_sns, sns, services, caller)
        .publish()
        .phone_number(NUMBER)
        .message("Your code: 123456 – ü")
}

fn attribute(kind: &str, value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder()
        .data_type(kind)
        .string_value(value)
        .build()
        .expect("an attribute")
}

#[tokio::test]
async fn a_mail_of_the_real_sdk_arrives_unchanged() {
    let services = services();
    let tag = MessageTag::builder().name("kind").value("validation");
    let answer = sending(&services, "Deliver", FROM, TO)
        .configuration_set_name("set")
        .tags(tag.build().expect("a tag"))
        .send()
        .await
        .expect("a response");
    let [message] = &services.outbox().messages()[..] else {
        panic!("one message")
    };
    assert_eq!(message.id, answer.message_id());
    assert_eq!((message.medium, message.sent_at), (Medium::Email, 1000));
    assert_eq!(
        (message.to.as_str(), message.from.as_deref()),
        (TO, Some(FROM))
    );
    assert_eq!(message.subject.as_deref(), Some("Löse, bitte"));
    assert_eq!(message.html.as_deref(), Some("<p>Grüße</p>"));
    let links: Vec<&str> = message.links().collect();
    assert_eq!(links, ["https://example.org/a?b=c&d=e+f"]);
    assert!(message.text.starts_with("Grüße & <more>:\n"));
    assert_eq!(message.tags["kind"], "validation");
    assert_eq!(message.tags["ses:configuration-set"], "set");
    let calls = services.aws_fakes().take_calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (
            calls[0].caller.as_str(),
            calls[0].operation.as_str(),
            calls[0].status
        ),
        ("Deliver", "SendEmail", 200)
    );
    let used = services.proxy().used();
    let resources: Vec<_> = used
        .iter()
        .map(|used| (used.function.as_str(), used.permission.resource.as_str()))
        .collect();
    let expected = [
        ("Deliver", "configuration-set/*"),
        ("Deliver", "identity/*"),
    ];
    assert_eq!(resources, expected);
}

#[tokio::test]
async fn a_text_message_of_the_real_sdk_arrives_unchanged() {
    let services = services();
    let answer = publishing(&services, "Deliver")
        .message_attributes("AWS.SNS.SMS.SMSType", attribute("String", "Transactional"))
        .message_attributes("AWS.SNS.SMS.SenderID", attribute("String", "Gatehouse"))
        .message_attributes("AWS.SNS.SMS.MaxPrice", attribute("Number", "0.10"))
        .send()
        .await
        .expect("a response");
    let [message] = &services.outbox().messages()[..] else {
        panic!("one message")
    };
    assert_eq!(Some(message.id.as_str()), answer.message_id());
    assert_eq!((message.medium, message.to.as_str()), (Medium::Sms, NUMBER));
    assert_eq!(message.text, "Your code: 123456 – ü");
    assert_eq!(message.from.as_deref(), Some("Gatehouse"));
    assert_eq!(message.tags["AWS.SNS.SMS.MaxPrice"], "0.10");
    assert_eq!((&message.subject, &message.html), (&None, &None));
    let used = services.proxy().used();
    assert!(used.iter().any(|used| used.permission.resource == "+*"));
}

#[tokio::test]
async fn a_message_that_is_sent_twice_has_two_ids() {
    let services = services();
    for _ in 0..2 {
        let sent = sending(&services, "Deliver", FROM, TO).send().await;
        sent.expect("a response");
        let sent = publishing(&services, "Deliver").send().await;
        sent.expect("a response");
    }
    let ids: BTreeSet<String> = services
        .outbox()
        .messages()
        .into_iter()
        .map(|message| message.id)
        .collect();
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn only_functions_with_the_permission_can_send() {
    let services = services();
    let mail = sending(&services, "Register", FROM, TO).send().await;
    assert_eq!(code!(mail), "AccessDenied");
    let sms = publishing(&services, "Register").send().await;
    assert_eq!(code!(sms), "AuthorizationError");
    let topic = client!(aws_sdk_sns, sns, services, "Deliver")
        .publish()
        .topic_arn("arn:aws:sns:us-east-1:123456789012:topic")
        .message("no")
        .send()
        .await;
    assert_eq!(code!(topic), "AuthorizationError");
    let denials = services.proxy().denials();
    let actions: Vec<_> = denials
        .iter()
        .map(|denied| (denied.function.as_str(), denied.permission.action.as_str()))
        .collect();
    let expected = [
        ("Register", "ses:SendEmail"),
        ("Register", "sns:Publish"),
        ("Deliver", "sns:Publish"),
    ];
    assert_eq!(actions, expected);
    assert_eq!(services.outbox().messages(), []);
    let sent = sending(&services, "admin", FROM, TO).send().await;
    sent.expect("a caller that is not a function has no policy");
}

#[tokio::test]
async fn mails_that_ses_rejects_are_rejected() {
    let services = services();
    for (from, to) in [
        ("gatehouse", TO),
        ("Gätehouse <gatehouse@example.org>", TO),
        (FROM, "alice"),
        (FROM, "alice@bücher.example"),
    ] {
        let sent = sending(&services, "Deliver", from, to).send().await;
        assert_eq!(code!(sent), "InvalidParameterValue", "{from} to {to}");
    }
    let no_recipient = Destination::builder().build();
    let sent = sending(&services, "Deliver", FROM, TO).destination(no_recipient);
    assert_eq!(code!(sent.send().await), "InvalidParameterValue");
    let two_lines =
        sending(&services, "Deliver", FROM, TO).message(mail("a\r\nBcc: eve@example.org"));
    assert_eq!(code!(two_lines.send().await), "InvalidParameterValue");
    let undeclared = Content::builder().data("ü").build().expect("a content");
    let undeclared = Mail::builder()
        .subject(text("a"))
        .body(Body::builder().text(undeclared).build());
    let sent = sending(&services, "Deliver", FROM, TO).message(undeclared.build());
    assert_eq!(code!(sent.send().await), "InvalidParameterValue");
    let empty = Mail::builder()
        .subject(text("a"))
        .body(Body::builder().build());
    let sent = sending(&services, "Deliver", FROM, TO).message(empty.build());
    assert_eq!(code!(sent.send().await), "InvalidParameterValue");
    let tag = MessageTag::builder().name("a b").value("c").build();
    let sent = sending(&services, "Deliver", FROM, TO).tags(tag.expect("a tag"));
    assert_eq!(code!(sent.send().await), "InvalidParameterValue");
    assert_eq!(services.outbox().messages(), []);
}

#[tokio::test]
async fn text_messages_that_sns_rejects_are_rejected() {
    let services = services();
    for number in [
        "447700900123",
        "+0447700900123",
        "+44 7700",
        "+4477009001234567",
        "+",
    ] {
        let sent = publishing(&services, "admin").phone_number(number);
        assert_eq!(code!(sent.send().await), "InvalidParameter", "{number}");
    }
    for text in [String::new(), "x".repeat(1601)] {
        let sent = publishing(&services, "Deliver").message(text);
        assert_eq!(code!(sent.send().await), "InvalidParameter");
    }
    for (name, kind, value) in [
        ("AWS.SNS.SMS.SMSType", "String", "transactional"),
        ("AWS.SNS.SMS.SenderID", "String", "12345"),
        ("AWS.SNS.SMS.SenderID", "String", "Gatehouse at home"),
        ("AWS.SNS.SMS.MaxPrice", "String", "0.10"),
        ("AWS.SNS.SMS.MaxPrice", "Number", "ten"),
        ("AWS.SNS.SMS.SenderId", "String", "Gatehouse"),
    ] {
        let sent =
            publishing(&services, "Deliver").message_attributes(name, attribute(kind, value));
        assert_eq!(
            code!(sent.send().await),
            "InvalidParameter",
            "{name} {value}"
        );
    }
    assert_eq!(services.outbox().messages(), []);
}

#[tokio::test]
async fn faults_are_injected_before_or_after_the_message_is_sent() {
    let services = services();
    let aws_fakes = services.aws_fakes();
    for (kind, of_mail, of_sms, arrives) in [
        (FaultKind::Throttle, "Throttling", "Throttling", false),
        (
            FaultKind::InternalError,
            "InternalFailure",
            "InternalError",
            false,
        ),
        (
            FaultKind::Rejected,
            "InvalidParameterValue",
            "InvalidParameter",
            false,
        ),
        (
            FaultKind::ConnectionReset,
            "dispatch failure",
            "dispatch failure",
            false,
        ),
        (
            FaultKind::LostAnswer,
            "dispatch failure",
            "dispatch failure",
            true,
        ),
    ] {
        services.outbox().clear();
        aws_fakes.inject(Fault::new(kind).by("Deliver").on("SendEmail"));
        aws_fakes.inject(Fault::new(kind).by("Deliver").on("Publish"));
        let mail = sending(&services, "Deliver", FROM, TO).send().await;
        assert_eq!(code!(mail), of_mail);
        let sms = publishing(&services, "Deliver").send().await;
        assert_eq!(code!(sms), of_sms);
        let arrived = services.outbox().messages().len();
        assert_eq!(arrived, if arrives { 2 } else { 0 }, "{kind:?}");
        assert_eq!(aws_fakes.pending_faults(), 0);
    }
    aws_fakes.inject(Fault::new(FaultKind::Delay(Duration::from_millis(30))));
    let started = Instant::now();
    let sent = publishing(&services, "Deliver").send().await;
    sent.expect("a response");
    assert!(started.elapsed() >= Duration::from_millis(30));
    assert_eq!(aws_fakes.calls().len(), 11);
}

#[tokio::test]
async fn programs_can_read_the_messages_and_web_pages_cannot() {
    let services = services();
    let sent = publishing(&services, "Deliver").send().await;
    sent.expect("a response");
    let address = services.aws_fakes().address();
    let get = async |header: &str| {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address)
            .await
            .expect("a connection");
        let request =
            format!("GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{header}\r\n");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("a request");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .await
            .expect("a response");
        answer
    };
    let answer = get("").await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains(NUMBER),
        "{answer}"
    );
    let answer = get("origin: http://elsewhere.example\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 403 ") && !answer.contains(NUMBER),
        "{answer}"
    );
}
