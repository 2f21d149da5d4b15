//! The rate limits that all clients share. They are charged here, where a message costs money, and not in the request
//! for the message: a request that causes no message uses up nothing, and the response does not depend on the charge.
//!
//! A message beyond such a limit is dropped. It is not delayed: no client would wait for it any more, and an attacker
//! could fill a queue that other messages wait in. The exception is a security notification, which waits for the daily
//! limit.

use shared::{
    app::App,
    client_network::ClientNetwork,
    limits::{self, DailyShare, Limit, LimitError},
    metrics::{self, Metric},
    outbox::Leased,
    store::ValidationRow,
    threepid_validation::{ValidationPurpose, shared_quotas},
    threepids::Medium,
};

use crate::outcome::Outcome;

/// The limits of one message.
pub(crate) struct Charges {
    /// The key of the limit of messages to an account owner, if the message is one.
    owner_notice: Option<String>,
    /// The other limits, from the narrowest to the widest.
    shared: Vec<(Limit, String)>,
    /// The part of the daily limit that the message may use.
    share: DailyShare,
    /// Whether the message waits if the daily limit is used up.
    waits: bool,
}

impl Charges {
    /// The limits of a link or a code.
    pub(crate) fn of_validation(row: &ValidationRow, is_known: bool) -> Self {
        let country = row.country.as_deref();
        Self {
            owner_notice: None,
            shared: shared_quotas(row.purpose, &row.threepid, country, is_known),
            share: match row.purpose {
                ValidationPurpose::Reset => DailyShare::Whole,
                ValidationPurpose::Register | ValidationPurpose::Add => DailyShare::Unreserved,
            },
            waits: false,
        }
    }

    /// The limits of a message that tells the owner of an address that someone else entered it. The owner gets at most
    /// one a day for each network, so that an attacker cannot suppress the message about another request, and a few a
    /// day for all networks that the owner has not used.
    pub(crate) fn of_owner_notice(
        row: &ValidationRow,
        network: Option<ClientNetwork>,
        is_known: bool,
    ) -> Self {
        let address = &row.threepid.address;
        let owner_notice = network.map_or_else(
            || address.clone(),
            |network| format!("{address} {}", network.widest()),
        );
        let mut charges = Self::of_validation(row, is_known);
        if !is_known {
            let sum = (Limit::KnownNoticeAddress, address.clone());
            charges.shared.insert(0, sum);
        }
        Self {
            owner_notice: Some(owner_notice),
            ..charges
        }
    }

    /// The limits of a security notification. Its other limits were charged with the change that it reports.
    pub(crate) const fn of_security_notification() -> Self {
        Self {
            owner_notice: None,
            shared: Vec::new(),
            share: DailyShare::Whole,
            waits: true,
        }
    }

    /// Charges the message to all limits or to none of them. Each limit is charged once for an outbox row: an attempt
    /// after an interrupted attempt charges nothing, because the interrupted one may have charged everything. The limit
    /// of messages to an owner records the row instead, so that even an interrupted attempt does not exceed it.
    pub(crate) async fn consume(
        &self,
        app: &App,
        leased: &Leased,
        medium: Medium,
    ) -> Result<(), Outcome> {
        if let Some(key) = &self.owner_notice {
            let acquired = limits::acquire_for(app, Limit::KnownNotice, key, &leased.id).await;
            acquired.map_err(|error| {
                outcome(error, || {
                    Outcome::skipped(
                        "the owner of the address was notified of a request from this network less than a day ago",
                    )
                })
            })?;
        }
        if leased.may_be_charged() {
            return Ok(());
        }
        if let Err(error) = limits::consume_in_order(app, &self.shared).await {
            self.refund(app, &[]).await;
            return Err(outcome(error, || {
                metrics::count(Metric::MessagesLimited);
                Outcome::skipped("a limit that all clients share is used up")
            }));
        }
        if let Err(error) = limits::consume_daily(app, medium, self.share).await {
            self.refund(app, &self.shared).await;
            return Err(outcome(error, || self.over_daily_limit(medium)));
        }
        Ok(())
    }

    fn over_daily_limit(&self, medium: Medium) -> Outcome {
        let reason = match medium {
            Medium::Email => "the daily limit of e-mails (GATEHOUSE_DAILY_EMAILS) is used up",
            Medium::Msisdn => "the daily limit of text messages (GATEHOUSE_DAILY_TEXTS) is used up",
        };
        if self.waits {
            Outcome::retry(reason)
        } else {
            Outcome::expired(reason)
        }
    }

    /// Refunds the limit of messages to an owner and `charges`.
    async fn refund(&self, app: &App, charges: &[(Limit, String)]) {
        let owner_notice = self.owner_notice.clone();
        let owner_notice = owner_notice.map(|key| (Limit::KnownNotice, key));
        let charges: Vec<_> = owner_notice.into_iter().chain(charges.to_vec()).collect();
        limits::refund_all(app, &charges).await;
    }
}

/// The outcome of a failed charge. `exceeded` returns that of an exceeded limit.
fn outcome(error: LimitError, exceeded: impl FnOnce() -> Outcome) -> Outcome {
    match error {
        LimitError::Exceeded { .. } => exceeded(),
        LimitError::Store(error) => error.into(),
    }
}
