//! How much is taken on at once. What is more is refused at once, and not made to wait until nobody wants the answer any more.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    StatusCode,
    body::{Body, Frame, SizeHint},
};

use crate::ApiError;

/// A quantity of which only so much may be in use.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    max: usize,
}

/// What somebody uses of a budget, which is given back at the end.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    amount: AtomicUsize,
    was_refused: AtomicBool,
}

impl Budget {
    /// A budget of `max`.
    pub(crate) fn new(max: usize) -> Arc<Budget> {
        Arc::new(Budget { used: AtomicUsize::new(0), max })
    }

    /// A share of nothing yet.
    pub(crate) fn share(self: &Arc<Budget>) -> Share {
        Share {
            budget: self.clone(),
            amount: AtomicUsize::new(0),
            was_refused: AtomicBool::new(false),
        }
    }
}

impl Share {
    /// Makes the share larger, if there is so much left.
    pub(crate) fn grow(&self, amount: usize) -> bool {
        let used = self.budget.used.fetch_add(amount, Ordering::Relaxed);
        if used.saturating_add(amount) > self.budget.max {
            self.budget.used.fetch_sub(amount, Ordering::Relaxed);
            self.was_refused.store(true, Ordering::Relaxed);
            return false;
        }
        self.amount.fetch_add(amount, Ordering::Relaxed);
        true
    }

    /// Whether it could not be made as large as somebody wanted.
    pub(crate) fn was_refused(&self) -> bool {
        self.was_refused.load(Ordering::Relaxed)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(*self.amount.get_mut(), Ordering::Relaxed);
    }
}

/// The refusal of a body for which there is no room beside those of other requests.
pub(crate) fn no_room(budget: &Budget) -> ApiError {
    let message = format!(
        "the bodies of requests under way take {} bytes, which is as many as there may be",
        budget.max
    );
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "ERR_OVERLOADED", message)
        .retry_later()
        .hint("try again later; --max-in-flight-bytes raises the limit")
}

/// A body whose bytes count as in use.
#[derive(Debug)]
pub(crate) struct Metered<B> {
    pub(crate) body: B,
    pub(crate) share: Arc<Share>,
}

impl<B> Body for Metered<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx).map_err(Into::into);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && !self.share.grow(frame.data_ref().map_or(0, Bytes::len))
        {
            return Poll::Ready(Some(Err("there is no room for the body".into())));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back_and_what_is_too_much_is_refused() {
        let budget = Budget::new(10);
        let (first, second) = (budget.share(), budget.share());
        assert!(first.grow(6) && second.grow(4) && !second.grow(1));
        assert!(second.was_refused() && !first.was_refused());
        drop(first);
        assert_eq!(budget.used.load(Ordering::Relaxed), 4);
        assert!(second.grow(6));
        assert!(!budget.share().grow(usize::MAX));
        drop(second);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
