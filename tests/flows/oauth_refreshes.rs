//! Random sequences of refreshes and uses of one session, with old and new tokens, compared with a model.

use std::time::Duration;

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng},
};
use serde_json::Value;

use crate::flows::support::oauth_tokens::OAuthServer;

/// How long the previous refresh token gets the same response (OA-91).
const GRACE: Duration = Duration::from_secs(30);
const SEQUENCES: u64 = 12;
const STEPS: usize = 60;

/// The expected state of a session.
#[derive(Default)]
struct Model {
    /// All pairs in the order of their issue. Pairs that were never used and expired are replaced.
    pairs: Vec<Value>,
    /// The index of the newest pair of which a token was used.
    current: usize,
    /// The time since the use that made it current.
    age: Duration,
    has_ended: bool,
}

impl Model {
    /// The pair that a refresh with the token of pair `index` returns: a pair that exists, a new pair (`None`), or an
    /// error.
    fn refreshed(&self, index: usize) -> Result<Option<usize>, ()> {
        let newest = self.pairs.len() - 1;
        match index {
            _ if self.has_ended => Err(()),
            index if index == newest => Ok(None),
            index if index == self.current => Ok(Some(newest)),
            index if index + 1 == self.current && self.age < GRACE => Ok(Some(self.current)),
            _ => Err(()),
        }
    }

    fn is_valid(&self, index: usize) -> bool {
        !self.has_ended && index >= self.current
    }

    fn use_pair(&mut self, index: usize) {
        if index > self.current {
            self.current = index;
            self.age = Duration::ZERO;
        }
    }
}

/// OA-87, OA-90, OA-91, OA-92, OA-95: no response contains a token of an earlier pair.
#[tokio::test]
async fn oa_95_random_sequences_follow_the_model() {
    let oauth = OAuthServer::new().await;
    for seed in 0..SEQUENCES {
        let mut random = ChaCha20Rng::seed_from_u64(seed);
        let mut below = |limit: usize| random.next_u32() as usize % limit;
        let mut model = Model {
            pairs: vec![oauth.log_in().await],
            age: GRACE,
            ..Model::default()
        };
        for step in 0..STEPS {
            // Recent pairs are more likely, because an old refresh token ends the session.
            let newest = model.pairs.len() - 1;
            let back = if below(40) == 0 {
                below(newest + 1)
            } else {
                below(3).min(newest)
            };
            let index = newest - back;
            let what = format!("seed {seed}, step {step}, pair {index} of {newest}");
            match below(3) {
                0 => {
                    let by = Duration::from_secs(below(8) as u64);
                    oauth.server.advance(by);
                    model.age += by;
                }
                1 => {
                    let status = oauth.whoami(&model.pairs[index]).await.status.as_u16();
                    let expected = if model.is_valid(index) { 200 } else { 401 };
                    assert_eq!(status, expected, "{what}: use");
                    if status == 200 {
                        model.use_pair(index);
                    }
                }
                _ => refresh(&oauth, &mut model, index, &what).await,
            }
        }
    }
}

async fn refresh(oauth: &OAuthServer, model: &mut Model, index: usize, what: &str) {
    let reply = oauth.refresh(&model.pairs[index]).await;
    let token = |pair: &Value| pair["access_token"].clone();
    match model.refreshed(index) {
        Err(()) => {
            assert_eq!(reply.status, 400, "{what}: refresh");
            model.has_ended = true;
        }
        Ok(Some(known)) => assert_eq!(token(&reply.ok()), token(&model.pairs[known]), "{what}"),
        Ok(None) => {
            let pair = reply.ok();
            let is_new = model.pairs.iter().all(|own| token(own) != token(&pair));
            assert!(is_new, "{what}");
            // The use of a refresh token makes its pair the current one.
            model.use_pair(index);
            model.pairs.push(pair);
        }
    }
}
