//! Steps in every order: all pairs of steps, and longer sequences of some of them, which skip, repeat, reorder and
//! replace the steps of an operation. A request succeeds only if the session has the proof that its operation requires
//! (incidents 33, 37 and 38).

mod deletion;
mod registration;
mod reset;

/// All sequences of this many of these steps. Each shorter sequence is the beginning of some of them.
fn sequences<S: Copy>(steps: &[S], length: u32) -> impl Iterator<Item = Vec<S>> {
    (0..steps.len().pow(length)).map(move |number| {
        (0..length)
            .map(|place| steps[number / steps.len().pow(place) % steps.len()])
            .collect()
    })
}
