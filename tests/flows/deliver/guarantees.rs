//! Lost responses and interrupted deliveries: an e-mail arrives at least once, a text message at most
//! once.

use gatehouse_local::{
    aws_fakes::outbox::Medium,
    dynamodb::proxy::{Fault, FaultKind},
};

use super::{FOREVER, content, request_mail, request_text, rows, statuses, test_server, wait};

/// The provider has accepted the message and its response is lost. An e-mail is sent again with the
/// same content, and a text message is not sent again.
#[tokio::test]
async fn a_lost_answer_repeats_a_mail_and_never_a_text() {
    let server = test_server().await;
    for operation in ["SendEmail", "Publish"] {
        let fault = Fault::new(FaultKind::LostAnswer).on(operation);
        server.local.aws_fakes().inject(fault);
    }
    request_mail(&server, "one").await;
    server.deliver().await;
    request_text(&server, "one").await;
    server.deliver().await;
    wait(&server, 30).await;
    let messages = server.messages();
    let (mails, texts): (Vec<_>, Vec<_>) = messages.iter().partition(|m| m.medium == Medium::Email);
    assert_eq!((mails.len(), texts.len()), (2, 1));
    assert_eq!(content(mails[0]), content(mails[1]));
    assert_eq!(statuses(&server), ["failed", "sent"]);
}

#[tokio::test]
async fn a_text_that_was_certainly_not_accepted_is_retried() {
    let server = test_server().await;
    let busy = Fault::new(FaultKind::Throttle).on("Publish").times(2);
    server.local.aws_fakes().inject(busy);
    request_text(&server, "one").await;
    server.deliver().await;
    wait(&server, 10).await;
    assert_eq!(server.messages().len(), 1);
    assert_eq!(rows(&server), [("sent".to_owned(), 3)]);
}

/// After a failure of the service or a broken connection it is unknown whether the message was
/// sent.
#[tokio::test]
async fn a_text_that_may_have_been_sent_is_never_retried() {
    for kind in [FaultKind::InternalError, FaultKind::ConnectionReset] {
        let server = test_server().await;
        server
            .local
            .aws_fakes()
            .inject(Fault::new(kind).on("Publish"));
        request_text(&server, "one").await;
        server.deliver().await;
        wait(&server, 30).await;
        assert_eq!(server.messages().len(), 0, "{kind:?}");
        assert_eq!(rows(&server), [("failed".to_owned(), 1)], "{kind:?}");
    }
}

/// The delivery ends after the provider's response and before the status is written.
#[tokio::test]
async fn a_missing_status_repeats_a_mail_and_never_a_text() {
    for (by_mail, arrive, end) in [(true, 2, "sent"), (false, 1, "failed")] {
        let server = test_server().await;
        // The first update is the lease. The store calls the SDK twice, and the SDK makes four
        // attempts for each call.
        let lost = Fault::new(FaultKind::ConnectionReset)
            .on("UpdateItem")
            .at("Outbox");
        server.local.proxy().inject(lost.nth(2).times(8));
        if by_mail {
            request_mail(&server, "one").await;
        } else {
            request_text(&server, "one").await;
        }
        server.deliver().await;
        assert_eq!(statuses(&server), ["sending"]);
        wait(&server, 1).await;
        assert_eq!(server.messages().len(), 1, "the lease has not expired");
        wait(&server, 10).await;
        let messages = server.messages();
        assert_eq!(messages.len(), arrive);
        assert!(messages.iter().all(|m| content(m) == content(&messages[0])));
        assert_eq!(rows(&server), [(end.to_owned(), 2)]);
    }
}

/// The process ends before one of its calls. An e-mail arrives at least once, and twice only if the
/// process ended between the provider's response and the status. A text message arrives at most
/// once.
#[tokio::test]
async fn a_crash_loses_no_mail_and_repeats_no_text() {
    for by_mail in [true, false] {
        // The calls are lease, session, owner, the limits (the address and the day; or the number, the block, the
        // country and the day) and status. There is no further call.
        let calls = if by_mail { 6 } else { 8 };
        for last in 1..=calls + 1 {
            let server = test_server().await;
            let end = Fault::new(FaultKind::ConnectionReset)
                .by("Deliver")
                .nth(last);
            server.local.proxy().inject(end.times(FOREVER));
            if by_mail {
                request_mail(&server, "one").await;
            } else {
                request_text(&server, "one").await;
            }
            server.deliver().await;
            server.local.proxy().clear_faults();
            wait(&server, 10).await;
            let messages = server.messages();
            assert!(messages.iter().all(|m| content(m) == content(&messages[0])));
            let expected = match (by_mail, last) {
                (true, last) if last == calls => 2,
                // The row does not show whether the message was sent.
                (false, last) if (2..calls).contains(&last) => 0,
                _ => 1,
            };
            assert_eq!(messages.len(), expected, "by mail: {by_mail}, call {last}");
            let end = if !by_mail && (2..=calls).contains(&last) {
                "failed"
            } else {
                "sent"
            };
            assert_eq!(statuses(&server), [end], "by mail: {by_mail}, call {last}");
        }
    }
}

/// A write that took effect although its response was lost is recognised, including the write of the
/// lease.
#[tokio::test]
async fn lost_answers_of_dynamodb_repeat_nothing() {
    for nth in [1, 2] {
        let server = test_server().await;
        let lost = Fault::new(FaultKind::LostAnswer)
            .on("UpdateItem")
            .at("Outbox");
        server.local.proxy().inject(lost.nth(nth));
        request_text(&server, "one").await;
        server.deliver().await;
        wait(&server, 10).await;
        assert_eq!(server.messages().len(), 1);
        assert_eq!(rows(&server), [("sent".to_owned(), 1)], "update {nth}");
    }
}

/// Nothing was sent while the tables could not be read, so nothing is lost either.
#[tokio::test]
async fn a_row_whose_session_cannot_be_read_is_retried() {
    for table in ["Proofs", "Accounts"] {
        let server = test_server().await;
        request_text(&server, "one").await;
        let fault = Fault::new(FaultKind::InternalError).on("GetItem").at(table);
        server.local.proxy().inject(fault.by("Deliver").times(4));
        server.deliver().await;
        assert_eq!(statuses(&server), ["queued"], "{table}");
        wait(&server, 2).await;
        assert_eq!(server.messages().len(), 1, "{table}");
    }
}
