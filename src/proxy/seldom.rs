//! Waiting beside a stream, for what seldom comes.
//!
//! Every frame of a stream polls all that its task waits for: timers and the stop signal too,
//! which take locks to say "not yet". [`Seldom`] asks them only after they have rung.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A future that is polled only when it has asked to be.
pub(super) struct Seldom<F> {
    future: F,
    /// Who waits, as last told to the bell.
    waiting: Option<Waker>,
    bell: Arc<Bell>,
}

impl<F> Seldom<F> {
    pub(super) fn new(future: F) -> Seldom<F> {
        Seldom { future, waiting: None, bell: Arc::default() }
    }

    /// The future, to be changed; it is polled the next time.
    pub(super) fn change(&mut self) -> &mut F {
        self.bell.rang.store(true, Ordering::Release);
        &mut self.future
    }
}

impl<F: Future + Unpin> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let waker = context.waker();
        if this.waiting.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            this.waiting = Some(waker.clone());
            *this.bell.waiting() = Some(waker.clone());
            this.bell.rang.store(true, Ordering::Release);
        }
        if !this.bell.rang.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        // Before the poll: what rings during it is heard the next time.
        this.bell.rang.swap(false, Ordering::AcqRel);
        let bell = Waker::from(Arc::clone(&this.bell));
        Pin::new(&mut this.future).poll(&mut Context::from_waker(&bell))
    }
}

/// What the future wakes.
#[derive(Default)]
struct Bell {
    rang: AtomicBool,
    waiting: Mutex<Option<Waker>>,
}

impl Bell {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rang.store(true, Ordering::Release);
        let waiting = self.waiting().clone();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn it_is_polled_when_it_rang_and_when_somebody_else_waits() {
        let (polls, inner) = (Cell::new(0), Cell::new(None));
        let mut seldom = Seldom::new(poll_fn(|context: &mut Context<'_>| {
            polls.set(polls.get() + 1);
            inner.set(Some(context.waker().clone()));
            if polls.get() == 4 { Poll::Ready(()) } else { Poll::Pending }
        }));
        let counts = [Arc::new(Count::default()), Arc::new(Count::default())];
        let [first, second] = counts.clone().map(Waker::from);
        let mut poll =
            |waker: &Waker| Pin::new(&mut seldom).poll(&mut Context::from_waker(waker)).is_ready();
        assert!(!poll(&first) && !poll(&first) && !poll(&first));
        assert_eq!(polls.get(), 1);
        inner.take().unwrap().wake();
        assert_eq!(counts[0].0.load(Ordering::Relaxed), 1);
        assert!(!poll(&first) && !poll(&first));
        assert_eq!(polls.get(), 2);
        assert!(!poll(&second));
        inner.take().unwrap().wake();
        assert_eq!(counts[1].0.load(Ordering::Relaxed), 1);
        assert!(poll(&second));
        assert_eq!(polls.get(), 4);
    }
}
