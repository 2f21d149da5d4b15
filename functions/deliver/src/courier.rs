//! What is done with one row: lease, look, decide, send, write down.
//!
//! What to say is decided here and not where the message was called for, so that a request for an
//! address with an account costs, reads and writes what any other does (3PID-15).

use std::time::Duration;

use futures_util::{StreamExt, stream};
use shared::{
    app::App,
    aws::Aws,
    clock::{Timestamp, millis},
    config::EmailLink,
    limits::{self, Limit, LimitError},
    outbox::{Content, End, Leased},
    request_token::submit_url,
    secrets::Secret,
    store::{ProofRow, StoreError},
    threepids::{
        Medium, ThreePid,
        proofs::{self, ProofState, Purpose},
    },
};

use crate::{
    messages::{Mail, Message, Text},
    providers::{Providers, SendError},
};

/// How long a row is nobody else's: longer than the function may run.
const LEASE: Duration = Duration::from_mins(2);
/// A message is sent within this time, or not at all.
const GIVE_UP_AFTER: Duration = Duration::from_hours(24);
/// The first wait before another try; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_mins(15);
/// How far the clock of whoever wrote a row may be ahead of ours.
const SKEW: Duration = Duration::from_secs(2);
/// How many rows are worked on at once.
const AT_ONCE: usize = 8;
/// When no more rows are begun, and when no more messages are sent, after the beginning: a call
/// takes up to eight seconds, and at the end there are two, within the function's sixty.
const BEGIN_WITHIN: Duration = Duration::from_secs(20);
const SEND_WITHIN: Duration = Duration::from_secs(35);
/// How often the end of a row is written down before the lease has to tell it.
const MARKS: u32 = 2;

/// What delivers, for one event.
pub(crate) struct Courier<'a> {
    app: &'a App,
    providers: Providers<'a>,
    began: Timestamp,
}

/// A message and its address.
struct Parcel {
    to: ThreePid,
    message: Message,
}

/// What became of a row in one delivery.
enum Outcome {
    /// It is over; in a word, why, if not with success.
    Over(End, String),
    /// It is to be tried again.
    Again(String),
}

impl From<StoreError> for Outcome {
    fn from(error: StoreError) -> Self {
        Self::Again(error.to_string())
    }
}

fn moot(why: &str) -> Outcome {
    Outcome::Over(End::Moot, why.to_owned())
}

impl<'a> Courier<'a> {
    pub(crate) fn new(app: &'a App, aws: &'a Aws) -> Self {
        Self {
            app,
            providers: Providers::new(aws, &app.config),
            began: app.clock.now(),
        }
    }

    /// Whether it is too late to begin with another row.
    pub(crate) fn is_late(&self) -> bool {
        self.is_past(BEGIN_WITHIN)
    }

    fn is_past(&self, within: Duration) -> bool {
        self.app.clock.now().since(self.began) >= within
    }

    /// Delivers what these rows call for, some at a time.
    pub(crate) async fn deliver_all(&self, ids: &[String]) {
        stream::iter(ids)
            .for_each_concurrent(AT_ONCE, |id| self.deliver(id))
            .await;
    }

    async fn deliver(&self, id: &str) {
        // The schedule names it again.
        if self.is_late() {
            return;
        }
        let now = self.app.clock.now();
        let lease = self
            .app
            .store
            .lease_message(id, now.plus(SKEW), now.plus(LEASE));
        let leased = match lease.await {
            Ok(Some(leased)) => leased,
            // Somebody has it, or it is over.
            Ok(None) => return,
            Err(error) => {
                let error = error.to_string();
                tracing::error!(outbox.id = id, error, "a message could not be leased");
                return;
            }
        };
        let parcel = self.pack(&leased, now).await;
        let (labels, outcome) = match parcel {
            Ok(parcel) => {
                let labels = (parcel.to.medium.as_str(), parcel.message.kind());
                (labels, self.send(&leased, &parcel).await)
            }
            Err(outcome) => (("none", "none"), outcome),
        };
        log(&leased, labels, &outcome);
        self.mark(&leased, &outcome).await;
    }

    /// What there is to send, and to whom.
    async fn pack(&self, leased: &Leased, now: Timestamp) -> Result<Parcel, Outcome> {
        if now.since(leased.created) >= GIVE_UP_AFTER {
            return Err(Outcome::Over(End::Dead, "too old".to_owned()));
        }
        let Content::Validation {
            sid,
            generation,
            send,
        } = &leased.content
        else {
            return Err(moot("nobody knows yet what to do with it"));
        };
        let row = self.app.store.find_proof(sid).await?;
        let row = row.filter(|row| row.generation == *generation);
        let row = row.ok_or_else(|| moot("the session has begun anew"))?;
        match row.state {
            ProofState::Pending if proofs::is_alive(&row, now) => {}
            ProofState::Pending => {
                return Err(Outcome::Over(End::Dead, "the session is over".to_owned()));
            }
            ProofState::Validated | ProofState::Spent | ProofState::Burned => {
                return Err(moot(row.state.as_str()));
            }
        }
        if row.threepid.medium == Medium::Msisdn && *send < row.live_from {
            return Err(moot("a newer code has taken its place"));
        }
        let message = match row.purpose {
            Purpose::Register | Purpose::Reset | Purpose::Add => {
                self.sign_up(leased, &row, *send).await?
            }
        };
        Ok(Parcel {
            to: row.threepid,
            message,
        })
    }

    /// What an address is told at sign-up. Who has an account is told that, once a day, and their
    /// session is never validated; the budget is the row's own, or a delivery that ends between
    /// taking it and sending would have taken it for nothing.
    async fn sign_up(
        &self,
        leased: &Leased,
        row: &ProofRow,
        send: i64,
    ) -> Result<Message, Outcome> {
        let ProofRow {
            sid,
            generation,
            threepid,
            ..
        } = row;
        let has_account = row.withheld || self.app.store.find_owner(threepid).await?.is_some();
        if !has_account {
            return Ok(match threepid.medium {
                Medium::Email => Message::Mail(self.link(sid, generation)),
                Medium::Msisdn => Message::Text(Text::SignUp {
                    code: proofs::code(&self.app.config.keys, sid, generation, send),
                }),
            });
        }
        self.app.store.withhold_proof(sid, generation).await?;
        let budget = Limit::KnownNotice;
        match limits::hold(self.app, budget, &threepid.address, &leased.id).await {
            Ok(()) => {}
            Err(LimitError::Exceeded { .. }) => {
                return Err(moot("its owner was told not long ago"));
            }
            Err(LimitError::Store(error)) => return Err(error.into()),
        }
        Ok(match threepid.medium {
            Medium::Email => Message::Mail(Mail::HasAccount),
            Medium::Msisdn => Message::Text(Text::HasAccount),
        })
    }

    /// The mail with the link, which holds the session's id and token and nothing of the client's.
    fn link(&self, sid: &str, generation: &str) -> Mail {
        let config = &self.app.config;
        let token = proofs::link_token(&config.keys, sid, generation);
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("sid", sid)
            .append_pair("token", token.reveal())
            .finish();
        let url = submit_url(self.app, Medium::Email);
        let link = config.mail.as_ref().map(|mail| mail.link);
        Mail::SignUp {
            link: Secret::new(format!("{url}?{query}")),
            asks: link != Some(EmailLink::Direct),
        }
    }

    async fn send(&self, leased: &Leased, parcel: &Parcel) -> Outcome {
        let medium = parcel.to.medium;
        let failed = |why: &str| Outcome::Over(End::Failed, why.to_owned());
        if medium == Medium::Msisdn && leased.interrupted {
            return failed("it may have been sent before");
        }
        if self.is_past(SEND_WITHIN) {
            return Outcome::Again("there was no time left".to_owned());
        }
        let sent = self
            .providers
            .send(&parcel.to.address, &parcel.message)
            .await;
        match (sent, medium) {
            (Ok(id), _) => Outcome::Over(End::Sent, id),
            (Err(SendError::Never(code)), _) => failed(&code),
            (Err(SendError::NotNow(code)), _) => Outcome::Again(code),
            (Err(SendError::Unsure), Medium::Email) => Outcome::Again("no answer".to_owned()),
            (Err(SendError::Unsure), Medium::Msisdn) => failed("no answer"),
        }
    }

    async fn mark(&self, leased: &Leased, outcome: &Outcome) {
        let (store, now) = (&self.app.store, self.app.clock.now());
        let wait = self.wait(leased.attempts);
        for attempt in 1..=MARKS {
            let marked = match outcome {
                Outcome::Over(end, _) => store.end_message(leased, *end, now).await,
                Outcome::Again(_) => store.requeue_message(leased, now.plus(wait)).await,
            };
            match marked {
                Ok(true) => return,
                Ok(false) => {
                    tracing::error!(outbox.id = leased.id, "a lease ended too early");
                    return;
                }
                Err(error) => {
                    let error = error.to_string();
                    tracing::error!(
                        outbox.id = leased.id,
                        attempt,
                        error,
                        "a row was not marked"
                    );
                }
            }
        }
    }

    /// How long to wait before attempt number `attempts + 1`: a random time in the upper half of a
    /// bound that doubles, so that what failed together is not tried again together.
    fn wait(&self, attempts: i64) -> Duration {
        let bound = bound(attempts);
        let half = u32::try_from(millis(bound) / 2).unwrap_or(u32::MAX);
        let random = self.app.chance.below(half + 1);
        bound / 2 + Duration::from_millis(u64::from(random))
    }
}

fn bound(attempts: i64) -> Duration {
    let doublings = u32::try_from((attempts - 1).clamp(0, 10)).unwrap_or(0);
    (FIRST_WAIT * 2_u32.pow(doublings)).min(LONGEST_WAIT)
}

/// One line a row, without address, session, code or link.
fn log(leased: &Leased, (medium, kind): (&str, &str), outcome: &Outcome) {
    let (id, attempt) = (leased.id.as_str(), leased.attempts);
    macro_rules! line {
        ($level:ident, $field:ident = $value:expr, $text:literal) => {
            tracing::$level!(
                outbox.id = id,
                message.medium = medium,
                message.kind = kind,
                message.attempt = attempt,
                $field = $value,
                $text
            )
        };
    }
    match outcome {
        Outcome::Over(End::Sent, provider_id) => line!(info, provider_id = provider_id, "sent"),
        Outcome::Over(End::Moot, why) => line!(info, why = why, "nothing to be sent"),
        Outcome::Over(End::Failed, why) => line!(warn, why = why, "not sent, and never will be"),
        Outcome::Over(End::Dead, why) => line!(error, why = why, "given up"),
        Outcome::Again(why) => line!(warn, why = why, "not sent yet"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_half_a_minute_to_a_quarter_of_an_hour() {
        let seconds: Vec<_> = (1..=8).map(|tries| bound(tries).as_secs()).collect();
        assert_eq!(seconds, [30, 60, 120, 240, 480, 900, 900, 900]);
        assert_eq!(bound(0), FIRST_WAIT);
        assert_eq!(bound(i64::MAX), LONGEST_WAIT);
    }

    #[test]
    fn a_lease_outlives_the_function_and_the_last_calls_fit_into_its_time() {
        let function = Duration::from_mins(1);
        let call = Duration::from_secs(8);
        assert!(LEASE > function);
        // To send, and to write it down.
        assert!(SEND_WITHIN + call + call * MARKS <= function);
        assert!(BEGIN_WITHIN < SEND_WITHIN);
    }
}
