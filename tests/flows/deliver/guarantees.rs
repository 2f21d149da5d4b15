//! Answers that get lost and deliveries that end in the middle: a mail arrives at least once, a text
//! message at most once.

use gatehouse_local::{
    outbox::Medium,
    proxy::{Fault, FaultKind},
};

use super::{FOREVER, read, request_mail, request_text, rows, statuses, test_server, wait};

/// The provider has it and the answer is lost: a mail comes again and is the same, a text does not.
#[tokio::test]
async fn a_lost_answer_repeats_a_mail_word_for_word_and_never_a_text() {
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
    assert_eq!(read(mails[0]), read(mails[1]));
    assert_eq!(statuses(&server), ["failed", "sent"]);
}

#[tokio::test]
async fn a_text_that_was_surely_not_taken_is_tried_again() {
    let server = test_server().await;
    let busy = Fault::new(FaultKind::Throttle).on("Publish").times(2);
    server.local.aws_fakes().inject(busy);
    request_text(&server, "one").await;
    server.deliver().await;
    wait(&server, 10).await;
    assert_eq!(server.messages().len(), 1);
    assert_eq!(rows(&server), [("sent".to_owned(), 3)]);
}

/// A fault of the service or a broken connection says nothing about what became of the message.
#[tokio::test]
async fn a_text_of_unknown_fate_is_never_tried_again() {
    for kind in [FaultKind::InternalError, FaultKind::Cut] {
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

/// The delivery ends after the provider's answer, before the row says so.
#[tokio::test]
async fn an_end_that_is_not_written_down_repeats_a_mail_and_never_a_text() {
    for (by_mail, arrive, end) in [(true, 2, "sent"), (false, 1, "failed")] {
        let server = test_server().await;
        // The lease is the first update; the SDK tries four times, and we twice.
        let lost = Fault::new(FaultKind::Cut).on("UpdateItem").at("Outbox");
        server.local.proxy().inject(lost.nth(2).times(8));
        if by_mail {
            request_mail(&server, "one").await;
        } else {
            request_text(&server, "one").await;
        }
        server.deliver().await;
        assert_eq!(statuses(&server), ["sending"]);
        wait(&server, 1).await;
        assert_eq!(server.messages().len(), 1, "the lease holds");
        wait(&server, 10).await;
        let messages = server.messages();
        assert_eq!(messages.len(), arrive);
        assert!(messages.iter().all(|m| read(m) == read(&messages[0])));
        assert_eq!(rows(&server), [(end.to_owned(), 2)]);
    }
}

/// The process ends before one of its calls, whichever: mail at least once, twice only if the end
/// came between the provider's answer and the row's, a text at most once.
#[tokio::test]
async fn wherever_a_delivery_ends_a_mail_arrives_and_a_text_arrives_once_at_most() {
    for by_mail in [true, false] {
        // Lease, session, owner, mark; the fifth is none.
        for last in 1..=5 {
            let server = test_server().await;
            let end = Fault::new(FaultKind::Cut).by("Deliver").nth(last);
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
            assert!(messages.iter().all(|m| read(m) == read(&messages[0])));
            let expected = match (by_mail, last) {
                (true, 4) => 2,
                // It may have been sent, for all the row tells.
                (false, 2 | 3) => 0,
                _ => 1,
            };
            assert_eq!(messages.len(), expected, "by mail: {by_mail}, call {last}");
            let end = if !by_mail && (2..=4).contains(&last) {
                "failed"
            } else {
                "sent"
            };
            assert_eq!(statuses(&server), [end], "by mail: {by_mail}, call {last}");
        }
    }
}

/// A write that happened although its answer was lost knows itself again, the lease's too.
#[tokio::test]
async fn lost_answers_of_the_table_repeat_nothing() {
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

/// Nothing has been sent while the tables could not be read, so nothing is lost either.
#[tokio::test]
async fn a_row_whose_session_cannot_be_read_is_tried_again() {
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
